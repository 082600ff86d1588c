/* session.h - a training session: runs the ops of a plan on a transformer and its state on device and host.
 *
 * A session executes each op of a plan on real memory: FWD and BWD run the transformer, D2H and H2D copy messages.  A
 * method (real/session/method.h) processes the gradients: it handles the other ops and owns their state.  The executor
 * decides when an op runs; the plan ensures that its inputs exist.
 *
 * Weights, activations and gradients are in device memory, taken and given back as plan/build.h describes; landing and
 * outgoing buffers are in host memory.  The first comment of each file in real/methods/ has the state and the update
 * formula of the method.  Batches (iteration, micro), weights, projectors and adapters depend only on the workload's
 * seed.
 *
 * 16-bit weights (on a GPU).  A step smaller than half their spacing would be lost.  If Adam on the GPU updates weights
 * in place, it keeps an fp32 master, beside m and v; if the CPU has the master, it sends it rounded to the nearest.
 * Methods without a master round each weight up or down at random, so that its expectation is exact; the random bits
 * depend on seed, step, stage, tensor and position.
 *
 * Loss scale.  Backward multiplies the loss by S, a power of two, and every use of a gradient divides by S: the norm of
 * --clip, Adam's g', a plain descent's step.  The choice of bases, columns and projectors does not depend on the scale.
 * S is 1, or 1024 for fp16 gradients, which only saves what fp16 would lose below 6e-8.  With --clip the S of fp16
 * follows the norms: it starts at 65536, is halved (and the step skipped) if the norm is not finite, and is doubled
 * after 200 steps in a row with a finite norm.  A method that uses gradients before their norm is known
 * (norm_comes_late) keeps 1024; there a gradient that overflows ends the training.  A skipped step counts for Adam's t,
 * learning rates and batches, but does not change weights and moments on GPU and CPU, not even by decay.  Under a stale
 * policy the gradient of that step is skipped when its turn comes; a mean over several steps counts it as zero. */
#ifndef LSPO_REAL_SESSION_SESSION_H
#define LSPO_REAL_SESSION_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/workers.h"
#include "kernels/loss.h"
#include "plan/plan.h"
#include "real/data/batch.h"
#include "real/data/text.h"
#include "real/device/device.h"
#include "real/session/scores.h"

typedef struct lspo_session lspo_session_t;

/* The training method of the plan's policy (real/session/method.h). */
typedef struct lspo_method lspo_method_t;

/* The source of the initial weights, at creation and at each reset. */
typedef struct {
    /* Fill a stage's weights, element_count floats, or set *given_out to false: then they are drawn from the seed.
     * NULL: all are drawn. */
    lspo_status_t (*load)(void *context, uint32_t stage, float *weights, bool *given_out);
    void *context;
} lspo_first_weights_t;

/* What one peer of a plan of several (plan/lane.h) has of a training: some of the stages, and a replica's share of the
 * micro-batches.  The peers that have the other stages of the same micro-batches are its pipeline. */
typedef struct {
    uint32_t peer;
    uint32_t first_stage, last_stage;
    uint32_t first_micro, micro_count;
    uint32_t first_peer, peer_count; /* of the pipeline, from the first stages to the last */
} lspo_session_place_t;

/* The place of a peer that has forward passes in the plan's first iteration. */
void lspo_session_place(const lspo_plan_t *plan, uint32_t peer, lspo_session_place_t *place_out);

/* The inputs of a training.  `text` may be NULL if batches come from a function. */
typedef struct {
    const lspo_text_t *text;
    lspo_first_weights_t weights;
    const lspo_session_place_t *place; /* NULL: all of the plan, which has one peer */
} lspo_session_start_t;

/* Create a session that trains with this method; real/methods/methods.h finds the method of a plan.  The caller owns
 * plan, device, method and text, which must outlive the session.  LSPO_ERR_INPUT for models that cannot be trained here
 * (masked-language heads, 16-bit weights on the host, vocabularies below 256), LSPO_ERR_FIT if the device's memory is
 * too small. */
lspo_status_t lspo_session_create_with(const lspo_plan_t *plan, lspo_device_t *device, const lspo_method_t *method,
                                       const lspo_session_start_t *start, lspo_session_t **session_out);
void lspo_session_destroy(lspo_session_t *session);

/* ---- settings of a training loop: before the first op, or between plans; kept by reset and continue ---- */

/* Take batches from this function instead of the text, which may then be NULL.  A NULL function: use the text again. */
void lspo_session_set_batches(lspo_session_t *session, lspo_batch_function_t function, void *context);

/* Take the learning rate of each step from this function instead of the workload.  Called on the GPU's and the CPU's
 * thread, with the step of the gradient; it must depend on its arguments only.  A NULL function: use the workload's
 * again. */
typedef double (*lspo_rate_function_t)(void *context, uint32_t step);
void lspo_session_set_learning_rate(lspo_session_t *session, lspo_rate_function_t function, void *context);

/* ---- segments: several plans in a row form one training ---- */

/* Continue with another plan of the same policy, model and batch, while no plan runs.  All state is kept; losses start
 * again.  The caller owns the plan, which must outlive its use; the previous plan may be destroyed. workload.first_step
 * is the step of the training with which the plan begins: Adam's t, batches, learning rate and the schedule of PROJECT
 * depend on it.  A stale policy needs workload.open_end in every segment except the last.  Two segments of 5 steps give
 * the same weights as one of 10, bit for bit.  LSPO_ERR_INPUT if the plans do not match. */
lspo_status_t lspo_session_continue(lspo_session_t *session, const lspo_plan_t *plan);

/* ---- state: everything that a checkpoint needs so that training continues bit for bit ---- */

/* BF16, F16: 16-bit weights and moments.  U16: messages in the link's format.  U8: codes of quantized weights and of
 * moments. */
typedef enum {
    LSPO_STATE_F32,
    LSPO_STATE_U32,
    LSPO_STATE_U16,
    LSPO_STATE_U8,
    LSPO_STATE_BF16,
    LSPO_STATE_F16
} lspo_state_type_t;

typedef struct {
    char name[64]; /* "block3.master", "block3.p1.value", ...: unique, the same for the same plan */
    void *data;    /* the session's */
    uint64_t element_count;
    lspo_state_type_t type;
    lspo_device_t *device; /* whose memory has the data; NULL: host memory */
} lspo_state_array_t;

size_t lspo_state_array_bytes(const lspo_state_array_t *array);
/* Copy a part of the array, on device or host, to or from host memory; after writing, call
 * lspo_session_state_written(). */
lspo_status_t lspo_state_array_read(const lspo_state_array_t *array, size_t offset_bytes, size_t bytes, void *out);
lspo_status_t lspo_state_array_write(const lspo_state_array_t *array, size_t offset_bytes, size_t bytes,
                                     const void *in);

/* The arrays of the session: weights, the method's state (masters, m and v, projectors, adapters, ...), pending
 * gradients of a stale policy and their norms.  Not while a plan runs.  Their number, names and sizes depend only on
 * policy, model and workload. */
uint32_t lspo_session_state_count(const lspo_session_t *session);
void lspo_session_state_at(lspo_session_t *session, uint32_t index, lspo_state_array_t *array_out);
/* Call after arrays were written: updates everything that depends on them.  LSPO_ERR_INPUT if projector indices are out
 * of range or not ascending in a row. */
lspo_status_t lspo_session_state_written(lspo_session_t *session);

/* ---- running ---- */

/* Return to the initial weights and zero moments, as after create. */
lspo_status_t lspo_session_reset(lspo_session_t *session);

/* One op, an lspo_op_function_t: the context is the session.  On an asynchronous device it is queued on the stream of
 * the calling thread's lane (lspo_device_enter_lane()); NORM and PROJECT wait for their results, on which decisions of
 * the host depend.  LSPO_ERR_NUMERIC, with step and stage, if a loss or a gradient norm is NaN or infinite. */
lspo_status_t lspo_session_run_op(void *session, const lspo_op_t *op);
/* On asynchronous devices, call once after each op has ended, before any dependent op is issued, from any thread; it
 * checks the results of the device.  On others run_op has done so. */
lspo_status_t lspo_session_finish_op(void *session, const lspo_op_t *op);

/* ---- one peer of several: SEND, in which peers' sessions take part.  The sender begins it and packs what goes to each
 * receiver; the receiver takes the memory for it and unpacks it; the sender ends it.  No op that waits for the SEND may
 * run meanwhile.  From any threads. ---- */

/* What is sent, in host memory; kept for the next message. */
typedef struct {
    void *data; /* owned, of malloc() */
    size_t bytes, capacity;
} lspo_session_message_t;
void lspo_session_message_release(lspo_session_message_t *message);

lspo_status_t lspo_session_begin_send(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_pack(lspo_session_t *session, const lspo_op_t *op, uint32_t to,
                                lspo_session_message_t *message);
/* LSPO_ERR_CHECK if the message has another size than the op. */
lspo_status_t lspo_session_unpack(lspo_session_t *session, const lspo_op_t *op, uint32_t from,
                                  const lspo_session_message_t *message);
lspo_status_t lspo_session_end_send(lspo_session_t *session, const lspo_op_t *op);

/* Batch number `batch` of `batches` of the held-out text through the stages that are here; not while a plan runs.
 * `x`, tokens x width numbers in host memory, is the output of the stage before the first one, and becomes that of the
 * last one; *loss_out is set where the head is. */
lspo_status_t lspo_session_held_out_part(lspo_session_t *session, uint32_t batch, uint32_t batches, void *x,
                                         double *loss_out);
/* The bytes of `x`. */
size_t lspo_session_boundary_bytes(const lspo_session_t *session);

/* The workers that share UPD with the CPU lane (base/workers.h); not while a plan runs.  NULL, the default: none.  The
 * results are the same.  The caller owns the pool, which must outlive its use. */
lspo_status_t lspo_session_set_workers(lspo_session_t *session, lspo_workers_t *workers);

/* Mean training loss of each iteration run so far over the targets of all its micro-batches, in nats per token:
 * plan->workload.iterations values. */
const double *lspo_session_losses(const lspo_session_t *session);

/* The clipped norm's latest value: the global gradient norm before clipping; NaN without --clip. */
double lspo_session_gradient_norm(const lspo_session_t *session);

/* Results of the latest step that checked projectors: means over the weights. */
typedef struct {
    uint32_t step, checked, fitted;       /* the step; weights checked and, of these, fitted anew     */
    uint32_t fit_steps;                   /* Adam steps of all fits                                   */
    double bias_before, bias_after;       /* of all weights checked, each at its best scale           */
    uint64_t checked_total, fitted_total; /* since the session began                            */
} lspo_session_bias_t;
/* checked == 0: no check yet. */
lspo_session_bias_t lspo_session_bias(const lspo_session_t *session);

/* Call `add` for each entry of a trace's header that the method has: meft's rows on the link, expected and used.  Not
 * while a plan runs. */
lspo_status_t lspo_session_report(const lspo_session_t *session, lspo_device_entry_t add, void *context);

/* Over all counted targets: the mean loss, in nats or as squared errors, and a classifier's scores; its prediction is
 * the most likely class, the lowest of equal ones, or its number. */
typedef struct {
    double loss;
    lspo_scores_t scores; /* lspo_scores_none() of other models */
} lspo_evaluation_t;
/* Evaluate `batches` batches (step 0 .. batches - 1, micro 0) of `function`; not while a plan runs. */
lspo_status_t lspo_session_evaluate(lspo_session_t *session, lspo_batch_function_t function, void *context,
                                    uint32_t batches, lspo_evaluation_t *evaluation_out);

/* Mean loss over `batches` fixed batches of the held-out text; not while a plan runs. */
lspo_status_t lspo_session_held_out_loss(lspo_session_t *session, uint32_t batches, double *loss_out);

/* The current weights of the stage: element_count floats into `out`.  Not while a plan runs. */
lspo_status_t lspo_session_weights(lspo_session_t *session, uint32_t stage, float *out);

/* Set the stage's weights, element_count floats, before the first op; masters follow.  Reset undoes it. */
lspo_status_t lspo_session_set_weights(lspo_session_t *session, uint32_t stage, const float *weights);

/* The stage's weights including adapters: W + s A B^T, or W without adapters.
 * element_count floats into `out`. */
lspo_status_t lspo_session_merged_weights(lspo_session_t *session, uint32_t stage, float *out);

#endif
