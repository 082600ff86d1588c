/* serving.h - requests that come at times of their own are computed together, with caches that take memory in one of
 * three ways.  What is decided here is the same for a simulation (sim/serve.h) and a run (real/generate/server.h),
 * which are the engine below: they say how long things take.
 *
 *     vtensor     chunks, in R ranges per text; n tokens take R ceil(n c / chunk)  [Xu et al., arXiv 2407.15309]
 *     paged       blocks of tokens, of all layers: ceil(n / block)                 [Kwon et al., arXiv 2309.06180]
 *     reserved    each text has all that the longest could need
 *
 * Requests are served in their order.  A new one is read alone (its first token comes with that) as soon as there is
 * memory for its prompt and one token more; else all running ones get their next token together.  A text whose next
 * token has no memory takes that of texts that have ended, then of unused prefixes, then of the text begun last, which
 * is read again later.
 *
 * Prefixes: the requests of a group begin with the same tokens.  These are stored once, whole units of them shared, and
 * what is left of the last unit is copied.  Not with `reserved`.
 *
 * Lazy return of chunks: what a text had stays mapped when it ends, until others need the memory; the next request
 * takes its place without new calls.
 */
#ifndef LSPO_PLAN_SERVING_H
#define LSPO_PLAN_SERVING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/model.h"
#include "plan/precision.h"

/* Three years: later times would not be exact to the length of a pass. */
#define LSPO_SERVING_TIME_MAX_S 1e8

typedef struct {
    double arrival_s;        /* from the beginning, at most LSPO_SERVING_TIME_MAX_S */
    uint32_t prompt, tokens; /* at least 1 each: tokens read, and new ones that are wanted  */
    uint32_t group, prefix;  /* group 0: none; else the first `prefix` tokens of the prompt are the group's */
    uint32_t cancelled;      /* the client leaves after so many new tokens; 0: it stays     */
} lspo_serving_request_t;

typedef enum { LSPO_SERVING_VTENSOR, LSPO_SERVING_PAGED, LSPO_SERVING_RESERVED } lspo_serving_cache_t;

typedef struct {
    const lspo_model_t *model;
    lspo_precision_t precision; /* of the cache */
    lspo_serving_cache_t cache;
    uint64_t cache_bytes;  /* that there are */
    uint64_t chunk_bytes;  /* vtensor: of a chunk */
    bool one_range;        /* vtensor: a range per text, else one for each of its tensors */
    uint32_t block_tokens; /* paged: of a block   */
    uint32_t positions;    /* tokens of a text at most */
    uint32_t map_ahead;    /* vtensor: tokens of a text for which there are chunks in advance */
    uint32_t batch;        /* texts at once at most */
} lspo_serving_options_t;

/* Memory is given out in units: chunks, blocks, places for a whole text. */
typedef struct {
    uint64_t unit_bytes, units; /* that fit in cache_bytes */
    uint64_t token_bytes;       /* of a token in one range */
    uint32_t ranges;            /* of a text */
} lspo_serving_units_t;
void lspo_serving_units(const lspo_serving_options_t *options, lspo_serving_units_t *units_out);

/* Calls that a growth needs (vtensor); `made`: chunks that there were not before. */
typedef struct {
    uint64_t maps, accesses, made, unmaps;
} lspo_serving_calls_t;

/* Texts are in slots, 0 .. 2 batch + groups.  Times are seconds from the beginning; `exposed` is waiting for memory,
 * before `computed`. */
typedef struct {
    double exposed_s, computed_s;
} lspo_serving_step_t;

/* Tokens of a request to be read: those up to `count`, of which `first` are there already. */
typedef struct {
    uint32_t slot, request, first, count;
} lspo_serving_read_t;

typedef struct lspo_serving_engine {
    void *context;
    /* Units for the first `tokens` of a slot are its own from now on: map them, by the time they are needed. */
    lspo_status_t (*grow)(void *context, uint32_t slot, uint64_t tokens, const lspo_serving_calls_t *calls,
                          double now_s);
    /* All units of a slot are given back. */
    void (*release)(void *context, uint32_t slot, const lspo_serving_calls_t *calls, double now_s);
    /* The first `tokens` of an empty slot are those of another. */
    lspo_status_t (*share)(void *context, uint32_t slot, uint32_t from, uint64_t tokens,
                           const lspo_serving_calls_t *calls, double now_s);
    /* A request has this slot from now on.  Read, and choose the next token. */
    lspo_status_t (*read)(void *context, const lspo_serving_read_t *read, double now_s, lspo_serving_step_t *step_out);
    /* The next token of each of these slots, which have lengths[i] tokens, the last of them not read yet. */
    lspo_status_t (*decode)(void *context, const uint32_t *slots, const uint32_t *lengths, uint32_t count, double now_s,
                            lspo_serving_step_t *step_out);
    bool (*stopped)(void *context); /* NULL: never; then LSPO_ERR_INTERRUPTED */
} lspo_serving_engine_t;

typedef enum {
    LSPO_SERVED_NOT_YET,
    LSPO_SERVED,
    LSPO_SERVED_CANCELLED,
    LSPO_SERVED_REFUSED /* it could never fit */
} lspo_served_state_t;

/* Of a request. */
typedef struct {
    lspo_served_state_t state;
    double first_s, end_s; /* of its first token, of its last */
    uint32_t tokens;       /* new ones */
    uint32_t preempted;    /* times */
} lspo_served_t;

typedef struct {
    double end_s, computed_s, exposed_s;
    double map_s;                                   /* of the calls; the engine's owner fills it in */
    uint64_t steps, tokens;                         /* passes; new tokens */
    uint64_t served, cancelled, refused, preempted; /* requests; preempted: times */
    uint64_t waited;                                /* requests that were not begun by the first step after they came */
    lspo_serving_calls_t calls;
    uint64_t peak_bytes;                                   /* the most that texts had; reserved, paged: all is taken */
    uint64_t shared_peak_bytes;                            /* the most that sharing saved */
    double mean_bytes, held_mean_bytes, stored_mean_bytes; /* over time: all; of units with tokens; of tokens */
    uint64_t texts_peak;
    double texts_mean;
} lspo_serving_report_t;

/* LSPO_ERR_INPUT unless requests are in the order of their arrivals, and have sizes that are possible; LSPO_ERR_FIT if
 * there is no memory for a text. */
lspo_status_t lspo_serving_check(const lspo_serving_options_t *options, const lspo_serving_request_t *requests,
                                 uint32_t count);

/* Checks them first.  `served_out`: of each request. */
lspo_status_t lspo_serving_run(const lspo_serving_options_t *options, const lspo_serving_request_t *requests,
                               uint32_t count, const lspo_serving_engine_t *engine, lspo_served_t *served_out,
                               lspo_serving_report_t *report_out);

/* The highest number of a group, and the slots that an engine must have for so many. */
uint32_t lspo_serving_groups(const lspo_serving_request_t *requests, uint32_t count);
uint32_t lspo_serving_slots(const lspo_serving_options_t *options, uint32_t groups);

#endif
