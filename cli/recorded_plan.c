/* recorded_plan.c - see recorded_plan.h. */
#include "cli/recorded_plan.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/request_line.h"
/* "--NAME=VALUE UNIT" */
static lspo_status_t add_flag(lspo_recorded_plan_t *recorded, const char *name, const char *value, const char *unit)
{
    char **words = realloc(recorded->words, ((size_t)recorded->word_count + 1) * sizeof *words);
    if (words == NULL)
        return lspo_no_memory("the flags of a trace");
    recorded->words = words;
    if (asprintf(&words[recorded->word_count], "--%s=%s%s", name, value, unit) < 0)
        return lspo_no_memory("the flags of a trace");
    recorded->word_count++;
    return LSPO_OK;
}

/* Is it a flag of all policies, or of the trace's own?  Older traces have entries for the parameters of all
 * policies. */
static bool is_workload_flag(const lspo_policy_t *policy, const char *key)
{
    static const lspo_arg_group_t *const groups[] = {&lspo_workload_group, NULL};
    lspo_arg_t arg;
    return lspo_args_find(groups, key, strlen(key), &arg) || lspo_policy_named_use(policy, key, strlen(key)) != NULL;
}

/* "a=1 b=2" as --set a=1 --set b=2 */
static lspo_status_t add_sets(lspo_recorded_plan_t *recorded, const char *value)
{
    char *sets = strdup(value), *rest = NULL;
    lspo_status_t status = sets != NULL ? LSPO_OK : lspo_no_memory("the flags of a trace");
    if (status != LSPO_OK)
        goto cleanup;
    for (char *set = sets != NULL ? strtok_r(sets, " ", &rest) : NULL; set != NULL; set = strtok_r(NULL, " ", &rest)) {
        status = add_flag(recorded, "set", set, "");
        if (status != LSPO_OK)
            goto cleanup;
    }
cleanup:
    free(sets);
    return status;
}

/* Entries that are not flags (counters, topology) do not affect the plan. */
static lspo_status_t add_entry(lspo_recorded_plan_t *recorded, const lspo_policy_t *policy,
                               const lspo_trace_meta_t *entry)
{
    static const struct {
        const char *key, *flag, *unit;
    } renamed[] = {{"model", "model", ""},
                   {"policy", "policy", ""},
                   {"link_Bps", "link", "B/s"},
                   {"cpu_pps", "cpu", "/s"},
                   {"gpu_memory_bytes", "gpu-memory", "B"},
                   {"host_memory_bytes", "host-memory", "B"}};
    /* Omit values that no flag gives: the policy's own choice, and a stage that the policy does not use. */
    if (strcmp(entry->value, "auto") == 0 || strcmp(entry->value, "-1") == 0)
        return LSPO_OK;
    for (size_t i = 0; i < sizeof renamed / sizeof renamed[0]; i++)
        if (strcmp(renamed[i].key, entry->key) == 0)
            return add_flag(recorded, renamed[i].flag, entry->value, renamed[i].unit);
    if (is_workload_flag(policy, entry->key))
        return add_flag(recorded, entry->key, entry->value, "");
    return strcmp(entry->key, "set") == 0 ? add_sets(recorded, entry->value) : LSPO_OK;
}

static lspo_status_t parse(lspo_recorded_plan_t *recorded)
{
    static const lspo_arg_group_t *const groups[] = {&lspo_plan_group, &lspo_workload_group, &lspo_policy_group,
                                                     &lspo_override_group, NULL};
    static const lspo_command_t command = {.name = "run", .usage = "[options]", .groups = groups};
    recorded->request.any_task = true;
    recorded->request.task = -1;
    return lspo_request_parse(&command, recorded->word_count, recorded->words, LSPO_FP32, &recorded->request);
}

bool lspo_recorded_plan_is_named(const lspo_trace_t *trace)
{
    return lspo_trace_meta(trace, "model") != NULL && lspo_trace_meta(trace, "policy") != NULL;
}

lspo_status_t lspo_recorded_plan_open(const lspo_trace_t *trace, lspo_recorded_plan_t *recorded_out)
{
    lspo_recorded_plan_t recorded = {0};
    const lspo_policy_t *policy;
    const char *name = lspo_trace_meta(trace, "policy");
    if (name == NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s: it does not say which policy it is of", lspo_trace_name(trace));
    if (lspo_policy_find_any(name, &policy) != LSPO_OK)
        return LSPO_ERR_INPUT;
    recorded.words = malloc(sizeof *recorded.words);
    if (recorded.words == NULL || (recorded.words[0] = strdup("run")) == NULL) {
        free(recorded.words);
        return lspo_no_memory("the flags of a trace");
    }
    recorded.word_count = 1;
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; i < trace->meta_count; i++) {
        status = add_entry(&recorded, policy, &trace->meta[i]);
        if (status != LSPO_OK)
            goto failed;
    }
    status = parse(&recorded);
    if (status != LSPO_OK)
        goto failed;
    status =
        lspo_plan_build(&recorded.request.model, &recorded.request.workload, recorded.request.policy, &recorded.plan);
    if (status != LSPO_OK)
        goto failed;
    status = lspo_trace_check(trace, recorded.plan);
    if (status != LSPO_OK)
        goto failed;
    *recorded_out = recorded;
    return LSPO_OK;
failed:
    lspo_recorded_plan_close(&recorded);
    return status;
}

void lspo_recorded_plan_close(lspo_recorded_plan_t *recorded)
{
    lspo_plan_destroy(recorded->plan);
    for (int i = 0; i < recorded->word_count; i++)
        free(recorded->words[i]);
    free(recorded->words);
    *recorded = (lspo_recorded_plan_t){0};
}
