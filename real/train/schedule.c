/* schedule.c - see schedule.h. */
#include "real/train/schedule.h"

#include <math.h>

double lspo_schedule_rate(const lspo_schedule_t *schedule, uint32_t step)
{
    if (step < schedule->warmup_steps)
        return schedule->peak * (step + 1) / schedule->warmup_steps;
    double done = (double)(step - schedule->warmup_steps) / (schedule->steps - schedule->warmup_steps);
    return schedule->last + (schedule->peak - schedule->last) * (1 + cos(M_PI * done)) / 2;
}
