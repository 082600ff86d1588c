/* bench_cuda - each CUDA kernel at the shapes of a 7B Llama's layer (4096 tokens), in each format: time by events,
 * bytes and FLOPs (as counted in the headers of kernels/), and the fraction of the card's rate: bytes against a plain
 * copy on the card, FLOPs against cuBLAS in the same format, both measured here.  Then the alternatives to the
 * projectors' kernels: sparse products by cuSPARSE, and the authors' dense ones.
 *
 *     bench/bench_cuda        77 without a device
 */
#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <stdint.h>

#include "bench/measure.h"
#include "bench/sparse_peer.h"
#include "kernels/attention.h"
#include "kernels/cuda.h"
#include "kernels/random.h"
#include "kernels/sketch.h"

enum {
    BATCH = 8,
    SEQUENCE = 512,
    TOKENS = BATCH * SEQUENCE,
    WIDTH = 4096,
    HEADS = 32,
    HEAD_WIDTH = WIDTH / HEADS,
    INNER = 11008,
    VOCABULARY = 32000,
    LOSS_ROWS = 1024,
    SUBSPACE = 512,
    NONZEROS = 4,
    RANK = 16,
    WARM_UPS = 3,
    REPEATS = 21,
    ARRAYS = 4
};

/* Device arrays of the largest shape each, and what is not floats. */
static float *array[ARRAYS], *gradient, *small;
static lspo_cuda_t on; /* in the format of the lines that run now */
static const lspo_vector_step_t descent = {.keep = 1.0F, .rate = 1e-4F};
static uint32_t *ids, *columns;
static double *doubles;
static lspo_projector_t p, q;
static uint32_t *row_first; /* of a projector's entries by rows */
static void *dense;         /* for what is written out dense    */
static sparse_peer_t *peer, *peer_behind;

static const size_t floats = (size_t)TOKENS * INNER, matrix = (size_t)WIDTH * INNER,
                    tokens_wide = (size_t)TOKENS * WIDTH;

/* ---- one function a line of the table ---- */

static int copy(void)
{
    return (int)cudaMemcpyAsync(array[0], array[1], floats * sizeof(float), cudaMemcpyDeviceToDevice, NULL);
}

static int product(void)
{
    return lspo_gemm_nn_cuda(&on, TOKENS, INNER, WIDTH, 1.0F, array[0], WIDTH, array[1], INNER, 0.0F, array[2], INNER);
}

static int adam(void)
{
    const lspo_adam_t step = lspo_adam_default(1e-4F, 10);
    const bool has_master = on.number != LSPO_NUMBER_FP32;
    return lspo_adam_parameters_cuda(
        &on, &step,
        &(lspo_adam_state_t){.count = matrix, .m = array[1], .v = array[2], .master = has_master ? array[3] : NULL},
        array[0], has_master ? array[0] : array[3]);
}

static int adam_direction(void)
{
    const lspo_adam_t step = lspo_adam_default(1e-4F, 10);
    return lspo_adam_direction_cuda(&on, &step, &(lspo_adam_state_t){.count = matrix, .m = array[1], .v = array[2]},
                                    array[0], array[0]);
}

static int pack(void)
{
    return lspo_convert_cuda(matrix, LSPO_NUMBER_FP32, array[0], on.number, array[1], NULL);
}

static int unpack(void)
{
    return lspo_convert_cuda(matrix, on.number, array[0], LSPO_NUMBER_FP32, array[1], NULL);
}

/* What the codes are does not matter. */
static int nf4_expand(void)
{
    lspo_nf4_t codes;
    lspo_nf4_place(1, &matrix, array[2], &codes);
    return lspo_nf4_expand_cuda(&on, &codes, array[1]);
}

static int step_along(void)
{
    return lspo_step_along_cuda(&on, matrix, &(lspo_vector_step_t){1.0F, 1e-4F, 1}, LSPO_NUMBER_FP32, array[0],
                                array[1]);
}

static int gather(void)
{
    return lspo_projector_gather_cuda(&on, &q, TOKENS, array[0], INNER, array[1]);
}

static int compress(void)
{
    return lspo_projector_compress_cuda(&on, &(lspo_projector_pair_t){&p, &q},
                                        &(lspo_gradient_factors_t){TOKENS, array[0], WIDTH, array[1], INNER}, 0.0F,
                                        gradient, array[2]);
}

static int apply(void)
{
    return lspo_projector_apply_cuda(&on, &(lspo_projector_pair_t){&p, &q}, gradient, &descent, array[0]);
}

static int embedding_forward(void)
{
    return lspo_embedding_forward_cuda(
        &on, &(lspo_embedding_t){.batch = BATCH, .sequence = SEQUENCE, .width = WIDTH, .ids = ids}, array[0], NULL,
        array[1]);
}

static int embedding_backward(void)
{
    return lspo_embedding_backward_cuda(
        &on, &(lspo_embedding_t){.batch = BATCH, .sequence = SEQUENCE, .width = WIDTH, .ids = ids}, array[1], array[0],
        NULL);
}

static int norm_forward(void)
{
    return lspo_norm_forward_cuda(
        &on, &(lspo_norm_t){.rows = TOKENS, .width = WIDTH, .epsilon = 1e-5F, .gain = small, .bias = small}, array[0],
        array[1], small + WIDTH, small + 2 * WIDTH);
}

static int rms_norm_forward(void)
{
    return lspo_rms_norm_forward_cuda(&on,
                                      &(lspo_norm_t){.rows = TOKENS, .width = WIDTH, .epsilon = 1e-5F, .gain = small},
                                      array[0], array[1], small + WIDTH);
}

static int rms_norm_backward(void)
{
    return lspo_rms_norm_backward_cuda(
        &on, &(lspo_norm_t){.rows = TOKENS, .width = WIDTH, .gain = small},
        &(lspo_norm_operands_t){.dout = array[0], .x = array[1], .residual = array[2], .rstd = small + WIDTH},
        &(lspo_norm_gradients_t){.dx = array[3]});
}

static int rms_norm_backward_gain(void)
{
    return lspo_rms_norm_backward_cuda(
        &on, &(lspo_norm_t){.rows = TOKENS, .width = WIDTH, .gain = small},
        &(lspo_norm_operands_t){.dout = array[0], .x = array[1], .residual = array[2], .rstd = small + WIDTH},
        &(lspo_norm_gradients_t){.dx = array[3], .dgain = small + 2 * WIDTH});
}

static int gelu_forward(void)
{
    return lspo_gelu_forward_cuda(&on, LSPO_GELU_TANH, floats, array[0], array[1]);
}

static int gelu_backward(void)
{
    return lspo_gelu_backward_cuda(&on, LSPO_GELU_TANH, TOKENS, INNER, array[0],
                                   &(lspo_gelu_gradients_t){.d = array[1]});
}

static int swiglu_forward(void)
{
    return lspo_swiglu_forward_cuda(&on, floats, array[0], array[1], array[2]);
}

static int swiglu_backward(void)
{
    return lspo_swiglu_backward_cuda(&on, floats, array[0], array[1], array[2], array[3]);
}

static int rotary(void)
{
    return lspo_rotary_forward_cuda(
        &on,
        &(lspo_rotary_t){
            .batch = BATCH, .sequence = SEQUENCE, .heads = HEADS, .head_width = HEAD_WIDTH, .table = small},
        array[0]);
}

static const lspo_attention_t shape = {.batch = BATCH,
                                       .sequence = SEQUENCE,
                                       .heads = HEADS,
                                       .kv_heads = HEADS,
                                       .head_width = HEAD_WIDTH,
                                       .q_stride = WIDTH,
                                       .kv_stride = WIDTH,
                                       .causal = true};

/* Q, K, V in one array, dQ, dK, dV in another; their rows' sums in `small`. */
static int attention_forward(void)
{
    return lspo_attention_forward_cuda(
        &on, &shape, &(lspo_attention_operands_t){.q = array[0], .k = array[0] + tokens_wide / 2, .v = array[1]}, small,
        array[2]);
}

static int attention_backward(void)
{
    float *dots = small + (size_t)TOKENS * HEADS;
    return lspo_attention_backward_cuda(
        &on, &shape,
        &(lspo_attention_operands_t){.q = array[0],
                                     .k = array[0] + tokens_wide / 2,
                                     .v = array[1],
                                     .kept = small,
                                     .out = array[2],
                                     .dout = array[2]},
        &(lspo_attention_gradients_t){.dq = array[3], .dk = array[3] + tokens_wide, .dv = array[1] + tokens_wide},
        dots);
}

static int loss_forward(void)
{
    return lspo_cross_entropy_forward_cuda(
        &on, &(lspo_cross_entropy_t){.rows = LOSS_ROWS, .vocabulary = VOCABULARY, .stride = VOCABULARY, .targets = ids},
        array[0], doubles, doubles + LOSS_ROWS);
}

static int loss_backward(void)
{
    return lspo_cross_entropy_backward_cuda(
        &on, &(lspo_cross_entropy_t){.rows = LOSS_ROWS, .vocabulary = VOCABULARY, .stride = VOCABULARY, .targets = ids},
        array[0], 1.0F, array[0]);
}

static int bias_add(void)
{
    return lspo_bias_add_cuda(&on, TOKENS, INNER, array[0], small, array[0]);
}

static int column_sum(void)
{
    return lspo_column_sum_cuda(&on, TOKENS, INNER, array[0], false, small);
}

static int residual_add(void)
{
    return lspo_vector_add_cuda(&on, tokens_wide, array[0], array[1]);
}

static int sum_of_squares(void)
{
    return lspo_sum_of_squares_cuda(&on, matrix, array[0], doubles, doubles + LSPO_SUM_OF_SQUARES_PARTS);
}

static int columns_gather(void)
{
    return lspo_columns_gather_cuda(&on, &(lspo_columns_t){WIDTH, INNER, INNER / 10}, columns, array[0], array[1]);
}

static int adapter_forward(void)
{
    return lspo_adapter_forward_cuda(
        &on,
        &(lspo_adapter_t){.tokens = TOKENS, .m = WIDTH, .n = INNER, .r = RANK, .scale = 1.0F, .a = small, .b = small},
        array[0], array[1], array[2]);
}

static int linear_bias_residual(void)
{
    return lspo_linear_forward_cuda(
        &on, &(lspo_linear_t){.tokens = TOKENS, .m = WIDTH, .n = INNER, .w = array[1], .bias = small}, array[0],
        array[2], array[2]);
}

static int linear_gelu(void)
{
    return lspo_linear_gelu_forward_cuda(
        &on, &(lspo_linear_t){.tokens = TOKENS, .m = WIDTH, .n = INNER, .w = array[1], .bias = small}, array[0],
        array[2], array[3]);
}

static int linear_gelu_backward(void)
{
    return lspo_linear_gelu_backward_cuda(&on,
                                          &(lspo_linear_t){.tokens = TOKENS, .m = INNER, .n = WIDTH, .w = array[1]},
                                          array[0], array[2], &(lspo_gelu_gradients_t){.d = array[3], .bias = small});
}

static int sketch_compress(void)
{
    return lspo_sketch_compress_cuda(&on, &(lspo_projector_pair_t){&p, &q},
                                     &(lspo_gradient_factors_t){TOKENS, array[0], WIDTH, array[1], INNER}, 0.0F,
                                     gradient, dense);
}

static int sketch_apply(void)
{
    return lspo_sketch_apply_cuda(&on, &(lspo_projector_pair_t){&p, &q}, gradient, &descent, array[0], dense);
}

static int sparse_products(void)
{
    const int error = sparse_peer_run(peer);
    return error == 0 && peer_behind != NULL ? sparse_peer_run(peer_behind) : error;
}

/* ---- the table ---- */

typedef struct {
    const char *name;
    int (*run)(void);
    double numbers, bytes, flop; /* moved: numbers of the format, and bytes whatever it is */
} line_t;

#define ELEMENTS ((double)TOKENS * INNER)
#define WEIGHTS ((double)WIDTH * INNER)
#define ACTIVATIONS ((double)TOKENS * WIDTH)
#define LOGITS ((double)LOSS_ROWS * VOCABULARY)
#define PAIRS ((double)BATCH * HEADS * SEQUENCE * (SEQUENCE + 1) * HEAD_WIDTH)
#define SUBSPACES ((double)TOKENS * SUBSPACE)

/* What the others are measured against. */
static const line_t copy_line = {"copy on the card", copy, 0, 8 * ELEMENTS, 0};
static const line_t product_line = {"cublas product", product, ACTIVATIONS + WEIGHTS + ELEMENTS, 0,
                                    2 * ACTIVATIONS *INNER};

/* Bytes as if nothing were written in between. */
static const line_t sparse_gather_line = {"gather dY Q, cusparse", sparse_products, ELEMENTS + SUBSPACES, 0,
                                          2 * ELEMENTS *NONZEROS};
static const line_t sparse_apply_line = {"apply, cusparse", sparse_products, 2 * WEIGHTS, 0,
                                         2.0 * WIDTH *SUBSPACE *NONZEROS + 2 * WEIGHTS *NONZEROS};

static const line_t lines[] = {
    {"adam", adam, 0, 28 * WEIGHTS, 0}, /* in 16 bits with the master */
    {"adam's direction", adam_direction, 2 * WEIGHTS, 16 * WEIGHTS, 0},
    {"step along a direction", step_along, 2 * WEIGHTS, 4 * WEIGHTS, 3 * WEIGHTS},
    {"from fp32", pack, WEIGHTS, 4 * WEIGHTS, 0},
    {"to fp32", unpack, WEIGHTS, 4 * WEIGHTS, 0},
    {"from 4 bits", nf4_expand, WEIGHTS, 0.516 * WEIGHTS, 0},
    {"gather dY Q", gather, ELEMENTS + SUBSPACES, 0, 2 * ELEMENTS *NONZEROS},
    {"compress", compress, ELEMENTS + ACTIVATIONS + 4 * SUBSPACES, 0,
     2 * (ELEMENTS + ACTIVATIONS) * NONZEROS + 2 * SUBSPACES *SUBSPACE},
    {"apply", apply, 2 * WEIGHTS, 0, 2.0 * WIDTH *SUBSPACE *NONZEROS + 2 * WEIGHTS *NONZEROS},
    {"embedding forward", embedding_forward, 2 * ACTIVATIONS, 0, 0},
    {"embedding backward", embedding_backward, 3 * ACTIVATIONS, 0, ACTIVATIONS},
    {"layer norm forward", norm_forward, 2 * ACTIVATIONS, 0, 8 * ACTIVATIONS},
    {"rms norm forward", rms_norm_forward, 2 * ACTIVATIONS, 0, 8 * ACTIVATIONS},
    {"rms norm backward", rms_norm_backward, 4 * ACTIVATIONS, 0, 14 * ACTIVATIONS},
    {"rms norm backward, gain", rms_norm_backward_gain, 6 * ACTIVATIONS, 0, 18 * ACTIVATIONS},
    {"gelu forward", gelu_forward, 2 * ELEMENTS, 0, 20 * ELEMENTS},
    {"gelu backward", gelu_backward, 3 * ELEMENTS, 0, 28 * ELEMENTS},
    {"swiglu forward", swiglu_forward, 3 * ELEMENTS, 0, 0},
    {"swiglu backward", swiglu_backward, 5 * ELEMENTS, 0, 0},
    {"rotary", rotary, 2 * ACTIVATIONS, 0, 3 * ACTIVATIONS},
    {"attention forward", attention_forward, 4 * ACTIVATIONS, 0, 2 * PAIRS},
    {"attention backward", attention_backward, 8 * ACTIVATIONS, 0, 7 * PAIRS},
    {"cross-entropy forward", loss_forward, 2 * LOGITS, 0, 16 * LOGITS},
    {"cross-entropy backward", loss_backward, 2 * LOGITS, 0, LOGITS},
    {"bias add", bias_add, 2 * ELEMENTS, 0, ELEMENTS},
    {"column sum", column_sum, ELEMENTS, 0, ELEMENTS},
    {"residual add", residual_add, 3 * ACTIVATIONS, 0, ACTIVATIONS},
    {"sum of squares", sum_of_squares, WEIGHTS, 0, 2 * WEIGHTS},
    {"columns gather, a tenth", columns_gather, 0.2 * WEIGHTS, 0, 0},
    {"linear, bias, residual", linear_bias_residual, ACTIVATIONS + WEIGHTS + 2 * ELEMENTS, 0, 2 * ACTIVATIONS *INNER},
    {"linear, bias, gelu", linear_gelu, ACTIVATIONS + WEIGHTS + 2 * ELEMENTS, 0, 2 * ACTIVATIONS *INNER},
    {"linear, gelu backward", linear_gelu_backward, ACTIVATIONS + WEIGHTS + 2 * ELEMENTS, 0, 2 * ACTIVATIONS *INNER},
    {"compress, dense", sketch_compress, ELEMENTS + ACTIVATIONS + 4 * SUBSPACES, 0,
     2 * (ELEMENTS + ACTIVATIONS) * SUBSPACE + 2 * SUBSPACES *SUBSPACE},
    {"apply, dense", sketch_apply, 2 * WEIGHTS, 0, 2.0 * WIDTH *SUBSPACE *SUBSPACE + 2 * WEIGHTS *SUBSPACE},
    {"adapter forward", adapter_forward, ACTIVATIONS + 2 * ELEMENTS, 0, 2.0 * RANK *(ACTIVATIONS + ELEMENTS)},
};

static void need(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "bench_cuda: %s: %s\n", what, cudaGetErrorString((cudaError_t)error));
        exit(1);
    }
}

static void *on_device(size_t size_bytes, const void *from)
{
    void *memory;
    need((int)cudaMalloc(&memory, size_bytes), "cudaMalloc");
    need((int)(from ? cudaMemcpy(memory, from, size_bytes, cudaMemcpyHostToDevice) : cudaMemset(memory, 0, size_bytes)),
         "cudaMemcpy");
    return memory;
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

static lspo_projector_t projector(uint32_t rows, uint64_t seed)
{
    lspo_projector_t host;
    need(!lspo_projector_random(rows, SUBSPACE, NONZEROS, seed, &host), "lspo_projector_random");
    const size_t entries = (size_t)host.rows * host.r * sizeof(float);
    lspo_projector_t device = host;
    device.index = on_device(entries, host.index);
    device.value = on_device(entries, host.value);
    device.column_first = on_device((host.d + 1) * sizeof *host.column_first, host.column_first);
    device.column_row = on_device(entries, host.column_row);
    device.column_value = on_device(entries, host.column_value);
    lspo_projector_release(&host);
    return device;
}

static void prepare(void)
{
    const size_t vocabulary = (size_t)VOCABULARY * WIDTH; /* the largest array: the embedding */
    for (int i = 0; i < ARRAYS; i++)
        array[i] = on_device((i == 0 ? vocabulary : floats) * sizeof(float), NULL);
    gradient = on_device((size_t)SUBSPACE * SUBSPACE * sizeof(float), NULL);
    small = on_device(2 * (size_t)TOKENS * HEADS * sizeof(float), NULL);
    doubles = on_device(4 * LSPO_SUM_OF_SQUARES_PARTS * sizeof(double), NULL);
    ids = random_numbers(1, VOCABULARY, TOKENS);
    columns = random_numbers(2, INNER, INNER);
    p = projector(WIDTH, 1);
    q = projector(INNER, 2);
    need(cublasCreate((cublasHandle_t *)&on.cublas) != CUBLAS_STATUS_SUCCESS ? (int)cudaErrorUnknown : 0,
         "cublasCreate");
    need(lspo_matmul_create_cuda(on.cublas, &on.matmul), "lspo_matmul_create_cuda");
    row_first = multiples(NONZEROS, INNER + 1);
    dense = on_device(lspo_sketch_scratch(&p, &q, TOKENS) * sizeof(float), NULL);
}

static double median_time_s(const line_t *line)
{
    double times_s[REPEATS];
    cudaEvent_t start, end;
    need((int)cudaEventCreate(&start), "cudaEventCreate");
    need((int)cudaEventCreate(&end), "cudaEventCreate");
    for (int i = -WARM_UPS; i < REPEATS; i++) {
        float time_ms = 0;
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

/* Rates of the line; printed as shares of those of the copy and the product, where these are known. */
static void measure_line(const line_t *line, double copy_Bps, double product_flops, double *Bps_out, double *flops_out)
{
    const double time_s = median_time_s(line),
                 bytes = line->numbers * (double)lspo_number_bytes(on.number) + line->bytes;
    const double Bps = bytes / time_s, flops = line->flop / time_s;
    printf("%-24s %10.1f %10.1f %10.2f %10.1f %7.1f%% %10.2f %7.1f%%\n", line->name, 1e6 * time_s, 1e-6 * bytes,
           1e-9 * line->flop, 1e-9 * Bps, copy_Bps > 0 ? 100 * Bps / copy_Bps : 100, 1e-12 * flops,
           product_flops > 0 ? 100 * flops / product_flops : 100);
    *Bps_out = Bps;
    *flops_out = flops;
}

static sparse_rows_t by_rows(const lspo_projector_t *from)
{
    return (sparse_rows_t){from->rows, SUBSPACE, (size_t)from->rows * from->r, row_first, from->index, from->value};
}

/* dY Q is the transpose of Q^T dY^T: to cuSPARSE, which takes the sparse matrix on the left, by columns. */
static void measure_sparse_gather(double copy_Bps, double product_flops)
{
    double unused;
    const sparse_rows_t a = {SUBSPACE, INNER, (size_t)INNER * NONZEROS, q.column_first, q.column_row, q.column_value};
    peer = sparse_peer_create(on.number, &(sparse_product_t){a, TOKENS, true, 1, 0, array[0], array[1]});
    if (peer != NULL)
        measure_line(&sparse_gather_line, copy_Bps, product_flops, &unused, &unused);
    sparse_peer_destroy(peer);
}

/* P delta, then W^T -= eta Q (P delta)^T. */
static void measure_sparse_apply(double copy_Bps, double product_flops)
{
    double unused;
    peer = sparse_peer_create(on.number, &(sparse_product_t){by_rows(&p), SUBSPACE, false, 1, 0, gradient, array[1]});
    peer_behind =
        sparse_peer_create(on.number, &(sparse_product_t){by_rows(&q), WIDTH, true, -1e-4F, 1, array[1], array[0]});
    if (peer != NULL && peer_behind != NULL)
        measure_line(&sparse_apply_line, copy_Bps, product_flops, &unused, &unused);
    sparse_peer_destroy(peer);
    sparse_peer_destroy(peer_behind);
    peer_behind = NULL;
}

static void measure_format(const char *name)
{
    double copy_Bps, product_flops, unused;
    printf("\n%-24s %10s %10s %10s %10s %8s %10s %8s\n", name, "time us", "MB", "GFLOP", "GB/s", "of copy", "TFLOP/s",
           "of gemm");
    measure_line(&copy_line, 0, 0, &copy_Bps, &unused);
    measure_line(&product_line, copy_Bps, 0, &unused, &product_flops);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        measure_line(&lines[i], copy_Bps, product_flops, &unused, &unused);
    measure_sparse_gather(copy_Bps, product_flops);
    measure_sparse_apply(copy_Bps, product_flops);
}

int main(void)
{
    static const char *const names[] = {"fp32", "bf16", "fp16"}; /* in the order of lspo_number_t */
    int count = 0;
    struct cudaDeviceProp device;
    if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
        printf("bench_cuda: no CUDA device\n");
        return 77;
    }
    need((int)cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
    prepare();
    printf("%s: %d tokens, width %d, MLP %d, d %d, r %d; median of %d\n", device.name, TOKENS, WIDTH, INNER, SUBSPACE,
           NONZEROS, REPEATS);
    for (on.number = LSPO_NUMBER_FP32; on.number <= LSPO_NUMBER_FP16; on.number++)
        if (on.number != LSPO_NUMBER_BF16 || device.major >= 8)
            measure_format(names[on.number]);
    return 0;
}
