/* now.h - the machine while the cells were measured, relative to its calibration, from yardsticks (yardstick.h). */
#ifndef LSPO_VALIDATE_NOW_H
#define LSPO_VALIDATE_NOW_H

#include "validate/predict.h"
#include "validate/visits.h"

/* While so many of its cores compute at once, from the yardsticks on as many.  The cache is that with which predictions
 * of the generations agree best with their times (agreement.h).  The speed is the median of
 *     (time during the calibration / time now) (predicted with that cache / predicted)
 * over all yardsticks.  If none of these has a calm visit, it is that of one core; 1 and 1 if that has none either.
 * Errors of lspo_simulate(). */
lspo_status_t lspo_validate_now(const lspo_cells_t *cells, const lspo_machine_t *machine,
                                const lspo_measurement_t *measurements, uint32_t cores, lspo_now_t *now_out);

#endif
