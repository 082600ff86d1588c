/* adam.c - Adam on the CPU: plain C, AVX2 and AVX-512, selected at each call. */
#include "kernels/adam.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

#include "kernels/adam_state.h"
#include "kernels/cpu.h"
#include "kernels/denormals.h"

lspo_adam_t lspo_adam_default(float learning_rate, uint32_t step)
{
    return (lspo_adam_t){.learning_rate = learning_rate,
                         .beta1 = 0.9f,
                         .beta2 = 0.999f,
                         .epsilon = 1e-8f,
                         .weight_decay = 0.0f,
                         .step = step,
                         .gradient_scale = 1.0f};
}

lspo_adam_scalars_t lspo_adam_scalars(const lspo_adam_t *adam)
{
    double beta1 = (double)adam->beta1, beta2 = (double)adam->beta2;
    double correction1 = 1.0 - pow(beta1, (double)adam->step);
    double correction2 = sqrt(1.0 - pow(beta2, (double)adam->step));
    return (lspo_adam_scalars_t){.scale = adam->gradient_scale,
                                 .beta1 = adam->beta1,
                                 .one_minus_beta1 = (float)(1.0 - beta1),
                                 .beta2 = adam->beta2,
                                 .one_minus_beta2 = (float)(1.0 - beta2),
                                 .corrected = (float)(correction2 / correction1),
                                 .epsilon = (float)((double)adam->epsilon * correction2),
                                 .root_epsilon = (float)((double)adam->root_epsilon * correction2 * correction2),
                                 .learning_rate = adam->learning_rate,
                                 .weight_decay = adam->weight_decay};
}

/* The arrays of one call. */
typedef struct {
    const float *gradient;
    float *m, *v;
    float *w;   /* NULL in the direction form  */
    float *out; /* NULL in the parameters form */
} arrays_t;

typedef void adam_path_t(const lspo_adam_scalars_t *s, size_t n, const arrays_t *arrays);

/* ---- plain C ---- */

static float portable_direction(const lspo_adam_scalars_t *s, float gradient, float *m, float *v)
{
    float g = gradient * s->scale;
    *m = s->beta1 * *m + s->one_minus_beta1 * g;
    *v = s->beta2 * *v + s->one_minus_beta2 * g * g;
    float held = *v < FLT_MIN ? FLT_MIN : *v > FLT_MAX ? FLT_MAX : *v;
    return *m * s->corrected / (sqrtf(held + s->root_epsilon) + s->epsilon);
}

static void adam_portable(const lspo_adam_scalars_t *s, size_t n, const arrays_t *arrays)
{
    const float *gradient = arrays->gradient;
    float *m = arrays->m, *v = arrays->v, *w = arrays->w, *out = arrays->out;
    for (size_t i = 0; i < n; i++) {
        float direction = portable_direction(s, gradient[i], &m[i], &v[i]);
        if (w)
            w[i] -= s->learning_rate * (direction + s->weight_decay * w[i]);
        else
            out[i] = direction;
    }
}

#if defined(__x86_64__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512vl")))
#define INLINE static inline __attribute__((always_inline))

enum {
    /* States of 64 MiB and more come from DRAM: prefetching, and non-temporal stores of `out` if it is not read, make
     * them half as fast again (bench/bench_adam.c).  Smaller ones do not gain. */
    STREAM_ELEMENTS = 1 << 22,
    AHEAD_ELEMENTS = 512
};

/* Number of elements before `out` is aligned to `bytes`. */
static size_t misaligned_elements(const float *out, size_t bytes)
{
    return (bytes - (size_t)((uintptr_t)out & (bytes - 1))) % bytes / sizeof *out;
}

INLINE void read_ahead(const arrays_t *a, size_t i)
{
    _mm_prefetch((const char *)(a->gradient + i), _MM_HINT_T0);
    _mm_prefetch((const char *)(a->m + i), _MM_HINT_T0);
    _mm_prefetch((const char *)(a->v + i), _MM_HINT_T0);
    if (a->w)
        _mm_prefetch((const char *)(a->w + i), _MM_HINT_T0);
}

/* ---- AVX2: 12-bit approximations, one Newton step each ---- */

typedef struct {
    __m256 scale, beta1, one_minus_beta1, beta2, one_minus_beta2, corrected, epsilon, root_epsilon, minus_rate, decay;
} scalars256_t;

AVX2 INLINE __m256 direction256(const scalars256_t *s, __m256 gradient, __m256 *m, __m256 *v)
{
    __m256 g = _mm256_mul_ps(gradient, s->scale);
    *m = _mm256_fmadd_ps(s->beta1, *m, _mm256_mul_ps(s->one_minus_beta1, g));
    *v = _mm256_fmadd_ps(s->beta2, *v, _mm256_mul_ps(_mm256_mul_ps(s->one_minus_beta2, g), g));
    /* MAXPS and MINPS return their second operand if one is NaN. */
    __m256 held = _mm256_min_ps(_mm256_set1_ps(FLT_MAX), _mm256_max_ps(_mm256_set1_ps(FLT_MIN), *v));
    held = _mm256_add_ps(held, s->root_epsilon);
    __m256 y = _mm256_rsqrt_ps(held);
    __m256 root = _mm256_mul_ps(held, y);
    __m256 residue = _mm256_fnmadd_ps(root, y, _mm256_set1_ps(1.0f)); /* 1 - v y^2 */
    root = _mm256_fmadd_ps(_mm256_mul_ps(root, _mm256_set1_ps(0.5f)), residue, root);
    __m256 divisor = _mm256_add_ps(root, s->epsilon);
    __m256 z = _mm256_rcp_ps(divisor);
    z = _mm256_fmadd_ps(z, _mm256_fnmadd_ps(divisor, z, _mm256_set1_ps(1.0f)), z);
    return _mm256_mul_ps(_mm256_mul_ps(*m, s->corrected), z);
}

AVX2 INLINE __m256 step256(const scalars256_t *s, __m256 w, __m256 direction)
{
    return _mm256_fmadd_ps(s->minus_rate, _mm256_fmadd_ps(s->decay, w, direction), w);
}

AVX2 INLINE void full256(const scalars256_t *s, const arrays_t *a, size_t i, bool past_caches)
{
    __m256 m = _mm256_loadu_ps(a->m + i), v = _mm256_loadu_ps(a->v + i);
    __m256 result = direction256(s, _mm256_loadu_ps(a->gradient + i), &m, &v);
    _mm256_storeu_ps(a->m + i, m);
    _mm256_storeu_ps(a->v + i, v);
    if (a->w)
        _mm256_storeu_ps(a->w + i, step256(s, _mm256_loadu_ps(a->w + i), result));
    else if (past_caches)
        _mm256_stream_ps(a->out + i, result);
    else
        _mm256_storeu_ps(a->out + i, result);
}

AVX2 INLINE void part256(const scalars256_t *s, const arrays_t *a, size_t i, size_t count)
{
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256 m = _mm256_maskload_ps(a->m + i, mask), v = _mm256_maskload_ps(a->v + i, mask);
    __m256 result = direction256(s, _mm256_maskload_ps(a->gradient + i, mask), &m, &v);
    _mm256_maskstore_ps(a->m + i, mask, m);
    _mm256_maskstore_ps(a->v + i, mask, v);
    if (a->w)
        _mm256_maskstore_ps(a->w + i, mask, step256(s, _mm256_maskload_ps(a->w + i, mask), result));
    else
        _mm256_maskstore_ps(a->out + i, mask, result);
}

AVX2 static void adam_avx2(const lspo_adam_scalars_t *s, size_t n, const arrays_t *of)
{
    const arrays_t arrays = *of;
    float *const out = arrays.out;
    const scalars256_t wide = {_mm256_set1_ps(s->scale),           _mm256_set1_ps(s->beta1),
                               _mm256_set1_ps(s->one_minus_beta1), _mm256_set1_ps(s->beta2),
                               _mm256_set1_ps(s->one_minus_beta2), _mm256_set1_ps(s->corrected),
                               _mm256_set1_ps(s->epsilon),         _mm256_set1_ps(s->root_epsilon),
                               _mm256_set1_ps(-s->learning_rate),  _mm256_set1_ps(s->weight_decay)};
    size_t i = 0;
    if (n >= STREAM_ELEMENTS && out && out != arrays.gradient) {
        i = misaligned_elements(out, 32);
        part256(&wide, &arrays, 0, i);
        for (; i + 8 <= n; i += 8) {
            read_ahead(&arrays, i + AHEAD_ELEMENTS);
            full256(&wide, &arrays, i, true);
        }
        _mm_sfence();
    } else if (n >= STREAM_ELEMENTS) {
        for (; i + 8 <= n; i += 8) {
            read_ahead(&arrays, i + AHEAD_ELEMENTS);
            full256(&wide, &arrays, i, false);
        }
    } else {
        for (; i + 8 <= n; i += 8)
            full256(&wide, &arrays, i, false);
    }
    part256(&wide, &arrays, i, n - i);
}

/* ---- AVX-512: 14-bit approximations, one Newton step each ---- */

typedef struct {
    __m512 scale, beta1, one_minus_beta1, beta2, one_minus_beta2, corrected, epsilon, root_epsilon, minus_rate, decay;
} scalars512_t;

AVX512 INLINE __m512 direction512(const scalars512_t *s, __m512 gradient, __m512 *m, __m512 *v)
{
    __m512 g = _mm512_mul_ps(gradient, s->scale);
    *m = _mm512_fmadd_ps(s->beta1, *m, _mm512_mul_ps(s->one_minus_beta1, g));
    *v = _mm512_fmadd_ps(s->beta2, *v, _mm512_mul_ps(_mm512_mul_ps(s->one_minus_beta2, g), g));
    __m512 held = _mm512_min_ps(_mm512_set1_ps(FLT_MAX), _mm512_max_ps(_mm512_set1_ps(FLT_MIN), *v));
    held = _mm512_add_ps(held, s->root_epsilon);
    __m512 y = _mm512_rsqrt14_ps(held);
    __m512 root = _mm512_mul_ps(held, y);
    __m512 residue = _mm512_fnmadd_ps(root, y, _mm512_set1_ps(1.0f));
    root = _mm512_fmadd_ps(_mm512_mul_ps(root, _mm512_set1_ps(0.5f)), residue, root);
    __m512 divisor = _mm512_add_ps(root, s->epsilon);
    __m512 z = _mm512_rcp14_ps(divisor);
    z = _mm512_fmadd_ps(z, _mm512_fnmadd_ps(divisor, z, _mm512_set1_ps(1.0f)), z);
    return _mm512_mul_ps(_mm512_mul_ps(*m, s->corrected), z);
}

/* `mask`: which of the 16 elements from i on exist. */
AVX512 INLINE void block512(const scalars512_t *s, const arrays_t *a, size_t i, __mmask16 mask, bool past_caches)
{
    __m512 m = _mm512_maskz_loadu_ps(mask, a->m + i), v = _mm512_maskz_loadu_ps(mask, a->v + i);
    __m512 result = direction512(s, _mm512_maskz_loadu_ps(mask, a->gradient + i), &m, &v);
    _mm512_mask_storeu_ps(a->m + i, mask, m);
    _mm512_mask_storeu_ps(a->v + i, mask, v);
    if (a->w) {
        __m512 w = _mm512_maskz_loadu_ps(mask, a->w + i);
        w = _mm512_fmadd_ps(s->minus_rate, _mm512_fmadd_ps(s->decay, w, result), w);
        _mm512_mask_storeu_ps(a->w + i, mask, w);
    } else if (past_caches) {
        _mm512_stream_ps(a->out + i, result);
    } else {
        _mm512_mask_storeu_ps(a->out + i, mask, result);
    }
}

static __mmask16 first_lanes(size_t count)
{
    return (__mmask16)((1u << count) - 1);
}

AVX512 static void adam_avx512(const lspo_adam_scalars_t *s, size_t n, const arrays_t *of)
{
    const arrays_t arrays = *of;
    float *const out = arrays.out;
    const scalars512_t wide = {_mm512_set1_ps(s->scale),           _mm512_set1_ps(s->beta1),
                               _mm512_set1_ps(s->one_minus_beta1), _mm512_set1_ps(s->beta2),
                               _mm512_set1_ps(s->one_minus_beta2), _mm512_set1_ps(s->corrected),
                               _mm512_set1_ps(s->epsilon),         _mm512_set1_ps(s->root_epsilon),
                               _mm512_set1_ps(-s->learning_rate),  _mm512_set1_ps(s->weight_decay)};
    size_t i = 0;
    if (n >= STREAM_ELEMENTS && out && out != arrays.gradient) {
        i = misaligned_elements(out, 64);
        block512(&wide, &arrays, 0, first_lanes(i), false);
        for (; i + 16 <= n; i += 16) {
            read_ahead(&arrays, i + AHEAD_ELEMENTS);
            block512(&wide, &arrays, i, 0xffff, true);
        }
        _mm_sfence();
    } else if (n >= STREAM_ELEMENTS) {
        for (; i + 16 <= n; i += 16) {
            read_ahead(&arrays, i + AHEAD_ELEMENTS);
            block512(&wide, &arrays, i, 0xffff, false);
        }
    } else {
        for (; i + 16 <= n; i += 16)
            block512(&wide, &arrays, i, 0xffff, false);
    }
    block512(&wide, &arrays, i, first_lanes(n - i), false);
}

static void adam_run(const lspo_adam_t *adam, size_t n, const arrays_t *arrays)
{
    if (n == 0)
        return;
    static adam_path_t *const paths[LSPO_CPU_LEVEL_COUNT] = {adam_portable, adam_avx2, adam_avx512};
    const lspo_adam_scalars_t scalars = lspo_adam_scalars(adam);
    const lspo_cpu_level_t level = lspo_cpu_level();
    if (level == LSPO_CPU_PORTABLE) {
        adam_portable(&scalars, n, arrays);
        return;
    }
    const unsigned saved = lspo_denormals_off();
    paths[level](&scalars, n, arrays);
    lspo_denormals_restore(saved);
}

#else

static void adam_run(const lspo_adam_t *adam, size_t n, const arrays_t *arrays)
{
    const lspo_adam_scalars_t scalars = lspo_adam_scalars(adam);
    adam_portable(&scalars, n, arrays);
}

#endif

static void narrow_run(const lspo_adam_t *adam, const lspo_adam_state_t *state, const float *gradient, float *w,
                       float *out)
{
    const lspo_adam_scalars_t scalars = lspo_adam_scalars(adam);
    lspo_adam_narrow(&scalars, state, gradient, w, out);
}

void lspo_adam_parameters(const lspo_adam_t *adam, const lspo_adam_state_t *state, const float *gradient, float *w)
{
    if (state->format != LSPO_ADAM_FP32)
        narrow_run(adam, state, gradient, w, NULL);
    else
        adam_run(adam, state->count, &(arrays_t){.gradient = gradient, .m = state->m, .v = state->v, .w = w});
}

void lspo_adam_direction(const lspo_adam_t *adam, const lspo_adam_state_t *state, const float *gradient, float *out)
{
    if (state->format != LSPO_ADAM_FP32)
        narrow_run(adam, state, gradient, NULL, out);
    else
        adam_run(adam, state->count, &(arrays_t){.gradient = gradient, .m = state->m, .v = state->v, .out = out});
}
