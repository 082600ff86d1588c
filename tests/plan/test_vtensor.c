/* Plans of vtensor: chunks, calls and timelines worked out by hand; see tests/timeline.h.  A token of three_blocks()
 * has c = 64 B in each of 6 ranges, so that a chunk of 4 KiB has room for 64 tokens. */
#include <criterion/criterion.h>

#include "kernels/random.h"
#include "plan/build_generate.h"
#include "plan/policies/vtensor.h"
#include "sim/cost.h"
#include "sim/memory.h"
#include "tests/timeline.h"

static const lspo_vtensor_values_t small_chunks = {.chunk = 4096};

static lspo_plan_t *build_texts(const lspo_vtensor_values_t *values, uint32_t prompt, uint32_t iterations,
                                uint32_t texts)
{
    lspo_model_t m = three_blocks();
    lspo_workload_t w = small_workload(iterations);
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    m.max_sequence = 4096;
    w.batch = texts;
    w.sequence = prompt;
    w.train_rest = LSPO_TRAIN_REST_AUTO;
    *lspo_vtensor_values_edit(&w) = *values;
    cr_assert_eq(lspo_policy_find_any("vtensor", &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&m, &w, policy, &plan), LSPO_OK);
    return plan;
}

/* FWD of a block takes 2, so that an iteration takes 6; MAP takes `map_ns`. */
static lspo_trace_t *play_maps(const lspo_plan_t *plan, uint64_t map_ns)
{
    const lspo_machine_t machine = quiet_machine();
    uint64_t *ns = calloc((size_t)plan->work_count * LSPO_LANE_KIND_COUNT, sizeof *ns);
    lspo_trace_t *trace = NULL;
    for (uint32_t i = 0; i < plan->op_count; i++) {
        const lspo_op_t *op = &plan->ops[i];
        const bool block = op->layer > 0 && op->layer + 1u < plan->stage_count;
        ns[op->work * LSPO_LANE_KIND_COUNT + lspo_op_kind_lane((lspo_op_kind_t)op->kind)] = op->kind == LSPO_OP_MAP
                                                                                                ? map_ns
                                                                                            : block ? 2
                                                                                                    : 0;
    }
    cr_assert_eq(lspo_engine_play(plan, &machine, ns, &trace), LSPO_OK);
    cr_assert_eq(lspo_trace_check(trace, plan), LSPO_OK);
    free(ns);
    return trace;
}

static uint64_t start_of(const lspo_trace_t *t, lspo_op_kind_t kind, uint32_t layer, uint32_t iteration)
{
    return find(t, kind, layer, iteration)->start_ns;
}

static uint32_t maps_of(const lspo_plan_t *plan)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->op_count; i++)
        count += plan->ops[i].kind == LSPO_OP_MAP;
    return count;
}

/* Prompts of 63 tokens and 4 iterations: the texts have 63, 64, 65 and 66 tokens, so that the third iteration needs a
 * second chunk.
 *
 *     ahead 0   MAP 0-5, iterations from 5 and 11; MAP 17-22, iterations from 22 and 28
 *     ahead 1   MAP may begin when the first iteration ends: 11-16, and the third begins at 17
 *     ahead 1   and MAP of 8: 0-8, 14-22, iterations from 8, 14, 22: 2 are exposed
 *     ahead 2   it may begin at once: 8-16, iterations from 8, 14, 20 */
Test(vtensor, maps_before_the_iteration_that_needs_it)
{
    static const struct {
        uint32_t ahead, map_ns, second_map, starts[4];
    } cases[] = {{0, 5, 17, {5, 11, 22, 28}},
                 {1, 5, 11, {5, 11, 17, 23}},
                 {1, 8, 14, {8, 14, 22, 28}},
                 {2, 8, 8, {8, 14, 20, 26}}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        lspo_vtensor_values_t v = small_chunks;
        v.map_ahead = cases[k].ahead;
        lspo_plan_t *p = build_texts(&v, 63, 4, 1);
        lspo_trace_t *t = play_maps(p, cases[k].map_ns);
        cr_expect_eq(maps_of(p), 2);
        cr_expect_eq(start_of(t, LSPO_OP_MAP, 0, 2), cases[k].second_map);
        for (uint32_t i = 0; i < 4; i++)
            cr_expect_eq(start_of(t, LSPO_OP_FWD, 1, i), cases[k].starts[i], "case %zu, iteration %u: %lu", k, i,
                         (unsigned long)start_of(t, LSPO_OP_FWD, 1, i));
        done(t, p);
    }
}

/* Chunk after chunk of 64 tokens, mapped as early as that helps: hidden iff a MAP takes no longer than 64 iterations of
 * 6, else each chunk takes the time of its MAP. */
Test(vtensor, mapping_is_hidden_iff_it_takes_no_longer_than_the_tokens_of_a_chunk)
{
    const uint32_t iterations = 64 * 8;
    for (uint64_t map_ns = 64 * 6 - 20; map_ns <= 64 * 6 + 20; map_ns += 4) {
        lspo_vtensor_values_t v = small_chunks;
        v.map_ahead = 64;
        lspo_plan_t *p = build_texts(&v, 1, iterations, 1);
        lspo_trace_t *t = play_maps(p, map_ns);
        const uint64_t start = start_of(t, LSPO_OP_FWD, 1, 0), end = start_of(t, LSPO_OP_FWD, 1, iterations - 1) + 6;
        const uint64_t exposed = end - start - (uint64_t)iterations * 6;
        cr_expect_eq(exposed > 0, map_ns > 64 * 6, "MAP of %lu: %lu exposed", (unsigned long)map_ns,
                     (unsigned long)exposed);
        done(t, p);
    }
}

/* All of an iteration's calls, and the memory at the end. */
typedef struct {
    uint64_t maps, creates, accesses, alloc_bytes;
} calls_t;

static calls_t calls_of(const lspo_plan_t *plan, uint32_t until)
{
    calls_t calls = {0};
    for (uint32_t i = 0; i < plan->op_count; i++) {
        const lspo_op_t *op = &plan->ops[i];
        const lspo_kernel_t *kernel = &plan->works[op->work].kernels[0];
        if (op->kind != LSPO_OP_MAP || op->iteration > until)
            continue;
        calls.maps += kernel->elements;
        calls.creates += kernel->of_elements;
        calls.accesses += kernel->count;
        calls.alloc_bytes += op->gpu_alloc_bytes;
    }
    return calls;
}

/* In every iteration of random plans: chunks = texts x ranges x ceil(t c / chunk), calls of access one per range that
 * grows or one per chunk; and the peak is that of the chunks. */
Test(vtensor, has_the_chunks_of_its_tokens)
{
    for (uint64_t k = 0; k < 60; k++) {
        const uint32_t texts = 1 + lspo_random_below(1, k, 0, 3), prompt = 1 + lspo_random_below(1, k, 1, 300);
        const uint32_t iterations = 1 + lspo_random_below(1, k, 2, 150);
        const lspo_vtensor_values_t v = {.chunk = 4096 * (1 + lspo_random_below(1, k, 3, 3)),
                                         .map_ahead = lspo_random_below(1, k, 4, 80),
                                         .range = lspo_random_below(1, k, 5, 2),
                                         .chunks = lspo_random_below(1, k, 6, 2),
                                         .access = lspo_random_below(1, k, 7, 2)};
        lspo_plan_t *p = build_texts(&v, prompt, iterations, texts);
        const uint64_t ranges = texts * (v.range == LSPO_RANGE_TEXT ? 1 : 6), c = v.range == LSPO_RANGE_TEXT ? 384 : 64;
        uint64_t chunks = 0, accesses = 0;
        for (uint32_t i = 0; i < iterations; i++) {
            const uint64_t now = ranges * (((prompt + i) * c + (uint64_t)v.chunk - 1) / (uint64_t)v.chunk);
            accesses += now == chunks ? 0 : v.access == LSPO_ACCESS_CHUNK ? now - chunks : ranges;
            chunks = now;
            const calls_t calls = calls_of(p, i);
            cr_assert_eq(calls.maps, chunks);
            cr_assert_eq(calls.accesses, accesses);
            cr_assert_eq(calls.creates, v.chunks == LSPO_CHUNKS_GROW ? chunks : 0);
            cr_assert_eq(calls.alloc_bytes, calls.creates * (uint64_t)v.chunk);
        }
        lspo_trace_t *t = play_maps(p, 7);
        uint64_t gpu = 0, host = 0;
        const uint64_t grown = calls_of(p, iterations).creates;
        cr_assert_eq(lspo_memory_replay(p, t, &gpu, &host), LSPO_OK);
        cr_expect_eq(gpu, p->gpu_static_bytes + grown * (uint64_t)v.chunk);
        cr_expect_eq(p->footprint.gpu_cache_bytes, (chunks - grown) * (uint64_t)v.chunk);
        done(t, p);
    }
}

/* A growth of a text at L = 32: 64 maps of 1.45 us and 64 calls of 36 us, 2.4 ms; a second log has 1.05 and 20.8 us,
 * 1.4 ms.  One range for all blocks needs one of each. */
Test(vtensor, a_growth_takes_the_time_of_its_calls)
{
    lspo_machine_t machine = quiet_machine();
    const lspo_cost_calls_t growth = {.maps = 64, .accesses = 64}, one = {.maps = 1, .accesses = 1};
    cr_expect_float_eq(lspo_cost_map_s(&machine, &growth), 2.397e-3, 1e-6);
    cr_expect_float_eq(lspo_cost_map_s(&machine, &one), 37.45e-6, 1e-9);
    machine.gpu.chunk_map_s = 1.05e-6;
    machine.gpu.chunk_access_s = 20.8e-6;
    cr_expect_float_eq(lspo_cost_map_s(&machine, &growth), 1.398e-3, 1e-6);
    machine.cpu.op_s = 0;
    lspo_vtensor_values_t v = small_chunks;
    v.chunks = LSPO_CHUNKS_START;
    lspo_plan_t *p = build_texts(&v, 100, 2, 1); /* two chunks in each of six ranges */
    const lspo_cost_context_t context = {&machine, &p->model, LSPO_FP32};
    for (uint32_t i = 0; i < p->op_count; i++)
        if (p->ops[i].kind == LSPO_OP_MAP)
            cr_expect_float_eq(lspo_cost_work_s(&context, LSPO_LANE_CPU, 0, &p->works[p->ops[i].work]),
                               12 * 1.05e-6 + 6 * 20.8e-6, 1e-12);
    lspo_plan_destroy(p);
}

Test(vtensor, refuses_chunks_that_are_no_pages)
{
    const lspo_model_t m = three_blocks();
    lspo_workload_t w = small_workload(2);
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    char message[256];
    w.sequence = 4;
    w.train_rest = LSPO_TRAIN_REST_AUTO;
    lspo_vtensor_values_edit(&w)->chunk = 6000;
    cr_assert_eq(lspo_policy_find_any("vtensor", &policy), LSPO_OK);
    lspo_messages_keep(message, sizeof message);
    cr_expect_eq(lspo_plan_build(&m, &w, policy, &plan), LSPO_ERR_INPUT);
    lspo_messages_keep(NULL, 0);
    cr_expect(strstr(message, "--chunk 5.86 KiB is no multiple of a page, 4 KiB") != NULL, "%s", message);
}
