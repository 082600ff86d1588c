/* choose.c - simulate every policy on a machine: which fit, how fast they are, and which is best; see choose.h. */
#include "sim/choose.h"

#include <stdlib.h>
#include <string.h>

#include "sim/fit.h"

lspo_status_t lspo_choose_prepare(const lspo_choose_options_t *options, const lspo_policy_t *policy,
                                  lspo_workload_t *workload)
{
    if (options->prepare != NULL)
        return options->prepare(options->prepare_context, policy, workload);
    lspo_policy_set_defaults(policy, options->model, false, workload);
    return LSPO_OK;
}

bool lspo_choose_wants(const lspo_choose_options_t *options, const lspo_policy_t *policy)
{
    return policy->task == options->task && !policy->of_peers &&
           (!options->exact_only || policy->semantics == LSPO_SEMANTICS_EXACT);
}

/* The policy's own values, and the iterations, which follow from them. */
static lspo_status_t prepare(const lspo_choose_options_t *options, const lspo_policy_t *policy,
                             lspo_workload_t *workload)
{
    lspo_status_t status = lspo_choose_prepare(options, policy, workload);
    if (status != LSPO_OK)
        return status;
    if (workload->iterations == 0)
        workload->iterations = lspo_policy_iterations(policy, workload);
    return LSPO_OK;
}

/* The choice; an error where the policy refuses. */
static lspo_status_t simulate(const lspo_choose_options_t *options, const lspo_policy_t *policy,
                              lspo_choice_t *choice_out)
{
    const lspo_machine_t *machine = options->machine;
    lspo_fit_question_t question = {options->model, options->workload, policy, machine};
    lspo_choice_t choice = {.policy = policy};
    lspo_plan_t *plan = NULL;
    lspo_status_t status = prepare(options, policy, &question.workload);
    if (status != LSPO_OK)
        return status;
    status = lspo_fit_largest_batch(&question, &choice.largest_batch);
    if (status != LSPO_OK)
        return status;
    if (options->largest_batch)
        question.workload.batch = choice.largest_batch > 0 ? choice.largest_batch : 1;
    status = lspo_tune_transition(options->model, &question.workload, policy, machine, &plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_simulate(plan, machine, &choice.prediction, NULL);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_simulate_bound(plan, machine, &choice.prediction);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_simulate_check_settled(plan, &choice.prediction);
    if (status != LSPO_OK)
        goto cleanup;
    if (policy->task == LSPO_TASK_TRAIN)
        status = lspo_expect(plan, machine, &choice.expect);
    if (status != LSPO_OK)
        goto cleanup;
    choice.workload = plan->workload;
    choice.gpu_excess_bytes = lspo_fit_gpu_excess(machine, choice.prediction.peak_gpu_bytes);
    choice.host_excess_bytes = lspo_fit_host_excess(machine, choice.prediction.peak_host_bytes);
    *choice_out = choice;
cleanup:
    free(choice.prediction.summary.samples_s);
    free(choice.prediction.summary.lane_busy_s);
    choice_out->prediction.summary.samples_s = choice_out->prediction.summary.lane_busy_s = NULL;
    lspo_plan_destroy(plan);
    return status;
}

/* Warnings are printed as usual while errors are kept. */
static void warn(void *context, const char *text)
{
    lspo_messages_t *before = context;
    lspo_messages_t kept = lspo_messages_send(*before);
    lspo_warn("%s", text);
    lspo_messages_send(kept);
}

lspo_status_t lspo_choose_policy(const lspo_choose_options_t *options, const lspo_policy_t *policy,
                                 lspo_choice_t *choice_out)
{
    lspo_choice_t choice = {0};
    lspo_messages_t before;
    char refusal[LSPO_REFUSAL_BYTES] = "";
    before = lspo_messages_send(
        (lspo_messages_t){.text = refusal, .capacity = sizeof refusal, .warn = warn, .context = &before});
    lspo_status_t status = simulate(options, policy, &choice);
    lspo_messages_send(before);
    if (status != LSPO_OK && status != LSPO_ERR_INPUT)
        return lspo_error(status, "%s", refusal);
    if (status == LSPO_ERR_INPUT) {
        choice = (lspo_choice_t){.policy = policy, .workload = options->workload};
        memcpy(choice.refusal, refusal, sizeof refusal);
    }
    *choice_out = choice;
    return LSPO_OK;
}

static uint64_t excess_bytes(const lspo_choice_t *choice)
{
    return choice->gpu_excess_bytes + choice->host_excess_bytes;
}

bool lspo_choice_precedes(const lspo_choice_t *a, const lspo_choice_t *b)
{
    if ((a->refusal[0] != '\0') != (b->refusal[0] != '\0'))
        return a->refusal[0] == '\0';
    if (a->prediction.fits != b->prediction.fits)
        return a->prediction.fits;
    if (a->prediction.fits)
        return a->prediction.tokens_per_s > b->prediction.tokens_per_s;
    return excess_bytes(a) < excess_bytes(b);
}

static void insert(lspo_choice_t *choices, uint32_t count, const lspo_choice_t *choice)
{
    uint32_t at = count;
    for (; at > 0 && lspo_choice_precedes(choice, &choices[at - 1]); at--)
        choices[at] = choices[at - 1];
    choices[at] = *choice;
}

lspo_status_t lspo_choose(const lspo_choose_options_t *options, lspo_choice_t **choices_out, uint32_t *count_out)
{
    uint32_t count = 0, policies = lspo_any_policy_count();
    lspo_choice_t *choices = malloc(policies * sizeof *choices);
    lspo_status_t status = LSPO_OK;
    if (!choices)
        return lspo_no_memory("%u policies", policies);
    for (uint32_t i = 0; status == LSPO_OK && i < policies; i++) {
        const lspo_policy_t *policy = lspo_any_policy_at(i);
        lspo_choice_t choice = {0};
        if (!lspo_choose_wants(options, policy))
            continue;
        if (options->progress)
            options->progress(options->progress_context, policy->name, i, policies);
        status = lspo_choose_policy(options, policy, &choice);
        if (status == LSPO_OK)
            insert(choices, count++, &choice);
    }
    if (status == LSPO_OK && count > 0 && choices[0].refusal[0] != '\0')
        status = lspo_error(LSPO_ERR_INPUT, "%s", choices[0].refusal);
    if (status != LSPO_OK) {
        free(choices);
        return status;
    }
    *choices_out = choices;
    *count_out = count;
    return LSPO_OK;
}

lspo_choice_class_t lspo_choice_class(const lspo_policy_t *policy)
{
    switch (policy->semantics) {
    case LSPO_SEMANTICS_EXACT:
        return LSPO_CLASS_EXACT;
    case LSPO_SEMANTICS_COMPRESSED:
        return LSPO_CLASS_COMPRESSED;
    case LSPO_SEMANTICS_STALE:
    case LSPO_SEMANTICS_OTHER:
        break;
    }
    return LSPO_CLASS_OTHER;
}

const lspo_choice_t *lspo_choice_best(const lspo_choice_t *choices, uint32_t count, lspo_choice_class_t wanted)
{
    const lspo_choice_t *best = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (lspo_choice_class(choices[i].policy) != wanted || choices[i].refusal[0] != '\0')
            continue;
        if (choices[i].prediction.fits)
            return &choices[i]; /* in the order of speed */
        if (!best || choices[i].largest_batch > best->largest_batch)
            best = &choices[i];
    }
    return best;
}
