/* chunks.c - see chunks.h. */
#include "plan/chunks.h"

#include "plan/policies/axonn.h"
#include "plan/policies/deep_optimizer_states.h"
#include "plan/policies/shared.h"
#include "plan/policy.h"

static uint64_t grains(uint64_t elements)
{
    return elements < LSPO_CHUNK_GRAIN ? LSPO_CHUNK_GRAIN : elements / LSPO_CHUNK_GRAIN * LSPO_CHUNK_GRAIN;
}

static uint64_t grain_above(uint64_t elements)
{
    return (elements + LSPO_CHUNK_GRAIN - 1) / LSPO_CHUNK_GRAIN * LSPO_CHUNK_GRAIN;
}

static uint64_t equal_parts(uint64_t most, uint64_t message_elements)
{
    uint64_t count = (message_elements + most - 1) / most;
    return grain_above((message_elements + count - 1) / count);
}

/* The most elements of one of equal parts; NULL: the policy does not have them. */
static const uint32_t *most_of(const lspo_plan_t *plan)
{
    const uint32_t *subgroup = lspo_policy_value(plan->policy, &plan->workload, &lspo_parameter_subgroup_size);
    return subgroup != NULL ? subgroup : lspo_policy_value(plan->policy, &plan->workload, &lspo_parameter_bucket_size);
}

uint64_t lspo_chunk_of(const lspo_plan_t *plan, uint64_t message_elements)
{
    const uint32_t *equal = most_of(plan);
    if (equal != NULL && message_elements > 0) {
        uint64_t most = grains(*equal), least = grain_above(message_elements / LSPO_CHUNKS_MAX + 1);
        return equal_parts(most > least ? most : least, message_elements);
    }
    const double *bytes = lspo_policy_value(plan->policy, &plan->workload, &lspo_parameter_chunk_bytes);
    if (bytes == NULL || !(*bytes > 0))
        return 0;
    uint64_t elements = grains((uint64_t)(*bytes / (double)lspo_precision_bytes(plan->workload.transfer)));
    uint64_t least = grains(message_elements / LSPO_CHUNKS_MAX + LSPO_CHUNK_GRAIN);
    return message_elements / elements < LSPO_CHUNKS_MAX ? elements : least;
}

uint32_t lspo_chunk_count(const lspo_plan_t *plan, uint64_t elements)
{
    const uint64_t chunk = lspo_chunk_of(plan, elements);
    return chunk == 0 || elements == 0 ? 1 : (uint32_t)((elements + chunk - 1) / chunk);
}

uint64_t lspo_chunk_part(uint64_t chunk, uint64_t elements, uint32_t part, uint64_t *first_out)
{
    if (chunk == 0 || elements <= chunk) {
        *first_out = 0;
        return elements;
    }
    *first_out = chunk * part;
    return elements - *first_out < chunk ? elements - *first_out : chunk;
}

uint64_t lspo_chunk_elements(const lspo_plan_t *plan, uint64_t elements, uint32_t part, uint64_t *first_out)
{
    return lspo_chunk_part(lspo_chunk_of(plan, elements), elements, part, first_out);
}
