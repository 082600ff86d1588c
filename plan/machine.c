/* machine.c - the table of the fields of a machine profile, with names and ranges. */
#include "plan/machine.h"

#include <stdio.h>
#include <string.h>

/* Rates above any machine's, so that no sum or quotient of a simulation overflows. */
#define RATE_LOW 1.0
#define RATE_HIGH 1e21
#define LOSS_HIGH 0.99
#define SIGMA_HIGH 2.0

#define FIELD(section, member, unit, low, high, help)                                                                  \
    {                                                                                                                  \
#section, #member, unit, low, high, help, offsetof(lspo_machine_t, section.member)                             \
    }
#define GPU_FLOPS(member, help) FIELD(gpu, member, LSPO_UNIT_FLOPS, RATE_LOW, RATE_HIGH, help)
#define GPU_BPS(member, help) FIELD(gpu, member, LSPO_UNIT_BPS, RATE_LOW, RATE_HIGH, help)
#define GPU_BACKWARD(member) FIELD(gpu, member, LSPO_UNIT_BPS, 0.0, RATE_HIGH, "in a backward pass; 0: as forward")
#define GPU_CACHED(member, unit) FIELD(gpu, member, unit, 0.0, RATE_HIGH, "operands in cache; 0: as from memory")
#define GPU_READING(member, what)                                                                                      \
    FIELD(gpu, member##_Bps, LSPO_UNIT_BPS, 0.0, RATE_HIGH, what ", memory; 0: as stream_Bps"),                        \
        FIELD(gpu, member##_s, LSPO_UNIT_SECONDS, 0.0, 1.0, what ", each, besides launch_s")
#define PRECISION(name, index)                                                                                         \
    {                                                                                                                  \
        "gpu", "gemm_" name "_flops", LSPO_UNIT_FLOPS, RATE_LOW, RATE_HIGH, "matrix products in " name,                \
            offsetof(lspo_machine_t, gpu.gemm_flops[index])                                                            \
    }
#define LAYOUT_MEMORY(name, index, what)                                                                               \
    {                                                                                                                  \
        "gpu", "gemm_" name "_memory_Bps", LSPO_UNIT_BPS, 0.0, RATE_HIGH,                                              \
            "rate of the extra time of products with " what " in memory; 0: none",                                     \
            offsetof(lspo_machine_t, gpu.gemm_memory_Bps[index])                                                       \
    }
#define CONTENTION(key, slowed, running)                                                                               \
    {                                                                                                                  \
        "contention", key, LSPO_UNIT_NONE, 0.0, LOSS_HIGH,                                                             \
            "fraction of speed that the first lane loses while the second runs",                                       \
            offsetof(lspo_machine_t, contention[slowed][running])                                                      \
    }
#define NOISE(member, help)                                                                                            \
    FIELD(noise, member, LSPO_UNIT_NONE, 0.0, SIGMA_HIGH, "standard deviation of the log duration " help)

#define ADAM_NARROW(key, state, member, help)                                                                          \
    {                                                                                                                  \
        "cpu", key, LSPO_UNIT_PPS, 0.0, RATE_HIGH, "Adam with m and v in " help "; 0: derived from fp32's rates",      \
            offsetof(lspo_machine_t, cpu.adam_narrow[state - LSPO_OPTIMIZER_STATE_BF16].member)                        \
    }
#define SOFTWARE(member, unit, high, help) FIELD(software, member, unit, 0.0, high, help)
#define TRAFFIC_FACTOR(member, what)                                                                                   \
    SOFTWARE(member, LSPO_UNIT_NONE, 1000.0, "memory traffic of " what ", relative to lspo's fused kernels; 0: 1")

#define YARDSTICK(key, index)                                                                                          \
    {                                                                                                                  \
        "yardstick", key, LSPO_UNIT_SECONDS, 0.0, 1e6, "time per iteration of this run in the calibration",            \
            offsetof(lspo_machine_t, yardstick_s[index])                                                               \
    }

const lspo_machine_field_t lspo_machine_fields[] = {
    FIELD(gpu, memory_bytes, LSPO_UNIT_BYTES, 1.0, 0x1p62, "memory; plans may use it minus context_bytes"),
    PRECISION("fp32", LSPO_FP32),
    PRECISION("bf16", LSPO_BF16),
    PRECISION("fp16", LSPO_FP16),
    FIELD(gpu, gemm_m_half, LSPO_UNIT_NONE, 0.0, 1e6, "rows of a product at which its rate is halved"),
    FIELD(gpu, gemm_n_half, LSPO_UNIT_NONE, 0.0, 1e6, "columns at which it is halved"),
    FIELD(gpu, gemm_k_half, LSPO_UNIT_NONE, 0.0, 1e6, "length of the sums at which it is halved"),
    LAYOUT_MEMORY("nn", LSPO_LAYOUT_NN, "the W of X W"),
    LAYOUT_MEMORY("nt", LSPO_LAYOUT_NT, "the W of dY W^T"),
    LAYOUT_MEMORY("tn", LSPO_LAYOUT_TN, "the X of X^T dY and the result"),
    GPU_FLOPS(attention_flops, "attention of all heads"),
    FIELD(gpu, attention_sequence_half, LSPO_UNIT_NONE, 0.0, 1e6, "tokens of a sequence at which it is halved"),
    FIELD(gpu, attention_width_half, LSPO_UNIT_NONE, 0.0, 1e6, "width of a head at which it is halved"),
    FIELD(gpu, attention_backward_flops, LSPO_UNIT_FLOPS, 0.0, RATE_HIGH, "in a backward pass; 0: as forward"),
    GPU_BPS(norm_Bps, "layer and RMS norms"),
    GPU_BPS(activation_Bps, "GELU and gated SiLU"),
    GPU_BPS(loss_Bps, "softmax cross-entropy"),
    GPU_BPS(stream_Bps, "copies, biases, sums"),
    GPU_BACKWARD(norm_backward_Bps),
    GPU_BACKWARD(activation_backward_Bps),
    GPU_BACKWARD(loss_backward_Bps),
    GPU_BACKWARD(stream_backward_Bps),
    FIELD(gpu, columns_Bps, LSPO_UNIT_BPS, 0.0, RATE_HIGH, "gather and scatter of columns; 0: as stream_Bps"),
    FIELD(gpu, rows_Bps, LSPO_UNIT_BPS, 0.0, RATE_HIGH, "products with rows that tokens choose; 0: as stream_Bps"),
    FIELD(gpu, expand_Bps, LSPO_UNIT_BPS, 0.0, RATE_HIGH, "expansion of packed weights; 0: as stream_Bps"),
    FIELD(gpu, bitmap_Bps, LSPO_UNIT_BPS, 0.0, RATE_HIGH, "expansion of bitmaps; 0: as expand_Bps"),
    FIELD(gpu, csr_Bps, LSPO_UNIT_BPS, 0.0, RATE_HIGH, "expansion of CSR; 0: as expand_Bps"),
    FIELD(gpu, ternary_Bps, LSPO_UNIT_BPS, 0.0, RATE_HIGH, "products with packed ternary weights; 0: as expand_Bps"),
    GPU_READING(few_rows, "products of few rows"),
    FIELD(gpu, few_rows_flops, LSPO_UNIT_FLOPS, 0.0, RATE_HIGH, "products of few rows, arithmetic; 0: no time"),
    FIELD(gpu, few_rows_overlap, LSPO_UNIT_NONE, 0.0, 1.0, "overlapped share of the shorter of memory and arithmetic"),
    GPU_READING(int4, "products of few rows with 4-bit weights"),
    FIELD(gpu, int4_flops, LSPO_UNIT_FLOPS, 0.0, RATE_HIGH, "the same, arithmetic; 0: no time"),
    GPU_READING(cache, "attention of few tokens to a cache"),
    FIELD(gpu, cache_scores_pps, LSPO_UNIT_PPS, 0.0, RATE_HIGH, "the same, scores of a query and key; 0: no time"),
    GPU_FLOPS(gather_flops, "X P with sparse P, arithmetic"),
    GPU_BPS(gather_Bps, "X P with sparse P, memory"),
    GPU_FLOPS(scatter_flops, "W -= eta P D Q^T, arithmetic"),
    FIELD(gpu, scatter_inner_flops, LSPO_UNIT_FLOPS, 0.0, RATE_HIGH, "P D in it; 0: as scatter_flops"),
    FIELD(gpu, dense_compress_ratio, LSPO_UNIT_NONE, 0.0, 1e9, "COMPRESS by dense products up to this d / r; 0: never"),
    FIELD(gpu, dense_apply_ratio, LSPO_UNIT_NONE, 0.0, 1e9, "APPLY by dense products up to this d / r; 0: never"),
    FIELD(gpu, projector_overlap, LSPO_UNIT_NONE, 0.0, 1.0, "overlapped share of a projector's shorter time"),
    GPU_BPS(scatter_Bps, "W -= eta P D Q^T, memory"),
    FIELD(gpu, adam_pps, LSPO_UNIT_PPS, RATE_LOW, RATE_HIGH, "Adam on the GPU"),
    GPU_CACHED(attention_cached_flops, LSPO_UNIT_FLOPS),
    GPU_CACHED(attention_backward_cached_flops, LSPO_UNIT_FLOPS),
    GPU_CACHED(norm_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(activation_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(loss_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(stream_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(norm_backward_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(activation_backward_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(loss_backward_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(stream_backward_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(columns_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(rows_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(gather_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(scatter_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(adam_cached_pps, LSPO_UNIT_PPS),
    GPU_CACHED(few_rows_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(int4_cached_Bps, LSPO_UNIT_BPS),
    GPU_CACHED(cache_cached_Bps, LSPO_UNIT_BPS),
    FIELD(gpu, near_bytes, LSPO_UNIT_BYTES, 0.0, 0x1p62, "reuse distance up to which all is in cache"),
    FIELD(gpu, cache_bytes, LSPO_UNIT_BYTES, 0.0, 0x1p62, "reuse distance from which nothing is; 0: no cache"),
    FIELD(gpu, kept_all_bytes, LSPO_UNIT_BYTES, 0.0, 0x1p62, "the same in generation, with kept_bytes; 0: near_bytes"),
    FIELD(gpu, kept_bytes, LSPO_UNIT_BYTES, 0.0, 0x1p62, "in generation kept_share is left after them; 0: cache_bytes"),
    FIELD(gpu, kept_share, LSPO_UNIT_NONE, 0.0, 1.0, "share of operands in cache with kept_bytes between two uses"),
    FIELD(gpu, kept_s, LSPO_UNIT_SECONDS, 0.0, 1e6, "time after which exp(-1) of that is left there; 0: all of it"),
    FIELD(gpu, training_speed, LSPO_UNIT_NONE, 0.0, 10.0, "speed of kernels in a training over alone; 0: taken as 1"),
    FIELD(gpu, backward_loss, LSPO_UNIT_NONE, 0.0, LOSS_HIGH, "fraction of speed that a backward pass loses"),
    FIELD(gpu, context_bytes, LSPO_UNIT_BYTES, 0.0, 0x1p62, "memory of the driver, which plans cannot use"),
    FIELD(gpu, launch_s, LSPO_UNIT_SECONDS, 0.0, 1.0, "overhead per kernel"),
    FIELD(gpu, op_s, LSPO_UNIT_SECONDS, 0.0, 1.0, "overhead per op, in addition to that of its kernels"),
    FIELD(gpu, chunk_create_s, LSPO_UNIT_SECONDS, 0.0, 1.0, "to make a chunk of memory for a cache; 0: 193 us"),
    FIELD(gpu, chunk_map_s, LSPO_UNIT_SECONDS, 0.0, 1.0, "to map one; 0: 1.45 us"),
    FIELD(gpu, chunk_access_s, LSPO_UNIT_SECONDS, 0.0, 1.0, "a call that makes mapped ones accessible; 0: 36 us"),
    FIELD(gpu, chunk_unmap_s, LSPO_UNIT_SECONDS, 0.0, 1.0, "a call that unmaps a range; 0: 25.6 us"),
    FIELD(gpu, chunk_Bps, LSPO_UNIT_BPS, 0.0, RATE_HIGH, "rate of making and of mapping a chunk's pages; 0: no pages"),
    FIELD(cpu, memory_bytes, LSPO_UNIT_BYTES, 1.0, 0x1p62, "memory that plans may use"),
    FIELD(cpu, adam_pps, LSPO_UNIT_PPS, RATE_LOW, RATE_HIGH, "Adam, all threads, from memory"),
    FIELD(cpu, adam_cached_pps, LSPO_UNIT_PPS, RATE_LOW, RATE_HIGH, "Adam, all threads, state in cache"),
    ADAM_NARROW("adam_bf16_pps", LSPO_OPTIMIZER_STATE_BF16, memory_pps, "bf16, from memory"),
    ADAM_NARROW("adam_bf16_cached_pps", LSPO_OPTIMIZER_STATE_BF16, cached_pps, "bf16, in cache"),
    ADAM_NARROW("adam_8bit_pps", LSPO_OPTIMIZER_STATE_8BIT, memory_pps, "8 bits, from memory"),
    ADAM_NARROW("adam_8bit_cached_pps", LSPO_OPTIMIZER_STATE_8BIT, cached_pps, "8 bits, in cache"),
    FIELD(cpu, cache_bytes, LSPO_UNIT_BYTES, 0.0, 0x1p62, "optimizer state up to this size stays in cache"),
    FIELD(cpu, process_bytes, LSPO_UNIT_BYTES, 0.0, 0x1p62, "memory of the process that plans do not count"),
    FIELD(cpu, lanes_bytes, LSPO_UNIT_BYTES, 0.0, 0x1p62, "more of it with other lanes than the GPU's"),
    FIELD(cpu, compute_flops, LSPO_UNIT_FLOPS, RATE_LOW, RATE_HIGH, "matrix products on the CPU: of the bases of Adam"),
    FIELD(cpu, op_s, LSPO_UNIT_SECONDS, 0.0, 1.0, "overhead per op"),
    FIELD(cpu, wake_s, LSPO_UNIT_SECONDS, 0.0, 1.0, "to wake a lane that waits for one on another core"),
    FIELD(link, h2d_Bps, LSPO_UNIT_BPS, RATE_LOW, RATE_HIGH, "CPU to GPU, pinned memory, alone"),
    FIELD(link, d2h_Bps, LSPO_UNIT_BPS, RATE_LOW, RATE_HIGH, "GPU to CPU, pinned memory, alone"),
    FIELD(link, h2d_latency_s, LSPO_UNIT_SECONDS, 0.0, 1.0, "latency of a message"),
    FIELD(link, d2h_latency_s, LSPO_UNIT_SECONDS, 0.0, 1.0, "latency of a message"),
    FIELD(link, h2d_duplex_loss, LSPO_UNIT_NONE, 0.0, LOSS_HIGH, "fraction of h2d_Bps lost while D2H runs"),
    FIELD(link, d2h_duplex_loss, LSPO_UNIT_NONE, 0.0, LOSS_HIGH, "fraction of d2h_Bps lost while H2D runs"),
    FIELD(link, pcie_generation, LSPO_UNIT_NONE, 0.0, 99.0, "for information; 0: unknown or no PCIe"),
    FIELD(link, pcie_lanes, LSPO_UNIT_NONE, 0.0, 99.0, "for information; 0: unknown or no PCIe"),
    SOFTWARE(kernel_s, LSPO_UNIT_SECONDS, 1.0, "host time to dispatch one kernel of a plan"),
    SOFTWARE(dispatch_power, LSPO_UNIT_NONE, 100.0, "p: an op takes (gpu^p + dispatch^p)^(1/p); 0: 2"),
    SOFTWARE(attention_share, LSPO_UNIT_NONE, 10.0, "share of the card's attention rate that is reached; 0: all"),
    SOFTWARE(score_bytes, LSPO_UNIT_NONE, 1e4, "attention not fused: traffic per score, forward; 0: fused"),
    SOFTWARE(score_backward_bytes, LSPO_UNIT_NONE, 1e4, "traffic per score in a backward pass"),
    TRAFFIC_FACTOR(layer_norm_factor, "layer norms"),
    TRAFFIC_FACTOR(rms_norm_factor, "RMS norms"),
    TRAFFIC_FACTOR(activation_factor, "GELU"),
    TRAFFIC_FACTOR(gated_factor, "gated SiLU"),
    TRAFFIC_FACTOR(stream_factor, "residuals, biases, positions"),
    TRAFFIC_FACTOR(loss_factor, "softmax cross-entropy"),
    TRAFFIC_FACTOR(adapter_factor, "the products of adapters"),
    SOFTWARE(backward_loss, LSPO_UNIT_NONE, LOSS_HIGH, "fraction of speed that a backward pass loses to autograd"),
    SOFTWARE(gpu_adam_bytes, LSPO_UNIT_NONE, 1e6, "traffic per parameter of the optimizer on the GPU; 0: 28"),
    SOFTWARE(cpu_adam_bytes, LSPO_UNIT_NONE, 1e6, "traffic per parameter of the optimizer on the CPU; 0: 28"),
    SOFTWARE(cpu_adam_limit_pps, LSPO_UNIT_PPS, RATE_HIGH, "the most that its CPU optimizer reaches; 0: no limit"),
    SOFTWARE(h2d_limit_Bps, LSPO_UNIT_BPS, RATE_HIGH, "the most that its copies to the GPU reach; 0: no limit"),
    SOFTWARE(d2h_limit_Bps, LSPO_UNIT_BPS, RATE_HIGH, "the most that its copies to the CPU reach; 0: no limit"),
    SOFTWARE(gradient_buffers, LSPO_UNIT_NONE, 65535.0, "--gradient-buffers where it is not given; 1: copies block"),
    SOFTWARE(fp32_transfer, LSPO_UNIT_NONE, 1.0, "1: gradients and parameters cross the link in fp32"),
    SOFTWARE(host_sums, LSPO_UNIT_NONE, 1.0, "1: --accumulate-on host where it is not given"),
    SOFTWARE(library_bytes, LSPO_UNIT_BYTES, 0x1p62, "GPU memory of its process besides context and tensors"),
    SOFTWARE(allocator_share, LSPO_UNIT_NONE, LOSS_HIGH, "share of a step's memory that its allocator leaves unused"),
    SOFTWARE(allocator_most, LSPO_UNIT_NONE, LOSS_HIGH, "the most of all memory that it leaves unused, for the bound"),
    SOFTWARE(logit_bytes, LSPO_UNIT_NONE, 1e4, "memory per logit, with copies and gradients; 0: as lspo"),
    SOFTWARE(saved_width_bytes, LSPO_UNIT_NONE, 1e4, "kept for backward per token and element of a block's width"),
    SOFTWARE(saved_mlp_bytes, LSPO_UNIT_NONE, 1e4, "kept for backward per token and element of the MLP's width"),
    SOFTWARE(saved_repeat_bytes, LSPO_UNIT_NONE, 1e4, "kept per token and element by which Q is wider than K"),
    SOFTWARE(saved_score_bytes, LSPO_UNIT_NONE, 1e4, "kept for backward per score; 0: attention is fused"),
    SOFTWARE(saved_adapter_bytes, LSPO_UNIT_NONE, 1e4, "kept per token and element of the inputs of adapters"),
    SOFTWARE(adapter_cast_bytes, LSPO_UNIT_NONE, 1e4, "copies in 16 bits per element of adapters"),
    SOFTWARE(half_states, LSPO_UNIT_NONE, 1.0, "1: in bf16, moments in bf16 and no fp32 weights on the GPU"),
    SOFTWARE(update_bytes, LSPO_UNIT_NONE, 1e4, "temporaries per parameter of the optimizer on the GPU"),
    SOFTWARE(bucket_elements, LSPO_UNIT_NONE, 1e12, "gradients in buffers, where full ones are sent to the CPU"),
    SOFTWARE(host_parameter_bytes, LSPO_UNIT_NONE, 1e4, "host memory per parameter updated there; 0: as lspo"),
    FIELD(net, Bps, LSPO_UNIT_BPS, 0.0, RATE_HIGH, "send rate of a peer; 0: no network"),
    FIELD(net, latency_s, LSPO_UNIT_SECONDS, 0.0, 100.0, "latency of a message"),
    FIELD(ssd, read_Bps, LSPO_UNIT_BPS, 0.0, RATE_HIGH, "read rate; 0: no SSD"),
    FIELD(ssd, write_Bps, LSPO_UNIT_BPS, 0.0, RATE_HIGH, "write rate; 0: no SSD"),
    FIELD(ssd, latency_s, LSPO_UNIT_SECONDS, 0.0, 1.0, "latency of a read or a write"),
    CONTENTION("gpu_while_d2h", LSPO_LANE_GPU, LSPO_LANE_D2H),
    CONTENTION("gpu_while_h2d", LSPO_LANE_GPU, LSPO_LANE_H2D),
    CONTENTION("gpu_while_cpu", LSPO_LANE_GPU, LSPO_LANE_CPU),
    CONTENTION("d2h_while_gpu", LSPO_LANE_D2H, LSPO_LANE_GPU),
    CONTENTION("d2h_while_cpu", LSPO_LANE_D2H, LSPO_LANE_CPU),
    CONTENTION("h2d_while_gpu", LSPO_LANE_H2D, LSPO_LANE_GPU),
    CONTENTION("h2d_while_cpu", LSPO_LANE_H2D, LSPO_LANE_CPU),
    CONTENTION("cpu_while_gpu", LSPO_LANE_CPU, LSPO_LANE_GPU),
    CONTENTION("cpu_while_d2h", LSPO_LANE_CPU, LSPO_LANE_D2H),
    CONTENTION("cpu_while_h2d", LSPO_LANE_CPU, LSPO_LANE_H2D),
    NOISE(gpu_sigma, "of an op on the GPU"),
    NOISE(d2h_sigma, "of a copy to the CPU"),
    NOISE(h2d_sigma, "of a copy to the GPU"),
    NOISE(cpu_sigma, "of an op on the CPU"),
    NOISE(run_sigma, "of all GPU and CPU work of one run"),
    YARDSTICK("gpt_tiny_native_s", 0),
    YARDSTICK("gpt_tiny_badam_s", 1),
    YARDSTICK("gpt_small_native_s", 2),
    YARDSTICK("gpt_small_badam_s", 3),
    YARDSTICK("gpt_tiny_resident_s", 4),
    YARDSTICK("gpt_tiny_marlin_s", 5),
    YARDSTICK("gpt_small_resident_s", 6),
    YARDSTICK("gpt_small_marlin_s", 7),
};
const size_t lspo_machine_field_count = sizeof lspo_machine_fields / sizeof lspo_machine_fields[0];
_Static_assert(sizeof lspo_machine_fields / sizeof lspo_machine_fields[0] <= LSPO_MACHINE_FIELDS_MAX,
               "raise LSPO_MACHINE_FIELDS_MAX");

bool lspo_machine_is_host(const lspo_machine_t *machine)
{
    return !(machine->gpu.context_bytes > 0) && !(machine->link.pcie_lanes > 0);
}

double lspo_machine_value(const lspo_machine_t *machine, const lspo_machine_field_t *field)
{
    double value;
    memcpy(&value, (const char *)machine + field->offset_bytes, sizeof value);
    return value;
}

static void set_value(lspo_machine_t *machine, const lspo_machine_field_t *field, double value)
{
    memcpy((char *)machine + field->offset_bytes, &value, sizeof value);
}

size_t lspo_machine_field_find(const char *section, const char *key)
{
    size_t i = 0;
    while (i < lspo_machine_field_count &&
           (strcmp(lspo_machine_fields[i].section, section) != 0 || strcmp(lspo_machine_fields[i].key, key) != 0)) {
        i++;
    }
    return i;
}

/* "0 B/s..1.00 TB/s" */
static const char *range_of(const lspo_machine_field_t *field, const char *before, char *buffer, size_t buffer_bytes)
{
    char low[48], high[48];
    snprintf(buffer, buffer_bytes, "%s%s..%s", before, lspo_format_quantity(field->low, field->unit, low, sizeof low),
             lspo_format_quantity(field->high, field->unit, high, sizeof high));
    return buffer;
}

static lspo_status_t check_value(const char *what, const lspo_machine_field_t *field, double value)
{
    if (value >= field->low && value <= field->high)
        return LSPO_OK;
    char text[48], range[112];
    return lspo_error(LSPO_ERR_INPUT, "%s: %s is outside %s", what,
                      lspo_format_quantity(value, field->unit, text, sizeof text),
                      range_of(field, "", range, sizeof range));
}

lspo_status_t lspo_machine_take(const char *what, const lspo_machine_field_t *field, const char *text,
                                lspo_machine_t *machine)
{
    double value = 0.0;
    char range[112];
    lspo_status_t status =
        lspo_parse_quantity_in(what, text, field->unit, range_of(field, "within ", range, sizeof range), &value);
    if (status != LSPO_OK)
        return status;
    status = check_value(what, field, value);
    if (status != LSPO_OK)
        return status;
    set_value(machine, field, value);
    return LSPO_OK;
}

lspo_status_t lspo_machine_set(lspo_machine_t *machine, const char *assignment)
{
    char section[32], key[64], what[128];
    const char *equals = strchr(assignment, '=');
    const char *dot = strchr(assignment, '.');
    if (equals == NULL || dot == NULL || dot > equals || (size_t)(dot - assignment) >= sizeof section ||
        (size_t)(equals - dot - 1) >= sizeof key) {
        return lspo_error(LSPO_ERR_INPUT, "--set '%s' is not SECTION.KEY=VALUE, such as link.h2d_Bps=12GB/s",
                          assignment);
    }
    snprintf(section, sizeof section, "%.*s", (int)(dot - assignment), assignment);
    snprintf(key, sizeof key, "%.*s", (int)(equals - dot - 1), dot + 1);
    size_t index = lspo_machine_field_find(section, key);
    if (index == lspo_machine_field_count) {
        return lspo_error(LSPO_ERR_INPUT, "--set: a machine has no %s.%s; `lspo show machine NAME` prints all keys",
                          section, key);
    }
    snprintf(what, sizeof what, "--set %s.%s", section, key);
    return lspo_machine_take(what, &lspo_machine_fields[index], equals + 1, machine);
}

const char *lspo_machine_framework(const lspo_machine_t *machine)
{
    return machine->framework[0] != '\0' ? machine->framework : "lspo";
}

lspo_status_t lspo_machine_check(const lspo_machine_t *machine)
{
    char what[256];
    for (size_t i = 0; i < lspo_machine_field_count; i++) {
        const lspo_machine_field_t *field = &lspo_machine_fields[i];
        snprintf(what, sizeof what, "machine %s: [%s] %s", machine->name, field->section, field->key);
        lspo_status_t status = check_value(what, field, lspo_machine_value(machine, field));
        if (status != LSPO_OK)
            return status;
    }
    snprintf(what, sizeof what, "machine %s", machine->name);
    return lspo_products_check(what, &machine->products);
}
