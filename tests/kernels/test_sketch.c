/* lsp-paper: dense sketches against naive products in double precision, their work against numbers worked out by hand,
 * and the policy on the host against lsp. */
#include "kernels/sketch.h"
#include "plan/policies/lsp.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/random.h"
#include "plan/policy.h"
#include "plan/sketch_work.h"
#include "real/execute/executor.h"
#include "real/methods/methods.h"
#include "real/session/session.h"
#include "sim/memory.h"
#include "sim/sim.h"

enum { TOKENS = 9, D_P = 6, D_Q = 5, R = 2 };

static float *normals(size_t n, uint64_t stream)
{
    float *values = malloc(n * sizeof *values);
    cr_assert_not_null(values);
    lspo_random_normal_fill(11, stream, 1.0, n, values);
    return values;
}

/* Entry (row, column) of the projector. */
static double entry(const lspo_projector_t *p, size_t row, size_t column)
{
    for (size_t e = row * p->r; e < (row + 1) * p->r; e++)
        if (p->index[e] == column)
            return (double)p->value[e];
    return 0;
}

/* sum over t, i, j of x[t][i] P[i][a] dy[t][j] Q[j][b]. */
static double compressed(const lspo_projector_t *p, const lspo_projector_t *q, const float *x, const float *dy,
                         size_t a, size_t b)
{
    double sum = 0;
    for (size_t t = 0; t < TOKENS; t++)
        for (size_t i = 0; i < p->rows; i++)
            for (size_t j = 0; j < q->rows; j++)
                sum += (double)x[t * p->rows + i] * entry(p, i, a) * (double)dy[t * q->rows + j] * entry(q, j, b);
    return sum;
}

/* (P delta Q^T)[i][j]. */
static double step(const lspo_projector_t *p, const lspo_projector_t *q, const float *delta, size_t i, size_t j)
{
    double sum = 0;
    for (size_t a = 0; a < p->d; a++)
        for (size_t b = 0; b < q->d; b++)
            sum += entry(p, i, a) * (double)delta[a * q->d + b] * entry(q, j, b);
    return sum;
}

/* The scratch ends in a guard that must stay. */
static float *make_scratch(size_t size)
{
    float *scratch = malloc((size + 1) * sizeof *scratch);
    cr_assert_not_null(scratch);
    scratch[size] = 123;
    return scratch;
}

static void check_kernels(uint32_t m, uint32_t n)
{
    lspo_projector_t p, q;
    cr_assert(lspo_projector_random(m, D_P, R, 1, &p) && lspo_projector_random(n, D_Q, R, 2, &q));
    float *x = normals((size_t)TOKENS * m, 1), *dy = normals((size_t)TOKENS * n, 2);
    float *g = normals((size_t)D_P * D_Q, 3), *delta = normals((size_t)D_P * D_Q, 4), *w = normals((size_t)m * n, 5);
    float *g0 = normals((size_t)D_P * D_Q, 3), *w0 = normals((size_t)m * n, 5);
    const size_t compress_size = lspo_sketch_compress_scratch(&p, &q, TOKENS),
                 apply_size = lspo_sketch_apply_scratch(&p, &q);
    float *compress_scratch = make_scratch(compress_size), *apply_scratch = make_scratch(apply_size);
    lspo_sketch_compress(&(lspo_projector_pair_t){&p, &q}, &(lspo_gradient_factors_t){TOKENS, x, m, dy, n}, 0.5F, g,
                         compress_scratch);
    for (size_t a = 0; a < D_P; a++)
        for (size_t b = 0; b < D_Q; b++)
            cr_expect_float_eq((double)g[a * D_Q + b], 0.5 * (double)g0[a * D_Q + b] + compressed(&p, &q, x, dy, a, b),
                               1e-4, "%zu %zu", a, b);
    lspo_sketch_apply(&(lspo_projector_pair_t){&p, &q}, delta, (lspo_vector_step_t[]){lspo_vector_step(0.25F, 0.5F, 0)},
                      w, apply_scratch);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            cr_expect_float_eq((double)w[i * n + j], 0.875 * (double)w0[i * n + j] - 0.25 * step(&p, &q, delta, i, j),
                               1e-5, "%zu %zu", i, j);
    cr_expect_eq(compress_scratch[compress_size], 123.0F, "wrote behind its scratch");
    cr_expect_eq(apply_scratch[apply_size], 123.0F, "wrote behind its scratch");
    float *owned[] = {x, dy, g, delta, w, g0, w0, compress_scratch, apply_scratch};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++)
        free(owned[i]);
    lspo_projector_release(&p);
    lspo_projector_release(&q);
}

Test(sketch, products_of_wide_and_of_tall_weights)
{
    check_kernels(7, 12);
    check_kernels(12, 7);
    check_kernels(8, 8);
}

static lspo_model_t three_blocks(void)
{
    return (lspo_model_t){.name = "three",
                          .family = LSPO_FAMILY_GPT,
                          .block_count = 3,
                          .width = 16,
                          .head_count = 2,
                          .kv_head_count = 2,
                          .mlp_width = 64,
                          .vocabulary = 256,
                          .max_sequence = 8,
                          .tied_head = true};
}

static lspo_workload_t small_workload(void)
{
    lspo_workload_t w;
    lspo_workload_default(&w);
    w.batch = 1;
    w.sequence = 8;
    w.precision = w.transfer = LSPO_FP32;
    w.iterations = 6;
    lspo_lsp_values_edit(&w)->subspace = 8;
    lspo_lsp_values_edit(&w)->nnz = 2;
    w.learning_rate = 1e-3;
    w.weight_decay = 0.1;
    return w;
}

static uint64_t stream_bytes(const lspo_work_t *work)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < work->kernel_count; i++)
        bytes += work->kernels[i].kernel_class == LSPO_KERNEL_STREAM ? work->kernels[i].bytes : 0;
    return bytes;
}

/* T = 8, d = 8; weights 16 x 48, 16 x 16, 16 x 64, 64 x 16.
 * COMPRESS, 2 T (m d + n d + d d): 2048 + 6144 + 1024 = 9216; 2048 + 2048 + 1024 = 5120; 2048 + 8192 + 1024 = 11264,
 * twice: 36864 FLOPs.  Written out, 4 (m + n) d: 2048 + 1024 + 2560 + 2560 = 8192 bytes.
 * APPLY, m <= n: 2 m d d + 2 m n d: 2048 + 12288; 2048 + 4096; 2048 + 16384; 64 x 16: 2 n d d + 2 m n d = 2048 + 16384:
 * 57344 FLOPs.  Streams 8192 + 3 * 4 * (768 + 256 + 1024 + 1024) = 45056 bytes. */
Test(sketch, work_by_hand)
{
    lspo_workload_t w = small_workload();
    lspo_model_t model = three_blocks();
    lspo_stage_t block;
    lspo_message_t message;
    lspo_work_t work;
    lspo_model_stage(&model, 1, &block);
    lspo_message_projected(&block, 8, 2, false, &message);
    lspo_sketch_work_compress(&w, &message, &work);
    cr_expect_float_eq(lspo_work_flop(&work), 36864, 0.5);
    cr_expect_eq(stream_bytes(&work), 8192);
    lspo_sketch_work_apply(&w, &message, &work);
    cr_expect_float_eq(lspo_work_flop(&work), 57344, 0.5);
    cr_expect_eq(stream_bytes(&work), 45056);
}

typedef struct {
    double losses[6];
    uint64_t peak_bytes, planned_peak_bytes; /* of the run, and of its replay in the order in which ops ran */
    uint64_t simulated_peak_bytes;           /* in the simulator's order, the same in each run             */
} outcome_t;

static lspo_status_t batch_of_step(void *context, uint32_t number, uint32_t micro, lspo_batch_t *batch)
{
    (void)context;
    for (uint32_t i = 0; i < 8; i++) {
        batch->tokens[i] = (uint32_t)lspo_random_below(1, number + micro, i, 32);
        batch->targets[i] = (batch->tokens[i] + 1) % 32;
    }
    return LSPO_OK;
}

static uint64_t simulated_peak(const lspo_plan_t *plan)
{
    lspo_machine_t machine;
    lspo_prediction_t prediction;
    lspo_trace_t *trace = NULL;
    uint64_t gpu_bytes, host_bytes;
    cr_assert_eq(lspo_machine_find("host-reference", &machine), LSPO_OK);
    cr_assert_eq(lspo_simulate(plan, &machine, &prediction, &trace), LSPO_OK);
    cr_assert_eq(lspo_memory_replay(plan, trace, &gpu_bytes, &host_bytes), LSPO_OK);
    lspo_trace_destroy(trace);
    lspo_prediction_release(&prediction);
    return gpu_bytes;
}

static outcome_t train(const char *name, lspo_products_by_t compress_by, lspo_products_by_t apply_by)
{
    lspo_workload_t workload = small_workload();
    lspo_model_t model = three_blocks();
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    lspo_device_caps_t caps = {0};
    lspo_device_t *device = NULL;
    lspo_session_t *session = NULL;
    lspo_trace_t *trace = NULL;
    outcome_t outcome = {0};
    uint64_t host_bytes;
    lspo_lsp_values_edit(&workload)->compress_by = compress_by;
    lspo_lsp_values_edit(&workload)->apply_by = apply_by;
    cr_assert_eq(lspo_policy_find(name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&model, &workload, policy, &plan), LSPO_OK);
    cr_assert_eq(lspo_device_open("host", &caps, &device), LSPO_OK);
    cr_assert_eq(lspo_session_create(plan, device, NULL, &session), LSPO_OK);
    lspo_session_set_batches(session, batch_of_step, NULL);
    cr_assert_eq(lspo_execute(plan, lspo_session_run_op, NULL, session, NULL, &trace), LSPO_OK);
    memcpy(outcome.losses, lspo_session_losses(session), sizeof outcome.losses);
    outcome.peak_bytes = lspo_device_peak_bytes(device);
    cr_assert_eq(lspo_memory_replay(plan, trace, &outcome.planned_peak_bytes, &host_bytes), LSPO_OK);
    outcome.simulated_peak_bytes = simulated_peak(plan);
    lspo_trace_destroy(trace);
    lspo_session_destroy(session);
    lspo_device_close(device);
    lspo_plan_destroy(plan);
    return outcome;
}

/* Each of the two products may be dense: lsp with both has lsp-paper's bits, and lsp-paper with none lsp's.  One alone
 * gives the same steps in another order of sums, in memory of its own. */
Test(sketch, each_product_is_chosen_apart)
{
    outcome_t ours = train("lsp", LSPO_PRODUCTS_AUTO, LSPO_PRODUCTS_AUTO);
    outcome_t paper = train("lsp-paper", LSPO_PRODUCTS_AUTO, LSPO_PRODUCTS_AUTO);
    outcome_t both = train("lsp", LSPO_PRODUCTS_DENSE, LSPO_PRODUCTS_DENSE);
    outcome_t none = train("lsp-paper", LSPO_PRODUCTS_SPARSE, LSPO_PRODUCTS_SPARSE);
    cr_expect_arr_eq(both.losses, paper.losses, sizeof paper.losses);
    cr_expect_arr_eq(none.losses, ours.losses, sizeof ours.losses);
    cr_expect_eq(both.simulated_peak_bytes, paper.simulated_peak_bytes);
    cr_expect_eq(none.simulated_peak_bytes, ours.simulated_peak_bytes);
    for (int applies = 0; applies < 2; applies++) {
        outcome_t one = train("lsp", applies ? LSPO_PRODUCTS_SPARSE : LSPO_PRODUCTS_DENSE,
                              applies ? LSPO_PRODUCTS_DENSE : LSPO_PRODUCTS_SPARSE);
        for (size_t i = 0; i < 6; i++)
            cr_expect_float_eq(one.losses[i], ours.losses[i], 1e-5);
        cr_expect_gt(memcmp(one.losses, ours.losses, sizeof ours.losses) != 0, 0, "the order of sums is another");
        cr_expect_leq(one.peak_bytes, one.planned_peak_bytes);
        cr_expect_gt(one.simulated_peak_bytes, ours.simulated_peak_bytes);
        cr_expect_leq(one.simulated_peak_bytes, paper.simulated_peak_bytes);
    }
}

/* The same projectors, the same steps: only the order of sums differs. */
Test(sketch, trains_as_lsp_does)
{
    outcome_t ours = train("lsp", LSPO_PRODUCTS_AUTO, LSPO_PRODUCTS_AUTO);
    outcome_t paper = train("lsp-paper", LSPO_PRODUCTS_AUTO, LSPO_PRODUCTS_AUTO);
    for (size_t i = 0; i < 6; i++)
        cr_expect_float_eq(paper.losses[i], ours.losses[i], 1e-5, "step %zu: %.9g, lsp %.9g", i, paper.losses[i],
                           ours.losses[i]);
    cr_expect_neq(ours.losses[5], ours.losses[0]);
    cr_expect_gt(paper.peak_bytes, ours.peak_bytes, "sketches take memory");
    cr_expect_leq(paper.peak_bytes, paper.planned_peak_bytes);
}
