/* experts.c - the MLP of a block with experts, in generation: its router, and one expert after the other over the
 * tokens that have chosen it.
 *     p: softmax of the gates of the chosen experts               [Jiang et al., Mixtral, arXiv 2401.04088, Sec. 2.1]
 *     or of all                                                   [Fedus et al., Switch, arXiv 2101.03961, Eq. 1, 2] */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "real/transformer/state.h"

/* Of an expert, in the order of the tensors. */
enum { GATE, UP, DOWN, MATRICES };

/* Gates become shares, in place; those of the chosen ones are descending. */
static void share_out(const lspo_transformer_t *t, const float *all, float *chosen)
{
    const size_t of = t->router == LSPO_ROUTER_ALL ? t->experts : t->chosen;
    const float *gates = t->router == LSPO_ROUTER_ALL ? all : chosen, most = chosen[0];
    float sum = 0;
    for (size_t e = 0; e < of; e++)
        sum += expf(gates[e] - most);
    for (size_t i = 0; i < t->chosen; i++)
        chosen[i] = expf(chosen[i] - most) / sum;
}

const uint32_t *lspo_block_route(const lspo_transformer_t *t, const lspo_block_parameters_t *from, char *s)
{
    const lspo_route_t route = {.tokens = t->tokens, .experts = t->experts, .probes = t->chosen};
    float *gates = lspo_floats(s, t->saved.router), *shares = lspo_floats(s, t->saved.shares);
    uint32_t *experts = (uint32_t *)(void *)(s + t->saved.experts);
    assert(lspo_transformer_generates(t));
    lspo_block_linear_forward(t, from, t->block.expert_first - 1, s + t->mlp_input, NULL, gates);
    lspo_compute_keys_route(t->compute, &route, gates, experts, shares);
    for (size_t i = 0; i < t->tokens; i++)
        share_out(t, gates + i * t->experts, shares + i * t->chosen);
    return experts;
}

/* A matrix of an expert. */
typedef struct {
    const void *weights; /* of the block */
    size_t expert;
    unsigned matrix;
} matrix_t;

/* out (rows x n) = x (rows x m) times the matrix. */
static void multiply(const lspo_transformer_t *t, const matrix_t *by, size_t rows, const float *x, float *out)
{
    const bool down = by->matrix == DOWN;
    const size_t m = down ? t->mlp_width : t->width, n = down ? t->width : t->mlp_width;
    if (t->pass.observer != NULL)
        t->pass.observer(t->pass.context, t->block.expert_first + by->matrix, (uint32_t)by->expert, rows, x);
    if (t->pass.experts != NULL) {
        lspo_compute_ternary_product(t->compute, &t->pass.experts[by->expert * MATRICES + by->matrix], rows, x, out);
        return;
    }
    const char *w = lspo_linear_in_generation(t, t->block.expert_first + by->matrix, by->weights);
    const lspo_few_rows_t product = {
        .rows = rows, .m = m, .n = n, .number = t->weight_number, .w = w + by->expert * m * n * t->weight_bytes};
    lspo_compute_few_rows_product(t->compute, &product, x, out);
}

/* The tokens that have chosen the expert, and their inputs, which are copied together. */
static size_t gather(const lspo_transformer_t *t, char *s, size_t expert)
{
    const uint32_t *experts = (const uint32_t *)(const void *)(s + t->saved.experts);
    const float *input = lspo_saved_floats(s, t->mlp_input);
    uint32_t *rows = (uint32_t *)(void *)(s + t->saved.rows);
    float *in = lspo_floats(s, t->saved.expert_in);
    size_t count = 0;
    for (size_t i = 0; i < t->tokens * t->chosen; i++) {
        const size_t token = i / t->chosen;
        if (experts[i] != expert)
            continue;
        memcpy(in + count * t->width, input + token * t->width, t->width * sizeof *in);
        rows[count++] = (uint32_t)i;
    }
    return count;
}

static void add_results(const lspo_transformer_t *t, const char *s, size_t count, float *x_out)
{
    const uint32_t *rows = (const uint32_t *)(const void *)(s + t->saved.rows);
    const float *shares = lspo_saved_floats(s, t->saved.shares), *out = lspo_saved_floats(s, t->saved.expert_out);
    for (size_t r = 0; r < count; r++) {
        float *x = x_out + rows[r] / t->chosen * t->width;
        for (size_t j = 0; j < t->width; j++)
            x[j] += shares[rows[r]] * out[r * t->width + j];
    }
}

void lspo_block_experts_forward(const lspo_transformer_t *t, const lspo_block_parameters_t *from, char *s, float *x_out)
{
    const lspo_block_saved_t *at = &t->saved;
    float *in = lspo_floats(s, at->expert_in), *gate = lspo_floats(s, at->gate), *up = lspo_floats(s, at->mlp_pre);
    float *hidden = lspo_floats(s, at->mlp_act), *out = lspo_floats(s, at->expert_out);
    assert(lspo_transformer_generates(t));
    lspo_copy_activations(t, s + at->residual, x_out);
    for (size_t e = 0; e < t->experts; e++) {
        const size_t rows = gather(t, s, e);
        if (rows == 0)
            continue;
        multiply(t, &(matrix_t){from->weights, e, GATE}, rows, in, gate);
        multiply(t, &(matrix_t){from->weights, e, UP}, rows, in, up);
        lspo_compute_swiglu_forward(t->compute, rows * t->mlp_width, gate, up, hidden);
        multiply(t, &(matrix_t){from->weights, e, DOWN}, rows, hidden, out);
        add_results(t, s, rows, x_out);
    }
}
