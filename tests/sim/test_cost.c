/* The cost model: every number below is worked out in its comment from the equations of sim/cost.h. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "sim/cost.h"
#include "tests/plan_maker.h"

/* Round rates, so that a pencil does. */
static const lspo_model_t gpt = {.family = LSPO_FAMILY_GPT};

static lspo_machine_t round_machine(void)
{
    lspo_machine_t machine = {.name = "round"};
    machine.gpu.gemm_flops[LSPO_FP32] = 1e12;
    machine.gpu.gemm_flops[LSPO_BF16] = 2e12;
    machine.gpu.gemm_flops[LSPO_FP16] = 4e12;
    machine.gpu.gemm_m_half = 100;
    machine.gpu.gemm_n_half = 50;
    machine.gpu.gemm_k_half = 20;
    machine.gpu.attention_flops = 5e11;
    machine.gpu.norm_Bps = 1e11;
    machine.gpu.activation_Bps = 2e11;
    machine.gpu.loss_Bps = 4e11;
    machine.gpu.stream_Bps = 5e11;
    machine.gpu.gather_flops = 1e10;
    machine.gpu.gather_Bps = 1e11;
    machine.gpu.scatter_flops = 2e10;
    machine.gpu.scatter_Bps = 2e11;
    machine.gpu.adam_pps = 1e9;
    machine.gpu.launch_s = 1e-5;
    machine.gpu.op_s = 2e-5;
    machine.cpu.adam_pps = 1e8;
    machine.cpu.adam_cached_pps = 4e8;
    machine.cpu.cache_bytes = 1.6e6; /* the state of 100,000 parameters */
    machine.cpu.compute_flops = 1e10;
    machine.cpu.op_s = 3e-5;
    machine.link.h2d_Bps = 1e10;
    machine.link.d2h_Bps = 5e9;
    machine.link.h2d_latency_s = 1e-6;
    machine.link.d2h_latency_s = 4e-6;
    return machine;
}

static double cost_s(lspo_precision_t precision, lspo_lane_kind_t lane, lspo_kernel_t kernel)
{
    lspo_machine_t machine = round_machine();
    lspo_work_t work = {.kernel_count = 1, .kernels = {kernel}};
    return lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, precision}, lane, 0, &work);
}

#define expect_s(actual, wanted_s)                                                                                     \
    do {                                                                                                               \
        double actual_s_ = (actual);                                                                                   \
        cr_expect_float_eq(actual_s_, (wanted_s), 1e-12 * (wanted_s), "%.12g s", actual_s_);                           \
    } while (0)

/* B in 4 bits: max(1e9 / 4e12, bytes / 5e11) in fp16, whatever the shape; one launch 1e-5 and op 2e-5.  1e8 bytes take
 * 2e-4 s and 2e8 bytes 4e-4, the FLOPs 2.5e-4. */
Test(cost, a_product_with_packed_weights_has_no_losses_by_shape)
{
    lspo_kernel_t gemm = {.kernel_class = LSPO_KERNEL_GEMM, .count = 1, .m = 100, .n = 50, .k = 20, .flop = 1e9};
    gemm.packed = true;
    gemm.bytes = 100000000;
    expect_s(cost_s(LSPO_FP16, LSPO_LANE_GPU, gemm), 2.5e-4 + 3e-5);
    gemm.bytes = 200000000;
    expect_s(cost_s(LSPO_FP16, LSPO_LANE_GPU, gemm), 4e-4 + 3e-5);
}

static double generation_s(const lspo_machine_t *machine, double cached, lspo_kernel_t kernel)
{
    const lspo_work_t work = {.kernel_count = 1, .kernels = {kernel}};
    return lspo_cost_work_s(&(lspo_cost_context_t){machine, &gpt, LSPO_FP32}, LSPO_LANE_GPU, cached, &work);
}

/* 2 launches 2e-5 and op 2e-5.  5e8 bytes as a stream 1e-3 s, as the FLOPs at 1e12 take.  At its own rates from
 * memory 5e8 / 2.5e11 = 2e-3, from cache 5e8 / 1e12 = 5e-4; 1e9 FLOPs / 1e11 = 1e-2, and 2 x 3e-6.  These hide a
 * part of the reading; with 1e8 FLOPs in 1e-3 s reading from memory hides a part of them. */
Test(cost, a_product_of_few_rows_has_rates_of_its_own)
{
    lspo_machine_t machine = round_machine();
    lspo_kernel_t rows = {.kernel_class = LSPO_KERNEL_FEW_ROWS, .count = 2, .flop = 1e9, .bytes = 500000000};
    expect_s(generation_s(&machine, 0, rows), 1e-3 + 4e-5);
    machine.gpu.few_rows_Bps = 2.5e11;
    machine.gpu.few_rows_cached_Bps = 1e12;
    machine.gpu.few_rows_flops = 1e11;
    machine.gpu.few_rows_s = 3e-6;
    expect_s(generation_s(&machine, 0, rows), 2e-3 + 1e-2 + 6e-6 + 4e-5);
    expect_s(generation_s(&machine, 1, rows), 5e-4 + 1e-2 + 6e-6 + 4e-5);
    machine.gpu.few_rows_overlap = 0.75;
    expect_s(generation_s(&machine, 1, rows), 0.25 * 5e-4 + 1e-2 + 6e-6 + 4e-5);
    rows.flop = 1e8;
    expect_s(generation_s(&machine, 0, rows), 2e-3 + 0.25 * 1e-3 + 6e-6 + 4e-5);
}

/* The same with weights in 4 bits: without rates of its own max(1e-3, 1e9 / 1e12 = 1e-3) s, with twice the FLOPs 2e-3;
 * others of few rows do not count.  With them 5e8 / 1e11 = 5e-3, 1e9 / 2e11 = 5e-3, 2 x 1e-6. */
Test(cost, a_product_of_few_rows_with_packed_weights)
{
    lspo_machine_t machine = round_machine();
    lspo_kernel_t rows = {
        .kernel_class = LSPO_KERNEL_FEW_ROWS, .count = 2, .flop = 1e9, .bytes = 500000000, .packed = true};
    machine.gpu.few_rows_Bps = 1;
    expect_s(generation_s(&machine, 0, rows), 1e-3 + 4e-5);
    rows.flop = 2e9;
    expect_s(generation_s(&machine, 0, rows), 2e-3 + 4e-5);
    machine.gpu.int4_Bps = 1e11;
    machine.gpu.int4_flops = 4e11;
    machine.gpu.int4_s = 1e-6;
    expect_s(generation_s(&machine, 0, rows), 5e-3 + 5e-3 + 2e-6 + 4e-5);
}

/* 1e8 FLOPs of heads 50 wide are 1e8 / (4 x 50) = 5e5 scores; at 1e9 per second 5e-4 s.  1e8 bytes / 1e11 = 1e-3. */
Test(cost, attention_to_a_cache_reads_it_and_makes_scores)
{
    lspo_machine_t machine = round_machine();
    lspo_kernel_t cache = {.kernel_class = LSPO_KERNEL_CACHE, .count = 1, .k = 50, .flop = 1e8, .bytes = 100000000};
    expect_s(generation_s(&machine, 0, cache), 2e-4 + 3e-5);
    machine.gpu.cache_Bps = 1e11;
    machine.gpu.cache_scores_pps = 1e9;
    machine.gpu.cache_s = 7e-6;
    expect_s(generation_s(&machine, 0, cache), 1e-3 + 5e-4 + 7e-6 + 3e-5);
}

/* 1e9 bytes: as a stream 2e-3 s; of any kind at 1e11 1e-2, bitmaps at 2e11 5e-3, ternary products at 4e11 2.5e-3. */
Test(cost, expansion_depends_on_what_is_packed)
{
    lspo_machine_t machine = round_machine();
    lspo_kernel_t bitmap = {
        .kernel_class = LSPO_KERNEL_EXPAND, .count = 1, .bytes = 1000000000, .expansion = LSPO_EXPAND_BITMAP};
    lspo_kernel_t csr = bitmap, ternary = bitmap;
    csr.expansion = LSPO_EXPAND_CSR;
    ternary.expansion = LSPO_EXPAND_TERNARY;
    expect_s(generation_s(&machine, 0, bitmap), 2e-3 + 3e-5);
    machine.gpu.expand_Bps = 1e11;
    expect_s(generation_s(&machine, 0, bitmap), 1e-2 + 3e-5);
    machine.gpu.bitmap_Bps = 2e11;
    expect_s(generation_s(&machine, 0, bitmap), 5e-3 + 3e-5);
    expect_s(generation_s(&machine, 0, csr), 1e-2 + 3e-5);
    expect_s(generation_s(&machine, 0, ternary), 1e-2 + 3e-5);
    machine.gpu.ternary_Bps = 4e11;
    expect_s(generation_s(&machine, 0, ternary), 2.5e-3 + 3e-5);
}

/* GEMM m 100, n 50, k 20: every half-size equals its dimension, so 1 + 1 + 1 + 1 = 4 times the time at full rate.
 * flop 1e9 in fp32: 1e9 / 1e12 * 4 = 4e-3; + 2 launches 2e-5 + op 2e-5.  fp16 runs at four times the rate. */
Test(cost, gemm_depends_on_shape_and_precision)
{
    lspo_kernel_t gemm = {.kernel_class = LSPO_KERNEL_GEMM, .count = 2, .m = 100, .n = 50, .k = 20, .flop = 1e9};
    expect_s(cost_s(LSPO_FP32, LSPO_LANE_GPU, gemm), 4e-3 + 2e-5 + 2e-5);
    expect_s(cost_s(LSPO_BF16, LSPO_LANE_GPU, gemm), 2e-3 + 4e-5);
    expect_s(cost_s(LSPO_FP16, LSPO_LANE_GPU, gemm), 1e-3 + 4e-5);
    /* m 1,000, n 500, k 200: 1 + 0.1 + 0.1 + 0.1. */
    gemm.m = 1000, gemm.n = 500, gemm.k = 200;
    expect_s(cost_s(LSPO_FP32, LSPO_LANE_GPU, gemm), 1.3e-3 + 4e-5);
}

/* One launch 1e-5 and the op 2e-5 come on top of each. */
Test(cost, other_kernels_of_the_gpu)
{
    static const struct {
        lspo_kernel_class_t kernel_class;
        double flop;
        uint64_t bytes, elements;
        double wanted_s;
    } cases[] = {
        {LSPO_KERNEL_ATTENTION, 1e9, 1000000000, 0, 2e-3},  /* 1e9 / 5e11; bytes play no part */
        {LSPO_KERNEL_NORM, 0, 100000000, 0, 1e-3},          /* 1e8 / 1e11                     */
        {LSPO_KERNEL_ACTIVATION, 0, 100000000, 0, 5e-4},    /* 1e8 / 2e11                     */
        {LSPO_KERNEL_LOSS, 0, 100000000, 0, 2.5e-4},        /* 1e8 / 4e11                     */
        {LSPO_KERNEL_STREAM, 0, 100000000, 0, 2e-4},        /* 1e8 / 5e11                     */
        {LSPO_KERNEL_GATHER, 1e7, 10000000, 0, 1.1e-3},     /* 1e7 / 1e10 + 1e7 / 1e11        */
        {LSPO_KERNEL_GATHER, 1e6, 1000000000, 0, 1.01e-2},  /* 1e6 / 1e10 + 1e9 / 1e11        */
        {LSPO_KERNEL_SCATTER, 1e7, 10000000, 0, 5.5e-4},    /* 1e7 / 2e10 + 1e7 / 2e11        */
        {LSPO_KERNEL_SCATTER, 1e6, 1000000000, 0, 5.05e-3}, /* 1e6 / 2e10 + 1e9 / 2e11        */
        {LSPO_KERNEL_ADAM, 0, 0, 1000000, 1e-3},            /* 1e6 / 1e9                      */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_s(cost_s(LSPO_FP32, LSPO_LANE_GPU,
                        (lspo_kernel_t){.kernel_class = cases[i].kernel_class,
                                        .count = 1,
                                        .flop = cases[i].flop,
                                        .bytes = cases[i].bytes,
                                        .elements = cases[i].elements}),
                 cases[i].wanted_s + 3e-5);
}

/* With a loss of 0.2 a backward pass takes its kernels' (1e-3 + 1e-5) / 0.8 = 1.2625e-3, and the op's 2e-5 as before; a
 * forward pass and the CPU lose nothing. */
Test(cost, backward_passes_lose_speed)
{
    lspo_machine_t machine = round_machine();
    machine.gpu.backward_loss = 0.2;
    lspo_work_t work = {.kernel_count = 1,
                        .backward = true,
                        .kernels = {{.kernel_class = LSPO_KERNEL_ADAM, .count = 1, .elements = 1000000}}};
    expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_GPU, 0, &work),
             1.2625e-3 + 2e-5);
    double on_cpu_s = lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_CPU, 0, &work);
    work.backward = false;
    expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_GPU, 0, &work),
             1.01e-3 + 2e-5);
    expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_CPU, 0, &work), on_cpu_s);
}

/* Adam with m and v in other formats, in units of 28 bytes at 1e9 parameters per second on the GPU: beside fp32 weights
 * bf16 moves 3 x 4 + 2 x 4 = 20 bytes, codes 3 x 4 + 4.0625; beside 16-bit weights 14 and 10.0625. */
Test(cost, moments_in_fewer_bits_move_faster_on_the_gpu)
{
    static const struct {
        lspo_optimizer_state_t state;
        lspo_precision_t weights;
        double bytes;
    } cases[] = {{LSPO_OPTIMIZER_STATE_FP32, LSPO_BF16, 28},
                 {LSPO_OPTIMIZER_STATE_BF16, LSPO_FP32, 20},
                 {LSPO_OPTIMIZER_STATE_8BIT, LSPO_FP32, 16.0625},
                 {LSPO_OPTIMIZER_STATE_BF16, LSPO_BF16, 14},
                 {LSPO_OPTIMIZER_STATE_8BIT, LSPO_FP16, 10.0625}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_s(cost_s(LSPO_FP32, LSPO_LANE_GPU,
                        (lspo_kernel_t){.kernel_class = LSPO_KERNEL_ADAM,
                                        .count = 1,
                                        .elements = 1000000,
                                        .state = cases[i].state,
                                        .weights = cases[i].weights}),
                 1e-3 * cases[i].bytes / 28 + 3e-5);
}

/* On the CPU by bytes, unless in cache, and in a calibrated profile by arithmetic; at a pace by parameters alone. */
Test(cost, moments_in_fewer_bits_on_the_cpu)
{
    lspo_machine_t machine = round_machine();
    lspo_work_t work = {
        .kernel_count = 1,
        .kernels = {
            {.kernel_class = LSPO_KERNEL_ADAM, .count = 1, .elements = 1000000, .state = LSPO_OPTIMIZER_STATE_BF16}}};
    const lspo_cost_context_t context = {&machine, &gpt, LSPO_FP32};
    machine.cpu.cache_bytes = 0;
    machine.cpu.op_s = 0;
    machine.cpu.adam_pps = 1e8;
    machine.cpu.adam_cached_pps = 1e8;
    expect_s(lspo_cost_work_s(&context, LSPO_LANE_CPU, 0, &work), 1e-2 * 20 / 28);
    strcpy(machine.evidence, "calibrated");
    double slow_s = lspo_cost_work_s(&context, LSPO_LANE_CPU, 0, &work);
    cr_expect_gt(slow_s, 1e-2, "%g", slow_s);
    machine.cpu.cache_bytes = 1e9;
    expect_s(lspo_cost_work_s(&context, LSPO_LANE_CPU, 0, &work), slow_s - 1e-2 * 20 / 28);
    lspo_machine_pace(&machine, 0, 1e7);
    expect_s(lspo_cost_work_s(&context, LSPO_LANE_CPU, 0, &work), 0.1);
}

/* With rates of its own: with fp32 weights, 1e6 at 1e7 from cache and at 5e6 from memory take 0.1 and 0.2 s.  With
 * weights of 16 bits, 14 instead of 20 bytes: 0.1 + 0.1 x 14 / 20; a framework of 56 bytes a parameter takes twice the
 * bytes.  A pace of 8e6 is met from cache, not from memory. */
Test(cost, moments_in_fewer_bits_as_measured)
{
    lspo_machine_t machine = round_machine();
    lspo_work_t work = {.kernel_count = 1,
                        .kernels = {{.kernel_class = LSPO_KERNEL_ADAM,
                                     .count = 1,
                                     .elements = 1000000,
                                     .state = LSPO_OPTIMIZER_STATE_BF16,
                                     .weights = LSPO_FP32}}};
    const lspo_cost_context_t context = {&machine, &gpt, LSPO_FP32};
    machine.cpu.op_s = 0;
    machine.cpu.adam_pps = machine.cpu.adam_cached_pps = 1e9;
    machine.cpu.adam_narrow[0].cached_pps = 1e7;
    machine.cpu.adam_narrow[0].memory_pps = 5e6;
    machine.cpu.cache_bytes = 1e9;
    expect_s(lspo_cost_work_s(&context, LSPO_LANE_CPU, 0, &work), 0.1);
    machine.cpu.cache_bytes = 0;
    expect_s(lspo_cost_work_s(&context, LSPO_LANE_CPU, 0, &work), 0.2);
    machine.software.cpu_adam_bytes = 56;
    expect_s(lspo_cost_work_s(&context, LSPO_LANE_CPU, 0, &work), 0.3);
    machine.software.cpu_adam_bytes = 0;
    work.kernels[0].weights = LSPO_BF16;
    expect_s(lspo_cost_work_s(&context, LSPO_LANE_CPU, 0, &work), 0.17);
    work.kernels[0].state = LSPO_OPTIMIZER_STATE_8BIT; /* has none: derived, with 10.0625 bytes of 28 */
    expect_s(lspo_cost_work_s(&context, LSPO_LANE_CPU, 0, &work), 1e-3 * 10.0625 / 28);
    work.kernels[0].state = LSPO_OPTIMIZER_STATE_BF16;
    lspo_machine_pace(&machine, 0, 8e6);
    expect_s(lspo_cost_work_s(&context, LSPO_LANE_CPU, 0, &work), 0.17);
    machine.cpu.cache_bytes = 1e9;
    expect_s(lspo_cost_work_s(&context, LSPO_LANE_CPU, 0, &work), 0.125);
}

/* A quarter of the operands in cache, where norms run at 4e11 instead of 1e11, activations have one rate, Adam 4e9
 * instead of 1e9, attention 1e12 instead of 5e11:
 *     norm        1e8 (0.25 / 4e11 + 0.75 / 1e11)   = 8.125e-4    activation  1e8 / 2e11 = 5e-4
 *     Adam        1e6 (0.25 / 4e9 + 0.75 / 1e9)     = 8.125e-4    attention   1e9 (0.25 / 1e12 + 0.75 / 5e11) = 1.75e-3
 *     gather      1e6 / 1e10 + 1e9 (0.25 / 4e11 + 0.75 / 1e11) = 8.225e-3
 *     product     1e9 / 1e12 x 4 + 0.75 x 4e6 / 1e9 = 4e-3 + 3e-3: at every half-size, 4e6 far bytes at 1e9, and
 *                 4e-3 + 6e-3 with the weights transposed, at 5e8 */
Test(cost, operands_in_cache)
{
    static const struct {
        lspo_kernel_t kernel;
        double wanted_s;
    } cases[] = {
        {{.kernel_class = LSPO_KERNEL_NORM, .bytes = 100000000}, 8.125e-4},
        {{.kernel_class = LSPO_KERNEL_ACTIVATION, .bytes = 100000000}, 5e-4},
        {{.kernel_class = LSPO_KERNEL_ADAM, .elements = 1000000}, 8.125e-4},
        {{.kernel_class = LSPO_KERNEL_ATTENTION, .flop = 1e9}, 1.75e-3},
        {{.kernel_class = LSPO_KERNEL_GATHER, .flop = 1e6, .bytes = 1000000000}, 8.225e-3},
        {{.kernel_class = LSPO_KERNEL_GEMM,
          .m = 100,
          .n = 50,
          .k = 20,
          .flop = 1e9,
          .bytes = 9000000,
          .far_bytes = 4000000},
         7e-3},
        {{.kernel_class = LSPO_KERNEL_GEMM,
          .layout = LSPO_LAYOUT_NT,
          .m = 100,
          .n = 50,
          .k = 20,
          .flop = 1e9,
          .bytes = 9000000,
          .far_bytes = 4000000},
         10e-3},
    };
    lspo_machine_t machine = round_machine();
    machine.gpu.norm_cached_Bps = 4e11;
    machine.gpu.adam_cached_pps = 4e9;
    machine.gpu.attention_cached_flops = 1e12;
    machine.gpu.gather_cached_Bps = 4e11;
    machine.gpu.gemm_memory_Bps[LSPO_LAYOUT_NN] = 1e9;
    machine.gpu.gemm_memory_Bps[LSPO_LAYOUT_NT] = 5e8;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_work_t work = {.kernel_count = 1, .kernels = {cases[i].kernel}};
        expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_GPU, 0.25, &work),
                 cases[i].wanted_s + 2e-5);
    }
}

/* Attention of 64 tokens and heads 32 wide, halved by each: (1 + 64/64) (1 + 32/32) = 4 times 1e9 / 5e11.  A backward
 * pass at 1e12: half of that; a quarter of it in cache, at 2e12: 4 x 1e9 (0.25 / 2e12 + 0.75 / 1e12) = 3.5e-3. */
Test(cost, attention_depends_on_shape_and_direction)
{
    lspo_machine_t machine = round_machine();
    machine.gpu.attention_sequence_half = 64;
    machine.gpu.attention_width_half = 32;
    lspo_work_t work = {.kernel_count = 1,
                        .kernels = {{.kernel_class = LSPO_KERNEL_ATTENTION, .m = 64, .n = 8, .k = 32, .flop = 1e9}}};
    expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_GPU, 0, &work), 8e-3 + 2e-5);
    work.backward = true;
    expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_GPU, 0, &work), 8e-3 + 2e-5);
    machine.gpu.attention_backward_flops = 1e12;
    expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_GPU, 0, &work), 4e-3 + 2e-5);
    machine.gpu.attention_backward_cached_flops = 2e12;
    expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_GPU, 0.25, &work),
             3.5e-3 + 2e-5);
    work.backward = false;
    expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_GPU, 0, &work), 8e-3 + 2e-5);
}

/* 1e8 bytes at 1e11, 2e11, 4e11, 5e11; in a backward pass at half of that, a quarter of them in cache at twice that:
 * 1e8 (0.25 / 2 + 0.75) / half the rate. */
Test(cost, fused_kernels_depend_on_direction)
{
    static const lspo_kernel_class_t classes[] = {LSPO_KERNEL_NORM, LSPO_KERNEL_ACTIVATION, LSPO_KERNEL_LOSS,
                                                  LSPO_KERNEL_STREAM};
    static const double forward_s[] = {1e-3, 5e-4, 2.5e-4, 2e-4};
    const lspo_machine_t forward_only = round_machine();
    lspo_machine_t machine = forward_only;
    machine.gpu.norm_backward_Bps = machine.gpu.norm_Bps / 2;
    machine.gpu.norm_backward_cached_Bps = machine.gpu.norm_Bps;
    machine.gpu.activation_backward_Bps = machine.gpu.activation_Bps / 2;
    machine.gpu.activation_backward_cached_Bps = machine.gpu.activation_Bps;
    machine.gpu.loss_backward_Bps = machine.gpu.loss_Bps / 2;
    machine.gpu.loss_backward_cached_Bps = machine.gpu.loss_Bps;
    machine.gpu.stream_backward_Bps = machine.gpu.stream_Bps / 2;
    machine.gpu.stream_backward_cached_Bps = machine.gpu.stream_Bps;
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        lspo_work_t work = {.kernel_count = 1, .kernels = {{.kernel_class = classes[i], .bytes = 100000000}}};
        expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_GPU, 0, &work),
                 forward_s[i] + 2e-5);
        work.backward = true;
        expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&forward_only, &gpt, LSPO_FP32}, LSPO_LANE_GPU, 0, &work),
                 forward_s[i] + 2e-5);
        expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_GPU, 0.25, &work),
                 0.875 * 2 * forward_s[i] + 2e-5);
    }
}

/* 1e7 / 2e10 + 1e7 / 2e11; of the 1e7 FLOPs 4e6 at 5e9: 6e6 / 2e10 + 4e6 / 5e9 + 1e7 / 2e11. */
Test(cost, the_inner_product_of_a_scatter)
{
    lspo_machine_t machine = round_machine();
    lspo_work_t work = {
        .kernel_count = 1,
        .kernels = {{.kernel_class = LSPO_KERNEL_SCATTER, .flop = 1e7, .inner_flop = 4e6, .bytes = 10000000}}};
    expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_GPU, 0, &work),
             5.5e-4 + 2e-5);
    machine.gpu.scatter_inner_flops = 5e9;
    expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_GPU, 0, &work),
             1.15e-3 + 2e-5);
    machine.gpu.projector_overlap = 0.4; /* of the 5e-5 of memory */
    expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_GPU, 0, &work),
             1.13e-3 + 2e-5);
}

/* A grid of one shape, a quarter of the rate and for the transposed half of that: it takes the place of the half-sizes.
 * 1e9 / 2e12 x 4 in bf16. */
Test(cost, a_grid_replaces_the_half_sizes)
{
    lspo_machine_t machine = round_machine();
    machine.products = (lspo_products_t){.size_count = 1, .sizes = {8}, .share = {{{{0.25}}}, {{{0.125}}}, {{{0.25}}}}};
    lspo_work_t work = {.kernel_count = 1,
                        .kernels = {{.kernel_class = LSPO_KERNEL_GEMM, .m = 1, .n = 1, .k = 1, .flop = 1e9}}};
    expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_BF16}, LSPO_LANE_GPU, 0, &work), 2e-3 + 2e-5);
    work.kernels[0].layout = LSPO_LAYOUT_NT;
    expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_BF16}, LSPO_LANE_GPU, 0, &work), 4e-3 + 2e-5);
}

/* Three messages of 1e7 bytes together: H2D 3 * 1e-6 + 1e7 / 1e10; D2H 3 * 4e-6 + 1e7 / 5e9.  No launch, no op cost. */
Test(cost, messages_on_the_link)
{
    lspo_kernel_t copy = {.kernel_class = LSPO_KERNEL_COPY, .count = 3, .bytes = 10000000};
    expect_s(cost_s(LSPO_FP32, LSPO_LANE_H2D, copy), 1.003e-3);
    expect_s(cost_s(LSPO_FP32, LSPO_LANE_D2H, copy), 2.012e-3);
}

/* Cache of 1.6 MB holds the 16 B state of 100,000 parameters.
 *      50,000: all cached          50,000 / 4e8              = 1.25e-4
 *     100,000: just                100,000 / 4e8             = 2.5e-4
 *     400,000: a quarter cached    100,000 / 4e8 + 300,000 / 1e8 = 2.5e-4 + 3e-3
 * and 3e-5 an op.  Other kernels: max(1e7 / 1e10, 2.8e6 / (28 * 1e8)) = 1e-3. */
Test(cost, cpu_optimizer_in_and_out_of_cache)
{
    static const struct {
        uint64_t elements;
        double wanted_s;
    } cases[] = {{50000, 1.25e-4}, {100000, 2.5e-4}, {400000, 3.25e-3}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_s(cost_s(LSPO_FP32, LSPO_LANE_CPU,
                        (lspo_kernel_t){.kernel_class = LSPO_KERNEL_ADAM, .count = 1, .elements = cases[i].elements}),
                 cases[i].wanted_s + 3e-5);
    expect_s(cost_s(LSPO_FP32, LSPO_LANE_CPU,
                    (lspo_kernel_t){.kernel_class = LSPO_KERNEL_STREAM, .count = 1, .flop = 1e7, .bytes = 2800000}),
             1e-3 + 3e-5);
}

/* Products of the CPU lane: 1e7 / 1e10 = 1e-3, and 3e-5 an op.  With the GPU lane's grid, a share of 1/4 at every size,
 * only where compute_flops is its fp32 rate: four times that. */
Test(cost, products_of_the_cpu)
{
    lspo_machine_t machine = round_machine();
    const lspo_cost_context_t context = {&machine, &gpt, LSPO_FP32};
    lspo_work_t work = {
        .kernel_count = 1,
        .kernels = {{.kernel_class = LSPO_KERNEL_GEMM, .count = 1, .m = 64, .n = 64, .k = 64, .flop = 1e7}}};
    expect_s(lspo_cost_work_s(&context, LSPO_LANE_CPU, 0, &work), 1e-3 + 3e-5);
    machine.products.size_count = 1;
    machine.products.sizes[0] = 64;
    for (int layout = 0; layout < LSPO_LAYOUT_COUNT; layout++)
        machine.products.share[layout][0][0][0] = 0.25;
    expect_s(lspo_cost_work_s(&context, LSPO_LANE_CPU, 0, &work), 1e-3 + 3e-5);
    machine.gpu.gemm_flops[LSPO_FP32] = machine.cpu.compute_flops;
    expect_s(lspo_cost_work_s(&context, LSPO_LANE_CPU, 0, &work), 4e-3 + 3e-5);
}

/* A pace of 1e6/s takes Adam of 50,000 to 50 ms.  Adding 5.6 MB up stays at 28 B x 1e8/s: 2 ms; each with op 3e-5. */
Test(cost, a_pace_slows_updates_and_nothing_else_of_the_cpu)
{
    lspo_machine_t machine = round_machine();
    lspo_work_t adam = {.kernel_count = 1,
                        .kernels = {{.kernel_class = LSPO_KERNEL_ADAM, .count = 1, .elements = 50000}}};
    lspo_work_t sum = {.kernel_count = 1,
                       .kernels = {{.kernel_class = LSPO_KERNEL_STREAM, .count = 1, .bytes = 5600000}}};
    lspo_machine_pace(&machine, 0, 1e6);
    expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_CPU, 0, &adam),
             50e-3 + 3e-5);
    expect_s(lspo_cost_work_s(&(lspo_cost_context_t){&machine, &gpt, LSPO_FP32}, LSPO_LANE_CPU, 0, &sum), 2e-3 + 3e-5);
}

/* A longer message never takes less time, and time is continuous where the cache ends. */
Test(cost, adam_is_monotonic_over_the_cache_edge)
{
    double before_s = 0;
    for (uint64_t elements = 1000; elements < 1000000; elements += 1000) {
        double now_s = cost_s(LSPO_FP32, LSPO_LANE_CPU,
                              (lspo_kernel_t){.kernel_class = LSPO_KERNEL_ADAM, .count = 1, .elements = elements});
        cr_expect_gt(now_s, before_s);
        cr_expect_leq(now_s - before_s, 1000 / 1e8 + (elements == 1000 ? 3e-5 : 1e-12));
        before_s = now_s;
    }
}

/* Two works: a copy that an H2D op runs (1.001 ms), and Adam of 50,000 on the CPU (155 us).  Pairs that no op
 * uses stay 0, and only pairs in use are judged. */
Test(cost, plan_prices_each_work_once)
{
    plan_maker_t maker = maker_create();
    maker_op(&maker, LSPO_OP_H2D, 0, 0, 0);
    maker_bytes(&maker, 10000000);
    maker_op(&maker, LSPO_OP_UPD, 0, 0, 0);
    maker.plan.works[1] = (lspo_work_t){.kernel_count = 1,
                                        .kernels = {{.kernel_class = LSPO_KERNEL_ADAM, .count = 1, .elements = 50000}}};
    lspo_machine_t machine = round_machine();
    machine.link.d2h_Bps = 0; /* no op needs it */
    uint64_t *work_ns = NULL;
    cr_assert_eq(lspo_cost_plan(&machine, &maker.plan, &work_ns), LSPO_OK);
    cr_expect_eq(work_ns[0 * LSPO_LANE_KIND_COUNT + LSPO_LANE_H2D], 1001000u);
    cr_expect_eq(work_ns[0 * LSPO_LANE_KIND_COUNT + LSPO_LANE_D2H], 0u);
    cr_expect_eq(work_ns[1 * LSPO_LANE_KIND_COUNT + LSPO_LANE_CPU], 155000u);
    cr_expect_eq(lspo_cost_op_ns(&maker.plan.ops[1], work_ns), 155000u);
    free(work_ns);

    work_ns = NULL;
    machine.link.h2d_Bps = 0; /* infinite time */
    cr_expect_eq(lspo_cost_plan(&machine, &maker.plan, &work_ns), LSPO_ERR_INPUT);
    machine.link.h2d_Bps = (double)NAN;
    cr_expect_eq(lspo_cost_plan(&machine, &maker.plan, &work_ns), LSPO_ERR_INPUT);
    machine.link.h2d_Bps = 1e-3; /* 1e10 s */
    cr_expect_eq(lspo_cost_plan(&machine, &maker.plan, &work_ns), LSPO_ERR_INPUT);
    cr_expect_null(work_ns);
    maker_release(&maker);
}
