/* lsp-paper: lsp with the kernels of the authors' public code.  It writes projectors out as dense matrices before each
 * use, multiplies by these, and forms the step P D Q^T before it adds it.  Mathematics and schedule are those of lsp;
 * the difference in time shows the benefit of sparse kernels. */
#include "plan/policies.h"
#include "plan/policies/lsp.h"
#include "plan/policies/shared.h"

static lspo_status_t build(lspo_builder_t *b)
{
    lspo_build_offloaded_memory(b, 1);
    return lspo_build_layerwise(b, lspo_lsp_values_of(b->workload)->transition);
}

const lspo_policy_t lspo_policy_lsp_paper = {
    .name = "lsp-paper",
    .help = "LSP-Offload at the cost of the authors' code, which writes projectors out as dense matrices and "
            "multiplies by these",
    .citation = "github.com/gulang2019/LSP-Offload, gradient_compressor.py",
    .example = "lspo sim --policy lsp-paper --model llama-7b --machine rtx4090 --subspace 1024",
    .parameters = &lspo_lsp_parameters,
    .semantics = LSPO_SEMANTICS_COMPRESSED,
    .periods = {{&lspo_parameter_check_every, 1, "checks of the projectors"}, LSPO_BASIS_PERIOD},
    .clip_help = "the same as lsp",
    .train_rest_default = false,
    .dense_sketches = true,
    .gradient_form = LSPO_FORM_SUBSPACE,
    .method = "lsp",
    .return_form = LSPO_RETURN_DELTA,
    .build = build,
    .describe_message = lspo_lsp_message,
};
