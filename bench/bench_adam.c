/* bench_adam - how close is Adam to memory bandwidth, and how much faster is it than a plain loop in the cache?
 *
 *   1. states above the last-level cache: against a loop with the same memory accesses and
 *      almost no arithmetic; required: at least 0.90 of its speed.  There are two such loops: a plain one and, which is
 *      harder to match, one with non-temporal stores of `out`.
 *   2. a state of 1 MB, in the cache.  Two limits apply there: the streaming loop, which is the limit of the cache, and
 *      arithmetic alone, on numbers in registers.  The arithmetic is the faster of two ways to compute square root and
 *      quotient: Adam's (approximations and a Newton step, with all other computations of Adam) and the divider's
 *      (only VSQRTPS and VDIVPS).  Required: at least 0.60 of the lower limit, because loads, stores and arithmetic
 *      also compete for slots; and 1.5 times the speed of a plain AVX2 loop with the textbook's divisions, or 0.60 of
 *      the limit if that is less.
 *   3. m and v in bf16 and in codes of 8 bits: their speed, and the factor by which they take longer than fp32; in the
 *      cache it is that of their arithmetic (sim/cost.c).
 * One thread; usage: bench_adam [elements of case 1]. */
#include <float.h>
#include <math.h>
#include <stdint.h>

#include "bench/measure.h"
#include "kernels/adam.h"
#include "kernels/adam_state.h"
#include "kernels/cpu.h"

static const double least_of_limit = 0.60, least_of_naive = 1.5;

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
    lspo_adam_direction(&adam, &(lspo_adam_state_t){.count = s->n, .m = s->m, .v = s->v}, s->gradient, s->out);
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

/* ---- arithmetic alone: as many elements as the state has, in registers.  Each of some vectors has a chain of its own,
 * so that none waits for another; KEEP() makes the compiler compute each anew. ---- */

enum { CHAINS = 4 };
#define KEEP(x) __asm__ volatile("" : "+x"(x))

__attribute__((target("avx2,fma"))) static void divider_avx2(state_t *s)
{
    __m256 v[CHAINS];
    for (size_t k = 0; k < CHAINS; k++)
        v[k] = _mm256_set1_ps(1.5f + (float)k);
    for (size_t i = 0; i < s->n; i += 8 * CHAINS)
        for (size_t k = 0; k < CHAINS; k++) {
            KEEP(v[k]);
            __m256 out = _mm256_div_ps(_mm256_set1_ps(1.0f), _mm256_sqrt_ps(v[k]));
            KEEP(out);
        }
}

__attribute__((target("avx512f"))) static void divider_avx512(state_t *s)
{
    __m512 v[CHAINS];
    for (size_t k = 0; k < CHAINS; k++)
        v[k] = _mm512_set1_ps(1.5f + (float)k);
    for (size_t i = 0; i < s->n; i += 16 * CHAINS)
        for (size_t k = 0; k < CHAINS; k++) {
            KEEP(v[k]);
            __m512 out = _mm512_div_ps(_mm512_set1_ps(1.0f), _mm512_sqrt_ps(v[k]));
            KEEP(out);
        }
}

/* The operations of kernels/adam.c, one for one, and a root and a quotient of some 23 bits. */
__attribute__((target("avx2,fma"))) static void arithmetic_avx2(state_t *s)
{
    const __m256 one = _mm256_set1_ps(1.0f), decay1 = _mm256_set1_ps(0.9f), decay2 = _mm256_set1_ps(0.999f);
    const __m256 add1 = _mm256_set1_ps(0.1f), add2 = _mm256_set1_ps(0.001f), epsilon = _mm256_set1_ps(1e-8f);
    __m256 m[CHAINS], v[CHAINS], given = _mm256_set1_ps(1e-3f);
    for (size_t k = 0; k < CHAINS; k++)
        m[k] = v[k] = _mm256_set1_ps(1.5f + (float)k);
    for (size_t i = 0; i < s->n; i += 8 * CHAINS)
        for (size_t k = 0; k < CHAINS; k++) {
            KEEP(given);
            const __m256 g = _mm256_mul_ps(given, one);
            m[k] = _mm256_fmadd_ps(decay1, m[k], _mm256_mul_ps(add1, g));
            v[k] = _mm256_fmadd_ps(decay2, v[k], _mm256_mul_ps(_mm256_mul_ps(add2, g), g));
            const __m256 held = _mm256_min_ps(_mm256_set1_ps(FLT_MAX), _mm256_max_ps(_mm256_set1_ps(FLT_MIN), v[k]));
            const __m256 y = _mm256_rsqrt_ps(held);
            __m256 root = _mm256_mul_ps(held, y);
            root = _mm256_fmadd_ps(_mm256_mul_ps(root, _mm256_set1_ps(0.5f)), _mm256_fnmadd_ps(root, y, one), root);
            const __m256 divisor = _mm256_add_ps(root, epsilon);
            __m256 z = _mm256_rcp_ps(divisor);
            z = _mm256_fmadd_ps(z, _mm256_fnmadd_ps(divisor, z, one), z);
            __m256 out = _mm256_mul_ps(_mm256_mul_ps(m[k], one), z);
            KEEP(out);
        }
}

__attribute__((target("avx512f"))) static void arithmetic_avx512(state_t *s)
{
    const __m512 one = _mm512_set1_ps(1.0f), decay1 = _mm512_set1_ps(0.9f), decay2 = _mm512_set1_ps(0.999f);
    const __m512 add1 = _mm512_set1_ps(0.1f), add2 = _mm512_set1_ps(0.001f), epsilon = _mm512_set1_ps(1e-8f);
    __m512 m[CHAINS], v[CHAINS], given = _mm512_set1_ps(1e-3f);
    for (size_t k = 0; k < CHAINS; k++)
        m[k] = v[k] = _mm512_set1_ps(1.5f + (float)k);
    for (size_t i = 0; i < s->n; i += 16 * CHAINS)
        for (size_t k = 0; k < CHAINS; k++) {
            KEEP(given);
            const __m512 g = _mm512_mul_ps(given, one);
            m[k] = _mm512_fmadd_ps(decay1, m[k], _mm512_mul_ps(add1, g));
            v[k] = _mm512_fmadd_ps(decay2, v[k], _mm512_mul_ps(_mm512_mul_ps(add2, g), g));
            const __m512 held = _mm512_min_ps(_mm512_set1_ps(FLT_MAX), _mm512_max_ps(_mm512_set1_ps(FLT_MIN), v[k]));
            const __m512 y = _mm512_rsqrt14_ps(held);
            __m512 root = _mm512_mul_ps(held, y);
            root = _mm512_fmadd_ps(_mm512_mul_ps(root, _mm512_set1_ps(0.5f)), _mm512_fnmadd_ps(root, y, one), root);
            const __m512 divisor = _mm512_add_ps(root, epsilon);
            __m512 z = _mm512_rcp14_ps(divisor);
            z = _mm512_fmadd_ps(z, _mm512_fnmadd_ps(divisor, z, one), z);
            __m512 out = _mm512_mul_ps(_mm512_mul_ps(m[k], one), z);
            KEEP(out);
        }
}

static void run_divider(state_t *s)
{
    if (lspo_cpu_level() == LSPO_CPU_AVX512)
        divider_avx512(s);
    else
        divider_avx2(s);
}

static void run_arithmetic(state_t *s)
{
    if (lspo_cpu_level() == LSPO_CPU_AVX512)
        arithmetic_avx512(s);
    else
        arithmetic_avx2(s);
}

/* The textbook: two bias corrections and the quotient divided element by element. */
__attribute__((target("avx2,fma"))) static void naive(state_t *s, float correction1, float correction2)
{
    const size_t n = s->n;
    const float *gradient = s->gradient;
    float *m = s->m, *v = s->v, *out = s->out;
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

/* No limit is known here, and nothing is promised. */
static void run_divider(state_t *s)
{
    run_stream(s);
}

static void run_arithmetic(state_t *s)
{
    run_stream(s);
}

static void naive(state_t *s, float correction1, float correction2)
{
    const size_t n = s->n;
    const float *gradient = s->gradient;
    float *m = s->m, *v = s->v, *out = s->out;
    for (size_t i = 0; i < n; i++) {
        m[i] = 0.9f * m[i] + 0.1f * gradient[i];
        v[i] = 0.999f * v[i] + 0.001f * gradient[i] * gradient[i];
        out[i] = (m[i] / correction1) / (sqrtf(v[i] / correction2) + 1e-8f);
    }
}
#endif

static void run_naive(state_t *s)
{
    naive(s, 1.0f - powf(0.9f, 100.0f), 1.0f - powf(0.999f, 100.0f));
}

/* Median over repetitions of time of `other` / time of Adam; prints both rates. */
static double compare(const char *label, state_t *s, void (*other)(state_t *), size_t inner, size_t repeats)
{
    double ratios[MEASURE_REPEATS_MAX], adam_s[MEASURE_REPEATS_MAX], other_s[MEASURE_REPEATS_MAX];
    run_adam(s);
    other(s);
    for (size_t repeat = 0; repeat < repeats; repeat++) {
        double start_s = measure_thread_s();
        for (size_t i = 0; i < inner; i++)
            run_adam(s);
        double middle_s = measure_thread_s();
        for (size_t i = 0; i < inner; i++)
            other(s);
        double end_s = measure_thread_s();
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

/* In a cache, at one level of vector units. */
static void measure_in_cache(state_t *state)
{
    enum { INNER = 100, REPEATS = 31 };
    char label[64];
    const char *const name = lspo_cpu_level_name(lspo_cpu_level());
    snprintf(label, sizeof label, "1 MB, %s / plain AVX2 loop", name);
    const double over_naive = compare(label, state, run_naive, INNER, REPEATS);
    snprintf(label, sizeof label, "1 MB, %s / streaming in cache", name);
    const double of_cache = compare(label, state, run_stream, INNER, REPEATS);
    if (lspo_cpu_level() == LSPO_CPU_PORTABLE)
        return; /* what is promised is promised for vector units */
    snprintf(label, sizeof label, "1 MB, %s / its arithmetic", name);
    const double of_arithmetic = compare(label, state, run_arithmetic, INNER, REPEATS);
    snprintf(label, sizeof label, "1 MB, %s / root and quotient", name);
    const double of_divider = compare(label, state, run_divider, INNER, REPEATS);
    /* Ratios are shares of a limit: the largest share is of the lowest limit. */
    const double of_limit = fmax(of_cache, fmin(of_arithmetic, of_divider));
    printf("the limit is %s; it is %.2f times the plain loop\n",
           of_limit == of_cache        ? "the cache"
           : of_limit == of_arithmetic ? "arithmetic"
                                       : "the divider",
           over_naive / of_limit);
    measure_gate("of the lower of the cache's and arithmetic's limit", of_limit, least_of_limit, 1e9);
    measure_gate("times the speed of a plain loop in cache", over_naive,
                 fmin(least_of_naive, least_of_limit * over_naive / of_limit), 1e9);
}

/* ---- formats ---- */

typedef struct {
    lspo_adam_state_t state;
    float *gradient, *w;
    void *memory;
} narrow_t;

static narrow_t narrow_create(lspo_adam_format_t format, size_t n)
{
    narrow_t it = {.gradient = measure_floats(n), .w = measure_floats(n)};
    const size_t places = lspo_adam_places(format, n), bytes = lspo_adam_state_bytes(format, places);
    it.memory = calloc(1, bytes);
    if (!it.memory)
        exit(1);
    it.state = lspo_adam_state_at(format, it.memory, places, 0, n);
    return it;
}

static void narrow_destroy(narrow_t *it)
{
    free(it->memory);
    free(it->w);
    free(it->gradient);
}

/* Seconds per parameter of both forms together, as lspo calibrate takes them; the median. */
static double narrow_s(narrow_t *it, size_t inner, size_t repeats)
{
    double times_s[MEASURE_REPEATS_MAX];
    const lspo_adam_t adam = lspo_adam_default(1e-3f, 100);
    for (size_t repeat = 0; repeat < repeats; repeat++) {
        const double start_s = measure_thread_s();
        for (size_t i = 0; i < inner; i++) {
            lspo_adam_parameters(&adam, &it->state, it->gradient, it->w);
            lspo_adam_direction(&adam, &it->state, it->gradient, it->w);
        }
        times_s[repeat] = (measure_thread_s() - start_s) / (2 * (double)inner * (double)it->state.count);
    }
    return measure_median(times_s, repeats);
}

static void measure_formats(size_t n, size_t inner, size_t repeats)
{
    static const char *const names[] = {"fp32", "bf16", "8bit"};
    double fp32_s = 0;
    for (int format = LSPO_ADAM_FP32; format <= LSPO_ADAM_8BIT; format++) {
        narrow_t it = narrow_create((lspo_adam_format_t)format, n);
        const double each_s = narrow_s(&it, inner, repeats);
        fp32_s = format == LSPO_ADAM_FP32 ? each_s : fp32_s;
        printf("%zu parameters, m and v in %s: %7.1f M/s, %.2f of the time of fp32\n", n, names[format], 1e-6 / each_s,
               each_s / fp32_s);
        narrow_destroy(&it);
    }
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
        if (level == (int)lspo_cpu_level())
            measure_in_cache(&state);
    }
    state_destroy(&state);

    state = state_create(large_n);
    char label[64];
    snprintf(label, sizeof label, "%.1f GB / streaming loop", 16.0 * (double)large_n * 1e-9);
    measure_gate("of a loop with the same accesses", compare(label, &state, run_stream, 1, 9), 0.90, 1e9);
    snprintf(label, sizeof label, "%.1f GB / streaming past caches", 16.0 * (double)large_n * 1e-9);
    measure_gate("of one that writes past the caches", compare(label, &state, run_stream_past, 1, 9), 0.80, 1e9);
    state_destroy(&state);
    measure_formats((size_t)1 << 14, 200, 31);
    measure_formats(large_n, 1, 5);
    return measure_missed > 0;
}
