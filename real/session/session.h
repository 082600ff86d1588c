/* session.h - the mathematics behind a plan's ops: a transformer being trained, its state on device and host.
 *
 * A session gives each op of a plan its meaning on real memory: FWD and BWD run the transformer, D2H and H2D copy
 * messages.  What becomes of a gradient is the business of a method (real/session/method.h): it handles the other ops
 * and owns what they need.  When an op runs is the executor's business; that what it reads is there is the plan's.
 *
 * Where things live: weights, activations and gradients in device memory, taken and given back as plan/build.h says;
 * landing and outgoing buffers in host memory.  What each method holds, and the formula of its update, opens its file
 * in real/methods/.  Batch (iteration, micro) depends on the workload's seed alone; so do weights, projectors and
 * adapters.
 *
 * 16-bit weights (a GPU's).  A step smaller than half their spacing would be lost.  Where Adam on the GPU moves
 * weights as they lie an fp32 master stands behind them, beside m and v; where the CPU holds a master it is sent,
 * rounded to the nearest.  Methods without a master round each weight up or down at random, so that its expectation is
 * exact; the random bits are a function of seed, step, stage, tensor and position.
 *
 * Loss scale.  Backward multiplies the loss by S, a power of two, and whatever is done with a gradient divides by S:
 * the norm that --clip looks at and prints, Adam's g', a plain descent's step; bases, columns and projectors are
 * chosen by gradients whose scale they do not depend on.  S = 1 unless gradients are fp16, then 1024, which changes
 * nothing but what fp16 would lose below 6e-8.  With --clip fp16's S follows the norms: 65536 at first, halved and the
 * step skipped when the norm is not finite, doubled after 200 steps in a row that were; not under a method that uses
 * gradients before their norm is known (norm_comes_late): a gradient that overflows ends the training there.  A
 * skipped step counts for Adam's t, rates and batches; it leaves weights and moments alone, on GPU and CPU, undecayed;
 * under a stale policy it is the gradient of that step that is skipped, whenever its turn comes; a mean over several
 * steps counts it as zero. */
#ifndef LSPO_REAL_SESSION_SESSION_H
#define LSPO_REAL_SESSION_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/loss.h"
#include "plan/plan.h"
#include "real/data/batch.h"
#include "real/data/text.h"
#include "real/device/device.h"
#include "base/workers.h"

typedef struct lspo_session lspo_session_t;

/* What does with gradients what the plan's policy wants (real/session/method.h). */
typedef struct lspo_method lspo_method_t;

/* Where the first weights come from, at creation and at each reset. */
typedef struct {
    /* Fill a stage's weights, element_count floats, or set *given_out to false: then they are drawn by the seed.  NULL:
     * all are. */
    lspo_status_t (*load)(void *context, uint32_t stage, float *weights, bool *given_out);
    void *context;
} lspo_first_weights_t;

/* What a training starts with.  `text` may be NULL where batches come from a function. */
typedef struct {
    const lspo_text_t *text;
    lspo_first_weights_t weights;
} lspo_session_start_t;

/* A session that trains with this method; real/methods/methods.h finds the one of a plan.  Plan, device, method and
 * text stay the caller's and must outlive the session.  LSPO_ERR_INPUT for what this path does not compute
 * (masked-language heads, 16-bit weights, vocabularies below 256), LSPO_ERR_FIT above the device's memory. */
lspo_status_t lspo_session_create_with(const lspo_plan_t *plan, lspo_device_t *device, const lspo_method_t *method,
                                       const lspo_session_start_t *start, lspo_session_t **session_out);
void lspo_session_destroy(lspo_session_t *session);

/* ---- what a training loop sets: before the first op, or between plans; kept by reset and continue ---- */

/* Batches come from here instead of from the text, which may then be NULL.  A NULL function: the text again. */
void lspo_session_set_batches(lspo_session_t *session, lspo_batch_function_t function, void *context);

/* The learning rate of a step instead of the workload's.  Called from the GPU's and the CPU's thread, for the step of
 * the gradient: a function of its arguments only.  A NULL function: the workload's again. */
typedef double (*lspo_rate_function_t)(void *context, uint32_t step);
void lspo_session_set_learning_rate(lspo_session_t *session, lspo_rate_function_t function, void *context);

/* ---- segments: several plans, one after the other, are one training ---- */

/* Go on with another plan of the same policy, model and batch, none running; all state stays, losses start anew.  The
 * plan stays the caller's and must outlive its use, the one before may be destroyed.  A plan with
 * workload.first_step > 0 says which step of the training it begins with: Adam's t, batches, learning rate and the
 * schedule of PROJECT follow that step.  A stale policy needs workload.open_end in every segment but the last.
 * Segments of 5 and 5 steps give the weights of one of 10, bit for bit.  LSPO_ERR_INPUT when the plans do not match. */
lspo_status_t lspo_session_continue(lspo_session_t *session, const lspo_plan_t *plan);

/* ---- state: all that a checkpoint must hold so that training continues bit for bit ---- */

/* BF16, F16: 16-bit weights.  U16: messages in the link's format. */
typedef enum { LSPO_STATE_F32, LSPO_STATE_U32, LSPO_STATE_U16, LSPO_STATE_BF16, LSPO_STATE_F16 } lspo_state_type_t;

typedef struct {
    char name[64]; /* "block3.master", "block3.p1.value", ...: unique, the same for the same plan */
    void *data;    /* the session's */
    uint64_t element_count;
    lspo_state_type_t type;
    lspo_device_t *device; /* of whose memory data is; NULL: the host's */
} lspo_state_array_t;

size_t lspo_state_array_bytes(const lspo_state_array_t *array);
/* A part of it, wherever it lies, into and out of memory of the host; after writing, lspo_session_state_written(). */
lspo_status_t lspo_state_array_read(const lspo_state_array_t *array, size_t offset_bytes, size_t bytes, void *out);
lspo_status_t lspo_state_array_write(const lspo_state_array_t *array, size_t offset_bytes, size_t bytes,
                                     const void *in);

/* Arrays of the session, not while a plan runs: weights, what the method holds (masters, m and v, projectors, adapters,
 * ...), pending gradients of a stale policy and their norms.  Their number, names and sizes depend on policy, model and
 * workload only. */
uint32_t lspo_session_state_count(const lspo_session_t *session);
void lspo_session_state_at(lspo_session_t *session, uint32_t index, lspo_state_array_t *array_out);
/* After arrays were written: makes what follows from them.  LSPO_ERR_INPUT when projector indices are out of range or
 * not ascending in a row. */
lspo_status_t lspo_session_state_written(lspo_session_t *session);

/* ---- running ---- */

/* Back to the seeded weights and zero moments, as after create. */
lspo_status_t lspo_session_reset(lspo_session_t *session);

/* One op, an lspo_op_function_t: the context is the session.  On an asynchronous device it is queued on the stream of
 * the calling thread's lane (lspo_device_enter_lane()); NORM and PROJECT wait for theirs, since the host decides by
 * what they find.  LSPO_ERR_NUMERIC, with step and stage, once a loss or a gradient norm is NaN or infinite. */
lspo_status_t lspo_session_run_op(void *session, const lspo_op_t *op);
/* Asynchronous devices: once after each op has ended, before any op is issued that depends on it, from any thread;
 * judges what the device told.  On others run_op has done so. */
lspo_status_t lspo_session_finish_op(void *session, const lspo_op_t *op);

/* Who shares UPD with the CPU lane (base/workers.h); not while a plan runs.  NULL, as after create: nobody.
 * The results are the same.  The pool stays the caller's and must outlive its use. */
lspo_status_t lspo_session_set_workers(lspo_session_t *session, lspo_workers_t *workers);

/* Mean training loss of each iteration run so far over the targets of all its micro-batches, nats a token:
 * plan->workload.iterations values. */
const double *lspo_session_losses(const lspo_session_t *session);

/* The clipped norm's latest value: the global gradient norm before clipping; NaN without --clip. */
double lspo_session_gradient_norm(const lspo_session_t *session);

/* What the latest step with PROJECT ops that check projectors did to them: means over the weights. */
typedef struct {
    uint32_t step, checked, fitted;       /* the step; weights checked and, of these, fitted anew     */
    uint32_t fit_steps;                   /* Adam steps of all fits                                   */
    double bias_before, bias_after;       /* of all weights checked, each at its best scale           */
    uint64_t checked_total, fitted_total; /* since the session began                            */
} lspo_session_bias_t;
/* checked == 0: no check yet. */
lspo_session_bias_t lspo_session_bias(const lspo_session_t *session);

/* Means over all counted targets: loss in nats; of a classifier of two or more classes the share whose most likely
 * class, the lowest of equals, is the target's, elsewhere NaN. */
typedef struct {
    double loss, accuracy;
} lspo_evaluation_t;
/* Of `batches` batches (step 0 .. batches - 1, micro 0) from `function`; not while a plan runs. */
lspo_status_t lspo_session_evaluate(lspo_session_t *session, lspo_batch_function_t function, void *context,
                                    uint32_t batches, lspo_evaluation_t *evaluation_out);

/* Mean loss over `batches` fixed batches of the held-out text; not while a plan runs. */
lspo_status_t lspo_session_held_out_loss(lspo_session_t *session, uint32_t batches, double *loss_out);

/* The stage's weights as they stand: element_count floats into `out`.  Not while a plan runs. */
lspo_status_t lspo_session_weights(lspo_session_t *session, uint32_t stage, float *out);

/* In place of the seeded weights, before the first op: element_count floats; a master follows.  Reset undoes it. */
lspo_status_t lspo_session_set_weights(lspo_session_t *session, uint32_t stage, const float *weights);

/* The stage's weights with what the method keeps beside them added: with adapters W + s A B^T, elsewhere W.
 * element_count floats into `out`. */
lspo_status_t lspo_session_merged_weights(lspo_session_t *session, uint32_t stage, float *out);

#endif
