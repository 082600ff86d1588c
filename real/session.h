/* session.h - the mathematics behind a plan's ops: a transformer being trained, its state on device and host.
 *
 * A session gives each op of a plan its meaning on real memory: FWD and BWD run the transformer, D2H and H2D copy
 * messages, UPD runs Adam.  It decides by the op's kind, the plan's return form and its messages, never by the policy's
 * name.  When an op runs is the executor's business; that what it reads is there is the plan's.
 *
 * Where things live: weights, activations, gradients and projectors in device memory, taken and given back as
 * plan/build.h says; master weights, moments, landing and outgoing buffers in host memory.  Update by return form:
 *     nothing      UPD_GPU   w <- w - eta adam(g)            on the device; lora: of the adapters A and B
 *                  UPD_GPU   direction = adam(r);            galore: APPLY w <- w - eta / 4 A direction
 *     parameters   UPD       master <- master - eta adam(g); H2D sends the master, APPLY overwrites
 *     delta        UPD       direction = adam(g^);           APPLY w <- w - eta P direction Q^T
 * What a compressing policy sends uncompressed steps along its plain direction: w <- w - eta direction.
 * Batch (iteration, micro) depends on the workload's seed alone; so do weights, projectors and adapters. */
#ifndef LSPO_REAL_SESSION_H
#define LSPO_REAL_SESSION_H

#include <stdint.h>

#include "plan/plan.h"
#include "plan/status.h"
#include "real/device.h"
#include "real/text.h"

typedef struct lspo_session lspo_session_t;

/* Plan, device and text stay the caller's and must outlive the session.  LSPO_ERR_INPUT for what this path does not
 * compute (families other than GPT, 16-bit weights, vocabularies below 256), LSPO_ERR_FIT above the device's memory. */
lspo_status_t lspo_session_create(const lspo_plan_t *plan, lspo_device_t *device, const lspo_text_t *text,
                                  lspo_session_t **session_out);
void lspo_session_destroy(lspo_session_t *session);

/* Back to the seeded weights and zero moments, as after create. */
lspo_status_t lspo_session_reset(lspo_session_t *session);

/* One op, an lspo_op_function_t: the context is the session.  LSPO_ERR_NUMERIC, with step and stage, once a loss or a
 * gradient norm is NaN or infinite. */
lspo_status_t lspo_session_run_op(void *session, const lspo_op_t *op);

/* Mean training loss of each iteration run so far, nats a token: plan->workload.iterations values. */
const double *lspo_session_losses(const lspo_session_t *session);

/* Mean loss over `batches` fixed batches of the held-out text; not while a plan runs. */
lspo_status_t lspo_session_held_out_loss(lspo_session_t *session, uint32_t batches, double *loss_out);

/* The stage's weights as they stand, element_count floats: device memory, or the home of a swapped stage. */
const float *lspo_session_weights(const lspo_session_t *session, uint32_t stage);

#endif
