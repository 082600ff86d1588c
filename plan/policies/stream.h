/* stream.h - stream's own parameters. */
#ifndef LSPO_PLAN_POLICIES_STREAM_H
#define LSPO_PLAN_POLICIES_STREAM_H

#include "plan/parameter.h"

/* When the CPU updates a layer; in the order of --update's words. */
typedef enum {
    LSPO_STREAM_UPDATE_BACKWARD, /* as soon as its gradient has arrived */
    LSPO_STREAM_UPDATE_AFTER     /* when all gradients have arrived     */
} lspo_stream_update_t;

typedef struct LSPO_VALUES_BLOCK {
    uint32_t window;           /* layers whose parameters may be on the GPU at once */
    uint32_t gradient_buffers; /* layers whose gradients may be; 0: no limit        */
    uint32_t update;           /* lspo_stream_update_t */
    uint32_t optimizer_state;  /* lspo_optimizer_state_t */
} lspo_stream_values_t;
extern const lspo_parameters_t lspo_stream_parameters;
LSPO_VALUES(stream);

#endif
