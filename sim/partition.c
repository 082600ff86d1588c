/* partition.c - see partition.h. */
#include "sim/partition.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan/largest.h"

#define NO_NODE UINT32_MAX

/* The peers that are used: u in the header.  Node 0: none.  A peer more leads to a node with a higher number. */
typedef struct {
    uint32_t *next;   /* [node][kind]: with one more peer of this kind before the others; NO_NODE: there is none */
    uint32_t *behind; /* [node]: peers that are used, or in a list, all behind its place */
    uint32_t count;
} nodes_t;

typedef struct {
    const lspo_partition_t *q;
    bool in_order; /* peers keep the order of their kinds */
    nodes_t nodes;
    uint32_t states;   /* of a node: [k][l], K: none */
    double *send_s;    /* [from kind][to kind]: of what is sent; INFINITY: the link is too slow */
    double *sum_s;     /* [kind][stage]: of time_s before the stage */
    uint64_t *statics; /* [stage]: the same of static_bytes */
    uint64_t *kept;    /* [stage]: ... and of kept_bytes */
    double *least;     /* [node][k][l][stage]: f, or h */
    size_t *from;      /* the same: from which place it comes */
    bool adds;         /* it is h */
    double most_s;     /* the most that a peer may take */
    double best;       /* of all stages */
    size_t best_place;
} solver_t;

/* ---- peers ---- */

static uint32_t usable(const lspo_partition_t *q, uint32_t kind)
{
    return q->counts[kind] < q->stage_count ? q->counts[kind] : q->stage_count;
}

static void fill_sets(const lspo_partition_t *q, nodes_t *nodes)
{
    for (uint32_t node = 0; node < nodes->count; node++) {
        uint32_t stride = 1;
        for (uint32_t k = 0; k < q->kind_count; k++) {
            const uint32_t used = node / stride % (usable(q, k) + 1);
            nodes->behind[node] += used;
            nodes->next[node * q->kind_count + k] = used < usable(q, k) ? node + stride : NO_NODE;
            stride *= usable(q, k) + 1;
        }
    }
}

/* Node n: the list from its place count - n on has been gone through.  All peers of a kind are alike, so the next of a
 * kind is the nearest one. */
static void fill_list(const lspo_partition_t *q, nodes_t *nodes)
{
    uint32_t list[LSPO_PARTITION_LISTED], peers = 0;
    for (uint32_t k = 0; k < q->kind_count; k++)
        for (uint32_t i = 0; i < q->counts[k]; i++)
            list[peers++] = k;
    for (uint32_t node = 0; node <= peers; node++) {
        nodes->behind[node] = node;
        for (uint32_t k = 0; k < q->kind_count; k++) {
            uint32_t place = peers - node;
            while (place > 0 && list[place - 1] != k)
                place--;
            nodes->next[node * q->kind_count + k] = place > 0 ? peers - place + 1 : NO_NODE;
        }
    }
}

static lspo_status_t make_nodes(solver_t *s)
{
    const lspo_partition_t *q = s->q;
    s->nodes.count = 1;
    for (uint32_t k = 0; k < q->kind_count; k++)
        if (s->in_order)
            s->nodes.count += q->counts[k];
        else
            s->nodes.count *= usable(q, k) + 1;
    s->nodes.next = malloc((size_t)s->nodes.count * q->kind_count * sizeof *s->nodes.next);
    s->nodes.behind = calloc(s->nodes.count, sizeof *s->nodes.behind);
    if (s->nodes.next == NULL || s->nodes.behind == NULL)
        return lspo_no_memory("a partition among %u sets of peers", s->nodes.count);
    if (s->in_order)
        fill_list(q, &s->nodes);
    else
        fill_sets(q, &s->nodes);
    return LSPO_OK;
}

/* ---- a peer ---- */

static double time_of(const solver_t *s, uint32_t kind, uint32_t first, uint32_t end)
{
    const double *sum_s = &s->sum_s[(size_t)kind * (s->q->stage_count + 1)];
    return sum_s[end] - sum_s[first];
}

static bool fits(const solver_t *s, uint32_t kind, uint32_t behind, uint32_t first, uint32_t end)
{
    const uint64_t held = s->q->gpipe || s->q->micros < behind + 1 ? s->q->micros : behind + 1;
    uint64_t passing = 0;
    for (uint32_t stage = first; stage < end; stage++)
        passing = s->q->passing_bytes[stage] > passing ? s->q->passing_bytes[stage] : passing;
    const uint64_t kept = s->kept[end] - s->kept[first] + (behind > 0 ? s->q->message_bytes : 0);
    return (double)(s->statics[end] - s->statics[first] + held * kept + passing) <= s->q->memory_bytes[kind];
}

/* What a peer of kind k sends per micro-batch, with peers of kinds `before` and `after` beside it; K: none. */
static double sends_of(const solver_t *s, uint32_t k, uint32_t before, uint32_t after)
{
    const uint32_t kinds = s->q->kind_count;
    return (before < kinds ? s->send_s[k * kinds + before] : 0) + (after < kinds ? s->send_s[k * kinds + after] : 0);
}

/* Both messages between two peers. */
static double between(const solver_t *s, uint32_t a, uint32_t b)
{
    const uint32_t kinds = s->q->kind_count;
    if (b == kinds)
        return 0;
    return s->send_s[a * kinds + b] + s->send_s[b * kinds + a] + s->q->latency_s[a * kinds + b] +
           s->q->latency_s[b * kinds + a];
}

/* ---- all chains ---- */

static size_t place_of(const solver_t *s, uint32_t node, uint32_t k, uint32_t l, uint32_t stage)
{
    return ((size_t)node * s->states + k * (s->q->kind_count + 1) + l) * (s->q->stage_count + 1) + stage;
}

/* One more peer before the stages from `end` on, whose first peer is of kind k. */
static void extend(const solver_t *s, uint32_t node, uint32_t k, uint32_t l, uint32_t end)
{
    const lspo_partition_t *q = s->q;
    const size_t here = place_of(s, node, k, l, end);
    for (uint32_t kind = 0; kind < q->kind_count; kind++) {
        const uint32_t next = s->nodes.next[node * q->kind_count + kind];
        const double send_s = k < q->kind_count ? sends_of(s, k, kind, l) : 0;
        if (next == NO_NODE || send_s > s->most_s)
            continue;
        for (uint32_t first = end; first-- > 0;) {
            const double time_s = time_of(s, kind, first, end);
            if (time_s > s->most_s || !fits(s, kind, s->nodes.behind[node], first, end))
                break;
            const double value =
                s->adds ? s->least[here] + time_s + between(s, kind, k) : fmax(s->least[here], fmax(time_s, send_s));
            const size_t there = place_of(s, next, kind, k, first);
            if (value < s->least[there]) {
                s->least[there] = value;
                s->from[there] = here;
            }
        }
    }
}

/* The chain of a place is complete; remember the best one. */
static void complete(solver_t *s, uint32_t k, uint32_t l, size_t place)
{
    const double send_s = sends_of(s, k, s->q->kind_count, l);
    const double value = s->adds ? s->least[place] : fmax(s->least[place], send_s);
    if (send_s > s->most_s || !(value < s->best))
        return;
    s->best = value;
    s->best_place = place;
    if (!s->adds)
        s->most_s = value; /* what takes longer need not be looked at */
}

/* Find the least T, or with `adds` the least sum, of the chains in which no peer takes longer than most_s. */
static void search(solver_t *s, bool adds, double most_s)
{
    const uint32_t kinds = s->q->kind_count, stages = s->q->stage_count;
    const size_t places = place_of(s, s->nodes.count, 0, 0, 0);
    s->adds = adds;
    s->most_s = most_s;
    s->best = INFINITY;
    for (size_t i = 0; i < places; i++)
        s->least[i] = INFINITY;
    s->least[place_of(s, 0, kinds, kinds, stages)] = 0;
    for (uint32_t node = 0; node < s->nodes.count; node++)
        for (uint32_t k = 0; k <= kinds; k++)
            for (uint32_t l = 0; l <= kinds; l++) {
                const size_t whole = place_of(s, node, k, l, 0);
                if (k < kinds && isfinite(s->least[whole]))
                    complete(s, k, l, whole);
                for (uint32_t end = stages; end > 0; end--)
                    if (isfinite(s->least[whole + end]))
                        extend(s, node, k, l, end);
            }
}

static lspo_status_t write_chain(const solver_t *s, size_t place, lspo_chain_t *chain)
{
    const uint32_t stages = s->q->stage_count + 1;
    for (uint32_t first = (uint32_t)(place % stages); first < s->q->stage_count;) {
        const uint32_t kind = (uint32_t)(place / stages % s->states / (s->q->kind_count + 1));
        place = s->from[place];
        const uint32_t end = (uint32_t)(place % stages);
        lspo_status_t status = lspo_chain_add(chain, kind, end - first);
        if (status != LSPO_OK)
            return status;
        first = end;
    }
    return LSPO_OK;
}

/* ---- links ---- */

static bool compresses(const lspo_partition_t *q)
{
    return q->most > 1;
}

/* Every time that a link takes, once; without compression one round is enough. */
static uint32_t list_slowest(const lspo_partition_t *q, double *slowest_s)
{
    uint32_t count = 0;
    for (uint32_t link = 0; compresses(q) && link < q->kind_count * q->kind_count; link++) {
        bool known = false;
        for (uint32_t i = 0; i < count; i++)
            known |= slowest_s[i] == q->send_s[link];
        if (!known)
            slowest_s[count++] = q->send_s[link];
    }
    if (!compresses(q))
        slowest_s[count++] = INFINITY;
    return count;
}

/* What is sent over each link if the slowest one of the chain takes slowest_s. */
static void set_links(solver_t *s, double slowest_s)
{
    const lspo_partition_t *q = s->q;
    for (uint32_t link = 0; link < q->kind_count * q->kind_count; link++) {
        const double all_s = q->send_s[link];
        lspo_largest_t message = {.count = q->numbers, .number_bytes = q->number_bytes};
        if (compresses(q))
            message.kept =
                lspo_largest_kept(q->numbers, q->number_bytes, lspo_largest_ratio(q->most, all_s, slowest_s));
        s->send_s[link] = all_s > slowest_s ? (double)INFINITY
                          : !compresses(q)
                              ? all_s
                              : all_s * (double)lspo_largest_bytes(&message) / (double)(q->numbers * q->number_bytes);
    }
}

/* ---- the whole ---- */

static lspo_status_t prepare(solver_t *s)
{
    const lspo_partition_t *q = s->q;
    const size_t stages = (size_t)q->stage_count + 1;
    s->states = (q->kind_count + 1) * (q->kind_count + 1);
    s->sum_s = calloc(q->kind_count * stages, sizeof *s->sum_s);
    s->statics = calloc(stages, sizeof *s->statics);
    s->kept = calloc(stages, sizeof *s->kept);
    s->send_s = calloc((size_t)q->kind_count * q->kind_count, sizeof *s->send_s);
    if (s->sum_s == NULL || s->statics == NULL || s->kept == NULL || s->send_s == NULL)
        return lspo_no_memory("a partition of %u stages", q->stage_count);
    for (uint32_t i = 0; i < q->stage_count; i++) {
        s->statics[i + 1] = s->statics[i] + q->static_bytes[i];
        s->kept[i + 1] = s->kept[i] + q->kept_bytes[i];
        for (uint32_t k = 0; k < q->kind_count; k++)
            s->sum_s[k * stages + i + 1] = s->sum_s[k * stages + i] + q->time_s[(size_t)k * q->stage_count + i];
    }
    lspo_status_t status = make_nodes(s);
    if (status != LSPO_OK)
        return status;
    const size_t places = place_of(s, s->nodes.count, 0, 0, 0);
    s->least = malloc(places * sizeof *s->least);
    s->from = malloc(places * sizeof *s->from);
    return s->least != NULL && s->from != NULL ? LSPO_OK
                                               : lspo_no_memory("a partition among %u sets of peers", s->nodes.count);
}

/* Times that are equal but for rounding are equal. */
static const double rounding = 1e-12;

/* A round for each time of the slowest link: first the least T of all, then the least sum with it. */
static lspo_status_t solve_rounds(solver_t *s, uint32_t rounds, const double *slowest_s, lspo_partition_found_t *found)
{
    lspo_status_t status = LSPO_OK;
    found->bottleneck_s = found->alone_s = INFINITY;
    for (uint32_t i = 0; i < rounds; i++) {
        set_links(s, slowest_s[i]);
        search(s, false, found->bottleneck_s);
        found->bottleneck_s = fmin(found->bottleneck_s, s->best);
    }
    for (uint32_t i = 0; isfinite(found->bottleneck_s) && status == LSPO_OK && i < rounds; i++) {
        set_links(s, slowest_s[i]);
        search(s, true, found->bottleneck_s * (1 + rounding));
        if (!(s->best < found->alone_s))
            continue;
        found->alone_s = s->best;
        lspo_chain_release(&found->chain);
        status = write_chain(s, s->best_place, &found->chain);
    }
    return status;
}

static lspo_status_t solve(const lspo_partition_t *question, bool in_order, lspo_partition_found_t *found_out)
{
    solver_t s = {.q = question, .in_order = in_order};
    lspo_partition_found_t found = {.any_order = !in_order};
    double *slowest_s = malloc(((size_t)question->kind_count * question->kind_count + 1) * sizeof *slowest_s);
    lspo_status_t status = slowest_s != NULL ? prepare(&s) : lspo_no_memory("%u kinds of peers", question->kind_count);
    if (status == LSPO_OK)
        status = solve_rounds(&s, list_slowest(question, slowest_s), slowest_s, &found);
    free(slowest_s);
    free(s.send_s);
    free(s.from);
    free(s.least);
    free(s.kept);
    free(s.statics);
    free(s.sum_s);
    free(s.nodes.behind);
    free(s.nodes.next);
    if (status == LSPO_OK)
        *found_out = found;
    else
        lspo_chain_release(&found.chain);
    return status;
}

/* ---- too many sets of peers ---- */

/* The kinds of the fastest peers, in the order of the file. */
typedef struct {
    uint32_t kinds[LSPO_PARTITION_LISTED], counts[LSPO_PARTITION_LISTED], kind_count;
} few_t;

static double whole_time(const lspo_partition_t *q, uint32_t kind)
{
    double sum_s = 0;
    for (uint32_t i = 0; i < q->stage_count; i++)
        sum_s += q->time_s[(size_t)kind * q->stage_count + i];
    return sum_s;
}

/* The fastest kind with memory that is not taken yet; the first of equal ones, or kind_count. */
static uint32_t fastest_kind(const lspo_partition_t *q, const bool *taken)
{
    uint32_t best = q->kind_count;
    for (uint32_t k = 0; k < q->kind_count; k++)
        if (!taken[k] && q->memory_bytes[k] > 0 && (best == q->kind_count || whole_time(q, k) < whole_time(q, best)))
            best = k;
    return best;
}

static void choose_few(const lspo_partition_t *q, few_t *few)
{
    uint32_t counts[LSPO_PEER_KINDS_MAX] = {0}, room = LSPO_PARTITION_LISTED;
    bool taken[LSPO_PEER_KINDS_MAX] = {false};
    for (uint32_t k; room > 0 && (k = fastest_kind(q, taken)) < q->kind_count; room -= counts[k]) {
        taken[k] = true;
        counts[k] = usable(q, k) < room ? usable(q, k) : room;
    }
    for (uint32_t k = 0; k < q->kind_count; k++)
        if (counts[k] > 0) {
            few->kinds[few->kind_count] = k;
            few->counts[few->kind_count++] = counts[k];
        }
}

static lspo_status_t solve_few(const lspo_partition_t *q, lspo_partition_found_t *found_out)
{
    few_t few = {0};
    choose_few(q, &few);
    const size_t n = few.kind_count;
    if (n == 0) {
        *found_out = (lspo_partition_found_t){.bottleneck_s = INFINITY};
        return LSPO_OK;
    }
    double *time_s = malloc((n * q->stage_count + 2 * n * n + n) * sizeof *time_s);
    if (time_s == NULL)
        return lspo_no_memory("a partition of %u stages", q->stage_count);
    double *send_s = time_s + n * q->stage_count, *latency_s = send_s + n * n, *memory_bytes = latency_s + n * n;
    for (size_t a = 0; a < n; a++) {
        memcpy(time_s + a * q->stage_count, q->time_s + (size_t)few.kinds[a] * q->stage_count,
               q->stage_count * sizeof *time_s);
        memory_bytes[a] = q->memory_bytes[few.kinds[a]];
        for (size_t b = 0; b < n; b++) {
            send_s[a * n + b] = q->send_s[(size_t)few.kinds[a] * q->kind_count + few.kinds[b]];
            latency_s[a * n + b] = q->latency_s[(size_t)few.kinds[a] * q->kind_count + few.kinds[b]];
        }
    }
    lspo_partition_t part = *q;
    part.kind_count = few.kind_count;
    part.counts = few.counts;
    part.time_s = time_s;
    part.send_s = send_s;
    part.latency_s = latency_s;
    part.memory_bytes = memory_bytes;
    lspo_status_t status = solve(&part, true, found_out);
    for (uint32_t i = 0; status == LSPO_OK && i < found_out->chain.count; i++)
        found_out->chain.peers[i].kind = few.kinds[found_out->chain.peers[i].kind];
    free(time_s);
    return status;
}

lspo_status_t lspo_partition_solve(const lspo_partition_t *question, lspo_partition_found_t *found_out)
{
    double sets = pow(question->kind_count, 3);
    for (uint32_t k = 0; k < question->kind_count; k++)
        sets *= usable(question, k) + 1;
    return sets <= LSPO_PARTITION_SETS ? solve(question, false, found_out) : solve_few(question, found_out);
}
