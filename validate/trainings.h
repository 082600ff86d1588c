/* trainings.h - calibrate from short trainings what kernels that run alone cannot show. */
#ifndef LSPO_VALIDATE_TRAININGS_H
#define LSPO_VALIDATE_TRAININGS_H

#include "base/status.h"
#include "real/calibrate/calibrate.h"

/* Sets fields of a calibration of the host device so that the simulator agrees best with a few short trainings and
 * generations, which alternate:
 *   gpu.cache_bytes    our share of the last-level cache depends on the neighbours of the machine and changes within
 * the hour; no walk through memory can measure it
 *   gpu.training_speed  the speed of kernels in a training relative to their speed alone
 *   gpu.kept_all_bytes, gpu.kept_bytes  from the generations: both are multiplied by one factor (agreement.h)
 * Of sizes of the cache, each with the speed that makes the median error 0, it takes the one with the least mean
 * |ln(predicted / measured)|; a larger one must be better by half a per cent, since that near pools fit was measured,
 * and where hardly any training fits, nothing tells the sizes apart.  The trainings range from those that stay in cache
 * completely to those that do not at all, which separates the two fields; their shapes are in none of the project's
 * validation grids.  The samples have kind "training" or "generation" and the simulated time as fitted time.  The times
 * of those in validate/yardstick.h are stored in yardstick_s.
 * LSPO_ERR_MEMORY, or an error of lspo_run(). */
lspo_status_t lspo_calibrate_trainings(const lspo_calibrate_options_t *options, lspo_calibration_result_t *result);

#endif
