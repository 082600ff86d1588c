/* Gradients of a model in training, against differences of its loss; biases against dense products in double and
 * matrices whose rank is known. */
#include "plan/policies/lsp.h"
#include "real/train/gradients.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/projector.h"
#include "kernels/random.h"
#include "plan/policy.h"
#include "real/data/text.h"
#include "real/execute/executor.h"
#include "real/methods/methods.h"
#include "real/session/session.h"

enum { STEPS = 6, BLOCK = 2 };

static const lspo_model_t small = {.name = "test",
                                   .family = LSPO_FAMILY_GPT,
                                   .block_count = 3,
                                   .width = 32,
                                   .head_count = 2,
                                   .kv_head_count = 2,
                                   .mlp_width = 64,
                                   .vocabulary = 256,
                                   .max_sequence = 32,
                                   .tied_head = true};

static char text_path[] = "/tmp/lspo-test-gradients-XXXXXX";

static void write_text(void)
{
    static const char *const words[] = {"the ", "cat ", "sat ", "on ", "a ", "mat ", "and ", "ate ", "it. "};
    int descriptor = mkstemp(text_path);
    cr_assert_geq(descriptor, 0);
    FILE *file = fdopen(descriptor, "wb");
    cr_assert_not_null(file);
    for (uint32_t i = 0; i < 4000; i++)
        fputs(words[lspo_random_below(5, 5, i, 9)], file);
    fclose(file);
}

static void remove_text(void)
{
    unlink(text_path);
}

static lspo_plan_t *make_plan(const char *policy_name)
{
    const lspo_policy_t *policy;
    lspo_workload_t workload;
    lspo_plan_t *plan;
    lspo_workload_default(&workload);
    workload.batch = 2;
    workload.sequence = 16;
    workload.precision = workload.transfer = LSPO_FP32;
    workload.iterations = STEPS;
    workload.learning_rate = 3e-3;
    lspo_lsp_values_edit(&workload)->subspace = 8;
    lspo_lsp_values_edit(&workload)->nnz = 2;
    cr_assert_eq(lspo_policy_find(policy_name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&small, &workload, policy, &plan), LSPO_OK);
    return plan;
}

static lspo_gradients_options_t options_of(const lspo_plan_t *plan)
{
    return (lspo_gradients_options_t){.plan = plan,
                                      .device = "host",
                                      .text_path = text_path,
                                      .stage = BLOCK,
                                      .calibration_count = 2,
                                      .validation_count = 1};
}

static lspo_status_t run_op(void *context, const lspo_op_t *op)
{
    return lspo_session_run_op(context, op);
}

/* Loss on the one validation batch with `scale` times `direction` added to a tensor of the block. */
static double loss_at(lspo_session_t *session, const lspo_tensor_t *tensor, const float *weights, size_t count,
                      const float *direction, double scale)
{
    double loss;
    float *moved = malloc(count * sizeof(float));
    memcpy(moved, weights, count * sizeof(float));
    for (size_t i = 0; i < (size_t)tensor->rows * tensor->cols; i++)
        moved[tensor->offset_elements + i] += (float)(scale * (double)direction[i]);
    cr_assert_eq(lspo_session_set_weights(session, BLOCK, moved), LSPO_OK);
    cr_assert_eq(lspo_session_held_out_loss(session, 1, &loss), LSPO_OK);
    cr_assert_eq(lspo_session_set_weights(session, BLOCK, weights), LSPO_OK);
    free(moved);
    return loss;
}

/* Along G / ||G|| the loss rises by ||G|| a unit, and along any other unit direction u by <G, u>. */
static void check_slopes(lspo_session_t *session, const lspo_gradients_t *gradients, const float *weights)
{
    const double h = 0.02;
    for (uint32_t i = 0; i < gradients->shape.linear_count; i++) {
        const lspo_tensor_t *tensor = &gradients->shape.tensors[i];
        const size_t count = (size_t)tensor->rows * tensor->cols;
        const float *g = lspo_gradients_at(gradients, gradients->calibration_count, i);
        float *random = malloc(count * sizeof(float)), *along = malloc(count * sizeof(float));
        double norm = 0, random_norm = 0;
        lspo_random_normal_fill(3, i, 1.0, count, random);
        for (size_t j = 0; j < count; j++) {
            norm += (double)g[j] * (double)g[j];
            random_norm += (double)random[j] * (double)random[j];
        }
        norm = sqrt(norm);
        double expected = 0;
        for (size_t j = 0; j < count; j++) {
            along[j] = (float)((double)g[j] / norm);
            random[j] = (float)((double)random[j] / sqrt(random_norm));
            /* Half of either: a direction that is not G's and still has a slope well above rounding. */
            random[j] = random[j] + along[j];
            expected += (double)g[j] * (double)random[j];
        }
        const size_t all = gradients->shape.element_count;
        double slope =
            (loss_at(session, tensor, weights, all, along, h) - loss_at(session, tensor, weights, all, along, -h)) /
            (2 * h);
        double other =
            (loss_at(session, tensor, weights, all, random, h) - loss_at(session, tensor, weights, all, random, -h)) /
            (2 * h);
        cr_expect(fabs(slope - norm) < 0.01 * norm, "%s: slope %g, norm %g", tensor->name, slope, norm);
        cr_expect(fabs(other - expected) < 0.01 * norm, "%s: slope %g, expected %g", tensor->name, other, expected);
        free(random);
        free(along);
    }
}

Test(gradients, are_the_slopes_of_the_loss, .init = write_text, .fini = remove_text)
{
    static const lspo_device_caps_t no_caps;
    lspo_plan_t *plan = make_plan("native");
    lspo_gradients_options_t options = options_of(plan);
    lspo_gradients_t gradients;
    lspo_text_t *text;
    lspo_device_t *device;
    lspo_session_t *session;
    lspo_trace_t *trace;
    cr_assert_eq(lspo_gradients_collect(&options, &gradients), LSPO_OK);

    /* The same training again, by hand. */
    cr_assert_eq(lspo_text_open(text_path, &text), LSPO_OK);
    cr_assert_eq(lspo_device_open("host", &no_caps, &device), LSPO_OK);
    cr_assert_eq(lspo_session_create(plan, device, text, &session), LSPO_OK);
    const size_t count = gradients.shape.element_count;
    float *before = malloc(count * sizeof(float)), *after = malloc(count * sizeof(float));
    cr_assert_eq(lspo_session_weights(session, BLOCK, before), LSPO_OK);
    cr_assert_eq(lspo_execute(plan, run_op, NULL, session, NULL, &trace), LSPO_OK);
    cr_assert_eq(lspo_session_weights(session, BLOCK, after), LSPO_OK);
    for (size_t i = 0; i < gradients.linear_elements; i++)
        cr_assert_float_eq(gradients.update[i], after[i] - before[i], 1e-7F);
    cr_assert_gt(gradients.loss_first, gradients.loss_last);
    check_slopes(session, &gradients, after);

    /* Calibration batches differ from each other and from the validation's. */
    cr_assert_neq(memcmp(lspo_gradients_at(&gradients, 0, 0), lspo_gradients_at(&gradients, 1, 0), 4096), 0);
    cr_assert_neq(memcmp(lspo_gradients_at(&gradients, 1, 0), lspo_gradients_at(&gradients, 2, 0), 4096), 0);
    free(before);
    free(after);
    lspo_trace_destroy(trace);
    lspo_session_destroy(session);
    lspo_device_close(device);
    lspo_text_close(text);
    lspo_gradients_release(&gradients);
    lspo_plan_destroy(plan);
}

/* lsp with d = 8: what it adds to a weight is P S Q^T, of rank 8 at most while P and Q stay; native's has no such
 * bound. */
Test(gradients, an_update_in_a_subspace_has_its_rank, .init = write_text, .fini = remove_text)
{
    lspo_plan_t *plan = make_plan("lsp");
    lspo_gradients_options_t options = options_of(plan);
    lspo_gradients_t gradients;
    cr_assert_eq(lspo_gradients_collect(&options, &gradients), LSPO_OK);
    for (uint32_t i = 0; i < gradients.shape.linear_count; i++) {
        lspo_bias_report_t report;
        cr_assert_eq(lspo_gradients_compare(&gradients, i, &plan->workload, &report), LSPO_OK);
        cr_expect(report.update_rank >= 4 && report.update_rank <= 8, "%s: %u", report.tensor, report.update_rank);
        cr_expect(report.calibration.learned < report.calibration.random);
        cr_expect(report.validation.learned < report.validation.random);
        cr_expect(report.validation.random < 1.0 && report.validation.raw > 1.0);
        cr_expect(report.floor <= report.validation.learned);
        cr_expect(report.floor_lowrank <= report.validation.lowrank + 1e-6);
    }
    lspo_gradients_release(&gradients);

    lspo_plan_t *native = make_plan("native");
    options = options_of(native);
    cr_assert_eq(lspo_gradients_collect(&options, &gradients), LSPO_OK);
    for (uint32_t i = 0; i < gradients.shape.linear_count; i++) {
        const lspo_tensor_t *tensor = &gradients.shape.tensors[i];
        uint32_t rank;
        cr_assert_eq(lspo_gradients_rank(tensor->rows, tensor->cols, gradients.update + tensor->offset_elements, &rank),
                     LSPO_OK);
        cr_expect_gt(rank, 16, "%s: %u", tensor->name, rank);
    }
    lspo_gradients_release(&gradients);
    lspo_plan_destroy(native);
    lspo_plan_destroy(plan);
}

/* ---- made-up gradients ---- */

enum { M = 24, N = 40, SETS = 3 };

/* One tensor, two calibration and one validation gradient of rank `rank`, in the same spaces, plus noise. */
static lspo_gradients_t made_gradients(uint32_t rank, double noise)
{
    lspo_gradients_t gradients = {.linear_elements = M * N, .calibration_count = 2, .validation_count = 1};
    gradients.shape = (lspo_stage_t){.kind = LSPO_STAGE_BLOCK, .tensor_count = 1, .linear_count = 1};
    gradients.shape.element_count = M * N;
    gradients.shape.tensors[0] = (lspo_tensor_t){.name = "made", .rows = M, .cols = N, .linear = true};
    gradients.values = calloc(SETS * M * N, sizeof(float));
    gradients.update = calloc(M * N, sizeof(float));
    for (uint32_t k = 0; k < SETS; k++)
        for (size_t i = 0; i < M; i++)
            for (size_t j = 0; j < N; j++) {
                double sum = noise * lspo_random_normal(9, k, i * N + j);
                for (uint32_t l = 0; l < rank; l++)
                    sum += (1 + 0.1 * k) * lspo_random_normal(10, l, i) * lspo_random_normal(11, l, j);
                gradients.values[(k * M + i) * N + j] = (float)sum;
            }
    return gradients;
}

static lspo_workload_t made_workload(void)
{
    lspo_workload_t workload;
    lspo_workload_default(&workload);
    lspo_lsp_values_edit(&workload)->subspace = 12;
    lspo_lsp_values_edit(&workload)->nnz = 3;
    return workload;
}

static void dense(const lspo_projector_t *p, double *out)
{
    memset(out, 0, sizeof(double) * p->rows * p->d);
    for (uint32_t i = 0; i < p->rows; i++)
        for (uint32_t k = 0; k < p->r; k++)
            out[i * p->d + p->index[i * p->r + k]] = (double)p->value[i * p->r + k];
}

/* out = A A^T, rows x rows */
static void square(const lspo_projector_t *p, double *out)
{
    double a[N * 12];
    dense(p, a);
    for (uint32_t i = 0; i < p->rows; i++)
        for (uint32_t j = 0; j < p->rows; j++) {
            out[i * p->rows + j] = 0;
            for (uint32_t k = 0; k < p->d; k++)
                out[i * p->rows + j] += a[i * p->d + k] * a[j * p->d + k];
        }
}

/* ||c P P^T G Q Q^T - G|| / ||G|| with c = 1 and with the best c, by dense products. */
static void reference_bias(const lspo_projector_t *p, const lspo_projector_t *q, const float *g, double *raw,
                           double *best)
{
    static double pp[M * M], qq[N * N], left[M * N];
    square(p, pp);
    square(q, qq);
    double gg = 0, ge = 0, ee = 0;
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++) {
            left[i * N + j] = 0;
            for (size_t k = 0; k < M; k++)
                left[i * N + j] += pp[i * M + k] * (double)g[k * N + j];
        }
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < N; j++) {
            double sum = 0, value = (double)g[i * N + j];
            for (size_t k = 0; k < N; k++)
                sum += left[i * N + k] * qq[k * N + j];
            gg += value * value;
            ge += value * sum;
            ee += sum * sum;
        }
    *raw = sqrt((gg - 2 * ge + ee) / gg);
    *best = sqrt(1 - ge * ge / (ee * gg));
}

Test(gradients, random_pairs_match_dense_products)
{
    lspo_gradients_t gradients = made_gradients(5, 0.3);
    lspo_workload_t workload = made_workload();
    lspo_bias_report_t report;
    lspo_projector_t p, q;
    double raw, best;
    cr_assert_eq(lspo_gradients_compare(&gradients, 0, &workload, &report), LSPO_OK);
    /* Seed 1, tensor 0: P from 2, Q from 3. */
    cr_assert(lspo_projector_random(M, 12, 3, 2, &p));
    cr_assert(lspo_projector_random(N, 12, 3, 3, &q));
    reference_bias(&p, &q, lspo_gradients_at(&gradients, 2, 0), &raw, &best);
    cr_expect_float_eq(report.validation.raw, raw, 1e-4 * raw);
    cr_expect_float_eq(report.validation.random, best, 1e-4);
    cr_expect(report.calibration.learned < 0.9 * report.calibration.random);
    cr_expect(report.fit_steps > 0);
    lspo_projector_release(&p);
    lspo_projector_release(&q);
    lspo_gradients_release(&gradients);
}

/* Equal bytes: P has 24 x 3 nonzeros in both orders, 24 x 3 x 16 + 13 x 4 = 1204 bytes, Q 40 x 3 x 16 + 52 = 1972;
 * GaLore's rank costs 4 (24 + 120) = 576 bytes: 3176 / 576 = 5.5, so 5, of 2880 bytes.  By numbers: (24 + 40) 3 / 144 =
 * 1.3: 1.  Without noise gradients of rank 5 are kept whole by 5 vectors and not by one. */
Test(gradients, galore_at_equal_memory)
{
    lspo_gradients_t gradients = made_gradients(5, 0);
    lspo_workload_t workload = made_workload();
    lspo_bias_report_t report;
    cr_assert_eq(lspo_gradients_compare(&gradients, 0, &workload, &report), LSPO_OK);
    cr_expect_eq(report.projector_bytes, 3176);
    cr_expect_eq(report.lowrank_bytes, 2880);
    cr_expect_eq(report.lowrank_rank, 5);
    cr_expect_eq(report.lowrank_formula_rank, 1);
    cr_expect(report.validation.lowrank < 1e-3 && report.floor_lowrank < 1e-3 && report.floor < 1e-3);
    cr_expect(report.validation.lowrank_formula > 0.5 && report.validation.lowrank_formula < 1);
    lspo_gradients_release(&gradients);
    cr_expect_eq(lspo_gradients_lowrank_rank(24, 40, 575), 0);
    cr_expect_eq(lspo_gradients_lowrank_rank(24, 40, 1000000), 24);
}

Test(gradients, equal_seeds_fit_equally)
{
    lspo_gradients_t gradients = made_gradients(5, 0.3);
    lspo_workload_t workload = made_workload();
    lspo_bias_report_t a, b, c;
    cr_assert_eq(lspo_gradients_compare(&gradients, 0, &workload, &a), LSPO_OK);
    cr_assert_eq(lspo_gradients_compare(&gradients, 0, &workload, &b), LSPO_OK);
    workload.seed = 2;
    cr_assert_eq(lspo_gradients_compare(&gradients, 0, &workload, &c), LSPO_OK);
    cr_expect_eq(a.validation.learned, b.validation.learned);
    cr_expect_neq(a.validation.learned, c.validation.learned);
    lspo_gradients_release(&gradients);
}

Test(gradients, rank_of_known_matrices)
{
    float matrix[M * N] = {0};
    uint32_t rank = 99;
    cr_assert_eq(lspo_gradients_rank(M, N, matrix, &rank), LSPO_OK);
    cr_expect_eq(rank, 0);
    lspo_gradients_t gradients = made_gradients(3, 1e-6);
    cr_assert_eq(lspo_gradients_rank(M, N, lspo_gradients_at(&gradients, 0, 0), &rank), LSPO_OK);
    cr_expect_eq(rank, 3);
    lspo_gradients_release(&gradients);
    /* Diagonal 1, 2e-4, 5e-5: the third is below the threshold. */
    matrix[0] = 1.0F;
    matrix[N + 1] = 2e-4F;
    matrix[2 * N + 2] = 5e-5F;
    cr_assert_eq(lspo_gradients_rank(M, N, matrix, &rank), LSPO_OK);
    cr_expect_eq(rank, 2);
    matrix[7] = NAN;
    cr_expect_eq(lspo_gradients_rank(M, N, matrix, &rank), LSPO_ERR_NUMERIC);
    cr_expect_eq(rank, 2);
}

Test(gradients, refuses_what_makes_no_sense, .init = write_text, .fini = remove_text)
{
    lspo_plan_t *plan = make_plan("native");
    lspo_gradients_t gradients;
    lspo_bias_report_t report;
    lspo_gradients_options_t options = options_of(plan);
    options.stage = 0;
    cr_expect_eq(lspo_gradients_collect(&options, &gradients), LSPO_ERR_INPUT);
    options.stage = 4; /* the head */
    cr_expect_eq(lspo_gradients_collect(&options, &gradients), LSPO_ERR_INPUT);
    options = options_of(plan);
    options.validation_count = 0;
    cr_expect_eq(lspo_gradients_collect(&options, &gradients), LSPO_ERR_INPUT);
    options.validation_count = LSPO_GRADIENTS_MAX + 1;
    cr_expect_eq(lspo_gradients_collect(&options, &gradients), LSPO_ERR_INPUT);
    options = options_of(plan);
    options.text_path = "/nonexistent";
    cr_expect_neq(lspo_gradients_collect(&options, &gradients), LSPO_OK);
    lspo_plan_destroy(plan);

    gradients = made_gradients(2, 0.1);
    lspo_workload_t workload = made_workload();
    lspo_lsp_values_edit(&workload)->subspace = 64;
    cr_expect_eq(lspo_gradients_compare(&gradients, 0, &workload, &report), LSPO_ERR_INPUT);
    memset(gradients.values, 0, SETS * M * N * sizeof(float));
    workload = made_workload();
    cr_expect_eq(lspo_gradients_compare(&gradients, 0, &workload, &report), LSPO_ERR_NUMERIC);
    lspo_gradients_release(&gradients);
}
