/* bench_cuda - each CUDA kernel at the shapes of a Llama's layer (4096 tokens), in each format: time by events, bytes
 * and FLOPs (as counted in the headers of kernels/), and the fraction of the card's rate: bytes against a plain copy on
 * the card, FLOPs against cuBLAS in the same format, both measured here.  Then the alternatives to the projectors'
 * kernels: sparse products by cuSPARSE, and the authors' dense ones.
 *
 * Operands are random numbers, written anew before each line: multiplying zeros takes less power, so clocks are higher.
 * Before each repetition more memory is read than the L2 cache holds, so that it holds nothing of the operands.
 *
 *     bench/bench_cuda [-k REGEX]
 *
 * -k: only lines that match the extended regular expression, as "bf16 llama-7b, d 512, r 4: apply".  The exit status is
 * 77 without a device. */
#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <regex.h>
#include <string.h>
#include <unistd.h>

#include "bench/cuda_calls.h"
#include "bench/measure.h"
#include "kernels/pack.h"
#include "kernels/random.h"
#include "kernels/sketch.h"

enum { WARM_UPS = 3, REPEATS = 21, RANDOM_FLOATS = 1 << 22 };

static const layer_t layers[] = {{"llama-7b, d 512, r 4", 4096, 11008, 128, 512, 4},
                                 {"llama-7b, d 2048, r 16", 4096, 11008, 128, 2048, 16},
                                 {"llama-3b, d 1600, r 8", 3200, 8640, 100, 1600, 8}};
enum { LAYERS = sizeof layers / sizeof *layers, LARGEST = 1 };

/* ---- the table ---- */

typedef struct {
    const char *name;
    int (*run)(void);
    double numbers, bytes, flop; /* moved: numbers of the format, and bytes whatever it is */
} line_t;

/* The amounts in a layer. */
typedef struct {
    double elements, weights, activations, logits, pairs, subspaces, d, r;
} amounts_t;

static amounts_t amounts(void)
{
    const double t = TOKENS, w = (double)bench.layer->width, n = (double)bench.layer->inner;
    return (amounts_t){.elements = t * n,
                       .weights = w * n,
                       .activations = t * w,
                       .logits = (double)LOSS_ROWS * VOCABULARY,
                       .pairs = (double)BATCH * HEADS * SEQUENCE * (SEQUENCE + 1) * (double)bench.layer->head_width,
                       .subspaces = t * bench.layer->d,
                       .d = bench.layer->d,
                       .r = bench.layer->r};
}

static regex_t wanted;
static bool is_restricted;

static void need(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "bench_cuda: %s: %s\n", what, cudaGetErrorString((cudaError_t)error));
        exit(1);
    }
}

static const char *format_name(void)
{
    static const char *const names[] = {"fp32", "bf16", "fp16"}; /* in the order of lspo_number_t */
    return names[bench.on.number];
}

static bool is_wanted(const line_t *line)
{
    char text[256];
    snprintf(text, sizeof text, "%s %s: %s", format_name(), bench.layer->name, line->name);
    return !is_restricted || regexec(&wanted, text, 0, NULL, 0) == 0;
}

/* ---- memory ---- */

static void *on_device(size_t size_bytes, const void *from)
{
    void *memory;
    need((int)cudaMalloc(&memory, size_bytes), "cudaMalloc");
    need((int)(from ? cudaMemcpy(memory, from, size_bytes, cudaMemcpyHostToDevice) : cudaMemset(memory, 0, size_bytes)),
         "cudaMemcpy");
    return memory;
}

/* Normal numbers in the format, or their absolute values in fp32, over and over up to n floats. */
static void fill(float *to, size_t n, bool absolute)
{
    static float *normal, *numbers;
    if (normal == NULL) {
        normal = measure_floats(RANDOM_FLOATS);
        numbers = measure_floats(RANDOM_FLOATS);
        lspo_random_normal_fill(3, 1, 1.0, RANDOM_FLOATS, normal);
    }
    size_t bytes = RANDOM_FLOATS * (absolute ? sizeof *normal : lspo_number_bytes(bench.on.number));
    for (size_t i = 0; absolute && i < RANDOM_FLOATS; i++)
        numbers[i] = normal[i] < 0 ? -normal[i] : normal[i];
    if (!absolute)
        lspo_convert(RANDOM_FLOATS, LSPO_NUMBER_FP32, normal, bench.on.number, numbers);
    const size_t all = n * sizeof *to;
    need((int)cudaMemcpy(to, numbers, bytes < all ? bytes : all, cudaMemcpyHostToDevice), "cudaMemcpy");
    for (; bytes < all; bytes *= 2)
        need((int)cudaMemcpy((char *)to + bytes, to, 2 * bytes <= all ? bytes : all - bytes, cudaMemcpyDeviceToDevice),
             "cudaMemcpy");
}

/* What lines read, and some of them overwrite. */
static void fill_all(void)
{
    for (int i = 0; i < ARRAYS; i++)
        fill(bench.array[i], bench.array_floats[i], false);
    fill(bench.small, bench.small_floats, false);
    fill(bench.positive, bench.matrix, true);
    fill(bench.gradient, (size_t)bench.layer->d * bench.layer->d, true);
}

static uint32_t *random_numbers(uint64_t stream, uint32_t bound, size_t n)
{
    uint32_t *numbers = malloc(n * sizeof *numbers);
    need(numbers == NULL, "malloc");
    for (size_t i = 0; i < n; i++)
        numbers[i] = lspo_random_below(1, stream, i, bound);
    uint32_t *memory = on_device(n * sizeof *numbers, numbers);
    free(numbers);
    return memory;
}

/* 0, step, 2 step, ... */
static uint32_t *multiples(uint32_t step, size_t n)
{
    uint32_t *numbers = malloc(n * sizeof *numbers);
    need(numbers == NULL, "malloc");
    for (size_t i = 0; i < n; i++)
        numbers[i] = (uint32_t)i * step;
    uint32_t *memory = on_device(n * sizeof *numbers, numbers);
    free(numbers);
    return memory;
}

static lspo_projector_t projector(size_t rows, uint64_t seed)
{
    lspo_projector_t host;
    need(!lspo_projector_random((uint32_t)rows, bench.layer->d, bench.layer->r, seed, &host), "lspo_projector_random");
    const size_t entries = (size_t)host.rows * host.r;
    lspo_projector_t device = host;
    device.index = on_device(entries * sizeof *host.index, host.index);
    device.value = on_device(entries * sizeof *host.value, host.value);
    device.column_first = on_device((host.d + 1) * sizeof *host.column_first, host.column_first);
    device.column_entry = on_device(entries * sizeof *host.column_entry, host.column_entry);
    lspo_projector_release(&host);
    return device;
}

/* A weight of the layer with 88.5 % zeros, packed, and the dictionary. */
static void prepare_ternary(void)
{
    const size_t m = bench.layer->width, n = bench.layer->inner, room = n * ((m + 1) / 2);
    float *w = measure_floats(m * n), *scratch = measure_floats(m * n);
    char *memory = malloc(lspo_ternary_bytes(n, room));
    size_t codes = 0;
    need(memory == NULL, "malloc");
    const lspo_ternary_t packed = lspo_ternary_in(m, n, memory);
    lspo_random_normal_fill(3, 2, 0.02, m * n, w);
    lspo_ternary_round(m, n, 0.885, w, scratch);
    need(lspo_ternary_pack(w, room, &packed, &codes) != LSPO_OK, "lspo_ternary_pack");
    bench.ternary_bytes = lspo_ternary_bytes(n, codes);
    bench.ternary = lspo_ternary_in(m, n, on_device(bench.ternary_bytes, memory));
    bench.ternary_table = on_device(LSPO_TERNARY_CODES * sizeof(uint32_t), lspo_ternary_table());
    free(memory);
    free(scratch);
    free(w);
}

static void release(const lspo_projector_t *projector)
{
    void *arrays[] = {projector->index, projector->value, projector->column_first, projector->column_entry};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        (void)cudaFree(arrays[i]);
}

/* For every layer. */
static void prepare(size_t cache_bytes)
{
    const layer_t *const largest = &layers[LARGEST];
    const size_t vocabulary = VOCABULARY * largest->width, widest = TOKENS * largest->inner;
    for (int i = 0; i < ARRAYS; i++) { /* the largest array: the embedding */
        bench.array_floats[i] = i == 0 ? vocabulary : widest;
        bench.array[i] = on_device(bench.array_floats[i] * sizeof(float), NULL);
    }
    bench.small_floats = 2 * (size_t)TOKENS * HEADS;
    bench.small = on_device(bench.small_floats * sizeof(float), NULL);
    bench.gradient = on_device((size_t)largest->d * largest->d * sizeof(float), NULL);
    bench.positive = on_device(largest->width * largest->inner * sizeof(float), NULL);
    bench.cache_floats = 2 * cache_bytes / sizeof(float) + 1;
    bench.beyond_cache = on_device(bench.cache_floats * sizeof(float), NULL);
    bench.doubles = on_device(4 * LSPO_SUM_OF_SQUARES_PARTS * sizeof(double), NULL);
    bench.on.column_sums = on_device(LSPO_COLUMN_SUM_FLOATS * sizeof(float), NULL);
    bench.ids = random_numbers(1, VOCABULARY, TOKENS);
    need(cublasCreate((cublasHandle_t *)&bench.on.cublas) != CUBLAS_STATUS_SUCCESS ? (int)cudaErrorUnknown : 0,
         "cublasCreate");
    need(lspo_matmul_create_cuda(bench.on.cublas, &bench.on.matmul), "lspo_matmul_create_cuda");
}

static void prepare_layer(void)
{
    bench.floats = TOKENS * bench.layer->inner;
    bench.matrix = bench.layer->width * bench.layer->inner;
    bench.tokens_wide = TOKENS * bench.layer->width;
    bench.columns = random_numbers(2, (uint32_t)bench.layer->inner, bench.layer->inner);
    bench.p = projector(bench.layer->width, 1);
    bench.q = projector(bench.layer->inner, 2);
    bench.row_first = multiples(bench.layer->r, bench.layer->inner + 1);
    const size_t compress_n = lspo_sketch_compress_scratch(&bench.p, &bench.q, TOKENS),
                 apply_n = lspo_sketch_apply_scratch(&bench.p, &bench.q);
    bench.dense = on_device((compress_n > apply_n ? compress_n : apply_n) * sizeof(float), NULL);
    prepare_ternary();
}

static void release_layer(void)
{
    void *arrays[] = {bench.columns, bench.row_first, bench.dense, bench.ternary.rows, bench.ternary_table};
    release(&bench.p);
    release(&bench.q);
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        (void)cudaFree(arrays[i]);
}

/* ---- times ---- */

/* Reads more than the L2 cache holds. */
static void empty_cache(void)
{
    lspo_cuda_t fp32 = bench.on;
    fp32.number = LSPO_NUMBER_FP32;
    need(lspo_sum_of_squares_cuda(&fp32, bench.cache_floats, bench.beyond_cache,
                                  bench.doubles + 2 * (size_t)LSPO_SUM_OF_SQUARES_PARTS,
                                  bench.doubles + 4 * (size_t)LSPO_SUM_OF_SQUARES_PARTS - 1),
         "sum of squares");
}

static double median_time_s(const line_t *line)
{
    double times_s[REPEATS];
    cudaEvent_t start, end;
    need((int)cudaEventCreate(&start), "cudaEventCreate");
    need((int)cudaEventCreate(&end), "cudaEventCreate");
    fill_all();
    for (int i = -WARM_UPS; i < REPEATS; i++) {
        float time_ms = 0;
        empty_cache();
        need((int)cudaEventRecord(start, NULL), line->name);
        need(line->run(), line->name);
        need((int)cudaEventRecord(end, NULL), line->name);
        need((int)cudaEventSynchronize(end), line->name);
        need((int)cudaEventElapsedTime(&time_ms, start, end), line->name);
        if (i >= 0)
            times_s[i] = 1e-3 * (double)time_ms;
    }
    (void)cudaEventDestroy(start);
    (void)cudaEventDestroy(end);
    return measure_median(times_s, REPEATS);
}

/* Rates of a line.  A card's: of the copy and of the product. */
typedef struct {
    double Bps, flops;
} rates_t;

/* Prints the line's, as shares of the card's where these are known. */
static rates_t measure_line(const line_t *line, const rates_t *card)
{
    const double time_s = median_time_s(line),
                 bytes = line->numbers * (double)lspo_number_bytes(bench.on.number) + line->bytes;
    const double Bps = bytes / time_s, flops = line->flop / time_s;
    printf("%-24s %10.1f %10.1f %10.2f %10.1f %7.1f%% %10.2f %7.1f%%\n", line->name, 1e6 * time_s, 1e-6 * bytes,
           1e-9 * line->flop, 1e-9 * Bps, card->Bps > 0 ? 100 * Bps / card->Bps : 100, 1e-12 * flops,
           card->flops > 0 ? 100 * flops / card->flops : 100);
    return (rates_t){Bps, flops};
}

/* What the lines are measured against; measured, and printed below a title, before the first of them. */
static const rates_t *card_rates(void)
{
    static rates_t card;
    static const layer_t *of_layer;
    static lspo_number_t of_number;
    const amounts_t a = amounts();
    if (of_layer == bench.layer && of_number == bench.on.number)
        return &card;
    of_layer = bench.layer;
    of_number = bench.on.number;
    printf("\n%s %s\n%-24s %10s %10s %10s %10s %8s %10s %8s\n", format_name(), bench.layer->name, "", "time us", "MB",
           "GFLOP", "GB/s", "of copy", "TFLOP/s", "of gemm");
    card = (rates_t){0, 0};
    card.Bps = measure_line(&(line_t){"copy on the card", cuda_call_copy, 0, 8 * a.elements, 0}, &card).Bps;
    card.flops = measure_line(&(line_t){"cublas product", cuda_call_product, a.activations + a.weights + a.elements, 0,
                                        2 * a.activations * (double)bench.layer->inner},
                              &card)
                     .flops;
    return &card;
}

static void measure_lines(const line_t *lines, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_wanted(&lines[i]))
            (void)measure_line(&lines[i], card_rates());
}
#define MEASURE(lines) measure_lines(lines, sizeof(lines) / sizeof *(lines))

static void measure_optimizers(void)
{
    const amounts_t a = amounts();
    const line_t lines[] = {
        {"adam", cuda_call_adam, 0, 28 * a.weights, 0}, /* in 16 bits with the master */
        {"adam's direction", cuda_call_adam_direction, 2 * a.weights, 16 * a.weights, 0},
        {"step along a direction", cuda_call_step_along, 2 * a.weights, 4 * a.weights, 3 * a.weights},
        {"from fp32", cuda_call_pack, a.weights, 4 * a.weights, 0},
        {"to fp32", cuda_call_unpack, a.weights, 4 * a.weights, 0},
        {"from 4 bits", cuda_call_nf4_expand, a.weights, 0.516 * a.weights, 0},
        {"sum of squares", cuda_call_sum_of_squares, a.weights, 0, 2 * a.weights},
        {"columns gather, a tenth", cuda_call_columns_gather, 0.2 * a.weights, 0, 0},
    };
    MEASURE(lines);
}

/* Only in 16 bits. */
static void measure_int4(void)
{
    const amounts_t a = amounts();
    const line_t lines[] = {
        {"product in 4 bits, 1 row", cuda_call_int4_one_row, 0, 0.516 * a.weights, 2 * a.weights},
        {"product in 4 bits, 16 rows", cuda_call_int4_16_rows, 0, 0.516 * a.weights, 32 * a.weights},
    };
    if (bench.on.number != LSPO_NUMBER_FP32)
        MEASURE(lines);
}

/* What the bytes are of: a product with the same weight in 16 bits reads 16 over 0.74 times as many. */
static void measure_ternary(void)
{
    const line_t lines[] = {
        {"ternary product, 1 row", cuda_call_ternary, 0, (double)bench.ternary_bytes, 2 * 0.115 * amounts().weights},
        {"cublas product, 1 row", cuda_call_product_one_row, amounts().weights, 0, 2 * amounts().weights}};
    MEASURE(lines);
}

static double inner_flop(const amounts_t *a, double per_row)
{
    return 2 * (double)bench.layer->width * a->d * per_row;
}

static void measure_projectors(void)
{
    const amounts_t a = amounts();
    const double both = a.elements + a.activations, products = 2 * a.subspaces * a.d;
    const line_t lines[] = {
        {"gather dY Q", cuda_call_gather, a.elements + a.subspaces, 0, 2 * a.elements * a.r},
        {"compress", cuda_call_compress, both + 4 * a.subspaces, 0, 2 * both * a.r + products},
        {"compress, dense", cuda_call_sketch_compress, both + 4 * a.subspaces, 0, 2 * both * a.d + products},
        {"apply", cuda_call_apply, 2 * a.weights, 0, inner_flop(&a, a.r) + 2 * a.weights * a.r},
        {"apply, dense", cuda_call_sketch_apply, 2 * a.weights, 0, inner_flop(&a, a.d) + 2 * a.weights * a.d},
    };
    MEASURE(lines);
}

static void measure_layers(void)
{
    const amounts_t a = amounts();
    const line_t lines[] = {
        {"embedding forward", cuda_call_embedding_forward, 2 * a.activations, 0, 0},
        {"embedding backward", cuda_call_embedding_backward, 3 * a.activations, 0, a.activations},
        {"layer norm forward", cuda_call_norm_forward, 2 * a.activations, 0, 8 * a.activations},
        {"rms norm forward", cuda_call_rms_norm_forward, 2 * a.activations, 0, 8 * a.activations},
        {"rms norm backward", cuda_call_rms_norm_backward, 4 * a.activations, 0, 14 * a.activations},
        {"rms norm backward, gain", cuda_call_rms_norm_backward_gain, 6 * a.activations, 0, 18 * a.activations},
        {"gelu forward", cuda_call_gelu_forward, 2 * a.elements, 0, 20 * a.elements},
        {"gelu backward", cuda_call_gelu_backward, 3 * a.elements, 0, 28 * a.elements},
        {"swiglu forward", cuda_call_swiglu_forward, 3 * a.elements, 0, 0},
        {"swiglu backward", cuda_call_swiglu_backward, 5 * a.elements, 0, 0},
        {"rotary", cuda_call_rotary, 2 * a.activations, 0, 3 * a.activations},
        {"attention forward", cuda_call_attention_forward, 4 * a.activations, 0, 2 * a.pairs},
        {"attention backward", cuda_call_attention_backward, 8 * a.activations, 0, 7 * a.pairs},
        {"cross-entropy forward", cuda_call_loss_forward, 2 * a.logits, 0, 16 * a.logits},
        {"cross-entropy backward", cuda_call_loss_backward, 2 * a.logits, 0, a.logits},
        {"bias add", cuda_call_bias_add, 2 * a.elements, 0, a.elements},
        {"column sum", cuda_call_column_sum, a.elements, 0, a.elements},
        {"column sum, narrow", cuda_call_column_sum_narrow, a.activations, 0, a.activations},
        {"residual add", cuda_call_residual_add, 3 * a.activations, 0, a.activations},
    };
    MEASURE(lines);
}

/* The line again with each other choice of cuBLASLt; prints the best one, if it is faster than its first by more than
 * medians differ. */
static void measure_choices(const line_t *line)
{
    static const double faster = 0.98;
    char name[40];
    double least_s = faster * median_time_s(line);
    uint32_t best = 0;
    for (uint32_t nth = 1; nth < LSPO_MATMUL_CHOICES; nth++) {
        lspo_matmul_take_cuda(bench.on.matmul, nth);
        const double time_s = median_time_s(line);
        if (time_s < least_s && lspo_matmul_took_cuda(bench.on.matmul)) {
            least_s = time_s;
            best = nth;
        }
    }
    lspo_matmul_take_cuda(bench.on.matmul, best);
    snprintf(name, sizeof name, "... choice %u of cublaslt", best + 1);
    if (best > 0)
        (void)measure_line(&(line_t){name, line->run, line->numbers, line->bytes, line->flop}, card_rates());
    lspo_matmul_take_cuda(bench.on.matmul, 0);
}

static void measure_products(void)
{
    const amounts_t a = amounts();
    const double moved = a.activations + a.weights + 2 * a.elements,
                 flop = 2 * a.activations * (double)bench.layer->inner;
    const line_t lines[] = {
        {"linear, bias, residual", cuda_call_linear_bias_residual, moved, 0, flop},
        {"linear, bias, gelu", cuda_call_linear_gelu, moved, 0, flop},
        {"linear, gelu backward", cuda_call_linear_gelu_backward, moved, 0, flop},
        {"adapter forward", cuda_call_adapter_forward, a.activations + 2 * a.elements, 0,
         2.0 * RANK * (a.activations + a.elements)},
    };
    MEASURE(lines);
    for (size_t i = 0; i < 3 && bench.on.number == LSPO_NUMBER_FP16; i++)
        if (is_wanted(&lines[i]))
            measure_choices(&lines[i]);
}

/* ---- peers ---- */

/* dY Q is the transpose of Q^T dY^T: to cuSPARSE, which takes the sparse matrix on the left, by columns; here by rows
 * of Q, transposed. */
static void measure_sparse_gather(void)
{
    const amounts_t a = amounts();
    const line_t line = {"gather dY Q, cusparse", cuda_call_sparse_products, a.elements + a.subspaces, 0,
                         2 * a.elements * a.r};
    if (!is_wanted(&line))
        return;
    uint32_t *rows = on_device((size_t)bench.q.rows * bench.q.r * sizeof *rows, NULL);
    float *values = on_device((size_t)bench.q.rows * bench.q.r * sizeof *values, NULL);
    need((int)cudaMemcpy2D(rows, sizeof *rows, &bench.q.column_entry->row, sizeof *bench.q.column_entry, sizeof *rows,
                           (size_t)bench.q.rows * bench.q.r, cudaMemcpyDeviceToDevice),
         "cudaMemcpy2D");
    need((int)cudaMemcpy2D(values, sizeof *values, &bench.q.column_entry->value, sizeof *bench.q.column_entry,
                           sizeof *values, (size_t)bench.q.rows * bench.q.r, cudaMemcpyDeviceToDevice),
         "cudaMemcpy2D");
    const sparse_rows_t by_columns = {bench.q.d, bench.q.rows, (size_t)bench.q.rows * bench.q.r, bench.q.column_first,
                                      rows,      values};
    bench.peer = sparse_peer_create(
        bench.on.number, &(sparse_product_t){by_columns, TOKENS, true, 1, 0, bench.array[0], bench.array[1]});
    if (bench.peer != NULL)
        measure_lines(&line, 1);
    sparse_peer_destroy(bench.peer);
    (void)cudaFree(rows);
    (void)cudaFree(values);
}

static sparse_rows_t by_rows(const lspo_projector_t *from)
{
    return (sparse_rows_t){from->rows,      from->d,     (size_t)from->rows * from->r,
                           bench.row_first, from->index, from->value};
}

/* P delta, then W^T -= eta Q (P delta)^T.  Bytes as if nothing were written in between. */
static void measure_sparse_apply(void)
{
    const amounts_t a = amounts();
    const line_t line = {"apply, cusparse", cuda_call_sparse_products, 2 * a.weights, 0,
                         inner_flop(&a, a.r) + 2 * a.weights * a.r};
    if (!is_wanted(&line))
        return;
    bench.peer = sparse_peer_create(bench.on.number, &(sparse_product_t){by_rows(&bench.p), bench.layer->d, false, 1, 0,
                                                                         bench.gradient, bench.array[1]});
    bench.peer_behind =
        sparse_peer_create(bench.on.number, &(sparse_product_t){by_rows(&bench.q), bench.layer->width, true, -1e-4F, 1,
                                                                bench.array[1], bench.array[0]});
    if (bench.peer != NULL && bench.peer_behind != NULL)
        measure_lines(&line, 1);
    sparse_peer_destroy(bench.peer);
    sparse_peer_destroy(bench.peer_behind);
    bench.peer_behind = NULL;
}

static void measure_all(const struct cudaDeviceProp *device)
{
    for (int i = 0; i < LAYERS; i++) {
        bench.layer = &layers[i];
        prepare_layer();
        for (bench.on.number = LSPO_NUMBER_FP32; bench.on.number <= LSPO_NUMBER_FP16; bench.on.number++) {
            if (bench.on.number == LSPO_NUMBER_BF16 && device->major < 8)
                continue;
            measure_projectors();
            measure_sparse_gather();
            measure_sparse_apply();
            measure_optimizers();
            measure_int4();
            measure_ternary();
            measure_layers();
            measure_products();
        }
        release_layer();
    }
}

static int usage(const char *what)
{
    fprintf(stderr, "bench_cuda: %s\nusage: bench_cuda [-k REGEX]\n", what);
    return 2;
}

int main(int argc, char **argv)
{
    int count = 0, option;
    struct cudaDeviceProp device;
    while ((option = getopt(argc, argv, "k:")) != -1) {
        if (option != 'k')
            return usage("-k REGEX is the only option");
        if (is_restricted || regcomp(&wanted, optarg, REG_EXTENDED | REG_NOSUB) != 0)
            return usage("-k takes one extended regular expression");
        is_restricted = true;
    }
    if (optind != argc)
        return usage("no arguments are expected");
    if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
        printf("bench_cuda: no CUDA device\n");
        return 77;
    }
    need((int)cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
    prepare((size_t)device.l2CacheSize);
    printf("%s: %d tokens; median of %d, random numbers, nothing in the L2 cache of %d MiB\n", device.name, TOKENS,
           REPEATS, device.l2CacheSize >> 20);
    measure_all(&device);
    return 0;
}
