/* cost.c - the duration of a work that runs alone on a lane of a machine; see cost.h. */
#include "sim/cost.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "plan/family.h"
#include "plan/place.h"
#include "plan/policy.h"
#include "sim/reuse.h"

/* The traffic per parameter of Adam in fp32, in which rates are given. */
static const double adam_traffic_bytes = 28;

/* Calls of the driver on an A100, for profiles without their own: a public log of its virtual memory management. */
static const double a100_create_s = 193e-6, a100_map_s = 1.45e-6, a100_access_s = 36e-6, a100_unmap_s = 25.6e-6;

/* How much longer than in fp32 a step takes on the CPU from cache, measured by bench/bench_adam.c. */
static const double adam_arithmetic[LSPO_OPTIMIZER_STATE_COUNT] = {
    [LSPO_OPTIMIZER_STATE_FP32] = 1, [LSPO_OPTIMIZER_STATE_BF16] = 3.5, [LSPO_OPTIMIZER_STATE_8BIT] = 8.5};

/* 0 / 0 is 0: a kernel that does not use a resource takes no time on it, whatever the rate. */
static double divide(double amount, double rate)
{
    return amount > 0 ? amount / rate : 0;
}

/* The context for the cost of a kernel of the GPU lane. */
typedef struct {
    const lspo_machine_t *machine;
    const lspo_family_row_t *family;
    lspo_precision_t precision;
    double cached; /* share of its operands in cache */
    bool backward, writes;
} setting_t;

/* amount / rate, with the cached share at its own rate; 0: no cache rate. */
static double divide_cached(const setting_t *setting, double amount, double rate, double cached_rate)
{
    double cached = cached_rate > 0 ? setting->cached : 0;
    return divide(amount * cached, cached_rate) + divide(amount * (1 - cached), rate);
}

/* A neutral value is 0 in profiles. */
static double or_1(double factor)
{
    return factor > 0 ? factor : 1;
}

/* The slower of a rate and a limit; 0: no limit. */
static double limited(double rate, double limit)
{
    return limit > 0 ? fmin(rate, limit) : rate;
}

/* By how much a product of this shape takes longer than at gemm_flops. */
static double gemm_shape(const lspo_machine_t *machine, lspo_layout_t layout, double m, double n, double k)
{
    if (machine->products.size_count > 0)
        return 1 / lspo_products_share(&machine->products, layout, m, n, k);
    return 1 + divide(machine->gpu.gemm_m_half, m) + divide(machine->gpu.gemm_n_half, n) +
           divide(machine->gpu.gemm_k_half, k);
}

/* Does a framework's traffic include that m and v are in this format? */
static bool is_framework_state(const lspo_machine_t *machine, const lspo_kernel_t *kernel)
{
    return kernel->state == LSPO_OPTIMIZER_STATE_FP32 ||
           (kernel->state == LSPO_OPTIMIZER_STATE_BF16 && machine->software.half_states > 0);
}

/* Adam's traffic in its format relative to lspo's in fp32; `software_bytes`: a framework's, 0: as lspo's. */
static double adam_factor(const lspo_machine_t *machine, double software_bytes, const lspo_kernel_t *kernel)
{
    double own = lspo_optimizer_state_traffic_bytes(kernel->state, kernel->weights) / adam_traffic_bytes;
    if (software_bytes > 0 && is_framework_state(machine, kernel))
        return software_bytes / adam_traffic_bytes;
    return own * or_1(software_bytes / adam_traffic_bytes);
}

/* The traffic of this implementation relative to lspo's. */
static double traffic_factor(const setting_t *setting, const lspo_kernel_t *kernel)
{
    const lspo_machine_t *m = setting->machine;
    switch (kernel->kernel_class) {
    case LSPO_KERNEL_GEMM:
        return kernel->adapter ? or_1(m->software.adapter_factor) : 1;
    case LSPO_KERNEL_NORM:
        return or_1(setting->family->rms_norm ? m->software.rms_norm_factor : m->software.layer_norm_factor);
    case LSPO_KERNEL_ACTIVATION:
        return or_1(setting->family->gated ? m->software.gated_factor : m->software.activation_factor);
    case LSPO_KERNEL_LOSS:
        return or_1(m->software.loss_factor);
    case LSPO_KERNEL_STREAM:
        return or_1(m->software.stream_factor);
    case LSPO_KERNEL_ADAM:
        return adam_factor(m, m->software.gpu_adam_bytes, kernel);
    default:
        return 1;
    }
}

/* Profiles of data sheets have neither; there a product takes at least the time of its operands' traffic. */
static bool has_measured_products(const lspo_machine_t *machine)
{
    bool measured = machine->products.size_count > 0;
    for (int layout = 0; layout < LSPO_LAYOUT_COUNT; layout++)
        measured = measured || machine->gpu.gemm_memory_Bps[layout] > 0;
    return measured;
}

static double gemm_s(const setting_t *setting, const lspo_kernel_t *kernel)
{
    const lspo_machine_t *machine = setting->machine;
    double shape = gemm_shape(machine, kernel->layout, (double)kernel->m, (double)kernel->n, (double)kernel->k);
    if (kernel->packed && !has_measured_products(machine))
        shape = 1; /* T = max(bytes / rate, FLOPs / rate)   [Frantar et al., arXiv 2408.11743, Sec. 3] */
    double time_s = divide(kernel->flop, machine->gpu.gemm_flops[setting->precision]) * shape;
    if (!has_measured_products(machine))
        return fmax(time_s, divide((double)kernel->bytes * traffic_factor(setting, kernel), machine->gpu.stream_Bps));
    if (machine->gpu.gemm_memory_Bps[kernel->layout] > 0)
        time_s += (1 - setting->cached) * (double)kernel->far_bytes / machine->gpu.gemm_memory_Bps[kernel->layout];
    return time_s;
}

/* Not fused: batched products over all pairs, also those that a causal mask hides, and the scores in memory. */
static double unfused_attention_s(const setting_t *setting, const lspo_kernel_t *kernel)
{
    const lspo_machine_t *machine = setting->machine;
    double sequence = (double)kernel->m, scores = sequence * sequence * (double)kernel->n;
    double flop = kernel->flop * (setting->family->causal ? 2 * sequence / (sequence + 1) : 1);
    double shape = gemm_shape(machine, LSPO_LAYOUT_NT, sequence, sequence, (double)kernel->k);
    double score_bytes = setting->backward ? machine->software.score_backward_bytes : machine->software.score_bytes;
    return divide(flop, machine->gpu.gemm_flops[setting->precision]) * shape +
           divide(scores * score_bytes * lspo_precision_bytes(setting->precision) / 2, machine->gpu.stream_Bps);
}

static double attention_s(const setting_t *setting, const lspo_kernel_t *kernel)
{
    const lspo_machine_t *machine = setting->machine;
    if (machine->software.score_bytes > 0)
        return unfused_attention_s(setting, kernel);
    double shape = (1 + divide(machine->gpu.attention_sequence_half, (double)kernel->m)) *
                   (1 + divide(machine->gpu.attention_width_half, (double)kernel->k));
    bool backward = setting->backward && machine->gpu.attention_backward_flops > 0;
    double rate = backward ? machine->gpu.attention_backward_flops : machine->gpu.attention_flops;
    double cached = backward ? machine->gpu.attention_backward_cached_flops : machine->gpu.attention_cached_flops;
    if (!has_measured_products(machine)) /* one rate for all precisions: not above that of products in this one */
        rate = fmin(rate, machine->gpu.gemm_flops[setting->precision]);
    return shape * divide_cached(setting, kernel->flop, rate, cached) / or_1(machine->software.attention_share);
}

/* Rates from memory and from cache, in the forward and the backward pass; the latter default to the former. */
static double fused_s(const setting_t *setting, double bytes, double Bps, double cached_Bps, double backward_Bps,
                      double backward_cached_Bps)
{
    bool backward = setting->backward && backward_Bps > 0;
    return divide_cached(setting, bytes, backward ? backward_Bps : Bps, backward ? backward_cached_Bps : cached_Bps);
}

/* Arithmetic and memory, of which the longer hides a share of the shorter. */
static double overlapped_s(double overlap, double arithmetic_s, double memory_s)
{
    return fmax(arithmetic_s, memory_s) + (1 - overlap) * fmin(arithmetic_s, memory_s);
}

static double scatter_arithmetic_s(const lspo_machine_t *machine, const lspo_kernel_t *kernel)
{
    double inner_flops = machine->gpu.scatter_inner_flops;
    return divide(kernel->flop - kernel->inner_flop, machine->gpu.scatter_flops) +
           divide(kernel->inner_flop, inner_flops > 0 ? inner_flops : machine->gpu.scatter_flops);
}

static double if_known(double amount, double rate)
{
    return rate > 0 ? amount / rate : 0;
}

/* A product of few rows.  Where the profile says no more, by [Frantar et al.] as above, whatever the weights are. */
static double few_rows_s(const setting_t *setting, const lspo_kernel_t *kernel, double stream_s)
{
    const lspo_machine_t *m = setting->machine;
    const double bytes = (double)kernel->bytes;
    if (!((kernel->packed ? m->gpu.int4_Bps : m->gpu.few_rows_Bps) > 0))
        return fmax(stream_s, divide(kernel->flop, m->gpu.gemm_flops[setting->precision]));
    if (kernel->packed)
        return divide_cached(setting, bytes, m->gpu.int4_Bps, m->gpu.int4_cached_Bps) +
               if_known(kernel->flop, m->gpu.int4_flops) + kernel->count * m->gpu.int4_s;
    return overlapped_s(m->gpu.few_rows_overlap, if_known(kernel->flop, m->gpu.few_rows_flops),
                        divide_cached(setting, bytes, m->gpu.few_rows_Bps, m->gpu.few_rows_cached_Bps)) +
           kernel->count * m->gpu.few_rows_s;
}

static double cache_s(const setting_t *setting, const lspo_kernel_t *kernel)
{
    const lspo_machine_t *m = setting->machine;
    const double scores = kernel->flop / (4 * (double)kernel->k);
    return divide_cached(setting, (double)kernel->bytes, m->gpu.cache_Bps, m->gpu.cache_cached_Bps) +
           if_known(scores, m->gpu.cache_scores_pps) + kernel->count * m->gpu.cache_s;
}

static double expansion_Bps(const lspo_machine_t *m, lspo_expansion_t expansion)
{
    double own_Bps = expansion == LSPO_EXPAND_BITMAP    ? m->gpu.bitmap_Bps
                     : expansion == LSPO_EXPAND_CSR     ? m->gpu.csr_Bps
                     : expansion == LSPO_EXPAND_TERNARY ? m->gpu.ternary_Bps
                                                        : 0;
    return own_Bps > 0 ? own_Bps : m->gpu.expand_Bps;
}

/* A row is read many times, all but once from cache. */
static double rows_s(const setting_t *setting, const lspo_kernel_t *kernel)
{
    const lspo_machine_t *m = setting->machine;
    double cached_Bps = m->gpu.rows_cached_Bps > 0 ? m->gpu.rows_cached_Bps : m->gpu.rows_Bps;
    double far_bytes = (1 - setting->cached) * (double)kernel->far_bytes;
    return divide((double)kernel->bytes - far_bytes, cached_Bps) + divide(far_bytes, m->gpu.rows_Bps);
}

static double gpu_kernel_s(const setting_t *setting, const lspo_kernel_t *kernel)
{
    const lspo_machine_t *m = setting->machine;
    double flop = kernel->flop, factor = traffic_factor(setting, kernel);
    double bytes = (double)kernel->bytes * factor;
    switch (kernel->kernel_class) {
    case LSPO_KERNEL_GEMM:
        return gemm_s(setting, kernel);
    case LSPO_KERNEL_ATTENTION:
        return attention_s(setting, kernel);
    case LSPO_KERNEL_NORM:
        return fused_s(setting, bytes, m->gpu.norm_Bps, m->gpu.norm_cached_Bps, m->gpu.norm_backward_Bps,
                       m->gpu.norm_backward_cached_Bps);
    case LSPO_KERNEL_ACTIVATION:
        return fused_s(setting, bytes, m->gpu.activation_Bps, m->gpu.activation_cached_Bps,
                       m->gpu.activation_backward_Bps, m->gpu.activation_backward_cached_Bps);
    case LSPO_KERNEL_LOSS:
        return fused_s(setting, bytes, m->gpu.loss_Bps, m->gpu.loss_cached_Bps, m->gpu.loss_backward_Bps,
                       m->gpu.loss_backward_cached_Bps);
    case LSPO_KERNEL_COLUMNS:
        if (m->gpu.columns_Bps > 0)
            return divide_cached(setting, bytes, m->gpu.columns_Bps, m->gpu.columns_cached_Bps);
        break;
    case LSPO_KERNEL_ROWS:
        if (m->gpu.rows_Bps > 0)
            return rows_s(setting, kernel);
        break;
    case LSPO_KERNEL_GATHER:
        return overlapped_s(m->gpu.projector_overlap, divide(flop, m->gpu.gather_flops),
                            divide_cached(setting, bytes, m->gpu.gather_Bps, m->gpu.gather_cached_Bps));
    case LSPO_KERNEL_SCATTER:
        return overlapped_s(m->gpu.projector_overlap, scatter_arithmetic_s(m, kernel),
                            divide_cached(setting, bytes, m->gpu.scatter_Bps, m->gpu.scatter_cached_Bps));
    case LSPO_KERNEL_ADAM:
        return divide_cached(setting, (double)kernel->elements * factor, m->gpu.adam_pps, m->gpu.adam_cached_pps);
    case LSPO_KERNEL_EXPAND:
        if (expansion_Bps(m, kernel->expansion) > 0)
            return divide(bytes, expansion_Bps(m, kernel->expansion));
        break;
    case LSPO_KERNEL_FEW_ROWS:
        return few_rows_s(setting, kernel, divide_cached(setting, bytes, m->gpu.stream_Bps, m->gpu.stream_cached_Bps));
    case LSPO_KERNEL_CACHE:
        if (m->gpu.cache_Bps > 0)
            return cache_s(setting, kernel);
        break;
    case LSPO_KERNEL_STREAM:
    case LSPO_KERNEL_COPY:
    case LSPO_KERNEL_MAP: /* on the CPU lane only */
    case LSPO_KERNEL_CLASS_COUNT:
        break;
    }
    return fused_s(setting, bytes, m->gpu.stream_Bps, m->gpu.stream_cached_Bps, m->gpu.stream_backward_Bps,
                   m->gpu.stream_backward_cached_Bps);
}

typedef struct {
    double cached_pps, memory_pps;
} adam_rates_t;

/* What a calibration measured in the format; 0: nothing. */
static adam_rates_t measured_adam_rates(const lspo_machine_t *machine, lspo_optimizer_state_t state)
{
    if (state < LSPO_OPTIMIZER_STATE_BF16)
        return (adam_rates_t){0};
    size_t narrow = state - LSPO_OPTIMIZER_STATE_BF16;
    return (adam_rates_t){machine->cpu.adam_narrow[narrow].cached_pps, machine->cpu.adam_narrow[narrow].memory_pps};
}

/* In a time of arithmetic and, from memory, one of bytes, which are those of the kernel; at most at the machine's
 * pace. */
static adam_rates_t narrow_adam_rates(const lspo_machine_t *machine, const lspo_kernel_t *kernel, adam_rates_t rates)
{
    double cached_pps = rates.cached_pps, arithmetic_s = 1 / cached_pps;
    double bytes_s = fmax(0, 1 / rates.memory_pps - arithmetic_s);
    double measured = lspo_optimizer_state_traffic_bytes(kernel->state, LSPO_FP32) / adam_traffic_bytes;
    bytes_s *= adam_factor(machine, machine->software.cpu_adam_bytes, kernel) / measured;
    double pace_pps = machine->cpu.own_adam_pps > 0 ? machine->cpu.adam_pps : 0;
    return (adam_rates_t){limited(cached_pps, pace_pps), limited(1 / (arithmetic_s + bytes_s), pace_pps)};
}

/* Packing and unpacking is arithmetic, by which a state in cache is bound; one in memory takes the time of its bytes,
 * too.  Only a calibrated rate from cache tells of arithmetic; others are counted by bytes.  A pace is in parameters
 * per second, whatever their format. */
static adam_rates_t cpu_adam_rates(const lspo_machine_t *machine, const lspo_kernel_t *kernel)
{
    double factor = or_1(machine->software.cpu_adam_bytes / adam_traffic_bytes);
    adam_rates_t own = measured_adam_rates(machine, kernel->state);
    if (own.cached_pps > 0 && own.memory_pps > 0)
        return narrow_adam_rates(machine, kernel, own);
    if (kernel->state == LSPO_OPTIMIZER_STATE_FP32 || machine->cpu.own_adam_pps > 0)
        return (adam_rates_t){machine->cpu.adam_cached_pps / factor, machine->cpu.adam_pps / factor};
    factor = adam_factor(machine, machine->software.cpu_adam_bytes, kernel);
    if (strcmp(machine->evidence, "calibrated") != 0)
        return (adam_rates_t){machine->cpu.adam_cached_pps / factor, machine->cpu.adam_pps / factor};
    double arithmetic_pps = machine->cpu.adam_cached_pps / adam_arithmetic[kernel->state];
    return (adam_rates_t){arithmetic_pps, 1 / (factor / machine->cpu.adam_pps + 1 / arithmetic_pps)};
}

/* Where the CPU lane has cores like those of the GPU lane (a host device), their measured products are its own. */
static double cpu_product_s(const lspo_machine_t *machine, const lspo_kernel_t *kernel)
{
    bool alike = machine->products.size_count > 0 && machine->cpu.compute_flops == machine->gpu.gemm_flops[LSPO_FP32];
    double share = alike ? lspo_products_share(&machine->products, kernel->layout, (double)kernel->m, (double)kernel->n,
                                               (double)kernel->k)
                         : 1;
    return divide(kernel->flop, machine->cpu.compute_flops * share);
}

static double own_or(double own, double other)
{
    return own > 0 ? own : other;
}

double lspo_cost_map_s(const lspo_machine_t *machine, const lspo_cost_calls_t *calls)
{
    return (double)calls->creates * own_or(machine->gpu.chunk_create_s, a100_create_s) +
           (double)calls->maps * own_or(machine->gpu.chunk_map_s, a100_map_s) +
           (double)calls->accesses * own_or(machine->gpu.chunk_access_s, a100_access_s) +
           (double)calls->unmaps * own_or(machine->gpu.chunk_unmap_s, a100_unmap_s) +
           (machine->gpu.chunk_Bps > 0
                ? (double)(calls->maps + calls->creates) * calls->chunk_bytes / machine->gpu.chunk_Bps
                : 0);
}

static double cpu_kernel_s(const lspo_machine_t *machine, const lspo_kernel_t *kernel)
{
    if (kernel->kernel_class == LSPO_KERNEL_GEMM)
        return cpu_product_s(machine, kernel);
    if (kernel->kernel_class == LSPO_KERNEL_MAP)
        return lspo_cost_map_s(
            machine, &(lspo_cost_calls_t){.creates = kernel->of_elements,
                                          .maps = kernel->elements,
                                          .accesses = kernel->count,
                                          .chunk_bytes = divide((double)kernel->bytes, (double)kernel->elements)});
    if (kernel->kernel_class != LSPO_KERNEL_ADAM) {
        double memory_pps = machine->cpu.own_adam_pps > 0 ? machine->cpu.own_adam_pps : machine->cpu.adam_pps;
        return fmax(divide(kernel->flop, machine->cpu.compute_flops),
                    divide((double)kernel->bytes, adam_traffic_bytes * memory_pps));
    }
    double elements = (double)kernel->elements;
    double held_bytes = lspo_optimizer_state_held_bytes(kernel->state, kernel->weights);
    double set = kernel->of_elements > 0 ? (double)kernel->of_elements : elements;
    double state_bytes = (held_bytes + sizeof(float)) * set; /* with the gradient */
    double cached = state_bytes > machine->cpu.cache_bytes ? machine->cpu.cache_bytes / state_bytes : 1;
    double limit_pps = machine->software.cpu_adam_limit_pps;
    const adam_rates_t rates = cpu_adam_rates(machine, kernel);
    return divide(elements * cached, limited(rates.cached_pps, limit_pps)) +
           divide(elements * (1 - cached), limited(rates.memory_pps, limit_pps));
}

static double copy_s(const setting_t *setting, lspo_lane_kind_t lane, const lspo_kernel_t *kernel)
{
    const lspo_machine_t *machine = setting->machine;
    double latency_s = machine->ssd.latency_s,
           rate_Bps = setting->writes ? machine->ssd.write_Bps : machine->ssd.read_Bps;
    if (lane == LSPO_LANE_D2H) {
        latency_s = machine->link.d2h_latency_s;
        rate_Bps = limited(machine->link.d2h_Bps, machine->software.d2h_limit_Bps);
    } else if (lane == LSPO_LANE_H2D) {
        latency_s = machine->link.h2d_latency_s;
        rate_Bps = limited(machine->link.h2d_Bps, machine->software.h2d_limit_Bps);
    } else if (lane == LSPO_LANE_NET) {
        latency_s = machine->net.latency_s;
        rate_Bps = machine->net.Bps;
    }
    return kernel->count * latency_s + divide((double)kernel->bytes, rate_Bps);
}

static double kernel_s(const setting_t *setting, lspo_lane_kind_t lane, const lspo_kernel_t *kernel)
{
    const lspo_machine_t *machine = setting->machine;
    if (lane == LSPO_LANE_CPU)
        return cpu_kernel_s(machine, kernel);
    if (kernel->kernel_class == LSPO_KERNEL_COPY && lspo_lane_kind_moves_bytes(lane))
        return copy_s(setting, lane, kernel);
    return kernel->count * machine->gpu.launch_s + gpu_kernel_s(setting, kernel);
}

/* The host dispatches kernels while the GPU runs earlier ones: the longer of the two times dominates. */
static double with_dispatch_s(const lspo_machine_t *machine, const lspo_work_t *work, double gpu_s)
{
    double launches = 0, power = machine->software.dispatch_power > 0 ? machine->software.dispatch_power : 2;
    for (uint32_t i = 0; i < work->kernel_count; i++)
        launches += work->kernels[i].count;
    double host_s = launches * machine->software.kernel_s, longer_s = fmax(gpu_s, host_s);
    if (!(host_s > 0) || !(gpu_s > 0))
        return longer_s;
    return longer_s * pow(1 + pow(fmin(gpu_s, host_s) / longer_s, power), 1 / power);
}

double lspo_cost_work_s(const lspo_cost_context_t *context, lspo_lane_kind_t lane, double cached,
                        const lspo_work_t *work)
{
    const lspo_machine_t *machine = context->machine;
    const setting_t setting = {.machine = machine,
                               .family = lspo_family_of(context->model),
                               .precision = context->precision,
                               .cached = cached,
                               .backward = work->backward,
                               .writes = work->writes};
    double op_s = lane == LSPO_LANE_GPU ? machine->gpu.op_s : lane == LSPO_LANE_CPU ? machine->cpu.op_s : 0;
    double kernels_s = 0;
    for (uint32_t i = 0; i < work->kernel_count; i++)
        kernels_s += kernel_s(&setting, lane, &work->kernels[i]);
    if (lane != LSPO_LANE_GPU)
        return op_s + kernels_s;
    if (machine->gpu.training_speed > 0)
        kernels_s /= machine->gpu.training_speed;
    if (work->backward)
        kernels_s /= (1 - machine->gpu.backward_loss) * (1 - machine->software.backward_loss);
    return op_s + with_dispatch_s(machine, work, kernels_s);
}

/* The rounded duration of a work on a lane of this kind. */
static lspo_status_t price(const lspo_machine_t *usual, const lspo_plan_t *plan, lspo_lane_kind_t lane, size_t work,
                           double cached, uint64_t *ns_out)
{
    const double limit_ns = 1e15;
    lspo_machine_t own;
    double speed;
    const lspo_machine_t *machine = lspo_place_machine(plan, usual, (uint32_t)work, &own, &speed);
    const lspo_cost_context_t context = {machine, &plan->model, plan->workload.precision};
    double ns = 1e9 * lspo_cost_work_s(&context, lane, cached, &plan->works[work]);
    if (lane == LSPO_LANE_GPU)
        ns /= speed;
    if (isinf(ns) && lane >= LSPO_DEVICE_LANES)
        return lspo_error(LSPO_ERR_INPUT,
                          "machine '%s' has no rate for lanes of kind %s; set one, for example --set %s=1GB/s",
                          machine->name, lspo_lane_kind_name(lane),
                          lane == LSPO_LANE_NET      ? "net.Bps"
                          : plan->works[work].writes ? "ssd.write_Bps"
                                                     : "ssd.read_Bps");
    if (!(ns <= limit_ns))
        return lspo_error(LSPO_ERR_INPUT, "machine '%s': an op on lane %s would take %g s", machine->name,
                          lspo_lane_kind_name(lane), 1e-9 * ns);
    *ns_out = (uint64_t)(ns + 0.5);
    return LSPO_OK;
}

/* With the share of each work's operands that is in cache. */
static lspo_status_t price_with(const lspo_machine_t *machine, const lspo_plan_t *plan, const uint8_t *used,
                                const double *cached, uint64_t *work_ns)
{
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; i < (size_t)plan->work_count * LSPO_LANE_KIND_COUNT; i++) {
        size_t work = i / LSPO_LANE_KIND_COUNT;
        work_ns[i] = 0;
        if (used[i])
            status =
                price(machine, plan, (lspo_lane_kind_t)(i % LSPO_LANE_KIND_COUNT), work, cached[work], &work_ns[i]);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* What is in cache depends on how long ops take, and the other way round: two steps are enough. */
static lspo_status_t price_in_time(const lspo_machine_t *machine, const lspo_plan_t *plan, const uint8_t *used,
                                   double *cached, uint64_t *work_ns)
{
    uint64_t *op_ns = calloc((size_t)plan->op_count + 1, sizeof *op_ns);
    if (op_ns == NULL)
        return lspo_no_memory("the durations of %" PRIu32 " ops", plan->op_count);
    for (uint32_t i = 0; i < plan->op_count; i++)
        op_ns[i] = lspo_cost_op_ns(&plan->ops[i], work_ns);
    lspo_status_t status = lspo_reuse_shares(machine, plan, op_ns, cached);
    free(op_ns);
    return status == LSPO_OK ? price_with(machine, plan, used, cached, work_ns) : status;
}

static lspo_status_t price_all(const lspo_machine_t *machine, const lspo_plan_t *plan, uint8_t *used, double *cached,
                               uint64_t *work_ns)
{
    const bool generates = plan->policy != NULL && plan->policy->task == LSPO_TASK_GENERATE;
    lspo_status_t status = lspo_reuse_shares(machine, plan, NULL, cached);
    if (status != LSPO_OK)
        return status;
    for (uint32_t i = 0; i < plan->op_count; i++)
        used[(size_t)plan->ops[i].work * LSPO_LANE_KIND_COUNT + lspo_op_kind_lane((lspo_op_kind_t)plan->ops[i].kind)] =
            1;
    status = price_with(machine, plan, used, cached, work_ns);
    if (status == LSPO_OK && generates && machine->gpu.kept_s > 0)
        status = price_in_time(machine, plan, used, cached, work_ns);
    return status;
}

lspo_status_t lspo_cost_plan(const lspo_machine_t *machine, const lspo_plan_t *plan, uint64_t **work_ns_out)
{
    size_t work_count = (size_t)plan->work_count + 1;
    uint64_t *work_ns = malloc(work_count * LSPO_LANE_KIND_COUNT * sizeof *work_ns);
    uint8_t *used = calloc(work_count, LSPO_LANE_KIND_COUNT);
    double *cached = calloc(work_count, sizeof *cached);
    lspo_status_t status = work_ns && used && cached
                               ? price_all(machine, plan, used, cached, work_ns)
                               : lspo_no_memory("the durations of %" PRIu32 " works", plan->work_count);
    free(cached);
    free(used);
    if (status != LSPO_OK) {
        free(work_ns);
        return status;
    }
    *work_ns_out = work_ns;
    return LSPO_OK;
}
