/* broker_job.c - see broker_job.h. */
#include "sim/broker_job.h"

#include <math.h>

#include "plan/policy.h"
#include "sim/pace.h"

/* A step with so many micro-batches on the plan's chain. */
static lspo_status_t time_step(const lspo_plan_t *plan, const lspo_machine_t *machine, uint32_t micros, double *step_s)
{
    lspo_workload_t workload = plan->workload;
    lspo_plan_t *other = NULL;
    workload.accumulation = micros;
    lspo_status_t status = lspo_plan_build(&plan->model, &workload, plan->policy, &other);
    if (status == LSPO_OK)
        status = lspo_pace_of(other, machine, step_s);
    lspo_plan_destroy(other);
    return status;
}

/* Without activations, which a backup does not need. */
static double largest_part_bytes(const lspo_plan_t *plan, uint32_t parts)
{
    double largest = 0;
    for (uint32_t p = 0; p < parts; p++)
        largest = fmax(largest, (double)(plan->peer_static[p].gpu_bytes - plan->footprint.gpu_workspace_bytes));
    return largest;
}

lspo_status_t lspo_broker_describe(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_broker_job_t *job)
{
    uint32_t parts = 0;
    double step_s = 0, one_s = 0, Bps = INFINITY, latency_s = 0;
    for (uint32_t i = 0; i < plan->lanes.count; i++)
        parts = plan->lanes.list[i].peer + 1 > parts ? plan->lanes.list[i].peer + 1 : parts;
    if (plan->network.kind_count == 0 || parts < 2)
        return lspo_error(LSPO_ERR_INPUT, "a broker needs a chain of two peers or more: --peers FILE, --chain");
    for (uint32_t p = 1; p < parts; p++) {
        const lspo_peer_link_t *link = lspo_network_link(&plan->network, plan->peer_kinds[p - 1], plan->peer_kinds[p]);
        Bps = fmin(Bps, link->Bps);
        latency_s = fmax(latency_s, link->latency_s);
    }
    const uint32_t micros = plan->workload.accumulation;
    lspo_status_t status = time_step(plan, machine, 1, &one_s);
    step_s = one_s;
    if (status == LSPO_OK && micros > 1)
        status = time_step(plan, machine, micros, &step_s);
    if (status != LSPO_OK)
        return status;
    job->parts = parts;
    job->micros = micros;
    job->alone_s = one_s;
    job->micro_s = micros > 1 ? fmax(step_s - one_s, 0) / (micros - 1) : 0;
    job->load_s = job->save_s = largest_part_bytes(plan, parts) / Bps + latency_s;
    return LSPO_OK;
}
