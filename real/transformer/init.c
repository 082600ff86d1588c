/* init.c - initialise the weights of a stage.  Each number depends only on its place, so all cores of the process share
 * the work in large stages; one core needs 20 ns per number. */
#include <math.h>
#include <string.h>

#include "base/workers.h"
#include "kernels/random.h"
#include "plan/family.h"
#include "real/transformer/transformer.h"

enum { PIECE = 1 << 18, SHARED_FROM = 1 << 22 /* numbers per piece of work; size of a stage that justifies threads */ };

static void fill(size_t count, float value, float *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = value;
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
    float *out;
} matrix_t;

static void fill_piece(void *context, uint32_t worker, size_t piece)
{
    const matrix_t *matrix = context;
    const size_t first = piece * PIECE, rest = matrix->count - first;
    (void)worker;
    lspo_random_normal_fill_from(matrix->seed, matrix->stream, matrix->deviation, first, rest < PIECE ? rest : PIECE,
                                 matrix->out + first);
}

static void init_matrix(lspo_workers_t *workers, matrix_t *matrix)
{
    lspo_workers_run(workers, (matrix->count + PIECE - 1) / PIECE, fill_piece, matrix);
}

/* NULL, that is, only the calling thread, for a small stage or without other cores. */
static lspo_workers_t *workers_for(size_t elements)
{
    return elements >= SHARED_FROM ? lspo_workers_of_process() : NULL;
}

void lspo_transformer_init(const lspo_model_t *model, uint32_t stage, uint64_t seed, float *weights)
{
    lspo_stage_t shape;
    lspo_model_stage(model, stage, &shape);
    lspo_workers_t *workers = workers_for(shape.element_count);
    for (uint32_t i = 0; i < shape.tensor_count; i++) {
        const lspo_tensor_t *tensor = &shape.tensors[i];
        const double deviation = adds_to_residual(model, &shape, i) ? 0.02 / sqrt(2.0 * model->block_count) : 0.02;
        if (ends_with(tensor->name, "_gain") || ends_with(tensor->name, "_bias"))
            fill(tensor->cols, ends_with(tensor->name, "_gain") ? 1.0F : 0.0F, weights + tensor->offset_elements);
        else
            init_matrix(workers, &(matrix_t){.seed = seed,
                                             .stream = ((uint64_t)stage << 8) | i,
                                             .deviation = deviation,
                                             .count = (size_t)tensor->rows * tensor->cols,
                                             .out = weights + tensor->offset_elements});
    }
    lspo_workers_destroy(workers);
}
