/* optimizer.c - find the optimizer ranges of a profile that are work of the CPU; see optimizer.h. */
#include "traces/import/optimizer.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "traces/order.h"

/* An optimizer range that launched kernels. */
typedef struct {
    uint64_t thread;
    double start_us, end_us;
    double reach_us; /* the latest end of this and all earlier ones of its thread */
} span_t;

/* Sorted by thread, then start. */
typedef struct {
    span_t *spans; /* owned */
    uint32_t count;
} spans_t;

static int compare_launch(const void *left, const void *right)
{
    const lspo_import_launch_t *a = left, *b = right;
    LSPO_ORDER(a->thread, b->thread)
    LSPO_ORDER(a->at_us, b->at_us)
    return 0;
}

static int compare_span(const void *left, const void *right)
{
    const span_t *a = left, *b = right;
    LSPO_ORDER(a->thread, b->thread)
    LSPO_ORDER(a->start_us, b->start_us)
    return 0;
}

/* The first launch of `thread` at or after `at_us`; `count` if there is none. */
static uint32_t first_from(const lspo_import_launch_t *launches, uint32_t count, uint64_t thread, double at_us)
{
    const lspo_import_launch_t wanted = {thread, at_us};
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_launch(&launches[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool launched_within(const lspo_import_launch_t *launches, uint32_t count, uint64_t thread,
                            const lspo_import_item_t *range)
{
    uint32_t first = first_from(launches, count, thread, range->launch_us);
    return first < count && launches[first].thread == thread &&
           launches[first].at_us <= range->launch_us + range->event->duration_us;
}

static bool is_optimizer(const lspo_import_item_t *item)
{
    return item->is_range && item->event->rule->kind == LSPO_OP_UPD_GPU && item->event->rule->lane == LSPO_LANE_GPU;
}

/* The launch times of the optimizer's kernels from any thread, all under thread 0. */
static uint32_t collect_updates(const lspo_import_work_t *work, lspo_import_launch_t *updates)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < work->item_count; i++)
        if (!work->items[i].is_range && work->items[i].kind == LSPO_OP_UPD_GPU)
            updates[count++] = (lspo_import_launch_t){0, work->items[i].launch_us};
    qsort(updates, count, sizeof *updates, compare_launch);
    return count;
}

/* The ranges that launched something: all under one thread, or marks of whole steps by their threads. */
static void collect_spans(const lspo_import_work_t *work, bool whole_steps, spans_t *spans)
{
    for (uint32_t i = 0; i < work->item_count; i++) {
        const lspo_import_item_t *item = &work->items[i];
        if (!is_optimizer(item) || item->on_cpu || (whole_steps && !item->event->rule->whole_step))
            continue;
        spans->spans[spans->count++] = (span_t){.thread = whole_steps ? item->thread : 0,
                                                .start_us = item->launch_us,
                                                .end_us = item->launch_us + item->event->duration_us};
    }
    qsort(spans->spans, spans->count, sizeof *spans->spans, compare_span);
    for (uint32_t i = 0; i < spans->count; i++) {
        span_t *span = &spans->spans[i], *before = i > 0 ? span - 1 : NULL;
        span->reach_us = before && before->thread == span->thread ? fmax(before->reach_us, span->end_us) : span->end_us;
    }
}

static bool overlaps(const spans_t *spans, uint64_t thread, const lspo_import_item_t *range)
{
    const span_t end = {.thread = thread, .start_us = range->launch_us + range->event->duration_us};
    uint32_t low = 0, high = spans->count; /* the first that starts after the range has ended */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_span(&spans->spans[middle], &end) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && spans->spans[low - 1].thread == thread && spans->spans[low - 1].reach_us >= range->launch_us;
}

static void drop_parts(lspo_import_work_t *work, const spans_t *all, const spans_t *whole)
{
    for (uint32_t i = 0; i < work->item_count; i++) {
        lspo_import_item_t *item = &work->items[i];
        if (!item->on_cpu)
            continue;
        bool part = item->event->rule->whole_step ? overlaps(whole, item->thread, item) : overlaps(all, 0, item);
        item->on_cpu = !part;
    }
}

lspo_status_t lspo_import_find_cpu_optimizers(lspo_import_work_t *work)
{
    lspo_import_launch_t *updates = malloc(((size_t)work->item_count + 1) * sizeof *updates);
    spans_t all = {malloc(((size_t)work->item_count + 1) * sizeof *all.spans), 0};
    spans_t whole = {malloc(((size_t)work->item_count + 1) * sizeof *whole.spans), 0};
    lspo_status_t status = LSPO_OK;
    if (updates && all.spans && whole.spans) {
        qsort(work->launches, work->launch_count, sizeof *work->launches, compare_launch);
        uint32_t update_count = collect_updates(work, updates);
        for (uint32_t i = 0; i < work->item_count; i++) {
            lspo_import_item_t *item = &work->items[i];
            item->on_cpu = is_optimizer(item) && work->launches_known &&
                           !launched_within(work->launches, work->launch_count, item->thread, item) &&
                           !launched_within(updates, update_count, 0, item);
        }
        collect_spans(work, false, &all);
        collect_spans(work, true, &whole);
        drop_parts(work, &all, &whole);
    } else {
        status = lspo_no_memory("%" PRIu32 " events", work->item_count);
    }
    free(whole.spans);
    free(all.spans);
    free(updates);
    return status;
}
