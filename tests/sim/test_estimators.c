/* The memory formulas of others: LLMem's worked out here, DeepSpeed's against what its estimator prints. */
#include <criterion/criterion.h>
#include <math.h>

#include "sim/estimators.h"

#define MIB ((uint64_t)1 << 20)

static lspo_model_t opt_1_3b(void)
{
    lspo_model_t model;
    cr_assert_eq(lspo_model_find("opt-1.3b", &model), LSPO_OK);
    return model;
}

static lspo_workload_t of_batch(uint32_t batch)
{
    lspo_workload_t workload;
    lspo_workload_default(&workload);
    workload.batch = batch;
    workload.sequence = 512;
    return workload;
}

/* estimate_zero3_model_states_mem_needs_all_live(t5-small, 1 GPU): 60M parameters, of which 16M in the largest layer;
 * "per CPU | per GPU" in GB of 2^30, with zero_init=1.  32128 x 512 is its embedding, 60506624 all of it. */
Test(estimators, deepspeed_prints_the_same_of_t5_small)
{
    static const double expected[][2] = {{0.09, 1.08}, {1.35, 0.17}, {1.52, 0.06}};
    for (uint32_t i = 0; i < 3; i++) {
        uint64_t gpu, cpu;
        const lspo_deepspeed_setting_t *setting = lspo_deepspeed_setting(2 + i);
        cr_assert_eq(setting->stage, 3u);
        lspo_deepspeed_estimate(60506624, (uint64_t)32128 * 512, 1, setting, &gpu, &cpu);
        cr_expect_float_eq((double)cpu / (1 << 30), expected[i][0], 0.006, "%s: CPU %lu", setting->title, cpu);
        cr_expect_float_eq((double)gpu / (1 << 30), expected[i][1], 0.006, "%s: GPU %lu", setting->title, gpu);
    }
}

/* 1000 weights, 4 GPUs.  ZeRO-2: 4 x 1000 + 16 x 1000 / 4 and 1.5 x 4 x 4 x 1000; with the optimizer on the CPU
 * 2 x 1000, and 1.5 x 16 x 1000, as 4 copies in fp32 are no more.  ZeRO-3, 100 in a layer: 4 x 100 + 18 x 1000 / 4. */
Test(estimators, deepspeed_by_hand)
{
    static const uint64_t expected[][2] = {{8000, 24000}, {2000, 24000}, {4900, 2400}, {900, 24000}, {400, 27000}};
    for (uint32_t i = 0; i < 5; i++) {
        uint64_t gpu, cpu;
        lspo_deepspeed_estimate(1000, 100, 4, lspo_deepspeed_setting(i), &gpu, &cpu);
        cr_expect_eq(gpu, expected[i][0], "%u: %lu", i, gpu);
        cr_expect_eq(cpu, expected[i][1], "%u: %lu", i, cpu);
    }
    cr_expect_null(lspo_deepspeed_setting(5));
}

/* V = 50272, w = 2048, L = 24, 2 embeddings, 512 tokens of one sequence:
 * m_lm   2 x 512 x 50272 = 49.09 MiB, 25 pages; 2 x 511 x 50272 = 49.00 MiB, 25 pages, twice; 2 x 2048 x 50272 =
 *        196.4 MiB, 99 pages: 174 pages
 * m_out  2 x 26 x 512 x 2048 = 52 MiB, 26 pages
 * m_back 2 x 24 x 512 x 2048 x 3 / 4 = 36 MiB, 18 pages */
Test(estimators, what_grows_with_the_batch_in_llmem)
{
    lspo_model_t model = opt_1_3b();
    lspo_workload_t one = of_batch(1);
    lspo_llmem_t alone, shared;
    lspo_llmem(&model, &one, &(lspo_parallel_t){1, 1, false}, 0, &alone);
    lspo_llmem(&model, &one, &(lspo_parallel_t){4, 1, false}, 0, &shared);
    cr_expect_eq(alone.head_bytes, 174 * 2 * MIB);
    cr_expect_eq(alone.outputs_bytes, 26 * 2 * MIB);
    cr_expect_eq(alone.backward_bytes, 0u);
    cr_expect_eq(shared.backward_bytes, 18 * 2 * MIB);
}

/* Every weight in a list, every size of chunk tried on it. */
static uint64_t chunk_by_trial(const lspo_model_t *model)
{
    static uint64_t sizes[4096];
    size_t count = 0;
    double sum = 0, squares = 0;
    for (uint32_t s = 0; s < lspo_model_stage_count(model); s++) {
        lspo_stage_t stage;
        lspo_model_stage(model, s, &stage);
        for (uint32_t i = 0; i < stage.tensor_count; i++) {
            sizes[count] = (uint64_t)stage.tensors[i].rows * stage.tensors[i].cols;
            sum += (double)sizes[count];
            squares += pow((double)sizes[count++], 2);
        }
    }
    double mean = sum / (double)count, limit = mean + 3 * sqrt(squares / (double)count - mean * mean);
    uint64_t largest = 32 * MIB, best = 0, least = UINT64_MAX;
    for (size_t i = 0; i < count; i++)
        if ((double)sizes[i] <= limit && sizes[i] > largest)
            largest = sizes[i];
    largest = (largest + 1023) / 1024 * 1024;
    for (uint64_t chunk = largest; chunk <= largest + 32 * MIB; chunk += 1024) {
        uint64_t chunks = 0, used = 0, left = 0;
        for (size_t i = 0; i < count; i++) {
            if ((double)sizes[i] > limit)
                continue;
            if (sizes[i] > left) {
                chunks++;
                left = chunk;
            }
            left -= sizes[i];
            used += sizes[i];
        }
        if (chunks * chunk - used < least) {
            least = chunks * chunk - used;
            best = chunk;
        }
    }
    return best;
}

/* 6 bytes per weight of embeddings and of whole chunks, to a page of 2 MiB. */
static double weights_by_trial(const lspo_model_t *model, double embedding)
{
    double chunk = (double)chunk_by_trial(model);
    double others = (double)lspo_model_parameter_count(model) - embedding;
    return embedding + ceil(others / chunk) * chunk;
}

Test(estimators, chunks_leave_least_unused)
{
    static const struct {
        const char *name;
        double embedding;
    } cases[] = {
        {"opt-1.3b", (50272.0 + 2050) * 2048}, {"gpt2-124m", (50257.0 + 1024) * 768}, {"llama-7b", 32000.0 * 4096}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_model_t model;
        lspo_workload_t one = of_batch(1);
        lspo_llmem_t got;
        cr_assert_eq(lspo_model_find(cases[i].name, &model), LSPO_OK);
        lspo_llmem(&model, &one, &(lspo_parallel_t){1, 1, false}, 0, &got);
        uint64_t pages = (uint64_t)ceil(6 * weights_by_trial(&model, cases[i].embedding) / (double)(2 * MIB));
        cr_expect_eq(got.weights_bytes, pages * 2 * MIB, "%s", cases[i].name);
    }
}

/* Of P = 1.3157e9 with E = 50272 x 2048 + 2050 x 2048 in embeddings: the sum of fp16 and fp32 weights is 6 bytes per
 * weight, of 4 GPUs under ZeRO-3 2 + 4 / 4, under tensor parallelism 6 / 4, with both 2 - 2 x 2 / 4 + 4 / 4. */
Test(estimators, llmem_divides_as_told)
{
    lspo_model_t model = opt_1_3b();
    lspo_workload_t one = of_batch(1);
    static const struct {
        lspo_parallel_t layout;
        double bytes_per_weight, state_share;
    } cases[] = {{{1, 1, false}, 6, 1},      {{1, 4, false}, 6, 1},   {{1, 4, true}, 3, 0.25},
                 {{4, 1, false}, 1.5, 0.25}, {{2, 2, true}, 2, 0.25}, {{2, 2, false}, 3, 0.5}};
    double weights = weights_by_trial(&model, (50272.0 + 2050) * 2048);
    lspo_llmem_t whole;
    lspo_llmem(&model, &one, &cases[0].layout, 0, &whole);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_llmem_t got;
        lspo_llmem(&model, &one, &cases[i].layout, 7, &got);
        cr_expect_float_eq((double)got.weights_bytes / weights, cases[i].bytes_per_weight, 0.01, "%zu: %lu", i,
                           got.weights_bytes);
        cr_expect_float_eq((double)got.optimizer_bytes / (double)whole.optimizer_bytes, cases[i].state_share, 1e-9);
        cr_expect_eq(got.gpu_bytes, 7 + got.weights_bytes + got.optimizer_bytes + got.outputs_bytes + got.head_bytes +
                                        got.backward_bytes);
    }
    /* 8 bytes per weight of embeddings and matrices, each to a page: 24 blocks of 7 at most */
    cr_expect_float_eq((double)whole.optimizer_bytes / 8 / (double)lspo_model_parameter_count(&model), 1, 0.01);
}

/* The largest batch is the last that fits; 4 GPUs of 16 GiB as in the paper's Table 3: ZeRO-3 is chosen for OPT-1.3b,
 * nothing fits for LLaMA-7B. */
Test(estimators, llmem_chooses)
{
    lspo_model_t opt = opt_1_3b(), llama;
    lspo_workload_t workload = of_batch(4);
    static const lspo_parallel_t layouts[] = {{1, 4, false}, {1, 4, true}, {4, 1, false}, {2, 2, true}};
    double best = 0, score[4];
    cr_assert_eq(lspo_model_find("llama-7b", &llama), LSPO_OK);
    for (size_t i = 0; i < 4; i++) {
        uint32_t largest = lspo_llmem_largest_batch(&opt, &workload, &layouts[i], MIB, 16384 * MIB);
        lspo_llmem_t at = {0}, above = {0};
        lspo_workload_t tried = of_batch(largest > 0 ? largest : 1);
        lspo_llmem(&opt, &tried, &layouts[i], MIB, &at);
        tried.batch = largest + 1;
        lspo_llmem(&opt, &tried, &layouts[i], MIB, &above);
        cr_expect(largest == 0 || at.gpu_bytes <= 16384 * MIB);
        cr_expect_gt(above.gpu_bytes, 16384 * MIB);
        score[i] = lspo_llmem_score(&layouts[i], largest);
        best = fmax(best, score[i]);
        cr_expect_eq(lspo_llmem_largest_batch(&llama, &workload, &layouts[i], MIB, 16384 * MIB), 0u);
    }
    cr_expect_eq(score[1], best);
    cr_expect_gt(best, 0);
    cr_expect_eq(lspo_llmem_score(&layouts[0], 5), 24);
    cr_expect_eq(lspo_llmem_score(&layouts[1], 5), 16);
    cr_expect_eq(lspo_llmem_score(&layouts[2], 5), 4);
    cr_expect_eq(lspo_llmem_score(&layouts[3], 5), 8);
    cr_expect_eq(lspo_llmem_score(&layouts[0], 0), 0);
    cr_expect_eq(lspo_llmem_choose(layouts, score, 4), 1u);
    cr_expect_eq(lspo_llmem_choose((lspo_parallel_t[]){{2, 2, true}, {4, 1, false}}, (double[]){3, 3}, 2), 1u);
    cr_expect_eq(lspo_llmem_choose((lspo_parallel_t[]){{1, 4, true}, {4, 1, false}}, (double[]){3, 3}, 2), 0u);
    cr_expect_eq(lspo_llmem_choose(layouts, (double[]){0, 0, 0, 0}, 4), 4u);
}
