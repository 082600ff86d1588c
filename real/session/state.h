/* state.h - the internals of a session, and its functions for methods; private to real/session/ and real/methods/. */
#ifndef LSPO_REAL_SESSION_STATE_H
#define LSPO_REAL_SESSION_STATE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/workers.h"
#include "kernels/adam.h"
#include "plan/chunks.h"
#include "real/session/method.h"
#include "real/session/session.h"
#include "real/transformer/transformer.h"

/* Elements that the CPU optimizer processes at a time: gradient, moments and weights of such a block fit in a core's L2
 * cache while they are unpacked, updated and packed. */
enum { LSPO_UPDATE_BLOCK = 16384 };
static_assert(LSPO_CHUNK_GRAIN % LSPO_UPDATE_BLOCK == 0, "a part of a message has whole blocks");

/* What a stage has of a micro-batch between forward and backward, while it is not in `kept` of this stage (saved) or of
 * the one above (output). */
typedef struct {
    void *output, *saved;
} lspo_session_flight_t;

typedef struct {
    lspo_stage_t shape;
    lspo_message_t message;
    size_t linear_elements; /* of the linear tensors, at the head of the stage's array */
    size_t gradient_count;  /* elements of the gradient from BWD                    */
    size_t sent_bytes;      /* of the message on the link to the host                   */
    size_t returned_bytes;  /* of the message back to the device                    */
    size_t packed_bytes;    /* of the gradient in the link's format; 0: no copy, or COMPRESS makes the message */
    bool here;              /* its weights and updates are this session's */
    size_t copied_elements; /* of a tied embedding that is another peer's, for the head here; 0: no copy */
    bool trained, swapped, updated_on_host, updated_on_gpu;
    void *own; /* the method's: its stage_bytes */

    /* On the device, for the whole session; weights of a swapped stage come with SWAP_IN instead.  void: numbers of the
     * device's format. */
    void *weights;                   /* without the linear ones if these are codes */
    void *codes;                     /* the linear weights in 4 bits; NULL: not */
    lspo_quantized_t quantized;      /* the parts of the codes, for the transformer */
    const lspo_adapters_t *adapters; /* adapters for the transformer; NULL: none */
    const lspo_block_keys_t *keys;   /* rows of an adapter beside the MLP, while they are there; NULL: none */

    /* On the device, from the op that takes it to the op that gives it back.  Buffers of gradients exist for even and
     * odd iterations, since a stale policy has two gradients at a time. */
    lspo_session_flight_t *flights; /* in the session's: one, or by micro-batch of one peer of several */
    void *gradient[2];
    void *packed[2];  /* in the link's format, if different                             */
    void *sending;    /* the message made by COMPRESS; NULL: the gradient */
    void *staging[2]; /* results of H2D                                                 */
    void **parts;     /* owned: [parity][part], in place of `staging` where parts are applied; NULL: none */
    uint32_t part_count;

    /* On the host: `slots` landing buffers, and as many outgoing ones if `returned` itself cannot be sent. */
    void *landing[2];
    void *outgoing[2];
    const void *returned;
    void *kept; /* the output of the stage below, and without checkpointing `saved`: --swap-activations */
    void *home; /* weights of a swapped stage, in the device's format; those in fp32 that the host updates are the
                   master, too */
} lspo_session_stage_t;

/* The memory of one SWAP_IN, and the last op that uses it. */
typedef struct {
    void *memory;
    lspo_op_id_t last_user;
} lspo_swap_use_t;

/* The global norm before clipping and its loss scale, by the parity of the step. */
typedef struct {
    float norm[2], scale[2];
} lspo_session_norms_t;

/* The scale of fp16's loss; with `dynamic` it follows the norms. */
typedef struct {
    float now, good_steps; /* floats, as in a checkpoint */
    bool dynamic;
} lspo_session_scaling_t;

struct lspo_session {
    const lspo_plan_t *plan;
    const lspo_method_t *method;
    void *own;        /* the method's: its state_bytes                      */
    char *stage_owns; /* the method's of all stages, one after the other    */
    lspo_device_t *device;
    lspo_compute_t *compute;
    lspo_number_t number, link; /* formats of the device's arrays and of messages */
    size_t number_bytes;
    bool asynchronous;
    lspo_workers_t *workers; /* of the CPU lane; NULL: none */
    const lspo_text_t *text;
    lspo_first_weights_t first_weights;
    lspo_batch_function_t batches; /* NULL: from the text */
    void *batches_context;
    lspo_rate_function_t rate; /* NULL: the workload's */
    void *rate_context;
    lspo_transformer_t *transformer;
    bool alone; /* the plan has one peer */
    lspo_session_place_t place;
    uint32_t flight_count;
    uint32_t used_step, used_micro; /* of the current batch where passes of several are mixed: step + 1; 0: none */
    void *tied_part;                /* device: the gradient of a tied embedding that the last peer has sent */
    double *partials;               /* sums of squares of the pipeline's peers in this step; NULL: alone */
    uint32_t settled_step;          /* + 1: whose norm is known from these */
    size_t tokens;                  /* of a micro-batch */
    uint32_t slots;
    uint32_t stage_count;
    lspo_session_stage_t *stages;
    lspo_swap_use_t *swaps;          /* by op id; NULL when the plan swaps nothing */
    bool probes;                     /* squares are summed by BWDs of that variant */
    lspo_linear_operands_t operands; /* from a block's BWD to its COMPRESS */
    void *workspace;
    void *expanded;                 /* device: one linear weight from its codes */
    void **dx;                      /* owned: by flight */
    lspo_session_flight_t *flights; /* owned: of each stage one after the other */
    uint32_t *tokens_in, *targets, *lengths;
    uint32_t *gpu_tokens, *gpu_targets; /* the same for the device; the same arrays if it sees host memory */
    uint32_t *pinned_batch[2];          /* for the transfer: tokens, then targets; batches alternate */
    uint32_t batch_count;
    float *update_scratch; /* host: LSPO_UPDATE_BLOCK floats per worker */
    float *method_scratch; /* host: the method's, method_scratch_count floats per worker */
    size_t method_scratch_count;
    bool workers_multiply; /* matrices, by OpenBLAS */
    double *squares;       /* device: [parity][stage], sums of the squares of the stage's message; if the GPU turns it
                              (lspo_plan_turns_on_gpu()), once more behind them of what it then is */
    double *squares_read;  /* host: of one parity */
    double *gpu_loss;      /* device: sum over the targets of the latest FWD of the head */
    double *loss_read;     /* host: where it is read to */
    size_t step_targets;   /* counted targets in all micro-batches of the current step */
    uint32_t empty_steps;  /* steps in which no target counted */
    size_t loss_targets;   /* divisor of the current loss: step_targets, or those of a calibration batch */
    lspo_session_scaling_t scaling;
    lspo_session_norms_t norms;       /* the GPU lane's */
    lspo_session_norms_t *norms_sent; /* the same, where the device can read it quickly */
    lspo_session_norms_t *gpu_norms;  /* device: copied by the link from here ... */
    lspo_session_norms_t *host_norms; /* ... to here */
    double *losses;
    double gradient_norm;     /* of the latest NORM */
    lspo_session_bias_t bias; /* of the latest step with PROJECT ops that check projectors */
};

/* ---- places ---- */

/* The step of the whole training to which the op's gradient belongs; it selects one of two buffers. */
static inline uint32_t lspo_session_step(const lspo_session_t *session, const lspo_op_t *op)
{
    return session->plan->workload.first_step + op->iteration - (op->variant == LSPO_VARIANT_PENDING ? 1 : 0);
}

static inline uint32_t lspo_session_parity(const lspo_session_t *session, const lspo_op_t *op)
{
    return lspo_session_step(session, op) & 1;
}

static inline uint32_t lspo_session_slot(const lspo_session_t *session, const lspo_op_t *op)
{
    return lspo_session_step(session, op) % session->slots;
}

/* Does the link have a 16-bit format? */
static inline bool lspo_session_packs(const lspo_session_t *session)
{
    return session->link != LSPO_NUMBER_FP32;
}

/* Element n of an array of the device's numbers. */
static inline void *lspo_session_at(const lspo_session_t *session, const void *array, size_t n)
{
    return (char *)array + n * session->number_bytes;
}

/* Element n of a message on the link. */
static inline void *lspo_session_link_at(const lspo_session_t *session, const void *message, size_t n)
{
    return (char *)message + n * lspo_number_bytes(session->link);
}

/* The number of elements in the stage's array of weights on the device. */
static inline size_t lspo_session_weights_count(const lspo_session_stage_t *stage)
{
    if (stage->copied_elements > 0)
        return stage->copied_elements;
    return stage->shape.element_count - (stage->codes ? stage->linear_elements : 0);
}

/* A stage's tensors on the device that are not linear. */
static inline void *lspo_session_rest(const lspo_session_t *session, const lspo_session_stage_t *stage)
{
    return lspo_session_at(session, stage->weights, stage->codes ? 0 : stage->linear_elements);
}

/* The parameters of a block whose array of weights is `weights`. */
static inline lspo_block_parameters_t lspo_session_block(const lspo_session_stage_t *stage, const void *weights)
{
    return (lspo_block_parameters_t){.weights = weights,
                                     .adapters = stage->adapters,
                                     .quantized = stage->codes ? &stage->quantized : NULL,
                                     .keys = stage->keys};
}

/* Linear weight i of a stage on the device, if it is not codes. */
static inline void *lspo_session_linear_weight(const lspo_session_t *session, const lspo_session_stage_t *stage,
                                               uint32_t i)
{
    return lspo_session_at(session, stage->weights, stage->shape.tensors[i].offset_elements);
}

/* Does the GPU turn the gradient of stage `s` in this op's step? */
static inline bool lspo_session_turns(const lspo_session_t *session, const lspo_op_t *op, uint32_t s)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    return stage->updated_on_host && stage->message.linear_count > 0 &&
           lspo_plan_turns_on_gpu(session->plan, op->iteration);
}

/* The bytes of a stage's output. */
static inline size_t lspo_session_output_bytes(const lspo_session_t *session)
{
    return session->tokens * session->plan->model.width * session->number_bytes;
}

/* Does the op belong to the first, or the last micro-batch of its step, of those that are this session's? */
static inline bool lspo_session_is_first_micro(const lspo_session_t *session, const lspo_op_t *op)
{
    return op->micro == session->place.first_micro;
}
static inline bool lspo_session_is_last_micro(const lspo_session_t *session, const lspo_op_t *op)
{
    return op->micro + 1U == session->place.first_micro + session->place.micro_count;
}

/* What is in flight of the op's micro-batch. */
static inline uint32_t lspo_session_flight_at(const lspo_session_t *session, const lspo_op_t *op)
{
    return session->alone ? 0 : op->micro - session->place.first_micro;
}
static inline lspo_session_flight_t *lspo_session_flight(const lspo_session_t *session, const lspo_op_t *op, uint32_t s)
{
    return &session->stages[s].flights[lspo_session_flight_at(session, op)];
}
/* The input of the op's stage: the output of the stage below. */
static inline void **lspo_session_input(const lspo_session_t *session, const lspo_op_t *op)
{
    return &lspo_session_flight(session, op, op->layer - 1U)->output;
}
static inline void **lspo_session_dx(const lspo_session_t *session, const lspo_op_t *op)
{
    return &session->dx[lspo_session_flight_at(session, op)];
}

/* Do other peers have the same stages, so that gradients are complete only when they have been summed over these? */
static inline bool lspo_session_sums_replicas(const lspo_session_t *session)
{
    return session->place.micro_count < session->plan->workload.accumulation;
}

/* Is the embedding's gradient begun by another peer's head? */
static inline bool lspo_session_is_tied_elsewhere(const lspo_session_t *session)
{
    return session->plan->model.tied_head && session->place.last_stage + 1U < session->stage_count;
}

/* ---- memory.c ---- */

/* Take and give back device memory through a pointer of the state. */
lspo_status_t lspo_session_take(lspo_session_t *session, size_t bytes, void **slot);
void lspo_session_give_back(lspo_session_t *session, void **slot);
/* Take the memory of the gradient of stage `s` and, if the link has another format, of its converted copy. */
lspo_status_t lspo_session_take_gradient(lspo_session_t *session, const lspo_op_t *op, uint32_t s);
/* Memory in which the host computes for the GPU lane: device memory if the host sees it, else host memory. */
lspo_status_t lspo_session_take_for_host(lspo_session_t *session, size_t bytes, void **slot);
void lspo_session_give_back_for_host(lspo_session_t *session, void **slot);
/* Copy between fp32 arrays of the host and arrays in the device's format; complete on return. */
lspo_status_t lspo_session_write_numbers(lspo_session_t *session, size_t n, const float *from, void *to);
lspo_status_t lspo_session_read_numbers(lspo_session_t *session, size_t n, const void *from, float *to);
/* The same for an array on the host (a swapped stage's home). */
void lspo_session_pack_numbers(lspo_number_t number, size_t n, const float *from, void *to);
void lspo_session_unpack_numbers(lspo_number_t number, size_t n, const void *from, float *to);

/* ---- host_memory.c: all host memory is reserved at once, so that for a GPU it is one pinned block ---- */

/* Take pinned host memory, or only count it if `count` is not NULL.  Release it with lspo_device_host_free(). */
lspo_status_t lspo_session_take_host(lspo_session_t *session, lspo_host_count_t *count, lspo_host_purpose_t purpose,
                                     size_t bytes, void **slot);
/* Take the outgoing buffers of a stage whose update has no array that can be sent directly. */
lspo_status_t lspo_session_take_outgoing(lspo_session_t *session, lspo_session_stage_t *stage,
                                         lspo_host_count_t *count);
/* Reserve the host memory of all stages; then take that of one stage. */
lspo_status_t lspo_session_reserve_host(lspo_session_t *session);
lspo_status_t lspo_session_make_host_state(lspo_session_t *session, uint32_t stage, lspo_host_count_t *count);

/* ---- weights.c: a stage's weights, and masters that follow from them ---- */

lspo_status_t lspo_session_make_weights(lspo_session_t *session, uint32_t stage);

/* ---- quantized.c: linear weights of blocks as 4-bit codes ---- */

/* Take memory for the stage's codes, if the plan quantizes them, and for one expanded weight. */
lspo_status_t lspo_session_take_codes(lspo_session_t *session, lspo_session_stage_t *stage);
/* Bytes of the stage's codes. */
size_t lspo_session_codes_bytes(const lspo_session_stage_t *stage);
/* Quantize the linear weights of a stage that has codes; `weights` are those of the whole stage.  LSPO_ERR_INPUT if a
 * number is not finite. */
lspo_status_t lspo_session_quantize(lspo_session_t *session, uint32_t stage, const float *weights);
/* The linear weights as training sees them, into the stage's array `out`. */
lspo_status_t lspo_session_expanded_weights(lspo_session_t *session, uint32_t stage, float *out);

/* ---- training.c: rates and batches ---- */

/* The learning rate of a step of the training, and of the op's. */
float lspo_session_rate_at(const lspo_session_t *session, uint32_t step);
float lspo_session_rate(const lspo_session_t *session, const lspo_op_t *op);

/* Adam as the workload has it, with this learning rate, at step t (from 1). */
lspo_adam_t lspo_session_adam(const lspo_session_t *session, float learning_rate, uint32_t step);
/* Tokens, targets and lengths of a micro-batch: from `function`, or from the session's function or text. */
lspo_status_t lspo_session_fill_batch(lspo_session_t *session, lspo_batch_function_t function, void *context,
                                      uint32_t step, uint32_t micro);
lspo_status_t lspo_session_load_batch(lspo_session_t *session, uint32_t step, uint32_t micro);
/* Number of counted targets of the current batch. */
size_t lspo_session_counted_targets(const lspo_session_t *session);
/* Of one peer of several, in whose passes micro-batches alternate: load the op's batch unless it is the current one. */
lspo_status_t lspo_session_use_batch(lspo_session_t *session, const lspo_op_t *op);
/* Sets step_targets and loads the first micro-batch. */
lspo_status_t lspo_session_begin_step(lspo_session_t *session, uint32_t step);
void lspo_session_upload_batch(lspo_session_t *session);
/* The mean of a sum over counted targets; 0 if there are none. */
double lspo_session_mean_loss(double sum, size_t targets);

/* ---- scaling.c: between a gradient and its update ---- */

/* The initial scaling of a training. */
lspo_session_scaling_t lspo_session_first_scaling(const lspo_session_t *session);
/* The factor for a gradient of this norm and loss scale: clipping, and division by the scale. */
float lspo_session_gradient_scale(const lspo_session_t *session, float norm, float scale);
/* The same for the op's gradient, with the norms of the GPU's or the CPU's lane. */
float lspo_session_op_scale(const lspo_session_t *session, const lspo_op_t *op, const lspo_session_norms_t *norms);
/* Is the step of the op skipped because its gradient overflowed, by the norms of the GPU's or the CPU's lane? */
bool lspo_session_skips_step(const lspo_session_t *session, const lspo_op_t *op, const lspo_session_norms_t *norms);
/* The loss scale of a parity, by the norms of that lane. */
float lspo_session_scale_of(const lspo_session_t *session, uint32_t parity, const lspo_session_norms_t *norms);
/* The factor of decoupled weight decay: 1 - eta decay. */
float lspo_session_kept(const lspo_session_t *session, float rate);
/* The seed of random rounding of 16-bit weights, from the workload's seed and from what is rounded. */
uint64_t lspo_session_rounding_seed(const lspo_session_t *session, uint32_t step, uint32_t stage, uint32_t tensor,
                                    size_t row);
/* The same for a tensor of the op's stage in the op's step. */
uint64_t lspo_session_op_seed(const lspo_session_t *session, const lspo_op_t *op, uint32_t tensor);
/* Is the stage's gradient formed in this op's step? */
bool lspo_session_forms_gradient(const lspo_session_t *session, const lspo_op_t *op, uint32_t stage);
lspo_status_t lspo_session_norm(lspo_session_t *session, const lspo_op_t *op);
/* Of one peer of several, before an update: the norm from the sums of all, once a step. */
lspo_status_t lspo_session_settle_norm(lspo_session_t *session, const lspo_op_t *op);

/* ---- passes.c: FWD, RECOMPUTE, BWD; and what a handler that ends a backward calls ---- */

lspo_status_t lspo_session_forward(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_recompute(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_backward(lspo_session_t *session, const lspo_op_t *op);
/* Release activations that backward has read for the last time. */
void lspo_session_release_activations(lspo_session_t *session, const lspo_op_t *op);
/* After the op that completes the stage's gradient for this step: compute its squares, turn it, and compute its copy in
 * the link's format. */
void lspo_session_finish_gradient(lspo_session_t *session, const lspo_op_t *op);
/* Check the loss of the head's FWD. */
lspo_status_t lspo_session_judge_loss(lspo_session_t *session, const lspo_op_t *op);

/* ---- link.c: D2H and H2D of messages; APPLY of new parameters, which overwrite the weights ---- */

/* The part of its stage's message that D2H, UPD or H2D has. */
typedef struct {
    size_t first, count; /* elements */
    bool is_last;
} lspo_session_part_t;
lspo_session_part_t lspo_session_part(const lspo_session_t *session, const lspo_op_t *op);
/* Make room for the addresses of a stage's parts, if its messages have parts that are applied as they come in this
 * plan. Nothing of the plan before is on its way. */
lspo_status_t lspo_session_make_parts(lspo_session_t *session, lspo_session_stage_t *stage);

lspo_status_t lspo_session_send(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_return(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_overwrite(lspo_session_t *session, const lspo_op_t *op);

/* ---- swap.c: weights and optimizer state that are on the host between their uses ---- */

/* The SWAP_IN of `stage` and `variant` on which `op` (or the update before it) depends; NULL if that is resident. */
lspo_swap_use_t *lspo_session_swap_of(lspo_session_t *session, const lspo_op_t *op, uint32_t stage,
                                      lspo_op_variant_t variant);
/* The weights of `stage` on the device for `op`: those of its SWAP_IN, or the resident ones. */
const void *lspo_session_weights_for(lspo_session_t *session, const lspo_op_t *op, uint32_t stage);
/* After `op`: give back the memory of the parameters' SWAP_INs on which it depends, if no later op uses them. */
void lspo_session_swap_drop(lspo_session_t *session, const lspo_op_t *op);
/* Copy `bytes` of `home` on the host to the device, or back. */
lspo_status_t lspo_session_swap_in(lspo_session_t *session, const lspo_op_t *op, const void *home, size_t bytes);
lspo_status_t lspo_session_swap_out(lspo_session_t *session, const lspo_op_t *op, void *home, size_t bytes);
/* The handlers that swap a stage's weights. */
lspo_status_t lspo_session_swap_weights_in(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_swap_weights_out(lspo_session_t *session, const lspo_op_t *op);
/* The handlers that swap the sum of a stage's gradients over the micro-batches so far, in its landing buffer. */
lspo_status_t lspo_session_swap_sum_in(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_swap_sum_out(lspo_session_t *session, const lspo_op_t *op);

/* ---- activations.c: what blocks keep for their backward, on the host meanwhile ---- */

/* Bytes of what a block keeps; and the handlers of SWAP_OUT and SWAP_IN of it. */
size_t lspo_session_kept_bytes(const lspo_session_t *session);
lspo_status_t lspo_session_activations_out(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_activations_in(lspo_session_t *session, const lspo_op_t *op);

/* ---- update.c: for the CPU's updates ---- */

/* Part of the result of D2H in fp32: in place, or unpacked into the worker's scratch. */
const float *lspo_session_landed(lspo_session_t *session, uint32_t worker, const void *landing, size_t at, size_t n);
float *lspo_session_update_scratch(const lspo_session_t *session, uint32_t worker);
/* Allocate scratch for all workers. */
lspo_status_t lspo_session_make_worker_scratch(lspo_session_t *session);
/* After an update of `count` parameters that began at start_ns: wait until the time that the device's CPU cap
 * allows. */
void lspo_session_pace_update(lspo_session_t *session, uint64_t start_ns, size_t count);

/* ---- checkpoint.c: report an array of a checkpoint, in a method's visit functions; ignored if data is NULL or count
 * is 0 */

__attribute__((format(printf, 5, 6))) void lspo_walk_host(lspo_state_walk_t *walk, void *data, uint64_t count,
                                                          lspo_state_type_t type, const char *format, ...);
__attribute__((format(printf, 5, 6))) void lspo_walk_device(lspo_state_walk_t *walk, void *data, uint64_t count,
                                                            lspo_state_type_t type, const char *format, ...);
/* The type of an array of these numbers. */
lspo_state_type_t lspo_state_type_of(lspo_number_t number);
/* The type of a message on the host. */
lspo_state_type_t lspo_session_message_type(const lspo_session_t *session);

#endif
