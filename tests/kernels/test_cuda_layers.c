/* The CUDA kernels of a transformer's layers except attention, in each format, against the host's on the same
 * numbers. */
#include "kernels/activation.h"
#include "kernels/cuda.h"
#include "kernels/embedding.h"
#include "kernels/loss.h"
#include "kernels/norm.h"
#include "kernels/rotary.h"
#include "tests/cuda_numbers.h"

static const size_t widths[] = {1, 31, 256, 257, 600};
static const size_t heights[] = {0, 1, 33};

/* What fp32 sums and functions of the GPU's own may add to a 16-bit format's rounding, in steps of it. */
#define NOISE 0.02

/* ---- embedding ---- */

typedef struct {
    size_t batch, sequence, width;
    uint32_t vocabulary;
    bool positions;
} embedding_t;

static void check_embedding(const embedding_t *e, lspo_number_t number)
{
    const size_t rows = e->batch * e->sequence, n = rows * e->width;
    const size_t t_n = e->vocabulary * e->width, p_n = e->sequence * e->width;
    uint32_t *ids = random_numbers(1, e->vocabulary, rows);
    float *token = random_numbers_of(number, 2, 1, t_n), *position = random_numbers_of(number, 3, 1, p_n);
    float *dx = random_numbers_of(number, 4, 1, n), *x = floats(n);
    float *dt = copy_floats(token, t_n), *dp = copy_floats(position, p_n);
    lspo_embedding_forward(
        &(lspo_embedding_t){.batch = e->batch, .sequence = e->sequence, .width = e->width, .ids = ids}, token,
        e->positions ? position : NULL, x);
    lspo_embedding_backward(
        &(lspo_embedding_t){.batch = e->batch, .sequence = e->sequence, .width = e->width, .ids = ids}, dx, dt,
        e->positions ? dp : NULL);
    for (order_t order = {0}; next_order(&order);) {
        uint32_t *ids_ = device_copy(ids, rows * sizeof *ids);
        void *token_ = device_numbers(number, token, t_n), *x_ = empty_numbers(number, n);
        void *position_ = e->positions ? device_numbers(number, position, p_n) : NULL;
        DEVICE_OK(lspo_embedding_forward_cuda(
            ON(number), &(lspo_embedding_t){.batch = e->batch, .sequence = e->sequence, .width = e->width, .ids = ids_},
            token_, position_, x_));
        expect_rounded(&order, number, "x", x_, x, n);
        DEVICE_OK(lspo_embedding_backward_cuda(
            ON(number), &(lspo_embedding_t){.batch = e->batch, .sequence = e->sequence, .width = e->width, .ids = ids_},
            device_numbers(number, dx, n), token_, position_));
        expect_rounded(&order, number, "token gradient", token_, dt, t_n);
        if (e->positions)
            expect_rounded(&order, number, "position gradient", position_, dp, p_n);
    }
    free(ids), free(token), free(position), free(x), free(dx), free(dt), free(dp);
}

/* One id everywhere, few, many; rows less and more than a block, which looks for its id 256 rows at a time; widths of
 * whole groups and others; more columns than a block sums. */
Test(cuda_layers, embedding)
{
    static const embedding_t cases[] = {{1, 1, 1, 1, true},     {3, 100, 5, 1, true},      {2, 33, 31, 7, false},
                                        {5, 130, 9, 40, true},  {1, 300, 264, 3000, true}, {1, 3, 8200, 2, false},
                                        {2, 3, 8217, 2, false}, {2, 32, 16, 3, true},      {0, 3, 4, 5, true}};
    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t j = 0; j < COUNT(all_numbers); j++)
            check_embedding(&cases[i], all_numbers[j]);
}

/* ---- norms ---- */

typedef struct {
    lspo_number_t number;
    bool centred, residual, accumulate, sums, in_place;
} norm_case_t;

typedef struct {
    float *x, *gain, *bias, *dout, *residual, *sums0; /* inputs */
    float *out, *mean, *rstd, *dx, *dgain, *dbias, *dx_sum;
} norm_t;

static norm_t make_norm(lspo_number_t number, size_t rows, size_t width)
{
    const size_t n = rows * width;
    norm_t t = {random_floats(1, 1, n),
                random_numbers_of(number, 2, 1, width),
                random_numbers_of(number, 3, 1, width),
                random_numbers_of(number, 4, 1, n),
                random_numbers_of(number, 5, 1, n),
                random_numbers_of(number, 6, 1, width),
                floats(n),
                floats(rows),
                floats(rows),
                floats(n),
                NULL,
                NULL,
                NULL};
    for (size_t i = 0; i < n; i++)
        t.x[i] += 3; /* a mean to take away */
    round_floats(number, n, t.x);
    t.dgain = copy_floats(t.sums0, width);
    t.dbias = copy_floats(t.sums0, width);
    t.dx_sum = copy_floats(t.sums0, width);
    return t;
}

static void release_norm(const norm_t *t)
{
    free(t->x), free(t->gain), free(t->bias), free(t->dout), free(t->residual), free(t->sums0), free(t->out);
    free(t->mean), free(t->rstd), free(t->dx), free(t->dgain), free(t->dbias), free(t->dx_sum);
}

static void norm_on_host(const norm_case_t *c, size_t rows, size_t width, norm_t *t)
{
    const float *residual = c->residual ? t->residual : NULL;
    if (c->centred) {
        lspo_norm_forward(
            &(lspo_norm_t){.rows = rows, .width = width, .epsilon = 1e-3F, .gain = t->gain, .bias = t->bias}, t->x,
            t->out, t->mean, t->rstd);
        lspo_norm_backward(
            &(lspo_norm_t){.rows = rows, .width = width, .gain = t->gain},
            &(lspo_norm_operands_t){.dout = t->dout, .x = t->x, .residual = residual, .mean = t->mean, .rstd = t->rstd},
            &(lspo_norm_gradients_t){.dx = t->dx,
                                     .dgain = c->sums ? t->dgain : NULL,
                                     .dbias = c->sums ? t->dbias : NULL,
                                     .dx_sum = c->sums ? t->dx_sum : NULL,
                                     .accumulate = c->accumulate});
    } else {
        lspo_rms_norm_forward(&(lspo_norm_t){.rows = rows, .width = width, .epsilon = 1e-3F, .gain = t->gain}, t->x,
                              t->out, t->rstd);
        lspo_rms_norm_backward(
            &(lspo_norm_t){.rows = rows, .width = width, .gain = t->gain},
            &(lspo_norm_operands_t){.dout = t->dout, .x = t->x, .residual = residual, .rstd = t->rstd},
            &(lspo_norm_gradients_t){.dx = t->dx, .dgain = c->sums ? t->dgain : NULL, .accumulate = c->accumulate});
    }
}

static void check_norm(const norm_case_t *c, size_t rows, size_t width)
{
    const size_t n = rows * width;
    const lspo_number_t number = c->number;
    const double dx_sum_steps = NOISE + sqrt((double)rows); /* the sum of numbers rounded each */
    norm_t t = make_norm(number, rows, width);
    norm_on_host(c, rows, width, &t);
    for (order_t order = {0}; next_order(&order);) {
        void *x = device_numbers(number, t.x, n), *gain = device_numbers(number, t.gain, width);
        void *bias = device_numbers(number, t.bias, width), *dout = device_numbers(number, t.dout, n);
        void *residual = c->residual ? device_numbers(number, t.residual, n) : NULL, *out = empty_numbers(number, n);
        float *mean = empty_floats(rows), *rstd = empty_floats(rows);
        void *dx = !c->in_place ? empty_numbers(number, n) : residual ? residual : dout;
        void *dgain = device_numbers(number, t.sums0, width), *dbias = device_numbers(number, t.sums0, width);
        void *dx_sum = device_numbers(number, t.sums0, width);
        if (c->centred) {
            DEVICE_OK(lspo_norm_forward_cuda(
                ON(number), &(lspo_norm_t){.rows = rows, .width = width, .epsilon = 1e-3F, .gain = gain, .bias = bias},
                x, out, mean, rstd));
            expect_close(&order, "mean", mean, t.mean, rows, (within_t){1e-6, 1e-6});
            DEVICE_OK(lspo_norm_backward_cuda(
                ON(number), &(lspo_norm_t){.rows = rows, .width = width, .gain = gain},
                &(lspo_norm_operands_t){.dout = dout, .x = x, .residual = residual, .mean = mean, .rstd = rstd},
                &(lspo_norm_gradients_t){.dx = dx,
                                         .dgain = c->sums ? dgain : NULL,
                                         .dbias = c->sums ? dbias : NULL,
                                         .dx_sum = c->sums ? dx_sum : NULL,
                                         .accumulate = c->accumulate}));
        } else {
            DEVICE_OK(lspo_rms_norm_forward_cuda(
                ON(number), &(lspo_norm_t){.rows = rows, .width = width, .epsilon = 1e-3F, .gain = gain}, x, out,
                rstd));
            DEVICE_OK(lspo_rms_norm_backward_cuda(
                ON(number), &(lspo_norm_t){.rows = rows, .width = width, .gain = gain},
                &(lspo_norm_operands_t){.dout = dout, .x = x, .residual = residual, .rstd = rstd},
                &(lspo_norm_gradients_t){.dx = dx, .dgain = c->sums ? dgain : NULL, .accumulate = c->accumulate}));
        }
        expect_close(&order, "rstd", rstd, t.rstd, rows, (within_t){0, 1e-5});
        expect_numbers(&order, "out", out, t.out, n, (near_t){number, NOISE, 2e-5, 1e-5});
        expect_numbers(&order, "dx", dx, t.dx, n, (near_t){number, NOISE, 2e-5, 1e-5});
        expect_numbers(&order, "dgain", dgain, t.dgain, width, (near_t){number, NOISE, 1e-4, 1e-5});
        expect_numbers(&order, "dbias", dbias, t.dbias, width, (near_t){number, NOISE, 1e-5, 1e-5});
        expect_numbers(&order, "dx_sum", dx_sum, t.dx_sum, width, (near_t){number, dx_sum_steps, 1e-4, 1e-5});
    }
    release_norm(&t);
}

static void check_norms(bool centred)
{
    for (size_t k = 0; k < COUNT(all_numbers); k++) {
        const lspo_number_t number = all_numbers[k];
        for (size_t i = 0; i < COUNT(heights); i++)
            for (size_t j = centred ? 1 : 0; j < COUNT(widths); j++) /* one number has no variance */
                check_norm(&(norm_case_t){number, centred, (i + j) % 2, j % 2, j % 3, false}, heights[i], widths[j]);
        check_norm(&(norm_case_t){number, centred, true, true, true, true}, 5, 100);
        check_norm(&(norm_case_t){number, centred, false, true, true, false}, 600, 34);
        check_norm(&(norm_case_t){number, centred, false, false, true, true}, 5, 104);
    }
}

Test(cuda_layers, layer_norm)
{
    check_norms(true);
}

Test(cuda_layers, rms_norm)
{
    check_norms(false);
}

Test(cuda_layers, layer_norm_with_the_usual_epsilon)
{
    enum { N = 40 };
    float *x = random_floats(1, 1e-3, N), *gain = random_floats(2, 1, N), *bias = random_floats(3, 1, N);
    float out[N], mean[1], rstd[1];
    lspo_norm_forward(&(lspo_norm_t){.rows = 1, .width = N, .epsilon = 1e-5F, .gain = gain, .bias = bias}, x, out, mean,
                      rstd);
    for (order_t order = {0}; next_order(&order);) {
        float *out_ = empty_floats(N);
        DEVICE_OK(lspo_norm_forward_cuda(ON(LSPO_NUMBER_FP32),
                                         &(lspo_norm_t){.rows = 1,
                                                        .width = N,
                                                        .epsilon = 1e-5F,
                                                        .gain = device_floats(gain, N),
                                                        .bias = device_floats(bias, N)},
                                         device_floats(x, N), out_, empty_floats(1), empty_floats(1)));
        expect_close(&order, "out", out_, out, N, (within_t){1e-5, 1e-5});
    }
    free(x), free(gain), free(bias);
}

/* ---- activations ---- */

static void check_gelu(lspo_gelu_form_t form, lspo_number_t number, size_t rows, size_t cols, bool accumulate,
                       bool with_bias)
{
    const size_t n = rows * cols;
    const double sum_steps = NOISE + sqrt((double)rows); /* the sum of numbers rounded each */
    float *x = random_numbers_of(number, 1, 3, n), *out = floats(n);
    float *d0 = random_numbers_of(number, 2, 1, n), *d = copy_floats(d0, n);
    float *sums0 = random_numbers_of(number, 3, 1, cols), *sums = copy_floats(sums0, cols);
    lspo_gelu_gradients_t gradients = {.d = d, .bias = with_bias ? sums : NULL, .accumulate = accumulate};
    lspo_gelu_forward(form, n, x, out);
    lspo_gelu_backward(form, rows, cols, x, &gradients);
    for (order_t order = {0}; next_order(&order);) {
        void *x_ = device_numbers(number, x, n), *sums_ = device_numbers(number, sums0, cols);
        gradients.d = device_numbers(number, d0, n);
        gradients.bias = with_bias ? sums_ : NULL;
        DEVICE_OK(lspo_gelu_backward_cuda(ON(number), form, rows, cols, x_, &gradients));
        expect_numbers(&order, "d", gradients.d, d, n, (near_t){number, NOISE, 2e-6, 1e-5});
        expect_numbers(&order, "bias gradient", sums_, sums, cols, (near_t){number, sum_steps, 2e-5, 1e-5});
        DEVICE_OK(lspo_gelu_forward_cuda(ON(number), form, n, x_, x_)); /* out may be x */
        expect_numbers(&order, "gelu", x_, out, n, (near_t){number, NOISE, 1e-6, 1e-5});
    }
    free(x), free(out), free(d0), free(d), free(sums0), free(sums);
}

Test(cuda_layers, gelus)
{
    const lspo_gelu_form_t forms[] = {LSPO_GELU_TANH, LSPO_GELU_EXACT};
    for (size_t g = 0; g < COUNT(forms); g++)
        for (size_t k = 0; k < COUNT(all_numbers); k++)
            for (size_t i = 0; i < COUNT(heights); i++)
                for (size_t j = 0; j < COUNT(widths); j++)
                    check_gelu(forms[g], all_numbers[k], heights[i], widths[j], j % 2, (i + j) % 3);
}

static void check_swiglu(lspo_number_t number, size_t n)
{
    float *gate = random_numbers_of(number, 1, 3, n), *up = random_numbers_of(number, 2, 1, n);
    float *d0 = random_numbers_of(number, 3, 1, n), *out = floats(n), *d = copy_floats(d0, n), *d_gate = floats(n);
    lspo_swiglu_forward(n, gate, up, out);
    lspo_swiglu_backward(n, gate, up, d, d_gate);
    for (order_t order = {0}; next_order(&order);) {
        void *gate_ = device_numbers(number, gate, n), *up_ = device_numbers(number, up, n);
        void *d_ = device_numbers(number, d0, n), *d_gate_ = empty_numbers(number, n);
        DEVICE_OK(lspo_swiglu_backward_cuda(ON(number), n, gate_, up_, d_, d_gate_));
        expect_numbers(&order, "d up", d_, d, n, (near_t){number, NOISE, 1e-6, 1e-5});
        expect_numbers(&order, "d gate", d_gate_, d_gate, n, (near_t){number, NOISE, 2e-6, 1e-5});
        DEVICE_OK(lspo_swiglu_forward_cuda(ON(number), n, gate_, up_, up_)); /* out may be up */
        expect_numbers(&order, "swiglu", up_, out, n, (near_t){number, NOISE, 1e-6, 1e-5});
    }
    free(gate), free(up), free(d0), free(out), free(d), free(d_gate);
}

static void check_tanh(lspo_number_t number, size_t n)
{
    float *x = random_numbers_of(number, 1, 1, n), *out = copy_floats(x, n);
    float *d0 = random_numbers_of(number, 2, 1, n), *d = copy_floats(d0, n);
    lspo_tanh_forward(n, out);
    round_floats(number, n, out);
    lspo_tanh_backward(n, out, d);
    for (order_t order = {0}; next_order(&order);) {
        void *x_ = device_numbers(number, x, n), *d_ = device_numbers(number, d0, n);
        DEVICE_OK(lspo_tanh_forward_cuda(ON(number), n, x_));
        expect_numbers(&order, "tanh", x_, out, n, (near_t){number, NOISE, 1e-7, 1e-6});
        DEVICE_OK(lspo_tanh_backward_cuda(ON(number), n, device_numbers(number, out, n), d_));
        expect_numbers(&order, "d", d_, d, n, (near_t){number, NOISE, 1e-6, 1e-5});
    }
    free(x), free(out), free(d0), free(d);
}

Test(cuda_layers, swiglu_and_tanh)
{
    for (size_t k = 0; k < COUNT(all_numbers); k++) {
        for (size_t j = 0; j < COUNT(widths); j++) {
            check_swiglu(all_numbers[k], widths[j]);
            check_tanh(all_numbers[k], widths[j]);
        }
        DEVICE_OK(lspo_swiglu_forward_cuda(ON(all_numbers[k]), 0, NULL, NULL, NULL));
    }
}

/* ---- rotary ---- */

static void check_rotary(size_t batch, size_t sequence, size_t heads, size_t head_width, lspo_number_t number)
{
    const size_t n = batch * sequence * heads * head_width, table_n = sequence * head_width;
    float *x0 = random_numbers_of(number, 1, 1, n), *x = copy_floats(x0, n), *dx = copy_floats(x0, n);
    float *table = floats(table_n);
    double frequencies[128];
    cr_assert_leq(head_width / 2, COUNT(frequencies));
    lspo_rotary_frequencies(head_width, 10000, frequencies);
    lspo_rotary_table(sequence, head_width, frequencies, table);
    lspo_rotary_forward(
        &(lspo_rotary_t){
            .batch = batch, .sequence = sequence, .heads = heads, .head_width = head_width, .table = table},
        x);
    lspo_rotary_backward(
        &(lspo_rotary_t){
            .batch = batch, .sequence = sequence, .heads = heads, .head_width = head_width, .table = table},
        dx);
    for (order_t order = {0}; next_order(&order);) {
        void *x_ = device_numbers(number, x0, n), *dx_ = device_numbers(number, x0, n);
        float *table_ = device_floats(table, table_n);
        DEVICE_OK(lspo_rotary_forward_cuda(
            ON(number),
            &(lspo_rotary_t){
                .batch = batch, .sequence = sequence, .heads = heads, .head_width = head_width, .table = table_},
            x_));
        expect_numbers(&order, "x", x_, x, n, (near_t){number, NOISE, 1e-6, 1e-6});
        DEVICE_OK(lspo_rotary_backward_cuda(
            ON(number),
            &(lspo_rotary_t){
                .batch = batch, .sequence = sequence, .heads = heads, .head_width = head_width, .table = table_},
            dx_));
        expect_numbers(&order, "dx", dx_, dx, n, (near_t){number, NOISE, 1e-6, 1e-6});
    }
    free(x0), free(x), free(dx), free(table);
}

/* Halves of heads that are whole groups of 16 bytes (8, 16 numbers) and others. */
Test(cuda_layers, rotary)
{
    for (size_t k = 0; k < COUNT(all_numbers); k++) {
        check_rotary(1, 1, 1, 2, all_numbers[k]);
        check_rotary(2, 5, 3, 6, all_numbers[k]);
        check_rotary(3, 33, 2, 10, all_numbers[k]);
        check_rotary(2, 33, 3, 16, all_numbers[k]);
        check_rotary(1, 20, 2, 32, all_numbers[k]);
        check_rotary(0, 5, 3, 6, all_numbers[k]);
    }
}

/* ---- loss ---- */

static double device_double(order_t *order, const double *device)
{
    double got;
    device_read(device, sizeof got, &got);
    add_to_hash(order, &got, sizeof got);
    return got;
}

/* rows x cols numbers, each row followed by NaN up to `stride`. */
static float *spread(const float *x, size_t rows, size_t cols, size_t stride)
{
    float *out = floats(rows * stride);
    for (size_t i = 0; i < rows * stride; i++)
        out[i] = i % stride < cols ? x[i / stride * cols + i % stride] : NAN;
    return out;
}

/* What the device keeps for the backward pass: 1 is subtracted from the probabilities of the targets. */
static float *minus_targets(const float *p, const uint32_t *targets, size_t rows, size_t stride)
{
    float *kept = copy_floats(p, rows * stride);
    for (size_t i = 0; i < rows; i++)
        if (targets[i] != LSPO_TARGET_IGNORED)
            kept[i * stride + targets[i]] -= 1;
    return kept;
}

/* The loss is that of the logits, in every format: probabilities are rounded after it.  What lies behind a row is
 * neither read nor written. */
static void check_loss(lspo_number_t number, size_t rows, size_t vocabulary, size_t stride, double scale)
{
    const size_t n = rows * stride;
    uint32_t *targets = random_numbers(1, (uint32_t)vocabulary, rows);
    float *dense = random_numbers_of(number, 2, scale, rows * vocabulary);
    float *logits = spread(dense, rows, vocabulary, stride), *p = copy_floats(logits, n), *d = copy_floats(logits, n);
    if (rows > 3)
        targets[1] = targets[3] = LSPO_TARGET_IGNORED;
    const double want = lspo_cross_entropy_forward(
        &(lspo_cross_entropy_t){.rows = rows, .vocabulary = vocabulary, .stride = stride, .targets = targets}, p);
    float *kept = minus_targets(p, targets, rows, stride);
    lspo_cross_entropy_backward(
        &(lspo_cross_entropy_t){.rows = rows, .vocabulary = vocabulary, .stride = stride, .targets = targets}, p, 0.25F,
        d);
    for (order_t order = {0}; next_order(&order);) {
        uint32_t *targets_ = device_copy(targets, rows * sizeof *targets);
        void *p_ = device_numbers(number, logits, n), *d_ = device_numbers(number, kept, n);
        double *losses = device_array(rows * sizeof *losses), *sum = device_array(sizeof *sum);
        DEVICE_OK(lspo_cross_entropy_forward_cuda(
            ON(number),
            &(lspo_cross_entropy_t){.rows = rows, .vocabulary = vocabulary, .stride = stride, .targets = targets_}, p_,
            losses, sum));
        expect_numbers(&order, "p, minus 1 at the target", p_, kept, n, (near_t){number, NOISE, 1e-7, 1e-5});
        const double got = device_double(&order, sum);
        cr_assert(fabs(got - want) <= 1e-5 * (double)rows * scale, "loss %.9g, the host's %.9g", got, want);
        DEVICE_OK(lspo_cross_entropy_backward_cuda(
            ON(number),
            &(lspo_cross_entropy_t){.rows = rows, .vocabulary = vocabulary, .stride = stride, .targets = targets_}, d_,
            0.25F, d_));
        expect_numbers(&order, "d", d_, d, n, (near_t){number, NOISE, 1e-7, 1e-5});
    }
    free(targets), free(dense), free(logits), free(p), free(kept), free(d);
}

/* Rows without gaps, rows at multiples of 16 bytes, and with a gap that leaves them misaligned. */
Test(cuda_layers, cross_entropy)
{
    for (size_t k = 0; k < COUNT(all_numbers); k++)
        for (size_t i = 0; i < COUNT(heights); i++)
            for (size_t j = 0; j < COUNT(widths); j++) {
                const size_t strides[] = {widths[j], (widths[j] + 7) / 8 * 8, widths[j] + 3};
                for (size_t s = 0; s < COUNT(strides); s++)
                    check_loss(all_numbers[k], heights[i], widths[j], strides[s], j % 2 ? 1 : 30);
            }
}

/* Logits that fp16 holds as infinity: a probability of 0, or with all others at 0.  exp(10 - 10) +
 * exp(9 - 10) = 1.3679; the target's probability is 0.268941421, from which 1 is subtracted. */
Test(cuda_layers, cross_entropy_of_masked_logits)
{
    const float logits[] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY, -INFINITY,
                            -INFINITY, -INFINITY, -INFINITY, 10,        9};
    const float want[] = {0, 0, 0, 0, 0, 0, 0, 0, 0.731058579F, -0.731058579F};
    const uint32_t target = 9;
    for (size_t k = 0; k < COUNT(all_numbers); k++) {
        for (order_t order = {0}; next_order(&order);) {
            void *p = device_numbers(all_numbers[k], logits, COUNT(logits));
            double *losses = device_array(sizeof *losses), *sum = device_array(sizeof *sum);
            DEVICE_OK(
                lspo_cross_entropy_forward_cuda(ON(all_numbers[k]),
                                                &(lspo_cross_entropy_t){.rows = 1,
                                                                        .vocabulary = COUNT(logits),
                                                                        .stride = COUNT(logits),
                                                                        .targets = device_copy(&target, sizeof target)},
                                                p, losses, sum));
            expect_numbers(&order, "p", p, want, COUNT(want), (near_t){all_numbers[k], NOISE, 1e-7, 1e-6});
            cr_assert_float_eq(device_double(&order, sum), 1.31326169, 1e-6);
        }
    }
}

/* p of the target is 1 / (1 + 9 e^-9) = 0.99889052, which bf16 rounds to 1: its gradient, p - 1 = -0.00110948, would be
 * lost if 1 were subtracted from the rounded p. */
Test(cuda_layers, cross_entropy_of_a_sure_target)
{
    enum { N = 10, TARGET = 3 };
    const uint32_t target = TARGET;
    float logits[N] = {0}, want[N];
    logits[TARGET] = 9;
    for (size_t i = 0; i < N; i++)
        want[i] = i == TARGET ? -0.00110947837F : 0.000123275374F;
    for (size_t k = 0; k < COUNT(all_numbers); k++)
        for (order_t order = {0}; next_order(&order);) {
            const lspo_cross_entropy_t loss = {
                .rows = 1, .vocabulary = N, .stride = N, .targets = device_copy(&target, sizeof target)};
            void *p = device_numbers(all_numbers[k], logits, N);
            double *losses = device_array(sizeof *losses), *sum = device_array(sizeof *sum);
            DEVICE_OK(lspo_cross_entropy_forward_cuda(ON(all_numbers[k]), &loss, p, losses, sum));
            DEVICE_OK(lspo_cross_entropy_backward_cuda(ON(all_numbers[k]), &loss, p, 1, p));
            expect_numbers(&order, "d", p, want, N, (near_t){all_numbers[k], 0, 1e-7, 1e-5});
        }
}
