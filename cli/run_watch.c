/* run_watch.c - see run_watch.h. */
#include "cli/run_watch.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/trace_draw.h"

enum { PERIOD_MS = 500 };

struct lspo_watch {
    const lspo_plan_t *plan;
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t wake;
    bool stops;
    lspo_trace_row_t *rows; /* of this play, in the order in which they ended */
    uint32_t row_count;
    uint32_t *left;     /* ops of each iteration that have not ended */
    uint32_t *of_each;  /* ops of each iteration */
    uint32_t complete;  /* the latest iteration of which all have ended, + 1; 0: none */
    uint64_t completed; /* how many there were in all plays */
    /* Of the drawing thread. */
    lspo_trace_t *copy;
    uint64_t drawn;
    size_t lines;
};

/* Lock held. */
static void begin_play(lspo_watch_t *watch)
{
    watch->row_count = watch->complete = 0;
    memcpy(watch->left, watch->of_each, watch->plan->workload.iterations * sizeof *watch->left);
}

void lspo_watch_op(void *context, const lspo_trace_row_t *row)
{
    lspo_watch_t *watch = context;
    pthread_mutex_lock(&watch->lock);
    if (watch->row_count == watch->plan->op_count)
        begin_play(watch);
    watch->rows[watch->row_count++] = *row;
    if (--watch->left[row->iteration] == 0) {
        watch->complete = row->iteration + 1;
        watch->completed++;
    }
    pthread_mutex_unlock(&watch->lock);
}

/* Lock held: copy the rows of the latest complete iteration as those of iteration 0; false if it has been drawn.  They
 * are among the last rows. */
static bool take_latest(lspo_watch_t *watch)
{
    if (watch->complete == 0 || watch->drawn == watch->completed)
        return false;
    const uint32_t iteration = watch->complete - 1;
    watch->drawn = watch->completed;
    watch->copy->row_count = 0;
    for (uint32_t i = watch->row_count; i-- > 0 && watch->copy->row_count < watch->of_each[iteration];)
        if (watch->rows[i].iteration == iteration) {
            watch->copy->rows[watch->copy->row_count] = watch->rows[i];
            watch->copy->rows[watch->copy->row_count++].iteration = 0;
        }
    return true;
}

/* Messages since the last drawing, over which no drawing may go. */
static atomic_uint message_count;

static void count_message(void)
{
    atomic_fetch_add(&message_count, 1);
}

/* On a terminal over the drawing before. */
static void draw_latest(lspo_watch_t *watch, uint32_t iteration)
{
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    if (file == NULL)
        return;
    lspo_status_t status = lspo_draw_one(watch->copy, iteration, lspo_draw_width(stderr), file);
    if (fclose(file) == 0 && text != NULL && status == LSPO_OK) {
        if (atomic_exchange(&message_count, 0) == 0 && watch->lines > 0 && isatty(STDERR_FILENO))
            fprintf(stderr, "\033[%zuA\033[J", watch->lines);
        fputs(text, stderr);
        fflush(stderr);
        watch->lines = 0;
        for (const char *c = text; *c != '\0'; c++)
            watch->lines += *c == '\n';
    }
    free(text);
}

static void *draw_on(void *context)
{
    lspo_watch_t *watch = context;
    struct timespec until;
    pthread_mutex_lock(&watch->lock);
    for (bool last = false; !last;) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += PERIOD_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        while (!watch->stops && pthread_cond_timedwait(&watch->wake, &watch->lock, &until) == 0)
            ;
        last = watch->stops;
        uint32_t iteration = watch->complete - 1;
        if (!take_latest(watch))
            continue;
        pthread_mutex_unlock(&watch->lock);
        draw_latest(watch, iteration);
        pthread_mutex_lock(&watch->lock);
    }
    pthread_mutex_unlock(&watch->lock);
    return NULL;
}

static void release(lspo_watch_t *watch)
{
    pthread_cond_destroy(&watch->wake);
    pthread_mutex_destroy(&watch->lock);
    lspo_trace_destroy(watch->copy);
    free(watch->rows);
    free(watch->left);
    free(watch->of_each);
    free(watch);
}

static lspo_status_t allocate(lspo_watch_t *watch)
{
    const lspo_plan_t *plan = watch->plan;
    const uint32_t iterations = plan->workload.iterations;
    watch->rows = malloc(plan->op_count * sizeof *watch->rows);
    watch->left = malloc(iterations * sizeof *watch->left);
    watch->of_each = calloc(iterations, sizeof *watch->of_each);
    if (watch->rows == NULL || watch->left == NULL || watch->of_each == NULL)
        return lspo_no_memory("--watch");
    for (lspo_op_id_t op = 0; op < plan->op_count; op++)
        watch->of_each[plan->ops[op].iteration]++;
    begin_play(watch);
    return lspo_trace_create_on(plan->op_count, &plan->lanes, &watch->copy);
}

lspo_status_t lspo_watch_start(const lspo_plan_t *plan, lspo_watch_t **watch_out)
{
    lspo_watch_t *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return lspo_no_memory("--watch");
    watch->plan = plan;
    pthread_mutex_init(&watch->lock, NULL);
    pthread_cond_init(&watch->wake, NULL);
    lspo_status_t status = allocate(watch);
    if (status != LSPO_OK) {
        release(watch);
        return status;
    }
    lspo_message_hook(count_message);
    if (pthread_create(&watch->thread, NULL, draw_on, watch) != 0) {
        lspo_message_hook(NULL);
        release(watch);
        return lspo_error(LSPO_ERR_MEMORY, "--watch: no thread can be started");
    }
    *watch_out = watch;
    return LSPO_OK;
}

void lspo_watch_stop(lspo_watch_t *watch)
{
    if (watch == NULL)
        return;
    pthread_mutex_lock(&watch->lock);
    watch->stops = true;
    pthread_cond_signal(&watch->wake);
    pthread_mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
    lspo_message_hook(NULL);
    release(watch);
}
