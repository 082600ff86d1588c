#include "traces/import_kineto.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "traces/import_events.h"
#include "traces/import_lanes.h"
#include "traces/import_names.h"
#include "traces/order.h"

typedef struct {
    const char *path;
    lspo_import_events_t events;
    const lspo_import_event_t **steps, **launches; /* owned: sorted by start; by correlation */
    lspo_import_work_t work;                       /* owned: device work and ranges that are no steps */
    uint32_t launch_count, device_work_count;
    uint32_t other_device_count, outside_count, unlaunched_count;
} import_t;

static int compare_event_start(const void *left, const void *right)
{
    const lspo_import_event_t *a = *(const lspo_import_event_t *const *)left;
    const lspo_import_event_t *b = *(const lspo_import_event_t *const *)right;
    LSPO_ORDER(a->start_us, b->start_us)
    LSPO_ORDER(a->line, b->line)
    return 0;
}

static int compare_correlation(const void *left, const void *right)
{
    const lspo_import_event_t *a = *(const lspo_import_event_t *const *)left;
    const lspo_import_event_t *b = *(const lspo_import_event_t *const *)right;
    LSPO_ORDER(a->correlation, b->correlation)
    return compare_event_start(left, right);
}

static bool is_device_work(const lspo_import_event_t *event)
{
    return event->event_class == LSPO_EVENT_KERNEL || event->event_class == LSPO_EVENT_COPY;
}

static bool is_step(const lspo_import_event_t *event)
{
    return event->rule && event->rule->kind == LSPO_RULE_STEP;
}

/* Sorting events into steps, launches and items */

static int32_t first_device(const lspo_import_events_t *events)
{
    int32_t first = INT32_MAX;
    for (uint32_t i = 0; i < events->count; i++)
        if (is_device_work(&events->events[i]) && events->events[i].device < first)
            first = events->events[i].device;
    return first;
}

static void sort_out(import_t *import)
{
    int32_t device = first_device(&import->events);
    for (uint32_t i = 0; i < import->events.count; i++) {
        const lspo_import_event_t *event = &import->events.events[i];
        if (is_step(event)) {
            import->steps[import->work.step_count++] = event;
        } else if (event->event_class == LSPO_EVENT_LAUNCH) {
            import->launches[import->launch_count++] = event;
        } else if (is_device_work(event) && event->device != device) {
            import->other_device_count++;
        } else {
            import->device_work_count += is_device_work(event);
            import->work.items[import->work.item_count++] = (lspo_import_item_t){.event = event,
                                                                                 .launch_us = event->start_us,
                                                                                 .thread = event->thread,
                                                                                 .iteration = LSPO_NO_ITERATION,
                                                                                 .kind = LSPO_NO_KIND,
                                                                                 .is_range = !is_device_work(event)};
        }
    }
    qsort(import->steps, import->work.step_count, sizeof *import->steps, compare_event_start);
    qsort(import->launches, import->launch_count, sizeof *import->launches, compare_correlation);
}

static lspo_status_t split_events(import_t *import)
{
    size_t count = (size_t)import->events.count + 1;
    import->steps = malloc(count * sizeof *import->steps);
    import->launches = malloc(count * sizeof *import->launches);
    import->work.items = malloc(count * sizeof *import->work.items);
    if (!import->steps || !import->launches || !import->work.items)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for %" PRIu32 " events of %s", import->events.count,
                          import->path);
    sort_out(import);
    if (import->device_work_count == 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: no kernel, copy or memset of a GPU: profile with ProfilerActivity.CUDA as well",
                          import->path);
    if (import->other_device_count > 0)
        lspo_warn("%s: events of other devices than the first, left out: %" PRIu32, import->path,
                  import->other_device_count);
    return LSPO_OK;
}

/* Steps */

/* Profilers of whole microseconds round the ends of neighbours past each other. */
static const double step_slack_us = 2;

static bool is_same_step(const lspo_import_event_t *step, const lspo_import_event_t *before)
{
    return step->number == before->number && (step->number >= 0 || step->start_us - before->start_us <= step_slack_us);
}

/* Of a step told twice (by an operator and an annotation) the first stays; steps that overlap otherwise, and numbers
 * that come again, are an error. */
static lspo_status_t check_steps(import_t *import)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < import->work.step_count; i++) {
        const lspo_import_event_t *step = import->steps[i], *before = kept ? import->steps[kept - 1] : NULL;
        bool overlaps = before && step->start_us + step_slack_us < before->start_us + before->duration_us;
        if (overlaps && is_same_step(step, before))
            continue;
        if (overlaps)
            return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": this step begins before that of line %" PRIu64 " ends",
                              import->path, step->line, before->line);
        if (before && step->number >= 0 && step->number <= before->number)
            return lspo_error(LSPO_ERR_INPUT,
                              "%s:%" PRIu64 ": step #%" PRId64 " comes after step #%" PRId64 " of line %" PRIu64
                              ": two profiles in one file?",
                              import->path, step->line, step->number, before->number, before->line);
        import->steps[kept++] = step;
    }
    import->work.step_count = kept;
    if (kept == 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: no step is marked: call prof.step() after each, so that there are ProfilerStep#N, or "
                          "name what marks one by a rule 'STEP cpu PATTERN' in --map FILE",
                          import->path);
    import->work.step_thread = import->steps[0]->thread;
    return LSPO_OK;
}

/* The step in which the CPU was, or between which and the next; LSPO_NO_ITERATION before the first and after the last. */
static uint32_t step_at(const import_t *import, double at_us)
{
    uint32_t low = 0, high = import->work.step_count; /* first step that starts after at_us */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (import->steps[middle]->start_us <= at_us)
            low = middle + 1;
        else
            high = middle;
    }
    const lspo_import_event_t *last = import->steps[import->work.step_count - 1];
    bool inside = low > 0 && (low < import->work.step_count || at_us <= last->start_us + last->duration_us);
    return inside ? low - 1 : LSPO_NO_ITERATION;
}

/* Launches */

static const lspo_import_event_t *find_launch(const import_t *import, int64_t correlation)
{
    uint32_t low = 0, high = import->launch_count; /* first launch with this correlation or a greater one */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (import->launches[middle]->correlation < correlation)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < import->launch_count && import->launches[low]->correlation == correlation;
    return found ? import->launches[low] : NULL;
}

/* Without a record of its launch, work counts as launched by the steps' thread when it ran. */
static void place_items(import_t *import)
{
    for (uint32_t i = 0; i < import->work.item_count; i++) {
        lspo_import_item_t *item = &import->work.items[i];
        if (!item->is_range) {
            int64_t correlation = item->event->correlation;
            const lspo_import_event_t *launch =
                correlation == LSPO_NO_CORRELATION ? NULL : find_launch(import, correlation);
            item->launch_us = launch ? launch->start_us : item->event->start_us;
            item->thread = launch ? launch->thread : import->work.step_thread;
            import->unlaunched_count += !launch;
        }
        item->iteration = step_at(import, item->launch_us);
        import->outside_count += !item->is_range && item->iteration == LSPO_NO_ITERATION;
    }
    if (import->unlaunched_count > 0)
        lspo_warn("%s: %" PRIu32 " of %" PRIu32 " events of the GPU have no launch on the CPU: they count to the step "
                  "and range in which they ran; profile with ProfilerActivity.CPU as well",
                  import->path, import->unlaunched_count, import->device_work_count);
    if (import->outside_count > 0)
        lspo_warn("%s: events of the GPU that were launched outside the steps, left out: %" PRIu32 " of %" PRIu32,
                  import->path, import->outside_count, import->device_work_count);
}

/* From items to the trace */

/* A time since boot in microseconds, as a double of nanosecond resolution, is rounded at both ends of an event. */
static const uint64_t clock_slack_ns = 2;

static double earliest_us(const import_t *import)
{
    double origin_us = import->steps[0]->start_us;
    for (uint32_t i = 0; i < import->work.item_count; i++)
        if (import->work.items[i].iteration != LSPO_NO_ITERATION)
            origin_us = fmin(origin_us, import->work.items[i].event->start_us);
    return origin_us;
}

static bool marks_iteration(uint8_t kind)
{
    return kind == LSPO_OP_FWD || kind == LSPO_OP_RECOMPUTE || kind == LSPO_OP_BWD;
}

/* number_of[step]: its iteration in the trace; steps without forward or backward on the GPU are none. */
static lspo_status_t number_steps(const import_t *import, uint32_t **number_of_out)
{
    uint32_t *number_of = calloc(import->work.step_count, sizeof *number_of);
    if (!number_of)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for %" PRIu32 " steps", import->work.step_count);
    for (uint32_t i = 0; i < import->work.item_count; i++) {
        const lspo_import_item_t *item = &import->work.items[i];
        if (item->iteration != LSPO_NO_ITERATION && marks_iteration(item->kind))
            number_of[item->iteration] = 1;
    }
    uint32_t count = 0;
    for (uint32_t step = 0; step < import->work.step_count; step++) {
        if (!number_of[step])
            lspo_warn("%s:%" PRIu64 ": nothing of this step ran forward or backward on the GPU: it is left out",
                      import->path, import->steps[step]->line);
        number_of[step] = number_of[step] ? count++ : LSPO_NO_ITERATION;
    }
    if (count == 0) {
        free(number_of);
        return lspo_error(LSPO_ERR_INPUT, "%s: nothing ran forward or backward on the GPU within a step", import->path);
    }
    *number_of_out = number_of;
    return LSPO_OK;
}

static lspo_trace_row_t row_of(const lspo_import_item_t *item, uint32_t iteration, double origin_us)
{
    bool on_link = item->lane == LSPO_LANE_D2H || item->lane == LSPO_LANE_H2D;
    double start_ns = 1e3 * (item->event->start_us - origin_us);
    uint64_t duration_ns = (uint64_t)llround(1e3 * item->event->duration_us);
    return (lspo_trace_row_t){.kind = item->kind,
                              .lane = item->lane,
                              .iteration = iteration,
                              .start_ns = (uint64_t)llround(start_ns),
                              .end_ns = (uint64_t)llround(start_ns) + duration_ns,
                              .bytes = on_link ? item->event->bytes : 0};
}

static lspo_status_t fill_trace(const import_t *import, lspo_trace_t *trace)
{
    uint32_t *number_of = NULL;
    lspo_status_t status = number_steps(import, &number_of);
    if (status != LSPO_OK)
        return status;
    double origin_us = earliest_us(import);
    for (uint32_t i = 0; i < import->work.item_count; i++) {
        const lspo_import_item_t *item = &import->work.items[i];
        if (item->kind == LSPO_NO_KIND || item->iteration == LSPO_NO_ITERATION ||
            number_of[item->iteration] == LSPO_NO_ITERATION)
            continue;
        trace->rows[trace->row_count++] = row_of(item, number_of[item->iteration], origin_us);
    }
    free(number_of);
    lspo_import_merge_lanes(trace, clock_slack_ns);
    return LSPO_OK;
}

static lspo_status_t describe(const import_t *import, double unnamed_share, lspo_trace_t *trace)
{
    lspo_status_t status = lspo_import_describe(trace, "kineto", import->path);
    const struct {
        const char *key;
        uint32_t value;
    } counts[] = {{"events", import->device_work_count - import->outside_count},
                  {"outside", import->outside_count},
                  {"other-devices", import->other_device_count}};
    char text[32];
    for (size_t i = 0; i < sizeof counts / sizeof counts[0] && status == LSPO_OK; i++) {
        snprintf(text, sizeof text, "%" PRIu32, counts[i].value);
        status = lspo_trace_set_meta(trace, counts[i].key, text);
    }
    snprintf(text, sizeof text, "%.4g", unnamed_share);
    return status == LSPO_OK ? lspo_trace_set_meta(trace, "unnamed-gpu-share", text) : status;
}

static lspo_status_t build(import_t *import, lspo_trace_t **trace_out)
{
    lspo_trace_t *trace = NULL;
    double unnamed_share = 0;
    lspo_status_t status = split_events(import);
    if (status == LSPO_OK)
        status = check_steps(import);
    if (status != LSPO_OK)
        return status;
    place_items(import);
    status = lspo_import_name_work(&import->work, &unnamed_share);
    if (status == LSPO_OK)
        status = lspo_trace_create(import->work.item_count, &trace);
    if (status == LSPO_OK)
        status = fill_trace(import, trace);
    if (status == LSPO_OK)
        status = describe(import, unnamed_share, trace);
    if (status != LSPO_OK) {
        lspo_trace_destroy(trace);
        return status;
    }
    *trace_out = trace;
    return LSPO_OK;
}

lspo_status_t lspo_import_kineto(const char *path, const char *map_path, lspo_trace_t **trace_out)
{
    import_t import = {.path = path};
    lspo_import_rules_t *rules = NULL;
    lspo_status_t status = lspo_import_rules_create(map_path, &rules);
    if (status == LSPO_OK)
        status = lspo_import_events_read(path, rules, &import.events);
    if (status == LSPO_OK)
        status = build(&import, trace_out);
    free(import.work.items);
    free(import.launches);
    free(import.steps);
    lspo_import_events_release(&import.events);
    lspo_import_rules_destroy(rules);
    return status;
}
