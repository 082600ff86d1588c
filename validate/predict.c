/* predict.c - see predict.h.  This code does not use measurements. */
#include "validate/predict.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policies/shared.h"
#include "sim/sim.h"
#include "validate/agreement.h"
#include "validate/yardstick.h"

/* Iterations of a measurement, unless set by the grid's flags: eight samples after warm-up, or four if those would take
 * longer than this; more for a policy that does some of its work only once in several steps. */
enum { ITERATIONS = 11, ITERATIONS_FEW = 7, FLAGS_BYTES = 1024 };
static const double samples_most_s = 4;

/* Data shared by all cells. */
typedef struct {
    const lspo_grid_t *grid;
    const lspo_variants_t *variants;
    double link_most_Bps;
    uint32_t cores_most;
} forecast_t;

/* That of the calibration. */
static const lspo_now_t calibrated = {1, 1};

/* The machine on which a cell is predicted: the profile as it is now, with the cell's own values and paces. */
static lspo_status_t ask(const lspo_variants_t *variants, const char *flags, const lspo_now_t *now,
                         lspo_machine_t *machine_out, lspo_asked_t *asked_out)
{
    *machine_out = variants->machine;
    if (!(machine_out->gpu.training_speed > 0))
        machine_out->gpu.training_speed = 1;
    machine_out->gpu.training_speed *= now->speed;
    lspo_machine_scale_cache(machine_out, now->cache);
    return variants->read_flags(flags, machine_out, asked_out);
}

/* The plan of `flags` and its simulation on the complete profile.  The caller destroys and releases them. */
static lspo_status_t simulate(const char *flags, const lspo_variants_t *variants, lspo_plan_t **plan_out,
                              lspo_prediction_t *prediction_out, lspo_trace_t **trace_out)
{
    lspo_asked_t asked;
    lspo_machine_t machine;
    lspo_plan_t *plan;
    lspo_status_t status = ask(variants, flags, &calibrated, &machine, &asked);
    if (status != LSPO_OK)
        return status;
    status = lspo_tune_transition(&asked.model, &asked.workload, asked.policy, &machine, &plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_simulate(plan, &machine, prediction_out, trace_out);
    if (status != LSPO_OK) {
        lspo_plan_destroy(plan);
        return status;
    }
    *plan_out = plan;
    return LSPO_OK;
}

lspo_status_t lspo_validate_shared_rates(const lspo_variants_t *variants, const char *flags, lspo_rates_t *rates)
{
    lspo_plan_t *plan;
    lspo_prediction_t probe;
    lspo_status_t status = simulate(flags, variants, &plan, &probe, NULL);
    if (status != LSPO_OK)
        return status;
    double gpu_s = probe.summary.busy_s[LSPO_LANE_GPU];
    uint64_t down = probe.summary.link_bytes[LSPO_LANE_D2H], up = probe.summary.link_bytes[LSPO_LANE_H2D];
    double parameters = (double)down / lspo_precision_bytes(plan->workload.transfer);
    lspo_prediction_release(&probe);
    lspo_plan_destroy(plan);
    if ((down == 0 && up == 0) || (down == 0 && rates->cpu_share > 0) || !(gpu_s > 0))
        return lspo_error(LSPO_ERR_INPUT, "the rates cannot come from a policy that sends no %s",
                          rates->cpu_share > 0 ? "gradients" : "messages");
    if (rates->link_share > 0)
        rates->link_Bps =
            round(fmin((double)(down > up ? down : up) / (rates->link_share * gpu_s), rates->link_most_Bps));
    if (rates->cpu_share > 0)
        rates->cpu_pps = round(parameters / (rates->cpu_share * gpu_s));
    return LSPO_OK;
}

/* Link and optimizer of a cell: the group's rates, or the profile's if free. */
static lspo_status_t set_rates(const forecast_t *forecast, const char *flags, lspo_cell_t *cell)
{
    const lspo_grid_group_t *group = cell->group;
    const lspo_machine_t *machine = &forecast->variants->machine;
    cell->link_Bps = group->link_Bps > 0 ? group->link_Bps : machine->link.d2h_Bps;
    cell->cpu_pps = group->cpu_pps > 0 ? group->cpu_pps : machine->cpu.adam_pps;
    if (!(group->link_share > 0 || group->cpu_share > 0))
        return LSPO_OK;
    lspo_rates_t rates = {.link_share = group->link_share,
                          .cpu_share = group->cpu_share,
                          .link_most_Bps = forecast->link_most_Bps,
                          .link_Bps = cell->link_Bps,
                          .cpu_pps = cell->cpu_pps};
    lspo_status_t status = lspo_validate_shared_rates(forecast->variants, flags, &rates);
    cell->link_Bps = rates.link_Bps;
    cell->cpu_pps = rates.cpu_pps;
    return status;
}

lspo_status_t lspo_validate_predict_at(const lspo_variants_t *variants, const lspo_now_t *now, lspo_cell_t *cell)
{
    lspo_asked_t asked;
    lspo_machine_t whole;
    lspo_status_t status = ask(variants, cell->flags, now, &whole, &asked);
    if (status != LSPO_OK)
        return status;
    /* Variants without a part of the model also use the plan of the complete profile, because that plan is measured. */
    for (uint32_t v = 0; v < variants->count; v++) {
        lspo_prediction_t prediction;
        lspo_machine_t machine = whole;
        if (variants->parts[v] != NULL)
            status = lspo_machine_ablate(&machine, variants->parts[v]);
        if (status != LSPO_OK)
            return status;
        status = lspo_simulate(cell->plan, &machine, &prediction, NULL);
        if (status != LSPO_OK)
            return status;
        cell->iteration_s[v] = prediction.summary.iteration_s;
        cell->slowdown[v] = prediction.slowdown;
        lspo_prediction_release(&prediction);
    }
    return LSPO_OK;
}

static void keep_prediction(const lspo_prediction_t *prediction, lspo_cell_t *cell)
{
    cell->iteration_s[0] = prediction->summary.iteration_s;
    cell->slowdown[0] = prediction->slowdown;
    cell->bound = prediction->bound_lane == LSPO_LANE_H2D ? LSPO_LANE_D2H : prediction->bound_lane;
    cell->peak_gpu_bytes = prediction->peak_gpu_bytes;
    cell->peak_total_bytes = prediction->peak_gpu_bytes + prediction->peak_host_bytes;
    cell->d2h_bytes = prediction->summary.link_bytes[LSPO_LANE_D2H];
    cell->h2d_bytes = prediction->summary.link_bytes[LSPO_LANE_H2D];
}

static uint32_t greater(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint32_t lesser(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The number of iterations to measure for `flags`, and the number if those would take too long. */
static lspo_status_t choose_iterations(const lspo_variants_t *variants, const char *flags, uint32_t *usual_out,
                                       uint32_t *few_out)
{
    lspo_asked_t asked;
    lspo_status_t status = variants->read_flags(flags, NULL, &asked);
    if (status != LSPO_OK)
        return status;
    uint32_t least = lspo_policy_iterations_least(asked.policy, &asked.workload);
    bool repeats = lspo_policy_longest_period(asked.policy, &asked.workload) != NULL;
    *usual_out = greater(ITERATIONS, repeats ? lspo_policy_iterations(asked.policy, &asked.workload) : least);
    *few_out = greater(ITERATIONS_FEW, least);
    return LSPO_OK;
}

/* Predict `flags` with enough iterations; the cell's flags are these plus all that was left open. */
static lspo_status_t predict_cell(const forecast_t *forecast, const char *flags, lspo_cell_t *cell)
{
    char text[FLAGS_BYTES];
    lspo_prediction_t prediction;
    uint32_t iterations, few;
    lspo_status_t status = choose_iterations(forecast->variants, flags, &iterations, &few);
    if (status != LSPO_OK)
        return status;
    while (true) {
        snprintf(text, sizeof text, "--iterations %u %s", iterations, flags);
        status = simulate(text, forecast->variants, &cell->plan, &prediction, &cell->trace);
        if (status != LSPO_OK)
            return status;
        keep_prediction(&prediction, cell);
        lspo_prediction_release(&prediction);
        if (few >= iterations || cell->plan->workload.iterations != iterations ||
            iterations * cell->iteration_s[0] <= samples_most_s)
            break;
        iterations = few;
        lspo_plan_destroy(cell->plan);
        lspo_trace_destroy(cell->trace);
        cell->plan = NULL;
        cell->trace = NULL;
    }
    const int32_t *transition =
        lspo_policy_value(cell->plan->policy, &cell->plan->workload, &lspo_parameter_transition);
    if (transition != NULL && *transition >= 0) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, " --transition %d", *transition);
    }
    lspo_tune_write_products(cell->plan->policy, NULL, &cell->plan->workload, sizeof text, text);
    cell->flags = strdup(text);
    if (cell->flags == NULL)
        return lspo_no_memory("a cell");
    if (cell->yardstick == 0)
        cell->cores = lesser(lspo_lanes_of_kind(&cell->plan->lanes, LSPO_LANE_GPU), forecast->cores_most);
    status = lspo_validate_predict_at(forecast->variants, &calibrated, cell);
    cell->calibrated_s = cell->iteration_s[0];
    cell->calibrated_slowdown = cell->slowdown[0];
    return status;
}

/* Is this the first word of a flag that a cell of the policy does not have?  The yardstick, native, has its defaults,
 * as in a prediction (lspo_simulate_native()), but for the format of the state; its activations stay on the GPU. */
static bool is_dropped(const lspo_policy_t *policy, bool yardstick, const char *word)
{
    static const char swapping[] = "--swap-activations";
    if (!yardstick || strncmp(word, "--", 2) != 0)
        return lspo_policy_flag_is_foreign(policy, word);
    const size_t length = strcspn(word, "= ");
    if (length == strlen(swapping) && strncmp(word, swapping, length) == 0)
        return true;
    const lspo_parameter_use_t *own = lspo_policy_named_use(policy, word + 2, length - 2);
    return own != NULL ? own->parameter != &lspo_parameter_optimizer_state : lspo_policy_flag_is_foreign(policy, word);
}

/* Take such flags and their values out of `flags`, words with blanks between them. */
static void drop_flags(const lspo_policy_t *policy, bool yardstick, char *flags)
{
    char *to = flags;
    bool drops_value = false;
    for (const char *from = flags; *from != '\0';) {
        size_t blanks = strspn(from, " "), length = strcspn(from + blanks, " ");
        bool dropped = !drops_value && is_dropped(policy, yardstick, from + blanks);
        if (!dropped && !drops_value) {
            memmove(to, from, blanks + length);
            to += blanks + length;
        }
        drops_value = dropped && memchr(from + blanks, '=', length) == NULL;
        from += blanks + length;
    }
    *to = '\0';
}

/* The flags of the group, without those of other policies, then `more`.  Returns the number of characters. */
static int write_flags(const lspo_grid_group_t *group, const lspo_policy_t *policy, const char *more,
                       char flags[FLAGS_BYTES])
{
    snprintf(flags, FLAGS_BYTES, "%s", group->flags);
    drop_flags(policy, false, flags);
    size_t used = strlen(flags);
    return (int)used + snprintf(flags + used, FLAGS_BYTES - used, " %s", more);
}

/* With which the others of a task are compared (lspo_simulate_native()). */
static void native_flags(const lspo_grid_group_t *group, char flags[FLAGS_BYTES])
{
    const lspo_policy_t *native = lspo_policy_baseline(group->task);
    snprintf(flags, FLAGS_BYTES, "%s --policy %s", group->flags, native->name);
    drop_flags(native, true, flags);
}

static lspo_status_t predict_grid_cell(const forecast_t *forecast, const lspo_grid_cell_t *asked, lspo_cell_t *cell)
{
    const lspo_grid_group_t *group = cell->group;
    char flags[FLAGS_BYTES], of_rates[64];
    if (group->rates_of != NULL) {
        snprintf(of_rates, sizeof of_rates, "--policy %s", group->rates_of->name);
        write_flags(group, group->rates_of, of_rates, flags);
    } else {
        write_flags(group, asked->policy, asked->flags, flags);
    }
    lspo_status_t status = set_rates(forecast, flags, cell);
    if (status != LSPO_OK)
        return status;
    int used = write_flags(group, asked->policy, asked->flags, flags);
    if (group->link_share > 0 || group->link_Bps > 0)
        used += snprintf(flags + used, sizeof flags - (size_t)used, " --link %.0fB/s", cell->link_Bps);
    if (group->cpu_share > 0 || group->cpu_pps > 0)
        snprintf(flags + used, sizeof flags - (size_t)used, " --cpu %.0f/s", cell->cpu_pps);
    return predict_cell(forecast, flags, cell);
}

/* The native cell of the group's workload, or the next free cell, which becomes it.  Groups that differ only in flags
 * that the yardstick does not have share it. */
static lspo_status_t find_native(const forecast_t *forecast, uint32_t group_index, lspo_cells_t *cells,
                                 uint32_t *native_out)
{
    const lspo_grid_group_t *group = &forecast->grid->groups[group_index];
    char flags[FLAGS_BYTES], others[FLAGS_BYTES];
    native_flags(group, flags);
    for (uint32_t i = 0; i < cells->count; i++) {
        if (cells->cells[i].number > 0)
            continue;
        native_flags(cells->cells[i].group, others);
        if (strcmp(others, flags) == 0) {
            *native_out = i;
            return LSPO_OK;
        }
    }
    uint32_t native = cells->count++;
    cells->cells[native] = (lspo_cell_t){.group = group, .group_number = group_index + 1, .native = native};
    *native_out = native;
    return predict_cell(forecast, flags, &cells->cells[native]);
}

static lspo_status_t add_grid_cell(const forecast_t *forecast, uint32_t i, lspo_cells_t *cells)
{
    const lspo_grid_t *grid = forecast->grid;
    uint32_t group_index = grid->cells[i].group, native;
    lspo_status_t status = find_native(forecast, group_index, cells, &native);
    if (status != LSPO_OK)
        return status;
    lspo_cell_t *cell = &cells->cells[cells->count++];
    *cell = (lspo_cell_t){
        .group = &grid->groups[group_index], .group_number = group_index + 1, .number = i + 1, .native = native};
    return predict_grid_cell(forecast, &grid->cells[i], cell);
}

static lspo_status_t predict_in_order(const forecast_t *forecast, lspo_cells_t *cells)
{
    const lspo_grid_t *grid = forecast->grid;
    for (uint32_t i = 0; i < grid->cell_count; i++) {
        lspo_status_t status = add_grid_cell(forecast, i, cells);
        /* The cause has been logged without line number, because the flags do not have it. */
        if (status != LSPO_OK)
            return lspo_error(status, "%s:%u: at '%s'", grid->path, grid->groups[grid->cells[i].group].line,
                              grid->cells[i].flags);
    }
    return LSPO_OK;
}

/* Those of a grid's tasks; all where the profile has none of these. */
static bool is_wanted(const forecast_t *forecast, uint32_t yardstick)
{
    const double *measured_s = forecast->variants->machine.yardstick_s;
    bool has[LSPO_TASK_COUNT] = {false}, any = false;
    for (uint32_t i = 0; i < forecast->grid->group_count; i++)
        has[forecast->grid->groups[i].task] = true;
    for (uint32_t i = 0; i < LSPO_YARDSTICKS; i++)
        any |= measured_s[i] > 0 && has[lspo_yardstick_generates(i) ? LSPO_TASK_GENERATE : LSPO_TASK_TRAIN];
    return measured_s[yardstick] > 0 &&
           (!any || has[lspo_yardstick_generates(yardstick) ? LSPO_TASK_GENERATE : LSPO_TASK_TRAIN]);
}

static lspo_status_t add_yardstick(const forecast_t *forecast, uint32_t i, uint32_t cores, lspo_cells_t *cells)
{
    static const lspo_grid_group_t group = {.name = "yardstick"};
    const lspo_yardstick_t *it = &lspo_yardsticks[i];
    char flags[FLAGS_BYTES];
    uint32_t at = cells->count++;
    cells->cells[at] = (lspo_cell_t){.group = &group, .yardstick = i + 1, .cores = cores, .native = at};
    cells->yardsticks++;
    int used = snprintf(flags, sizeof flags, "--model %s --batch %u --sequence %u --policy %s", it->model, it->batch,
                        it->sequence, it->policy);
    if (lspo_yardstick_generates(i))
        snprintf(flags + used, sizeof flags - (size_t)used, " --iterations %d", LSPO_YARDSTICK_TOKENS);
    return predict_cell(forecast, flags, &cells->cells[at]);
}

static bool any_on(const lspo_cells_t *cells, uint32_t count, uint32_t cores)
{
    for (uint32_t i = 0; i < count; i++)
        if (cells->cells[i].cores == cores)
            return true;
    return false;
}

/* The profile's yardsticks, after all other cells: each once for every number of cores that cells have.  A round that
 * the budget cuts short has those of the first yardsticks. */
static lspo_status_t predict_yardsticks(const forecast_t *forecast, lspo_cells_t *cells)
{
    const uint32_t count = cells->count;
    for (uint32_t i = 0; i < LSPO_YARDSTICKS; i++)
        for (uint32_t cores = forecast->cores_most; cores > 0 && is_wanted(forecast, i); cores--) {
            lspo_status_t status = any_on(cells, count, cores) ? add_yardstick(forecast, i, cores, cells) : LSPO_OK;
            if (status != LSPO_OK)
                return status;
        }
    return LSPO_OK;
}

lspo_status_t lspo_validate_predict(const lspo_grid_t *grid, const lspo_variants_t *variants, double link_most_Bps,
                                    uint32_t cores_most, lspo_cells_t *cells_out)
{
    forecast_t forecast = {grid, variants, link_most_Bps, cores_most};
    const size_t most = (size_t)grid->cell_count + grid->group_count + (size_t)cores_most * LSPO_YARDSTICKS;
    lspo_cells_t cells = {.cells = calloc(most, sizeof *cells.cells)};
    if (cells.cells == NULL)
        return lspo_no_memory("%u cells", grid->cell_count);
    lspo_status_t status = predict_in_order(&forecast, &cells);
    if (status != LSPO_OK)
        goto failed;
    status = predict_yardsticks(&forecast, &cells);
    if (status != LSPO_OK)
        goto failed;
    *cells_out = cells;
    return LSPO_OK;
failed:
    lspo_cells_release(&cells);
    return status;
}

void lspo_cells_release(lspo_cells_t *cells)
{
    for (uint32_t i = 0; i < cells->count; i++) {
        lspo_trace_destroy(cells->cells[i].trace);
        lspo_plan_destroy(cells->cells[i].plan);
        free(cells->cells[i].flags);
    }
    free(cells->cells);
    *cells = (lspo_cells_t){0};
}
