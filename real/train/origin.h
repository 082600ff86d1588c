/* origin.h - a record of the training that wrote a metrics file: model, data, policy, seed and all other settings that
 * determine its numbers.  It is a JSON file beside the metrics ("loss.csv.training" for "loss.csv"), so that the
 * metrics remain plain CSV. */
#ifndef LSPO_REAL_TRAIN_ORIGIN_H
#define LSPO_REAL_TRAIN_ORIGIN_H

#include "base/status.h"
#include "real/train/checkpoint.h"

typedef struct lspo_origin lspo_origin_t;

/* Write the record for the metrics at `path`; `model`: the model's name.  An existing file that is not such a record is
 * left alone, with a warning.  LSPO_ERR_IO if it cannot be written. */
lspo_status_t lspo_origin_write(const char *path, const char *model, const lspo_setting_t *settings, size_t count);

/* Read it; *origin_out is NULL if there is none (older versions wrote none).  LSPO_ERR_INPUT if it is malformed.  The
 * caller closes it. */
lspo_status_t lspo_origin_read(const char *path, lspo_origin_t **origin_out);
void lspo_origin_close(lspo_origin_t *origin);

const char *lspo_origin_model(const lspo_origin_t *origin);
/* The value of a setting, whose key is its flag ("batch") or "model width", "data", "weights" and the like; NULL if
 * there is none. */
const char *lspo_origin_value(const lspo_origin_t *origin, const char *key);

#endif
