/* keys.c - the adapter beside a block's MLP, of which each token uses few rows. */
#include "real/transformer/state.h"

void lspo_block_keys_forward(const lspo_transformer_t *t, const lspo_block_parameters_t *from, const void *h, void *sum)
{
    if (from->keys != NULL)
        lspo_compute_keys_forward(t->compute, &from->keys->rows, h, sum, from->keys->scratch);
}

void lspo_block_keys_backward(const lspo_block_backward_t *pass, const void *h, const void *dy, void *dh)
{
    const lspo_block_keys_t *keys = pass->from->keys;
    if (keys != NULL)
        lspo_compute_keys_backward(pass->t->compute, &keys->rows, h, dy, &(lspo_keys_gradients_t){dh, pass->sink->keys},
                                   keys->scratch);
}
