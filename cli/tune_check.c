/* tune_check.c - see tune_check.h. */
#include "cli/tune_check.h"

#include <stdio.h>

#include "ask/policy_flags.h"
#include "cli/machine_named.h"

const char *const lspo_objective_names[] = {"time", "time-to-loss", "memory", "throughput", NULL};

/* What only one of the tasks has. */
static lspo_status_t check_task(const lspo_tune_request_t *request, const lspo_search_options_t *asked)
{
    const bool generates = asked->task == LSPO_TASK_GENERATE;
    if (generates && asked->objective == LSPO_OBJECTIVE_TIME_TO_LOSS)
        return lspo_error(LSPO_ERR_INPUT, "--objective time-to-loss is for trainings, not --task generate");
    if (!generates && asked->objective == LSPO_OBJECTIVE_THROUGHPUT)
        return lspo_error(LSPO_ERR_INPUT, "--objective throughput is for --task generate; trainings have the time of a "
                                          "step, whose sequences are held");
    if (request->explain && asked->objective == LSPO_OBJECTIVE_THROUGHPUT)
        return lspo_error(LSPO_ERR_INPUT, "--explain compares steps of the same texts; use --objective time or memory");
    if (generates && request->configuration_path != NULL)
        return lspo_error(LSPO_ERR_INPUT, "--configuration is for trainings, not --task generate");
    return LSPO_OK;
}

static bool is_wanted(const void *asked, const lspo_policy_t *policy)
{
    return lspo_search_wants(asked, policy);
}

/* An option that no policy here has leaves none. */
static lspo_status_t check_given(const lspo_given_t *given, const lspo_search_options_t *asked)
{
    char whose[96];
    if (asked->policy != NULL)
        return lspo_given_check(given, asked->policy, NULL);
    snprintf(whose, sizeof whose, "the %spolicies of --task %s, which are compared", asked->exact_only ? "exact " : "",
             lspo_task_names[asked->task]);
    return lspo_given_check_some(given, is_wanted, asked, whose);
}

lspo_status_t lspo_tune_check_asked(const lspo_tune_request_t *request, const lspo_search_options_t *asked)
{
    lspo_status_t status = check_task(request, asked);
    if (status != LSPO_OK)
        return status;
    if (asked->objective != LSPO_OBJECTIVE_TIME_TO_LOSS && (request->curve_count > 0 || request->loss > 0))
        return lspo_error(LSPO_ERR_INPUT, "--%s is for --objective time-to-loss, not %s",
                          request->curve_count > 0 ? "curve" : "loss", lspo_objective_names[request->objective]);
    if (asked->policy != NULL && asked->exact_only && asked->policy->semantics != LSPO_SEMANTICS_EXACT)
        return lspo_error(LSPO_ERR_INPUT, "--exact-only excludes --policy %s, which is not exact but %s",
                          asked->policy->name, lspo_semantics_name(asked->policy->semantics));
    return check_given(&request->base.given, asked);
}

lspo_status_t lspo_tune_refuse(const lspo_tune_request_t *request, const lspo_machine_t *machine,
                               const lspo_search_t *search)
{
    const lspo_given_t *given = &request->base.given;
    char names[256] = "";
    size_t used = 0;
    if (search->candidates > 0)
        return lspo_error(LSPO_ERR_FIT,
                          "none of %u settings fits %s on %s; `lspo choose%s` says how much is missing "
                          "and what fits in fewer bits",
                          search->candidates, request->base.model.name, machine->name,
                          request->base.policy->task == LSPO_TASK_GENERATE ? " --task generate" : "");
    for (uint32_t i = 0; i < given->count && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s--%s", i > 0 ? ", " : "",
                                 given->flags[i].parameter->key);
    return lspo_error(LSPO_ERR_INPUT, "no %spolicy%s has all of %s; `lspo help POLICY` lists the options of a policy",
                      request->exact_only ? "exact " : "", request->curve_count > 0 ? " of a --curve" : "", names);
}

lspo_status_t lspo_tune_check_budgets(const lspo_request_t *base)
{
    lspo_machine_t machine;
    char text[32];
    lspo_status_t status = lspo_machine_named(base->machine_name, &machine);
    if (status != LSPO_OK)
        return status;
    if ((double)base->overrides.gpu_memory_bytes > machine.gpu.memory_bytes)
        return lspo_error(LSPO_ERR_INPUT, "--gpu-memory is more than the %s of %s",
                          lspo_format_quantity(machine.gpu.memory_bytes, LSPO_UNIT_BYTES, text, sizeof text),
                          machine.name);
    if ((double)base->overrides.host_memory_bytes > machine.cpu.memory_bytes)
        return lspo_error(LSPO_ERR_INPUT, "--host-memory is more than the %s of %s",
                          lspo_format_quantity(machine.cpu.memory_bytes, LSPO_UNIT_BYTES, text, sizeof text),
                          machine.name);
    return LSPO_OK;
}
