/* Attention on CUDA without stored probabilities, in every format and by tensor cores where possible, against the plain
 * formula in double. */
#include "kernels/cuda.h"
#include "tests/cuda_numbers.h"

typedef struct {
    size_t batch, sequence, heads, kv_heads, head_width;
    bool causal;
    const uint32_t *lengths; /* of the batch, or NULL */
    size_t padding;          /* floats between the rows of Q, K, V */
    double scale;            /* of Q and K: large ones saturate the softmax */
} case_t;

/* Gradients and results of the definition in attention.h. */
typedef struct {
    float *out, *log_sums, *dq, *dk, *dv;
} result_t;

typedef struct {
    size_t q_stride, kv_stride, q_n, kv_n, out_n, sums_n;
} sizes_t;

static sizes_t sizes_of(const case_t *c)
{
    sizes_t s;
    s.q_stride = c->heads * c->head_width + c->padding;
    s.kv_stride = c->kv_heads * c->head_width + c->padding;
    s.q_n = c->batch * c->sequence * s.q_stride;
    s.kv_n = c->batch * c->sequence * s.kv_stride;
    s.out_n = c->batch * c->sequence * c->heads * c->head_width;
    s.sums_n = c->batch * c->heads * c->sequence;
    return s;
}

static double dot(const float *x, const float *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)y[i];
    return sum;
}

/* One row of one head: p <- its probabilities; returns ln of the sum. */
static double row_probabilities(const float *q, const float *k, size_t kv_stride, size_t keys, size_t e, double *p)
{
    double largest = -(double)INFINITY, sum = 0;
    for (size_t j = 0; j < keys; j++) {
        p[j] = dot(q, k + j * kv_stride, e) / sqrt((double)e);
        largest = p[j] > largest ? p[j] : largest;
    }
    for (size_t j = 0; j < keys; j++)
        sum += p[j] = exp(p[j] - largest);
    for (size_t j = 0; j < keys; j++)
        p[j] /= sum;
    return largest + log(sum);
}

/* A row of a head: its query, its keys, which are kv_stride apart, and what the loss asks of its output. */
typedef struct {
    const float *q, *k, *v, *dout;
    size_t kv_stride, keys;
} row_t;

/* Outputs and gradients: doubles, as laid out as the floats. */
typedef struct {
    double *out, *dq, *dk, *dv;
} sums_t;

/* Adds one row's part, with its probabilities p. */
static void add_row(size_t e, const row_t *r, const double *p, const sums_t *to)
{
    double row_dot = 0;
    for (size_t j = 0; j < r->keys; j++)
        row_dot += p[j] * dot(r->dout, r->v + j * r->kv_stride, e);
    for (size_t j = 0; j < r->keys; j++) {
        const double ds = p[j] * (dot(r->dout, r->v + j * r->kv_stride, e) - row_dot) / sqrt((double)e);
        for (size_t x = 0; x < e; x++) {
            to->out[x] += p[j] * (double)r->v[j * r->kv_stride + x];
            to->dv[j * r->kv_stride + x] += p[j] * (double)r->dout[x];
            to->dq[x] += ds * (double)r->k[j * r->kv_stride + x];
            to->dk[j * r->kv_stride + x] += ds * (double)r->q[x];
        }
    }
}

static double *zeros(size_t n)
{
    double *x = calloc(n, sizeof *x);
    cr_assert_not_null(x);
    return x;
}

/* To float; what is between rows stays NaN, as on the device. */
static float *rounded(double *x, size_t n, size_t width, size_t stride)
{
    float *y = floats(n);
    for (size_t i = 0; i < n; i++)
        y[i] = i % stride < width ? (float)x[i] : NAN;
    free(x);
    return y;
}

static result_t reference(const case_t *c, const float *q, const float *k, const float *v, const float *dout)
{
    const sizes_t s = sizes_of(c);
    const size_t e = c->head_width, width = c->heads * e;
    double *out = zeros(s.out_n), *sums = zeros(s.sums_n), *dq = zeros(s.q_n), *dk = zeros(s.kv_n), *dv = zeros(s.kv_n);
    double *p = zeros(c->sequence);
    for (size_t b = 0; b < c->batch; b++) {
        for (size_t h = 0; h < c->heads; h++) {
            const size_t kv = b * c->sequence * s.kv_stride + h / (c->heads / c->kv_heads) * e;
            for (size_t i = 0; i < c->sequence; i++) {
                const size_t row = b * c->sequence + i, q_at = row * s.q_stride + h * e, out_at = row * width + h * e;
                const size_t keys = c->causal ? i + 1 : c->lengths ? c->lengths[b] : c->sequence;
                const row_t r = {q + q_at, k + kv, v + kv, dout + out_at, s.kv_stride, keys};
                sums[(b * c->heads + h) * c->sequence + i] = row_probabilities(r.q, r.k, s.kv_stride, keys, e, p);
                add_row(e, &r, p, &(sums_t){out + out_at, dq + q_at, dk + kv, dv + kv});
            }
        }
    }
    free(p);
    return (result_t){rounded(out, s.out_n, 1, 1), rounded(sums, s.sums_n, 1, 1), rounded(dq, s.q_n, width, s.q_stride),
                      rounded(dk, s.kv_n, c->kv_heads * e, s.kv_stride),
                      rounded(dv, s.kv_n, c->kv_heads * e, s.kv_stride)};
}

/* In 16 bits P, dS and O are rounded before they are multiplied: some steps of the format at the largest number; dS
 * with what keys are multiplied by. */
static void check_number(lspo_number_t number, const case_t *c)
{
    const sizes_t s = sizes_of(c);
    float *q = random_numbers_of(number, 1, c->scale, s.q_n), *k = random_numbers_of(number, 2, c->scale, s.kv_n);
    float *v = random_numbers_of(number, 3, 1, s.kv_n), *dout = random_numbers_of(number, 4, 1, s.out_n);
    const result_t want = reference(c, q, k, v, dout);
    const double scale = c->scale > 1 ? c->scale : 1, tolerance = 2e-5 * scale * scale;
    for (order_t order = {0}; next_order(&order);) {
        const lspo_attention_t a = {.batch = c->batch,
                                    .sequence = c->sequence,
                                    .heads = c->heads,
                                    .kv_heads = c->kv_heads,
                                    .head_width = c->head_width,
                                    .q_stride = s.q_stride,
                                    .kv_stride = s.kv_stride,
                                    .causal = c->causal,
                                    .lengths =
                                        c->lengths ? device_copy(c->lengths, c->batch * sizeof *c->lengths) : NULL};
        void *q_ = device_numbers(number, q, s.q_n), *k_ = device_numbers(number, k, s.kv_n);
        void *v_ = device_numbers(number, v, s.kv_n), *dout_ = device_numbers(number, dout, s.out_n);
        void *out = empty_numbers(number, s.out_n), *dq = empty_numbers(number, s.q_n);
        void *dk = empty_numbers(number, s.kv_n), *dv = empty_numbers(number, s.kv_n);
        float *sums = empty_floats(s.sums_n), *dots = empty_floats(s.sums_n);
        DEVICE_OK(lspo_attention_forward_cuda(ON(number), &a, &(lspo_attention_operands_t){.q = q_, .k = k_, .v = v_},
                                              sums, out));
        expect_numbers(&order, "out", out, want.out, s.out_n, (near_t){number, 1, tolerance, 2e-5});
        expect_close(&order, "log_sums", sums, want.log_sums, s.sums_n, (within_t){tolerance, 2e-6});
        DEVICE_OK(lspo_attention_backward_cuda(
            ON(number), &a,
            &(lspo_attention_operands_t){.q = q_, .k = k_, .v = v_, .kept = sums, .out = out, .dout = dout_},
            &(lspo_attention_gradients_t){.dq = dq, .dk = dk, .dv = dv}, dots));
        expect_numbers(&order, "dq", dq, want.dq, s.q_n, (near_t){number, 2 * scale, tolerance, 2e-5});
        expect_numbers(&order, "dk", dk, want.dk, s.kv_n, (near_t){number, 2 * scale, tolerance, 2e-5});
        expect_numbers(&order, "dv", dv, want.dv, s.kv_n, (near_t){number, 1, tolerance, 2e-5});
    }
    free(q), free(k), free(v), free(dout);
    free(want.out), free(want.log_sums), free(want.dq), free(want.dk), free(want.dv);
}

static void check(const case_t *c)
{
    check_number(LSPO_NUMBER_FP32, c);
    check_number(all_halves[COUNT(all_halves) - 1], c);
}

/* Less than, exactly and more than a tile of 32; widths around a float4, 32, 64 and up to the most. */
Test(cuda_attention, causal)
{
    static const size_t sequences[] = {1, 15, 16, 17, 31, 32, 33, 65}, widths[] = {1, 3, 4, 31, 64, 65, 80, 128};
    for (size_t i = 0; i < COUNT(sequences); i++)
        check(&(case_t){2, sequences[i], 2, 2, widths[i], true, NULL, 0, 1});
    check(&(case_t){1, 33, 1, 1, 128, true, NULL, 0, 1});
    check(&(case_t){1, 130, 1, 1, 16, true, NULL, 0, 1});
}

Test(cuda_attention, both_directions)
{
    static const uint32_t lengths[] = {1, 31, 40}, longer[] = {64, 70, 33};
    check(&(case_t){1, 1, 1, 1, 1, false, NULL, 0, 1});
    check(&(case_t){2, 33, 2, 2, 20, false, NULL, 0, 1});
    check(&(case_t){3, 40, 2, 2, 12, false, lengths, 0, 1});
    check(&(case_t){3, 70, 1, 1, 96, false, longer, 0, 1});
}

Test(cuda_attention, grouped_queries_and_strides)
{
    check(&(case_t){2, 35, 6, 2, 10, true, NULL, 5, 1});
    check(&(case_t){1, 20, 4, 1, 68, false, NULL, 3, 1});
}

static void check_halves(const case_t *c)
{
    for (size_t i = 0; i < COUNT(all_halves); i++)
        check_number(all_halves[i], c);
}

/* What tensor cores take: widths that fill 64, 96 and 128 or not, in eights and, as a Llama of 3B has them, in fours;
 * rows around a warp's 16, a block's 64 and the tiles of 16 to 64 that pass by. */
Test(cuda_attention, tensor_cores)
{
    static const uint32_t lengths[] = {1, 64, 129};
    check_halves(&(case_t){1, 63, 1, 1, 64, true, NULL, 0, 1});
    check_halves(&(case_t){2, 64, 2, 1, 32, true, NULL, 8, 1});
    check_halves(&(case_t){1, 129, 2, 2, 80, true, NULL, 0, 1});
    check_halves(&(case_t){1, 96, 1, 1, 96, true, NULL, 16, 1});
    check_halves(&(case_t){1, 65, 4, 2, 100, true, NULL, 4, 1});
    check_halves(&(case_t){3, 129, 1, 1, 64, false, lengths, 0, 1});
    check_halves(&(case_t){1, 47, 2, 1, 128, false, NULL, 0, 1});
    check_halves(&(case_t){1, 200, 3, 1, 16, true, NULL, 0, 1});
}

/* Scores of hundreds: the softmax must be taken against the largest, which later tiles raise. */
Test(cuda_attention, large_scores)
{
    check(&(case_t){1, 70, 1, 1, 32, true, NULL, 0, 8});
    check_number(LSPO_NUMBER_FP16, &(case_t){1, 70, 1, 1, 33, true, NULL, 0, 8});
}

/* Tensor cores below compute capability 8.0 have no bf16. */
Test(cuda_attention, bf16_is_refused_below_8_0)
{
    ONLY_ON_HOST();
    const lspo_attention_t a = {.batch = 1,
                                .sequence = 4,
                                .heads = 1,
                                .kv_heads = 1,
                                .head_width = 16,
                                .q_stride = 16,
                                .kv_stride = 16,
                                .causal = true};
    float x[64] = {0};
    for (int half = 0; half < 2; half++) {
        const lspo_number_t number = half ? LSPO_NUMBER_FP16 : LSPO_NUMBER_BF16;
        cuda_on_host_device(1, 7, 5, 1U << 30);
        void *numbers = device_numbers(number, x, COUNT(x)), *out = empty_numbers(number, COUNT(x));
        const char *complaint = device_complaint(lspo_attention_forward_cuda(
            ON(number), &a, &(lspo_attention_operands_t){.q = numbers, .k = numbers, .v = numbers}, empty_floats(4),
            out));
        cr_assert(half ? complaint == NULL : complaint && strstr(complaint, "multiplies in bf16"), "%s", complaint);
    }
}

Test(cuda_attention, edges)
{
    const lspo_attention_t none = {.heads = 1, .kv_heads = 1, .head_width = 8};
    lspo_attention_t wide = none;
    wide.batch = wide.sequence = 1;
    wide.head_width = 129;
    DEVICE_OK(lspo_attention_forward_cuda(ON(LSPO_NUMBER_FP32), &none, &(lspo_attention_operands_t){}, NULL, NULL));
    DEVICE_OK(lspo_attention_backward_cuda(ON(LSPO_NUMBER_FP32), &none, &(lspo_attention_operands_t){},
                                           &(lspo_attention_gradients_t){}, NULL));
    cr_assert_not_null(device_complaint(
        lspo_attention_forward_cuda(ON(LSPO_NUMBER_FP32), &wide, &(lspo_attention_operands_t){}, NULL, NULL)));
}
