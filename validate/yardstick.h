/* yardstick.h - short trainings and generations that measure how fast the machine is now, compared with its
 * calibration.
 *
 * The speed of a shared machine changes by ten per cent and more within minutes, for everything that runs on it.  `lspo
 * calibrate` stores the times of these in the profile (lspo_machine_t.yardstick_s, in this order); `lspo validate` runs
 * those of its grid's tasks again in each of its rounds, for plans of several host devices on as many cores at once.
 * Their shapes are in none of the project's grids. */
#ifndef LSPO_VALIDATE_YARDSTICK_H
#define LSPO_VALIDATE_YARDSTICK_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/machine.h"

typedef struct {
    const char *model, *policy;
    uint32_t batch, sequence;
} lspo_yardstick_t;

/* Trainings come first.  A generation has so many new tokens. */
enum { LSPO_TRAINING_YARDSTICKS = 4, LSPO_YARDSTICK_TOKENS = 17 };
static const lspo_yardstick_t lspo_yardsticks[LSPO_YARDSTICKS] = {
    {"gpt-tiny", "native", 3, 192},   {"gpt-tiny", "badam", 3, 192},   {"gpt-small", "native", 1, 96},
    {"gpt-small", "badam", 1, 96},    {"gpt-tiny", "resident", 2, 96}, {"gpt-tiny", "marlin", 2, 96},
    {"gpt-small", "resident", 2, 96}, {"gpt-small", "marlin", 2, 96}};

static inline bool lspo_yardstick_generates(uint32_t i)
{
    return i >= LSPO_TRAINING_YARDSTICKS;
}

#endif
