/* The partition of a model over peers: against every chain there is, on random small cases; and by its bounds. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim/partition.h"

enum { KINDS_MAX = 12, STAGES_MAX = 24 };

typedef struct {
    lspo_partition_t q;
    uint32_t counts[KINDS_MAX];
    double time_s[KINDS_MAX * STAGES_MAX], send_s[KINDS_MAX * KINDS_MAX], latency_s[KINDS_MAX * KINDS_MAX];
    double memory_bytes[KINDS_MAX];
    uint64_t static_bytes[STAGES_MAX], kept_bytes[STAGES_MAX], passing_bytes[STAGES_MAX];
} case_t;

static uint64_t drawn = 1;
static uint32_t draw(uint32_t below)
{
    drawn = drawn * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(drawn >> 33) % below;
}

static void point(case_t *c, uint32_t kinds, uint32_t stages, uint32_t micros, bool gpipe)
{
    c->q = (lspo_partition_t){.kind_count = kinds,
                              .stage_count = stages,
                              .micros = micros,
                              .gpipe = gpipe,
                              .counts = c->counts,
                              .time_s = c->time_s,
                              .send_s = c->send_s,
                              .latency_s = c->latency_s,
                              .memory_bytes = c->memory_bytes,
                              .static_bytes = c->static_bytes,
                              .kept_bytes = c->kept_bytes,
                              .passing_bytes = c->passing_bytes};
}

/* ---- every chain ---- */

typedef struct {
    const case_t *c;
    bool in_order; /* of the kinds */
    uint32_t used[KINDS_MAX];
    lspo_chain_peer_t peers[STAGES_MAX]; /* from the last peer on */
    uint32_t count;
    double best_s, best_alone_s;
} search_t;

/* Of the slowest link's numbers one in R, of others as many as pass in that time, with indices of 4 bytes; or all. */
static double sent_s(const case_t *c, double all_s, double slowest_s)
{
    if (c->q.most <= 1 || all_s == 0)
        return all_s;
    const double one_in = fmax(c->q.most / (slowest_s / all_s), 1);
    const double sent = ceil((double)c->q.numbers / one_in - 1e-9), bytes = (double)c->q.number_bytes;
    return fmin(all_s, all_s * sent * (bytes + 4) / ((double)c->q.numbers * bytes));
}

/* Of peer i from the end, written out again: its stages end before `end`. */
static bool rate(const case_t *c, const lspo_chain_peer_t *peers, uint32_t count, double *bottleneck_out,
                 double *alone_out)
{
    const uint32_t kinds = c->q.kind_count;
    uint32_t end = c->q.stage_count;
    double slowest_s = 0;
    for (uint32_t i = 1; i < count; i++)
        slowest_s = fmax(slowest_s, c->send_s[peers[i].kind * kinds + peers[i - 1].kind]);
    *bottleneck_out = *alone_out = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t k = peers[i].kind, first = end - peers[i].stages;
        const uint64_t held = c->q.gpipe || c->q.micros < i + 1 ? c->q.micros : i + 1;
        double compute_s = 0, send_s = 0;
        uint64_t bytes = 0, passing = 0;
        for (uint32_t s = first; s < end; s++) {
            compute_s += c->time_s[k * c->q.stage_count + s];
            bytes += c->static_bytes[s] + held * c->kept_bytes[s];
            passing = c->passing_bytes[s] > passing ? c->passing_bytes[s] : passing;
        }
        bytes += i > 0 ? held * c->q.message_bytes : 0;
        if ((double)(bytes + passing) > c->memory_bytes[k])
            return false;
        if (i > 0)
            send_s += sent_s(c, c->send_s[k * kinds + peers[i - 1].kind], slowest_s);
        if (i > 0)
            *alone_out += c->latency_s[k * kinds + peers[i - 1].kind];
        if (i + 1 < count)
            send_s += sent_s(c, c->send_s[k * kinds + peers[i + 1].kind], slowest_s);
        if (i + 1 < count)
            *alone_out += c->latency_s[k * kinds + peers[i + 1].kind];
        *bottleneck_out = fmax(*bottleneck_out, fmax(compute_s, send_s));
        *alone_out += compute_s + send_s;
        end = first;
    }
    return true;
}

static void search(search_t *s, uint32_t left)
{
    double bottleneck_s, alone_s;
    if (left == 0) {
        if (!rate(s->c, s->peers, s->count, &bottleneck_s, &alone_s))
            return;
        const bool same = fabs(bottleneck_s - s->best_s) <= 1e-12 * s->best_s;
        if (!same && bottleneck_s > s->best_s)
            return;
        s->best_alone_s = same ? fmin(s->best_alone_s, alone_s) : alone_s;
        s->best_s = fmin(s->best_s, bottleneck_s);
        return;
    }
    for (uint32_t k = 0; k < s->c->q.kind_count; k++) {
        if (s->used[k] == s->c->counts[k] || (s->in_order && s->count > 0 && k > s->peers[s->count - 1].kind))
            continue;
        s->used[k]++;
        for (uint32_t stages = 1; stages <= left; stages++) {
            s->peers[s->count++] = (lspo_chain_peer_t){k, stages};
            search(s, left - stages);
            s->count--;
        }
        s->used[k]--;
    }
}

static search_t search_all(const case_t *c, bool in_order)
{
    search_t s = {.c = c, .in_order = in_order, .best_s = INFINITY, .best_alone_s = INFINITY};
    search(&s, c->q.stage_count);
    return s;
}

/* The chain that was found has the times that are claimed. */
static void expect_true(const case_t *c, const lspo_partition_found_t *found)
{
    lspo_chain_peer_t peers[STAGES_MAX];
    uint32_t used[KINDS_MAX] = {0}, stages = 0;
    double bottleneck_s = 0, alone_s = 0;
    for (uint32_t i = 0; i < found->chain.count; i++) {
        peers[found->chain.count - 1 - i] = found->chain.peers[i];
        stages += found->chain.peers[i].stages;
        used[found->chain.peers[i].kind]++;
    }
    for (uint32_t k = 0; k < c->q.kind_count; k++)
        cr_expect_leq(used[k], c->counts[k]);
    cr_expect_eq(stages, c->q.stage_count);
    cr_expect(rate(c, peers, found->chain.count, &bottleneck_s, &alone_s), "it fits");
    cr_expect_float_eq(bottleneck_s, found->bottleneck_s, 1e-12 * bottleneck_s);
    cr_expect_float_eq(alone_s, found->alone_s, 1e-9 * alone_s);
}

/* Times of few values, so that there are many ties; memory from too little to plenty. */
static void draw_case(case_t *c, uint32_t kinds, uint32_t peers_each, uint32_t stages)
{
    *c = (case_t){0};
    point(c, kinds, stages, 1 + draw(5), draw(4) == 0);
    const uint32_t sends = draw(12), memory = 20 + draw(100);
    c->q.message_bytes = draw(4);
    for (uint32_t s = 0; s < stages; s++) {
        c->static_bytes[s] = 1 + draw(20);
        c->kept_bytes[s] = draw(6);
        c->passing_bytes[s] = draw(10);
    }
    for (uint32_t k = 0; k < kinds; k++) {
        c->counts[k] = 1 + draw(peers_each);
        c->memory_bytes[k] = draw(8) == 0 ? 0 : memory / 2 + draw(memory);
        const double speed = 1 + draw(4);
        for (uint32_t s = 0; s < stages; s++)
            c->time_s[k * stages + s] = (1 + draw(5)) / speed;
        for (uint32_t q = 0; q <= k; q++) {
            c->send_s[k * kinds + q] = c->send_s[q * kinds + k] = 0.25 * draw(sends + 1);
            c->latency_s[k * kinds + q] = 0.1 * draw(4);
        }
    }
}

Test(partition, no_chain_is_better)
{
    uint32_t feasible = 0, refused = 0;
    for (int i = 0; i < 1500; i++) {
        case_t c;
        lspo_partition_found_t found = {0};
        draw_case(&c, 1 + draw(3), 2, 1 + draw(6));
        const search_t all = search_all(&c, false);
        cr_assert_eq(lspo_partition_solve(&c.q, &found), LSPO_OK);
        cr_expect(found.any_order);
        if (isinf(all.best_s)) {
            cr_expect_eq(found.chain.count, 0);
            refused++;
            continue;
        }
        cr_assert_gt(found.chain.count, 0, "case %d", i);
        expect_true(&c, &found);
        cr_expect_float_eq(found.bottleneck_s, all.best_s, 1e-12 * all.best_s, "case %d: %g, best %g", i,
                           found.bottleneck_s, all.best_s);
        cr_expect_float_eq(found.alone_s, all.best_alone_s, 1e-9 * all.best_alone_s, "case %d: alone %g, best %g", i,
                           found.alone_s, all.best_alone_s);
        feasible++;
        lspo_chain_release(&found.chain);
    }
    cr_expect_gt(feasible, 700);
    cr_expect_gt(refused, 50);
}

/* With compressed links, whose messages follow from the slowest link of each chain. */
Test(partition, no_chain_with_compressed_links_is_better)
{
    uint32_t feasible = 0, faster = 0;
    for (int i = 0; i < 600; i++) {
        case_t c;
        lspo_partition_found_t found = {0}, plain = {0};
        draw_case(&c, 1 + draw(3), 2, 1 + draw(6));
        cr_assert_eq(lspo_partition_solve(&c.q, &plain), LSPO_OK);
        c.q.most = 1 + draw(12);
        c.q.numbers = 96;
        c.q.number_bytes = draw(2) ? 4 : 2;
        const search_t all = search_all(&c, false);
        cr_assert_eq(lspo_partition_solve(&c.q, &found), LSPO_OK);
        cr_assert_eq(found.chain.count > 0, isfinite(all.best_s), "case %d", i);
        if (found.chain.count == 0)
            continue;
        expect_true(&c, &found);
        cr_expect_float_eq(found.bottleneck_s, all.best_s, 1e-12 * all.best_s, "case %d: %g, best %g", i,
                           found.bottleneck_s, all.best_s);
        cr_expect_float_eq(found.alone_s, all.best_alone_s, 1e-9 * all.best_alone_s, "case %d: alone %g, best %g", i,
                           found.alone_s, all.best_alone_s);
        cr_expect_leq(found.bottleneck_s, plain.bottleneck_s * (1 + 1e-12));
        faster += found.bottleneck_s < plain.bottleneck_s * 0.99;
        feasible++;
        lspo_chain_release(&found.chain);
        lspo_chain_release(&plain.chain);
    }
    cr_expect_gt(feasible, 300);
    cr_expect_gt(faster, 30);
}

/* Ten kinds have too many sets: then the order is that of the file.  With room for all micro-batches anywhere nothing
 * in that order is better; with little memory what is found fits. */
Test(partition, many_kinds_keep_their_order)
{
    uint32_t feasible = 0;
    for (int i = 0; i < 60; i++) {
        case_t c;
        lspo_partition_found_t found = {0};
        draw_case(&c, 10, 1, 5);
        for (uint32_t k = 0; i % 2 == 0 && k < 10; k++)
            c.memory_bytes[k] = 1e9;
        cr_assert_eq(lspo_partition_solve(&c.q, &found), LSPO_OK);
        cr_expect_not(found.any_order);
        cr_expect(i % 2 > 0 || found.chain.count > 0);
        if (found.chain.count == 0)
            continue;
        expect_true(&c, &found);
        for (uint32_t p = 1; p < found.chain.count; p++)
            cr_expect_gt(found.chain.peers[p].kind, found.chain.peers[p - 1].kind);
        const search_t all = search_all(&c, true);
        if (i % 2 == 0)
            cr_expect_float_eq(found.bottleneck_s, all.best_s, 1e-12 * all.best_s, "case %d: %g, best %g", i,
                               found.bottleneck_s, all.best_s);
        feasible++;
        lspo_chain_release(&found.chain);
    }
    cr_expect_gt(feasible, 30);
}

/* ---- bounds ---- */

/* P peers of speeds F_k, stages of work w, links that take no time: T is at least sum w / sum F; and since a peer that
 * takes stages while it is within T leaves less than one behind, T <= sum w / sum F + max w / min F.  So with many
 * small stages the throughput is the sum of the rates. */
static void expect_bounds(uint32_t kinds, uint32_t stages)
{
    case_t c = {0};
    lspo_partition_found_t found = {0};
    double work = 0, largest = 0, speed = 0, slowest = INFINITY, works[STAGES_MAX];
    point(&c, kinds, stages, 4, false);
    for (uint32_t s = 0; s < stages; s++) {
        works[s] = 1 + 0.01 * draw(200);
        work += works[s];
        largest = fmax(largest, works[s]);
    }
    for (uint32_t k = 0; k < kinds; k++) {
        const double own = 0.5 + 0.01 * draw(300);
        c.counts[k] = 1 + draw(kinds == 1 ? 8 : 3);
        c.memory_bytes[k] = 1e9;
        speed += c.counts[k] * own;
        slowest = fmin(slowest, own);
        for (uint32_t s = 0; s < stages; s++)
            c.time_s[k * stages + s] = works[s] / own;
    }
    cr_assert_eq(lspo_partition_solve(&c.q, &found), LSPO_OK);
    cr_expect_geq(found.bottleneck_s, work / speed * (1 - 1e-12));
    cr_expect_leq(found.bottleneck_s, work / speed + largest / slowest);
    lspo_chain_release(&found.chain);
}

Test(partition, is_within_an_operator_of_the_sum_of_rates)
{
    for (int i = 0; i < 100; i++) {
        expect_bounds(1, 24);
        expect_bounds(3, 20);
    }
}

/* Slower links never make it faster; below the rate at which they take as long as the stages they decide alone. */
Test(partition, slow_links_decide_at_last)
{
    double before_s = 0;
    for (int i = 0; i < 12; i++) {
        case_t c = {0};
        lspo_partition_found_t found = {0};
        point(&c, 1, 12, 4, false);
        c.counts[0] = 6;
        c.memory_bytes[0] = 1e9;
        c.send_s[0] = 0.125 * (1 << i);
        for (uint32_t s = 0; s < 12; s++)
            c.time_s[s] = 1;
        cr_assert_eq(lspo_partition_solve(&c.q, &found), LSPO_OK);
        /* Six peers take 2 each, four or five 3, three 4, two 6, one 12; with two each sends once, with more twice. */
        const double twice_s = 2 * c.send_s[0];
        const double best_s = fmin(fmin(fmax(2, twice_s), fmax(4, twice_s)), fmin(fmax(6, c.send_s[0]), 12));
        cr_expect_eq(found.bottleneck_s, best_s, "send %g: %g", c.send_s[0], found.bottleneck_s);
        cr_expect_geq(found.bottleneck_s, before_s);
        cr_expect_leq(found.bottleneck_s, 12);
        before_s = found.bottleneck_s;
        lspo_chain_release(&found.chain);
    }
    cr_expect_eq(before_s, 12, "one peer alone");
}
