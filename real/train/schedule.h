/* schedule.h - the learning rate of each step: a linear warm-up, then a half cosine from the peak to the last rate.
 *
 *     step < warmup_steps:   peak (step + 1) / warmup_steps
 *     else                   last + (peak - last) (1 + cos(pi (step - warmup_steps) / (steps - warmup_steps))) / 2
 */
#ifndef LSPO_REAL_TRAIN_SCHEDULE_H
#define LSPO_REAL_TRAIN_SCHEDULE_H

#include <stdint.h>

typedef struct {
    double peak, last;
    uint32_t warmup_steps, steps;
} lspo_schedule_t;

double lspo_schedule_rate(const lspo_schedule_t *schedule, uint32_t step);

#endif
