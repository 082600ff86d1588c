/* broker.c - see broker.h. */
#include "sim/broker.h"

#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

typedef enum {
    EVENT_LEAVES,  /* peer */
    EVENT_COMES,   /* peer */
    EVENT_MISSED,  /* pipeline, part: its peer has not answered for timeout_s */
    EVENT_LOADED,  /* pipeline, part */
    EVENT_GIVE_UP, /* pipeline, part */
    EVENT_RAN,     /* pipeline: its micro-batches have gone through */
    EVENT_UPDATED  /* all */
} event_kind_t;

typedef struct {
    double time_s;
    uint64_t number; /* ties: the first that was planned */
    event_kind_t kind;
    uint32_t peer, pipeline, part, stamp;
} event_t;

enum { NOBODY = UINT32_MAX };

typedef struct {
    bool backup;             /* it waits for a part */
    uint32_t pipeline, part; /* which it has or loads; NOBODY: none */
    uint32_t stamp;          /* counts its returns */
} peer_t;

typedef struct {
    uint32_t peer;    /* that has or loads it; NOBODY: none */
    bool loaded;      /* it has it */
    uint32_t version; /* if it has */
    uint32_t stamp;   /* counts losses: an event with an older one is void */
} part_t;

typedef struct {
    uint32_t *run, run_count; /* micro-batches that go through, in order */
    double begun_s;
    bool runs, done;
    uint32_t stamp;
} pipeline_t;

/* Backups, or parts that wait for one, in their order. */
typedef struct {
    uint32_t first, second, stamp; /* peer; or pipeline and part */
    double since_s;
} waiter_t;
typedef struct {
    waiter_t *list;
    size_t capacity, begin, end;
} queue_t;

typedef struct {
    const lspo_broker_job_t *job;
    lspo_broker_outcome_t outcome;
    gsl_rng *random;
    event_t *heap;
    size_t heap_capacity, heap_count;
    uint64_t planned;
    double now_s;
    peer_t *peers;
    part_t *parts;         /* [pipeline][part] */
    pipeline_t *pipelines; /* their runs owned by runs */
    uint32_t *runs;
    uint8_t *sums;  /* [pipeline][part][micro]: is it in the sum? */
    uint8_t *whole; /* [pipeline][micro]: has it gone through in this step? */
    queue_t backups, lacking;
    uint32_t version, saved, update_stamp;
    bool over;
} broker_t;

/* ---- events ---- */

static bool precedes(const event_t *a, const event_t *b)
{
    return a->time_s != b->time_s ? a->time_s < b->time_s : a->number < b->number;
}

static lspo_status_t plan_event(broker_t *b, double delay_s, event_t event)
{
    lspo_status_t status =
        lspo_array_grow(&b->heap, &b->heap_capacity, b->heap_count + 1, sizeof *b->heap, "events of peers");
    if (status != LSPO_OK)
        return status;
    event.time_s = b->now_s + delay_s;
    event.number = b->planned++;
    size_t at = b->heap_count++;
    for (; at > 0 && precedes(&event, &b->heap[(at - 1) / 2]); at = (at - 1) / 2)
        b->heap[at] = b->heap[(at - 1) / 2];
    b->heap[at] = event;
    return LSPO_OK;
}

static event_t next_event(broker_t *b)
{
    const event_t first = b->heap[0], last = b->heap[--b->heap_count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < b->heap_count; at = child) {
        if (child + 1 < b->heap_count && precedes(&b->heap[child + 1], &b->heap[child]))
            child++;
        if (!precedes(&b->heap[child], &last))
            break;
        b->heap[at] = b->heap[child];
    }
    b->heap[at] = last;
    return first;
}

static void tell(const broker_t *b, lspo_broker_event_kind_t kind, uint32_t pipeline, uint32_t part, uint32_t micro,
                 uint32_t version)
{
    const lspo_broker_event_t event = {kind, b->now_s, pipeline, part, micro, version};
    if (b->job->watch != NULL)
        b->job->watch(b->job->context, &event);
}

/* ---- queues ---- */

static lspo_status_t enqueue(queue_t *queue, waiter_t waiter)
{
    if (queue->begin > 0 && queue->begin >= queue->end / 2) { /* what has been taken is half of it or more */
        memmove(queue->list, queue->list + queue->begin, (queue->end - queue->begin) * sizeof *queue->list);
        queue->end -= queue->begin;
        queue->begin = 0;
    }
    lspo_status_t status =
        lspo_array_grow(&queue->list, &queue->capacity, queue->end + 1, sizeof *queue->list, "peers");
    if (status == LSPO_OK)
        queue->list[queue->end++] = waiter;
    return status;
}

/* The backup that has waited longest, or NOBODY. */
static uint32_t take_backup(broker_t *b)
{
    while (b->backups.begin < b->backups.end) {
        const waiter_t waiter = b->backups.list[b->backups.begin++];
        if (b->peers[waiter.first].backup && b->peers[waiter.first].stamp == waiter.stamp)
            return waiter.first;
    }
    return NOBODY;
}

/* ---- sums ---- */

static part_t *part_of(const broker_t *b, uint32_t pipeline, uint32_t part)
{
    return &b->parts[(size_t)pipeline * b->job->parts + part];
}

static uint8_t *sum_of(const broker_t *b, uint32_t pipeline, uint32_t part)
{
    return &b->sums[((size_t)pipeline * b->job->parts + part) * b->job->micros];
}

/* What has come to each part since the run began: the backward pass goes from the last part to the first in the second
 * half of alone_s.  A part that has it already does not add it again. */
static void add_sums(broker_t *b, uint32_t r)
{
    const pipeline_t *pipeline = &b->pipelines[r];
    for (uint32_t i = 0; i < pipeline->run_count; i++) {
        const uint32_t micro = pipeline->run[i];
        const double end_s = pipeline->begun_s + b->job->alone_s + i * b->job->micro_s;
        for (uint32_t p = 0; p < b->job->parts; p++) {
            const double there_s = end_s - 0.5 * b->job->alone_s * p / b->job->parts;
            uint8_t *has = &sum_of(b, r, p)[micro];
            if (there_s > b->now_s * (1 + 1e-12) || *has || !part_of(b, r, p)->loaded)
                continue;
            *has = 1;
            tell(b, LSPO_BROKER_ADD, r, p, micro, part_of(b, r, p)->version);
        }
        if (end_s <= b->now_s * (1 + 1e-12))
            b->whole[(size_t)r * b->job->micros + micro] = 1;
    }
}

static void stop_run(broker_t *b, uint32_t r)
{
    if (b->pipelines[r].runs)
        add_sums(b, r);
    b->pipelines[r].runs = b->pipelines[r].done = false;
    b->pipelines[r].stamp++;
    b->update_stamp++;
}

/* Run what some part lacks, if all parts are there. */
static lspo_status_t start_run(broker_t *b, uint32_t r)
{
    const lspo_broker_job_t *job = b->job;
    pipeline_t *pipeline = &b->pipelines[r];
    for (uint32_t p = 0; p < job->parts; p++)
        if (!part_of(b, r, p)->loaded)
            return LSPO_OK;
    pipeline->run_count = 0;
    for (uint32_t micro = 0; micro < job->micros; micro++) {
        uint32_t p = 0;
        while (p < job->parts && sum_of(b, r, p)[micro])
            p++;
        if (p == job->parts)
            continue;
        b->outcome.repeated_micros += b->whole[(size_t)r * job->micros + micro];
        pipeline->run[pipeline->run_count++] = micro;
    }
    pipeline->begun_s = b->now_s;
    pipeline->runs = true;
    const double time_s = pipeline->run_count > 0 ? job->alone_s + (pipeline->run_count - 1) * job->micro_s : 0;
    return plan_event(b, time_s, (event_t){.kind = EVENT_RAN, .pipeline = r, .stamp = pipeline->stamp});
}

static void clear_sums(broker_t *b)
{
    memset(b->sums, 0, (size_t)b->job->pipelines * b->job->parts * b->job->micros);
    memset(b->whole, 0, (size_t)b->job->pipelines * b->job->micros);
}

static lspo_status_t start_all(broker_t *b)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t r = 0; status == LSPO_OK && r < b->job->pipelines; r++)
        status = start_run(b, r);
    return status;
}

/* ---- steps ---- */

static lspo_status_t has_run(broker_t *b, const event_t *event)
{
    const lspo_broker_job_t *job = b->job;
    pipeline_t *pipeline = &b->pipelines[event->pipeline];
    if (event->stamp != pipeline->stamp)
        return LSPO_OK;
    add_sums(b, event->pipeline);
    pipeline->runs = false;
    pipeline->done = true;
    for (uint32_t r = 0; r < job->pipelines; r++)
        if (!b->pipelines[r].done)
            return LSPO_OK;
    const bool saves = (b->version + 1) % job->save_every == 0;
    return plan_event(b, saves ? job->save_s : 0, (event_t){.kind = EVENT_UPDATED, .stamp = b->update_stamp});
}

static lspo_status_t has_updated(broker_t *b, const event_t *event)
{
    if (event->stamp != b->update_stamp)
        return LSPO_OK;
    tell(b, LSPO_BROKER_UPDATE, 0, 0, 0, b->version);
    b->version++;
    b->saved = b->version % b->job->save_every == 0 ? b->version : b->saved;
    for (size_t i = 0; i < (size_t)b->job->pipelines * b->job->parts; i++)
        b->parts[i].version = b->version;
    for (uint32_t r = 0; r < b->job->pipelines; r++)
        b->pipelines[r].done = false;
    clear_sums(b);
    b->over = b->version == b->job->steps;
    return b->over ? LSPO_OK : start_all(b);
}

/* No pipeline has this part as it is now: all go back to what is saved. */
static void return_to_saved(broker_t *b)
{
    for (uint32_t r = 0; r < b->job->pipelines; r++) {
        b->pipelines[r].runs = false; /* what has come since is lost, too */
        stop_run(b, r);
    }
    b->outcome.repeated_steps += b->version - b->saved;
    b->version = b->saved;
    for (size_t i = 0; i < (size_t)b->job->pipelines * b->job->parts; i++)
        b->parts[i].version = b->version;
    clear_sums(b);
    tell(b, LSPO_BROKER_RETURN, 0, 0, 0, b->version);
}

/* ---- peers ---- */

static lspo_status_t load(broker_t *b, uint32_t peer, uint32_t pipeline, uint32_t part)
{
    part_t *p = part_of(b, pipeline, part);
    b->peers[peer].backup = false;
    b->peers[peer].pipeline = pipeline;
    b->peers[peer].part = part;
    p->peer = peer;
    return plan_event(b, b->job->load_s,
                      (event_t){.kind = EVENT_LOADED, .pipeline = pipeline, .part = part, .stamp = p->stamp});
}

static lspo_status_t has_missed(broker_t *b, const event_t *event)
{
    const part_t *p = part_of(b, event->pipeline, event->part);
    const uint32_t peer = take_backup(b);
    if (peer != NOBODY)
        return load(b, peer, event->pipeline, event->part);
    lspo_status_t status = enqueue(&b->lacking, (waiter_t){event->pipeline, event->part, p->stamp, b->now_s});
    if (status != LSPO_OK)
        return status;
    return plan_event(
        b, b->job->give_up_s,
        (event_t){.kind = EVENT_GIVE_UP, .pipeline = event->pipeline, .part = event->part, .stamp = p->stamp});
}

static lspo_status_t has_loaded(broker_t *b, const event_t *event)
{
    const lspo_broker_job_t *job = b->job;
    part_t *p = part_of(b, event->pipeline, event->part);
    if (event->stamp != p->stamp)
        return LSPO_OK;
    bool there = b->saved == b->version;
    for (uint32_t r = 0; r < job->pipelines; r++)
        there |= part_of(b, r, event->part)->loaded;
    if (!there)
        return_to_saved(b);
    b->outcome.replaced++;
    p->loaded = true;
    p->version = b->version;
    tell(b, LSPO_BROKER_LOAD, event->pipeline, event->part, 0, p->version);
    if (!there)
        return start_all(b);
    return b->pipelines[event->pipeline].runs ? LSPO_OK : start_run(b, event->pipeline);
}

static lspo_status_t comes(broker_t *b, const event_t *event)
{
    peer_t *peer = &b->peers[event->peer];
    peer->backup = true;
    b->outcome.came++;
    lspo_status_t status = plan_event(b, gsl_ran_exponential(b->random, b->job->stay_s),
                                      (event_t){.kind = EVENT_LEAVES, .peer = event->peer});
    if (status != LSPO_OK)
        return status;
    if (b->lacking.begin == b->lacking.end)
        return enqueue(&b->backups, (waiter_t){.first = event->peer, .stamp = peer->stamp});
    const waiter_t waiter = b->lacking.list[b->lacking.begin++];
    b->outcome.waited_s += b->now_s - waiter.since_s;
    return load(b, event->peer, waiter.first, waiter.second);
}

static lspo_status_t leaves(broker_t *b, const event_t *event)
{
    const lspo_broker_job_t *job = b->job;
    peer_t *peer = &b->peers[event->peer];
    lspo_status_t status = LSPO_OK;
    const bool backup = peer->backup;
    b->outcome.left++;
    peer->backup = false;
    peer->stamp++;
    if (job->away_s > 0)
        status = plan_event(b, gsl_ran_exponential(b->random, job->away_s),
                            (event_t){.kind = EVENT_COMES, .peer = event->peer});
    if (status != LSPO_OK || backup)
        return status;
    part_t *p = part_of(b, peer->pipeline, peer->part);
    if (p->loaded) {
        stop_run(b, peer->pipeline);
        tell(b, LSPO_BROKER_LOSE, peer->pipeline, peer->part, 0, p->version);
        memset(sum_of(b, peer->pipeline, peer->part), 0, job->micros);
    }
    p->loaded = false;
    p->peer = NOBODY;
    p->stamp++;
    return plan_event(b, job->timeout_s,
                      (event_t){.kind = EVENT_MISSED, .pipeline = peer->pipeline, .part = peer->part});
}

static lspo_status_t gives_up(broker_t *b, const event_t *event)
{
    const part_t *p = part_of(b, event->pipeline, event->part);
    if (event->stamp != p->stamp || p->peer != NOBODY)
        return LSPO_OK;
    b->over = b->outcome.gave_up = true;
    b->outcome.lost_pipeline = event->pipeline;
    b->outcome.lost_part = event->part;
    return LSPO_OK;
}

/* ---- the whole ---- */

static lspo_status_t serve(broker_t *b, const event_t *event)
{
    switch (event->kind) {
    case EVENT_LEAVES:
        return leaves(b, event);
    case EVENT_COMES:
        return comes(b, event);
    case EVENT_MISSED:
        return has_missed(b, event);
    case EVENT_LOADED:
        return has_loaded(b, event);
    case EVENT_GIVE_UP:
        return gives_up(b, event);
    case EVENT_RAN:
        return has_run(b, event);
    case EVENT_UPDATED:
        break;
    }
    return has_updated(b, event);
}

static lspo_status_t take_room(broker_t *b)
{
    const lspo_broker_job_t *job = b->job;
    const size_t parts = (size_t)job->pipelines * job->parts, peers = parts + job->backups;
    b->random = gsl_rng_alloc(gsl_rng_mt19937);
    b->peers = calloc(peers, sizeof *b->peers);
    b->parts = calloc(parts, sizeof *b->parts);
    b->pipelines = calloc(job->pipelines, sizeof *b->pipelines);
    b->runs = calloc((size_t)job->pipelines * job->micros, sizeof *b->runs);
    b->sums = calloc(parts * job->micros, sizeof *b->sums);
    b->whole = calloc((size_t)job->pipelines * job->micros, sizeof *b->whole);
    if (!b->random || !b->peers || !b->parts || !b->pipelines || !b->runs || !b->sums || !b->whole)
        return lspo_no_memory("%zu peers", peers);
    gsl_rng_set(b->random, job->seed);
    return LSPO_OK;
}

/* All peers are there: those of the parts, and the backups. */
static lspo_status_t begin(broker_t *b)
{
    const lspo_broker_job_t *job = b->job;
    const uint32_t parts = job->pipelines * job->parts;
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < parts + job->backups; i++) {
        b->peers[i] = (peer_t){.backup = i >= parts, .pipeline = i / job->parts, .part = i % job->parts};
        if (i < parts)
            b->parts[i] = (part_t){.peer = i, .loaded = true};
        else
            status = enqueue(&b->backups, (waiter_t){.first = i});
        if (status == LSPO_OK && job->stay_s > 0)
            status =
                plan_event(b, gsl_ran_exponential(b->random, job->stay_s), (event_t){.kind = EVENT_LEAVES, .peer = i});
    }
    for (uint32_t r = 0; r < job->pipelines; r++)
        b->pipelines[r].run = b->runs + (size_t)r * job->micros;
    return status == LSPO_OK ? start_all(b) : status;
}

static lspo_status_t run(broker_t *b)
{
    lspo_status_t status = take_room(b);
    if (status == LSPO_OK)
        status = begin(b);
    while (status == LSPO_OK && !b->over && b->heap_count > 0) {
        const event_t event = next_event(b);
        b->over = event.time_s > b->job->limit_s;
        b->now_s = fmin(event.time_s, b->job->limit_s);
        status = b->over ? LSPO_OK : serve(b, &event);
    }
    b->outcome.time_s = b->now_s;
    b->outcome.steps = b->version;
    return status;
}

static lspo_status_t check(const lspo_broker_job_t *job)
{
    const double peers = (double)job->parts * job->pipelines + job->backups;
    const double times[] = {job->alone_s, job->micro_s,   job->load_s,    job->save_s, job->stay_s,
                            job->away_s,  job->timeout_s, job->give_up_s, job->limit_s};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        if (!(times[i] >= 0) || !isfinite(times[i]))
            return lspo_error(LSPO_ERR_INPUT, "broker: a time of %g s is outside its range: at least 0", times[i]);
    if (job->parts == 0 || job->pipelines == 0 || peers > LSPO_BROKER_PEERS_MAX)
        return lspo_error(LSPO_ERR_INPUT, "broker: %u parts of %u pipelines and %u backups are outside 1..%d peers",
                          job->parts, job->pipelines, job->backups, LSPO_BROKER_PEERS_MAX);
    if (job->micros == 0 || job->micros > LSPO_BROKER_MICROS_MAX || job->steps == 0 || job->save_every == 0)
        return lspo_error(LSPO_ERR_INPUT, "broker: micro-batches, steps and saves must be above 0");
    return LSPO_OK;
}

lspo_status_t lspo_broker_run(const lspo_broker_job_t *job, lspo_broker_outcome_t *outcome_out)
{
    broker_t b = {.job = job};
    lspo_status_t status = check(job);
    if (status == LSPO_OK)
        status = run(&b);
    free(b.lacking.list);
    free(b.backups.list);
    free(b.whole);
    free(b.sums);
    free(b.runs);
    free(b.pipelines);
    free(b.parts);
    free(b.peers);
    free(b.heap);
    if (b.random != NULL)
        gsl_rng_free(b.random);
    if (status == LSPO_OK)
        *outcome_out = b.outcome;
    return status;
}
