/* streams.c - correct impossible durations: a stream of a device runs one piece of work at a time; see streams.h. */
#include "traces/import/streams.h"

#include <inttypes.h>
#include <stdlib.h>

#include "traces/order.h"

/* Clocks with a resolution of 1 us round both ends of an event. */
static const double overlap_slack_us = 2;

static bool is_work(const lspo_import_event_t *event)
{
    return (event->event_class & (LSPO_EVENT_KERNEL | LSPO_EVENT_COPY)) != 0 && !event->skipped;
}

static int compare_stream(const void *left, const void *right)
{
    const lspo_import_event_t *a = *(lspo_import_event_t *const *)left, *b = *(lspo_import_event_t *const *)right;
    LSPO_ORDER(a->device, b->device)
    LSPO_ORDER(a->stream, b->stream)
    LSPO_ORDER(a->start_us, b->start_us)
    LSPO_ORDER(a->duration_us, b->duration_us)
    LSPO_ORDER(a->event_class, b->event_class)
    LSPO_ORDER(a->correlation, b->correlation)
    LSPO_ORDER(a->line, b->line)
    return 0;
}

typedef struct {
    uint64_t count, line;
} tally_t;

static void note(tally_t *tally, uint64_t line)
{
    if (tally->count++ == 0 || line < tally->line)
        tally->line = line;
}

/* The next work of the stream that shows that work[i] is too long: the next of its class that begins before it ends, or
 * one of the other class that lies entirely within it; NULL if its duration may be right. */
static const lspo_import_event_t *find_contradiction(lspo_import_event_t **work, uint32_t count, uint32_t i)
{
    const lspo_import_event_t *event = work[i];
    double end_us = event->start_us + event->duration_us - overlap_slack_us;
    for (uint32_t j = i + 1; j < count; j++) {
        const lspo_import_event_t *next = work[j];
        if (next->device != event->device || next->stream != event->stream || next->start_us >= end_us)
            return NULL;
        if (next->event_class == event->event_class || next->start_us + next->duration_us < end_us)
            return next;
    }
    return NULL;
}

static bool is_told_again(const lspo_import_event_t *a, const lspo_import_event_t *b)
{
    return a->device == b->device && a->stream == b->stream && a->start_us == b->start_us &&
           a->duration_us == b->duration_us && a->event_class == b->event_class && a->correlation == b->correlation;
}

/* Remove repeated records of the same work; returns the remaining count. */
static uint32_t drop_repeated(lspo_import_event_t **work, uint32_t count, tally_t *repeated)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (kept > 0 && is_told_again(work[i], work[kept - 1])) {
            work[i]->skipped = true;
            note(repeated, work[i]->line);
        } else {
            work[kept++] = work[i];
        }
    }
    return kept;
}

static void cut_overlaps(lspo_import_event_t **work, uint32_t count, tally_t *cut)
{
    for (uint32_t i = 0; i < count; i++) {
        const lspo_import_event_t *next = find_contradiction(work, count, i);
        if (!next)
            continue;
        note(cut, work[i]->line);
        work[i]->duration_us = next->start_us - work[i]->start_us;
    }
}

static void drop_long(lspo_import_events_t *events, double longest_us, tally_t *dropped)
{
    for (uint32_t i = 0; i < events->count; i++) {
        lspo_import_event_t *event = &events->events[i];
        if (!is_work(event) || event->duration_us <= longest_us)
            continue;
        event->skipped = true;
        note(dropped, event->line);
    }
}

lspo_status_t lspo_import_check_streams(const char *path, double longest_us, lspo_import_events_t *events)
{
    lspo_import_event_t **work = malloc(((size_t)events->count + 1) * sizeof *work);
    if (!work)
        return lspo_no_memory("%" PRIu32 " events of %s", events->count, path);
    uint32_t count = 0;
    tally_t repeated = {0}, cut = {0}, too_long = {0};
    for (uint32_t i = 0; i < events->count; i++) {
        lspo_import_event_t *event = &events->events[i];
        if (is_work(event) && event->stream != LSPO_IMPORT_NO_STREAM)
            work[count++] = event;
    }
    qsort(work, count, sizeof *work, compare_stream);
    count = drop_repeated(work, count, &repeated);
    cut_overlaps(work, count, &cut);
    drop_long(events, longest_us, &too_long);
    free(work);
    if (repeated.count > 0)
        lspo_warn("%s: left out repeated GPU events: %" PRIu64 " (the first in line %" PRIu64 ")", path, repeated.count,
                  repeated.line);
    if (cut.count > 0)
        lspo_warn(
            "%s: GPU events with wrong durations, cut off at the start of the next event of their stream: %" PRIu64
            " (the first in line %" PRIu64 ")",
            path, cut.count, cut.line);
    if (too_long.count > 0)
        lspo_warn("%s: left out GPU events with wrong durations, longer than the profile: %" PRIu64
                  " (the first in line %" PRIu64 "), so busy times are too short",
                  path, too_long.count, too_long.line);
    return LSPO_OK;
}
