/* sums.c - find the number of steps over which each line of timers of a log is a sum; see sums.h. */
#include "traces/import/sums.h"

#include <math.h>
#include <stdlib.h>

#include "traces/median.h"

/* A step takes at least as long as its timers.  Its time is logged with few digits, and may be that of other steps. */
static const double equal_max = 1.05, contradiction_min = 1.3;

/* The median of the timers' sum as a fraction of the step's time; NaN if the log has no step times. */
static lspo_status_t timers_over_step(const char *path, const lspo_log_rhythm_t *rhythm, double *ratio_out)
{
    double *ratios = malloc(((size_t)rhythm->count + 1) * sizeof *ratios);
    if (!ratios)
        return lspo_no_memory("the steps of %s", path);
    uint32_t count = 0;
    for (uint32_t i = 0; i < rhythm->count; i++) {
        const lspo_log_step_t *step = &rhythm->steps[i];
        double sum_s = 0;
        for (int phase = 0; phase < LSPO_LOG_PHASE_COUNT; phase++)
            sum_s += 1e-3 * step->ms[phase];
        if (step->step_s > 0)
            ratios[count++] = sum_s / step->step_s;
    }
    *ratio_out = count > 0 ? lspo_median(ratios, count) : (double)NAN;
    free(ratios);
    return LSPO_OK;
}

/* The integer number of steps on which most intervals agree; 0 if they do not agree. */
static double agreed_interval(const lspo_log_rhythm_t *rhythm)
{
    if (rhythm->interval_count == 0)
        return 1;
    double steps = round(lspo_median(rhythm->intervals, rhythm->interval_count));
    uint32_t agreeing = 0;
    for (uint32_t i = 0; i < rhythm->interval_count; i++)
        agreeing += fabs(rhythm->intervals[i] - steps) <= 0.15 * steps;
    return steps <= 1 ? 1 : agreeing >= rhythm->interval_count - rhythm->interval_count / 5 ? steps : 0;
}

lspo_status_t lspo_log_steps_per_line(const char *path, const lspo_log_rhythm_t *rhythm, double *steps_out)
{
    double ratio = (double)NAN, steps = agreed_interval(rhythm);
    lspo_status_t status = timers_over_step(path, rhythm, &ratio);
    if (status != LSPO_OK)
        return status;
    bool averaged = rhythm->count > 0 && rhythm->steps[0].averaged;
    if (averaged || ratio <= equal_max) /* Megatron's averages, or one line per step */
        steps = 1;
    if (steps == 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: by the step numbers, lines of timers are sums over different numbers of steps, so the "
                          "time per step is unknown",
                          path);
    if (ratio > steps * contradiction_min && steps == 1)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: its timers add up to %.3g times the step time in the log: they are wrong, or sums over "
                          "several steps, and the step numbers do not say over how many",
                          path, ratio);
    if (ratio > steps * contradiction_min)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: its timers add up to %.3g times the step time in the log, although there is a line of "
                          "them only every %g steps: the log contradicts itself",
                          path, ratio, steps);
    *steps_out = steps;
    return LSPO_OK;
}
