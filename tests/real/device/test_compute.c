/* The kernels through one interface, and the transformer on it: the host against naive loops, and the CUDA device (a
 * GPU, or the CPU that stands in for one) against the host, in every format, block by block. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/loss.h"
#include "kernels/pack.h"
#include "kernels/random.h"
#include "plan/footprint.h"
#include "real/device/compute.h"
#include "real/device/device.h"
#include "real/transformer/transformer.h"
#include "tests/cuda_on_host/cuda_on_host.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { BATCH = 2, SEQUENCE = 20, TOKENS = BATCH * SEQUENCE, WIDTH = 32, VOCABULARY = 67, STAGES = 4, RANK = 3 };

/* The last one needs compute capability 8.0. */
static const lspo_number_t numbers[] = {LSPO_NUMBER_FP32, LSPO_NUMBER_FP16, LSPO_NUMBER_BF16};
static const lspo_precision_t precisions[] = {LSPO_FP32, LSPO_FP16, LSPO_BF16};
static const char *const number_names[] = {
    [LSPO_NUMBER_FP32] = "fp32", [LSPO_NUMBER_BF16] = "bf16", [LSPO_NUMBER_FP16] = "fp16"};

static size_t number_count(void)
{
    return cuda_has_bf16() ? COUNT(numbers) : COUNT(numbers) - 1;
}

/* ||got - want|| / ||want|| that two blocks' roundings of a format may add up to. */
static const double tolerance[] = {[LSPO_NUMBER_FP32] = 2e-5, [LSPO_NUMBER_BF16] = 4e-2, [LSPO_NUMBER_FP16] = 5e-3};

static const lspo_model_t gpt = {.name = "gpt",
                                 .family = LSPO_FAMILY_GPT,
                                 .block_count = STAGES - 2,
                                 .width = WIDTH,
                                 .head_count = 2,
                                 .kv_head_count = 2,
                                 .mlp_width = 48,
                                 .vocabulary = VOCABULARY,
                                 .max_sequence = SEQUENCE + 3,
                                 .tied_head = true};

static lspo_model_t untied_gpt(void)
{
    lspo_model_t model = gpt;
    model.tied_head = false;
    return model;
}

static lspo_model_t llama(void)
{
    lspo_model_t model = gpt;
    model.family = LSPO_FAMILY_LLAMA;
    model.kv_head_count = 1;
    model.tied_head = false;
    return model;
}

/* What a Llama may have beside: heads of another width, their norms, biases, scaled positions.  No bias of K: its
 * gradient is small against the terms that cancel in it. */
static lspo_model_t varied_llama(void)
{
    lspo_model_t model = llama();
    model.head_width = 12;
    model.biases = LSPO_BIASES_MLP;
    model.qk_norm = LSPO_QK_NORM_HEAD;
    model.rope_scaling = LSPO_ROPE_LLAMA3;
    model.rope_factor = 8;
    model.rope_low_factor = 0.5;
    model.rope_high_factor = 1.5;
    model.rope_original = model.max_sequence;
    return model;
}

/* ---- a model on a device, with every buffer ---- */

typedef struct {
    lspo_device_t *device;
    lspo_compute_t *c;
    lspo_number_t number;
    lspo_model_t model;
    lspo_transformer_t *t;
    lspo_stage_t shape[STAGES];
    void *workspace, *weights[STAGES], *gradient[STAGES], *saved[STAGES], *x[STAGES], *dx;
    void *ids, *targets, *loss;
    size_t factor_count;
    void *factors[STAGES], *d_factors[STAGES], *adapter_scratch;
    lspo_adapters_t adapters[STAGES];
    bool adapted;
} player_t;

static void *take(player_t *p, size_t bytes)
{
    void *memory = NULL, *nan = malloc(bytes + 1);
    cr_assert_not_null(nan);
    memset(nan, 0xff, bytes); /* what is read before it is written shows */
    cr_assert_eq(lspo_device_alloc(p->device, bytes, &memory), LSPO_OK);
    cr_assert_eq(lspo_device_write(p->device, memory, nan, bytes), LSPO_OK);
    free(nan);
    return memory;
}

static float *host_floats(size_t n)
{
    float *x = malloc((n + 1) * sizeof *x);
    cr_assert_not_null(x);
    return x;
}

/* Random numbers that `held_in` can hold, in the format of the player's device. */
static void *take_random(player_t *p, lspo_number_t held_in, uint64_t stream, double scale, size_t n)
{
    float *x = host_floats(n);
    void *held = host_floats(n), *memory = take(p, n * lspo_number_bytes(p->number));
    lspo_random_normal_fill(7, stream, scale, n, x);
    lspo_convert(n, LSPO_NUMBER_FP32, x, held_in, held);
    lspo_convert(n, held_in, held, LSPO_NUMBER_FP32, x);
    lspo_convert(n, LSPO_NUMBER_FP32, x, p->number, held);
    cr_assert_eq(lspo_device_write(p->device, memory, held, n * lspo_number_bytes(p->number)), LSPO_OK);
    free(x), free(held);
    return memory;
}

/* n numbers of the device as floats, the caller's. */
static float *numbers_of(player_t *p, const void *memory, size_t n)
{
    float *x = host_floats(n);
    void *held = host_floats(n);
    cr_assert_eq(lspo_compute_status(p->c), LSPO_OK);
    cr_assert_eq(lspo_device_read(p->device, held, memory, n * lspo_number_bytes(p->number)), LSPO_OK);
    lspo_convert(n, p->number, held, LSPO_NUMBER_FP32, x);
    free(held);
    return x;
}

static uint32_t id_at(uint64_t stream, size_t i)
{
    return lspo_random_below(11, stream, i, VOCABULARY);
}

static void take_batch(player_t *p)
{
    uint32_t ids[TOKENS], targets[TOKENS];
    for (size_t i = 0; i < TOKENS; i++) {
        ids[i] = id_at(1, i);
        targets[i] = i % 7 == 3 ? LSPO_TARGET_IGNORED : id_at(2, i);
    }
    p->ids = take(p, sizeof ids);
    p->targets = take(p, sizeof targets);
    p->loss = take(p, sizeof(double));
    cr_assert_eq(lspo_device_write(p->device, p->ids, ids, sizeof ids), LSPO_OK);
    cr_assert_eq(lspo_device_write(p->device, p->targets, targets, sizeof targets), LSPO_OK);
}

static void take_adapters(player_t *p, lspo_number_t held_in)
{
    const lspo_stage_t *block = &p->shape[1];
    for (uint32_t i = 0; i < block->linear_count; i++)
        p->factor_count += (size_t)RANK * (block->tensors[i].rows + block->tensors[i].cols);
    p->adapter_scratch = take(p, 2 * (size_t)TOKENS * RANK * lspo_number_bytes(p->number));
    for (uint32_t s = 1; s < STAGES - 1; s++) {
        p->factors[s] = take_random(p, held_in, 40 + s, 0.3, p->factor_count);
        p->d_factors[s] = take(p, p->factor_count * lspo_number_bytes(p->number));
        p->adapters[s] =
            (lspo_adapters_t){.factors = p->factors[s], .rank = RANK, .scale = 0.5F, .scratch = p->adapter_scratch};
    }
}

static void open_player(const char *device, const lspo_model_t *model, lspo_number_t number, lspo_number_t held_in,
                        bool adapted, player_t *p)
{
    const lspo_device_caps_t caps = {0};
    *p = (player_t){.number = number, .model = *model, .adapted = adapted};
    cr_assert_eq(lspo_device_open(device, &caps, &p->device), LSPO_OK);
    cr_assert_eq(lspo_device_set_number(p->device, number), LSPO_OK);
    p->c = lspo_device_compute(p->device);
    p->workspace = take(p, lspo_transformer_workspace_bytes(model, BATCH, SEQUENCE, number));
    cr_assert_eq(lspo_transformer_create(model, BATCH, SEQUENCE, p->c, p->workspace, &p->t), LSPO_OK);
    for (uint32_t s = 0; s < STAGES; s++) {
        lspo_model_stage(model, s, &p->shape[s]);
        p->weights[s] = take_random(p, held_in, s, 0.3, p->shape[s].element_count);
        p->gradient[s] = take(p, p->shape[s].element_count * lspo_number_bytes(number));
        p->saved[s] = take(p, lspo_transformer_saved_bytes(p->t, s) + 1);
        p->x[s] = take(p, (size_t)TOKENS * WIDTH * lspo_number_bytes(number));
    }
    p->dx = take(p, (size_t)TOKENS * WIDTH * lspo_number_bytes(number));
    take_batch(p);
    take_adapters(p, held_in);
}

static void close_player(player_t *p)
{
    void *const all[] = {p->workspace, p->dx, p->ids, p->targets, p->loss, p->adapter_scratch};
    for (size_t i = 0; i < COUNT(all); i++)
        lspo_device_free(p->device, all[i]);
    for (uint32_t s = 0; s < STAGES; s++) {
        void *const of_stage[] = {p->weights[s], p->gradient[s], p->saved[s], p->x[s], p->factors[s], p->d_factors[s]};
        for (size_t i = 0; i < COUNT(of_stage); i++)
            if (of_stage[i] != NULL)
                lspo_device_free(p->device, of_stage[i]);
    }
    lspo_transformer_destroy(p->t);
    lspo_device_close(p->device);
}

static const lspo_adapters_t *adapters_of(const player_t *p, uint32_t s)
{
    return p->adapted ? &p->adapters[s] : NULL;
}

static double loss_of(player_t *p)
{
    double loss;
    cr_assert_eq(lspo_compute_status(p->c), LSPO_OK);
    cr_assert_eq(lspo_device_read(p->device, &loss, p->loss, sizeof loss), LSPO_OK);
    return loss;
}

static double forward(player_t *p)
{
    lspo_transformer_embed_forward(p->t, p->ids, p->weights[0], p->x[0]);
    for (uint32_t s = 1; s < STAGES - 1; s++)
        lspo_transformer_block_forward(
            p->t, &(lspo_block_parameters_t){.weights = p->weights[s], .adapters = adapters_of(p, s)}, p->x[s - 1],
            p->saved[s], p->x[s]);
    lspo_transformer_head_forward(p->t, &(lspo_head_parameters_t){p->weights[STAGES - 1], p->weights[0]}, p->targets,
                                  p->x[STAGES - 2], p->saved[STAGES - 1], p->loss);
    return loss_of(p);
}

static void *rest_of(const player_t *p, uint32_t s)
{
    const lspo_stage_t *shape = &p->shape[s];
    return (char *)p->gradient[s] + shape->tensors[shape->linear_count].offset_elements * lspo_number_bytes(p->number);
}

/* Gradients of the sum of the losses. */
static void backward(player_t *p, bool accumulate)
{
    const uint32_t head = STAGES - 1;
    lspo_gradient_sink_t sink = {.rest = p->gradient[head], .tied = p->gradient[0], .accumulate = accumulate};
    lspo_transformer_head_backward(p->t, &(lspo_head_parameters_t){p->weights[head], p->weights[0]},
                                   &(lspo_head_loss_t){p->targets, 1.0F},
                                   &(lspo_stage_kept_t){p->x[head - 1], p->saved[head]}, &sink, p->dx);
    for (uint32_t s = head - 1; s > 0; s--) {
        sink.linear = p->gradient[s];
        sink.rest = rest_of(p, s);
        sink.adapters = p->adapted ? p->d_factors[s] : NULL;
        lspo_transformer_block_backward(
            p->t, &(lspo_block_parameters_t){.weights = p->weights[s], .adapters = adapters_of(p, s)},
            &(lspo_stage_kept_t){p->x[s - 1], p->saved[s]}, &sink, NULL, p->dx);
    }
    lspo_transformer_embed_backward(p->t, p->ids, p->weights[0], p->dx, accumulate, p->gradient[0]);
}

/* ---- comparing ---- */

static double relative_error(size_t n, const float *got, const float *want)
{
    double difference = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        difference += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
        norm += (double)want[i] * (double)want[i];
    }
    cr_assert(norm > 0); /* also where it is not finite */
    return sqrt(difference / norm);
}

static void expect_like(player_t *got, const void *got_at, player_t *want, const void *want_at, size_t n,
                        const char *what)
{
    float *g = numbers_of(got, got_at, n), *w = numbers_of(want, want_at, n);
    const double error = relative_error(n, g, w);
    cr_assert(error <= tolerance[got->number], "%s, %s in %s: off by %g of its norm", got->model.name, what,
              number_names[got->number], error);
    free(g), free(w);
}

static void expect_gradients_like(player_t *got, player_t *want)
{
    for (uint32_t s = 0; s < STAGES; s++)
        for (uint32_t i = 0; i < got->shape[s].tensor_count; i++) {
            const lspo_tensor_t *tensor = &got->shape[s].tensors[i];
            const size_t n = (size_t)tensor->rows * tensor->cols, at = tensor->offset_elements;
            expect_like(got, (char *)got->gradient[s] + at * lspo_number_bytes(got->number), want,
                        (char *)want->gradient[s] + at * lspo_number_bytes(want->number), n, tensor->name);
        }
    for (uint32_t s = 1; got->adapted && s < STAGES - 1; s++)
        expect_like(got, got->d_factors[s], want, want->d_factors[s], got->factor_count, "adapters");
    expect_like(got, got->dx, want, want->dx, (size_t)TOKENS * WIDTH, "dx");
}

/* Forward, backward and a second micro-batch whose gradients are added. */
static void check_model(const lspo_model_t *model, bool adapted)
{
    for (size_t i = 0; i < number_count(); i++) {
        player_t host, gpu;
        open_player("host", model, LSPO_NUMBER_FP32, numbers[i], adapted, &host);
        open_player("cuda", model, numbers[i], numbers[i], adapted, &gpu);
        const double want = forward(&host), got = forward(&gpu);
        cr_assert(fabs(got - want) <= tolerance[numbers[i]] * want, "%s in %s: loss %g, the host's %g", model->name,
                  number_names[numbers[i]], got, want);
        for (uint32_t s = 0; s < STAGES - 1; s++)
            expect_like(&gpu, gpu.x[s], &host, host.x[s], (size_t)TOKENS * WIDTH, "output of a stage");
        for (int micro = 0; micro < 2; micro++) {
            backward(&host, micro > 0);
            backward(&gpu, micro > 0);
            expect_gradients_like(&gpu, &host);
        }
        close_player(&host);
        close_player(&gpu);
    }
}

Test(compute, gpt_as_on_the_host)
{
    check_model(&gpt, false);
}

Test(compute, gpt_with_a_head_of_its_own_and_adapters_as_on_the_host)
{
    const lspo_model_t model = untied_gpt();
    check_model(&model, true);
}

Test(compute, llama_as_on_the_host)
{
    const lspo_model_t model = llama();
    check_model(&model, false);
}

Test(compute, llama_with_adapters_as_on_the_host)
{
    const lspo_model_t model = llama();
    check_model(&model, true);
}

Test(compute, a_varied_llama_as_on_the_host)
{
    const lspo_model_t model = varied_llama();
    check_model(&model, false);
    check_model(&model, true);
}

/* A vocabulary one above a multiple of 8: in 16 bits seven numbers, NaN here, lie behind each row of logits. */
Test(compute, an_odd_vocabulary_as_on_the_host)
{
    lspo_model_t models[] = {gpt, untied_gpt(), llama()};
    for (size_t m = 0; m < COUNT(models); m++) {
        models[m].vocabulary = 257;
        check_model(&models[m], false);
    }
}

/* ---- a device against itself, bit for bit ---- */

static void expect_bits(player_t *p, const void *memory, size_t n, const float *want, const char *what)
{
    float *got = numbers_of(p, memory, n);
    for (size_t i = 0; i < n; i++)
        cr_assert(memcmp(&got[i], &want[i], sizeof *got) == 0, "%s, %s[%zu] in %s is %.9g, not %.9g", p->model.name,
                  what, i, number_names[p->number], (double)got[i], (double)want[i]);
    free(got);
}

static void overwrite(player_t *p, void *memory, size_t bytes)
{
    void *nan = malloc(bytes);
    cr_assert_not_null(nan);
    memset(nan, 0xff, bytes);
    cr_assert_eq(lspo_device_write(p->device, memory, nan, bytes), LSPO_OK);
    free(nan);
}

/* What FWD saved is lost and made again; sinks that nobody wants change nothing; the operands give the gradient; the
 * head without `saved` gives the same loss. */
static void check_block(player_t *p)
{
    const uint32_t s = STAGES - 2;
    const size_t n = (size_t)TOKENS * WIDTH, count = p->shape[s].element_count;
    const double loss = forward(p);
    backward(p, false);
    float *gradient = numbers_of(p, p->gradient[s], count);
    overwrite(p, p->saved[s], lspo_transformer_saved_bytes(p->t, s));
    lspo_transformer_block_forward(p->t, &(lspo_block_parameters_t){.weights = p->weights[s]}, p->x[s - 1], p->saved[s],
                                   NULL);
    backward(p, false);
    expect_bits(p, p->gradient[s], count, gradient, "gradient after recomputation");

    float *dx = numbers_of(p, p->dx, n);
    lspo_linear_operands_t operands;
    lspo_transformer_head_backward(p->t, &(lspo_head_parameters_t){p->weights[s + 1], p->weights[0]},
                                   &(lspo_head_loss_t){p->targets, 1.0F},
                                   &(lspo_stage_kept_t){p->x[s], p->saved[s + 1]}, NULL, p->dx);
    lspo_transformer_block_backward(p->t, &(lspo_block_parameters_t){.weights = p->weights[s]},
                                    &(lspo_stage_kept_t){p->x[s - 1], p->saved[s]}, NULL, &operands, p->dx);
    for (uint32_t i = 0; i < p->shape[s].linear_count; i++) {
        const lspo_tensor_t *w = &p->shape[s].tensors[i];
        void *g = take(p, (size_t)w->rows * w->cols * lspo_number_bytes(p->number));
        lspo_compute_gemm_tn(p->c, &(lspo_gemm_t){.m = w->rows,
                                                  .n = w->cols,
                                                  .k = TOKENS,
                                                  .alpha = 1.0F,
                                                  .a = operands.of[i].x,
                                                  .a_stride = operands.of[i].x_stride,
                                                  .b = operands.of[i].dy,
                                                  .b_stride = operands.of[i].dy_stride,
                                                  .c = g,
                                                  .c_stride = w->cols});
        expect_bits(p, g, (size_t)w->rows * w->cols, gradient + w->offset_elements, w->name);
        lspo_device_free(p->device, g);
    }
    for (uint32_t k = s - 1; k > 0; k--)
        lspo_transformer_block_backward(p->t, &(lspo_block_parameters_t){.weights = p->weights[k]},
                                        &(lspo_stage_kept_t){p->x[k - 1], p->saved[k]}, NULL, NULL, p->dx);
    expect_bits(p, p->dx, n, dx, "dx without sinks");
    lspo_transformer_head_forward(p->t, &(lspo_head_parameters_t){p->weights[s + 1], p->weights[0]}, p->targets,
                                  p->x[s], NULL, p->loss);
    cr_assert_eq(loss_of(p), loss);
    free(gradient), free(dx);
}

Test(compute, a_block_alone_gives_the_same_bits)
{
    const lspo_model_t models[] = {gpt, llama()};
    for (size_t m = 0; m < COUNT(models); m++)
        for (size_t i = 0; i < number_count(); i++) {
            player_t p;
            open_player("cuda", &models[m], numbers[i], numbers[i], false, &p);
            cuda_on_host_delays(3);
            check_block(&p);
            cuda_on_host_delays(0);
            close_player(&p);
        }
}

/* galore: the full gradient holds one micro-batch at a time while the rest is added up. */
Test(compute, linear_gradients_may_be_overwritten_while_others_add_up)
{
    player_t p;
    open_player("cuda", &gpt, LSPO_NUMBER_FP32, LSPO_NUMBER_FP32, false, &p);
    const uint32_t s = STAGES - 2, linear = p.shape[s].linear_count;
    const size_t first_rest = p.shape[s].tensors[linear].offset_elements, count = p.shape[s].element_count;
    forward(&p);
    backward(&p, false);
    float *once = numbers_of(&p, p.gradient[s], count);
    for (size_t i = first_rest; i < count; i++)
        once[i] *= 2;
    const lspo_gradient_sink_t sink = {
        .linear = p.gradient[s], .rest = rest_of(&p, s), .accumulate = true, .overwrite_linear = true};
    lspo_transformer_head_backward(p.t, &(lspo_head_parameters_t){p.weights[s + 1], p.weights[0]},
                                   &(lspo_head_loss_t){p.targets, 1.0F}, &(lspo_stage_kept_t){p.x[s], p.saved[s + 1]},
                                   NULL, p.dx);
    lspo_transformer_block_backward(p.t, &(lspo_block_parameters_t){.weights = p.weights[s]},
                                    &(lspo_stage_kept_t){p.x[s - 1], p.saved[s]}, &sink, NULL, p.dx);
    float *got = numbers_of(&p, p.gradient[s], count);
    cr_assert_eq(memcmp(got, once, first_rest * sizeof *got), 0);
    cr_assert_leq(relative_error(count - first_rest, got + first_rest, once + first_rest), 1e-6);
    free(once), free(got);
    close_player(&p);
}

/* Some rows in another order, and more rows than a batch has. */
Test(compute, logits_as_on_the_host)
{
    enum { ROWS = TOKENS + 5 };
    const lspo_model_t models[] = {gpt, llama()};
    uint32_t rows[ROWS];
    for (uint32_t i = 0; i < ROWS; i++)
        rows[i] = (i * 7 + 3) % TOKENS;
    for (size_t m = 0; m < COUNT(models); m++)
        for (size_t i = 0; i < number_count(); i++) {
            player_t host, gpu, *const both[] = {&host, &gpu};
            void *logits[2];
            open_player("host", &models[m], LSPO_NUMBER_FP32, numbers[i], false, &host);
            open_player("cuda", &models[m], numbers[i], numbers[i], false, &gpu);
            for (int k = 0; k < 2; k++) {
                player_t *p = both[k];
                forward(p);
                logits[k] = take(p, (size_t)ROWS * VOCABULARY * lspo_number_bytes(p->number));
                lspo_transformer_logits(p->t, &(lspo_head_parameters_t){p->weights[STAGES - 1], p->weights[0]},
                                        p->x[STAGES - 2], ROWS, rows, logits[k]);
            }
            expect_like(&gpu, logits[1], &host, logits[0], (size_t)ROWS * VOCABULARY, "logits");
            for (int k = 0; k < 2; k++) {
                lspo_device_free(both[k]->device, logits[k]);
                close_player(both[k]);
            }
        }
}

/* Rows of 72 numbers hold 67 probabilities each, less 1 for the target, which add up to 0; the others are as the memory
 * was.  They end what the head saves. */
Test(compute, rows_of_logits_are_written_up_to_the_vocabulary)
{
    enum { STRIDE = 72 };
    for (size_t i = 1; i < number_count(); i++) {
        player_t p;
        open_player("cuda", &gpt, numbers[i], numbers[i], false, &p);
        forward(&p);
        const size_t row_bytes = STRIDE * lspo_number_bytes(numbers[i]);
        const char *end = (char *)p.saved[STAGES - 1] + lspo_transformer_saved_bytes(p.t, STAGES - 1);
        float *rows = numbers_of(&p, end - TOKENS * row_bytes, TOKENS * STRIDE);
        for (size_t t = 0; t < TOKENS; t++) {
            double sum = 0;
            for (size_t j = 0; j < VOCABULARY; j++)
                sum += (double)rows[t * STRIDE + j];
            cr_assert(t % 7 == 3 || fabs(sum) < 0.02, "row %zu in %s adds up to %g", t, number_names[numbers[i]], sum);
            for (size_t j = VOCABULARY; j < STRIDE; j++)
                cr_assert(isnan(rows[t * STRIDE + j]));
        }
        free(rows);
        close_player(&p);
    }
}

/* ---- sizes and refusals ---- */

/* What the plan counts is what is taken, in every format and also where sizes are odd. */
Test(compute, memory_as_the_plan_counts_it)
{
    const lspo_model_t models[] = {gpt, untied_gpt(), llama()};
    for (size_t m = 0; m < COUNT(models); m++)
        for (size_t i = 0; i < number_count(); i++) {
            player_t p;
            lspo_workload_t workload;
            lspo_activations_t activations;
            lspo_workload_default(&workload);
            workload.batch = BATCH;
            workload.sequence = SEQUENCE;
            workload.precision = precisions[i];
            lspo_activations(&models[m], &workload, &activations);
            open_player("cuda", &models[m], numbers[i], numbers[i], false, &p);
            cr_assert_eq(lspo_transformer_saved_bytes(p.t, 0), 0u);
            cr_assert_eq(lspo_transformer_saved_bytes(p.t, 1), activations.saved_bytes);
            cr_assert_eq(lspo_transformer_saved_bytes(p.t, STAGES - 1), activations.head_bytes);
            cr_assert_eq(lspo_transformer_workspace_bytes(&models[m], BATCH, SEQUENCE, numbers[i]),
                         activations.workspace_bytes);
            close_player(&p);
        }
}

Test(compute, a_gpu_refuses_what_it_cannot_compute)
{
    const lspo_device_caps_t caps = {0};
    lspo_device_t *device;
    lspo_transformer_t *t = NULL;
    cr_assert_eq(lspo_device_open("cuda", &caps, &device), LSPO_OK);
    lspo_model_t bert = untied_gpt(), wide = gpt;
    bert.family = LSPO_FAMILY_BERT;
    bert.class_count = 2;
    wide.width = 136;
    wide.head_count = wide.kv_head_count = 1;
    lspo_compute_t *c = lspo_device_compute(device);
    cr_assert_eq(lspo_transformer_create(&bert, BATCH, SEQUENCE, c, NULL, &t), LSPO_ERR_INPUT);
    cr_assert_eq(lspo_transformer_create(&wide, BATCH, SEQUENCE, c, NULL, &t), LSPO_ERR_INPUT);
    cr_assert_null(t);
    lspo_device_close(device);
}

/* The first failure is kept, told once, and calls after it are made. */
Test(compute, a_failed_call_is_told_once)
{
    player_t p;
    open_player("cuda", &gpt, LSPO_NUMBER_FP32, LSPO_NUMBER_FP32, false, &p);
    const lspo_attention_t attention = {.batch = 1,
                                        .sequence = 4,
                                        .heads = 1,
                                        .kv_heads = 1,
                                        .head_width = 256,
                                        .q_stride = 256,
                                        .kv_stride = 256,
                                        .causal = true};
    lspo_compute_attention_forward(p.c, &attention, &(lspo_attention_operands_t){.q = p.x[0], .k = p.x[0], .v = p.x[0]},
                                   p.dx, p.x[1], NULL);
    lspo_compute_zero(p.c, sizeof(double), p.loss);
    cr_assert_eq(lspo_compute_status(p.c), LSPO_ERR_DEVICE);
    cr_assert_eq(lspo_compute_status(p.c), LSPO_OK);
    cr_assert_eq(loss_of(&p), 0.0);
    close_player(&p);
}

/* ---- single calls ---- */

/* From each format to each: what goes through fp32 to itself is what pack and unpack say. */
Test(compute, conversion_between_all_formats)
{
    enum { N = 3001 };
    const char *const devices[] = {"host", "cuda"};
    for (size_t k = 0; k < COUNT(devices); k++)
        for (size_t i = 0; i < number_count(); i++)
            for (size_t j = 0; j < number_count(); j++) {
                player_t p;
                open_player(devices[k], &gpt, LSPO_NUMBER_FP32, LSPO_NUMBER_FP32, false, &p);
                void *x = take_random(&p, numbers[i], 5, 3, N), *from = take(&p, 4 * N), *to = take(&p, 4 * N);
                float *want = numbers_of(&p, x, N), *got = host_floats(N);
                uint16_t half;
                lspo_compute_convert(p.c, N, LSPO_NUMBER_FP32, x, numbers[i], from);
                lspo_compute_convert(p.c, N, numbers[i], from, numbers[j], to);
                lspo_compute_convert(p.c, N, numbers[j], to, LSPO_NUMBER_FP32, x);
                cr_assert_eq(lspo_device_read(p.device, got, x, N * sizeof *got), LSPO_OK);
                for (size_t e = 0; e < N; e++) {
                    if (numbers[j] == LSPO_NUMBER_BF16)
                        lspo_pack_bf16(1, &want[e], &half), lspo_unpack_bf16(1, &half, &want[e]);
                    if (numbers[j] == LSPO_NUMBER_FP16)
                        lspo_pack_fp16(1, &want[e], &half), lspo_unpack_fp16(1, &half, &want[e]);
                    cr_assert(got[e] == want[e], "%s, %zu to %zu: %g, not %g", devices[k], i, j, (double)got[e],
                              (double)want[e]);
                }
                lspo_device_free(p.device, x), lspo_device_free(p.device, from), lspo_device_free(p.device, to);
                free(want), free(got);
                close_player(&p);
            }
}

/* w <- keep w - rate d, the direction in every format; sums; zero and copy. */
static void check_vectors(const char *device, lspo_number_t format)
{
    enum { N = 2501 };
    player_t p;
    open_player(device, &gpt, LSPO_NUMBER_FP32, LSPO_NUMBER_FP32, false, &p);
    void *w = take_random(&p, LSPO_NUMBER_FP32, 5, 1, N), *d = take_random(&p, format, 6, 1, N);
    void *packed = take(&p, 4 * N), *copy = take(&p, 4 * N);
    float *w0 = numbers_of(&p, w, N), *d0 = numbers_of(&p, d, N);
    lspo_compute_convert(p.c, N, LSPO_NUMBER_FP32, d, format, packed);
    lspo_compute_step_along(p.c, N, &(lspo_vector_step_t){0.75F, 0.5F, 1}, format, packed, w);
    lspo_compute_copy(p.c, 4 * N, w, copy);
    lspo_compute_add(p.c, N, d, copy);
    lspo_compute_sum_of_squares(p.c, N, d, p.loss);
    float *w1 = numbers_of(&p, w, N), *sum = numbers_of(&p, copy, N);
    double squares = 0;
    for (size_t i = 0; i < N; i++) {
        const double want = 0.75 * (double)w0[i] - 0.5 * (double)d0[i];
        cr_assert_float_eq((double)w1[i], want, 1e-6);
        cr_assert_float_eq((double)sum[i], want + (double)d0[i], 2e-6);
        squares += (double)d0[i] * (double)d0[i];
    }
    cr_assert_float_eq(loss_of(&p), squares, 0x1p-21 * squares); /* in fp32 over eight numbers */
    lspo_compute_zero(p.c, 4 * (N - 1), copy);
    float *zeros = numbers_of(&p, copy, N);
    for (size_t i = 0; i < N - 1; i++)
        cr_assert(zeros[i] == 0.0F);
    cr_assert(zeros[N - 1] == sum[N - 1]);
    free(w0), free(d0), free(w1), free(sum), free(zeros);
    lspo_device_free(p.device, w), lspo_device_free(p.device, d);
    lspo_device_free(p.device, packed), lspo_device_free(p.device, copy);
    close_player(&p);
}

Test(compute, vectors_against_naive_loops)
{
    for (size_t i = 0; i < number_count(); i++) {
        check_vectors("host", numbers[i]);
        check_vectors("cuda", numbers[i]);
    }
}

/* out = x W + bias + residual with and without each, also in place of the residual. */
static void check_linear(const char *device, lspo_number_t number, bool with_bias, bool with_residual, bool in_place)
{
    enum { M = 24, N = 40 };
    player_t p;
    open_player(device, &gpt, number, number, false, &p);
    void *x = take_random(&p, number, 1, 1, TOKENS * M), *w = take_random(&p, number, 2, 1, M * N);
    void *bias = take_random(&p, number, 3, 1, N), *residual = take_random(&p, number, 4, 1, TOKENS * N);
    void *out = in_place ? residual : take(&p, TOKENS * N * lspo_number_bytes(number));
    float *x0 = numbers_of(&p, x, TOKENS * M), *w0 = numbers_of(&p, w, M * N), *bias0 = numbers_of(&p, bias, N);
    float *want = numbers_of(&p, residual, TOKENS * N);
    for (size_t i = 0; i < TOKENS * N; i++) {
        double sum = (with_residual ? (double)want[i] : 0) + (with_bias ? (double)bias0[i % N] : 0);
        for (size_t k = 0; k < M; k++)
            sum += (double)x0[i / N * M + k] * (double)w0[k * N + i % N];
        want[i] = (float)sum;
    }
    lspo_compute_linear_forward(
        p.c, &(lspo_linear_t){.tokens = TOKENS, .m = M, .n = N, .w = w, .bias = with_bias ? bias : NULL}, x,
        with_residual ? residual : NULL, out);
    float *got = numbers_of(&p, out, TOKENS * N);
    cr_assert_leq(relative_error(TOKENS * N, got, want), tolerance[number] / 4, "%s in %s", device,
                  number_names[number]);
    free(x0), free(w0), free(bias0), free(want), free(got);
    lspo_device_free(p.device, x), lspo_device_free(p.device, w), lspo_device_free(p.device, bias);
    lspo_device_free(p.device, residual);
    if (!in_place)
        lspo_device_free(p.device, out);
    close_player(&p);
}

Test(compute, linear_layers_against_naive_loops)
{
    for (int kind = 0; kind < 8; kind++) {
        if ((kind & 4) && !(kind & 2))
            continue; /* in place of a residual that is not there */
        check_linear("host", LSPO_NUMBER_FP32, kind & 1, kind & 2, kind & 4);
        for (size_t i = 0; i < number_count(); i++)
            check_linear("cuda", numbers[i], kind & 1, kind & 2, kind & 4);
    }
}
