/* lsp-paper: lsp with the kernels of the authors' public code.  Projectors are written out dense before each use and
 * the products with them are dense; the step P D Q^T is formed before it is added.  Mathematics and schedule are those
 * of lsp: the difference between the two is what kernels that keep the projectors sparse are worth. */
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
    .help = "lsp at the cost of the authors' code: projectors written out dense, dense products",
    .citation = "github.com/gulang2019/LSP-Offload, gradient_compressor.py",
    .example = "lspo sim --policy lsp-paper --model llama-7b --machine rtx4090 --subspace 1024",
    .parameters = &lspo_lsp_parameters,
    .semantics = LSPO_SEMANTICS_COMPRESSED,
    .periods = {{&lspo_parameter_check_every, 1, "checks of the projectors"}},
    .clip_help = "as lsp",
    .train_rest_default = false,
    .dense_sketches = true,
    .gradient_form = LSPO_FORM_SUBSPACE,
    .method = "lsp",
    .return_form = LSPO_RETURN_DELTA,
    .build = build,
    .describe_message = lspo_lsp_message,
};
