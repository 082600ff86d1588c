/* train_lane.h - the lane of Adam's bases in a training (plan/adam_basis.h). */
#ifndef LSPO_CLI_TRAIN_LANE_H
#define LSPO_CLI_TRAIN_LANE_H

#include "ask/request.h"

/* --basis-lane auto: that of the newest checkpoint in `resumed`, the folder of a training that is resumed, or NULL;
 * else without --machine the CPU's, and with it still auto, for lspo_tune_transition(). */
lspo_status_t lspo_train_settle_lane(lspo_request_t *request, const char *resumed);

#endif
