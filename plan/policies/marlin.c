/* marlin: as resident, but the linear weights of blocks are in 4 bits, 4.125 per weight in groups of 128.
 *
 *     T = max((4.125 / 8 m n + ...) / memory rate, 2 rows m n / FLOP rate)           of a product   [Sec. 3]
 *
 * so that a token takes nearly a quarter of the time until there are about F / B x 4.125 / 16 rows at a time.  On the
 * host more than LSPO_GENERATE_FEW_ROWS rows are counted as products of matrices.
 *                                         [Frantar, Castro, Chen, Hoefler, Alistarh, MARLIN, arXiv 2408.11743] */
#include "plan/policies/marlin.h"

#include "plan/build_generate.h"
#include "plan/footprint.h"
#include "plan/policies.h"

static const char *const weight_group_names[] = {[LSPO_WEIGHT_GROUP_32] = "32",
                                                 [LSPO_WEIGHT_GROUP_64] = "64",
                                                 [LSPO_WEIGHT_GROUP_128] = "128",
                                                 [LSPO_WEIGHT_GROUP_COLUMN] = "column",
                                                 NULL};

const lspo_parameter_t lspo_parameter_weight_group = {
    .key = "weight-group",
    .value = "32|64|128|column",
    .help = "inputs of an output whose 4-bit weights share a scale",
    .kind = LSPO_RECORD_NAMED,
    .names = weight_group_names,
    .preset = LSPO_WEIGHT_GROUP_128,
    .affects = LSPO_AFFECTS_BOTH,
};

static const lspo_parameter_use_t uses[] = {
    {&lspo_parameter_weight_group, offsetof(lspo_marlin_values_t, weight_group), true, NULL},
};
const lspo_parameters_t lspo_marlin_parameters = LSPO_PARAMETERS(uses, lspo_marlin_values_t);

static void describe_stage(const lspo_builder_t *b, lspo_build_stage_t *stage)
{
    uint32_t group = 0;
    if (stage->shape.kind != LSPO_STAGE_BLOCK || !lspo_generate_weight_group(b->plan, &group))
        return;
    for (uint32_t i = 0; i < stage->shape.linear_count; i++) {
        const uint64_t rows = stage->shape.tensors[i].rows, cols = stage->shape.tensors[i].cols;
        stage->parameter_bytes -= rows * cols * lspo_precision_bytes(b->workload->precision);
        stage->parameter_bytes += lspo_int4_weight_bytes(rows, cols, group);
    }
}

const lspo_policy_t lspo_policy_marlin = {
    .name = "marlin",
    .task = LSPO_TASK_GENERATE,
    .help = "generation with all on the GPU, the blocks' linear weights in 4 bits",
    .citation = "Frantar et al., MARLIN, arXiv 2408.11743",
    .example = "lspo sim --policy marlin --model llama-7b --machine rtx3060 --batch 1 --sequence 512 --iterations 64",
    .parameters = &lspo_marlin_parameters,
    .semantics = LSPO_SEMANTICS_COMPRESSED,
    .return_form = LSPO_RETURN_NOTHING,
    .build = lspo_build_generate_resident,
    .describe_stage = describe_stage,
    .describe_work = lspo_build_generate_work,
};
