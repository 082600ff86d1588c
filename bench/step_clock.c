/* step_clock.c - the time of each kernel of a training step; see step_clock.h. */
#include "bench/step_clock.h"

#include <stdbool.h>
#include <string.h>

#include "bench/measure.h"
#include "real/device/compute.h"

static step_clock_t all;
static size_t last;
static unsigned depth;

void step_clock_clear(void)
{
    for (size_t i = 0; i < all.count; i++) {
        all.rows[i].calls = 0;
        all.rows[i].time_s = 0;
    }
}

const step_clock_t *step_clock(void)
{
    return &all;
}

size_t step_clock_last(void)
{
    return last;
}

static size_t find_row(const char *kernel, size_t m, size_t n, size_t k)
{
    for (size_t i = 0; i < all.count; i++) {
        const step_clock_row_t *row = &all.rows[i];
        if (strcmp(row->kernel, kernel) == 0 && row->m == m && row->n == n && row->k == k)
            return i;
    }
    if (all.count == STEP_CLOCK_ROWS_MAX) {
        fprintf(stderr, "step_clock: more than %d rows\n", STEP_CLOCK_ROWS_MAX);
        exit(1);
    }
    all.rows[all.count] = (step_clock_row_t){.kernel = kernel, .m = m, .n = n, .k = k};
    return all.count++;
}

static double begin(void)
{
    return depth++ == 0 ? measure_thread_s() : 0;
}

static void end(double start_s, const char *kernel, size_t m, size_t n, size_t k)
{
    if (--depth > 0)
        return;
    const double end_s = measure_thread_s();
    last = find_row(kernel, m, n, k);
    all.rows[last].calls++;
    all.rows[last].time_s += end_s - start_s;
}

/* WRAP(KERNEL, M, N, K, (PARAMETERS), (ARGUMENTS)) */
#define WRAP(kernel, m, n, k, parameters, arguments)                                                                   \
    void __real_##kernel parameters;                                                                                   \
    void __wrap_##kernel parameters;                                                                                   \
    void __wrap_##kernel parameters                                                                                    \
    {                                                                                                                  \
        const double start_s = begin();                                                                                \
        __real_##kernel arguments;                                                                                     \
        end(start_s, #kernel, m, n, k);                                                                                \
    }

#define WRAP_PRODUCT(kernel)                                                                                           \
    WRAP(kernel, m, n, k,                                                                                              \
         (size_t m, size_t n, size_t k, float alpha, const float *a, size_t a_stride, const float *b, size_t b_stride, \
          float beta, float *c, size_t c_stride),                                                                      \
         (m, n, k, alpha, a, a_stride, b, b_stride, beta, c, c_stride))

WRAP_PRODUCT(lspo_gemm_nn)
WRAP_PRODUCT(lspo_gemm_nt)
WRAP_PRODUCT(lspo_gemm_tn)

WRAP(lspo_attention_forward, 0, 0, 0,
     (const lspo_attention_t *a, const lspo_attention_operands_t *operands, float *kept, float *out, float *scratch),
     (a, operands, kept, out, scratch))
WRAP(lspo_attention_backward, 0, 0, 0,
     (const lspo_attention_t *a, const lspo_attention_operands_t *operands, const lspo_attention_gradients_t *gradients,
      float *scratch),
     (a, operands, gradients, scratch))
WRAP(lspo_norm_forward, 0, 0, 0,
     (const lspo_norm_t *norm, const float *x, float *out, float *mean_out, float *rstd_out),
     (norm, x, out, mean_out, rstd_out))
WRAP(lspo_norm_backward, 0, 0, 0,
     (const lspo_norm_t *norm, const lspo_norm_operands_t *operands, const lspo_norm_gradients_t *gradients),
     (norm, operands, gradients))
WRAP(lspo_gelu_forward, 0, 0, 0, (lspo_gelu_form_t form, size_t n, const float *x, float *out), (form, n, x, out))
WRAP(lspo_gelu_backward, 0, 0, 0,
     (lspo_gelu_form_t form, size_t rows, size_t cols, const float *x, const lspo_gelu_gradients_t *gradients),
     (form, rows, cols, x, gradients))
WRAP(lspo_cross_entropy_backward, 0, 0, 0,
     (const lspo_cross_entropy_t *loss, const float *probabilities, float scale, float *dlogits),
     (loss, probabilities, scale, dlogits))
WRAP(lspo_bias_fill, 0, 0, 0, (size_t rows, size_t cols, const float *bias, float *out), (rows, cols, bias, out))
WRAP(lspo_bias_add, 0, 0, 0, (size_t rows, size_t cols, const float *x, const float *bias, float *out),
     (rows, cols, x, bias, out))
WRAP(lspo_column_sum, 0, 0, 0, (size_t rows, size_t cols, const float *x, bool accumulate, float *out),
     (rows, cols, x, accumulate, out))
WRAP(lspo_embedding_forward, 0, 0, 0,
     (const lspo_embedding_t *embedding, const float *token, const float *position, float *x_out),
     (embedding, token, position, x_out))
WRAP(lspo_embedding_backward, 0, 0, 0,
     (const lspo_embedding_t *embedding, const float *dx, float *token_gradient, float *position_gradient),
     (embedding, dx, token_gradient, position_gradient))
WRAP(lspo_compute_zero, 0, 0, 0, (lspo_compute_t * c, size_t bytes, void *out), (c, bytes, out))
WRAP(lspo_compute_copy, 0, 0, 0, (lspo_compute_t * c, size_t bytes, const void *in, void *out), (c, bytes, in, out))

double __real_lspo_cross_entropy_forward(const lspo_cross_entropy_t *loss, float *logits);
double __wrap_lspo_cross_entropy_forward(const lspo_cross_entropy_t *loss, float *logits);
double __wrap_lspo_cross_entropy_forward(const lspo_cross_entropy_t *loss, float *logits)
{
    const double start_s = begin();
    const double sum = __real_lspo_cross_entropy_forward(loss, logits);
    end(start_s, "lspo_cross_entropy_forward", 0, 0, 0);
    return sum;
}
