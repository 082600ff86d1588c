/* yardstick.h - short trainings that measure how fast the machine is now, compared with its calibration.
 *
 * The speed of a shared machine changes by ten per cent and more within minutes, for everything that runs on it.  `lspo
 * calibrate` stores the times of these trainings in the profile (lspo_machine_t.yardstick_s, in this order); `lspo
 * validate` runs them again in each of its rounds.  Their shapes are in none of the project's validation grids. */
#ifndef LSPO_VALIDATE_YARDSTICK_H
#define LSPO_VALIDATE_YARDSTICK_H

#include <stdint.h>

#include "plan/machine.h"

typedef struct {
    const char *model, *policy;
    uint32_t batch, sequence;
} lspo_yardstick_t;

static const lspo_yardstick_t lspo_yardsticks[LSPO_YARDSTICKS] = {{"gpt-tiny", "native", 3, 192},
                                                                  {"gpt-tiny", "badam", 3, 192},
                                                                  {"gpt-small", "native", 1, 96},
                                                                  {"gpt-small", "badam", 1, 96}};

#endif
