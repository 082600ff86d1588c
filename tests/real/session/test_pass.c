/* A calibration pass of lsp as a whole, against a loop with dense matrices. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/fit.h"
#include "real/methods/pairs.h"
#include "real/transformer/transformer.h"
#include "tests/mean_head.h"
#include "tests/session_fixture.h"

enum { PASS_BATCHES = 8 };

typedef struct {
    lspo_workload_t workload;
    uint32_t steps[2 * PASS_BATCHES], count; /* of the training data, as the session asks for them */
} recorder_t;

static lspo_status_t recorded_batch(void *context, uint32_t step, uint32_t micro, lspo_batch_t *batch)
{
    recorder_t *recorder = context;
    cr_assert_lt(recorder->count, 2U * PASS_BATCHES);
    recorder->steps[recorder->count++] = step;
    return made_up_batch(&recorder->workload, step, micro, batch);
}

/* m x n, row-major. */
typedef struct {
    uint32_t m, n;
    float *g;
} dense_t;

typedef struct {
    dense_t of[PASS_BATCHES][BLOCKS + 1][LINEARS]; /* micro-batch, stage, weight */
} gradients_t;

/* G = X^T dY in double. */
static dense_t dense_gradient(const lspo_projection_t *w, size_t tokens, const lspo_linear_operands_t *from, uint32_t i)
{
    dense_t dense = {.m = w->rows, .n = w->cols, .g = floats((size_t)w->rows * w->cols)};
    const float *x = from->of[i].x, *dy = from->of[i].dy;
    for (size_t a = 0; a < dense.m; a++)
        for (size_t b = 0; b < dense.n; b++) {
            double sum = 0;
            for (size_t t = 0; t < tokens; t++)
                sum += (double)x[t * from->of[i].x_stride + a] * (double)dy[t * from->of[i].dy_stride + b];
            dense.g[a * dense.n + b] = (float)sum;
        }
    return dense;
}

/* The gradients of one batch at the weights of a session, by one forward and one backward pass that keep all. */
static void make_gradients(const lspo_session_t *session, lspo_workload_t *workload, uint32_t step,
                           dense_t of[BLOCKS + 1][LINEARS])
{
    lspo_model_t model = small_model();
    size_t tokens = (size_t)workload->batch * workload->sequence, count = tokens * model.width;
    uint32_t ids[64], targets[64], lengths[8] = {workload->sequence, workload->sequence};
    lspo_batch_t batch = {.tokens = ids, .targets = targets, .lengths = lengths};
    cr_assert(tokens <= 64 && workload->batch == 2);
    cr_assert_eq(made_up_batch(workload, step, 0, &batch), LSPO_OK);
    size_t workspace_bytes =
        lspo_transformer_workspace_bytes(&model, workload->batch, workload->sequence, LSPO_NUMBER_FP32);
    void *workspace = aligned_alloc(64, (workspace_bytes + 63) / 64 * 64);
    lspo_transformer_t *t = NULL;
    cr_assert_eq(
        lspo_transformer_create(&model, workload->batch, workload->sequence, lspo_compute_host(), workspace, &t),
        LSPO_OK);
    float *x[BLOCKS + 1], *dx = floats(count);
    void *saved[BLOCKS + 2];
    const float *embed = host_weights(session, 0), *head = host_weights(session, BLOCKS + 1);
    for (uint32_t s = 0; s <= BLOCKS; s++)
        x[s] = floats(count);
    for (uint32_t s = 1; s <= BLOCKS + 1; s++)
        saved[s] = malloc(lspo_transformer_saved_bytes(t, s));
    lspo_transformer_embed_forward(t, ids, embed, x[0]);
    for (uint32_t s = 1; s <= BLOCKS; s++)
        lspo_transformer_block_forward(t, &(lspo_block_parameters_t){.weights = host_weights(session, s)}, x[s - 1],
                                       saved[s], x[s]);
    mean_head_forward(t, head, embed, targets, x[BLOCKS], saved[BLOCKS + 1]);
    mean_head_backward(t, &(lspo_head_parameters_t){head, embed}, &(lspo_head_loss_t){targets, 1},
                       &(lspo_stage_kept_t){x[BLOCKS], saved[BLOCKS + 1]}, NULL, dx);
    for (uint32_t s = BLOCKS; s > 0; s--) {
        lspo_linear_operands_t operands;
        lspo_transformer_block_backward(t, &(lspo_block_parameters_t){.weights = host_weights(session, s)},
                                        &(lspo_stage_kept_t){x[s - 1], saved[s]}, NULL, &operands, dx);
        for (uint32_t i = 0; i < LINEARS; i++)
            of[s][i] = dense_gradient(&session->stages[s].message.linear[i], tokens, &operands, i);
    }
    for (uint32_t s = 1; s <= BLOCKS + 1; s++)
        free(saved[s]);
    for (uint32_t s = 0; s <= BLOCKS; s++)
        free(x[s]);
    free(dx);
    lspo_transformer_destroy(t);
    free(workspace);
}

/* out (rows x cols) = P (rows x inner, sparse) made dense, or its transpose, times a. */
static double *times_projector(const lspo_projector_t *p, bool transposed, const double *a, size_t cols)
{
    size_t rows = transposed ? p->d : p->rows;
    double *out = calloc(rows * cols, sizeof *out);
    for (size_t row = 0; row < p->rows; row++)
        for (size_t e = row * p->r; e < (row + 1) * p->r; e++)
            for (size_t c = 0; c < cols; c++) {
                size_t to = transposed ? p->index[e] : row, from = transposed ? row : p->index[e];
                out[to * cols + c] += (double)p->value[e] * a[from * cols + c];
            }
    return out;
}

static double *transpose(const double *a, size_t rows, size_t cols)
{
    double *out = malloc(rows * cols * sizeof *out);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            out[j * rows + i] = a[i * cols + j];
    return out;
}

/* P P^T a, of a (rows x cols), which is freed. */
static double *onto_projector(const lspo_projector_t *p, double *a, size_t cols)
{
    double *inside = times_projector(p, true, a, cols), *out = times_projector(p, false, inside, cols);
    free(inside);
    free(a);
    return out;
}

/* min over c of ||c P P^T G Q Q^T - G|| / ||G||, all m x n matrices formed. */
static double dense_bias(const lspo_projector_t *p, const lspo_projector_t *q, const dense_t *dense)
{
    size_t m = dense->m, n = dense->n;
    double *g = malloc(m * n * sizeof *g), along = 0, square = 0, whole = 0, left = 0;
    for (size_t e = 0; e < m * n; e++)
        g[e] = (double)dense->g[e];
    double *copy = malloc(m * n * sizeof *copy);
    memcpy(copy, g, m * n * sizeof *copy);
    double *rows_done = onto_projector(p, copy, n), *turned = transpose(rows_done, m, n);
    turned = onto_projector(q, turned, m);
    double *estimate = transpose(turned, n, m);
    for (size_t e = 0; e < m * n; e++) {
        along += estimate[e] * g[e];
        square += estimate[e] * estimate[e];
        whole += g[e] * g[e];
    }
    for (size_t e = 0; e < m * n; e++)
        left += (along / square * estimate[e] - g[e]) * (along / square * estimate[e] - g[e]);
    free(estimate);
    free(turned);
    free(rows_done);
    free(g);
    return sqrt(left / whole);
}

static lspo_projector_t copy_projector(const lspo_projector_t *from)
{
    lspo_projector_t copy;
    size_t count = (size_t)from->rows * from->r;
    cr_assert(lspo_projector_random(from->rows, from->d, from->r, 1, &copy));
    memcpy(copy.index, from->index, count * sizeof(uint32_t));
    memcpy(copy.value, from->value, count * sizeof(float));
    lspo_projector_refresh(&copy);
    return copy;
}

/* A pair, and the weights that share it: weight i of the stages low to high. */
typedef struct {
    lspo_projector_t *p, *q;
    uint32_t low, high, i;
} shared_t;

static double mean_dense_bias(const shared_t *pair, const gradients_t *gradients, uint32_t batch)
{
    double sum = 0;
    for (uint32_t s = pair->high; s >= pair->low; s--)
        sum += dense_bias(pair->p, pair->q, &gradients->of[batch][s][pair->i]);
    return sum / (pair->high - pair->low + 1);
}

/* The loop that a pass stands for, of one pair, which becomes what the pass makes of it; returns the mean bias that the
 * pass ends with, and in *before that of the last micro-batch. */
static double fit_by_hand(const lspo_workload_t *workload, const gradients_t *gradients, const shared_t *pair,
                          double *before)
{
    lspo_projector_t *p = pair->p, *q = pair->q, p_new = copy_projector(p), q_new = copy_projector(q);
    const shared_t fitted = {&p_new, &q_new, pair->low, pair->high, pair->i};
    lspo_fit_options_t options = lspo_fit_default();
    lspo_fit_stream_t stream;
    options.beta = lspo_lsp_values_of(workload)->fit_beta;
    options.steps = lspo_lsp_values_of(workload)->fit_steps * (pair->high - pair->low + 1);
    float *moments = floats(lspo_fit_moments(p, q)), *scratch = floats(lspo_fit_scratch(p, q));
    cr_assert(lspo_fit_begin(&(lspo_fit_work_t){&options, &p_new, &q_new, moments},
                             gradients->of[1][pair->high][pair->i].g, scratch, &stream));
    for (uint32_t b = 1; b + 1 < PASS_BATCHES; b++)
        for (uint32_t s = pair->high; s >= pair->low; s--)
            cr_assert(lspo_fit_advance(&(lspo_fit_work_t){&options, &p_new, &q_new, moments},
                                       lspo_lsp_values_of(workload)->fit_steps / (PASS_BATCHES - 2),
                                       gradients->of[b][s][pair->i].g, scratch, &stream));
    cr_assert_eq(stream.steps, options.steps);
    lspo_fit_finish(&p_new, &q_new);
    *before = mean_dense_bias(pair, gradients, PASS_BATCHES - 1);
    double after = mean_dense_bias(&fitted, gradients, PASS_BATCHES - 1);
    cr_assert_gt(fabs(after - *before), 1e-3, "too near to tell which pair should stay");
    lspo_projector_t *stays[2] = {after < *before ? &p_new : p, after < *before ? &q_new : q};
    lspo_projector_t decided[2] = {copy_projector(stays[0]), copy_projector(stays[1])};
    free(scratch);
    free(moments);
    lspo_projector_release(&p_new);
    lspo_projector_release(&q_new);
    lspo_projector_release(p);
    lspo_projector_release(q);
    *p = decided[0];
    *q = decided[1];
    return fmin(after, *before);
}

static void assert_same_values(const lspo_projector_t *got, const lspo_projector_t *expected, const char *what)
{
    size_t count = (size_t)got->rows * got->r;
    double apart = 0, whole = 0;
    cr_assert_arr_eq(got->index, expected->index, count * sizeof(uint32_t));
    for (size_t e = 0; e < count; e++) {
        double a = (double)got->value[e], b = (double)expected->value[e];
        apart += (a - b) * (a - b);
        whole += b * b;
    }
    cr_assert_lt(sqrt(apart / whole), 1e-3, "%s: %g apart", what, sqrt(apart / whole));
}

static void check_pass(lspo_projectors_t projectors)
{
    lspo_workload_t workload = checking_workload();
    workload.iterations = 1;
    lspo_lsp_values_edit(&workload)->projectors = projectors;
    bool shared = projectors == LSPO_PROJECTORS_SHAPE;
    recorder_t recorder = {.workload = workload};
    gradients_t *gradients = calloc(1, sizeof *gradients);
    training_t still, run;
    double loss, before = 0, after = 0;
    training_begin("lsp", &workload, &still);
    training_begin("lsp", &workload, &run);
    lspo_session_set_batches(run.session, recorded_batch, &recorder);
    training_run(&run, &loss);
    cr_assert_eq(recorder.count, PASS_BATCHES + 1U, "the pass, then the step");
    for (uint32_t b = 0; b < PASS_BATCHES; b++)
        make_gradients(still.session, &workload, recorder.steps[b], gradients->of[b]);
    for (uint32_t first = 1; first <= (shared ? 1 : BLOCKS); first++)
        for (uint32_t i = 0; i < LINEARS; i++) {
            uint32_t last = shared ? BLOCKS : first;
            lspo_projector_t p = copy_projector(&lspo_pairs_of(still.session, first)->p[i]);
            lspo_projector_t q = copy_projector(&lspo_pairs_of(still.session, first)->q[i]);
            double old, new = fit_by_hand(&workload, gradients, &(shared_t){&p, &q, first, last, i}, &old);
            for (uint32_t s = first; s <= last; s++) {
                assert_same_values(&lspo_pairs_of(run.session, s)->p[i], &p, "P");
                assert_same_values(&lspo_pairs_of(run.session, s)->q[i], &q, "Q");
            }
            before += old * (last - first + 1) / (BLOCKS * LINEARS);
            after += new *(last - first + 1) / (BLOCKS * LINEARS);
            lspo_projector_release(&q);
            lspo_projector_release(&p);
        }
    lspo_session_bias_t bias = lspo_session_bias(run.session);
    cr_assert_eq(bias.checked, BLOCKS * LINEARS);
    cr_assert_eq(bias.fit_steps, BLOCKS * LINEARS * lspo_lsp_values_of(&workload)->fit_steps);
    cr_assert_gt(bias.fitted, 0);
    cr_assert_float_eq(bias.bias_before, before, 1e-4);
    cr_assert_float_eq(bias.bias_after, after, 1e-3);
    for (uint32_t b = 0; b < PASS_BATCHES; b++)
        for (uint32_t s = 1; s <= BLOCKS; s++)
            for (uint32_t i = 0; i < LINEARS; i++)
                free(gradients->of[b][s][i].g);
    free(gradients);
    training_end(&run);
    training_end(&still);
}

Test(pass, a_pass_is_the_loop_over_its_gradients)
{
    check_pass(LSPO_PROJECTORS_WEIGHT);
}

Test(pass, a_pass_of_pairs_by_shape_is_the_loop_over_the_gradients_of_all_that_share_them)
{
    check_pass(LSPO_PROJECTORS_SHAPE);
}
