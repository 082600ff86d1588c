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

/* What finding the heads needs, besides them. */
typedef struct {
    int64_t *path_ns;       /* by op: the longest path from its end to the op whose head is sought; -1: none */
    uint32_t *listed;       /* the ops of each lane with known heads, in the order of heads, from dag->lane_first */
    uint32_t *listed_count; /* by lane */
    uint64_t *served_ns;    /* by op: its end where its lane serves all that is listed in that order */
    bool *may_raise;        /* by lane: may its ops raise the head that is sought? */
    lspo_job_t *jobs;
    lspo_waiting_job_t *waiting;
} scratch_t;

static void release_scratch(scratch_t *scratch)
{
    free(scratch->waiting);
    free(scratch->jobs);
    free(scratch->may_raise);
    free(scratch->served_ns);
    free(scratch->listed_count);
    free(scratch->listed);
    free(scratch->path_ns);
}

static lspo_status_t create_scratch(const lspo_heads_dag_t *dag, scratch_t *scratch)
{
    size_t count = (size_t)dag->count + 1;
    *scratch = (scratch_t){.path_ns = malloc(count * sizeof *scratch->path_ns),
                           .listed = malloc(count * sizeof *scratch->listed),
                           .listed_count = calloc((size_t)dag->lane_count + 1, sizeof *scratch->listed_count),
                           .served_ns = malloc(count * sizeof *scratch->served_ns),
                           .may_raise = malloc(((size_t)dag->lane_count + 1) * sizeof *scratch->may_raise),
                           .jobs = malloc(count * sizeof *scratch->jobs),
                           .waiting = malloc(2 * count * sizeof *scratch->waiting)};
    if (!scratch->path_ns || !scratch->listed || !scratch->listed_count || !scratch->served_ns || !scratch->may_raise ||
        !scratch->jobs || !scratch->waiting)
        return lspo_no_memory("a window of %u ops", dag->count);
    return LSPO_OK;
}

static void list_op(const lspo_heads_dag_t *dag, const uint64_t *head_ns, uint32_t op, scratch_t *scratch)
{
    uint32_t *list = scratch->listed + dag->lane_first[dag->lane[op]], at = scratch->listed_count[dag->lane[op]]++;
    for (; at > 0 && head_ns[list[at - 1]] > head_ns[op]; at--)
        list[at] = list[at - 1];
    list[at] = op;
    uint64_t now_ns = at > 0 ? scratch->served_ns[list[at - 1]] : 0;
    for (; at < scratch->listed_count[dag->lane[op]]; at++) {
        now_ns = (head_ns[list[at]] > now_ns ? head_ns[list[at]] : now_ns) + dag->work_ns[list[at]];
        scratch->served_ns[list[at]] = now_ns;
    }
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

/* The larger of `known_ns` and Jackson's schedule of the listed ops of one lane, block by block; those with a negative
 * tail are left out. */
static uint64_t raise_to_lane_ns(const lspo_heads_dag_t *dag, uint32_t lane, const uint64_t *head_ns,
                                 const int64_t *tail_ns, uint64_t known_ns, scratch_t *scratch)
{
    const uint32_t *list = scratch->listed + dag->lane_first[lane];
    const uint32_t listed = scratch->listed_count[lane];
    block_t block = {.falls = true};
    for (uint32_t i = 0; i < listed; i++) {
        const uint32_t op = list[i];
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

/* The longest paths from the ends of all ops before `op` to its start, and which lanes may raise its head above
 * `known_ns`: to serve all listed ops in the order of their heads takes no less than to serve some of them. */
static void find_paths(const lspo_heads_dag_t *dag, uint32_t op, uint64_t known_ns, scratch_t *scratch)
{
    int64_t *path_ns = scratch->path_ns;
    for (uint32_t lane = 0; lane < dag->lane_count; lane++)
        scratch->may_raise[lane] = false;
    for (uint32_t i = 0; i < op; i++)
        path_ns[i] = -1;
    path_ns[op] = -(int64_t)dag->work_ns[op];
    for (uint32_t i = op + 1; i-- > 0;) {
        int64_t through_ns = path_ns[i] + (int64_t)dag->work_ns[i];
        if (i < op && path_ns[i] < 0)
            continue;
        if (i < op && scratch->served_ns[i] + (uint64_t)path_ns[i] > known_ns)
            scratch->may_raise[dag->lane[i]] = true;
        for (uint32_t d = dag->dep_first[i]; d < dag->dep_first[i + 1]; d++)
            if (path_ns[dag->deps[d]] < through_ns)
                path_ns[dag->deps[d]] = through_ns;
    }
}

/* The least time to the start of `op`, which is at least `path_ns`, by the lanes of the ops before it. */
static uint64_t busy_head_ns(const lspo_heads_dag_t *dag, uint32_t op, const uint64_t *head_ns, uint64_t path_ns,
                             scratch_t *scratch)
{
    uint64_t most_ns = path_ns;
    find_paths(dag, op, path_ns, scratch);
    for (uint32_t lane = 0; lane < dag->lane_count; lane++)
        if (scratch->may_raise[lane])
            most_ns = raise_to_lane_ns(dag, lane, head_ns, scratch->path_ns, most_ns, scratch);
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
            head_ns[op] = busy_head_ns(dag, op, head_ns, head_ns[op], scratch);
        list_op(dag, head_ns, op, scratch);
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
        status = create_scratch(&reversed, &scratch);
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
        status = create_scratch(dag, &scratch);
    if (status != LSPO_OK)
        goto release;
    find_heads(dag, &scratch, head_ns);
    for (uint32_t i = 0; i < dag->count; i++)
        scratch.path_ns[i] = (int64_t)tail_ns[i];
    for (uint32_t lane = 0; lane < dag->lane_count; lane++)
        *bound_ns = raise_to_lane_ns(dag, lane, head_ns, scratch.path_ns, *bound_ns, &scratch);
release:
    release_scratch(&scratch);
    return status;
}
