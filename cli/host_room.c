/* host_room.c - check this machine's memory before a run; see host_room.h. */
#include "cli/host_room.h"

#include <string.h>

#include "base/mpi.h"
#include "base/units.h"
#include "cli/caps.h"
#include "plan/machine.h"
#include "real/machine/host_memory.h"
#include "sim/fit.h"

/* The share of a grid's devices whose memory is this machine's. */
static double share_here(const lspo_policy_t *policy, const lspo_workload_t *workload)
{
    const uint32_t peers = lspo_policy_peers(policy, workload);
    uint32_t rank, count;
    lspo_mpi_local(&rank, &count);
    return lspo_mpi_is_launched() && count < peers ? (double)count / peers : 1;
}

/* Peaks hardly depend on speeds: those of any host will do. */
static lspo_status_t find_host(lspo_machine_t *machine)
{
    lspo_status_t status = lspo_machine_find("host-reference", machine);
    if (status == LSPO_OK)
        machine->net.Bps = machine->link.d2h_Bps;
    return status;
}

lspo_status_t lspo_host_room_check(const char *device, const lspo_model_t *model, const lspo_workload_t *workload,
                                   const lspo_policy_t *policy, uint64_t beside_bytes)
{
    uint64_t there_bytes = lspo_host_memory_available("");
    lspo_machine_t machine;
    lspo_fit_t fit;
    lspo_status_t status = lspo_model_check_trains(model);
    if (status != LSPO_OK || strcmp(device, "host") != 0 || there_bytes == UINT64_MAX)
        return status;
    lspo_fit_question_t question = {.model = model, .workload = *workload, .policy = policy, .machine = &machine};
    question.workload.iterations = lspo_policy_iterations(policy, workload);
    status = find_host(&machine);
    if (status != LSPO_OK)
        return status;
    status = lspo_fit_try(&question, &fit);
    if (status != LSPO_OK)
        return status;
    const double share = share_here(policy, workload);
    const uint64_t gpu_bytes = (uint64_t)(share * (double)fit.all_gpu_bytes);
    const uint64_t needed_bytes = gpu_bytes + (uint64_t)(share * (double)fit.all_host_bytes) + beside_bytes;
    if (needed_bytes <= there_bytes)
        return LSPO_OK;
    char needed[32], as_device[32], excess[32], there[32];
    lspo_format_quantity((double)needed_bytes, LSPO_UNIT_BYTES, needed, sizeof needed);
    lspo_format_quantity((double)gpu_bytes, LSPO_UNIT_BYTES, as_device, sizeof as_device);
    lspo_format_quantity((double)(needed_bytes - there_bytes), LSPO_UNIT_BYTES, excess, sizeof excess);
    lspo_format_quantity((double)there_bytes, LSPO_UNIT_BYTES, there, sizeof there);
    return lspo_error(
        LSPO_ERR_FIT,
        "%s with policy %s does not fit: it needs %s of this machine's memory (%s of it as device memory), %s more "
        "than the %s available; try another --policy or a smaller --model, --batch or --sequence",
        model->name, policy->name, needed, as_device, excess, there);
}

lspo_status_t lspo_host_room_check_cap(const lspo_plan_t *plan, const lspo_overrides_t *overrides,
                                       uint64_t *peak_bytes_out)
{
    *peak_bytes_out = 0;
    lspo_device_caps_t caps = {0};
    lspo_machine_t machine;
    lspo_fit_t fit;
    lspo_status_t status = lspo_overrides_caps(overrides, &caps);
    if (status != LSPO_OK || caps.memory_bytes == 0)
        return status;
    status = find_host(&machine);
    if (status != LSPO_OK)
        return status;
    status = lspo_fit_plan(plan, &machine, &fit);
    if (status != LSPO_OK)
        return status;
    *peak_bytes_out = fit.gpu_bytes;
    if (plan->gpu_static_bytes <= caps.memory_bytes)
        return LSPO_OK;
    char least[32], peak[32], excess[32], cap[32];
    lspo_format_quantity((double)plan->gpu_static_bytes, LSPO_UNIT_BYTES, least, sizeof least);
    lspo_format_quantity((double)fit.gpu_bytes, LSPO_UNIT_BYTES, peak, sizeof peak);
    lspo_format_quantity((double)(plan->gpu_static_bytes - caps.memory_bytes), LSPO_UNIT_BYTES, excess, sizeof excess);
    lspo_format_quantity((double)caps.memory_bytes, LSPO_UNIT_BYTES, cap, sizeof cap);
    return lspo_error(
        LSPO_ERR_FIT,
        "%s with policy %s does not fit: it needs at least %s of device memory (%s at its predicted peak), "
        "%s more than the %s allowed; try another --policy or a smaller --model, --batch or --sequence",
        plan->model.name, plan->policy->name, least, peak, excess, cap);
}
