/* names.c - find the kind of each piece of work in a profile, from the innermost CPU range in which it was launched;
 * see names.h. */
#include "traces/import/names.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "traces/import/optimizer.h"
#include "traces/order.h"

typedef struct {
    lspo_import_item_t *item;
    uint64_t thread;
    double at_us, end_us;
} mark_t;

static int compare_mark(const void *left, const void *right)
{
    const mark_t *a = left, *b = right;
    LSPO_ORDER(a->thread, b->thread)
    LSPO_ORDER(a->at_us, b->at_us)
    LSPO_ORDER(b->item->is_range, a->item->is_range) /* a range includes work launched at its start */
    LSPO_ORDER(b->end_us, a->end_us)                 /* the longer range is the outer one */
    LSPO_ORDER(a->item->event->line, b->item->event->line)
    return 0;
}

static uint8_t lane_of_work(const lspo_import_event_t *event)
{
    return event->rule ? event->rule->lane : (uint8_t)LSPO_LANE_GPU;
}

/* The kind that a range gives to work of `lane` launched in it.  Kernels in the CPU optimizer's range copy its result
 * into the weights. */
static uint8_t kind_given(const lspo_import_rule_t *range, uint8_t lane)
{
    if (range->lane == lane)
        return range->kind;
    if (lane == LSPO_LANE_GPU && range->kind == LSPO_OP_UPD && range->lane == LSPO_LANE_CPU)
        return LSPO_OP_APPLY;
    return LSPO_NO_KIND;
}

static uint32_t collect_marks(const lspo_import_work_t *work, uint8_t lane, bool on_step_thread, mark_t *marks)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < work->item_count; i++) {
        lspo_import_item_t *item = &work->items[i];
        bool wanted = item->is_range ? kind_given(item->event->rule, lane) != LSPO_NO_KIND
                                     : item->kind == LSPO_NO_KIND && lane_of_work(item->event) == lane;
        if (!wanted)
            continue;
        uint64_t thread = on_step_thread && !item->is_range ? work->step_thread : item->thread;
        marks[count++] = (mark_t){item, thread, item->launch_us, item->launch_us + item->event->duration_us};
    }
    qsort(marks, count, sizeof *marks, compare_mark);
    return count;
}

/* `open`: a stack of the ranges that have begun; ended ranges are removed at its top. */
static void name_work(const mark_t *marks, uint32_t count, uint8_t lane, const mark_t **open)
{
    uint32_t open_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const mark_t *mark = &marks[i];
        if (i > 0 && marks[i - 1].thread != mark->thread)
            open_count = 0;
        while (open_count > 0 && open[open_count - 1]->end_us < mark->at_us)
            open_count--;
        if (mark->item->is_range) {
            open[open_count++] = mark;
        } else if (open_count > 0) {
            mark->item->kind = kind_given(open[open_count - 1]->item->event->rule, lane);
        }
    }
}

/* Look first in the ranges of the launching thread, which is autograd's in a backward pass, then in those of the steps'
 * thread. */
static lspo_status_t name_by_ranges(lspo_import_work_t *work)
{
    for (uint32_t i = 0; i < work->item_count; i++) {
        lspo_import_item_t *item = &work->items[i];
        const lspo_import_rule_t *rule = item->event->rule;
        item->lane = item->is_range ? (uint8_t)LSPO_LANE_CPU : lane_of_work(item->event);
        if (!item->is_range && rule && rule->from_file)
            item->kind = rule->kind;
    }
    mark_t *marks = malloc(work->item_count * sizeof *marks);
    const mark_t **open = malloc(work->item_count * sizeof *open);
    if (!marks || !open) {
        free(open);
        free(marks);
        return lspo_no_memory("%" PRIu32 " events", work->item_count);
    }
    for (int lane = 0; lane < LSPO_LANE_CPU; lane++)
        for (int on_step_thread = 0; on_step_thread < 2; on_step_thread++) {
            uint32_t count = collect_marks(work, (uint8_t)lane, on_step_thread != 0, marks);
            name_work(marks, count, (uint8_t)lane, open);
        }
    free(open);
    free(marks);
    return LSPO_OK;
}

/* A range is an op of the CPU if its rule says so, or if it is an optimizer of the CPU. */
static uint8_t kind_of_range(const lspo_import_item_t *item)
{
    const lspo_import_rule_t *rule = item->event->rule;
    if (rule->lane == LSPO_LANE_CPU)
        return rule->kind;
    return item->on_cpu ? (uint8_t)LSPO_OP_UPD : (uint8_t)LSPO_NO_KIND;
}

/* ends_us[step]: the launch time of the last backward work of the step; owned by the caller. */
static double *backward_ends_us(const lspo_import_work_t *work)
{
    double *ends_us = malloc(work->step_count * sizeof *ends_us);
    for (uint32_t step = 0; ends_us && step < work->step_count; step++)
        ends_us[step] = (double)INFINITY;
    for (uint32_t i = 0; ends_us && i < work->item_count; i++) {
        const lspo_import_item_t *item = &work->items[i];
        if (item->is_range || item->kind != LSPO_OP_BWD || item->iteration == LSPO_NO_ITERATION)
            continue;
        double *end_us = &ends_us[item->iteration];
        *end_us = isinf(*end_us) ? item->launch_us : fmax(*end_us, item->launch_us);
    }
    return ends_us;
}

/* Unnamed kernels after a step's last backward work are not forward but clipping, casts or zeroing. */
static lspo_status_t finish_kinds(lspo_import_work_t *work, double *unnamed_share_out)
{
    double *ends_us = backward_ends_us(work), gpu_us = 0, unnamed_us = 0;
    if (!ends_us)
        return lspo_no_memory("%" PRIu32 " steps", work->step_count);
    for (uint32_t i = 0; i < work->item_count; i++) {
        lspo_import_item_t *item = &work->items[i];
        const lspo_import_rule_t *rule = item->event->rule;
        bool unnamed = item->kind == LSPO_NO_KIND;
        if (item->is_range)
            item->kind = kind_of_range(item);
        else if (unnamed && rule)
            item->kind = rule->kind;
        else if (unnamed)
            item->kind = item->iteration != LSPO_NO_ITERATION && item->launch_us > ends_us[item->iteration]
                             ? (uint8_t)LSPO_OP_UPD_GPU
                             : (uint8_t)LSPO_OP_FWD;
        if (item->lane == LSPO_LANE_GPU && item->iteration != LSPO_NO_ITERATION) {
            gpu_us += item->event->duration_us;
            unnamed_us += unnamed ? item->event->duration_us : 0;
        }
    }
    free(ends_us);
    *unnamed_share_out = gpu_us > 0 ? unnamed_us / gpu_us : 0;
    return LSPO_OK;
}

lspo_status_t lspo_import_name_work(lspo_import_work_t *work, double *unnamed_share_out)
{
    lspo_status_t status = name_by_ranges(work);
    if (status != LSPO_OK)
        return status;
    status = lspo_import_find_cpu_optimizers(work);
    if (status != LSPO_OK)
        return status;
    return finish_kinds(work, unnamed_share_out);
}
