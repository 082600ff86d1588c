/* tune_curve.c - a recorded loss curve; see tune_curve.h. */
#include "cli/tune_curve.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "real/train/metrics.h"

static lspo_status_t check_model(const lspo_tune_curve_t *curve, const lspo_model_t *model)
{
    for (size_t i = 0; i < lspo_model_field_count; i++) {
        char key[64], value[128];
        snprintf(key, sizeof key, "model %s", lspo_model_fields[i].name);
        lspo_record_format(&lspo_model_fields[i], model, value, sizeof value);
        const char *trained = lspo_origin_value(curve->origin, key);
        if (trained == NULL || strcmp(trained, value) != 0)
            return lspo_error(LSPO_ERR_INPUT, "%s is of a training of %s, not of %s (%s %s, not %s)", curve->path,
                              lspo_origin_model(curve->origin), model->name, key, trained != NULL ? trained : "unknown",
                              value);
    }
    return LSPO_OK;
}

static lspo_status_t read_size(const lspo_tune_curve_t *curve, const char *key, uint32_t *size_out)
{
    const char *text = lspo_origin_value(curve->origin, key);
    int64_t size = 0;
    if (text == NULL)
        return lspo_error(LSPO_ERR_INPUT, "the record of %s has no %s", curve->path, key);
    lspo_status_t status = lspo_parse_integer(key, text, 1, INT32_MAX, &size);
    if (status == LSPO_OK)
        *size_out = (uint32_t)size;
    return status;
}

static lspo_status_t read_settings(lspo_tune_curve_t *curve, const lspo_model_t *model)
{
    const char *policy = lspo_origin_value(curve->origin, "policy");
    lspo_status_t status = check_model(curve, model);
    if (status != LSPO_OK)
        return status;
    if (policy == NULL)
        return lspo_error(LSPO_ERR_INPUT, "the record of %s has no policy", curve->path);
    status = lspo_policy_find(policy, &curve->policy);
    if (status == LSPO_OK)
        status = read_size(curve, "batch", &curve->batch);
    if (status == LSPO_OK)
        status = read_size(curve, "accumulation", &curve->accumulation);
    if (status == LSPO_OK)
        status = read_size(curve, "sequence", &curve->sequence);
    return status;
}

/* The first step whose held-out loss is at most `loss`. */
static lspo_status_t read_steps(lspo_tune_curve_t *curve, double loss)
{
    lspo_metrics_row_t *rows = NULL;
    size_t count = 0, evaluated = 0;
    lspo_status_t status = lspo_metrics_read(curve->path, &rows, &count);
    if (status != LSPO_OK)
        return status;
    curve->steps = NAN;
    for (size_t i = 0; i < count; i++) {
        evaluated += isfinite(rows[i].held_out_loss) != 0;
        if (isnan(curve->steps) && rows[i].held_out_loss <= loss)
            curve->steps = rows[i].step;
    }
    if (evaluated == 0)
        status = lspo_error(LSPO_ERR_INPUT, "%s: no row has a held_out_loss; train with --eval-every", curve->path);
    else if (curve->steps <= 0)
        status =
            lspo_error(LSPO_ERR_INPUT, "%s: the held-out loss is at most %g before the first step", curve->path, loss);
    free(rows);
    return status;
}

lspo_status_t lspo_tune_curve_read(const char *path, const lspo_model_t *model, double loss,
                                   lspo_tune_curve_t *curve_out)
{
    lspo_tune_curve_t curve = {.path = path};
    lspo_status_t status = lspo_origin_read(path, &curve.origin);
    if (status == LSPO_OK && curve.origin == NULL)
        status = lspo_error(LSPO_ERR_INPUT, "%s.training is not there: it says which training the losses are of", path);
    if (status == LSPO_OK)
        status = read_settings(&curve, model);
    if (status == LSPO_OK)
        status = read_steps(&curve, loss);
    if (status == LSPO_OK)
        *curve_out = curve;
    else
        lspo_tune_curve_close(&curve);
    return status;
}

void lspo_tune_curve_close(lspo_tune_curve_t *curve)
{
    lspo_origin_close(curve->origin);
    *curve = (lspo_tune_curve_t){0};
}

static bool is_default(const lspo_tune_curve_t *curve, const lspo_parameter_t *parameter, const char *text)
{
    lspo_workload_t workload;
    lspo_workload_default(&workload);
    const lspo_parameter_context_t context = {.policy = curve->policy, .workload = &workload};
    uint64_t trained = 0, usual = 0;
    lspo_parameter_set_default(parameter, &context, &usual);
    return lspo_parameter_parse(parameter, parameter->key, text, &trained) == LSPO_OK &&
           !(lspo_parameter_number(parameter, &trained) < lspo_parameter_number(parameter, &usual)) &&
           !(lspo_parameter_number(parameter, &trained) > lspo_parameter_number(parameter, &usual));
}

bool lspo_tune_curve_stands_for(const lspo_tune_curve_t *curve, const lspo_policy_t *policy)
{
    const lspo_parameters_t *own = curve->policy->parameters;
    for (size_t i = 0; own != NULL && i < own->count; i++) {
        const lspo_parameter_t *parameter = own->uses[i].parameter;
        const char *text = lspo_origin_value(curve->origin, parameter->key);
        if (text != NULL && (parameter->affects & LSPO_AFFECTS_NUMBERS) && lspo_policy_use(policy, parameter) == NULL &&
            !is_default(curve, parameter, text))
            return false;
    }
    return true;
}

lspo_status_t lspo_tune_curve_apply(const lspo_tune_curve_t *curve, const lspo_policy_t *policy,
                                    lspo_workload_t *workload)
{
    const char *rest = lspo_origin_value(curve->origin, "train-rest"), *clip = lspo_origin_value(curve->origin, "clip");
    workload->sequence = curve->sequence;
    if (rest != NULL && strcmp(rest, "auto") != 0)
        workload->train_rest = strcmp(rest, "on") == 0 ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF;
    if (clip != NULL && lspo_parse_quantity("clip", clip, LSPO_UNIT_NONE, &workload->clip_norm) != LSPO_OK)
        return LSPO_ERR_INPUT;
    for (size_t i = 0; policy->parameters != NULL && i < policy->parameters->count; i++) {
        const lspo_parameter_t *parameter = policy->parameters->uses[i].parameter;
        const char *text = lspo_origin_value(curve->origin, parameter->key);
        if (text == NULL || !(parameter->affects & LSPO_AFFECTS_NUMBERS))
            continue;
        lspo_status_t status =
            lspo_parameter_parse(parameter, parameter->key, text, lspo_policy_slot(policy, workload, parameter));
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}
