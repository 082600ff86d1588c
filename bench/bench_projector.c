/* bench_projector - is training in the subspace cheaper than the full gradient, on one thread?
 *
 * Alternating, for W: m x n and 512 tokens:
 *   subspace   COMPRESS (X P)^T (dY Q), Adam on d_m d_n elements, APPLY W -= eta P D Q^T
 *   full       G = X^T dY, Adam on m n parameters
 * Required with vector units: at most 0.7 of the time of full, and at most 0.25 if d is a quarter of the shorter side.
 * The times of the parts are printed too, for every vector level of the machine. */
#include <stdint.h>

#include "bench/measure.h"
#include "kernels/adam.h"
#include "kernels/cpu.h"
#include "kernels/gemm.h"
#include "kernels/projector.h"

enum { TOKENS = 512, REPEATS = 21 };

typedef struct {
    size_t m, n;
    lspo_projector_t p, q;
    float *x, *dy, *w;
    float *gradient, *gradient_m, *gradient_v; /* m x n     */
    float *g_hat, *hat_m, *hat_v;              /* d_m x d_n */
    float *scratch;
} layer_t;

static layer_t layer_create(uint32_t m, uint32_t n, uint32_t d, uint32_t r)
{
    layer_t l = {.m = m, .n = n};
    uint32_t d_m = d < m ? d : m, d_n = d < n ? d : n;
    if (!lspo_projector_random(m, d_m, r, 1, &l.p) || !lspo_projector_random(n, d_n, r, 2, &l.q)) {
        fprintf(stderr, "bench: cannot make the projectors\n");
        exit(1);
    }
    l.x = measure_floats(TOKENS * l.m);
    l.dy = measure_floats(TOKENS * l.n);
    l.w = measure_floats(l.m * l.n);
    l.gradient = measure_floats(l.m * l.n);
    l.gradient_m = measure_floats(l.m * l.n);
    l.gradient_v = measure_floats(l.m * l.n);
    l.g_hat = measure_floats((size_t)d_m * d_n);
    l.hat_m = measure_floats((size_t)d_m * d_n);
    l.hat_v = measure_floats((size_t)d_m * d_n);
    size_t compress = lspo_projector_compress_scratch(&l.p, &l.q, TOKENS);
    size_t apply = lspo_projector_apply_scratch(&l.p, &l.q);
    l.scratch = measure_floats(compress > apply ? compress : apply);
    return l;
}

static void layer_destroy(layer_t *l)
{
    free(l->x);
    free(l->dy);
    free(l->w);
    free(l->gradient);
    free(l->gradient_m);
    free(l->gradient_v);
    free(l->g_hat);
    free(l->hat_m);
    free(l->hat_v);
    free(l->scratch);
    lspo_projector_release(&l->p);
    lspo_projector_release(&l->q);
}

enum { COMPRESS, ADAM_HAT, APPLY, GEMM, ADAM_FULL, GATHER_X, GATHER_DY, PART_COUNT };

static void run_part(layer_t *l, int part)
{
    const lspo_adam_t adam = lspo_adam_default(1e-5f, 10);
    const lspo_projector_pair_t pair = {&l->p, &l->q};
    const lspo_gradient_factors_t factors = {
        .tokens = TOKENS, .x = l->x, .x_stride = l->m, .dy = l->dy, .dy_stride = l->n};
    const lspo_vector_step_t step = {.keep = 1.0f, .rate = 1e-5f};
    switch (part) {
    case COMPRESS:
        lspo_projector_compress(&pair, &factors, 0.0f, l->g_hat, l->scratch);
        break;
    case ADAM_HAT:
        lspo_adam_direction(&adam, &(lspo_adam_state_t){.count = (size_t)l->p.d * l->q.d, .m = l->hat_m, .v = l->hat_v},
                            l->g_hat, l->g_hat);
        break;
    case APPLY:
        lspo_projector_apply(&pair, l->g_hat, &step, l->w, l->scratch);
        break;
    case GEMM:
        lspo_gemm_tn(l->m, l->n, TOKENS, 1.0f, l->x, l->m, l->dy, l->n, 0.0f, l->gradient, l->n);
        break;
    case ADAM_FULL:
        lspo_adam_parameters(&adam, &(lspo_adam_state_t){.count = l->m * l->n, .m = l->gradient_m, .v = l->gradient_v},
                             l->gradient, l->w);
        break;
    case GATHER_X: /* parts of COMPRESS, not counted again */
        lspo_projector_gather(&l->p, TOKENS, l->x, l->m, l->scratch);
        break;
    default:
        lspo_projector_gather(&l->q, TOKENS, l->dy, l->n, l->scratch);
    }
}

static void bench_layer(uint32_t m, uint32_t n, uint32_t d, uint32_t r)
{
    layer_t layer = layer_create(m, n, d, r);
    static double times_s[PART_COUNT][REPEATS], ratios[REPEATS];
    for (int part = 0; part < PART_COUNT; part++)
        run_part(&layer, part);
    for (int repeat = 0; repeat < REPEATS; repeat++) {
        for (int part = 0; part < PART_COUNT; part++) {
            double start_s = measure_now_s();
            run_part(&layer, part);
            times_s[part][repeat] = measure_now_s() - start_s;
        }
        ratios[repeat] = (times_s[COMPRESS][repeat] + times_s[ADAM_HAT][repeat] + times_s[APPLY][repeat]) /
                         (times_s[GEMM][repeat] + times_s[ADAM_FULL][repeat]);
    }
    double ms[PART_COUNT];
    for (int part = 0; part < PART_COUNT; part++)
        ms[part] = 1e3 * measure_median(times_s[part], REPEATS);
    const double ratio = measure_median(ratios, REPEATS);
    printf(
        "%-8s %4ux%-4u d_m %4u d_n %4u r %u | subspace %6.2f ms: compress %5.2f (gathers %.2f + %.2f) adam %.2f apply "
        "%.2f | full %6.2f ms: gemm %5.2f adam %.2f | ratio %.2f (%.2f..%.2f)\n",
        lspo_cpu_level_name(lspo_cpu_level()), m, n, layer.p.d, layer.q.d, r, ms[COMPRESS] + ms[ADAM_HAT] + ms[APPLY],
        ms[COMPRESS], ms[GATHER_X], ms[GATHER_DY], ms[ADAM_HAT], ms[APPLY], ms[GEMM] + ms[ADAM_FULL], ms[GEMM],
        ms[ADAM_FULL], ratio, ratios[0], ratios[REPEATS - 1]);
    if (lspo_cpu_level() != LSPO_CPU_PORTABLE)
        measure_gate("subspace over full", ratio, 0, d >= m || d >= n ? 0.7 : 0.25);
    layer_destroy(&layer);
}

int main(void)
{
    const lspo_cpu_level_t best = lspo_cpu_level();
    for (int level = (int)best; level >= LSPO_CPU_PORTABLE; level--) {
        lspo_cpu_limit((lspo_cpu_level_t)level);
        bench_layer(512, 2048, 512, 4);
        bench_layer(512, 2048, 512, 8);
        bench_layer(512, 2048, 128, 4);
        bench_layer(2048, 512, 512, 8);
    }
    return measure_missed > 0;
}
