/* adam_state.c - Adam with m and v in bf16 or in codes of 8 bits, on the CPU: a block of 256 is unpacked, stepped in
 * fp32 and packed, each in a loop that the compiler vectorises. */
#include <float.h>
#include <math.h>
#include <stdbool.h>

#include "kernels/adam_codes.h"
#include "kernels/adam_state.h"
#include "kernels/denormals.h"
#include "kernels/pack.h"
#include "kernels/rounding.h"
#include "kernels/vmath.h"

enum { BLOCK = LSPO_ADAM_BLOCK, AHEAD = 2 * BLOCK };

/* ---- layout ---- */

size_t lspo_adam_places(lspo_adam_format_t format, size_t count)
{
    return format == LSPO_ADAM_8BIT ? (count + BLOCK - 1) / BLOCK * BLOCK : count;
}

static size_t moment_bytes(lspo_adam_format_t format)
{
    return format == LSPO_ADAM_8BIT ? sizeof(uint8_t) : format == LSPO_ADAM_BF16 ? sizeof(uint16_t) : sizeof(float);
}

size_t lspo_adam_state_bytes(lspo_adam_format_t format, size_t places)
{
    const size_t scales = format == LSPO_ADAM_8BIT ? places / BLOCK : 0;
    return 2 * (places * moment_bytes(format) + scales * sizeof(float));
}

lspo_adam_state_t lspo_adam_state_at(lspo_adam_format_t format, void *memory, size_t places, size_t at, size_t count)
{
    const size_t each = moment_bytes(format);
    char *m = (char *)memory + at * each;
    lspo_adam_state_t state = {.count = count, .m = m, .v = m + places * each, .format = format};
    if (format == LSPO_ADAM_8BIT) {
        state.m_scale = (float *)memory + 2 * places / sizeof(float) + at / BLOCK;
        state.v_scale = state.m_scale + places / BLOCK;
    }
    return state;
}

/* ---- one block ---- */

/* Of up to 256 weights. */
typedef struct {
    size_t count;
    float m[BLOCK], v[BLOCK];
    uint32_t random[BLOCK]; /* 16 bits for m in the lower half, 16 for v */
} block_t;

/* The arrays of one call. */
typedef struct {
    const float *gradient;
    float *w, *out; /* one of them NULL */
} arrays_t;

LSPO_INLINE float held(float v)
{
    return lspo_vselect(v < FLT_MIN, FLT_MIN, lspo_vselect(v > FLT_MAX, FLT_MAX, v));
}

LSPO_SIMD static void update_moments(const lspo_adam_scalars_t *s, const float *gradient, block_t *block)
{
    const float scale = s->scale, beta1 = s->beta1, beta2 = s->beta2;
    const float new1 = s->one_minus_beta1, new2 = s->one_minus_beta2;
#pragma omp simd
    for (size_t i = 0; i < block->count; i++) {
        const float g = gradient[i] * scale;
        block->m[i] = beta1 * block->m[i] + new1 * g;
        block->v[i] = beta2 * block->v[i] + new2 * g * g;
    }
}

LSPO_SIMD static void step_weights(const lspo_adam_scalars_t *s, const block_t *block, float *w)
{
    const float corrected = s->corrected, epsilon = s->epsilon, root = s->root_epsilon, rate = s->learning_rate,
                decay = s->weight_decay;
#pragma omp simd
    for (size_t i = 0; i < block->count; i++) {
        const float direction = block->m[i] * corrected / (sqrtf(held(block->v[i]) + root) + epsilon);
        w[i] -= rate * (direction + decay * w[i]);
    }
}

LSPO_SIMD static void write_direction(const lspo_adam_scalars_t *s, const block_t *block, float *out)
{
    const float corrected = s->corrected, epsilon = s->epsilon, root = s->root_epsilon;
#pragma omp simd
    for (size_t i = 0; i < block->count; i++)
        out[i] = block->m[i] * corrected / (sqrtf(held(block->v[i]) + root) + epsilon);
}

static void step(const lspo_adam_scalars_t *s, const arrays_t *arrays, size_t at, block_t *block)
{
    update_moments(s, arrays->gradient + at, block);
    if (arrays->w)
        step_weights(s, block, arrays->w + at);
    else
        write_direction(s, block, arrays->out + at);
}

/* ---- bf16 ---- */

LSPO_SIMD static void draw(uint64_t seed, uint64_t first, size_t n, uint32_t *random)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        random[i] = (uint32_t)lspo_rounding_word(seed, first + i);
}

LSPO_SIMD static void pack_bf16(const block_t *block, uint16_t *m, uint16_t *v)
{
#pragma omp simd
    for (size_t i = 0; i < block->count; i++)
        m[i] = (uint16_t)(lspo_rounded_bf16(lspo_bits_of_float(block->m[i]), block->random[i] & 0xffffU) >> 16);
#pragma omp simd
    for (size_t i = 0; i < block->count; i++)
        v[i] = (uint16_t)(lspo_rounded_bf16(lspo_bits_of_float(block->v[i]), block->random[i] >> 16) >> 16);
}

static void step_bf16(const lspo_adam_scalars_t *s, const lspo_adam_state_t *state, const arrays_t *arrays, size_t at,
                      block_t *block)
{
    uint16_t *m = (uint16_t *)state->m + at, *v = (uint16_t *)state->v + at;
    lspo_unpack_bf16(block->count, m, block->m);
    lspo_unpack_bf16(block->count, v, block->v);
    step(s, arrays, at, block);
    draw(state->seed, state->first + at, block->count, block->random);
    pack_bf16(block, m, v);
}

/* ---- 8 bits ---- */

LSPO_SIMD static void unpack_m(size_t n, const uint8_t *codes, float scale, float *m)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        m[i] = lspo_adam_m_of_code(codes[i], scale);
}

LSPO_SIMD static void unpack_v(size_t n, const uint8_t *codes, float scale, float *v)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        v[i] = lspo_adam_v_of_code(codes[i], scale);
}

/* Compared as integers, which magnitudes of floats allow: NaN is the largest. */
LSPO_SIMD static float largest(size_t n, const float *x)
{
    uint32_t most = 0;
#pragma omp simd reduction(max : most)
    for (size_t i = 0; i < n; i++) {
        const uint32_t magnitude = lspo_bits_of_float(x[i]) & 0x7fffffffU;
        most = magnitude > most ? magnitude : most;
    }
    return lspo_float_of_bits(most);
}

LSPO_SIMD static void pack_m(size_t n, const float *m, float inverse, uint8_t *codes)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        codes[i] = lspo_adam_code_of_m(m[i], inverse);
}

LSPO_SIMD static void pack_v(size_t n, const float *v, float inverse, uint8_t *codes)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        codes[i] = lspo_adam_code_of_v(v[i], inverse);
}

static void step_8bit(const lspo_adam_scalars_t *s, const lspo_adam_state_t *state, const arrays_t *arrays, size_t at,
                      block_t *block)
{
    uint8_t *m = (uint8_t *)state->m + at, *v = (uint8_t *)state->v + at;
    float *m_scale = &state->m_scale[at / BLOCK], *v_scale = &state->v_scale[at / BLOCK];
    unpack_m(block->count, m, *m_scale, block->m);
    unpack_v(block->count, v, *v_scale, block->v);
    step(s, arrays, at, block);
    *m_scale = largest(block->count, block->m);
    *v_scale = largest(block->count, block->v);
    pack_m(block->count, block->m, lspo_adam_inverse(*m_scale), m);
    pack_v(block->count, block->v, lspo_adam_inverse(*v_scale), v);
}

/* From memory: the loops of a block are too short for the CPU to read ahead on its own. */
static void read_ahead(const lspo_adam_state_t *state, const arrays_t *arrays, size_t at)
{
    enum { LINE = 64 };
    const size_t each = moment_bytes(state->format);
    const char *m = (const char *)state->m + at * each, *v = (const char *)state->v + at * each;
    const char *gradient = (const char *)(arrays->gradient + at);
    const char *result = (const char *)((arrays->w ? arrays->w : arrays->out) + at);
    for (size_t i = 0; i < BLOCK * each; i += LINE) {
        __builtin_prefetch(m + i);
        __builtin_prefetch(v + i);
    }
    for (size_t i = 0; i < BLOCK * sizeof(float); i += LINE) {
        __builtin_prefetch(gradient + i);
        __builtin_prefetch(result + i);
    }
}

void lspo_adam_narrow(const lspo_adam_scalars_t *scalars, const lspo_adam_state_t *state, const float *gradient,
                      float *w, float *out)
{
    const arrays_t arrays = {.gradient = gradient, .w = w, .out = out};
    block_t block;
    const unsigned saved = lspo_denormals_off();
    for (size_t at = 0; at < state->count; at += BLOCK) {
        block.count = state->count - at < BLOCK ? state->count - at : BLOCK;
        if (state->count - at > AHEAD + BLOCK)
            read_ahead(state, &arrays, at + AHEAD);
        if (state->format == LSPO_ADAM_BF16)
            step_bf16(scalars, state, &arrays, at, &block);
        else
            step_8bit(scalars, state, &arrays, at, &block);
    }
    lspo_denormals_restore(saved);
}
