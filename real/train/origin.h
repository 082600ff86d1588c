/* origin.h - which training a metrics file is of: model, data, policy, seed and all other settings that decide its
 * numbers, as JSON in a file beside it ("loss.csv" has "loss.csv.training"), so that the CSV stays what every reader of
 * CSV knows. */
#ifndef LSPO_REAL_TRAIN_ORIGIN_H
#define LSPO_REAL_TRAIN_ORIGIN_H

#include "base/status.h"
#include "real/train/checkpoint.h"

typedef struct lspo_origin lspo_origin_t;

/* Write it for the metrics at `path`; `model`: its name.  A file of that name that is no such record stays, with a
 * warning.  LSPO_ERR_IO when it cannot be written. */
lspo_status_t lspo_origin_write(const char *path, const char *model, const lspo_setting_t *settings, size_t count);

/* Read it; NULL where there is none, as beside metrics of older versions.  LSPO_ERR_INPUT when it is broken.  The
 * caller's to close. */
lspo_status_t lspo_origin_read(const char *path, lspo_origin_t **origin_out);
void lspo_origin_close(lspo_origin_t *origin);

const char *lspo_origin_model(const lspo_origin_t *origin);
/* The value of a setting, named as its flag ("batch") or as "model width", "data", "weights"; NULL when it has none. */
const char *lspo_origin_value(const lspo_origin_t *origin, const char *key);

#endif
