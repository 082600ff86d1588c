/* now.c - see now.h. */
#include "validate/now.h"

#include "sim/sim.h"
#include "traces/median.h"
#include "validate/agreement.h"
#include "validate/yardstick.h"

static bool counts(const lspo_cell_t *cell, const lspo_measurement_t *measurement, uint32_t cores)
{
    return cell->cores == cores && measurement->counted_visits > 0 && !measurement->disturbed;
}

static lspo_status_t find_cache(const lspo_cells_t *cells, const lspo_machine_t *machine,
                                const lspo_measurement_t *measurements, uint32_t cores, double *cache_out)
{
    lspo_runs_t runs = {0};
    for (uint32_t i = cells->count - cells->yardsticks; i < cells->count; i++)
        if (counts(&cells->cells[i], &measurements[i], cores) &&
            lspo_yardstick_generates(cells->cells[i].yardstick - 1)) {
            runs.plan[runs.count] = cells->cells[i].plan;
            runs.measured_s[runs.count++] = measurements[i].median_s;
        }
    return lspo_agreement_cache(&runs, machine, cache_out);
}

/* How much longer a yardstick is predicted to take with that cache. */
static lspo_status_t longer_with(const lspo_cell_t *cell, const lspo_machine_t *machine, double cache,
                                 double *factor_out)
{
    lspo_prediction_t prediction;
    lspo_machine_t scaled = *machine;
    lspo_machine_scale_cache(&scaled, cache);
    lspo_status_t status = lspo_simulate(cell->plan, &scaled, &prediction, NULL);
    if (status != LSPO_OK)
        return status;
    *factor_out = prediction.summary.iteration_s / cell->calibrated_s;
    lspo_prediction_release(&prediction);
    return LSPO_OK;
}

lspo_status_t lspo_validate_now(const lspo_cells_t *cells, const lspo_machine_t *machine,
                                const lspo_measurement_t *measurements, uint32_t cores, lspo_now_t *now_out)
{
    double speeds[LSPO_YARDSTICKS];
    uint32_t count = 0;
    *now_out = (lspo_now_t){1, 1};
    lspo_status_t status = find_cache(cells, machine, measurements, cores, &now_out->cache);
    for (uint32_t i = cells->count - cells->yardsticks; i < cells->count && status == LSPO_OK; i++) {
        const lspo_cell_t *cell = &cells->cells[i];
        double longer = 1;
        if (!counts(cell, &measurements[i], cores))
            continue;
        if (lspo_yardstick_generates(cell->yardstick - 1))
            status = longer_with(cell, machine, now_out->cache, &longer);
        speeds[count++] = longer * machine->yardstick_s[cell->yardstick - 1] / measurements[i].median_s;
    }
    if (status == LSPO_OK && count == 0 && cores > 1)
        return lspo_validate_now(cells, machine, measurements, 1, now_out);
    if (count > 0)
        now_out->speed = lspo_median(speeds, count);
    return status;
}
