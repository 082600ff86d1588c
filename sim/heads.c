/* heads.c - the least times before and behind the ops of a window, and what these take; see heads.h. */
#include "sim/heads.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sim/jackson.h"

/* Graphs */

void lspo_heads_dag_release(lspo_heads_dag_t *dag)
{
    free(dag->deps);
    free(dag->dep_first);
    free(dag->work_ns);
    free(dag->lane_first);
    free(dag->lane);
}

lspo_status_t lspo_heads_dag_create(uint32_t count, uint32_t lane_count, size_t dep_count, lspo_heads_dag_t *dag)
{
    *dag = (lspo_heads_dag_t){.count = count,
                              .lane_count = lane_count,
                              .lane = malloc(((size_t)count + 1) * sizeof *dag->lane),
                              .lane_first = calloc((size_t)lane_count + 1, sizeof *dag->lane_first),
                              .work_ns = malloc(((size_t)count + 1) * sizeof *dag->work_ns),
                              .dep_first = calloc((size_t)count + 2, sizeof *dag->dep_first),
                              .deps = malloc((dep_count + 1) * sizeof *dag->deps)};
    if (!dag->lane || !dag->lane_first || !dag->work_ns || !dag->dep_first || !dag->deps)
        return lspo_no_memory("a window of %u ops", count);
    return LSPO_OK;
}

/* Heads */

/* Ops of a lane with known heads, in their order. */
typedef struct {
    uint32_t count, waiting; /* the first of them that waits; count: none */
} list_t;

typedef struct {
    uint32_t op;
    bool waits;         /* where its lane serves all that is listed in that order, it is served right behind another */
    uint64_t served_ns; /* then: its end */
} listed_t;

/* An op and by each one before it the longest path from its end to the start of this one; negative: there is none. */
typedef struct {
    uint32_t op; /* UINT32_MAX: none yet */
    int64_t *path_ns;
} paths_t;

static const int64_t none = INT64_MIN / 2;

/* Those to the latest op of each lane; of several lanes if there are more. */
enum { PATHS = 4 };

/* What finding the heads needs, besides them. */
typedef struct {
    const uint64_t *head_ns; /* by op, of those that are listed */
    paths_t paths[PATHS];    /* by lane, modulo their number */
    int64_t *near_ns;        /* by op: a path that is sought */
    uint64_t *changed;       /* a bit for each op; 0 between searches */
    int64_t *room_ns;        /* of all paths */
    listed_t *listed;        /* of each lane, from dag->lane_first */
    list_t *lists;           /* by lane */
    lspo_job_t *jobs;
    lspo_waiting_job_t *waiting;
} scratch_t;

static void release_scratch(scratch_t *scratch)
{
    free(scratch->waiting);
    free(scratch->jobs);
    free(scratch->lists);
    free(scratch->listed);
    free(scratch->changed);
    free(scratch->room_ns);
}

static lspo_status_t create_scratch(const lspo_heads_dag_t *dag, const uint64_t *head_ns, scratch_t *scratch)
{
    size_t count = (size_t)dag->count + 1;
    *scratch = (scratch_t){.head_ns = head_ns,
                           .room_ns = malloc((PATHS + 1) * count * sizeof *scratch->room_ns),
                           .changed = calloc(count / 64 + 1, sizeof *scratch->changed),
                           .listed = malloc(count * sizeof *scratch->listed),
                           .lists = calloc((size_t)dag->lane_count + 1, sizeof *scratch->lists),
                           .jobs = malloc(count * sizeof *scratch->jobs),
                           .waiting = malloc(2 * count * sizeof *scratch->waiting)};
    if (!scratch->room_ns || !scratch->changed || !scratch->listed || !scratch->lists || !scratch->jobs ||
        !scratch->waiting)
        return lspo_no_memory("a window of %u ops", dag->count);
    for (size_t i = 0; i < PATHS; i++)
        scratch->paths[i] = (paths_t){.op = UINT32_MAX, .path_ns = scratch->room_ns + i * count};
    scratch->near_ns = scratch->room_ns + PATHS * count;
    return LSPO_OK;
}

static void list_op(const lspo_heads_dag_t *dag, uint32_t op, scratch_t *scratch)
{
    const uint64_t *head_ns = scratch->head_ns;
    listed_t *ops = scratch->listed + dag->lane_first[dag->lane[op]];
    list_t *list = &scratch->lists[dag->lane[op]];
    uint32_t at = list->count++;
    for (; at > 0 && head_ns[ops[at - 1].op] > head_ns[op]; at--)
        ops[at] = ops[at - 1];
    ops[at].op = op;
    uint64_t now_ns = at > 0 ? ops[at - 1].served_ns : 0;
    bool found = list->waiting < at;
    for (; at < list->count; at++) {
        const uint32_t its = ops[at].op;
        ops[at].waits = head_ns[its] < now_ns;
        now_ns = (ops[at].waits ? now_ns : head_ns[its]) + dag->work_ns[its];
        ops[at].served_ns = now_ns;
        list->waiting = !found && ops[at].waits ? at : list->waiting;
        found |= ops[at].waits;
    }
    list->waiting = found ? list->waiting : list->count;
}

/* Jobs of one lane between two gaps in which it serves nothing, whatever the order is: jobs[] of the scratch. */
typedef struct {
    uint32_t count, needed; /* of them in the order of heads, up to the last whose end and tail exceed what is known */
    uint64_t now_ns;        /* the end of the last one in that order */
    uint64_t length_ns;     /* of that schedule, as far as needed */
    bool falls, needed_falls; /* is no tail longer than the one before it? */
} block_t;

static void add_job(block_t *block, lspo_job_t job, uint64_t known_ns, scratch_t *scratch)
{
    block->falls &= block->count == 0 || job.tail_ns <= scratch->jobs[block->count - 1].tail_ns;
    scratch->jobs[block->count++] = job;
    block->now_ns = (job.head_ns > block->now_ns ? job.head_ns : block->now_ns) + job.work_ns;
    if (block->now_ns + job.tail_ns <= known_ns)
        return;
    block->length_ns = block->now_ns + job.tail_ns > block->length_ns ? block->now_ns + job.tail_ns : block->length_ns;
    block->needed = block->count;
    block->needed_falls = block->falls;
}

/* To serve the jobs in the order of their heads is a schedule, too: no shorter one than Jackson's, and the same where
 * tails fall.  A set of jobs that takes longer than what is known does so there, too: none is behind the last needed
 * one. */
static uint64_t raise_to_block_ns(const block_t *block, uint64_t known_ns, const scratch_t *scratch)
{
    if (block->needed == 0)
        return known_ns;
    const uint64_t length_ns =
        block->needed_falls ? block->length_ns : lspo_jackson_ns(scratch->jobs, block->needed, scratch->waiting);
    return length_ns > known_ns ? length_ns : known_ns;
}

/* The larger of `known_ns` and Jackson's schedule of these listed ops of one lane, block by block; those with a
 * negative tail are left out. */
static uint64_t raise_to_ops_ns(const lspo_heads_dag_t *dag, const listed_t *ops, uint32_t count,
                                const int64_t *tail_ns, uint64_t known_ns, scratch_t *scratch)
{
    const uint64_t *head_ns = scratch->head_ns;
    block_t block = {.falls = true};
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t op = ops[i].op;
        if (tail_ns[op] < 0)
            continue;
        if (head_ns[op] >= block.now_ns) {
            known_ns = raise_to_block_ns(&block, known_ns, scratch);
            block = (block_t){.falls = true};
        }
        add_job(&block, (lspo_job_t){head_ns[op], dag->work_ns[op], (uint64_t)tail_ns[op]}, known_ns, scratch);
    }
    return raise_to_block_ns(&block, known_ns, scratch);
}

/* The same of all listed ops of a lane; `known_ns` is at least the head, work and tail of each of them.  To serve all
 * of them in the order of their heads takes no less than to serve some of them: only where that takes more than what is
 * known, from one gap to the next, are they looked at. */
static uint64_t raise_to_lane_ns(const lspo_heads_dag_t *dag, uint32_t lane, const int64_t *tail_ns, uint64_t known_ns,
                                 scratch_t *scratch)
{
    const listed_t *ops = scratch->listed + dag->lane_first[lane];
    const list_t *list = &scratch->lists[lane];
    uint32_t begin = list->waiting - 1;
    bool may_raise = false;
    for (uint32_t i = list->waiting; i < list->count; i++) {
        if (ops[i].waits) {
            may_raise |= (int64_t)ops[i].served_ns + tail_ns[ops[i].op] > (int64_t)known_ns;
            continue;
        }
        if (may_raise)
            known_ns = raise_to_ops_ns(dag, ops + begin, i - begin, tail_ns, known_ns, scratch);
        begin = i;
        may_raise = false;
    }
    return may_raise ? raise_to_ops_ns(dag, ops + begin, list->count - begin, tail_ns, known_ns, scratch) : known_ns;
}

/* Paths */

/* Paths through `op` to ops before `end`; those that have become longer are noted. */
static void lengthen(const lspo_heads_dag_t *dag, uint32_t op, uint32_t end, const paths_t *paths, uint64_t *changed)
{
    int64_t *longest_ns = paths->path_ns;
    const int64_t through_ns = longest_ns[op] + (int64_t)dag->work_ns[op];
    for (uint32_t d = dag->dep_first[op]; d < dag->dep_first[op + 1]; d++) {
        const uint32_t before = dag->deps[d];
        if (before >= end || longest_ns[before] >= through_ns)
            continue;
        longest_ns[before] = through_ns;
        changed[before / 64] |= (uint64_t)1 << before % 64;
    }
}

static const paths_t *paths_of(const scratch_t *scratch, uint32_t op)
{
    for (int i = 0; i < PATHS; i++)
        if (scratch->paths[i].op == op)
            return &scratch->paths[i];
    return NULL;
}

/* The paths from the latest ops before `op`, down to the first one to which all paths are known: NULL if there is none.
 * These are in scratch->near_ns. */
static const paths_t *find_near(const lspo_heads_dag_t *dag, uint32_t op, scratch_t *scratch)
{
    int64_t *near_ns = scratch->near_ns;
    for (uint32_t i = 0; i < op; i++)
        near_ns[i] = none;
    near_ns[op] = -(int64_t)dag->work_ns[op];
    for (uint32_t i = op + 1; i-- > 0;) {
        if (near_ns[i] == none)
            continue;
        const paths_t *known = paths_of(scratch, i);
        if (known != NULL)
            return known;
        const int64_t through_ns = near_ns[i] + (int64_t)dag->work_ns[i];
        for (uint32_t d = dag->dep_first[i]; d < dag->dep_first[i + 1]; d++)
            if (near_ns[dag->deps[d]] < through_ns)
                near_ns[dag->deps[d]] = through_ns;
    }
    return NULL;
}

/* The longest paths to `op` from all ops before it.  Where paths to one of these are known, those go on to `op`, unless
 * others are longer. */
static void find_paths(const lspo_heads_dag_t *dag, uint32_t op, paths_t *paths, scratch_t *scratch)
{
    const paths_t *known = find_near(dag, op, scratch);
    const uint32_t first = known != NULL ? known->op : 0;
    if (known != NULL) {
        const int64_t on_ns = (int64_t)dag->work_ns[first] + scratch->near_ns[first], *known_ns = known->path_ns;
        for (uint32_t i = 0; i < first; i++)
            paths->path_ns[i] = known_ns[i] + on_ns;
    }
    memcpy(paths->path_ns + first, scratch->near_ns + first, (op + 1 - first) * sizeof *paths->path_ns);
    paths->op = op;
    for (uint32_t i = op + 1; known != NULL && i-- > first;)
        if (paths->path_ns[i] != none)
            lengthen(dag, i, first, paths, scratch->changed);
    for (uint32_t word = first / 64 + 1; word-- > 0;)
        for (uint64_t bits; (bits = scratch->changed[word]) != 0;) {
            const uint32_t last = 63 - (uint32_t)__builtin_clzll(bits);
            scratch->changed[word] = bits & ~((uint64_t)1 << last);
            lengthen(dag, word * 64 + last, first, paths, scratch->changed);
        }
}

/* The least time to the start of `op`, which is at least `path_ns`, by the lanes of the ops before it. */
static uint64_t busy_head_ns(const lspo_heads_dag_t *dag, uint32_t op, uint64_t path_ns, scratch_t *scratch)
{
    paths_t *paths = &scratch->paths[dag->lane[op] % PATHS];
    uint64_t most_ns = path_ns;
    find_paths(dag, op, paths, scratch);
    for (uint32_t lane = 0; lane < dag->lane_count; lane++)
        most_ns = raise_to_lane_ns(dag, lane, paths->path_ns, most_ns, scratch);
    return most_ns;
}

/* Where paths join, lanes are looked at: at every step-th of these ops, so that the time stays bounded. */
static uint32_t joins_step(const lspo_heads_dag_t *dag)
{
    enum { WORK_MOST = 1 << 20 };
    uint64_t joins = 0;
    for (uint32_t i = 0; i < dag->count; i++)
        joins += dag->dep_first[i + 1] - dag->dep_first[i] > 1;
    return (uint32_t)(joins * dag->count / WORK_MOST) + 1;
}

/* All heads; all ops are listed then. */
static void find_heads(const lspo_heads_dag_t *dag, scratch_t *scratch, uint64_t *head_ns)
{
    uint32_t step = joins_step(dag), joins = 0;
    for (uint32_t op = 0; op < dag->count; op++) {
        head_ns[op] = 0;
        for (uint32_t d = dag->dep_first[op]; d < dag->dep_first[op + 1]; d++) {
            uint64_t end_ns = head_ns[dag->deps[d]] + dag->work_ns[dag->deps[d]];
            head_ns[op] = end_ns > head_ns[op] ? end_ns : head_ns[op];
        }
        if (dag->dep_first[op + 1] - dag->dep_first[op] > 1 && (joins++ % step == 0 || op + 1 == dag->count))
            head_ns[op] = busy_head_ns(dag, op, head_ns[op], scratch);
        list_op(dag, op, scratch);
    }
}

/* Tails, and the bound */

/* The same ops in reverse order: index i is count - 1 - i there, and dependencies point the other way. */
static lspo_status_t reverse_dag(const lspo_heads_dag_t *dag, lspo_heads_dag_t *reversed)
{
    uint32_t count = dag->count;
    lspo_status_t status = lspo_heads_dag_create(count, dag->lane_count, dag->dep_first[count], reversed);
    if (status != LSPO_OK)
        return status;
    memcpy(reversed->lane_first, dag->lane_first, ((size_t)dag->lane_count + 1) * sizeof *dag->lane_first);
    uint32_t *next =
        reversed->dep_first + 1; /* the place of an op's next dependency, in the end that behind its last */
    for (uint32_t d = 0; d < dag->dep_first[count]; d++)
        if (count - 1 - dag->deps[d] + 1 < count)
            next[count - 1 - dag->deps[d] + 1]++;
    for (uint32_t i = 1; i < count; i++)
        next[i] += next[i - 1];
    for (uint32_t i = 0; i < count; i++) {
        reversed->lane[count - 1 - i] = dag->lane[i];
        reversed->work_ns[count - 1 - i] = dag->work_ns[i];
        for (uint32_t d = dag->dep_first[i]; d < dag->dep_first[i + 1]; d++)
            reversed->deps[next[count - 1 - dag->deps[d]]++] = count - 1 - i;
    }
    return LSPO_OK;
}

static lspo_status_t find_tails(const lspo_heads_dag_t *dag, uint64_t *tail_ns)
{
    lspo_heads_dag_t reversed = {0};
    scratch_t scratch = {0};
    lspo_status_t status = reverse_dag(dag, &reversed);
    if (status == LSPO_OK)
        status = create_scratch(&reversed, tail_ns, &scratch);
    if (status == LSPO_OK)
        find_heads(&reversed, &scratch, tail_ns);
    release_scratch(&scratch);
    lspo_heads_dag_release(&reversed);
    for (uint32_t i = 0; status == LSPO_OK && i < dag->count / 2; i++) {
        uint64_t swapped_ns = tail_ns[i];
        tail_ns[i] = tail_ns[dag->count - 1 - i];
        tail_ns[dag->count - 1 - i] = swapped_ns;
    }
    return status;
}

lspo_status_t lspo_heads_bound(const lspo_heads_dag_t *dag, uint64_t *head_ns, uint64_t *tail_ns, uint64_t *bound_ns)
{
    scratch_t scratch = {0};
    lspo_status_t status = find_tails(dag, tail_ns);
    if (status == LSPO_OK)
        status = create_scratch(dag, head_ns, &scratch);
    if (status != LSPO_OK)
        goto release;
    find_heads(dag, &scratch, head_ns);
    for (uint32_t i = 0; i < dag->count; i++) {
        const uint64_t through_ns = head_ns[i] + dag->work_ns[i] + tail_ns[i];
        *bound_ns = through_ns > *bound_ns ? through_ns : *bound_ns;
        scratch.near_ns[i] = (int64_t)tail_ns[i];
    }
    for (uint32_t lane = 0; lane < dag->lane_count; lane++)
        *bound_ns = raise_to_lane_ns(dag, lane, scratch.near_ns, *bound_ns, &scratch);
release:
    release_scratch(&scratch);
    return status;
}
