/* trial.c - cost, play and summarise a plan; see trial.h. */
#include "sim/trial.h"

#include <stdlib.h>

#include "sim/cost.h"
#include "sim/engine.h"
#include "sim/sim.h"

uint32_t lspo_simulate_warmup(const lspo_plan_t *plan)
{
    uint32_t iterations = plan->workload.iterations, warmup = iterations / 4;
    uint32_t samples = iterations > warmup + 1 ? iterations - 1 - warmup : 0;
    if (samples % 2 == 1 && samples > 1)
        warmup++;
    return plan->policy ? lspo_policy_warmup(plan->policy, &plan->workload, warmup) : warmup;
}

static lspo_status_t describe(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_trace_t *trace)
{
    lspo_status_t status = lspo_trace_set_meta(trace, "origin", "sim");
    if (status != LSPO_OK)
        return status;
    status = lspo_trace_set_meta(trace, "machine", machine->name);
    if (status != LSPO_OK)
        return status;
    return lspo_trace_describe_plan(trace, plan);
}

static lspo_status_t summarise(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_trace_t *trace,
                               lspo_summary_t *summary_out)
{
    lspo_status_t status = describe(plan, machine, trace);
    if (status != LSPO_OK)
        return status;
    return lspo_summary_create(trace, lspo_simulate_warmup(plan), summary_out);
}

lspo_status_t lspo_trial_check(const lspo_plan_t *plan)
{
    if (plan->workload.iterations < 2)
        return lspo_error(LSPO_ERR_INPUT, "--iterations %u: at least 2 are needed for a time per iteration",
                          plan->workload.iterations);
    return LSPO_OK;
}

lspo_status_t lspo_trial_time(const lspo_plan_t *plan, const lspo_trace_t *trace, double *iteration_s_out)
{
    uint64_t *ends_ns = NULL;
    uint32_t count = 0;
    lspo_status_t status = lspo_trace_iteration_ends(trace, &ends_ns, &count);
    if (status == LSPO_OK)
        status = lspo_summary_time(plan, ends_ns, count, lspo_simulate_warmup(plan), iteration_s_out);
    free(ends_ns);
    return status;
}

lspo_status_t lspo_trial_play(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_trial_t *trial_out)
{
    lspo_trial_t trial = {0};
    lspo_status_t status = lspo_trial_check(plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_cost_plan(machine, plan, &trial.work_ns);
    if (status != LSPO_OK)
        return status;
    status = lspo_engine_play(plan, machine, trial.work_ns, &trial.trace);
    if (status != LSPO_OK)
        goto failed;
    status = summarise(plan, machine, trial.trace, &trial.summary);
    if (status != LSPO_OK)
        goto failed;
    *trial_out = trial;
    return LSPO_OK;
failed:
    lspo_trial_release(&trial);
    return status;
}

void lspo_trial_release(lspo_trial_t *trial)
{
    lspo_summary_release(&trial->summary);
    lspo_trace_destroy(trial->trace);
    free(trial->work_ns);
    *trial = (lspo_trial_t){0};
}
