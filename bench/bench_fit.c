/* bench_fit - is the cost of a fit of projectors negligible?
 *
 * On one thread, alternating:
 *   fit       100 Adam steps on a gradient of 1024 x 4096, d = 512, r = 8
 *   products  20 full-gradient products X^T dY of that shape at 2,048 tokens
 * Required: fit takes less time than products.  Both are timed in fifths, 20 steps and 4 products, so that other
 * programs disturb both equally.  The gradient has singular values 1/k, so that there is something to learn. */
#include <math.h>

#include "bench/measure.h"
#include "kernels/fit.h"
#include "kernels/gemm.h"
#include "kernels/projector.h"
#include "kernels/random.h"

enum {
    M = 1024,
    N = 4096,
    D = 512,
    R = 8,
    TOKENS = 2048,
    STEPS = 100,
    PRODUCTS = 20,
    PARTS = 5,
    RANK = 256,
    REPEATS = 9
};

/* Sum over k of u_k v_k^T / k with normal u_k and v_k. */
static void make_gradient(float *g)
{
    float *u = measure_floats((size_t)RANK * M), *v = measure_floats((size_t)RANK * N);
    for (size_t k = 0; k < RANK; k++) {
        lspo_random_normal_fill(1, k, 1.0 / (double)(k + 1), M, u + k * M);
        lspo_random_normal_fill(2, k, 1.0, N, v + k * N);
    }
    lspo_gemm_tn(M, N, RANK, 1.0F, u, M, v, N, 0.0F, g, N);
    free(v);
    free(u);
}

static double time_products(const float *x, const float *dy, float *g)
{
    const double start_s = measure_now_s();
    for (int i = 0; i < PRODUCTS / PARTS; i++)
        lspo_gemm_tn(M, N, TOKENS, 1.0F, x, M, dy, N, 0.0F, g, N);
    return measure_now_s() - start_s;
}

static double time_fit(const float *g, uint32_t steps, float *scratch, lspo_fit_result_t *result)
{
    lspo_fit_options_t options = lspo_fit_default();
    options.alpha = 0;
    options.plateau = 0;
    options.steps = steps;
    lspo_projector_t p, q;
    if (!lspo_projector_random(M, D, R, 1, &p) || !lspo_projector_random(N, D, R, 2, &q))
        exit(1);
    const double start_s = measure_now_s();
    *result = lspo_fit(&options, &(lspo_fit_gradients_t){1, &g}, &p, &q, scratch);
    const double taken_s = measure_now_s() - start_s;
    lspo_projector_release(&p);
    lspo_projector_release(&q);
    return taken_s;
}

int main(void)
{
    float *g = measure_floats((size_t)M * N), *product = measure_floats((size_t)M * N);
    float *x = measure_floats((size_t)TOKENS * M), *dy = measure_floats((size_t)TOKENS * N);
    float *scratch = measure_floats(lspo_fit_scratch_of(M, N, D, D, R, R));
    double fit_s[REPEATS], products_s[REPEATS], ratio[REPEATS];
    lspo_fit_result_t result;
    make_gradient(g);
    for (int i = 0; i < REPEATS; i++) {
        fit_s[i] = time_fit(g, STEPS / PARTS, scratch, &result);
        products_s[i] = time_products(x, dy, product);
        ratio[i] = fit_s[i] / products_s[i];
    }
    const double median = measure_median(ratio, REPEATS);
    time_fit(g, STEPS, scratch, &result);
    printf("fit %dx%d d=%d r=%d: bias %.3f raw, %.3f at best scale, %.3f after %u steps (%s), SVD floor %.3f\n", M, N,
           D, R, result.bias_before, result.bias_random, result.bias_after, result.steps,
           lspo_fit_reason_name(result.reason), lspo_fit_svd_floor(M, N, D, g));
    printf("%d steps %.3f s, %d products X^T dY %.3f s: ratio %.2f %s\n", STEPS, PARTS * measure_median(fit_s, REPEATS),
           PRODUCTS, PARTS * measure_median(products_s, REPEATS), median, median < 1 ? "ok" : "MISSED");
    free(scratch);
    free(dy);
    free(x);
    free(product);
    free(g);
    return median < 1 ? 0 : 1;
}
