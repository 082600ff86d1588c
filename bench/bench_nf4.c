/* bench_nf4 - how close is the expansion of 4-bit weights to what its writes cost?
 *
 * Against a loop that reads as many bytes of codes and writes as many numbers, with no other arithmetic, for a weight
 * above the last-level cache, and against memcpy, which moves 8 bytes per number where this moves 4.5.  Required: at
 * least 0.80 of the loop's speed.  Then the same in the cache, and the rate of quantization, for information.
 * One thread; usage: bench_nf4 [numbers of the large weight]. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "bench/measure.h"
#include "kernels/cpu.h"
#include "kernels/nf4.h"

static const double bytes_per_number = 4 + 0.516;

typedef struct {
    lspo_nf4_t nf4;
    void *memory;
    float *w, *out, *scratch;
} weight_t;

static weight_t weight_create(size_t n)
{
    weight_t weight = {.w = measure_floats(n), .out = measure_floats(n), .scratch = measure_floats(lspo_nf4_blocks(n))};
    weight.memory = measure_floats(lspo_nf4_bytes(1, &n) / sizeof(float) + 1);
    lspo_nf4_place(1, &n, weight.memory, &weight.nf4);
    return weight;
}

static void weight_destroy(weight_t *weight)
{
    free(weight->w);
    free(weight->out);
    free(weight->scratch);
    free(weight->memory);
}

static void run_expand(weight_t *weight)
{
    lspo_nf4_expand(&weight->nf4, weight->out);
}

static void run_copy(weight_t *weight)
{
    memcpy(weight->out, weight->w, weight->nf4.count * sizeof *weight->w);
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2"))) static void run_loop(weight_t *weight)
{
    const lspo_nf4_t *nf4 = &weight->nf4;
    for (size_t i = 0; i + LSPO_NF4_BLOCK <= nf4->count; i += LSPO_NF4_BLOCK) {
        const __m256 codes = _mm256_loadu_ps((const float *)(const void *)(nf4->codes + i / 2));
        for (size_t k = 0; k < LSPO_NF4_BLOCK; k += 8)
            _mm256_storeu_ps(weight->out + i + k, codes);
    }
}
#else
static void run_loop(weight_t *weight)
{
    const lspo_nf4_t *nf4 = &weight->nf4;
    for (size_t i = 0; i < nf4->count; i++)
        weight->out[i] = nf4->codes[i / 2];
}
#endif

/* Median over repetitions of time of `other` / time of the expansion; prints both rates. */
static double compare(const char *label, weight_t *weight, void (*other)(weight_t *), size_t inner)
{
    enum { REPEATS = 15 };
    double ratios[REPEATS], own_s[REPEATS], other_s[REPEATS];
    const double numbers = (double)weight->nf4.count * (double)inner;
    run_expand(weight);
    other(weight);
    for (size_t repeat = 0; repeat < REPEATS; repeat++) {
        const double start_s = measure_thread_s();
        for (size_t i = 0; i < inner; i++)
            run_expand(weight);
        const double middle_s = measure_thread_s();
        for (size_t i = 0; i < inner; i++)
            other(weight);
        own_s[repeat] = middle_s - start_s;
        other_s[repeat] = measure_thread_s() - middle_s;
        ratios[repeat] = other_s[repeat] / own_s[repeat];
    }
    const double ratio = measure_median(ratios, REPEATS), own_median_s = measure_median(own_s, REPEATS);
    printf("%-28s nf4 %6.2f G/s %6.2f GB/s   other %6.2f G/s   ratio %.3f (%.3f..%.3f)\n", label,
           1e-9 * numbers / own_median_s, 1e-9 * bytes_per_number * numbers / own_median_s,
           1e-9 * numbers / measure_median(other_s, REPEATS), ratio, ratios[0], ratios[REPEATS - 1]);
    return ratio;
}

static void measure_quantize(weight_t *weight)
{
    const double start_s = measure_thread_s();
    if (!lspo_nf4_quantize(NULL, weight->w, weight->scratch, &weight->nf4))
        measure_missed++;
    printf("quantize: %.2f G/s\n", 1e-9 * (double)weight->nf4.count / (measure_thread_s() - start_s));
}

int main(int argc, char **argv)
{
    const size_t large = argc > 1 ? strtoull(argv[1], NULL, 10) : (size_t)1 << 27;
    if (large < LSPO_NF4_BLOCK) {
        fprintf(stderr, "usage: bench_nf4 [numbers, at least %d]\n", LSPO_NF4_BLOCK);
        return 2;
    }
    weight_t weight = weight_create((size_t)1 << 18);
    measure_quantize(&weight);
    for (int level = LSPO_CPU_PORTABLE; level < LSPO_CPU_LEVEL_COUNT; level++) {
        char label[64];
        lspo_cpu_limit((lspo_cpu_level_t)level);
        if (level != (int)lspo_cpu_level())
            continue;
        snprintf(label, sizeof label, "1 MB, %s / loop", lspo_cpu_level_name((lspo_cpu_level_t)level));
        compare(label, &weight, run_loop, 40);
    }
    weight_destroy(&weight);

    weight = weight_create(large);
    measure_quantize(&weight);
    compare("large / memcpy", &weight, run_copy, 1);
    measure_gate("of a loop with the same accesses", compare("large / loop", &weight, run_loop, 1), 0.80, 1e9);
    weight_destroy(&weight);
    return measure_missed > 0;
}
