/* resident: weights and caches of all texts are on the GPU, which computes one micro-batch after the other.  The
 * yardstick of generation. */
#include "plan/build_generate.h"
#include "plan/policies.h"

const lspo_policy_t lspo_policy_resident = {
    .name = "resident",
    .task = LSPO_TASK_GENERATE,
    .experts = LSPO_EXPERTS_MAYBE,
    .help = "generation with weights and caches on the GPU; the yardstick of the others",
    .citation = "Pope et al., Efficiently Scaling Transformer Inference, arXiv 2211.05102",
    .example = "lspo sim --policy resident --model llama-7b --machine rtx4090 --batch 1 --sequence 512 --iterations 64",
    .semantics = LSPO_SEMANTICS_EXACT,
    .return_form = LSPO_RETURN_NOTHING,
    .build = lspo_build_generate_resident,
    .describe_work = lspo_build_generate_work,
};
