/* answer.c - see answer.h. */
#include "ask/answer.h"

#include "sim/tune.h"

static lspo_status_t predict(lspo_answer_t *answer, bool wants_trace)
{
    lspo_status_t status =
        lspo_simulate(answer->plan, answer->machine, &answer->prediction, wants_trace ? &answer->trace : NULL);
    if (status == LSPO_OK)
        status = lspo_simulate_bound(answer->plan, answer->machine, &answer->prediction);
    if (status == LSPO_OK)
        status = lspo_simulate_check_settled(answer->plan, &answer->prediction);
    if (status == LSPO_OK)
        status = lspo_advise(answer->plan, answer->machine, &answer->prediction, sizeof answer->advice, answer->advice);
    if (status == LSPO_OK && answer->plan->policy->task == LSPO_TASK_TRAIN)
        status = lspo_expect(answer->plan, answer->machine, &answer->expect);
    return status;
}

lspo_status_t lspo_answer_begin(const lspo_request_t *request, const lspo_machine_t *machine, lspo_answer_t *answer_out)
{
    *answer_out = (lspo_answer_t){.request = request, .machine = machine};
    lspo_overrides_sets(&request->overrides, answer_out->sets, sizeof answer_out->sets);
    return lspo_tune_transition(&request->model, &request->workload, request->policy, machine, &answer_out->plan);
}

lspo_status_t lspo_answer_predict(const lspo_request_t *request, const lspo_machine_t *machine, bool wants_trace,
                                  lspo_answer_t *answer_out)
{
    lspo_status_t status = lspo_answer_begin(request, machine, answer_out);
    if (status == LSPO_OK)
        status = predict(answer_out, wants_trace);
    if (status != LSPO_OK)
        lspo_answer_release(answer_out);
    return status;
}

void lspo_answer_release(lspo_answer_t *answer)
{
    lspo_prediction_release(&answer->prediction);
    lspo_trace_destroy(answer->trace);
    lspo_plan_destroy(answer->plan);
    answer->trace = NULL;
    answer->plan = NULL;
}

void lspo_answer_result(const lspo_answer_t *answer, lspo_result_t *result_out)
{
    lspo_result_fill("sim", answer->request, answer->plan, &answer->prediction.summary, answer->sets, result_out);
    lspo_result_fill_prediction(answer->plan, answer->machine, &answer->prediction, result_out);
    result_out->advice = answer->advice;
    if (answer->plan->policy->task == LSPO_TASK_TRAIN)
        lspo_result_fill_expect(&answer->expect, answer->machine, result_out);
}
