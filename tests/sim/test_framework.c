/* Frameworks: what [software] changes in the cost model, worked out in the comments from sim/cost.h; the files. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plan/machine.h"
#include "sim/cost.h"

/* Round rates, so that a pencil does. */
static lspo_machine_t round_machine(void)
{
    lspo_machine_t machine = {.name = "round"};
    for (int p = 0; p < LSPO_PRECISION_COUNT; p++)
        machine.gpu.gemm_flops[p] = 1e12;
    machine.gpu.attention_flops = 5e11;
    machine.gpu.norm_Bps = machine.gpu.activation_Bps = machine.gpu.loss_Bps = machine.gpu.stream_Bps = 1e11;
    machine.gpu.adam_pps = 1e9;
    machine.cpu.adam_pps = 1e8;
    machine.cpu.adam_cached_pps = 4e8;
    machine.link.h2d_Bps = machine.link.d2h_Bps = 1e10;
    return machine;
}

static double cost_s(const lspo_machine_t *machine, lspo_family_t family, lspo_lane_kind_t lane, lspo_kernel_t kernel,
                     bool backward)
{
    const lspo_model_t model = {.family = family};
    const lspo_work_t work = {.kernel_count = 1, .backward = backward, .kernels = {kernel}};
    return lspo_cost_work_s(&(lspo_cost_context_t){machine, &model, LSPO_BF16}, lane, 0, &work);
}

static double gpu_s(const lspo_machine_t *machine, lspo_family_t family, lspo_kernel_t kernel)
{
    return cost_s(machine, family, LSPO_LANE_GPU, kernel, false);
}

static void expect_s(double got, double wanted)
{
    cr_expect_float_eq(got, wanted, 1e-9 * wanted, "%.12g, not %.12g", got, wanted);
}

/* 4 kernels of 1e9 B each at 1e11 B/s: 40 ms on the GPU.  Dispatch of 7.5 ms per kernel: 30 ms on the host.  With p = 2
 * sqrt(40^2 + 30^2) = 50 ms, with p = 1 their sum, and without either the other alone. */
Test(framework, dispatch_and_gpu_combine_by_a_power)
{
    lspo_machine_t machine = round_machine();
    lspo_kernel_t kernel = {.kernel_class = LSPO_KERNEL_STREAM, .count = 4, .bytes = 4000000000};
    expect_s(gpu_s(&machine, LSPO_FAMILY_GPT, kernel), 40e-3);
    machine.software.kernel_s = 7.5e-3;
    expect_s(gpu_s(&machine, LSPO_FAMILY_GPT, kernel), 50e-3);
    machine.software.dispatch_power = 1;
    expect_s(gpu_s(&machine, LSPO_FAMILY_GPT, kernel), 70e-3);
    kernel.bytes = 0;
    expect_s(gpu_s(&machine, LSPO_FAMILY_GPT, kernel), 30e-3);
    kernel.bytes = 4000000000;
    machine.software.dispatch_power = 100;
    expect_s(gpu_s(&machine, LSPO_FAMILY_GPT, kernel), 40e-3);
}

/* Each factor multiplies the bytes of its own class, by family; 1e9 B take 10 ms. */
Test(framework, factors_multiply_traffic)
{
    static const struct {
        lspo_kernel_class_t kernel_class;
        lspo_family_t family;
        double wanted_s;
    } cases[] = {{LSPO_KERNEL_NORM, LSPO_FAMILY_GPT, 20e-3},       {LSPO_KERNEL_NORM, LSPO_FAMILY_LLAMA, 30e-3},
                 {LSPO_KERNEL_ACTIVATION, LSPO_FAMILY_GPT, 40e-3}, {LSPO_KERNEL_ACTIVATION, LSPO_FAMILY_LLAMA, 50e-3},
                 {LSPO_KERNEL_STREAM, LSPO_FAMILY_GPT, 60e-3},     {LSPO_KERNEL_LOSS, LSPO_FAMILY_LLAMA, 70e-3}};
    lspo_machine_t machine = round_machine();
    machine.software.layer_norm_factor = 2;
    machine.software.rms_norm_factor = 3;
    machine.software.activation_factor = 4;
    machine.software.gated_factor = 5;
    machine.software.stream_factor = 6;
    machine.software.loss_factor = 7;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_s(gpu_s(&machine, cases[i].family,
                       (lspo_kernel_t){.kernel_class = cases[i].kernel_class, .count = 1, .bytes = 1000000000}),
                 cases[i].wanted_s);
}

/* Fused: 1e9 flop at 5e11, 2 ms; at half of the rate 4 ms.  Not fused, causal, sequence 3, 10 heads x batch: the masked
 * pairs are computed, too, 1e9 x 2 x 3 / 4 flop at 1e12, 1.5 ms; and 9 x 10 scores of 1e6 B at 1e11, 0.9 ms. */
Test(framework, attention_may_be_slower_or_not_fused)
{
    lspo_machine_t machine = round_machine();
    lspo_kernel_t kernel = {.kernel_class = LSPO_KERNEL_ATTENTION, .count = 1, .m = 3, .n = 10, .k = 4, .flop = 1e9};
    expect_s(gpu_s(&machine, LSPO_FAMILY_GPT, kernel), 2e-3);
    machine.software.attention_share = 0.5;
    expect_s(gpu_s(&machine, LSPO_FAMILY_GPT, kernel), 4e-3);
    machine.software.score_bytes = 1e6;
    machine.software.score_backward_bytes = 3e6;
    expect_s(gpu_s(&machine, LSPO_FAMILY_GPT, kernel), 1.5e-3 + 0.9e-3);
    expect_s(gpu_s(&machine, LSPO_FAMILY_BERT, kernel), 1e-3 + 0.9e-3);
    expect_s(cost_s(&machine, LSPO_FAMILY_GPT, LSPO_LANE_GPU, kernel, true), 1.5e-3 + 2.7e-3);
}

/* 1e9 flop take 1 ms; operands of 2e8 B need 2 ms, those of an adapter three times as much.  Measured products decide
 * alone. */
Test(framework, a_product_takes_at_least_its_traffic)
{
    lspo_machine_t machine = round_machine();
    lspo_kernel_t kernel = {
        .kernel_class = LSPO_KERNEL_GEMM, .count = 1, .m = 1, .n = 1, .k = 1, .flop = 1e9, .bytes = 200000000};
    expect_s(gpu_s(&machine, LSPO_FAMILY_GPT, kernel), 2e-3);
    machine.software.adapter_factor = 3;
    expect_s(gpu_s(&machine, LSPO_FAMILY_GPT, kernel), 2e-3);
    kernel.adapter = true;
    expect_s(gpu_s(&machine, LSPO_FAMILY_GPT, kernel), 6e-3);
    machine.products = (lspo_products_t){.size_count = 1, .sizes = {8}, .share = {{{{0.5}}}, {{{0.5}}}, {{{0.5}}}}};
    expect_s(gpu_s(&machine, LSPO_FAMILY_GPT, kernel), 2e-3);
}

/* A backward pass loses both fractions: 10 ms / (0.8 x 0.5).  Adam: 1e6 parameters at 1e9/s, 56 for 28 bytes. */
Test(framework, autograd_and_the_optimizer_on_the_gpu)
{
    lspo_machine_t machine = round_machine();
    lspo_kernel_t kernel = {.kernel_class = LSPO_KERNEL_STREAM, .count = 1, .bytes = 1000000000};
    machine.gpu.backward_loss = 0.2;
    machine.software.backward_loss = 0.5;
    expect_s(cost_s(&machine, LSPO_FAMILY_GPT, LSPO_LANE_GPU, kernel, true), 25e-3);
    expect_s(cost_s(&machine, LSPO_FAMILY_GPT, LSPO_LANE_GPU, kernel, false), 10e-3);
    machine.software.gpu_adam_bytes = 56;
    expect_s(gpu_s(&machine, LSPO_FAMILY_GPT, (lspo_kernel_t){.kernel_class = LSPO_KERNEL_ADAM, .elements = 1000000}),
             2e-3);
}

/* A framework's bytes include bf16 moments where it has half_states; for others they are scaled. */
Test(framework, the_optimizer_in_the_frameworks_format)
{
    lspo_machine_t machine = round_machine();
    lspo_kernel_t adam = {.kernel_class = LSPO_KERNEL_ADAM, .elements = 1000000, .state = LSPO_OPTIMIZER_STATE_BF16};
    machine.software.gpu_adam_bytes = 56;
    expect_s(gpu_s(&machine, LSPO_FAMILY_GPT, adam), 2e-3 * 20 / 28);
    machine.software.half_states = 1;
    expect_s(gpu_s(&machine, LSPO_FAMILY_GPT, adam), 2e-3);
}

/* 1e6 parameters at 1e8/s take 10 ms; with 70 bytes for 28 2.5 times as long; a limit of 2e7/s makes it 50 ms.
 * Copies of 1e8 B at 1e10 B/s take 10 ms, at the limits 20 and 40. */
Test(framework, the_cpu_optimizer_and_copies)
{
    lspo_machine_t machine = round_machine();
    lspo_kernel_t adam = {.kernel_class = LSPO_KERNEL_ADAM, .count = 1, .elements = 1000000};
    lspo_kernel_t copy = {.kernel_class = LSPO_KERNEL_COPY, .count = 1, .bytes = 100000000};
    machine.software.cpu_adam_bytes = 70;
    expect_s(cost_s(&machine, LSPO_FAMILY_GPT, LSPO_LANE_CPU, adam, false), 25e-3);
    machine.software.cpu_adam_limit_pps = 2e7;
    expect_s(cost_s(&machine, LSPO_FAMILY_GPT, LSPO_LANE_CPU, adam, false), 50e-3);
    expect_s(cost_s(&machine, LSPO_FAMILY_GPT, LSPO_LANE_H2D, copy, false), 10e-3);
    machine.software.h2d_limit_Bps = 5e9;
    machine.software.d2h_limit_Bps = 2.5e9;
    expect_s(cost_s(&machine, LSPO_FAMILY_GPT, LSPO_LANE_H2D, copy, false), 20e-3);
    expect_s(cost_s(&machine, LSPO_FAMILY_GPT, LSPO_LANE_D2H, copy, false), 40e-3);
    machine.software.d2h_limit_Bps = 1e11;
    expect_s(cost_s(&machine, LSPO_FAMILY_GPT, LSPO_LANE_D2H, copy, false), 10e-3);
}

/* A framework replaces all of [software], and nothing else; lspo's own is neutral. */
Test(framework, presets_replace_the_software)
{
    lspo_machine_t machine, other;
    cr_assert_eq(lspo_machine_find("paper-workstation", &machine), LSPO_OK);
    cr_expect_str_eq(lspo_machine_framework(&machine), "lsp-authors");
    cr_assert_eq(lspo_machine_find("rtx4090", &other), LSPO_OK);
    cr_expect_str_eq(lspo_machine_framework(&other), "lspo");
    cr_assert_eq(lspo_machine_use_framework(&other, "deepspeed-blocking"), LSPO_OK);
    cr_expect_eq(other.software.gradient_buffers, 1);
    cr_expect_eq(other.software.fp32_transfer, 1);
    cr_expect_eq(other.software.host_sums, 1);
    cr_expect_gt(other.software.cpu_adam_bytes, 28, "from its base, deepspeed");
    cr_expect_gt(other.software.rms_norm_factor, 1, "from the base's base, eager");
    cr_assert_eq(lspo_machine_use_framework(&other, "lspo"), LSPO_OK);
    for (size_t i = 0; i < lspo_machine_field_count; i++)
        if (strcmp(lspo_machine_fields[i].section, "software") == 0)
            cr_expect_eq(lspo_machine_value(&other, &lspo_machine_fields[i]), 0, "%s", lspo_machine_fields[i].key);
    cr_expect_str_eq(other.name, "rtx4090");
    cr_expect_eq(lspo_machine_use_framework(&other, "no-such-framework"), LSPO_ERR_INPUT);
    cr_expect_neq(lspo_machine_use_framework(&other, "./no-such-file.ini"), LSPO_OK);
}

/* Written and read back: the name and the values. */
Test(framework, a_machine_keeps_its_framework)
{
    char folder[] = "/tmp/lspo-framework-XXXXXX", path[64];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/mine.ini", folder);
    lspo_machine_t machine, again;
    cr_assert_eq(lspo_machine_find("rtx4090", &machine), LSPO_OK);
    cr_assert_eq(lspo_machine_use_framework(&machine, "eager"), LSPO_OK);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_eq(lspo_machine_write(&machine, NULL, NULL, file), LSPO_OK);
    fclose(file);
    cr_assert_eq(lspo_machine_find(path, &again), LSPO_OK);
    cr_expect_str_eq(lspo_machine_framework(&again), "eager");
    cr_expect_eq(memcmp(&machine.software, &again.software, sizeof machine.software), 0);
    remove(path);
    rmdir(folder);
}
