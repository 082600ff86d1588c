/* init.c - initialise the weights of a stage.  Each number depends only on its place, so all cores of the process share
 * the work in large stages; one core needs 10 to 20 ns per number. */
#include <math.h>
#include <string.h>

#include "base/workers.h"
#include "kernels/pack.h"
#include "kernels/random.h"
#include "plan/family.h"
#include "real/transformer/transformer.h"

/* Numbers per piece of work; of those that are converted at a time; size of a stage that justifies threads. */
enum { PIECE = 1 << 18, SOME = 1 << 13, SHARED_FROM = 1 << 22 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void fill(size_t count, float value, lspo_number_t number, char *out)
{
    for (size_t i = 0; i < count; i++)
        lspo_convert(1, LSPO_NUMBER_FP32, &value, number, out + i * lspo_number_bytes(number));
}

static bool ends_with(const char *name, const char *end)
{
    const size_t length = strlen(name), end_length = strlen(end);
    return length >= end_length && strcmp(name + length - end_length, end) == 0;
}

/* attention_out of every family, and the last linear tensor: with pre-norm, the residual stream grows with each
 * block. */
static bool adds_to_residual(const lspo_model_t *model, const lspo_stage_t *stage, uint32_t index)
{
    if (stage->kind != LSPO_STAGE_BLOCK || lspo_family_of(model)->post_norm)
        return false;
    return strcmp(stage->tensors[index].name, "attention_out") == 0 || index + 1 == stage->linear_count;
}

typedef struct {
    uint64_t seed,
        stream; /* one stream per stage and tensor, so that weights do not depend on the sizes of earlier ones */
    double deviation;
    size_t count;
    lspo_number_t number;
    char *out;
} matrix_t;

static matrix_t matrix_of(const lspo_model_t *model, const lspo_stage_t *shape, uint32_t stage, uint32_t tensor)
{
    return (matrix_t){.stream = ((uint64_t)stage << 8) | tensor,
                      .deviation =
                          adds_to_residual(model, shape, tensor) ? 0.02 / sqrt(2.0 * model->block_count) : 0.02,
                      .count = (size_t)shape->tensors[tensor].rows * shape->tensors[tensor].cols};
}

static void fill_piece(void *context, uint32_t worker, size_t piece)
{
    const matrix_t *m = context;
    const size_t first = piece * PIECE, end = smaller(m->count, first + PIECE), bytes = lspo_number_bytes(m->number);
    float some[SOME];
    (void)worker;
    if (m->number == LSPO_NUMBER_FP32) {
        lspo_random_normal_fill_from(m->seed, m->stream, m->deviation, first, end - first,
                                     (float *)(void *)m->out + first);
        return;
    }
    for (size_t at = first; at < end; at += SOME) {
        const size_t count = smaller(end - at, SOME);
        lspo_random_normal_fill_from(m->seed, m->stream, m->deviation, at, count, some);
        lspo_convert(count, LSPO_NUMBER_FP32, some, m->number, m->out + at * bytes);
    }
}

/* NULL, that is, only the calling thread, for a small stage or without other cores. */
static lspo_workers_t *workers_for(size_t elements)
{
    return elements >= SHARED_FROM ? lspo_workers_of_process() : NULL;
}

static void init_tensors(const lspo_model_t *model, const lspo_init_t *init, uint32_t first, void *weights)
{
    lspo_stage_t shape;
    lspo_model_stage(model, init->stage, &shape);
    const size_t bytes = lspo_number_bytes(init->number), begin = shape.tensors[first].offset_elements;
    lspo_workers_t *workers = workers_for(shape.element_count - begin);
    for (uint32_t i = first; i < shape.tensor_count; i++) {
        const lspo_tensor_t *tensor = &shape.tensors[i];
        char *out = (char *)weights + (tensor->offset_elements - begin) * bytes;
        matrix_t matrix = matrix_of(model, &shape, init->stage, i);
        if (ends_with(tensor->name, "_gain") || ends_with(tensor->name, "_bias")) {
            fill(tensor->cols, ends_with(tensor->name, "_gain") ? 1.0F : 0.0F, init->number, out);
            continue;
        }
        matrix.seed = init->seed;
        matrix.number = init->number;
        matrix.out = out;
        lspo_workers_run(workers, (matrix.count + PIECE - 1) / PIECE, fill_piece, &matrix);
    }
    lspo_workers_destroy(workers);
}

void lspo_transformer_init(const lspo_model_t *model, uint32_t stage, uint64_t seed, float *weights)
{
    init_tensors(model, &(lspo_init_t){.stage = stage, .seed = seed, .number = LSPO_NUMBER_FP32}, 0, weights);
}

void lspo_transformer_init_as(const lspo_model_t *model, const lspo_init_t *init, void *weights)
{
    init_tensors(model, init, 0, weights);
}

void lspo_transformer_init_rest(const lspo_model_t *model, const lspo_init_t *init, void *rest)
{
    lspo_stage_t shape;
    lspo_model_stage(model, init->stage, &shape);
    init_tensors(model, init, shape.linear_count, rest);
}

void lspo_transformer_init_columns(const lspo_model_t *model, const lspo_init_t *init, const lspo_init_columns_t *of,
                                   float *columns)
{
    lspo_stage_t shape;
    lspo_model_stage(model, init->stage, &shape);
    const lspo_tensor_t *tensor = &shape.tensors[of->tensor];
    const matrix_t m = matrix_of(model, &shape, init->stage, of->tensor);
    for (size_t i = 0; i < tensor->rows; i++) {
        const size_t first = i * tensor->cols + of->first, odd = first % 2;
        float *row = columns + i * of->count;
        if (odd)
            row[0] = (float)(m.deviation * lspo_random_normal(init->seed, m.stream, first));
        lspo_random_normal_fill_from(init->seed, m.stream, m.deviation, first + odd, of->count - odd, row + odd);
    }
}
