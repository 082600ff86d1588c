#include "sim/cost.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

/* Bytes an element of Adam: what it keeps between steps and touches in one, and its traffic to memory. */
static const double adam_state_bytes = 16, adam_traffic_bytes = 28;

/* 0 / 0 is 0: a kernel that needs nothing of a resource takes no time of it, whatever its rate. */
static double divide(double amount, double rate)
{
    return amount > 0 ? amount / rate : 0;
}

static double gemm_s(const lspo_machine_t *machine, lspo_precision_t precision, const lspo_kernel_t *kernel)
{
    double shape = 1 + divide(machine->gpu.gemm_m_half, (double)kernel->m) +
                   divide(machine->gpu.gemm_n_half, (double)kernel->n) +
                   divide(machine->gpu.gemm_k_half, (double)kernel->k);
    return divide(kernel->flop, machine->gpu.gemm_flops[precision]) * shape;
}

static double gpu_kernel_s(const lspo_machine_t *machine, lspo_precision_t precision, const lspo_kernel_t *kernel)
{
    double flop = kernel->flop, bytes = (double)kernel->bytes;
    switch (kernel->kernel_class) {
    case LSPO_KERNEL_GEMM:
        return gemm_s(machine, precision, kernel);
    case LSPO_KERNEL_ATTENTION:
        return divide(flop, machine->gpu.attention_flops);
    case LSPO_KERNEL_NORM:
        return divide(bytes, machine->gpu.norm_Bps);
    case LSPO_KERNEL_ACTIVATION:
        return divide(bytes, machine->gpu.activation_Bps);
    case LSPO_KERNEL_LOSS:
        return divide(bytes, machine->gpu.loss_Bps);
    case LSPO_KERNEL_GATHER:
        return fmax(divide(flop, machine->gpu.gather_flops), divide(bytes, machine->gpu.gather_Bps));
    case LSPO_KERNEL_SCATTER:
        return fmax(divide(flop, machine->gpu.scatter_flops), divide(bytes, machine->gpu.scatter_Bps));
    case LSPO_KERNEL_ADAM:
        return divide((double)kernel->elements, machine->gpu.adam_pps);
    case LSPO_KERNEL_STREAM:
    case LSPO_KERNEL_COPY:
    case LSPO_KERNEL_CLASS_COUNT:
        break;
    }
    return divide(bytes, machine->gpu.stream_Bps);
}

static double cpu_kernel_s(const lspo_machine_t *machine, const lspo_kernel_t *kernel)
{
    if (kernel->kernel_class != LSPO_KERNEL_ADAM)
        return fmax(divide(kernel->flop, machine->cpu.compute_flops),
                    divide((double)kernel->bytes, adam_traffic_bytes * machine->cpu.adam_pps));
    double elements = (double)kernel->elements;
    double state_bytes = adam_state_bytes * elements;
    double cached = state_bytes > machine->cpu.cache_bytes ? machine->cpu.cache_bytes / state_bytes : 1;
    return divide(elements * cached, machine->cpu.adam_cached_pps) +
           divide(elements * (1 - cached), machine->cpu.adam_pps);
}

static double kernel_s(const lspo_machine_t *machine, lspo_precision_t precision, lspo_lane_t lane,
                       const lspo_kernel_t *kernel)
{
    if (lane == LSPO_LANE_CPU)
        return cpu_kernel_s(machine, kernel);
    if (kernel->kernel_class == LSPO_KERNEL_COPY && lane == LSPO_LANE_D2H)
        return kernel->count * machine->link.d2h_latency_s + divide((double)kernel->bytes, machine->link.d2h_Bps);
    if (kernel->kernel_class == LSPO_KERNEL_COPY && lane == LSPO_LANE_H2D)
        return kernel->count * machine->link.h2d_latency_s + divide((double)kernel->bytes, machine->link.h2d_Bps);
    return kernel->count * machine->gpu.launch_s + gpu_kernel_s(machine, precision, kernel);
}

double lspo_cost_work_s(const lspo_machine_t *machine, lspo_precision_t precision, lspo_lane_t lane,
                        const lspo_work_t *work)
{
    double op_s = lane == LSPO_LANE_GPU ? machine->gpu.op_s : lane == LSPO_LANE_CPU ? machine->cpu.op_s : 0;
    double kernels_s = 0;
    for (uint32_t i = 0; i < work->kernel_count; i++)
        kernels_s += kernel_s(machine, precision, lane, &work->kernels[i]);
    if (lane == LSPO_LANE_GPU && work->backward)
        kernels_s /= 1 - machine->gpu.backward_loss;
    return op_s + kernels_s;
}

lspo_status_t lspo_cost_plan(const lspo_machine_t *machine, const lspo_plan_t *plan, uint64_t **work_ns_out)
{
    const double limit_ns = 1e15;
    uint64_t *work_ns = malloc(((size_t)plan->work_count + 1) * LSPO_LANE_COUNT * sizeof *work_ns);
    uint8_t *used = calloc((size_t)plan->work_count + 1, LSPO_LANE_COUNT);
    lspo_status_t status = LSPO_OK;
    if (!work_ns || !used) {
        status = lspo_error(LSPO_ERR_MEMORY, "out of memory for the durations of %" PRIu32 " works", plan->work_count);
        goto free_used;
    }
    for (uint32_t i = 0; i < plan->op_count; i++)
        used[(size_t)plan->ops[i].work * LSPO_LANE_COUNT + plan->ops[i].lane] = 1;
    for (size_t i = 0; i < (size_t)plan->work_count * LSPO_LANE_COUNT; i++) {
        lspo_lane_t lane = (lspo_lane_t)(i % LSPO_LANE_COUNT);
        const lspo_work_t *work = &plan->works[i / LSPO_LANE_COUNT];
        double ns = used[i] ? 1e9 * lspo_cost_work_s(machine, plan->workload.precision, lane, work) : 0;
        if (!(ns <= limit_ns)) {
            status = lspo_error(LSPO_ERR_INPUT, "machine '%s': an op on lane %s would take %g s", machine->name,
                                lspo_lane_name(lane), 1e-9 * ns);
            goto free_used;
        }
        work_ns[i] = (uint64_t)(ns + 0.5);
    }
    *work_ns_out = work_ns;
    work_ns = NULL;

free_used:
    free(used);
    free(work_ns);
    return status;
}
