/* policy_values.c - the values of a policy's own parameters in a workload; see policy.h. */
#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "plan/policies/shared.h"
#include "plan/policy.h"

const lspo_parameter_use_t *lspo_policy_named_use(const lspo_policy_t *policy, const char *key, size_t length)
{
    for (size_t i = 0; policy->parameters != NULL && i < policy->parameters->count; i++) {
        const lspo_parameter_use_t *use = &policy->parameters->uses[i];
        if (strlen(use->parameter->key) == length && memcmp(use->parameter->key, key, length) == 0)
            return use;
    }
    return NULL;
}

const lspo_parameter_use_t *lspo_policy_use(const lspo_policy_t *policy, const lspo_parameter_t *parameter)
{
    const lspo_parameters_t *own = policy->parameters;
    for (size_t i = 0; own != NULL && i < own->count; i++) {
        const lspo_parameter_t *its = own->uses[i].parameter;
        if (its == parameter || (its->key[0] == parameter->key[0] && strcmp(its->key, parameter->key) == 0))
            return &own->uses[i];
    }
    return NULL;
}

const lspo_parameter_use_t *lspo_policy_colon_use(const lspo_policy_t *policy, uint32_t index)
{
    for (size_t i = 0; policy->parameters != NULL && i < policy->parameters->count; i++)
        if (policy->parameters->uses[i].in_grid && index-- == 0)
            return &policy->parameters->uses[i];
    return NULL;
}

bool lspo_policy_flag_is_foreign(const lspo_policy_t *policy, const char *word)
{
    if (strncmp(word, "--", 2) != 0)
        return false;
    size_t length = strcspn(word + 2, "= "); /* one of several words */
    if (lspo_policy_named_use(policy, word + 2, length) != NULL)
        return false;
    for (uint32_t i = 0; i < lspo_any_policy_count(); i++)
        if (lspo_policy_named_use(lspo_any_policy_at(i), word + 2, length) != NULL)
            return true;
    return false;
}

/* Tables one behind the other, in the order of policies.  Listed once: a plan asks for its parameters often. */
enum { TABLES_MAX = 64 };
static struct {
    const lspo_parameters_t *table;
    size_t offset_bytes;
} places[TABLES_MAX];
static size_t place_count;
static pthread_once_t places_listed = PTHREAD_ONCE_INIT;

static bool has_place(const lspo_parameters_t *table)
{
    for (size_t i = 0; i < place_count; i++)
        if (places[i].table == table)
            return true;
    return false;
}

static void list_places(void)
{
    size_t offset_bytes = 0;
    for (uint32_t i = 0; i < lspo_any_policy_count(); i++) {
        const lspo_parameters_t *own = lspo_any_policy_at(i)->parameters;
        if (own == NULL || has_place(own))
            continue;
        assert(place_count < TABLES_MAX && offset_bytes + own->block_bytes <= LSPO_VALUES_BYTES);
        places[place_count].table = own;
        places[place_count++].offset_bytes = offset_bytes;
        offset_bytes += (own->block_bytes + 7) / 8 * 8;
    }
}

static size_t place_of(const lspo_parameters_t *table)
{
    pthread_once(&places_listed, list_places);
    size_t i = 0;
    while (i + 1 < place_count && places[i].table != table)
        i++;
    assert(places[i].table == table && "a table of a policy");
    return places[i].offset_bytes;
}

const void *lspo_values_of(const lspo_workload_t *workload, const lspo_parameters_t *table)
{
    return workload->values.bytes + place_of(table);
}

void *lspo_values_edit(lspo_workload_t *workload, const lspo_parameters_t *table)
{
    return workload->values.bytes + place_of(table);
}

void *lspo_policy_slot(const lspo_policy_t *policy, lspo_workload_t *workload, const lspo_parameter_t *parameter)
{
    const lspo_parameter_use_t *use = lspo_policy_use(policy, parameter);
    return use != NULL ? (char *)lspo_values_edit(workload, policy->parameters) + use->offset_bytes : NULL;
}

const void *lspo_policy_value(const lspo_policy_t *policy, const lspo_workload_t *workload,
                              const lspo_parameter_t *parameter)
{
    const lspo_parameter_use_t *use = lspo_policy_use(policy, parameter);
    return use != NULL ? (const char *)lspo_values_of(workload, policy->parameters) + use->offset_bytes : NULL;
}

lspo_workload_t lspo_policy_workload(const lspo_plan_t *plan)
{
    lspo_workload_t workload = plan->workload;
    if (workload.train_rest == (plan->policy->train_rest_default ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF))
        workload.train_rest = LSPO_TRAIN_REST_AUTO;
    const uint32_t *own = lspo_policy_value(plan->policy, &plan->workload, &lspo_parameter_optimizer_state);
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        uint32_t *state = lspo_policy_slot(lspo_policy_at(i), &workload, &lspo_parameter_optimizer_state);
        if (state != NULL)
            *state = own != NULL ? *own : (uint32_t)LSPO_OPTIMIZER_STATE_FP32;
    }
    return workload;
}

/* Has a policy before this one the same parameter? */
static bool is_known(uint32_t policy, size_t row)
{
    const lspo_parameters_t *own = lspo_any_policy_at(policy)->parameters;
    for (uint32_t i = 0; i < policy; i++)
        if (lspo_policy_use(lspo_any_policy_at(i), own->uses[row].parameter) != NULL)
            return true;
    return false;
}

/* All parameters, listed once: results and flags ask for each of them in turn. */
enum { PARAMETERS_MAX = 256 };
static const lspo_parameter_t *all_parameters[PARAMETERS_MAX];
static size_t all_count;
static pthread_once_t all_listed = PTHREAD_ONCE_INIT;

static void list_parameters(void)
{
    for (uint32_t i = 0; i < lspo_any_policy_count(); i++) {
        const lspo_parameters_t *own = lspo_any_policy_at(i)->parameters;
        for (size_t row = 0; own != NULL && row < own->count; row++)
            if (!is_known(i, row)) {
                assert(all_count < PARAMETERS_MAX);
                all_parameters[all_count++] = own->uses[row].parameter;
            }
    }
}

const lspo_parameter_t *lspo_policies_parameter(size_t index)
{
    pthread_once(&all_listed, list_parameters);
    return index < all_count ? all_parameters[index] : NULL;
}

void lspo_policy_set_defaults(const lspo_policy_t *policy, const lspo_model_t *model, bool training,
                              lspo_workload_t *workload)
{
    const lspo_parameter_context_t context = {policy, model, workload, training};
    for (size_t i = 0; policy->parameters != NULL && i < policy->parameters->count; i++) {
        const lspo_parameter_t *parameter = policy->parameters->uses[i].parameter;
        lspo_parameter_set_default(parameter, &context, lspo_policy_slot(policy, workload, parameter));
    }
}

static lspo_status_t check_basis(const lspo_policy_t *policy, const lspo_workload_t *workload)
{
    const uint32_t *basis = lspo_policy_value(policy, workload, &lspo_parameter_adam_basis);
    const uint32_t *state = lspo_policy_value(policy, workload, &lspo_parameter_optimizer_state);
    if (basis == NULL || state == NULL || *basis == LSPO_ADAM_BASIS_PLAIN || *state == LSPO_OPTIMIZER_STATE_FP32)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "--adam-basis %s keeps Adam's m and v in fp32; --optimizer-state is %s, not fp32",
                      lspo_adam_basis_names[*basis], lspo_optimizer_state_names[*state]);
}

static lspo_status_t refuse_model(const lspo_policy_t *policy, const lspo_model_t *model)
{
    if (model->expert_count == 0)
        return lspo_error(LSPO_ERR_INPUT, "policy %s is for models with experts, and model %s has none", policy->name,
                          model->name);
    return lspo_error(LSPO_ERR_INPUT, "policy %s is not for models with experts, such as %s%s", policy->name,
                      model->name,
                      policy->task == LSPO_TASK_TRAIN ? "; lspo only generates with them (--task generate)" : "");
}

lspo_status_t lspo_policy_check(const lspo_policy_t *policy, const lspo_model_t *model, const lspo_workload_t *workload)
{
    const lspo_parameter_context_t context = {policy, model, workload, false};
    if (!lspo_policy_takes(policy, model))
        return refuse_model(policy, model);
    for (size_t i = 0; policy->parameters != NULL && i < policy->parameters->count; i++) {
        const lspo_parameter_t *parameter = policy->parameters->uses[i].parameter;
        lspo_status_t status =
            lspo_parameter_check(parameter, &context, lspo_policy_value(policy, workload, parameter));
        if (status != LSPO_OK)
            return status;
    }
    return check_basis(policy, workload);
}
