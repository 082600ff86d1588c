/* yardstick.h - short trainings that tell how fast the machine is now, against the day of its calibration.
 *
 * A machine shared with others changes its speed by the minute, by ten per cent and more, and whatever keeps to its
 * clock changes with it.  `lspo calibrate` keeps what these trainings took in the profile (lspo_machine_t.yardstick_s,
 * in this order); `lspo validate` runs them again in each of its rounds.  Their shapes are in none of the project's
 * validation grids. */
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
