/* trainings.h - what kernels timed alone cannot tell of a host, from short trainings. */
#ifndef LSPO_VALIDATE_TRAININGS_H
#define LSPO_VALIDATE_TRAININGS_H

#include "base/status.h"
#include "real/calibrate/calibrate.h"

/* Sets two fields of a calibration of the host device so that the simulator agrees best with a few short trainings,
 * which take turns:
 *   gpu.cache_bytes     how much of a cache of the last level is ours depends on what the neighbours of the machine
 *                       leave, and changes within the hour; no walk through memory tells it
 *   gpu.training_speed  the speed of kernels in a training over that of the same kernels timed alone
 * by least mean |ln(predicted / measured)| over ends of the cache, each with the speed that puts the median error at 0.
 * The trainings go from those of which all stays in cache to those of which nothing does, which tells the one from the
 * other; their shapes are in none of the project's validation grids.  The samples' kind is "training", their fitted
 * time the simulator's.  What those of validate/yardstick.h took is kept as yardstick_s.  LSPO_ERR_MEMORY and what
 * lspo_run() fails with. */
lspo_status_t lspo_calibrate_trainings(const lspo_calibrate_options_t *options, lspo_calibration_result_t *result);

#endif
