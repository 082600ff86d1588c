/* bench_generate - does a new token take the time of reading the weights from memory?
 *
 * Alternating, for weights in fp32, bf16 and fp16, on one thread and on all CPUs of the process:
 *   token   one token of a Llama of 320 million parameters, with few tokens before it
 *   read    the sum of all words of the weights that a token reads: every block and the head
 * The weights are larger than any cache.  Required with vector units, on one thread: token at most 1.1 times read.
 * With more threads it also depends on how soon all of them run, some 30 times per token; that is only printed.
 *
 * Then the products of 1 to 16 rows alone, with weights of 2048 x 5632 from memory, on one thread:
 *   limit   the longer of reading the weights as above, and the FLOPs at the rate of a large square product
 *   blas    the same with OpenBLAS, of weights in fp32
 * Required with vector units: no slower than OpenBLAS. */
#include <stdint.h>
#include <string.h>

#include "bench/measure.h"
#include "bench/read_words.h"
#include "kernels/cpu.h"
#include "kernels/few_rows.h"
#include "kernels/gemm.h"
#include "kernels/pack.h"
#include "real/generate/generator.h"
#include "real/generate/weights.h"

enum { REPEATS = 15, PROMPT = 8 };
static const char *const names[] = {"fp32", "bf16", "fp16"}; /* by lspo_number_t */

static const lspo_model_t model = {.name = "bench",
                                   .family = LSPO_FAMILY_LLAMA,
                                   .block_count = 4,
                                   .width = 2048,
                                   .head_count = 16,
                                   .kv_head_count = 8,
                                   .mlp_width = 5632,
                                   .vocabulary = 32000,
                                   .max_sequence = 64};

static void need(lspo_status_t status)
{
    if (status != LSPO_OK) {
        fprintf(stderr, "bench: cannot make the model\n");
        exit(1);
    }
}

/* Small numbers of both signs, whose sums stay finite: the time does not depend on them. */
static lspo_status_t load(void *context, uint32_t stage, lspo_number_t number, void *weights)
{
    lspo_stage_t shape;
    (void)context;
    lspo_model_stage(&model, stage, &shape);
    for (uint64_t i = 0; i < shape.element_count; i++) {
        const float value = 1e-3F * (float)((int)(i * 2654435761U % 65) - 32);
        lspo_convert(1, LSPO_NUMBER_FP32, &value, number, (char *)weights + i * lspo_number_bytes(number));
    }
    return LSPO_OK;
}

typedef struct {
    const lspo_generation_weights_t *weights;
    lspo_number_t number;
    uint64_t sums[1024];
} read_t;

enum { PIECE_BYTES = 1 << 20 };

static size_t pieces_of(lspo_number_t number, uint32_t stage)
{
    return lspo_generation_weight_bytes(&model, stage, number, &(lspo_int4_form_t){0}) / PIECE_BYTES;
}

static void read_piece(void *context, uint32_t worker, size_t item)
{
    read_t *reading = context;
    uint32_t stage = 1;
    while (item >= pieces_of(reading->number, stage))
        item -= pieces_of(reading->number, stage++);
    const char *at = (const char *)reading->weights->stages[stage] + item * PIECE_BYTES;
    reading->sums[worker % 1024] += sum_words(PIECE_BYTES / sizeof(uint64_t), (const uint64_t *)(const void *)at);
}

/* Of one thread its own time, without what others on its core take. */
static double now_s(uint32_t threads)
{
    return threads == 1 ? measure_thread_s() : measure_now_s();
}

/* Seconds for the bytes that a token reads. */
static double read_all(read_t *reading, lspo_workers_t *workers)
{
    size_t pieces = 0;
    for (uint32_t stage = 1; stage < reading->weights->stage_count; stage++)
        pieces += pieces_of(reading->number, stage);
    const double start_s = now_s(lspo_workers_count(workers));
    lspo_workers_run(workers, pieces, read_piece, reading);
    return now_s(lspo_workers_count(workers)) - start_s;
}

static double one_token(lspo_generator_t *generator, uint32_t threads)
{
    static const uint32_t token = 3;
    lspo_generator_rewind(generator, PROMPT);
    const double start_s = now_s(threads);
    need(lspo_generator_read(generator, &token, 1, 1));
    return now_s(threads) - start_s;
}

static void compare(const lspo_generation_weights_t *weights, lspo_number_t number, uint32_t threads,
                    lspo_device_t *device)
{
    static const uint32_t prompt[PROMPT] = {1, 2, 3, 4, 5, 6, 7, 8};
    static read_t reading;
    double tokens_s[REPEATS], reads_s[REPEATS], ratios[REPEATS];
    lspo_workers_t *workers = NULL;
    lspo_generator_t *generator = NULL;
    need(lspo_workers_create(threads, NULL, &workers));
    const lspo_generator_options_t options = {.model = &model,
                                              .stages = (const void *const *)weights->stages,
                                              .batch = 1,
                                              .positions = 2 * PROMPT,
                                              .weights = number,
                                              .workers = workers,
                                              .device = device};
    need(lspo_generator_create(&options, &generator));
    need(lspo_generator_read(generator, prompt, PROMPT, PROMPT));
    reading.weights = weights;
    reading.number = number;
    uint64_t bytes = 0;
    for (uint32_t stage = 1; stage < weights->stage_count; stage++)
        bytes += lspo_generation_weight_bytes(&model, stage, number, &(lspo_int4_form_t){0});
    for (int i = 0; i < REPEATS; i++) {
        reads_s[i] = read_all(&reading, workers);
        tokens_s[i] = one_token(generator, threads);
        ratios[i] = tokens_s[i] / reads_s[i];
    }
    const double ratio = measure_median(ratios, REPEATS), token_s = measure_median(tokens_s, REPEATS);
    const double read_s = measure_median(reads_s, REPEATS);
    printf("%-8s %s, %2u threads | token %6.1f ms, %5.1f GB/s | read %6.1f ms, %5.1f GB/s | ratio %.2f (%.2f..%.2f)\n",
           lspo_cpu_level_name(lspo_cpu_level()), names[number], threads, 1e3 * token_s, 1e-9 * (double)bytes / token_s,
           1e3 * read_s, 1e-9 * (double)bytes / read_s, ratio, ratios[0], ratios[REPEATS - 1]);
    if (threads == 1 && lspo_cpu_level() != LSPO_CPU_PORTABLE)
        measure_gate("token over reading the weights", ratio, 0, 1.1);
    lspo_generator_destroy(generator);
    lspo_workers_destroy(workers);
}

/* ---- products of few rows ---- */

enum { M = 2048, N = 5632, COPIES = 12, SQUARE = 1024 };

typedef struct {
    char *weights; /* COPIES of a weight, each used in turn */
    float *x, *out, *square;
    size_t next;
} operands_t;

static const void *next_weight(operands_t *o, lspo_number_t number)
{
    o->next = (o->next + 1) % COPIES;
    return o->weights + o->next * M * N * lspo_number_bytes(number);
}

static double words_s(operands_t *o, lspo_number_t number)
{
    static volatile uint64_t sum;
    const void *w = next_weight(o, number);
    const double start_s = measure_thread_s();
    sum += sum_words((size_t)M * N * lspo_number_bytes(number) / sizeof(uint64_t), w);
    return measure_thread_s() - start_s;
}

static double product_s(operands_t *o, lspo_number_t number, size_t rows)
{
    const lspo_few_rows_t product = {.rows = rows, .m = M, .n = N, .number = number, .w = next_weight(o, number)};
    const double start_s = measure_thread_s();
    lspo_few_rows_product(&product, o->x, NULL, o->out, NULL);
    return measure_thread_s() - start_s;
}

static double blas_s(operands_t *o, size_t rows)
{
    const float *w = next_weight(o, LSPO_NUMBER_FP32);
    const double start_s = measure_thread_s();
    lspo_gemm_nn(rows, N, M, 1.0F, o->x, M, w, N, 0.0F, o->out, N);
    return measure_thread_s() - start_s;
}

static double square_flops(operands_t *o)
{
    const double start_s = measure_thread_s();
    lspo_gemm_nn(SQUARE, SQUARE, SQUARE, 1.0F, o->square, SQUARE, o->square, SQUARE, 0.0F, o->out, SQUARE);
    return 2.0 * SQUARE * SQUARE * SQUARE / (measure_thread_s() - start_s);
}

static void compare_rows(operands_t *o, lspo_number_t number, size_t rows)
{
    double own_s[REPEATS], over_limit[REPEATS], over_blas[REPEATS];
    for (int i = 0; i < REPEATS; i++) {
        const double read_s = words_s(o, number), flop_s = 2.0 * (double)rows * M * N / square_flops(o);
        own_s[i] = product_s(o, number, rows);
        over_limit[i] = own_s[i] / (read_s > flop_s ? read_s : flop_s);
        over_blas[i] = number == LSPO_NUMBER_FP32 ? own_s[i] / blas_s(o, rows) : 0;
    }
    const double median_s = measure_median(own_s, REPEATS), blas = measure_median(over_blas, REPEATS);
    printf("%s, %2zu rows: %5.2f ms, %5.1f GFLOP/s | over the limit %.2f", names[number], rows, 1e3 * median_s,
           2e-9 * (double)rows * M * N / median_s, measure_median(over_limit, REPEATS));
    if (number != LSPO_NUMBER_FP32) {
        printf("\n");
        return;
    }
    printf(" | over OpenBLAS %.2f\n", blas);
    if (lspo_cpu_level() != LSPO_CPU_PORTABLE)
        measure_gate("few rows over OpenBLAS", blas, 0, 1.05);
}

static void few_rows(void)
{
    static const size_t counts[] = {1, 2, 4, 5, 6, 8, 10, 12, 14, 16};
    operands_t o = {.weights = (char *)measure_floats((size_t)COPIES * M * N),
                    .x = measure_floats((size_t)LSPO_FEW_ROWS * M),
                    .out = measure_floats((size_t)SQUARE * SQUARE),
                    .square = measure_floats((size_t)SQUARE * SQUARE)};
    memset(o.weights, 0x3c, sizeof(float) * COPIES * M * N); /* 0.01 or 1 */
    for (int number = LSPO_NUMBER_FP32; number <= LSPO_NUMBER_FP16; number++)
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
            compare_rows(&o, (lspo_number_t)number, counts[i]);
    free(o.square);
    free(o.out);
    free(o.x);
    free(o.weights);
}

int main(void)
{
    static const lspo_number_t numbers[] = {LSPO_NUMBER_FP32, LSPO_NUMBER_BF16, LSPO_NUMBER_FP16};
    const uint32_t cpus = lspo_workers_cpus();
    for (int i = 0; i < 3; i++) {
        lspo_device_t *device = NULL;
        lspo_generation_weights_t weights;
        need(lspo_device_open("host", &(lspo_device_caps_t){0}, &device));
        need(lspo_generation_weights_load(&(lspo_weights_source_t){.model = &model, .number = numbers[i], .load = load},
                                          device, &weights));
        compare(&weights, numbers[i], 1, device);
        if (cpus > 1)
            compare(&weights, numbers[i], cpus, device);
        lspo_generation_weights_release(&weights);
        lspo_device_close(device);
    }
    few_rows();
    return measure_missed > 0;
}
