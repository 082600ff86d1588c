/* Adam against the textbook in double precision, on every level of vector instructions that this machine has. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/adam.h"
#include "kernels/cpu.h"
#include "kernels/random.h"

enum { ROOM = 256 };

static const float GUARD = 12345.0f;

/* Runs `check` once a level and lifts the limit again. */
static void on_every_level(void (*check)(void))
{
    lspo_cpu_level_t best = lspo_cpu_level();
    for (int level = LSPO_CPU_PORTABLE; level <= (int)best; level++) {
        lspo_cpu_limit((lspo_cpu_level_t)level);
        check();
    }
    lspo_cpu_limit(LSPO_CPU_AVX512);
}

/* The equations of adam.h, all in double; m and v are those before the step. */
static double reference_direction(const lspo_adam_t *adam, double gradient, double *m, double *v)
{
    double beta1 = (double)adam->beta1, beta2 = (double)adam->beta2;
    double g = gradient * (double)adam->gradient_scale;
    *m = beta1 * *m + (1.0 - beta1) * g;
    *v = beta2 * *v + (1.0 - beta2) * g * g;
    double m_hat = *m / (1.0 - pow(beta1, (double)adam->step));
    double v_hat = *v / (1.0 - pow(beta2, (double)adam->step));
    return m_hat / (sqrt(v_hat + (double)adam->root_epsilon) + (double)adam->epsilon);
}

/* First step from zero, g = 0.5, by hand: m = 0.05, v = 0.00025, m^ = 0.5, v^ = 0.25, direction = 0.5 / 0.50000001 =
 * 0.99999998; with lr 0.1, decay 0.01, w = 2: w = 2 - 0.1 (1 + 0.02) = 1.898.
 * Tolerances: as floats 1 - b1 is 0.1 + 2.4e-8 and 1 - b2 is 0.001 - 1.3e-8; the direction does not depend on it. */
static void check_first_step(void)
{
    lspo_adam_t adam = lspo_adam_default(0.1f, 1);
    float gradient = 0.5f, m = 0, v = 0, out = 0;
    lspo_adam_direction(&adam, &(lspo_adam_state_t){.count = 1, .m = &m, .v = &v}, &gradient, &out);
    cr_assert_float_eq(m, 0.05, 2e-8);
    cr_assert_float_eq(v, 0.00025, 4e-9);
    cr_assert_float_eq(out, 1.0, 1e-6);

    adam.weight_decay = 0.01f;
    float w = 2.0f;
    m = v = 0;
    lspo_adam_parameters(&adam, &(lspo_adam_state_t){.count = 1, .m = &m, .v = &v}, &gradient, &w);
    cr_assert_float_eq(w, 1.898, 5e-7);

    /* Clipping to half: g' = 0.25, m = 0.025, v = 0.0000625; the direction stays 1. */
    adam.gradient_scale = 0.5f;
    m = v = 0;
    lspo_adam_direction(&adam, &(lspo_adam_state_t){.count = 1, .m = &m, .v = &v}, &gradient, &out);
    cr_assert_float_eq(m, 0.025, 1e-8);
    cr_assert_float_eq(v, 0.0000625, 1e-9);
    cr_assert_float_eq(out, 1.0, 1e-6);
}

Test(adam, first_step_by_hand)
{
    on_every_level(check_first_step);
}

/* Twenty steps over magnitudes from 1e-12 to 1e12: the direction's relative error, given the moments that the kernel
 * itself left, stays below 1e-6, and the moments follow the double ones. */
static void check_accuracy_under(float root_epsilon)
{
    enum { N = 4099, STEPS = 20 };
    static float gradient[N], m[N], v[N], out[N];
    static double m_double[N], v_double[N];
    memset(m, 0, sizeof m);
    memset(v, 0, sizeof v);
    memset(m_double, 0, sizeof m_double);
    memset(v_double, 0, sizeof v_double);
    double worst_direction = 0, worst_m = 0, worst_v = 0;
    for (uint32_t step = 1; step <= STEPS; step++) {
        lspo_adam_t adam = lspo_adam_default(1e-3f, step);
        adam.root_epsilon = root_epsilon;
        for (size_t i = 0; i < N; i++)
            gradient[i] = (float)(fabs(lspo_random_normal(7, step, i)) * pow(10.0, (double)(i % 25) - 12.0));
        lspo_adam_direction(&adam, &(lspo_adam_state_t){.count = N, .m = m, .v = v}, gradient, out);
        for (size_t i = 0; i < N; i++) {
            (void)reference_direction(&adam, (double)gradient[i], &m_double[i], &v_double[i]);
            double m_hat = (double)m[i] / (1.0 - pow((double)adam.beta1, step));
            double v_hat = (double)v[i] / (1.0 - pow((double)adam.beta2, step));
            double expected = m_hat / (sqrt(v_hat + (double)adam.root_epsilon) + (double)adam.epsilon);
            worst_direction = fmax(worst_direction, fabs((double)out[i] / expected - 1.0));
            worst_m = fmax(worst_m, fabs((double)m[i] / m_double[i] - 1.0));
            worst_v = fmax(worst_v, fabs((double)v[i] / v_double[i] - 1.0));
        }
    }
    const char *level = lspo_cpu_level_name(lspo_cpu_level());
    cr_assert_lt(worst_direction, 1e-6, "%s: direction off by %g", level, worst_direction);
    cr_assert_lt(worst_m, 2e-6, "%s: m off by %g", level, worst_m);
    cr_assert_lt(worst_v, 2e-6, "%s: v off by %g", level, worst_v);
}

static void check_accuracy(void)
{
    check_accuracy_under(0);
    check_accuracy_under(1e-4f);
}

Test(adam, follows_double_precision)
{
    on_every_level(check_accuracy);
}

static void fill(float *gradient, float *m, float *v, float *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        gradient[i] = (float)lspo_random_normal(1, 0, i);
        m[i] = (float)lspo_random_normal(1, 1, i);
        v[i] = (float)pow(lspo_random_normal(1, 2, i), 2);
        w[i] = (float)lspo_random_normal(1, 3, i);
    }
}

/* Every length from 0 to 70 at every offset of a float within 64 bytes gives the bits that the elements get one by
 * one, and writes nothing beyond. */
static void check_lengths_and_offsets(void)
{
    static float source[4][ROOM], expected[4][ROOM];
    static _Alignas(64) float got[4][ROOM];
    lspo_adam_t adam = lspo_adam_default(1e-2f, 5);
    adam.weight_decay = 0.1f;
    fill(source[0], source[1], source[2], source[3], ROOM);
    for (int form = 0; form < 2; form++) {
        memcpy(expected, source, sizeof source);
        for (size_t i = 0; i < ROOM; i++) {
            if (form == 0)
                lspo_adam_parameters(&adam,
                                     &(lspo_adam_state_t){.count = 1, .m = &expected[1][i], .v = &expected[2][i]},
                                     &expected[0][i], &expected[3][i]);
            else
                lspo_adam_direction(&adam, &(lspo_adam_state_t){.count = 1, .m = &expected[1][i], .v = &expected[2][i]},
                                    &expected[0][i], &expected[3][i]);
        }
        for (size_t n = 0; n <= 70; n++) {
            for (size_t offset = 0; offset < 16; offset++) {
                for (int array = 0; array < 4; array++) {
                    for (size_t i = 0; i < ROOM; i++)
                        got[array][i] = GUARD;
                    memcpy(&got[array][offset], source[array], n * sizeof(float));
                }
                float *g = &got[0][offset], *m = &got[1][offset], *v = &got[2][offset], *w = &got[3][offset];
                if (form == 0)
                    lspo_adam_parameters(&adam, &(lspo_adam_state_t){.count = n, .m = m, .v = v}, g, w);
                else
                    lspo_adam_direction(&adam, &(lspo_adam_state_t){.count = n, .m = m, .v = v}, g, w);
                for (int array = 0; array < 4; array++) {
                    cr_assert_arr_eq(&got[array][offset], expected[array], n * sizeof(float),
                                     "array %d, n %zu, offset %zu", array, n, offset);
                    cr_assert_eq(got[array][offset + n], GUARD);
                    if (offset > 0)
                        cr_assert_eq(got[array][offset - 1], GUARD);
                }
            }
        }
    }
}

Test(adam, same_bits_whatever_length_and_alignment)
{
    on_every_level(check_lengths_and_offsets);
}

/* Above the size from which `out` is written past the caches: the same bits as in small pieces, at an odd offset. */
static void check_streaming_sizes(void)
{
    const size_t n = ((size_t)1 << 22) + 21, offset = 3;
    float *memory = malloc((n + offset) * 8 * sizeof *memory);
    cr_assert_not_null(memory);
    float *array[8];
    for (int k = 0; k < 8; k++)
        array[k] = memory + (size_t)k * (n + offset) + offset;
    for (size_t i = 0; i < n; i++) {
        array[0][i] = array[4][i] = 0.001f * (float)(i % 1013) - 0.5f;
        array[1][i] = array[5][i] = 0.002f * (float)(i % 509) - 0.5f;
        array[2][i] = array[6][i] = 0.003f * (float)(i % 251);
    }
    const lspo_adam_t adam = lspo_adam_default(1e-2f, 5);
    for (int pass = 0; pass < 2; pass++) { /* out apart, then in place of the gradient */
        float *out = pass == 0 ? array[3] : array[0], *out_pieces = pass == 0 ? array[7] : array[4];
        lspo_adam_direction(&adam, &(lspo_adam_state_t){.count = n, .m = array[1], .v = array[2]}, array[0], out);
        for (size_t i = 0; i < n; i += 100001) {
            size_t piece = n - i < 100001 ? n - i : 100001;
            lspo_adam_direction(&adam, &(lspo_adam_state_t){.count = piece, .m = array[5] + i, .v = array[6] + i},
                                array[4] + i, out_pieces + i);
        }
        cr_assert(memcmp(out, out_pieces, n * sizeof(float)) == 0);
        cr_assert(memcmp(array[1], array[5], n * sizeof(float)) == 0);
        cr_assert(memcmp(array[2], array[6], n * sizeof(float)) == 0);
    }
    free(memory);
}

Test(adam, same_bits_when_streaming)
{
    on_every_level(check_streaming_sizes);
}

static float direction_of(const lspo_adam_t *adam, float gradient, float m, float v)
{
    float out = GUARD;
    lspo_adam_direction(adam, &(lspo_adam_state_t){.count = 1, .m = &m, .v = &v}, &gradient, &out);
    return out;
}

static void check_special_values(void)
{
    lspo_adam_t adam = lspo_adam_default(1e-3f, 3);
    cr_assert_eq(direction_of(&adam, 0, 0, 0), 0.0f);
    /* A denormal gradient moves nothing that matters: |direction| <= 1e-38 / 1e-8. */
    cr_assert_lt(fabsf(direction_of(&adam, 1e-40f, 0, 0)), 1e-29f);
    cr_assert_lt(fabsf(direction_of(&adam, 0, 1e-40f, 1e-40f)), 1e-29f);
    /* v overflows to infinity: a tiny step, as m / inf would be. */
    cr_assert_lt(fabsf(direction_of(&adam, 3e25f, 0, 0)), 1e8f);
    cr_assert(isfinite(direction_of(&adam, 3e25f, 0, 0)));
    cr_assert(isnan(direction_of(&adam, NAN, 0, 0)));
    cr_assert(isnan(direction_of(&adam, 0, NAN, 1)));
    cr_assert(isnan(direction_of(&adam, 0, 1, NAN)));
    adam.epsilon = 0;
    cr_assert_eq(direction_of(&adam, 0, 0, 0), 0.0f);
    /* Without epsilon a first step is exactly the gradient's sign, but for rounding. */
    adam.step = 1;
    cr_assert_float_eq(direction_of(&adam, -1e-3f, 0, 0), -1.0, 1e-6);
}

Test(adam, special_values)
{
    on_every_level(check_special_values);
}

static void check_fp_mode(void)
{
    volatile float smallest = FLT_MIN;
    float gradient[20] = {1.0f}, m[20] = {0}, v[20] = {0};
    const lspo_adam_t adam = lspo_adam_default(1e-3f, 1);
    lspo_adam_direction(&adam, &(lspo_adam_state_t){.count = 20, .m = m, .v = v}, gradient, gradient);
    cr_assert_neq(smallest * 0.5f, 0.0f, "denormals are flushed after the call");
}

Test(adam, restores_the_fp_mode)
{
    on_every_level(check_fp_mode);
}

/* Levels differ in the last bits only. */
Test(adam, levels_agree)
{
    enum { N = 1000 };
    static float source[4][N], got[2][4][N];
    fill(source[0], source[1], source[2], source[3], N);
    lspo_cpu_level_t best = lspo_cpu_level();
    const lspo_adam_t adam = lspo_adam_default(1e-2f, 2);
    for (int side = 0; side < 2; side++) {
        lspo_cpu_limit(side == 0 ? LSPO_CPU_PORTABLE : best);
        memcpy(got[side], source, sizeof source);
        lspo_adam_parameters(&adam, &(lspo_adam_state_t){.count = N, .m = got[side][1], .v = got[side][2]},
                             got[side][0], got[side][3]);
    }
    lspo_cpu_limit(LSPO_CPU_AVX512);
    for (size_t i = 0; i < N; i++)
        cr_assert_float_eq(got[0][3][i], got[1][3][i], 1e-6f * (1.0f + fabsf(got[0][3][i])));
}
