/* visits.h - the visits (measurements) of a cell, their median, and the file from which a later session continues. */
#ifndef LSPO_VALIDATE_VISITS_H
#define LSPO_VALIDATE_VISITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "validate/predict.h"

/* Warm-up iterations that a measurement drops, as in lspo_run(). */
enum { LSPO_VALIDATE_WARMUP = 2 };

/* One measurement of a cell. */
typedef struct {
    uint32_t round;
    double foreign_share; /* CPU time of other processes on two cores / elapsed time */
    double core_share;    /* share of its busy time in which the GPU lane had its core */
    bool disturbed;
    uint32_t sample_count;
    double *samples_s; /* owned */
} lspo_visit_t;

/* All visits of a cell.  The samples are those of its calm visits or, if all were disturbed, of all visits. */
typedef struct {
    lspo_visit_t *visits; /* owned */
    uint32_t visit_count;
    bool disturbed;
    bool no_room; /* the cell does not fit the device: it is left out */
    uint32_t sample_count, counted_visits;
    double median_s, low_s,
        high_s;     /* median of the visits' medians, and its 95 % bootstrap interval; NaN: no samples */
    double noise;   /* see lspo_accuracy_noise() */
    double visit_s; /* total time of the last visit */
} lspo_measurement_t;

lspo_status_t lspo_measurement_add(lspo_measurement_t *measurement, const lspo_visit_t *visit);
/* Compute samples, median, interval and noise from the visits. */
lspo_status_t lspo_measurement_update(lspo_measurement_t *measurement);
void lspo_measurement_release(lspo_measurement_t *measurement);

/* Write and read FOLDER/visits.csv; without that file nothing has been measured yet.  Reading adds the visits with the
 * flags of a cell to `measurements`.  Lines of other cells (another grid, or another profile and so other rates) are
 * reported and kept for writing in `others`, which the caller frees. */
lspo_status_t lspo_visits_write(const lspo_cells_t *cells, const lspo_measurement_t *measurements, const char *others,
                                const char *folder);
lspo_status_t lspo_visits_read(const lspo_cells_t *cells, const char *folder, lspo_measurement_t *measurements,
                               char **others_out);
/* FOLDER/traces/3.trace, FOLDER/traces/native-1.trace, FOLDER/traces/yardstick-1.trace, and that on two
 * cores in FOLDER/traces/yardstick-1-2.trace; returns `buffer`. */
const char *lspo_cell_trace_path(const lspo_cells_t *cells, uint32_t cell, const char *folder, size_t buffer_bytes,
                                 char *buffer);

#endif
