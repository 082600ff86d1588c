/* agreement.c - see agreement.h. */
#include "validate/agreement.h"

#include <math.h>

#include "sim/sim.h"
#include "traces/median.h"

lspo_status_t lspo_agreement(const lspo_runs_t *runs, const lspo_machine_t *machine, lspo_agreement_t *agreement_out)
{
    double errors[LSPO_RUNS_MOST], sum = 0;
    for (uint32_t i = 0; i < runs->count; i++) {
        lspo_prediction_t prediction;
        lspo_status_t status = lspo_simulate(runs->plan[i], machine, &prediction, NULL);
        if (status != LSPO_OK)
            return status;
        errors[i] = log(prediction.summary.iteration_s / runs->measured_s[i]);
        lspo_prediction_release(&prediction);
    }
    const double middle = lspo_median(errors, runs->count);
    for (uint32_t i = 0; i < runs->count; i++)
        sum += fabs(errors[i] - middle);
    *agreement_out = (lspo_agreement_t){exp(middle), sum / runs->count};
    return LSPO_OK;
}

void lspo_machine_scale_cache(lspo_machine_t *machine, double factor)
{
    if (!(machine->gpu.kept_bytes > 0))
        return;
    if (!(machine->gpu.kept_all_bytes > 0))
        machine->gpu.kept_all_bytes = machine->gpu.near_bytes;
    machine->gpu.kept_all_bytes = floor(factor * machine->gpu.kept_all_bytes);
    machine->gpu.kept_bytes = floor(factor * machine->gpu.kept_bytes);
}

lspo_status_t lspo_agreement_cache(const lspo_runs_t *runs, const lspo_machine_t *machine, double *factor_out)
{
    enum { STEPS = 20, LEAST_RUNS = 3 };
    const double most = 4;
    double least = INFINITY;
    *factor_out = 1;
    for (int i = 0; i <= 2 * STEPS && machine->gpu.kept_bytes > 0 && runs->count >= LEAST_RUNS; i++) {
        /* 1 first, then those further and further from it */
        const double factor = pow(most, (i % 2 == 0 ? -1 : 1) * ((i + 1) / 2) / (double)STEPS);
        lspo_machine_t scaled = *machine;
        lspo_agreement_t agreement;
        lspo_machine_scale_cache(&scaled, factor);
        lspo_status_t status = lspo_agreement(runs, &scaled, &agreement);
        if (status != LSPO_OK)
            return status;
        if (agreement.error < least - (i > 0 ? LSPO_AGREEMENT_GAIN : 0)) {
            least = agreement.error;
            *factor_out = factor;
        }
    }
    return LSPO_OK;
}
