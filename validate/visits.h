/* visits.h - what the measurements of a cell say together, and their file, from which a later session goes on. */
#ifndef LSPO_VALIDATE_VISITS_H
#define LSPO_VALIDATE_VISITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "validate/predict.h"

/* Iterations that a measurement drops as warm-up: those of lspo_run(). */
enum { LSPO_VALIDATE_WARMUP = 2 };

/* One measurement of a cell. */
typedef struct {
    uint32_t round;
    double foreign_share; /* CPU time that others took of two cores, over elapsed time */
    double core_share;    /* of its busy time that the GPU lane had its core */
    bool disturbed;
    uint32_t sample_count;
    double *samples_s; /* owned */
} lspo_visit_t;

/* All of a cell.  Its samples are those of its calm visits or, where all were disturbed, of all. */
typedef struct {
    lspo_visit_t *visits; /* owned */
    uint32_t visit_count;
    bool disturbed;
    uint32_t sample_count, counted_visits;
    double median_s, low_s, high_s; /* of the visits' medians, with its 95 % bootstrap interval; NaN without samples */
    double noise;                   /* see lspo_accuracy_noise() */
    double visit_s;                 /* how long the last visit took as a whole */
} lspo_measurement_t;

lspo_status_t lspo_measurement_add(lspo_measurement_t *measurement, const lspo_visit_t *visit);
/* Samples, median, interval and noise from the visits. */
lspo_status_t lspo_measurement_update(lspo_measurement_t *measurement);
void lspo_measurement_release(lspo_measurement_t *measurement);

/* How fast the machine was while cells were measured, over its calibration: the median of what the yardsticks took then
 * over what they took now.  1 without a calm visit to one. */
double lspo_validate_speed(const lspo_cells_t *cells, const lspo_machine_t *machine,
                           const lspo_measurement_t *measurements);

/* FOLDER/visits.csv; without that file nothing was measured yet.  Reading adds to `measurements` what was measured with
 * the flags of a cell; the lines of other cells (another grid, another profile and so other rates) are said to be there
 * and kept for writing: `others`, the caller's to free. */
lspo_status_t lspo_visits_write(const lspo_cells_t *cells, const lspo_measurement_t *measurements, const char *others,
                                const char *folder);
lspo_status_t lspo_visits_read(const lspo_cells_t *cells, const char *folder, lspo_measurement_t *measurements,
                               char **others_out);
/* FOLDER/traces/3.trace, FOLDER/traces/native-1.trace, FOLDER/traces/yardstick-1.trace; `buffer` is returned. */
const char *lspo_cell_trace_path(const lspo_cells_t *cells, uint32_t cell, const char *folder, size_t buffer_bytes,
                                 char *buffer);

#endif
