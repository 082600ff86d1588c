/* weights.h - the weights of a model in memory of a device, each stage as one array in the format of generation. */
#ifndef LSPO_REAL_GENERATE_WEIGHTS_H
#define LSPO_REAL_GENERATE_WEIGHTS_H

#include <stdint.h>

#include "base/status.h"
#include "kernels/number.h"
#include "plan/model.h"
#include "real/device/device.h"

typedef struct {
    lspo_device_t *device;
    uint32_t stage_count;
    void **stages;
} lspo_generation_weights_t;

/* Fill a stage's weights, element_count numbers; with little memory beside, since that is not counted. */
typedef lspo_status_t (*lspo_stage_load_t)(void *context, uint32_t stage, lspo_number_t number, void *weights);

/* All bytes of the arrays. */
uint64_t lspo_generation_weights_bytes(const lspo_model_t *model, lspo_number_t number);

/* LSPO_ERR_FIT if the device has not so much memory. `device`: the host. */
lspo_status_t lspo_generation_weights_load(const lspo_model_t *model, lspo_number_t number, lspo_device_t *device,
                                           lspo_stage_load_t load, void *context,
                                           lspo_generation_weights_t *weights_out);
void lspo_generation_weights_release(lspo_generation_weights_t *weights);

#endif
