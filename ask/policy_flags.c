/* policy_flags.c - see policy_flags.h. */
#include "ask/policy_flags.h"

#include <stdio.h>
#include <string.h>

#include "ask/request.h"
#include "base/names.h"

enum { LIST_BYTES = 1024, NAMES_MAX = 64 };

static lspo_status_t store_given(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    const lspo_parameter_t *parameter = arg->context;
    lspo_given_t *given = slot;
    uint64_t scratch;
    lspo_status_t status = lspo_parameter_parse(parameter, what, text, &scratch);
    if (status != LSPO_OK)
        return status;
    uint32_t at = 0;
    while (at < given->count && given->flags[at].parameter != parameter)
        at++;
    if (at == LSPO_GIVEN_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: more than %d flags of policies", what, LSPO_GIVEN_MAX);
    given->flags[at].parameter = parameter;
    given->flags[at].text = text;
    given->count += at == given->count;
    return LSPO_OK;
}

void lspo_policy_arg(const lspo_parameter_t *parameter, lspo_arg_t *arg_out)
{
    *arg_out = (lspo_arg_t){.name = parameter->key,
                            .value = parameter->value,
                            .help = parameter->help,
                            .store = store_given,
                            .offset_bytes = offsetof(lspo_request_t, given),
                            .context = parameter};
}

static bool policy_arg_at(size_t index, lspo_arg_t *arg_out)
{
    const lspo_parameter_t *parameter = lspo_policies_parameter(index);
    if (parameter != NULL)
        lspo_policy_arg(parameter, arg_out);
    return parameter != NULL;
}

const lspo_arg_group_t lspo_policy_group = {
    .title = "the policy's own options",
    .at = policy_arg_at,
    .note = "`lspo help POLICY` lists them, such as `lspo help lsp`; `lspo list policies` lists the policies.",
};

void lspo_policy_flag_help(const lspo_parameter_t *parameter, char *text, size_t capacity)
{
    char preset[96];
    lspo_parameter_default_text(parameter, preset, sizeof preset);
    snprintf(text, capacity, "%s (%s)", parameter->help, preset);
}

lspo_status_t lspo_given_apply(const lspo_given_t *given, const lspo_policy_t *policy, lspo_workload_t *workload)
{
    for (uint32_t i = 0; i < given->count; i++) {
        char what[64];
        void *slot = lspo_policy_slot(policy, workload, given->flags[i].parameter);
        if (slot == NULL)
            continue;
        snprintf(what, sizeof what, "--%s", given->flags[i].parameter->key);
        lspo_status_t status = lspo_parameter_parse(given->flags[i].parameter, what, given->flags[i].text, slot);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* "lsp and lsp-paper" */
static void list_owners(const lspo_parameter_t *parameter, char *text, size_t capacity)
{
    const char *names[NAMES_MAX];
    size_t count = 0, used = 0;
    for (uint32_t i = 0; i < lspo_any_policy_count() && count < NAMES_MAX; i++)
        if (lspo_policy_use(lspo_any_policy_at(i), parameter) != NULL)
            names[count++] = lspo_any_policy_at(i)->name;
    text[0] = '\0';
    for (size_t i = 0; i < count && used < capacity; i++)
        used += (size_t)snprintf(text + used, capacity - used, "%s%s",
                                 i == 0           ? ""
                                 : i + 1 == count ? " and "
                                                  : ", ",
                                 names[i]);
}

/* "lsp has --subspace, --nnz", "native has no options of its own" */
static void list_own(const lspo_policy_t *policy, char *text, size_t capacity)
{
    const lspo_parameters_t *own = policy->parameters;
    size_t used =
        (size_t)snprintf(text, capacity, own == NULL ? "%s has no options of its own" : "%s has ", policy->name);
    for (size_t i = 0; own != NULL && i < own->count && used < capacity; i++)
        used +=
            (size_t)snprintf(text + used, capacity - used, "%s--%s", i > 0 ? ", " : "", own->uses[i].parameter->key);
}

static const char *nearest_own(const lspo_policy_t *policy, const char *key)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (size_t i = 0; policy->parameters != NULL && i < policy->parameters->count && count < NAMES_MAX; i++)
        names[count++] = policy->parameters->uses[i].parameter->key;
    return lspo_name_nearest(key, names, count);
}

static lspo_status_t refuse_foreign(const lspo_parameter_t *parameter, const lspo_policy_t *policy)
{
    char owners[LIST_BYTES], own[LIST_BYTES];
    const char *nearest = nearest_own(policy, parameter->key);
    list_owners(parameter, owners, sizeof owners);
    list_own(policy, own, sizeof own);
    if (nearest != NULL)
        return lspo_error(LSPO_ERR_INPUT, "--%s belongs to %s; did you mean --%s? %s", parameter->key, owners, nearest,
                          own);
    return lspo_error(LSPO_ERR_INPUT, "--%s belongs to %s; %s", parameter->key, owners, own);
}

lspo_status_t lspo_given_check(const lspo_given_t *given, const lspo_policy_t *policy, const lspo_policy_t *also)
{
    for (uint32_t i = 0; i < given->count; i++) {
        const lspo_parameter_t *parameter = given->flags[i].parameter;
        if (lspo_policy_use(policy, parameter) == NULL && (also == NULL || lspo_policy_use(also, parameter) == NULL))
            return refuse_foreign(parameter, policy);
    }
    return LSPO_OK;
}

lspo_status_t lspo_given_check_some(const lspo_given_t *given,
                                    bool (*compared)(const void *context, const lspo_policy_t *policy),
                                    const void *context, const char *whose)
{
    for (uint32_t i = 0; i < given->count; i++) {
        const lspo_parameter_t *parameter = given->flags[i].parameter;
        char owners[LIST_BYTES];
        uint32_t at = 0, count = lspo_any_policy_count();
        while (at < count && (lspo_policy_use(lspo_any_policy_at(at), parameter) == NULL ||
                              !compared(context, lspo_any_policy_at(at))))
            at++;
        list_owners(parameter, owners, sizeof owners);
        if (at == count)
            return lspo_error(LSPO_ERR_INPUT, "--%s belongs to %s, and not to any of %s", parameter->key, owners,
                              whose);
    }
    return LSPO_OK;
}
