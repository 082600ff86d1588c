/* gpu_adam.h - a building block of methods: Adam's state of one stage on the device.
 *
 * 16-bit weights lose steps smaller than half their spacing, so Adam on the GPU keeps an fp32 master of weights that it
 * updates in place, unless the format of its state says otherwise (plan/optimizer_state.h): then they are rounded
 * randomly. */
#ifndef LSPO_REAL_METHODS_GPU_ADAM_H
#define LSPO_REAL_METHODS_GPU_ADAM_H

#include "real/methods/moments.h"

typedef struct {
    lspo_moments_t moments; /* device, followed by the master; no memory: not on the GPU for the whole session */
    size_t master;          /* floats of the master; 0: none                                                   */
} lspo_gpu_adam_t;

/* Set the counts for a stage whose whole message is updated; with `keeps_master` 16-bit weights may get a master. */
void lspo_gpu_adam_describe(const lspo_session_t *session, const lspo_session_stage_t *stage, bool keeps_master,
                            lspo_gpu_adam_t *gpu_out);
size_t lspo_gpu_adam_bytes(const lspo_gpu_adam_t *gpu);
/* Take device memory if the plan updates the stage on the GPU and does not swap it; give_back releases it. */
lspo_status_t lspo_gpu_adam_take(lspo_session_t *session, const lspo_session_stage_t *stage, lspo_gpu_adam_t *gpu);
void lspo_gpu_adam_give_back(lspo_session_t *session, lspo_gpu_adam_t *gpu);
/* m = v = 0. */
void lspo_gpu_adam_clear(lspo_session_t *session, const lspo_gpu_adam_t *gpu);
/* Write n floats of the master from element `at` on. */
lspo_status_t lspo_gpu_adam_write_master(lspo_session_t *session, const lspo_gpu_adam_t *gpu, size_t at, size_t n,
                                         const float *values);
/* Rate, step, decay and scale of the op's gradient. */
lspo_adam_t lspo_gpu_adam_of(const lspo_session_t *session, const lspo_op_t *op);
/* The master, and the state of n elements of the message from `at` on (as lspo_moments_at(), and with the master). */
float *lspo_gpu_adam_master(const lspo_gpu_adam_t *gpu);
lspo_adam_state_t lspo_gpu_adam_at(const lspo_session_t *session, const lspo_op_t *op, const lspo_gpu_adam_t *gpu,
                                   size_t at, size_t n);
/* Visit the arrays NAME.gpu_moments (in 8 bits NAME.gpu_codes, NAME.gpu_scales) and NAME.gpu_master. */
void lspo_gpu_adam_visit(const lspo_gpu_adam_t *gpu, const char *name, lspo_state_walk_t *walk);

#endif
