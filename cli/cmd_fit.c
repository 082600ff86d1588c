/* cmd_fit.c - `lspo fit`: how much of real gradients do random and learned projectors and GaLore's basis keep? */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "ask/args.h"
#include "ask/request.h"
#include "ask/version.h"
#include "base/table.h"
#include "cli/command.h"
#include "cli/host_room.h"
#include "cli/progress.h"
#include "cli/request_line.h"
#include "plan/policies/lsp.h"
#include "real/formats/hf_model.h"
#include "real/tokenizer/tokenizer.h"
#include "real/train/gradients.h"

typedef struct {
    lspo_request_t base; /* first: its options are parsed into it, see ask/request.h */
    uint32_t layer, calibration_count, validation_count;
    lspo_workload_t projectors; /* lsp's: what is compared */
} fit_request_t;

#define BASE(field) .offset_bytes = offsetof(lspo_request_t, field)
#define FIT(field) .offset_bytes = offsetof(fit_request_t, field)

static const lspo_arg_t fit_args[] = {
    {.name = "model",
     .value = "NAME|FILE|FOLDER",
     .list = "models",
     .help = "model to train (gpt-tiny): a preset, a file of shapes, or a Hugging Face folder; help: list models",
     .store = lspo_arg_text,
     BASE(model_name)},
    {.name = "policy",
     .value = "NAME",
     .list = "policies",
     .help = "policy that trains it first, for --iterations steps (native); help: list policies",
     .store = lspo_arg_text,
     BASE(policy_name)},
    {.name = "text",
     .value = "FILE",
     .help = "train on this file's bytes (the King James Bible if installed, else texts of this machine)",
     .store = lspo_arg_text,
     BASE(text_path)},
    {.name = "layer",
     .value = "N",
     .help = "block whose weights are compared (the middle one)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = LSPO_BLOCKS_MAX,
     FIT(layer)},
    {.name = "calibration",
     .value = "N",
     .help = "gradients that projectors are fitted to (4)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = LSPO_GRADIENTS_MAX,
     FIT(calibration_count)},
    {.name = "validation",
     .value = "N",
     .help = "gradients of held-out text on which estimates are compared (4)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = LSPO_GRADIENTS_MAX,
     FIT(validation_count)},
    LSPO_FORMAT_ARG("result", offsetof(fit_request_t, base.format)),
};

typedef struct {
    const char *model, *policy, *weight, *reason, *version;
    uint64_t layer, steps, rows, cols, subspace, nnz, calibration, validation, seed;
    lspo_bias_set_t on_calibration, on_validation;
    double floor, galore_floor, fit_s, loss_first, loss_last;
    uint64_t fit_steps, projector_bytes, galore_bytes, galore_rank, galore_formula_rank, update_rank;
} fit_record_t;

#define TEXT(name, field)                                                                                              \
    {                                                                                                                  \
        name, LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(fit_record_t, field)                                           \
    }
#define REAL(name, unit, field)                                                                                        \
    {                                                                                                                  \
        name, LSPO_FIELD_REAL, unit, offsetof(fit_record_t, field)                                                     \
    }
#define INTEGER(name, unit, field)                                                                                     \
    {                                                                                                                  \
        name, LSPO_FIELD_INTEGER, unit, offsetof(fit_record_t, field)                                                  \
    }

static const lspo_field_t fit_fields[] = {
    TEXT("weight", weight),
    INTEGER("rows", LSPO_UNIT_NONE, rows),
    INTEGER("cols", LSPO_UNIT_NONE, cols),
    INTEGER("subspace", LSPO_UNIT_NONE, subspace),
    INTEGER("nnz", LSPO_UNIT_NONE, nnz),
    REAL("raw", LSPO_UNIT_NONE, on_validation.raw),
    REAL("random", LSPO_UNIT_NONE, on_validation.random),
    REAL("learned", LSPO_UNIT_NONE, on_validation.learned),
    REAL("galore", LSPO_UNIT_NONE, on_validation.lowrank),
    REAL("galore_formula", LSPO_UNIT_NONE, on_validation.lowrank_formula),
    REAL("floor", LSPO_UNIT_NONE, floor),
    REAL("galore_floor", LSPO_UNIT_NONE, galore_floor),
    REAL("calibration_raw", LSPO_UNIT_NONE, on_calibration.raw),
    REAL("calibration_random", LSPO_UNIT_NONE, on_calibration.random),
    REAL("calibration_learned", LSPO_UNIT_NONE, on_calibration.learned),
    REAL("calibration_galore", LSPO_UNIT_NONE, on_calibration.lowrank),
    INTEGER("fit_steps", LSPO_UNIT_NONE, fit_steps),
    REAL("fit_s", LSPO_UNIT_SECONDS, fit_s),
    TEXT("fit_reason", reason),
    INTEGER("projector_bytes", LSPO_UNIT_BYTES, projector_bytes),
    INTEGER("galore_bytes", LSPO_UNIT_BYTES, galore_bytes),
    INTEGER("galore_rank", LSPO_UNIT_NONE, galore_rank),
    INTEGER("galore_formula_rank", LSPO_UNIT_NONE, galore_formula_rank),
    INTEGER("update_rank", LSPO_UNIT_NONE, update_rank),
    TEXT("model", model),
    INTEGER("layer", LSPO_UNIT_NONE, layer),
    TEXT("policy", policy),
    INTEGER("steps", LSPO_UNIT_NONE, steps),
    REAL("loss_first", LSPO_UNIT_NONE, loss_first),
    REAL("loss_last", LSPO_UNIT_NONE, loss_last),
    INTEGER("calibration_count", LSPO_UNIT_NONE, calibration),
    INTEGER("validation_count", LSPO_UNIT_NONE, validation),
    INTEGER("seed", LSPO_UNIT_NONE, seed),
    TEXT("version", version),
};

static fit_record_t make_record(const fit_request_t *request, const lspo_gradients_t *gradients,
                                const lspo_bias_report_t *report)
{
    const lspo_request_t *base = &request->base;
    return (fit_record_t){.model = base->model.name,
                          .policy = base->policy->name,
                          .weight = report->tensor,
                          .reason = report->fit_reason,
                          .version = lspo_version,
                          .layer = request->layer,
                          .steps = base->workload.iterations,
                          .rows = report->rows,
                          .cols = report->cols,
                          .subspace = lspo_lsp_values_of(&request->projectors)->subspace,
                          .nnz = lspo_lsp_values_of(&request->projectors)->nnz,
                          .calibration = gradients->calibration_count,
                          .validation = gradients->validation_count,
                          .seed = base->workload.seed,
                          .on_calibration = report->calibration,
                          .on_validation = report->validation,
                          .floor = report->floor,
                          .galore_floor = report->floor_lowrank,
                          .fit_s = report->fit_s,
                          .loss_first = gradients->loss_first,
                          .loss_last = gradients->loss_last,
                          .fit_steps = report->fit_steps,
                          .projector_bytes = report->projector_bytes,
                          .galore_bytes = report->lowrank_bytes,
                          .galore_rank = report->lowrank_rank,
                          .galore_formula_rank = report->lowrank_formula_rank,
                          .update_rank = report->update_rank};
}

static lspo_status_t compare(const fit_request_t *request, const lspo_gradients_t *gradients, lspo_progress_t *progress)
{
    fit_record_t records[LSPO_TENSORS_MAX];
    const uint32_t count = gradients->shape.linear_count;
    for (uint32_t i = 0; i < count; i++) {
        lspo_bias_report_t report;
        lspo_progress_update(progress, gradients->shape.tensors[i].name, i, count);
        lspo_status_t status = lspo_gradients_compare(gradients, i, &request->projectors, &report);
        if (status != LSPO_OK)
            return status;
        records[i] = make_record(request, gradients, &report);
    }
    lspo_progress_end(progress);
    lspo_table_t table = {.fields = fit_fields,
                          .field_count = sizeof fit_fields / sizeof fit_fields[0],
                          .records = records,
                          .record_bytes = sizeof records[0],
                          .record_count = count};
    return lspo_table_write(&table, lspo_format_resolve(request->base.format), stdout);
}

static lspo_status_t load_stage(void *context, uint32_t stage, float *weights, bool *given_out)
{
    const lspo_hf_model_t *folder = context;
    *given_out = lspo_hf_model_has_stage(folder, stage);
    return *given_out ? lspo_hf_model_read(folder, stage, weights) : LSPO_OK;
}

/* The contents of a Hugging Face folder; both NULL for a preset or shapes. */
typedef struct {
    lspo_hf_model_t *model;
    lspo_tokenizer_t *tokenizer; /* NULL: bytes */
} folder_t;

static lspo_status_t open_folder(const lspo_request_t *base, folder_t *folder)
{
    if (!lspo_request_is_folder(base->model_name))
        return LSPO_OK;
    lspo_status_t status = lspo_tokenizer_open_model(base->model_name, base->model.vocabulary, &folder->tokenizer);
    if (status != LSPO_OK)
        return status;
    return lspo_hf_model_open(base->model_name, 0, &folder->model);
}

static lspo_status_t collect_and_compare(const fit_request_t *request, const lspo_gradients_options_t *options)
{
    const lspo_plan_t *plan = options->plan;
    lspo_gradients_t gradients;
    lspo_progress_t progress;
    lspo_progress_start(&progress);
    lspo_progress_line(&progress, "training %s for %" PRIu32 " steps", plan->model.name, plan->workload.iterations);
    lspo_status_t status = lspo_gradients_collect(options, &gradients);
    if (status != LSPO_OK)
        goto cleanup;
    status = compare(request, &gradients, &progress);
    lspo_gradients_release(&gradients);
cleanup:
    lspo_progress_end(&progress);
    return status;
}

static lspo_status_t fit_and_compare(const fit_request_t *request)
{
    const lspo_request_t *base = &request->base;
    folder_t folder = {0};
    lspo_plan_t *plan;
    lspo_status_t status = lspo_plan_build(&base->model, &base->workload, base->policy, &plan);
    if (status != LSPO_OK)
        return status;
    lspo_gradients_options_t options = {.plan = plan,
                                        .device = base->device_name,
                                        .text_path = base->text_path,
                                        .stage = request->layer,
                                        .calibration_count = request->calibration_count,
                                        .validation_count = request->validation_count};
    status = lspo_host_room_check(base->device_name, &plan->model, &plan->workload, base->policy,
                                  lspo_gradients_bytes(&options));
    if (status != LSPO_OK)
        goto cleanup;
    status = open_folder(base, &folder);
    if (status != LSPO_OK)
        goto cleanup;
    options.tokenizer = folder.tokenizer;
    options.first_weights = (lspo_first_weights_t){folder.model ? load_stage : NULL, folder.model};
    status = collect_and_compare(request, &options);
cleanup:
    lspo_hf_model_close(folder.model);
    lspo_tokenizer_close(folder.tokenizer);
    lspo_plan_destroy(plan);
    return status;
}

/* The projectors that lsp would use for this model and these flags. */
static lspo_status_t set_projectors(fit_request_t *request, const lspo_policy_t *lsp)
{
    request->projectors = request->base.workload;
    lspo_status_t status = lspo_request_own_values(&request->base, lsp, &request->projectors);
    if (status != LSPO_OK)
        return status;
    return lspo_policy_check(lsp, &request->base.model, &request->projectors);
}

static lspo_status_t fit(int argc, char **argv)
{
    fit_request_t request = {
        .base = {.model_name = "gpt-tiny", .device_name = "host", .policy_name = "native", .format = LSPO_FORMAT_AUTO},
        .calibration_count = 4,
        .validation_count = 4};
    const lspo_policy_t *lsp;
    lspo_status_t status = lspo_policy_find("lsp", &lsp);
    if (status != LSPO_OK)
        return status;
    request.base.also = lsp;
    status = lspo_request_parse(&lspo_command_fit, argc, argv, LSPO_FP32, &request.base);
    if (status != LSPO_OK)
        return status;
    status = set_projectors(&request, lsp);
    if (status != LSPO_OK)
        return status;
    if (request.layer == 0)
        request.layer = (request.base.model.block_count + 1) / 2;
    return fit_and_compare(&request);
}

static const lspo_arg_group_t fit_group = LSPO_ARG_GROUP("options", fit_args);

const lspo_command_t lspo_command_fit = {
    .name = "fit",
    .summary = "compare how much of real gradients random and learned projectors keep",
    .usage = "[options]",
    .about = "Train a model for a few steps on real text, take gradients G of one block's linear weights, and compare "
             "how much is lost when they are compressed: the relative bias |E - G| / |G| of each estimate E, on "
             "gradients of held-out text.\n\n"
             "  raw             random projectors P P' G Q Q'\n"
             "  random          the same at the best scale\n"
             "  learned         projectors fitted to the calibration gradients, best scale\n"
             "  galore          singular vectors of the mean calibration gradient, same bytes\n"
             "  galore_formula  the same, its size by Table 2 of the paper\n"
             "  floor           lower bound for every estimate of rank D\n"
             "  galore_floor    lower bound for every estimate of galore's rank",
    .examples = "lspo fit --model gpt-small --subspace 128 --nnz 4 --iterations 30\n"
                "lspo fit --policy lsp --subspace 32 --check-every 8 --bias-threshold 0.1 --iterations 32 --format csv",
    .common = "model policy layer subspace nnz iterations",
    .details = "update_rank is the numerical rank of the change that the training by --policy made to the weight: the "
               "number of singular values above 1e-4 of the largest.",
    .groups = (const lspo_arg_group_t *const[]){&fit_group, &lspo_workload_group, &lspo_policy_group, NULL},
    .run = fit,
};
