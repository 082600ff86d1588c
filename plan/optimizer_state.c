/* optimizer_state.c - see optimizer_state.h. */
#include "plan/optimizer_state.h"

#include <stddef.h>

enum { BLOCK = 256, BLOCK_BYTES = 2 * BLOCK + 2 * sizeof(float) };

const char *const lspo_optimizer_state_names[LSPO_OPTIMIZER_STATE_COUNT + 1] = {
    [LSPO_OPTIMIZER_STATE_FP32] = "fp32", [LSPO_OPTIMIZER_STATE_BF16] = "bf16", [LSPO_OPTIMIZER_STATE_8BIT] = "8bit"};

static uint64_t blocks(uint64_t elements)
{
    return (elements + BLOCK - 1) / BLOCK;
}

uint64_t lspo_optimizer_state_bytes(lspo_optimizer_state_t state, uint64_t linear_elements, uint64_t rest_elements)
{
    if (state == LSPO_OPTIMIZER_STATE_8BIT)
        return (blocks(linear_elements) + blocks(rest_elements)) * BLOCK_BYTES;
    return (linear_elements + rest_elements) * (state == LSPO_OPTIMIZER_STATE_BF16 ? 4 : 8);
}

bool lspo_optimizer_state_has_master(lspo_optimizer_state_t state, lspo_precision_t weights)
{
    return state == LSPO_OPTIMIZER_STATE_FP32 && weights != LSPO_FP32;
}

lspo_precision_t lspo_optimizer_state_updates(lspo_optimizer_state_t state, lspo_precision_t weights)
{
    return lspo_optimizer_state_has_master(state, weights) ? LSPO_FP32 : weights;
}

static double moments_bytes(lspo_optimizer_state_t state)
{
    return state == LSPO_OPTIMIZER_STATE_8BIT ? (double)BLOCK_BYTES / BLOCK : 4;
}

double lspo_optimizer_state_traffic_bytes(lspo_optimizer_state_t state, lspo_precision_t weights)
{
    return state == LSPO_OPTIMIZER_STATE_FP32 ? 28 : 3 * lspo_precision_bytes(weights) + 2 * moments_bytes(state);
}

double lspo_optimizer_state_held_bytes(lspo_optimizer_state_t state, lspo_precision_t weights)
{
    return state == LSPO_OPTIMIZER_STATE_FP32 ? 12 : lspo_precision_bytes(weights) + moments_bytes(state);
}
