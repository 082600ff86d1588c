/* bench_step - how close is a whole training step (forward and backward) to the rate of sgemm alone?
 *
 * gpt-small, batch 4, sequence 256: 1,024 tokens, fp32, one thread.  FLOPs per step: 6 N per token, and the causal half
 * of attention, forward 2 s (s + 1) e and twice that backward for each of the heads of width e (kernels/attention.h).
 * N counts every parameter, as in the usual formula; the stricter figure counts only weights in products.  Each step is
 * timed between two products of 1536^3 by the same library, thread and process.  Required: at least 0.60.  Then the
 * parts of the step.  Each kernel is timed twice: in the step, where the transformer calls it (step_clock.h), and alone
 * and repeated, with operands in the cache that come from memory in the step.  The step consists of the former times
 * and of the transformer's own time between its calls; required of the latter: at most 2 %.  All times are CPU times of
 * this thread.  Usage: bench_step [repeats]. */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/measure.h"
#include "bench/step_clock.h"
#include "kernels/activation.h"
#include "kernels/attention.h"
#include "kernels/embedding.h"
#include "kernels/gemm.h"
#include "kernels/loss.h"
#include "kernels/norm.h"
#include "kernels/vector.h"
#include "plan/model.h"
#include "real/transformer/transformer.h"

enum { HUGE_PAGE_BYTES = 2 << 20 };
enum { BATCH = 4, SEQUENCE = 256, T = BATCH * SEQUENCE, SQUARE = 1536, STAGES_MAX = 16 };

typedef struct {
    lspo_model_t model;
    lspo_transformer_t *t;
    uint32_t stage_count;
    lspo_stage_t shape[STAGES_MAX];
    float *weights[STAGES_MAX], *gradient[STAGES_MAX], *saved[STAGES_MAX], *x[STAGES_MAX];
    float *dx, *workspace;
    double loss_sum;
    uint32_t tokens[T], targets[T];
} step_t;

/* As the host device gives out memory: large arrays on huge pages. */
static float *device_floats(size_t n)
{
    const size_t bytes = (n * sizeof(float) + HUGE_PAGE_BYTES - 1) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    float *memory = aligned_alloc(HUGE_PAGE_BYTES, bytes);
    if (memory == NULL) {
        fprintf(stderr, "bench_step: cannot allocate %zu bytes\n", bytes);
        exit(1);
    }
    madvise(memory, bytes, MADV_HUGEPAGE);
    for (size_t i = 0; i < n; i++)
        memory[i] = 1e-3F * (float)(i % 1001);
    return memory;
}

static void step_create(step_t *s)
{
    if (lspo_model_find("gpt-small", &s->model) != LSPO_OK)
        exit(1);
    s->workspace =
        device_floats(lspo_transformer_workspace_bytes(&s->model, BATCH, SEQUENCE, LSPO_NUMBER_FP32) / sizeof(float));
    if (lspo_transformer_create(&s->model, BATCH, SEQUENCE, lspo_compute_host(), s->workspace, &s->t) != LSPO_OK)
        exit(1);
    s->stage_count = lspo_model_stage_count(&s->model);
    for (uint32_t stage = 0; stage < s->stage_count; stage++) {
        lspo_model_stage(&s->model, stage, &s->shape[stage]);
        s->weights[stage] = device_floats(s->shape[stage].element_count);
        s->gradient[stage] = device_floats(s->shape[stage].element_count);
        s->saved[stage] = device_floats(lspo_transformer_saved_bytes(s->t, stage) / sizeof(float) + 1);
        s->x[stage] = device_floats((size_t)T * s->model.width);
        lspo_transformer_init(&s->model, stage, 1, s->weights[stage]);
    }
    s->dx = device_floats((size_t)T * s->model.width);
    for (uint32_t i = 0; i < T; i++) {
        s->tokens[i] = i * 2654435761U >> 24;
        s->targets[i] = (i + 1) * 2654435761U >> 24;
    }
}

static void step_destroy(step_t *s)
{
    for (uint32_t stage = 0; stage < s->stage_count; stage++) {
        free(s->weights[stage]);
        free(s->gradient[stage]);
        free(s->saved[stage]);
        free(s->x[stage]);
    }
    free(s->dx);
    free(s->workspace);
    lspo_transformer_destroy(s->t);
}

static void forward(step_t *s)
{
    const uint32_t head = s->stage_count - 1;
    lspo_transformer_embed_forward(s->t, s->tokens, s->weights[0], s->x[0]);
    for (uint32_t stage = 1; stage < head; stage++)
        lspo_transformer_block_forward(s->t, &(lspo_block_parameters_t){.weights = s->weights[stage]}, s->x[stage - 1],
                                       s->saved[stage], s->x[stage]);
    lspo_transformer_head_forward(s->t, &(lspo_head_parameters_t){s->weights[head], s->weights[0]}, s->targets,
                                  s->x[head - 1], s->saved[head], &s->loss_sum);
}

static void backward(step_t *s)
{
    const uint32_t head = s->stage_count - 1;
    lspo_gradient_sink_t sink = {.rest = s->gradient[head], .tied = s->gradient[0]};
    lspo_transformer_head_backward(s->t, &(lspo_head_parameters_t){s->weights[head], s->weights[0]},
                                   &(lspo_head_loss_t){s->targets, 1.0F / T},
                                   &(lspo_stage_kept_t){s->x[head - 1], s->saved[head]}, &sink, s->dx);
    for (uint32_t stage = head - 1; stage > 0; stage--) {
        sink.linear = s->gradient[stage];
        sink.rest = s->gradient[stage] + s->shape[stage].tensors[s->shape[stage].linear_count].offset_elements;
        lspo_transformer_block_backward(s->t, &(lspo_block_parameters_t){.weights = s->weights[stage]},
                                        &(lspo_stage_kept_t){s->x[stage - 1], s->saved[stage]}, &sink, NULL, s->dx);
    }
    lspo_transformer_embed_backward(s->t, s->tokens, s->weights[0], s->dx, false, s->gradient[0]);
}

static double attention_flop(const lspo_model_t *model)
{
    return 6.0 * BATCH * model->block_count * SEQUENCE * (SEQUENCE + 1.0) * model->width;
}

/* Weights that stand in a product: the blocks' linear ones and the tied output. */
static double product_weights(const step_t *s)
{
    double count = (double)s->model.vocabulary * s->model.width;
    for (uint32_t stage = 1; stage + 1 < s->stage_count; stage++)
        for (uint32_t i = 0; i < s->shape[stage].linear_count; i++)
            count += (double)s->shape[stage].tensors[i].rows * s->shape[stage].tensors[i].cols;
    return count;
}

typedef struct {
    float *a, *b, *c;
} square_t;

static double time_square_s(const square_t *q)
{
    const double start_s = measure_thread_s();
    lspo_gemm_nn(SQUARE, SQUARE, SQUARE, 1.0F, q->a, SQUARE, q->b, SQUARE, 0.0F, q->c, SQUARE);
    return measure_thread_s() - start_s;
}

/* A step of the median time, and its kernels. */
typedef struct {
    double time_s;
    step_clock_t kernels;
} timed_step_t;

static int by_time(const void *a, const void *b)
{
    return measure_order(&((const timed_step_t *)a)->time_s, &((const timed_step_t *)b)->time_s);
}

/* Prints the rates and returns the median ratio by the 6 N count. */
static double compare(step_t *s, size_t repeats, timed_step_t *middle_out)
{
    static timed_step_t steps[MEASURE_REPEATS_MAX];
    const square_t q = {device_floats((size_t)SQUARE * SQUARE), device_floats((size_t)SQUARE * SQUARE),
                        device_floats((size_t)SQUARE * SQUARE)};
    const double square_flop = 2.0 * SQUARE * SQUARE * (double)SQUARE;
    const double flop = 6.0 * (double)lspo_model_parameter_count(&s->model) * T + attention_flop(&s->model);
    const double strict_flop = 6.0 * product_weights(s) * T + attention_flop(&s->model);
    double ratios[MEASURE_REPEATS_MAX], forwards_s[MEASURE_REPEATS_MAX], backwards_s[MEASURE_REPEATS_MAX],
        steps_s[MEASURE_REPEATS_MAX], squares_s[MEASURE_REPEATS_MAX];
    forward(s);
    backward(s);
    time_square_s(&q);
    for (size_t i = 0; i < repeats; i++) {
        const double before_s = time_square_s(&q);
        step_clock_clear();
        const double start_s = measure_thread_s();
        forward(s);
        const double middle_s = measure_thread_s();
        backward(s);
        const double end_s = measure_thread_s();
        steps[i] = (timed_step_t){end_s - start_s, *step_clock()};
        squares_s[i] = 0.5 * (before_s + time_square_s(&q));
        forwards_s[i] = middle_s - start_s;
        backwards_s[i] = end_s - middle_s;
        steps_s[i] = end_s - start_s;
        ratios[i] = flop / steps_s[i] / (square_flop / squares_s[i]);
    }
    const double ratio = measure_median(ratios, repeats), step_s = measure_median(steps_s, repeats);
    printf("%s, %d tokens, OpenBLAS core %s\n", s->model.name, T, lspo_gemm_core());
    printf("sgemm %d^3   %7.1f GFLOP/s\n", SQUARE, square_flop / measure_median(squares_s, repeats) * 1e-9);
    printf("step          %7.1f GFLOP/s   %.1f ms: forward %.1f, backward %.1f\n", flop / step_s * 1e-9, step_s * 1e3,
           measure_median(forwards_s, repeats) * 1e3, measure_median(backwards_s, repeats) * 1e3);
    printf("ratio         %7.3f (%.3f..%.3f of %zu); counting only weights in products %.3f\n", ratio, ratios[0],
           ratios[repeats - 1], repeats, ratio * strict_flop / flop);
    free(q.a);
    free(q.b);
    free(q.c);
    qsort(steps, repeats, sizeof steps[0], by_time);
    *middle_out = steps[repeats / 2];
    return ratio;
}

/* --- each kernel in the step and alone --- */

typedef struct {
    size_t w, f, v, e, heads, positions;
    float *in, *weight, *out, *more, *probabilities, *statistics, *small;
    uint32_t ids[T];
    float *scratch;
    lspo_attention_t attention;
} kernels_t;

typedef void (*kernel_function_t)(kernels_t *k);

static void qkv_forward(kernels_t *k)
{
    lspo_gemm_nn(T, 3 * k->w, k->w, 1.0F, k->in, k->w, k->weight, 3 * k->w, 1.0F, k->out, 3 * k->w);
}
static void qkv_input(kernels_t *k)
{
    lspo_gemm_nt(T, k->w, 3 * k->w, 1.0F, k->in, 3 * k->w, k->weight, 3 * k->w, 0.0F, k->out, k->w);
}
static void qkv_weight(kernels_t *k)
{
    lspo_gemm_tn(k->w, 3 * k->w, T, 1.0F, k->in, k->w, k->more, 3 * k->w, 0.0F, k->out, 3 * k->w);
}
static void out_forward(kernels_t *k)
{
    lspo_gemm_nn(T, k->w, k->w, 1.0F, k->in, k->w, k->weight, k->w, 1.0F, k->out, k->w);
}
static void out_input(kernels_t *k)
{
    lspo_gemm_nt(T, k->w, k->w, 1.0F, k->in, k->w, k->weight, k->w, 0.0F, k->out, k->w);
}
static void out_weight(kernels_t *k)
{
    lspo_gemm_tn(k->w, k->w, T, 1.0F, k->in, k->w, k->more, k->w, 0.0F, k->out, k->w);
}
static void up_forward(kernels_t *k)
{
    lspo_gemm_nn(T, k->f, k->w, 1.0F, k->in, k->w, k->weight, k->f, 1.0F, k->out, k->f);
}
static void up_input(kernels_t *k)
{
    lspo_gemm_nt(T, k->w, k->f, 1.0F, k->in, k->f, k->weight, k->f, 0.0F, k->out, k->w);
}
static void up_weight(kernels_t *k)
{
    lspo_gemm_tn(k->w, k->f, T, 1.0F, k->in, k->w, k->more, k->f, 0.0F, k->out, k->f);
}
static void down_forward(kernels_t *k)
{
    lspo_gemm_nn(T, k->w, k->f, 1.0F, k->in, k->f, k->weight, k->w, 1.0F, k->out, k->w);
}
static void down_input(kernels_t *k)
{
    lspo_gemm_nt(T, k->f, k->w, 1.0F, k->in, k->w, k->weight, k->w, 0.0F, k->out, k->f);
}
static void down_weight(kernels_t *k)
{
    lspo_gemm_tn(k->f, k->w, T, 1.0F, k->in, k->f, k->more, k->w, 0.0F, k->out, k->w);
}
static void logits_forward(kernels_t *k)
{
    lspo_gemm_nt(T, k->v, k->w, 1.0F, k->in, k->w, k->weight, k->w, 0.0F, k->out, k->v);
}
static void logits_input(kernels_t *k)
{
    lspo_gemm_nn(T, k->w, k->v, 1.0F, k->in, k->v, k->weight, k->w, 0.0F, k->out, k->w);
}
static void logits_weight(kernels_t *k)
{
    lspo_gemm_tn(k->v, k->w, T, 1.0F, k->in, k->v, k->more, k->w, 0.0F, k->out, k->w);
}
static void attention_forward(kernels_t *k)
{
    lspo_attention_forward(&k->attention,
                           &(lspo_attention_operands_t){.q = k->in, .k = k->in + k->w, .v = k->in + 2 * k->w},
                           k->probabilities, k->out, k->scratch);
}
static void attention_backward(kernels_t *k)
{
    lspo_attention_backward(
        &k->attention,
        &(lspo_attention_operands_t){
            .q = k->in, .k = k->in + k->w, .v = k->in + 2 * k->w, .kept = k->probabilities, .dout = k->more},
        &(lspo_attention_gradients_t){.dq = k->out, .dk = k->out + k->w, .dv = k->out + 2 * k->w}, k->scratch);
}
static void norm_forward(kernels_t *k)
{
    lspo_norm_forward(&(lspo_norm_t){.rows = T, .width = k->w, .epsilon = 1e-5F, .gain = k->weight, .bias = k->weight},
                      k->in, k->out, k->statistics, k->statistics + T);
}
static void norm_backward(kernels_t *k)
{
    lspo_norm_backward(
        &(lspo_norm_t){.rows = T, .width = k->w, .gain = k->weight},
        &(lspo_norm_operands_t){
            .dout = k->more, .x = k->in, .residual = k->more, .mean = k->statistics, .rstd = k->statistics + T},
        &(lspo_norm_gradients_t){
            .dx = k->out, .dgain = k->small, .dbias = k->small + k->w, .dx_sum = k->small + 2 * k->w});
}
static void gelu_forward(kernels_t *k)
{
    lspo_gelu_forward(LSPO_GELU_TANH, T * k->f, k->in, k->out);
}
static void gelu_backward(kernels_t *k)
{
    lspo_gelu_backward(LSPO_GELU_TANH, T, k->f, k->in, &(lspo_gelu_gradients_t){.d = k->out, .bias = k->small});
}
static void loss_forward(kernels_t *k)
{
    lspo_cross_entropy_forward(
        &(lspo_cross_entropy_t){.rows = T, .vocabulary = k->v, .stride = k->v, .targets = k->ids}, k->out);
}
static void loss_backward(kernels_t *k)
{
    lspo_cross_entropy_backward(
        &(lspo_cross_entropy_t){.rows = T, .vocabulary = k->v, .stride = k->v, .targets = k->ids}, k->in, 1.0F, k->out);
}
static void bias_fill(kernels_t *k)
{
    lspo_bias_fill(T, k->f, k->weight, k->out);
}
static void bias_add(kernels_t *k)
{
    lspo_bias_add(T, k->w, k->in, k->weight, k->out);
}
static void column_sum(kernels_t *k)
{
    lspo_column_sum(T, 3 * k->w, k->in, false, k->small);
}
static void copy(kernels_t *k)
{
    lspo_compute_copy(lspo_compute_host(), T * k->w * sizeof(float), k->in, k->out);
}
static void embed_clear(kernels_t *k)
{
    lspo_compute_zero(lspo_compute_host(), (k->v + k->positions) * k->w * sizeof(float), k->out);
}
static void embed_forward(kernels_t *k)
{
    lspo_embedding_forward(&(lspo_embedding_t){.batch = BATCH, .sequence = SEQUENCE, .width = k->w, .ids = k->ids},
                           k->in, k->more, k->out);
}
static void embed_backward(kernels_t *k)
{
    lspo_embedding_backward(&(lspo_embedding_t){.batch = BATCH, .sequence = SEQUENCE, .width = k->w, .ids = k->ids},
                            k->in, k->more, k->out);
}

static kernels_t kernels_create(const step_t *s)
{
    const lspo_model_t *m = &s->model;
    const size_t activations = (size_t)T * m->mlp_width, table = ((size_t)m->vocabulary + m->max_sequence) * m->width;
    const size_t widest = activations > table ? activations : table;
    kernels_t k = {
        .w = m->width, .f = m->mlp_width, .v = m->vocabulary, .heads = m->head_count, .positions = m->max_sequence};
    k.e = k.w / k.heads;
    k.attention = (lspo_attention_t){.batch = BATCH,
                                     .sequence = SEQUENCE,
                                     .heads = k.heads,
                                     .kv_heads = k.heads,
                                     .head_width = k.e,
                                     .q_stride = 3 * k.w,
                                     .kv_stride = 3 * k.w,
                                     .causal = true};
    k.in = measure_floats(widest);
    k.weight = measure_floats(k.w * k.f);
    k.out = measure_floats(widest);
    k.more = measure_floats(widest);
    k.probabilities = measure_floats((size_t)BATCH * k.heads * SEQUENCE * SEQUENCE);
    k.statistics = measure_floats(2 * T);
    k.small = measure_floats(k.f * 3);
    k.scratch = measure_floats(lspo_attention_scratch(SEQUENCE, k.e));
    memcpy(k.ids, s->tokens, sizeof k.ids);
    return k;
}

static void kernels_destroy(kernels_t *k)
{
    free(k->in);
    free(k->weight);
    free(k->out);
    free(k->more);
    free(k->probabilities);
    free(k->statistics);
    free(k->small);
    free(k->scratch);
}

typedef struct {
    const char *name;
    kernel_function_t run;
    double count; /* in a step */
    double flop;  /* 0: counted in bytes */
    double bytes;
} row_t;

typedef struct {
    double step_s, alone_s;
    bool named[STEP_CLOCK_ROWS_MAX]; /* rows of the clock that have been printed */
} sums_t;

static void print_row(kernels_t *k, const row_t *row, const timed_step_t *step, sums_t *sums)
{
    double times_s[9];
    row->run(k);
    const size_t at = step_clock_last();
    for (size_t i = 0; i < 9; i++) {
        const double start_s = measure_thread_s();
        row->run(k);
        times_s[i] = measure_thread_s() - start_s;
    }
    const double each_s = measure_median(times_s, 9), alone_s = row->count * each_s;
    const double in_step_s = at < step->kernels.count ? step->kernels.rows[at].time_s : 0.0;
    printf("%-20s %8.2f ms   alone %8.2f ms = %4.0f x %9.1f us   %7.1f %s\n", row->name, in_step_s * 1e3, alone_s * 1e3,
           row->count, each_s * 1e6, (row->flop > 0.0 ? row->flop : row->bytes) / each_s * 1e-9,
           row->flop > 0.0 ? "GFLOP/s" : "GB/s");
    sums->step_s += in_step_s;
    sums->alone_s += alone_s;
    sums->named[at] = true;
}

/* Kernels that the transformer calls and no row names: none, unless it has changed. */
static void print_unnamed(const timed_step_t *step, sums_t *sums)
{
    for (size_t i = 0; i < step->kernels.count; i++) {
        const step_clock_row_t *row = &step->kernels.rows[i];
        if (sums->named[i] || row->calls == 0)
            continue;
        printf("%-20s %8.2f ms   (%u calls of m %zu, n %zu, k %zu)\n", row->kernel, row->time_s * 1e3, row->calls,
               row->m, row->n, row->k);
        sums->step_s += row->time_s;
    }
}

static void print_sums(const timed_step_t *step, const sums_t *sums)
{
    const double between_s = step->time_s - sums->step_s;
    printf("%-20s %8.2f ms   alone %8.2f ms; in the step %+.1f %%\n", "sum of the kernels", sums->step_s * 1e3,
           sums->alone_s * 1e3, 100 * (sums->step_s / sums->alone_s - 1));
    printf("%-20s %8.2f ms\n", "between the kernels", between_s * 1e3);
    printf("%-20s %8.2f ms\n", "the step", step->time_s * 1e3);
    measure_gate("of the step is in no kernel", between_s / step->time_s, 0, 0.02);
}

static void print_breakdown(const step_t *s, const timed_step_t *step)
{
    kernels_t k = kernels_create(s);
    const double w = (double)k.w, f = (double)k.f, v = (double)k.v, blocks = s->model.block_count;
    const double qkv = 6.0 * T * w * w, out = 2.0 * T * w * w, mlp = 2.0 * T * w * f, logits = 2.0 * T * w * v;
    const double attention = attention_flop(&s->model) / 3.0 / blocks, row = 4.0 * T;
    const double triangle = 0.5 * row * (double)(k.heads * SEQUENCE);
    const row_t rows[] = {
        {"qkv", qkv_forward, blocks, qkv, 0},
        {"qkv dX", qkv_input, blocks, qkv, 0},
        {"qkv dW", qkv_weight, blocks, qkv, 0},
        {"attention_out", out_forward, blocks, out, 0},
        {"attention_out dX", out_input, blocks, out, 0},
        {"attention_out dW", out_weight, blocks, out, 0},
        {"mlp_up", up_forward, blocks, mlp, 0},
        {"mlp_up dX", up_input, blocks, mlp, 0},
        {"mlp_up dW", up_weight, blocks, mlp, 0},
        {"mlp_down", down_forward, blocks, mlp, 0},
        {"mlp_down dX", down_input, blocks, mlp, 0},
        {"mlp_down dW", down_weight, blocks, mlp, 0},
        {"logits", logits_forward, 1, logits, 0},
        {"logits dX", logits_input, 1, logits, 0},
        {"logits dW", logits_weight, 1, logits, 0},
        {"attention", attention_forward, blocks, attention, row * 4 * w + triangle},
        {"attention backward", attention_backward, blocks, 2 * attention, row * 7 * w + triangle},
        {"norm", norm_forward, 2 * blocks + 1, 0, row * 2 * w},
        {"norm backward", norm_backward, 2 * blocks + 1, 0, row * 4 * w},
        {"gelu", gelu_forward, blocks, 0, row * 2 * f},
        {"gelu backward", gelu_backward, blocks, 0, row * 3 * f},
        {"loss", loss_forward, 1, 0, row * 2 * v},
        {"loss backward", loss_backward, 1, 0, row * 2 * v},
        {"bias fill (f + 3 w)", bias_fill, blocks * (f + 3 * w) / f, 0, row * f},
        {"residual + bias", bias_add, 2 * blocks, 0, row * 2 * w},
        {"bias sum (w + 3 w)", column_sum, blocks * 4.0 / 3.0, 0, row * 3 * w},
        {"copy of dX", copy, blocks, 0, row * 2 * w},
        {"embedding", embed_forward, 1, 0, row * 3 * w},
        {"embedding backward", embed_backward, 1, 0, row * 5 * w},
        {"embedding cleared", embed_clear, 1, 0, 4.0 * (double)((k.v + k.positions) * k.w)},
    };
    static sums_t sums;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        print_row(&k, &rows[i], step, &sums);
    print_unnamed(step, &sums);
    print_sums(step, &sums);
    kernels_destroy(&k);
}

int main(int argc, char **argv)
{
    const unsigned long repeats = argc > 1 ? strtoul(argv[1], NULL, 10) : 7;
    if (repeats < 1 || repeats > MEASURE_REPEATS_MAX) {
        fprintf(stderr, "usage: bench_step [repeats, 1 to %d]\n", MEASURE_REPEATS_MAX);
        return 2;
    }
    static step_t step;
    step_create(&step);
    static timed_step_t middle;
    const double ratio = compare(&step, repeats, &middle);
    measure_gate("of the rate of sgemm alone", ratio, 0.60, 1e9);
    print_breakdown(&step, &middle);
    step_destroy(&step);
    return measure_missed > 0;
}
