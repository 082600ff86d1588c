/* policy_periods.c - how many steps late a policy's updates are, and after how many steps its work repeats. */
#include "plan/policy.h"

/* Counts that flags can make large. */
static uint32_t saturated(uint64_t count)
{
    return count < UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

uint32_t lspo_period_steps(const lspo_period_t *period, uint32_t value)
{
    return value > 0 ? saturated((uint64_t)value * period->times) : 1; /* --check-every 0: never */
}

static uint32_t steps_of(const lspo_policy_t *policy, const lspo_period_t *period, const lspo_workload_t *workload)
{
    if (period->with != NULL &&
        *(const uint32_t *)lspo_policy_value(policy, workload, period->with) != period->with_value)
        return 1;
    return lspo_period_steps(period, *(const uint32_t *)lspo_policy_value(policy, workload, period->parameter));
}

void lspo_policy_periods(const lspo_policy_t *policy, const lspo_workload_t *workload,
                         uint32_t steps_out[LSPO_PERIODS_MAX])
{
    for (uint32_t p = 0; p < LSPO_PERIODS_MAX && policy->periods[p].parameter != NULL; p++)
        steps_out[p] = steps_of(policy, &policy->periods[p], workload);
}

const lspo_period_t *lspo_policy_longest_period(const lspo_policy_t *policy, const lspo_workload_t *workload)
{
    const lspo_period_t *longest = NULL, *period = policy->periods;
    for (; period < policy->periods + LSPO_PERIODS_MAX && period->parameter != NULL; period++)
        if (longest == NULL || steps_of(policy, period, workload) > steps_of(policy, longest, workload))
            longest = period;
    return longest;
}

uint32_t lspo_policy_period(const lspo_policy_t *policy, const lspo_workload_t *workload)
{
    const lspo_period_t *longest = lspo_policy_longest_period(policy, workload);
    return longest != NULL ? steps_of(policy, longest, workload) : 1;
}

uint32_t lspo_policy_staleness(const lspo_policy_t *policy, const lspo_workload_t *workload)
{
    return policy->stale_by_period ? steps_of(policy, &policy->periods[0], workload) - 1 : policy->staleness_steps;
}

uint32_t lspo_policy_iterations_least(const lspo_policy_t *policy, const lspo_workload_t *workload)
{
    uint64_t staleness = lspo_policy_staleness(policy, workload);
    uint64_t period = policy->stale_by_period ? steps_of(policy, &policy->periods[0], workload) : 1;
    if (staleness == 0)
        return 2;
    return saturated(1 + staleness + 1 + (period > 2 ? period : 2));
}

uint32_t lspo_policy_warmup(const lspo_policy_t *policy, const lspo_workload_t *workload, uint32_t asked)
{
    uint32_t staleness = lspo_policy_staleness(policy, workload);
    bool settles = staleness > 0 && workload->iterations >= lspo_policy_iterations_least(policy, workload);
    return settles && staleness + 1 > asked ? staleness + 1 : asked;
}

uint32_t lspo_policy_iterations(const lspo_policy_t *policy, const lspo_workload_t *workload)
{
    enum { PERIOD_MOST = 32 };
    uint32_t least = lspo_policy_iterations_least(policy, workload), period = lspo_policy_period(policy, workload);
    uint32_t usual = lspo_policy_staleness(policy, workload) > 0 ? 16 : 8;
    if (period <= PERIOD_MOST && 2 * period > usual)
        usual = 2 * period; /* a quarter is warm-up; one whole period remains */
    return least > usual ? least : usual;
}

const char *lspo_elsewhere_name(lspo_elsewhere_t elsewhere)
{
    static const char *const names[LSPO_ELSEWHERE_COUNT] = {
        [LSPO_ELSEWHERE_OPTIMIZERS] = "PyTorch; with 16- or 8-bit states torchao's optimizers",
        [LSPO_ELSEWHERE_ZERO_OFFLOAD] =
            "DeepSpeed's ZeRO-Offload; with 16- or 8-bit states torchao's CPUOffloadOptimizer",
        [LSPO_ELSEWHERE_ZERO_INFINITY] = "DeepSpeed's ZeRO-3 with offload_param",
        [LSPO_ELSEWHERE_ZENFLOW] = "DeepSpeed's ZenFlow"};
    return names[elsewhere];
}

const char *lspo_semantics_name(lspo_semantics_t semantics)
{
    switch (semantics) {
    case LSPO_SEMANTICS_EXACT:
        return "exact";
    case LSPO_SEMANTICS_STALE:
        return "stale";
    case LSPO_SEMANTICS_COMPRESSED:
        return "compressed";
    case LSPO_SEMANTICS_OTHER:
        return "other";
    }
    return "?";
}

const char *lspo_semantics_help(lspo_semantics_t semantics)
{
    switch (semantics) {
    case LSPO_SEMANTICS_EXACT:
        return "the same updates as native, bit for bit on one device";
    case LSPO_SEMANTICS_STALE:
        return "updates come some steps late";
    case LSPO_SEMANTICS_COMPRESSED:
        return "gradients or updates live in a smaller space than the weights";
    case LSPO_SEMANTICS_OTHER:
        return "another optimizer than Adam on all weights at once";
    }
    return "?";
}
