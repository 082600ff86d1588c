/* The CUDA kernels of a transformer's layers, but attention, against the host's. */
#include "kernels/activation.h"
#include "kernels/cuda.h"
#include "kernels/embedding.h"
#include "kernels/loss.h"
#include "kernels/norm.h"
#include "kernels/rotary.h"
#include "tests/cuda_check.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const size_t widths[] = {1, 31, 33, 255, 256, 257, 600};
static const size_t heights[] = {0, 1, 9, 31};

/* ---- embedding ---- */

static void check_embedding(size_t batch, size_t sequence, size_t width, uint32_t vocabulary, bool positions)
{
    const size_t rows = batch * sequence, n = rows * width, t_n = vocabulary * width, p_n = sequence * width;
    uint32_t *ids = random_numbers(1, vocabulary, rows);
    float *token = random_floats(2, 1, t_n), *position = random_floats(3, 1, p_n), *x = floats(n);
    float *dx = random_floats(4, 1, n), *dt = copy_floats(token, t_n), *dp = copy_floats(position, p_n);
    lspo_embedding_forward(batch, sequence, width, ids, token, positions ? position : NULL, x);
    lspo_embedding_backward(batch, sequence, width, ids, dx, dt, positions ? dp : NULL);
    for (order_t order = {0}; next_order(&order);) {
        uint32_t *ids_ = device_copy(ids, rows * sizeof *ids);
        float *token_ = device_floats(token, t_n), *position_ = device_floats(position, p_n), *x_ = empty_floats(n);
        DEVICE_OK(lspo_embedding_forward_cuda(LSPO_NUMBER_FP32, batch, sequence, width, ids_, token_,
                                              positions ? position_ : NULL, x_, NULL));
        expect_bits(&order, "x", x_, x, n * sizeof *x);
        DEVICE_OK(lspo_embedding_backward_cuda(LSPO_NUMBER_FP32, batch, sequence, width, ids_, device_floats(dx, n),
                                               token_, positions ? position_ : NULL, NULL));
        expect_bits(&order, "token gradient", token_, dt, t_n * sizeof *dt);
        expect_bits(&order, "position gradient", position_, dp, p_n * sizeof *dp);
    }
    free(ids), free(token), free(position), free(x), free(dx), free(dt), free(dp);
}

/* One id everywhere, few, many; rows less and more than a block, which looks for its id 256 rows at a time. */
Test(cuda_layers, embedding)
{
    check_embedding(1, 1, 1, 1, true);
    check_embedding(3, 100, 5, 1, true);
    check_embedding(2, 33, 31, 7, false);
    check_embedding(5, 130, 9, 40, true);
    check_embedding(1, 300, 260, 3000, false);
    check_embedding(0, 3, 4, 5, true);
}

/* ---- norms ---- */

typedef struct {
    bool centred, residual, accumulate, sums, in_place;
} norm_case_t;

typedef struct {
    float *x, *gain, *bias, *dout, *residual, *sums0; /* inputs */
    float *out, *mean, *rstd, *dx, *dgain, *dbias, *dx_sum;
} norm_t;

static norm_t make_norm(size_t rows, size_t width)
{
    const size_t n = rows * width;
    norm_t t = {random_floats(1, 1, n),
                random_floats(2, 1, width),
                random_floats(3, 1, width),
                random_floats(4, 1, n),
                random_floats(5, 1, n),
                random_floats(6, 1, width),
                floats(n),
                floats(rows),
                floats(rows),
                floats(n),
                NULL,
                NULL,
                NULL};
    for (size_t i = 0; i < n; i++)
        t.x[i] += 3; /* a mean to take away */
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
        lspo_norm_forward_epsilon(rows, width, 1e-3F, t->x, t->gain, t->bias, t->out, t->mean, t->rstd);
        lspo_norm_backward(rows, width, t->dout, t->x, t->mean, t->rstd, t->gain, residual, c->accumulate, t->dx,
                           c->sums ? t->dgain : NULL, c->sums ? t->dbias : NULL, c->sums ? t->dx_sum : NULL);
    } else {
        lspo_rms_norm_forward(rows, width, 1e-3F, t->x, t->gain, t->out, t->rstd);
        lspo_rms_norm_backward(rows, width, t->dout, t->x, t->rstd, t->gain, residual, c->accumulate, t->dx,
                               c->sums ? t->dgain : NULL);
    }
}

static void check_norm(const norm_case_t *c, size_t rows, size_t width)
{
    const size_t n = rows * width;
    norm_t t = make_norm(rows, width);
    norm_on_host(c, rows, width, &t);
    for (order_t order = {0}; next_order(&order);) {
        float *x = device_floats(t.x, n), *gain = device_floats(t.gain, width), *bias = device_floats(t.bias, width);
        float *dout = device_floats(t.dout, n), *residual = c->residual ? device_floats(t.residual, n) : NULL;
        float *out = empty_floats(n), *mean = empty_floats(rows), *rstd = empty_floats(rows);
        float *dx = !c->in_place ? empty_floats(n) : residual ? residual : dout;
        float *dgain = device_floats(t.sums0, width), *dbias = device_floats(t.sums0, width);
        float *dx_sum = device_floats(t.sums0, width);
        if (c->centred) {
            DEVICE_OK(lspo_norm_forward_epsilon_cuda(LSPO_NUMBER_FP32, rows, width, 1e-3F, x, gain, bias, out, mean,
                                                     rstd, NULL));
            expect_close(&order, "mean", mean, t.mean, rows, 1e-6, 1e-6);
            DEVICE_OK(lspo_norm_backward_cuda(LSPO_NUMBER_FP32, rows, width, dout, x, mean, rstd, gain, residual,
                                              c->accumulate, dx, c->sums ? dgain : NULL, c->sums ? dbias : NULL,
                                              c->sums ? dx_sum : NULL, NULL));
        } else {
            DEVICE_OK(lspo_rms_norm_forward_cuda(LSPO_NUMBER_FP32, rows, width, 1e-3F, x, gain, out, rstd, NULL));
            DEVICE_OK(lspo_rms_norm_backward_cuda(LSPO_NUMBER_FP32, rows, width, dout, x, rstd, gain, residual,
                                                  c->accumulate, dx, c->sums ? dgain : NULL, NULL));
        }
        expect_close(&order, "out", out, t.out, n, 2e-5, 1e-5);
        expect_close(&order, "rstd", rstd, t.rstd, rows, 0, 1e-5);
        expect_close(&order, "dx", dx, t.dx, n, 2e-5, 1e-5);
        expect_close(&order, "dgain", dgain, t.dgain, width, 1e-4, 1e-5);
        expect_close(&order, "dbias", dbias, t.dbias, width, 1e-5, 1e-5);
        expect_close(&order, "dx_sum", dx_sum, t.dx_sum, width, 1e-4, 1e-5);
    }
    release_norm(&t);
}

static void check_norms(bool centred)
{
    for (size_t i = 0; i < COUNT(heights); i++)
        for (size_t j = centred ? 1 : 0; j < COUNT(widths); j++) /* one number has no variance */
            check_norm(&(norm_case_t){centred, (i + j) % 2, j % 2, j % 3, false}, heights[i], widths[j]);
    check_norm(&(norm_case_t){centred, true, true, true, true}, 5, 100);
    check_norm(&(norm_case_t){centred, false, false, true, true}, 5, 100);
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
    lspo_norm_forward(1, N, x, gain, bias, out, mean, rstd);
    for (order_t order = {0}; next_order(&order);) {
        float *out_ = empty_floats(N);
        DEVICE_OK(lspo_norm_forward_cuda(LSPO_NUMBER_FP32, 1, N, device_floats(x, N), device_floats(gain, N),
                                         device_floats(bias, N), out_, empty_floats(1), empty_floats(1), NULL));
        expect_close(&order, "out", out_, out, N, 1e-5, 1e-5);
    }
    free(x), free(gain), free(bias);
}

/* ---- activations ---- */

typedef struct {
    const char *name;
    void (*forward)(size_t n, const float *x, float *out);
    void (*backward)(size_t rows, size_t cols, const float *x, bool accumulate, float *d, float *bias_gradient);
    int (*forward_cuda)(lspo_number_t number, size_t n, const void *x, void *out, void *stream);
    int (*backward_cuda)(lspo_number_t number, size_t rows, size_t cols, const void *x, bool accumulate, void *d,
                         void *bias_gradient, void *stream);
} gelu_t;

static const gelu_t gelus[] = {
    {"gelu", lspo_gelu_forward, lspo_gelu_backward, lspo_gelu_forward_cuda, lspo_gelu_backward_cuda},
    {"gelu_exact", lspo_gelu_exact_forward, lspo_gelu_exact_backward, lspo_gelu_exact_forward_cuda,
     lspo_gelu_exact_backward_cuda}};

static void check_gelu(const gelu_t *g, size_t rows, size_t cols, bool accumulate, bool with_bias)
{
    const size_t n = rows * cols;
    float *x = random_floats(1, 3, n), *out = floats(n), *d0 = random_floats(2, 1, n), *d = copy_floats(d0, n);
    float *sums0 = random_floats(3, 1, cols), *sums = copy_floats(sums0, cols);
    g->forward(n, x, out);
    g->backward(rows, cols, x, accumulate, d, with_bias ? sums : NULL);
    for (order_t order = {0}; next_order(&order);) {
        float *x_ = device_floats(x, n), *d_ = device_floats(d0, n), *sums_ = device_floats(sums0, cols);
        DEVICE_OK(g->backward_cuda(LSPO_NUMBER_FP32, rows, cols, x_, accumulate, d_, with_bias ? sums_ : NULL, NULL));
        expect_close(&order, "d", d_, d, n, 2e-6, 1e-5);
        expect_close(&order, "bias gradient", sums_, sums, cols, 2e-5, 1e-5);
        DEVICE_OK(g->forward_cuda(LSPO_NUMBER_FP32, n, x_, x_, NULL)); /* out may be x */
        expect_close(&order, g->name, x_, out, n, 1e-6, 1e-5);
    }
    free(x), free(out), free(d0), free(d), free(sums0), free(sums);
}

Test(cuda_layers, gelus)
{
    for (size_t g = 0; g < COUNT(gelus); g++)
        for (size_t i = 0; i < COUNT(heights); i++)
            for (size_t j = 0; j < COUNT(widths); j++)
                check_gelu(&gelus[g], heights[i], widths[j], j % 2, (i + j) % 3);
}

static void check_swiglu(size_t n)
{
    float *gate = random_floats(1, 3, n), *up = random_floats(2, 1, n), *d0 = random_floats(3, 1, n);
    float *out = floats(n), *d = copy_floats(d0, n), *d_gate = floats(n);
    lspo_swiglu_forward(n, gate, up, out);
    lspo_swiglu_backward(n, gate, up, d, d_gate);
    for (order_t order = {0}; next_order(&order);) {
        float *gate_ = device_floats(gate, n), *up_ = device_floats(up, n), *d_ = device_floats(d0, n);
        float *d_gate_ = empty_floats(n);
        DEVICE_OK(lspo_swiglu_backward_cuda(LSPO_NUMBER_FP32, n, gate_, up_, d_, d_gate_, NULL));
        expect_close(&order, "d up", d_, d, n, 1e-6, 1e-5);
        expect_close(&order, "d gate", d_gate_, d_gate, n, 2e-6, 1e-5);
        DEVICE_OK(lspo_swiglu_forward_cuda(LSPO_NUMBER_FP32, n, gate_, up_, up_, NULL)); /* out may be up */
        expect_close(&order, "swiglu", up_, out, n, 1e-6, 1e-5);
    }
    free(gate), free(up), free(d0), free(out), free(d), free(d_gate);
}

static void check_tanh(size_t n)
{
    float *x = random_floats(1, 1, n), *out = copy_floats(x, n), *d0 = random_floats(2, 1, n), *d = copy_floats(d0, n);
    lspo_tanh_forward(n, out);
    lspo_tanh_backward(n, out, d);
    for (order_t order = {0}; next_order(&order);) {
        float *x_ = device_floats(x, n), *d_ = device_floats(d0, n);
        DEVICE_OK(lspo_tanh_forward_cuda(LSPO_NUMBER_FP32, n, x_, NULL));
        expect_close(&order, "tanh", x_, out, n, 1e-7, 1e-6);
        DEVICE_OK(lspo_tanh_backward_cuda(LSPO_NUMBER_FP32, n, x_, d_, NULL));
        expect_close(&order, "d", d_, d, n, 1e-6, 1e-5);
    }
    free(x), free(out), free(d0), free(d);
}

Test(cuda_layers, swiglu_and_tanh)
{
    for (size_t j = 0; j < COUNT(widths); j++) {
        check_swiglu(widths[j]);
        check_tanh(widths[j]);
    }
    DEVICE_OK(lspo_swiglu_forward_cuda(LSPO_NUMBER_FP32, 0, NULL, NULL, NULL, NULL));
}

/* ---- rotary ---- */

static void check_rotary(size_t batch, size_t sequence, size_t heads, size_t head_width)
{
    const size_t n = batch * sequence * heads * head_width, table_n = sequence * head_width;
    float *x0 = random_floats(1, 1, n), *x = copy_floats(x0, n), *dx = copy_floats(x0, n), *table = floats(table_n);
    lspo_rotary_table(sequence, head_width, 10000, table);
    lspo_rotary_forward(batch, sequence, heads, head_width, table, x);
    lspo_rotary_backward(batch, sequence, heads, head_width, table, dx);
    for (order_t order = {0}; next_order(&order);) {
        float *x_ = device_floats(x0, n), *dx_ = device_floats(x0, n), *table_ = device_floats(table, table_n);
        DEVICE_OK(lspo_rotary_forward_cuda(LSPO_NUMBER_FP32, batch, sequence, heads, head_width, table_, x_, NULL));
        expect_close(&order, "x", x_, x, n, 1e-6, 1e-6);
        DEVICE_OK(lspo_rotary_backward_cuda(LSPO_NUMBER_FP32, batch, sequence, heads, head_width, table_, dx_, NULL));
        expect_close(&order, "dx", dx_, dx, n, 1e-6, 1e-6);
    }
    free(x0), free(x), free(dx), free(table);
}

Test(cuda_layers, rotary)
{
    check_rotary(1, 1, 1, 2);
    check_rotary(2, 5, 3, 6);
    check_rotary(3, 33, 2, 10);
    check_rotary(0, 5, 3, 6);
}

/* ---- loss ---- */

static void check_loss(size_t rows, size_t vocabulary, double scale)
{
    const size_t n = rows * vocabulary;
    uint32_t *targets = random_numbers(1, (uint32_t)vocabulary, rows);
    float *logits = random_floats(2, scale, n), *p = copy_floats(logits, n), *d = floats(n);
    if (rows > 3)
        targets[1] = targets[3] = LSPO_TARGET_IGNORED;
    const double want = lspo_cross_entropy_forward(rows, vocabulary, targets, p);
    lspo_cross_entropy_backward(rows, vocabulary, targets, p, 0.25F, d);
    for (order_t order = {0}; next_order(&order);) {
        uint32_t *targets_ = device_copy(targets, rows * sizeof *targets);
        float *p_ = device_floats(logits, n);
        double *losses = device_array(rows * sizeof *losses), *sum = device_array(sizeof *sum), got;
        DEVICE_OK(lspo_cross_entropy_forward_cuda(LSPO_NUMBER_FP32, rows, vocabulary, targets_, p_, losses, sum, NULL));
        expect_close(&order, "p", p_, p, n, 1e-9, 1e-5);
        device_read(sum, sizeof got, &got);
        add_to_hash(&order, &got, sizeof got);
        cr_assert(fabs(got - want) <= 1e-5 * (double)rows * scale, "loss %.9g, the host's %.9g", got, want);
        DEVICE_OK(lspo_cross_entropy_backward_cuda(LSPO_NUMBER_FP32, rows, vocabulary, targets_, p_, 0.25F, p_, NULL));
        expect_close(&order, "d", p_, d, n, 1e-7, 1e-5);
    }
    free(targets), free(logits), free(p), free(d);
}

Test(cuda_layers, cross_entropy)
{
    for (size_t i = 0; i < COUNT(heights); i++)
        for (size_t j = 0; j < COUNT(widths); j++)
            check_loss(heights[i], widths[j], j % 2 ? 1 : 30);
}
