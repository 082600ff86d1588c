/* bench_adam - how close does Adam come to memory bandwidth, and how far is it ahead of a plain loop in cache?
 *
 *   1. states above the last-level cache: against a loop with the same memory accesses and almost no arithmetic;
 *      wanted: at least 0.90 of its speed.  The loop comes plain and, the harder rival, writing `out` past the caches.
 *   2. a state of 1 MB, in L2: against a plain AVX2 loop with the textbook's divisions; wanted: at least 1.5 times.  And
 *      against the streaming loop there, which is the limit of the cache: at least 0.60 of it.
 * One thread; usage: bench_adam [elements of case 1]. */
#include <math.h>
#include <stdint.h>

#include "bench/measure.h"
#include "kernels/adam.h"
#include "kernels/cpu.h"

static const double least_of_cache = 0.60;

typedef struct {
    size_t n;
    float *gradient, *m, *v, *out;
} state_t;

static state_t state_create(size_t n)
{
    return (state_t){n, measure_floats(n), measure_floats(n), measure_floats(n), measure_floats(n)};
}

static void state_destroy(state_t *s)
{
    free(s->gradient);
    free(s->m);
    free(s->v);
    free(s->out);
}

static void run_adam(state_t *s)
{
    const lspo_adam_t adam = lspo_adam_default(1e-3f, 100);
    lspo_adam_direction(&adam, s->n, s->gradient, s->m, s->v, s->out);
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx512f"))) static void stream_avx512(state_t *s)
{
    const float *gradient = s->gradient;
    float *m = s->m, *v = s->v, *out = s->out;
    for (size_t i = 0; i + 16 <= s->n; i += 16) {
        __m512 g = _mm512_loadu_ps(gradient + i);
        __m512 mi = _mm512_add_ps(_mm512_loadu_ps(m + i), g), vi = _mm512_add_ps(_mm512_loadu_ps(v + i), g);
        _mm512_storeu_ps(m + i, mi);
        _mm512_storeu_ps(v + i, vi);
        _mm512_storeu_ps(out + i, g);
    }
}

__attribute__((target("avx2"))) static void stream_avx2(state_t *s)
{
    const float *gradient = s->gradient;
    float *m = s->m, *v = s->v, *out = s->out;
    for (size_t i = 0; i + 8 <= s->n; i += 8) {
        __m256 g = _mm256_loadu_ps(gradient + i);
        __m256 mi = _mm256_add_ps(_mm256_loadu_ps(m + i), g), vi = _mm256_add_ps(_mm256_loadu_ps(v + i), g);
        _mm256_storeu_ps(m + i, mi);
        _mm256_storeu_ps(v + i, vi);
        _mm256_storeu_ps(out + i, g);
    }
}

/* The same with `out` written past the caches, which saves reading it before: the fastest form for large arrays. */
__attribute__((target("avx512f"))) static void stream_past_avx512(state_t *s)
{
    const float *gradient = s->gradient;
    float *m = s->m, *v = s->v, *out = s->out;
    for (size_t i = 0; i + 16 <= s->n; i += 16) {
        __m512 g = _mm512_loadu_ps(gradient + i);
        __m512 mi = _mm512_add_ps(_mm512_loadu_ps(m + i), g), vi = _mm512_add_ps(_mm512_loadu_ps(v + i), g);
        _mm512_storeu_ps(m + i, mi);
        _mm512_storeu_ps(v + i, vi);
        _mm512_stream_ps(out + i, g);
    }
    _mm_sfence();
}

static void run_stream(state_t *s)
{
    if (lspo_cpu_level() == LSPO_CPU_AVX512)
        stream_avx512(s);
    else
        stream_avx2(s);
}

static void run_stream_past(state_t *s)
{
    if (lspo_cpu_level() == LSPO_CPU_AVX512)
        stream_past_avx512(s);
    else
        stream_avx2(s);
}

/* The textbook: two bias corrections and the quotient divided element by element. */
__attribute__((target("avx2,fma"))) static void naive(size_t n, const float *gradient, float *m, float *v, float *out,
                                                      float correction1, float correction2)
{
    for (size_t i = 0; i + 8 <= n; i += 8) {
        __m256 g = _mm256_loadu_ps(gradient + i);
        __m256 mi =
            _mm256_fmadd_ps(_mm256_set1_ps(0.9f), _mm256_loadu_ps(m + i), _mm256_mul_ps(_mm256_set1_ps(0.1f), g));
        __m256 vi = _mm256_fmadd_ps(_mm256_set1_ps(0.999f), _mm256_loadu_ps(v + i),
                                    _mm256_mul_ps(_mm256_set1_ps(0.001f), _mm256_mul_ps(g, g)));
        __m256 root = _mm256_sqrt_ps(_mm256_div_ps(vi, _mm256_set1_ps(correction2)));
        _mm256_storeu_ps(m + i, mi);
        _mm256_storeu_ps(v + i, vi);
        _mm256_storeu_ps(out + i, _mm256_div_ps(_mm256_div_ps(mi, _mm256_set1_ps(correction1)),
                                                _mm256_add_ps(root, _mm256_set1_ps(1e-8f))));
    }
}
#else
static void run_stream(state_t *s)
{
    for (size_t i = 0; i < s->n; i++) {
        s->m[i] += s->gradient[i];
        s->v[i] += s->gradient[i];
        s->out[i] = s->gradient[i];
    }
}

static void run_stream_past(state_t *s)
{
    run_stream(s);
}

static void naive(size_t n, const float *gradient, float *m, float *v, float *out, float correction1, float correction2)
{
    for (size_t i = 0; i < n; i++) {
        m[i] = 0.9f * m[i] + 0.1f * gradient[i];
        v[i] = 0.999f * v[i] + 0.001f * gradient[i] * gradient[i];
        out[i] = (m[i] / correction1) / (sqrtf(v[i] / correction2) + 1e-8f);
    }
}
#endif

static void run_naive(state_t *s)
{
    naive(s->n, s->gradient, s->m, s->v, s->out, 1.0f - powf(0.9f, 100.0f), 1.0f - powf(0.999f, 100.0f));
}

/* Median over repetitions of time of `other` / time of Adam; prints both rates. */
static double compare(const char *label, state_t *s, void (*other)(state_t *), size_t inner, size_t repeats)
{
    double ratios[MEASURE_REPEATS_MAX], adam_s[MEASURE_REPEATS_MAX], other_s[MEASURE_REPEATS_MAX];
    run_adam(s);
    other(s);
    for (size_t repeat = 0; repeat < repeats; repeat++) {
        double start_s = measure_now_s();
        for (size_t i = 0; i < inner; i++)
            run_adam(s);
        double middle_s = measure_now_s();
        for (size_t i = 0; i < inner; i++)
            other(s);
        double end_s = measure_now_s();
        adam_s[repeat] = middle_s - start_s;
        other_s[repeat] = end_s - middle_s;
        ratios[repeat] = other_s[repeat] / adam_s[repeat];
    }
    const double work = (double)s->n * (double)inner;
    const double ratio = measure_median(ratios, repeats);
    const double adam_median_s = measure_median(adam_s, repeats), other_median_s = measure_median(other_s, repeats);
    printf("%-34s adam %7.1f M/s %6.2f GB/s   other %7.1f M/s %6.2f GB/s   ratio %.3f (%.3f..%.3f of %zu)\n", label,
           work / adam_median_s * 1e-6, 24.0 * work / adam_median_s * 1e-9, work / other_median_s * 1e-6,
           24.0 * work / other_median_s * 1e-9, ratio, ratios[0], ratios[repeats - 1], repeats);
    return ratio;
}

int main(int argc, char **argv)
{
    const size_t large_n = argc > 1 ? strtoull(argv[1], NULL, 10) : (size_t)1 << 27;
    if (large_n < 16) {
        fprintf(stderr, "usage: bench_adam [elements, at least 16]\n");
        return 2;
    }
    state_t state = state_create((size_t)1 << 16);
    for (int level = LSPO_CPU_PORTABLE; level < LSPO_CPU_LEVEL_COUNT; level++) {
        lspo_cpu_limit((lspo_cpu_level_t)level);
        char label[64];
        const char *name = lspo_cpu_level_name(lspo_cpu_level());
        snprintf(label, sizeof label, "1 MB, %s / plain AVX2 loop", name);
        const double naive_ratio = compare(label, &state, run_naive, 100, 31);
        snprintf(label, sizeof label, "1 MB, %s / streaming in cache", name);
        const double cache_ratio = compare(label, &state, run_stream, 100, 31);
        if (lspo_cpu_level() == LSPO_CPU_PORTABLE)
            continue; /* what is promised is promised for vector units */
        measure_gate("times the speed of a plain loop in cache", naive_ratio, 1.5, 1e9);
        measure_gate("of the cache's limit", cache_ratio, least_of_cache, 1e9);
    }
    state_destroy(&state);

    state = state_create(large_n);
    char label[64];
    snprintf(label, sizeof label, "%.1f GB / streaming loop", 16.0 * (double)large_n * 1e-9);
    measure_gate("of a loop with the same accesses", compare(label, &state, run_stream, 1, 9), 0.90, 1e9);
    snprintf(label, sizeof label, "%.1f GB / streaming past caches", 16.0 * (double)large_n * 1e-9);
    measure_gate("of one that writes past the caches", compare(label, &state, run_stream_past, 1, 9), 0.80, 1e9);
    state_destroy(&state);
    return measure_missed > 0;
}
