/* model_traits.c - in what a model differs from its family: biases, norms, positions, windows; see model.h. */
#include <inttypes.h>
#include <stdio.h>

#include "plan/family.h"
#include "plan/model_fields.h"

const char *const lspo_biases_names[] = {"family", "none", "qkv", "attention", "mlp", "all", NULL};
const char *const lspo_norm_kind_names[] = {"family", "rms", "layer", "layer-gain", "layer-plain", NULL};
const char *const lspo_norms_names[] = {"family", "before", "after", "both", "parallel", "parallel-shared", NULL};
const char *const lspo_qk_norm_names[] = {"none", "head", "width", NULL};
const char *const lspo_positions_names[] = {"family", "learned", "rotary", "alibi", NULL};
const char *const lspo_rope_scaling_names[] = {"none", "linear", "llama3", NULL};

const char *const lspo_router_names[] = {"chosen", "all", NULL};

lspo_traits_t lspo_model_traits(const lspo_model_t *model)
{
    const lspo_family_row_t *family = lspo_family_of(model);
    const lspo_biases_t biases = model->biases != LSPO_BIASES_FAMILY ? model->biases : family->biases;
    const lspo_norm_kind_t norm = model->norm != LSPO_NORM_FAMILY ? model->norm : family->norm;
    const bool all = biases == LSPO_BIASES_ALL;
    return (lspo_traits_t){
        .qkv_bias = all || biases == LSPO_BIASES_QKV || biases == LSPO_BIASES_ATTENTION,
        .attention_out_bias = all || biases == LSPO_BIASES_ATTENTION,
        .mlp_bias = all || biases == LSPO_BIASES_MLP,
        .rms = norm == LSPO_NORM_RMS,
        .norm_gain = norm != LSPO_NORM_LAYER_PLAIN,
        .norm_bias = norm == LSPO_NORM_LAYER,
        .norms = model->norms != LSPO_NORMS_FAMILY ? model->norms : LSPO_NORMS_BEFORE,
        .positions = model->positions != LSPO_POSITIONS_FAMILY ? model->positions : family->positions,
    };
}

uint32_t lspo_model_head_width(const lspo_model_t *model)
{
    return model->head_width > 0 ? model->head_width : model->width / model->head_count;
}

uint32_t lspo_model_attention_width(const lspo_model_t *model)
{
    return lspo_model_head_width(model) * model->head_count;
}

uint32_t lspo_model_kv_width(const lspo_model_t *model)
{
    return lspo_model_head_width(model) * model->kv_head_count;
}

uint32_t lspo_model_window(const lspo_model_t *model, uint32_t stage)
{
    const bool full = model->full_every > 0 && stage % model->full_every == 0;
    return full ? 0 : model->window;
}

bool lspo_model_ends_with_norm(const lspo_model_t *model)
{
    const lspo_norms_t norms = lspo_model_traits(model).norms;
    return lspo_family_of(model)->post_norm || norms == LSPO_NORMS_AFTER || norms == LSPO_NORMS_BOTH;
}

uint32_t lspo_model_norm_count(const lspo_model_t *model)
{
    const lspo_norms_t norms = lspo_model_traits(model).norms;
    return norms == LSPO_NORMS_BOTH ? 4 : norms == LSPO_NORMS_PARALLEL_SHARED ? 1 : 2;
}

static lspo_status_t refuse(const char *what, const char *key, const char *why)
{
    return lspo_error(LSPO_ERR_INPUT, "%s: %s %s", what, key, why);
}

/* A family without variants has none of the fields. */
static lspo_status_t check_unvaried(const char *what, const lspo_model_t *model)
{
    const struct {
        const char *key;
        bool given;
    } fields[] = {{"head_dim", model->head_width > 0},
                  {"biases", model->biases != 0},
                  {"norm", model->norm != 0},
                  {"norms", model->norms != 0},
                  {"qk_norm", model->qk_norm != 0},
                  {"positions", model->positions != 0},
                  {"unused_positions", model->unused_positions > 0},
                  {"window", model->window > 0},
                  {"rope_scaling", model->rope_scaling != 0},
                  {"experts", model->expert_count > 0}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (fields[i].given)
            return refuse(what, fields[i].key, "needs family gpt or llama");
    return LSPO_OK;
}

static lspo_status_t check_rope(const char *what, const lspo_model_t *model)
{
    const bool llama3 = model->rope_scaling == LSPO_ROPE_LLAMA3;
    if (model->rope_scaling == LSPO_ROPE_PLAIN)
        return model->rope_factor > 0 ? refuse(what, "rope_factor", "needs rope_scaling") : LSPO_OK;
    if (lspo_model_traits(model).positions != LSPO_POSITIONS_ROTARY)
        return refuse(what, "rope_scaling", "needs positions = rotary");
    if (!(model->rope_factor > 0))
        return refuse(what, "rope_factor", "is missing; rope_scaling needs it");
    if (llama3 && !(model->rope_low_factor > 0 && model->rope_high_factor > model->rope_low_factor))
        return refuse(what, "rope_scaling", "llama3 needs rope_high_factor > rope_low_factor > 0");
    if (llama3 && model->rope_original == 0)
        return refuse(what, "rope_original", "is missing; rope_scaling llama3 needs it");
    return LSPO_OK;
}

/* Rows of all experts together are a 32-bit number. */
static lspo_status_t check_experts(const char *what, const lspo_model_t *model)
{
    const uint64_t widest = model->width > model->mlp_width ? model->width : model->mlp_width;
    if (model->expert_count == 0)
        return model->experts_per_token > 0 || model->router != 0
                   ? refuse(what, model->experts_per_token > 0 ? "experts_per_token" : "router", "needs experts")
                   : LSPO_OK;
    if (model->experts_per_token == 0)
        return refuse(what, "experts_per_token", "is missing; experts needs it");
    if (model->experts_per_token > model->expert_count)
        return refuse(what, "experts_per_token", "is above experts");
    if (lspo_model_traits(model).mlp_bias)
        return refuse(what, "biases", "of experts are not known to lspo; use none or attention");
    if (model->expert_count * widest > INT32_MAX)
        return refuse(what, "experts", "times width or mlp_width is above 2147483647");
    return LSPO_OK;
}

lspo_status_t lspo_model_check_traits(const char *what, const lspo_model_t *model)
{
    const lspo_status_t status = check_experts(what, model);
    if (status != LSPO_OK)
        return status;
    if (!lspo_family_of(model)->varies)
        return check_unvaried(what, model);
    if (model->unused_positions > 0 && lspo_model_traits(model).positions != LSPO_POSITIONS_LEARNED)
        return refuse(what, "unused_positions", "needs positions = learned");
    if (model->full_every > 0 && model->window == 0)
        return refuse(what, "full_every", "needs window");
    return check_rope(what, model);
}

/* A field of a model that lspo does not compute, and its value. */
typedef struct {
    const char *key, *value; /* key NULL: there is none */
    char number[16];
} untrained_t;

static untrained_t named(const char *key, const char *value)
{
    return (untrained_t){.key = key, .value = value};
}

static untrained_t numbered(const char *key, uint32_t value)
{
    untrained_t found = {.key = key};
    snprintf(found.number, sizeof found.number, "%" PRIu32, value);
    return found;
}

static untrained_t find_untrained(const lspo_model_t *model)
{
    const lspo_family_row_t *family = lspo_family_of(model);
    const lspo_traits_t traits = lspo_model_traits(model);
    const bool gpt = model->family == LSPO_FAMILY_GPT;
    if (traits.norms != LSPO_NORMS_BEFORE)
        return named("norms", lspo_norms_names[traits.norms]);
    if (model->norm != LSPO_NORM_FAMILY && model->norm != family->norm)
        return named("norm", lspo_norm_kind_names[model->norm]);
    if (traits.positions != family->positions)
        return named("positions", lspo_positions_names[traits.positions]);
    if (model->qk_norm == LSPO_QK_NORM_WIDTH || (gpt && model->qk_norm != LSPO_QK_NORM_NONE))
        return named("qk_norm", lspo_qk_norm_names[model->qk_norm]);
    if (gpt && model->biases != LSPO_BIASES_FAMILY && model->biases != LSPO_BIASES_ALL)
        return named("biases", lspo_biases_names[model->biases]);
    if (gpt && lspo_model_attention_width(model) != model->width)
        return numbered("head_dim", model->head_width);
    if (model->unused_positions > 0)
        return numbered("unused_positions", model->unused_positions);
    if (gpt && model->expert_count > 0)
        return numbered("experts", model->expert_count);
    return named(NULL, NULL);
}

lspo_status_t lspo_model_check_trains(const lspo_model_t *model)
{
    const untrained_t found = find_untrained(model);
    if (found.key != NULL)
        return lspo_error(LSPO_ERR_INPUT,
                          "model %s can only be predicted (lspo sim, choose, show): %s = %s is not computed",
                          model->name, found.key, found.value != NULL ? found.value : found.number);
    if (model->predict_only)
        return lspo_error(LSPO_ERR_INPUT,
                          "model %s can only be predicted (lspo sim, choose, show): it has an activation, scaling or "
                          "positions that are not computed",
                          model->name);
    return LSPO_OK;
}

bool lspo_model_trains(const lspo_model_t *model)
{
    const bool has_head = lspo_family_of(model)->trains_language || model->class_count > 0;
    return has_head && model->expert_count == 0 && !model->predict_only && find_untrained(model).key == NULL;
}
