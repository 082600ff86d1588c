/* tune.c - choose the transition stage by simulation; see tune.h. */
#include "sim/tune.h"

#include "plan/policies/shared.h"
#include "sim/trial.h"

enum { TRIAL_ITERATIONS = 8, TRIALS_MAX = 64 };

typedef struct {
    const lspo_model_t *model;
    const lspo_policy_t *policy;
    const lspo_machine_t *machine;
    lspo_workload_t workload; /* of the trials */
    double best_s;            /* 0: none yet */
    int32_t best_stage;
} search_t;

bool lspo_tune_is_open(const lspo_policy_t *policy, const lspo_workload_t *workload)
{
    const int32_t *transition = lspo_policy_value(policy, workload, &lspo_parameter_transition);
    return transition != NULL && *transition == LSPO_TRANSITION_AUTO;
}

static int32_t *transition_of(const lspo_policy_t *policy, lspo_workload_t *workload)
{
    return lspo_policy_slot(policy, workload, &lspo_parameter_transition);
}

static lspo_status_t time_trial(const search_t *search, double *iteration_s_out)
{
    lspo_plan_t *plan = NULL;
    lspo_trial_t trial = {0};
    lspo_status_t status = lspo_plan_build(search->model, &search->workload, search->policy, &plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_trial_play(plan, search->machine, &trial);
    if (status != LSPO_OK)
        goto cleanup;
    *iteration_s_out = trial.summary.iteration_s;
cleanup:
    lspo_trial_release(&trial);
    lspo_plan_destroy(plan);
    return status;
}

/* Stages first, first + step, ... up to last. */
static lspo_status_t try_stages(search_t *search, int32_t first, int32_t last, int32_t step)
{
    for (int32_t stage = first; stage <= last; stage += step) {
        double iteration_s = 0;
        *transition_of(search->policy, &search->workload) = stage;
        lspo_status_t status = time_trial(search, &iteration_s);
        if (status != LSPO_OK)
            return status;
        if (search->best_s <= 0 || iteration_s < search->best_s ||
            (iteration_s <= search->best_s && stage > search->best_stage)) {
            search->best_s = iteration_s;
            search->best_stage = stage;
        }
    }
    return LSPO_OK;
}

static lspo_status_t search_stage(search_t *search)
{
    int32_t last = (int32_t)lspo_model_stage_count(search->model) - 1;
    int32_t step = last / TRIALS_MAX + 1;
    lspo_status_t status = try_stages(search, 0, last, step);
    if (status != LSPO_OK || step == 1)
        return status;
    int32_t low = search->best_stage - step + 1, high = search->best_stage + step - 1;
    return try_stages(search, low > 0 ? low : 0, high < last ? high : last, 1);
}

lspo_status_t lspo_tune_transition(const lspo_model_t *model, const lspo_workload_t *workload,
                                   const lspo_policy_t *policy, const lspo_machine_t *machine, lspo_plan_t **plan_out)
{
    if (!lspo_tune_is_open(policy, workload))
        return lspo_plan_build(model, workload, policy, plan_out);

    /* The user's own values are checked before derived ones. */
    lspo_status_t status = lspo_model_check(model);
    if (status != LSPO_OK)
        return status;
    status = lspo_workload_check(workload, model);
    if (status != LSPO_OK)
        return status;
    status = lspo_policy_check(policy, model, workload);
    if (status != LSPO_OK)
        return status;
    search_t search = {.model = model, .policy = policy, .machine = machine, .workload = *workload};
    search.workload.iterations = TRIAL_ITERATIONS;
    status = search_stage(&search);
    if (status != LSPO_OK)
        return status;
    lspo_workload_t tuned = *workload;
    *transition_of(policy, &tuned) = search.best_stage;
    return lspo_plan_build(model, &tuned, policy, plan_out);
}
