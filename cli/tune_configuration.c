/* tune_configuration.c - a setting as another implementation's configuration; see tune_configuration.h. */
#include "cli/tune_configuration.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "plan/policies/shared.h"
#include "plan/policies/stream.h"
#include "plan/policies/zenflow.h"
#include "plan/policies/zero.h"

/* ---- the setting ---- */

static uint32_t named_value(const lspo_found_t *found, const lspo_parameter_t *parameter)
{
    const uint32_t *value = lspo_policy_value(found->policy, &found->workload, parameter);
    return value != NULL ? *value : 0;
}

/* The share of the parameters in the first stages, which the GPU updates. */
static double native_share_of(const lspo_model_t *model, const lspo_found_t *found)
{
    const uint32_t layers = named_value(found, &lspo_parameter_native_layers);
    double before = 0, all = 0;
    for (uint32_t s = 0; s < lspo_model_stage_count(model); s++) {
        lspo_stage_t stage;
        lspo_model_stage(model, s, &stage);
        all += (double)stage.element_count;
        before += s < layers ? (double)stage.element_count : 0;
    }
    return before / all;
}

/* The share of the parameters that the CPU updates: neither the first nor the last stages. */
static double cpu_share_of(const lspo_model_t *model, const lspo_found_t *found)
{
    double share = strcmp(found->policy->name, "zero") == 0 ? lspo_zero_values_of(&found->workload)->cpu_share : 1;
    share -= native_share_of(model, found);
    return share > 0 ? share : 0;
}

static uint64_t parameters_of_block(const lspo_model_t *model)
{
    lspo_stage_t stage;
    lspo_model_stage(model, 1, &stage);
    return stage.element_count;
}

/* ---- DeepSpeed ---- */

static void write_precision(const lspo_workload_t *workload, FILE *file)
{
    if (workload->precision == LSPO_BF16)
        fputs("  \"bf16\": {\"enabled\": true},\n", file);
    if (workload->precision == LSPO_FP16)
        fprintf(file, "  \"fp16\": {\"enabled\": true, \"loss_scale\": %g},\n",
                workload->loss_scale > 0 ? workload->loss_scale : 0.0);
}

static void write_zenflow(const lspo_zenflow_values_t *values, FILE *file)
{
    fprintf(file,
            ",\n    \"zenflow\": {\"topk_ratio\": %g, \"select_strategy\": \"step\", \"select_interval\": %u,\n"
            "                \"update_interval\": %u, \"full_warm_up_rounds\": 0, \"overlap_step\": true}",
            values->critical_fraction, values->select_every, values->update_every);
}

/* The window in parameters: those that stay, and those that come ahead. */
static void write_window(const lspo_model_t *model, uint32_t window, FILE *file)
{
    const uint64_t block = parameters_of_block(model);
    fprintf(file,
            ",\n    \"offload_param\": {\"device\": \"cpu\", \"pin_memory\": true},\n"
            "    \"stage3_max_live_parameters\": %" PRIu64 ",\n    \"stage3_max_reuse_distance\": %" PRIu64
            ",\n    \"stage3_prefetch_bucket_size\": %" PRIu64,
            window * block, (window - 1) * block, (window - 1) * block);
}

/* With a share of 0 nothing is on the CPU. */
static void write_offload(double share, FILE *file)
{
    char ratio[48] = "";
    if (share < 1)
        snprintf(ratio, sizeof ratio, ", \"ratio\": %.3g", share);
    if (share > 0)
        fprintf(file, ",\n    \"offload_optimizer\": {\"device\": \"cpu\", \"pin_memory\": true%s}", ratio);
}

static void write_zero(const lspo_model_t *model, const lspo_found_t *found, FILE *file)
{
    const bool streams = found->policy->elsewhere == LSPO_ELSEWHERE_ZERO_INFINITY;
    const double share = cpu_share_of(model, found);
    fprintf(file,
            "  \"zero_optimization\": {\n    \"stage\": %d,\n    \"overlap_comm\": %s,\n"
            "    \"contiguous_gradients\": true,\n    \"reduce_bucket_size\": %" PRIu64,
            streams || (share > 0 && share < 1) ? 3 : 2,
            named_value(found, &lspo_parameter_gradient_buffers) == 1 ? "false" : "true", parameters_of_block(model));
    write_offload(share, file);
    if (streams)
        write_window(model, lspo_stream_values_of(&found->workload)->window, file);
    if (found->policy->elsewhere == LSPO_ELSEWHERE_ZENFLOW)
        write_zenflow(lspo_zenflow_values_of(&found->workload), file);
    fputs("\n  }\n", file);
}

static void write_deepspeed(const lspo_model_t *model, const lspo_found_t *found, FILE *file)
{
    const lspo_workload_t *workload = &found->workload;
    fprintf(file, "{\n  \"train_micro_batch_size_per_gpu\": %u,\n  \"gradient_accumulation_steps\": %u,\n",
            workload->batch, workload->accumulation);
    write_precision(workload, file);
    if (workload->clip_norm > 0)
        fprintf(file, "  \"gradient_clipping\": %g,\n", workload->clip_norm);
    fprintf(file,
            "  \"optimizer\": {\"type\": \"AdamW\", \"params\": {\"lr\": %g, \"betas\": [0.9, 0.999], \"eps\": %g, "
            "\"weight_decay\": %g}},\n",
            workload->learning_rate, workload->adam_epsilon, workload->weight_decay);
    write_zero(model, found, file);
    fputs("}\n", file);
}

/* ---- torchao ---- */

static void write_torchao(const lspo_found_t *found, FILE *file)
{
    const lspo_workload_t *workload = &found->workload;
    const bool offloads = found->policy->elsewhere == LSPO_ELSEWHERE_ZERO_OFFLOAD;
    const bool bytes = named_value(found, &lspo_parameter_optimizer_state) == LSPO_OPTIMIZER_STATE_8BIT;
    const char *adam = bytes ? "AdamW8bit" : offloads ? "torch.optim.AdamW" : "_AdamW";
    const bool of_torchao = bytes || !offloads;
    const bool rounds = of_torchao && workload->precision == LSPO_BF16;
    if (!bytes && offloads)
        fputs("import torch\n", file);
    fprintf(file, "from torchao.optim import %s%s%s\n", of_torchao ? adam : "", of_torchao && offloads ? ", " : "",
            offloads ? "CPUOffloadOptimizer" : "");
    if (workload->precision == LSPO_BF16)
        fputs("model = model.bfloat16()\n", file);
    if (offloads)
        fprintf(file, "optimizer = CPUOffloadOptimizer(model.parameters(), %s, offload_gradients=%s%s, ", adam,
                workload->accumulation == 1 ? "True" : "False", of_torchao ? "" : ", fused=True");
    else
        fprintf(file, "optimizer = %s(model.parameters(), ", adam);
    fprintf(file, "lr=%g, eps=%g, weight_decay=%g%s)\n", workload->learning_rate, workload->adam_epsilon,
            workload->weight_decay, rounds ? ", bf16_stochastic_round=True" : "");
}

/* ---- which ---- */

static bool is_deepspeed(const lspo_found_t *found)
{
    return found->policy->elsewhere >= LSPO_ELSEWHERE_ZERO_OFFLOAD &&
           named_value(found, &lspo_parameter_optimizer_state) == LSPO_OPTIMIZER_STATE_FP32;
}

/* torchao has the states that are narrow, in full 16-bit training. */
static bool is_torchao(const lspo_model_t *model, const lspo_found_t *found)
{
    const lspo_optimizer_state_t state = (lspo_optimizer_state_t)named_value(found, &lspo_parameter_optimizer_state);
    const bool offloads = found->policy->elsewhere == LSPO_ELSEWHERE_ZERO_OFFLOAD;
    if (state == LSPO_OPTIMIZER_STATE_FP32 || found->policy->elsewhere > LSPO_ELSEWHERE_ZERO_OFFLOAD)
        return false;
    if (state == LSPO_OPTIMIZER_STATE_BF16 && found->workload.precision != LSPO_BF16)
        return false;
    return !offloads || (cpu_share_of(model, found) >= 1 && !(found->workload.clip_norm > 0));
}

static const char *beside(const lspo_found_t *found)
{
    if (found->policy->elsewhere == LSPO_ELSEWHERE_ZERO_INFINITY &&
        lspo_stream_values_of(&found->workload)->update != LSPO_STREAM_UPDATE_AFTER)
        return found->workload.checkpointing
                   ? "with gradient checkpointing switched on in the model; it updates after backward, as --update "
                     "after"
                   : "without gradient checkpointing; it updates after backward, as --update after";
    return found->workload.checkpointing ? "with gradient checkpointing switched on in the model"
                                         : "without gradient checkpointing";
}

lspo_status_t lspo_tune_configure(const lspo_model_t *model, const lspo_found_t *found,
                                  lspo_tune_configuration_t *configuration_out)
{
    const bool plain = named_value(found, &lspo_parameter_adam_basis) == LSPO_ADAM_BASIS_PLAIN &&
                       !(found->workload.adam_root_epsilon > 0);
    const bool elsewhere = plain && found->policy->elsewhere != LSPO_ELSEWHERE_NOBODY &&
                           named_value(found, &lspo_parameter_native_layers) == 0 &&
                           found->workload.swap_activations == 0;
    *configuration_out = (lspo_tune_configuration_t){0};
    if (!elsewhere || !(is_deepspeed(found) || is_torchao(model, found)))
        return LSPO_OK;
    FILE *file = fmemopen(configuration_out->text, sizeof configuration_out->text, "w");
    if (file == NULL)
        return lspo_no_memory("a configuration");
    if (is_deepspeed(found))
        write_deepspeed(model, found, file);
    else
        write_torchao(found, file);
    configuration_out->framework = is_deepspeed(found) ? "DeepSpeed" : "torchao";
    configuration_out->file = is_deepspeed(found) ? "ds_config.json" : "optimizer.py";
    configuration_out->beside = beside(found);
    return fclose(file) == 0 ? LSPO_OK : lspo_error(LSPO_ERR_INTERNAL, "a configuration is too long");
}
