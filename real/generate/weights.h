/* weights.h - the weights of a model in memory of a device, each stage as one array in the format of generation. */
#ifndef LSPO_REAL_GENERATE_WEIGHTS_H
#define LSPO_REAL_GENERATE_WEIGHTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/int4.h"
#include "kernels/number.h"
#include "plan/model.h"
#include "real/device/device.h"
#include "real/generate/ternary_experts.h"

typedef struct {
    lspo_device_t *device;
    uint32_t stage_count;
    void **stages;
    lspo_ternary_experts_t *experts; /* packed, and its own; NULL: those of a block are in its array */
} lspo_generation_weights_t;

/* Fill a stage's weights, element_count numbers; with little memory beside, since that is not counted. */
typedef lspo_status_t (*lspo_stage_load_t)(void *context, uint32_t stage, lspo_number_t number, void *weights);

/* Where weights come from and what they become. */
typedef struct {
    const lspo_model_t *model;
    lspo_number_t number;
    lspo_int4_form_t int4;  /* of the linear weights of blocks: then `load` fills the array in this form */
    bool ternary;           /* experts are packed elsewhere: then `load` fills the array of a block without them */
    lspo_stage_load_t load; /* for each stage in order */
    void *context;
} lspo_weights_source_t;

/* All bytes of the arrays, without packed experts; of the source's load and context nothing is read. */
uint64_t lspo_generation_weights_bytes(const lspo_weights_source_t *source);

/* LSPO_ERR_FIT if the device has not so much memory. `device`: the host. */
lspo_status_t lspo_generation_weights_load(const lspo_weights_source_t *source, lspo_device_t *device,
                                           lspo_generation_weights_t *weights_out);
void lspo_generation_weights_release(lspo_generation_weights_t *weights);

#endif
