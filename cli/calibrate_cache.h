/* calibrate_cache.h - where a host's cache ends for trainings, from trainings. */
#ifndef LSPO_CLI_CALIBRATE_CACHE_H
#define LSPO_CLI_CALIBRATE_CACHE_H

#include "plan/status.h"
#include "real/calibrate.h"

/* Sets gpu.cache_bytes of a calibration of the host device so that the simulator agrees best with a few short trainings:
 * how much of a cache of the last level is ours depends on what the neighbours of the machine leave, and changes within
 * the hour; no walk through memory tells it.  The trainings' shapes are in none of the project's validation grids.  The
 * samples' kind is "training", their fitted time the simulator's. */
lspo_status_t lspo_calibrate_cache(const lspo_calibrate_options_t *options, lspo_calibration_result_t *result);

#endif
