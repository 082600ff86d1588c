/* steps.c - the steps that a profile marks, and their iterations in the trace; see steps.h. */
#include "traces/import/steps.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "traces/order.h"

/* Profilers with a resolution of 1 us may round the ends of adjacent events so that they overlap. */
static const double step_slack_us = 2;

bool lspo_import_is_step(const lspo_import_event_t *event)
{
    return event->rule && event->rule->kind == LSPO_RULE_STEP;
}

static int compare_start(const void *left, const void *right)
{
    const lspo_import_event_t *a = *(const lspo_import_event_t *const *)left;
    const lspo_import_event_t *b = *(const lspo_import_event_t *const *)right;
    LSPO_ORDER(a->start_us, b->start_us)
    LSPO_ORDER(a->line, b->line)
    return 0;
}

/* Remove steps recorded twice, for example by an operator and an annotation; a step of another thread is another
 * rank's. */
static bool is_same_step(const lspo_import_event_t *step, const lspo_import_event_t *before)
{
    bool at_once = step->start_us - before->start_us <= step_slack_us;
    bool told_twice = step->event_class != before->event_class && step->number >= 0;
    return step->number == before->number && step->thread == before->thread && (at_once || told_twice);
}

static lspo_status_t check_step(const char *path, const lspo_import_event_t *step, const lspo_import_event_t *before)
{
    bool overlaps = step->start_us + step_slack_us < before->start_us + before->duration_us;
    if (overlaps && step->number >= 0 && step->number == before->number)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s:%" PRIu64 ": step #%" PRId64 " is marked again while that of line %" PRIu64
                          " lasts; the profiles of several ranks are mixed in this file, import the file of one rank",
                          path, step->line, step->number, before->line);
    if (overlaps)
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": this step begins before the one of line %" PRIu64 " ends",
                          path, step->line, before->line);
    if (step->number >= 0 && step->number <= before->number)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s:%" PRIu64 ": step #%" PRId64 " comes after step #%" PRId64 " of line %" PRIu64
                          ": two profiles in one file?",
                          path, step->line, step->number, before->number, before->line);
    return LSPO_OK;
}

static lspo_status_t check_steps(const char *path, lspo_import_steps_t *steps)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < steps->count; i++) {
        const lspo_import_event_t *step = steps->steps[i], *before = kept ? steps->steps[kept - 1] : NULL;
        if (before && is_same_step(step, before) &&
            step->start_us + step_slack_us < before->start_us + before->duration_us)
            continue;
        lspo_status_t status = before ? check_step(path, step, before) : LSPO_OK;
        if (status != LSPO_OK)
            return status;
        steps->steps[kept++] = step;
    }
    steps->count = kept;
    return LSPO_OK;
}

lspo_status_t lspo_import_steps_create(const char *path, const lspo_import_events_t *events,
                                       lspo_import_steps_t *steps_out)
{
    lspo_import_steps_t steps = {0};
    uint32_t count = 0;
    for (uint32_t i = 0; i < events->count; i++)
        count += lspo_import_is_step(&events->events[i]) && !events->events[i].skipped;
    if (count == 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: no steps are marked; call prof.step() after each step, which writes ProfilerStep#N, or "
                          "add a rule 'STEP cpu PATTERN' to --map FILE",
                          path);
    steps.steps = malloc(count * sizeof(*steps.steps));
    steps.iteration_of = malloc(count * sizeof *steps.iteration_of);
    steps.micro_of = calloc(count, sizeof *steps.micro_of);
    lspo_status_t status = LSPO_OK;
    if (!steps.steps || !steps.iteration_of || !steps.micro_of) {
        status = lspo_no_memory("%" PRIu32 " steps of %s", count, path);
    } else {
        for (uint32_t i = 0; i < events->count; i++)
            if (lspo_import_is_step(&events->events[i]) && !events->events[i].skipped)
                steps.steps[steps.count++] = &events->events[i];
        qsort(steps.steps, steps.count, sizeof(*steps.steps), compare_start);
        status = check_steps(path, &steps);
    }
    if (status != LSPO_OK) {
        lspo_import_steps_release(&steps);
        return status;
    }
    *steps_out = steps;
    return LSPO_OK;
}

void lspo_import_steps_release(lspo_import_steps_t *steps)
{
    free(steps->micro_of);
    free(steps->iteration_of);
    free(steps->steps);
    *steps = (lspo_import_steps_t){0};
}

static bool next_is_missing(const lspo_import_steps_t *steps, uint32_t step)
{
    return step + 1 == steps->count ||
           (steps->steps[step]->number >= 0 && steps->steps[step + 1]->number - 1 > steps->steps[step]->number);
}

double lspo_import_step_end_us(const lspo_import_steps_t *steps, uint32_t step)
{
    const lspo_import_event_t *event = steps->steps[step];
    return next_is_missing(steps, step) ? event->start_us + event->duration_us : steps->steps[step + 1]->start_us;
}

uint32_t lspo_import_step_at(const lspo_import_steps_t *steps, double at_us)
{
    uint32_t low = 0, high = steps->count; /* first step that starts after at_us */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (steps->steps[middle]->start_us <= at_us)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && at_us <= lspo_import_step_end_us(steps, low - 1) ? low - 1 : LSPO_NO_ITERATION;
}

/* Iterations */

/* What ran in a step. */
typedef struct {
    bool forward, backward, optimizer;
} facts_t;

static bool names_optimizer(const lspo_import_item_t *item)
{
    const lspo_import_rule_t *rule = item->event->rule;
    return rule && (rule->kind == LSPO_OP_UPD || rule->kind == LSPO_OP_UPD_GPU);
}

static void collect_facts(const lspo_import_work_t *work, facts_t *facts)
{
    for (uint32_t i = 0; i < work->item_count; i++) {
        const lspo_import_item_t *item = &work->items[i];
        if (item->iteration == LSPO_NO_ITERATION)
            continue;
        facts_t *fact = &facts[item->iteration];
        fact->forward |= item->kind == LSPO_OP_FWD || item->kind == LSPO_OP_RECOMPUTE;
        fact->backward |= item->kind == LSPO_OP_BWD;
        fact->optimizer |= names_optimizer(item);
    }
}

/* Steps with work get the numbers 0, 1, ... for now. */
static uint32_t leave_out_empty(const char *path, const facts_t *facts, lspo_import_steps_t *steps)
{
    uint32_t count = 0, empty_count = 0;
    uint64_t line = 0;
    for (uint32_t step = 0; step < steps->count; step++) {
        bool works = facts[step].forward || facts[step].backward;
        if (!works && empty_count++ == 0)
            line = steps->steps[step]->line;
        steps->iteration_of[step] = works ? count++ : LSPO_NO_ITERATION;
        steps->micro_of[step] = 0;
    }
    if (empty_count > 0 && count > 0)
        lspo_warn("%s: left out steps without forward or backward on the GPU: %" PRIu32 " (the first in line %" PRIu64
                  ")",
                  path, empty_count, line);
    return count;
}

typedef struct {
    uint32_t optimizer_count, backward_count;
    uint32_t first, last; /* with an optimizer, of the steps with work */
    uint32_t distance;    /* from one to the next; 0: it varies */
    bool gap;             /* a step's number is missing                */
} rhythm_t;

static rhythm_t find_rhythm(const facts_t *facts, const lspo_import_steps_t *steps)
{
    rhythm_t rhythm = {0};
    bool regular = true;
    for (uint32_t step = 0; step < steps->count; step++) {
        uint32_t at = steps->iteration_of[step];
        rhythm.gap |= step + 1 < steps->count && next_is_missing(steps, step);
        if (at == LSPO_NO_ITERATION)
            continue;
        rhythm.backward_count += facts[step].backward;
        if (!facts[step].optimizer)
            continue;
        if (rhythm.optimizer_count == 0)
            rhythm.first = at;
        else if (rhythm.optimizer_count == 1)
            rhythm.distance = at - rhythm.last;
        else
            regular &= at - rhythm.last == rhythm.distance;
        rhythm.last = at;
        rhythm.optimizer_count++;
    }
    if (!regular)
        rhythm.distance = 0;
    return rhythm;
}

/* Each `distance` steps become one iteration, the last of them that of the optimizer; incomplete iterations at both
 * ends are omitted. */
static void join_steps(const char *path, const rhythm_t *rhythm, lspo_import_steps_t *steps)
{
    uint32_t distance = rhythm->distance, left_out = 0, skipped = (rhythm->first + 1) % distance;
    for (uint32_t step = 0; step < steps->count; step++) {
        uint32_t at = steps->iteration_of[step];
        if (at == LSPO_NO_ITERATION)
            continue;
        bool whole = at >= skipped && at <= rhythm->last;
        steps->iteration_of[step] = whole ? (at - skipped) / distance : LSPO_NO_ITERATION;
        steps->micro_of[step] = (uint16_t)(whole ? (at - skipped) % distance : 0);
        left_out += !whole;
    }
    lspo_warn("%s: the optimizer runs only once in %" PRIu32 " marked steps (gradient accumulation), so %" PRIu32
              " steps are one iteration; left out steps of incomplete iterations: %" PRIu32,
              path, distance, distance, left_out);
}

lspo_status_t lspo_import_number_iterations(const char *path, const lspo_import_work_t *work,
                                            lspo_import_steps_t *steps)
{
    facts_t *facts = calloc(steps->count, sizeof *facts);
    if (!facts)
        return lspo_no_memory("%" PRIu32 " steps", steps->count);
    collect_facts(work, facts);
    uint32_t count = leave_out_empty(path, facts, steps);
    rhythm_t rhythm = find_rhythm(facts, steps);
    free(facts);
    if (count == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: no step has forward or backward on the GPU", path);
    if (rhythm.optimizer_count == count || rhythm.backward_count == 0)
        return LSPO_OK;
    bool regular = rhythm.distance > 1 && rhythm.distance <= UINT16_MAX && !rhythm.gap &&
                   rhythm.first < rhythm.distance && count - 1 - rhythm.last < rhythm.distance;
    if (regular)
        join_steps(path, &rhythm, steps);
    else if (rhythm.optimizer_count == 0)
        lspo_warn("%s: no optimizer step is marked; if gradients are accumulated over several marked steps, an "
                  "iteration here is a micro-step",
                  path);
    else
        lspo_warn("%s: the optimizer runs in %" PRIu32 " of %" PRIu32
                  " steps, at irregular distances; an iteration here is a marked step, which may differ from an "
                  "optimizer step",
                  path, rhythm.optimizer_count, count);
    return LSPO_OK;
}
