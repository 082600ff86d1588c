/* checkpoint_weights.h - the weights in the newest checkpoint of a training, for what continues texts with them. */
#ifndef LSPO_REAL_TRAIN_CHECKPOINT_WEIGHTS_H
#define LSPO_REAL_TRAIN_CHECKPOINT_WEIGHTS_H

#include <stdint.h>

#include "base/status.h"
#include "kernels/number.h"
#include "plan/model.h"

typedef struct lspo_checkpoint_weights lspo_checkpoint_weights_t;

/* `folder`: of lspo train --output.  LSPO_ERR_INPUT if it has no checkpoint, if that is damaged, if its training was of
 * other shapes than `model`, or if its weights are a part of what was trained (adapters).  The folder is not changed.
 * `model` must outlive the object. */
lspo_status_t lspo_checkpoint_weights_open(const char *folder, const lspo_model_t *model,
                                           lspo_checkpoint_weights_t **weights_out);
void lspo_checkpoint_weights_close(lspo_checkpoint_weights_t *weights);

/* The format of the training's weights. */
lspo_number_t lspo_checkpoint_weights_number(const lspo_checkpoint_weights_t *weights);

/* Fill a stage array (element_count of lspo_model_stage()), in any format, part by part; its hash is checked. */
lspo_status_t lspo_checkpoint_weights_read(const lspo_checkpoint_weights_t *weights, uint32_t stage,
                                           lspo_number_t number, void *out);

#endif
