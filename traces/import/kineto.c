/* kineto.c - convert a PyTorch profiler (Kineto) trace to a measured lspo trace; docs/import.md has the mapping; see
 * kineto.h. */
#include "traces/import/kineto.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "traces/import/events.h"
#include "traces/import/lanes.h"
#include "traces/import/names.h"
#include "traces/import/process.h"
#include "traces/import/steps.h"
#include "traces/import/streams.h"
#include "traces/order.h"

typedef struct {
    const char *path;
    lspo_import_events_t events;
    lspo_import_steps_t steps;
    const lspo_import_event_t **launches; /* owned: by correlation, then start */
    lspo_import_work_t work;              /* items and launches owned */
    uint32_t launch_count, device_work_count, skipped_count;
    uint32_t other_device_count, outside_count, unlaunched_count, long_range_count;
    uint32_t sizeless_count[LSPO_DEVICE_LANES]; /* copies of unknown size */
} import_t;

/* Profilers with a resolution of 1 us round both ends of an event. */
static const double step_slack_us = 2;

static int compare_correlation(const void *left, const void *right)
{
    const lspo_import_event_t *a = *(const lspo_import_event_t *const *)left;
    const lspo_import_event_t *b = *(const lspo_import_event_t *const *)right;
    LSPO_ORDER(a->correlation, b->correlation)
    LSPO_ORDER(a->start_us, b->start_us)
    LSPO_ORDER(a->line, b->line)
    return 0;
}

static bool is_device_work(const lspo_import_event_t *event)
{
    return event->event_class == LSPO_EVENT_KERNEL || event->event_class == LSPO_EVENT_COPY;
}

/* Launches */

static lspo_status_t collect_launches(import_t *import)
{
    import->launches = malloc(((size_t)import->events.count + 1) * sizeof(*import->launches));
    if (!import->launches)
        return lspo_no_memory("%" PRIu32 " events of %s", import->events.count, import->path);
    for (uint32_t i = 0; i < import->events.count; i++) {
        const lspo_import_event_t *event = &import->events.events[i];
        if (event->event_class == LSPO_EVENT_LAUNCH && !event->skipped)
            import->launches[import->launch_count++] = event;
    }
    qsort(import->launches, import->launch_count, sizeof(*import->launches), compare_correlation);
    return LSPO_OK;
}

/* The last launch with the correlation of `work` that began before it did, else the first; NULL when there is none. */
static const lspo_import_event_t *find_launch(const import_t *import, const lspo_import_event_t *work)
{
    uint32_t low = 0, high = import->launch_count; /* first launch with a greater correlation or a later start */
    if (work->correlation == LSPO_NO_CORRELATION)
        return NULL;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const lspo_import_event_t *launch = import->launches[middle];
        if (launch->correlation < work->correlation ||
            (launch->correlation == work->correlation && launch->start_us <= work->start_us))
            low = middle + 1;
        else
            high = middle;
    }
    if (low > 0 && import->launches[low - 1]->correlation == work->correlation)
        return import->launches[low - 1];
    bool later = low < import->launch_count && import->launches[low]->correlation == work->correlation;
    return later ? import->launches[low] : NULL;
}

/* Sorting events into items */

static int32_t first_device(const lspo_import_events_t *events)
{
    int32_t first = INT32_MAX;
    for (uint32_t i = 0; i < events->count; i++)
        if (is_device_work(&events->events[i]) && events->events[i].device < first)
            first = events->events[i].device;
    return first;
}

/* Work without a record of its launch counts as launched by the steps' thread at its start. */
static lspo_import_item_t item_of_work(const import_t *import, const lspo_import_event_t *event)
{
    const lspo_import_event_t *launch = find_launch(import, event);
    uint64_t bytes = event->bytes == LSPO_IMPORT_NO_BYTES && launch ? launch->bytes : event->bytes;
    return (lspo_import_item_t){.event = event,
                                .launch_us = launch ? launch->start_us : event->start_us,
                                .thread = launch ? launch->thread : import->work.step_thread,
                                .bytes = bytes,
                                .iteration = LSPO_NO_ITERATION,
                                .kind = LSPO_NO_KIND,
                                .has_launch = launch != NULL};
}

/* A range of the steps' thread that began in a step must end by the end of the step; otherwise its duration is
 * wrong. */
static lspo_import_item_t item_of_range(import_t *import, lspo_import_event_t *event)
{
    uint32_t step = lspo_import_step_at(&import->steps, event->start_us);
    if (step != LSPO_NO_ITERATION && event->thread == import->work.step_thread) {
        double room_us = lspo_import_step_end_us(&import->steps, step) - event->start_us;
        import->long_range_count += event->duration_us > room_us + step_slack_us;
        event->duration_us = fmin(event->duration_us, room_us);
    }
    return (lspo_import_item_t){.event = event,
                                .launch_us = event->start_us,
                                .thread = event->thread,
                                .iteration = LSPO_NO_ITERATION,
                                .kind = LSPO_NO_KIND,
                                .is_range = true};
}

static void add_item(import_t *import, lspo_import_item_t item)
{
    item.iteration = lspo_import_step_at(&import->steps, item.launch_us);
    if (!item.is_range) {
        import->device_work_count++;
        import->unlaunched_count += !item.has_launch;
        import->outside_count += item.iteration == LSPO_NO_ITERATION;
    }
    import->work.items[import->work.item_count++] = item;
}

static void sort_out(import_t *import)
{
    int32_t device = first_device(&import->events);
    uint32_t known = 0;
    for (uint32_t i = 0; i < import->events.count; i++) {
        lspo_import_event_t *event = &import->events.events[i];
        if (event->event_class == LSPO_EVENT_LAUNCH || lspo_import_is_step(event))
            continue;
        if (!is_device_work(event)) {
            if (!event->skipped)
                add_item(import, item_of_range(import, event));
            continue;
        }
        lspo_import_item_t item = item_of_work(import, event);
        known += item.has_launch;
        if (!event->rule || event->rule->lane == LSPO_LANE_GPU)
            import->work.launches[import->work.launch_count++] = (lspo_import_launch_t){item.thread, item.launch_us};
        if (event->device != device)
            import->other_device_count++;
        else if (event->skipped)
            import->skipped_count++;
        else
            add_item(import, item);
    }
    uint32_t all = import->device_work_count + import->other_device_count + import->skipped_count;
    import->work.launches_known = known >= all - all / 2;
}

static lspo_status_t no_work(const import_t *import)
{
    if (import->skipped_count > 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: no GPU event has a usable time; %" PRIu32 " have none", import->path,
                          import->skipped_count);
    if (import->events.uncategorized_count > 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: its events have no category (\"cat\"), as torch.autograd.profiler of PyTorch before "
                          "1.8.1 wrote them, so it is unknown what ran on the GPU; profile with torch.profiler",
                          import->path);
    return lspo_error(LSPO_ERR_INPUT,
                      "%s: it has no kernel, copy or memset of a GPU; also profile with ProfilerActivity.CUDA",
                      import->path);
}

static void warn_of_work(const import_t *import)
{
    if (import->long_range_count > 0)
        lspo_warn("%s: CPU ranges with wrong durations, cut off at the end of their step: %" PRIu32, import->path,
                  import->long_range_count);
    if (import->other_device_count > 0)
        lspo_warn("%s: left out events of devices other than the first: %" PRIu32, import->path,
                  import->other_device_count);
    if (import->launch_count == 0)
        lspo_warn("%s: no GPU event has a launch on the CPU, so each one counts to the step and range in which it ran; "
                  "also profile with ProfilerActivity.CPU",
                  import->path);
    else if (import->unlaunched_count > 0)
        lspo_warn(
            "%s: %" PRIu32 " of %" PRIu32
            " GPU events have no launch on the CPU, so each of these counts to the step and range in which it ran",
            import->path, import->unlaunched_count, import->device_work_count);
    if (import->outside_count > 0)
        lspo_warn("%s: left out GPU events that were launched outside the steps: %" PRIu32 " of %" PRIu32, import->path,
                  import->outside_count, import->device_work_count);
}

/* Without a backward pass, nothing tells kernels apart. */
static void warn_of_kinds(const import_t *import)
{
    for (uint32_t i = 0; i < import->work.item_count; i++)
        if (!import->work.items[i].is_range && import->work.items[i].kind == LSPO_OP_BWD)
            return;
    lspo_warn(
        "%s: no GPU event belongs to a backward pass, so all that no range names counts as forward; the launch of "
        "a CUDA graph is one for forward and backward: profile without graphs, or name kernels in --map FILE",
        import->path);
}

/* No kernel takes longer than all steps plus a margin. */
static double longest_us(const lspo_import_steps_t *steps)
{
    const lspo_import_event_t *last = steps->steps[steps->count - 1];
    return last->start_us + last->duration_us - steps->steps[0]->start_us + 10e6;
}

static bool has_device_work(const lspo_import_events_t *events)
{
    for (uint32_t i = 0; i < events->count; i++)
        if (is_device_work(&events->events[i]))
            return true;
    return false;
}

static lspo_status_t split_events(import_t *import)
{
    size_t count = (size_t)import->events.count + 1;
    if (!has_device_work(&import->events))
        return no_work(import);
    lspo_status_t status = lspo_import_steps_create(import->path, &import->events, &import->steps);
    if (status != LSPO_OK)
        return status;
    status = lspo_import_check_streams(import->path, longest_us(&import->steps), &import->events);
    if (status != LSPO_OK)
        return status;
    status = collect_launches(import);
    if (status != LSPO_OK)
        return status;
    import->work.step_count = import->steps.count;
    import->work.step_thread = import->steps.steps[0]->thread;
    import->work.items = malloc(count * sizeof *import->work.items);
    import->work.launches = malloc(count * sizeof *import->work.launches);
    if (!import->work.items || !import->work.launches)
        return lspo_no_memory("%" PRIu32 " events of %s", import->events.count, import->path);
    sort_out(import);
    if (import->device_work_count == 0)
        return no_work(import);
    warn_of_work(import);
    return LSPO_OK;
}

/* From items to the trace */

/* Times since boot in microseconds, printed from a double, are rounded at both ends of an event. */
static const uint64_t clock_slack_ns = 2;

static double earliest_us(const import_t *import)
{
    double origin_us = import->steps.steps[0]->start_us;
    for (uint32_t i = 0; i < import->work.item_count; i++)
        if (import->work.items[i].iteration != LSPO_NO_ITERATION)
            origin_us = fmin(origin_us, import->work.items[i].event->start_us);
    return origin_us;
}

static lspo_trace_row_t row_of(const import_t *import, const lspo_import_item_t *item, double origin_us)
{
    const lspo_import_steps_t *steps = &import->steps;
    bool on_link = item->lane == LSPO_LANE_D2H || item->lane == LSPO_LANE_H2D;
    bool of_micro = item->kind != LSPO_OP_UPD && item->kind != LSPO_OP_UPD_GPU && item->kind != LSPO_OP_APPLY;
    double start_ns = 1e3 * (item->event->start_us - origin_us);
    return (lspo_trace_row_t){.kind = item->kind,
                              .lane = item->lane,
                              .iteration = steps->iteration_of[item->iteration],
                              .micro = of_micro ? steps->micro_of[item->iteration] : 0,
                              .start_ns = (uint64_t)llround(start_ns),
                              .end_ns = (uint64_t)llround(start_ns) + (uint64_t)llround(1e3 * item->event->duration_us),
                              .bytes = on_link && item->bytes != LSPO_IMPORT_NO_BYTES ? item->bytes : 0};
}

static lspo_status_t fill_trace(import_t *import, lspo_trace_t *trace)
{
    lspo_status_t status = lspo_import_number_iterations(import->path, &import->work, &import->steps);
    if (status != LSPO_OK)
        return status;
    double origin_us = earliest_us(import);
    for (uint32_t i = 0; i < import->work.item_count; i++) {
        const lspo_import_item_t *item = &import->work.items[i];
        if (item->kind == LSPO_NO_KIND || item->iteration == LSPO_NO_ITERATION ||
            import->steps.iteration_of[item->iteration] == LSPO_NO_ITERATION)
            continue;
        import->sizeless_count[item->lane] += !item->is_range && item->bytes == LSPO_IMPORT_NO_BYTES;
        trace->rows[trace->row_count++] = row_of(import, item, origin_us);
    }
    lspo_import_merge_lanes(trace, clock_slack_ns);
    return LSPO_OK;
}

/* A link's bytes are known if those of all its copies are. */
static lspo_status_t describe_bytes(const import_t *import, lspo_trace_t *trace)
{
    static const lspo_lane_kind_t links[] = {LSPO_LANE_D2H, LSPO_LANE_H2D};
    for (int i = 0; i < 2; i++) {
        uint32_t count = import->sizeless_count[links[i]];
        if (count == 0)
            continue;
        char key[32];
        snprintf(key, sizeof key, "%s-bytes", lspo_lane_kind_name(links[i]));
        lspo_warn(
            "%s: the bytes on the link are unknown, because the profile lacks the bytes of copies of %s: %" PRIu32,
            import->path, lspo_lane_kind_name(links[i]), count);
        lspo_status_t status = lspo_trace_set_meta(trace, key, "unknown");
        if (status != LSPO_OK)
            return status;
    }
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
    if (status != LSPO_OK)
        return status;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        snprintf(text, sizeof text, "%" PRIu32, counts[i].value);
        status = lspo_trace_set_meta(trace, counts[i].key, text);
        if (status != LSPO_OK)
            return status;
    }
    snprintf(text, sizeof text, "%.4g", unnamed_share);
    status = lspo_trace_set_meta(trace, "unnamed-gpu-share", text);
    if (status != LSPO_OK)
        return status;
    return describe_bytes(import, trace);
}

static lspo_status_t build(import_t *import, lspo_trace_t **trace_out)
{
    lspo_trace_t *trace = NULL;
    double unnamed_share = 0;
    lspo_status_t status = lspo_import_choose_process(import->path, &import->events);
    if (status != LSPO_OK)
        return status;
    status = split_events(import);
    if (status != LSPO_OK)
        return status;
    status = lspo_import_name_work(&import->work, &unnamed_share);
    if (status != LSPO_OK)
        goto failed;
    warn_of_kinds(import);
    status = lspo_trace_create(import->work.item_count, &trace);
    if (status != LSPO_OK)
        return status;
    status = fill_trace(import, trace);
    if (status != LSPO_OK)
        goto failed;
    status = describe(import, unnamed_share, trace);
    if (status != LSPO_OK)
        goto failed;
    *trace_out = trace;
    return LSPO_OK;
failed:
    lspo_trace_destroy(trace);
    return status;
}

lspo_status_t lspo_import_kineto(const char *path, const char *map_path, const lspo_import_progress_t *progress,
                                 lspo_trace_t **trace_out)
{
    import_t import = {.path = path};
    lspo_import_rules_t *rules = NULL;
    lspo_status_t status = lspo_import_rules_create(map_path, &rules);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_import_events_read(path, rules, progress, &import.events);
    if (status != LSPO_OK)
        goto cleanup;
    status = build(&import, trace_out);
cleanup:
    free(import.work.launches);
    free(import.work.items);
    free(import.launches);
    lspo_import_steps_release(&import.steps);
    lspo_import_events_release(&import.events);
    lspo_import_rules_destroy(rules);
    return status;
}
