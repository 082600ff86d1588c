/* process.c - select the events of one process in a profile of several; see process.h. */
#include "traces/import/process.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "traces/order.h"

/* What one process did on the CPU. */
typedef struct {
    uint32_t step_count, launch_count;
    uint32_t first, last, first_step; /* events, by their place in the file */
} process_t;

typedef struct {
    const char *path;
    lspo_import_events_t *events;
    process_t *processes; /* owned: process_count of events */
    uint32_t chosen;
} choice_t;

static bool is_step(const lspo_import_event_t *event)
{
    return event->rule && event->rule->kind == LSPO_RULE_STEP;
}

static bool is_device_work(const lspo_import_event_t *event)
{
    return event->event_class == LSPO_EVENT_KERNEL || event->event_class == LSPO_EVENT_COPY;
}

static void survey(choice_t *choice)
{
    const lspo_import_events_t *events = choice->events;
    for (uint32_t i = 0; i < events->process_count; i++)
        choice->processes[i] = (process_t){.first = UINT32_MAX, .first_step = UINT32_MAX};
    for (uint32_t i = 0; i < events->count; i++) {
        const lspo_import_event_t *event = &events->events[i];
        process_t *process = &choice->processes[event->process];
        if (is_device_work(event))
            continue;
        process->first = process->first == UINT32_MAX ? i : process->first;
        process->last = i;
        process->launch_count += event->event_class == LSPO_EVENT_LAUNCH;
        if (is_step(event) && process->step_count++ == 0)
            process->first_step = i;
    }
    choice->chosen = 0;
    for (uint32_t i = 1; i < events->process_count; i++)
        if (choice->processes[i].first_step < choice->processes[choice->chosen].first_step)
            choice->chosen = i;
}

/* Events without a "pid" do not form a process. */
static bool is_nameless(const choice_t *choice, uint32_t process)
{
    return choice->events->process_names[process][0] == '\0';
}

static bool is_other(const choice_t *choice, uint32_t process)
{
    return process != choice->chosen && !is_nameless(choice, process) && choice->processes[process].first != UINT32_MAX;
}

/* Calls in a container may have the process number of the host; then the steps' process has no launches. */
static bool is_one_process(const choice_t *choice)
{
    uint32_t others = 0, with_steps = 0;
    for (uint32_t i = 0; i < choice->events->process_count; i++) {
        others += is_other(choice, i);
        with_steps += choice->processes[i].step_count > 0;
    }
    return with_steps == 0 || others == 0 ||
           (others == 1 && with_steps == 1 && choice->processes[choice->chosen].launch_count == 0);
}

/* The part of the file with only the chosen process; false if another process has events in it. */
static bool find_part(const choice_t *choice, uint32_t *from_out, uint32_t *to_out)
{
    const process_t *chosen = &choice->processes[choice->chosen];
    uint32_t from = 0, to = choice->events->count;
    for (uint32_t i = 0; i < choice->events->process_count; i++) {
        const process_t *other = &choice->processes[i];
        if (!is_other(choice, i))
            continue;
        if (other->first > chosen->last)
            to = other->first < to ? other->first : to;
        else if (other->last < chosen->first)
            from = chosen->first;
        else
            return false;
    }
    *from_out = from;
    *to_out = to;
    return true;
}

/* Launches by correlation, then process. */
static int compare_launch(const void *left, const void *right)
{
    const lspo_import_event_t *a = *(const lspo_import_event_t *const *)left;
    const lspo_import_event_t *b = *(const lspo_import_event_t *const *)right;
    LSPO_ORDER(a->correlation, b->correlation)
    LSPO_ORDER(a->process, b->process)
    return 0;
}

typedef struct {
    const lspo_import_event_t **launches; /* owned, sorted as above */
    uint32_t count;
} launches_t;

static lspo_status_t collect_launches(const choice_t *choice, launches_t *launches)
{
    const lspo_import_events_t *events = choice->events;
    launches->launches = malloc(((size_t)events->count + 1) * sizeof(*launches->launches));
    if (!launches->launches)
        return lspo_no_memory("%" PRIu32 " events of %s", events->count, choice->path);
    for (uint32_t i = 0; i < events->count; i++)
        if (events->events[i].event_class == LSPO_EVENT_LAUNCH)
            launches->launches[launches->count++] = &events->events[i];
    qsort(launches->launches, launches->count, sizeof(*launches->launches), compare_launch);
    return LSPO_OK;
}

static bool has_launch(const launches_t *launches, int64_t correlation, uint32_t process)
{
    const lspo_import_event_t wanted = {.correlation = correlation, .process = process}, *key = &wanted;
    return bsearch(&key, launches->launches, launches->count, sizeof(*launches->launches), compare_launch) != NULL;
}

static bool correlations_collide(const launches_t *launches)
{
    for (uint32_t i = 1; i < launches->count; i++)
        if (launches->launches[i]->correlation == launches->launches[i - 1]->correlation &&
            launches->launches[i]->process != launches->launches[i - 1]->process)
            return true;
    return false;
}

/* keeps[i]: event i is of the chosen process. */
static lspo_status_t tell_apart(const choice_t *choice, bool *keeps)
{
    const lspo_import_events_t *events = choice->events;
    launches_t launches = {0};
    uint32_t from = 0, to = 0, kept = 0, launched = 0;
    lspo_status_t status = collect_launches(choice, &launches);
    if (status != LSPO_OK)
        return status;
    bool by_place = find_part(choice, &from, &to);
    bool clear = by_place || !correlations_collide(&launches);
    for (uint32_t i = 0; i < events->count; i++) {
        const lspo_import_event_t *event = &events->events[i];
        if (!is_device_work(event)) {
            keeps[i] = event->process == choice->chosen || is_nameless(choice, event->process);
            continue;
        }
        bool of_chosen = has_launch(&launches, event->correlation, choice->chosen);
        keeps[i] = by_place ? i >= from && i < to : of_chosen;
        kept += keeps[i];
        launched += keeps[i] && of_chosen;
    }
    free(launches.launches);
    /* Work launched by another process is in the wrong part. */
    if (!clear || (choice->processes[choice->chosen].launch_count > 0 && launched < kept - kept / 4))
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: the profiles of several processes (\"pid\") are mixed in this file, so their work on "
                          "the GPU cannot be separated; import the file of one rank",
                          choice->path);
    return LSPO_OK;
}

static void keep_chosen(const choice_t *choice, const bool *keeps)
{
    lspo_import_events_t *events = choice->events;
    uint32_t kept = 0, count = events->count;
    for (uint32_t i = 0; i < count; i++)
        if (keeps[i])
            events->events[kept++] = events->events[i];
    events->count = kept;

    char names[200] = "";
    size_t length = 0;
    for (uint32_t i = 0; i < events->process_count; i++) {
        if (!is_other(choice, i) || length > sizeof names - 60)
            continue;
        length += (size_t)snprintf(names + length, sizeof names - length, "%s%.40s", length ? ", " : "",
                                   events->process_names[i]);
    }
    lspo_warn("%s: the profile has several processes; pid %.40s is used, which marks the first step, and %" PRIu32
              " events of others are left out: pid %s",
              choice->path, events->process_names[choice->chosen], count - kept, names);
}

lspo_status_t lspo_import_choose_process(const char *path, lspo_import_events_t *events)
{
    if (events->process_count < 2)
        return LSPO_OK;
    choice_t choice = {.path = path, .events = events};
    choice.processes = calloc(events->process_count, sizeof *choice.processes);
    bool *keeps = calloc((size_t)events->count + 1, sizeof *keeps);
    lspo_status_t status = LSPO_OK;
    if (!choice.processes || !keeps) {
        status = lspo_no_memory("%" PRIu32 " events of %s", events->count, path);
    } else {
        survey(&choice);
        if (!is_one_process(&choice))
            status = tell_apart(&choice, keeps);
        if (status != LSPO_OK)
            goto cleanup;
        if (!is_one_process(&choice))
            keep_chosen(&choice, keeps);
    }
cleanup:
    free(keeps);
    free(choice.processes);
    return status;
}
