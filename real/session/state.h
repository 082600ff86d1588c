/* state.h - what a session holds; private to real/session/session*.c. */
#ifndef LSPO_REAL_SESSION_STATE_H
#define LSPO_REAL_SESSION_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/fit.h"
#include "kernels/projector.h"
#include "real/session/session.h"
#include "real/transformer/transformer.h"
#include "real/execute/workers.h"

/* Elements that the CPU optimizer takes at a time: gradient, moments and weights of a block stay in a core's L2 while
 * they are unpacked, updated and packed again. */
enum { LSPO_UPDATE_BLOCK = 16384 };

/* One pair (P, Q) of lsp, and what checks and fits hold of it.  The host fits: where it cannot see device memory, a
 * mirror in its own follows the pair. */
typedef struct {
    lspo_projector_t p, q;           /* their arrays lie in memory                                 */
    lspo_projector_t host_p, host_q; /* ... in mirror, or where there is none in memory             */
    void *memory[2];                 /* device                                                      */
    void *mirror[2];                 /* host; NULL where device memory is the host's                */
    uint32_t weights;                /* how many use it */
    /* Of a micro-batch that checks or decides: weights seen, of these those whose bias is a number, sums of the bias of
     * the pair in use and of the new one. */
    uint32_t visits, counted;
    double in_use, renewed;
    double bias; /* of the pair in use on the pass's first micro-batch, mean over its weights */
    /* Through a calibration pass (lspo_session_take_for_host()): the new pair and the moments of its fit. */
    void *candidate[2];
    float *fit_moments;
    lspo_fit_stream_t fit;
    bool begun;
    /* Host, with checks: rows of p and q as the moments on the CPU knew them before the latest pass, and as it left
     * them. */
    void *known[2], *arrived[2];
} lspo_session_pair_t;

typedef struct {
    lspo_stage_t shape;
    lspo_message_t message;
    size_t linear_elements;           /* of the stage array's head, which the linear tensors fill */
    size_t link_bytes;                /* of the message                                           */
    size_t gradient_count;            /* elements of the gradient that BWD makes                  */
    size_t sent_count;                /* zenflow: of them those that the CPU updates              */
    size_t gpu_moments, host_moments; /* floats of m and v together                     */
    size_t gpu_master;                /* floats of the master behind 16-bit weights that the GPU updates; else 0 */
    bool trained, swapped, updated_on_host, updated_on_gpu;

    /* Device, for the whole session.  Of a swapped stage, weights and optimizer come with SWAP_IN instead.  void:
     * numbers of the device's format. */
    void *weights;
    float *optimizer;                                        /* m, v, master; badam: a part of the session's state */
    lspo_session_pair_t *pair[LSPO_LINEAR_MAX];              /* of the session's; NULL: not projected */
    lspo_projector_t p[LSPO_LINEAR_MAX], q[LSPO_LINEAR_MAX]; /* the pair's                            */
    void *basis[LSPO_LINEAR_MAX];                            /* galore: of the compressed weights (kernels/lowrank.h) */
    void *factors;            /* lora: A and B of each linear weight, as in the message */
    lspo_adapters_t adapters; /* and how the transformer is told of them              */

    /* Device, from the op that takes it to the op that gives it back.  What belongs to a gradient is there for
     * even and odd iterations, since a stale policy has two of them under way. */
    void *output, *saved;
    void *full_gradient; /* galore: from a BWD to its COMPRESS, in a step with new bases the last one */
    void *critical;      /* zenflow: the GPU's part of the gradient, the critical columns of each weight and the rest */
    void *sending;       /* zenflow: the CPU's part */
    void *gradient[2];
    void *packed[2]; /* in the link's format, where that is another */
    void *staging[2];

    /* Host.  `slots` landing buffers, and as many outgoing ones where the master itself cannot be sent. */
    void *landing[2];
    void *outgoing[2];
    float *master;
    float *host_optimizer;                     /* m, v; of a swapped stage the home of m, v, master */
    void *home;                                /* of a swapped stage's weights, as on the device    */
    uint32_t *columns[2][LSPO_LINEAR_MAX];     /* zenflow: splits (kernels/columns.h), of even and odd selections */
    uint32_t *gpu_columns[2][LSPO_LINEAR_MAX]; /* the same for the device; the same arrays where it sees host memory */
    float *window_sum[2];                      /* zenflow: gradients of even and odd windows                      */
} lspo_session_stage_t;

/* What one SWAP_IN brought, and the last op that uses it. */
typedef struct {
    void *memory;
    lspo_op_id_t last_user;
} lspo_swap_use_t;

/* The global norm before clipping and the scale of the loss behind it, by the parity of the step. */
typedef struct {
    float norm[2], scale[2];
} lspo_session_norms_t;

/* The scale of fp16's loss; with `dynamic` it follows the norms. */
typedef struct {
    float now, good_steps; /* floats, as a checkpoint holds them */
    bool dynamic;
} lspo_session_scaling_t;

struct lspo_session {
    const lspo_plan_t *plan;
    lspo_device_t *device;
    lspo_compute_t *compute;
    lspo_number_t number, link; /* formats of the device's arrays and of messages */
    size_t number_bytes;
    bool asynchronous;
    lspo_workers_t *workers; /* the CPU lane's; NULL: it is alone */
    const lspo_text_t *text;
    lspo_first_weights_t first_weights;
    lspo_batch_function_t batches; /* NULL: from the text */
    void *batches_context;
    lspo_rate_function_t rate; /* NULL: the workload's */
    void *rate_context;
    lspo_transformer_t *transformer;
    size_t tokens; /* of a micro-batch */
    uint32_t slots;
    uint32_t stage_count;
    lspo_session_stage_t *stages;
    lspo_session_pair_t *pairs;      /* lsp: LSPO_LINEAR_MAX a stage, each at the first weight that uses it */
    lspo_swap_use_t *swaps;          /* by op id; NULL when the plan swaps nothing */
    bool probes;                     /* lomo: squares are summed by BWDs of that variant */
    float *turn_state;               /* badam: device, m and v of the stages in turn */
    size_t turn_count;               /* floats of it */
    lspo_linear_operands_t operands; /* from a block's BWD to its COMPRESS */
    void *workspace;
    void *scratch;           /* device: of COMPRESS and APPLY */
    size_t scratch_elements; /* zenflow: of it */
    float *unpacked;         /* device: a compressed weight's delta in fp32, when the link carries 16 bits */
    void *dx;
    uint32_t *tokens_in, *targets, *lengths;
    uint32_t *gpu_tokens, *gpu_targets; /* the same for the device; the same arrays where it sees host memory */
    uint32_t *pinned_batch[2];          /* on their way there, tokens, then targets; batch after batch in turn */
    uint32_t batch_count;
    float *carry_scratch;  /* host: of moments carried into new projectors */
    float *update_scratch; /* host: LSPO_UPDATE_BLOCK floats a worker */
    float *row_scratch;    /* host: zenflow, three rows of the widest weight a worker */
    size_t widest_row;     /* zenflow: columns of it */
    double *squares;       /* device: [parity][stage], sums of the squares of the stage's message */
    double *squares_read;  /* host: of one parity */
    double *gpu_loss;      /* device: sum over the targets of the latest FWD of the head */
    double *loss_read;     /* host: where it is read to */
    size_t step_targets;   /* that count, in all micro-batches of the step under way */
    uint32_t empty_steps;  /* in which no target counted */
    size_t loss_targets;   /* what the loss at hand is divided by: those, or a calibration batch's own */
    lspo_session_scaling_t scaling;
    lspo_session_norms_t norms;       /* the GPU lane's */
    lspo_session_norms_t *gpu_norms;  /* device: what the link takes from there ... */
    lspo_session_norms_t *host_norms; /* ... to here */
    double *losses;
    double gradient_norm;     /* of the latest NORM */
    lspo_session_bias_t bias; /* of the latest step with PROJECT ops */
    bool fits;                /* in this calibration pass some bias was above the threshold */
};

/* The step of the whole training that the op's gradient belongs to; it decides which of two buffers it has. */
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

/* Floats of a stage's optimizer on the host. */
static inline size_t lspo_session_host_optimizer_count(const lspo_session_stage_t *stage)
{
    return stage->host_moments + (stage->swapped ? stage->gpu_master : 0);
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

/* The bits that round 16-bit weights at random: a function of the workload's seed and of what is rounded. */
uint64_t lspo_session_rounding_seed(const lspo_session_t *session, uint32_t step, uint32_t stage, uint32_t tensor,
                                    size_t row);

/* What a training begins with. */
lspo_session_scaling_t lspo_session_first_scaling(const lspo_plan_t *plan, lspo_number_t number);
/* What a gradient of this norm and loss scale is multiplied by: clipping, and the scale taken out. */
float lspo_session_gradient_scale(const lspo_session_t *session, float norm, float scale);
/* Whether the step of the op is skipped since its gradient overflowed, as the GPU's or the CPU's lane knows it. */
bool lspo_session_skips_step(const lspo_session_t *session, const lspo_op_t *op, const lspo_session_norms_t *norms);
/* The loss scale of a parity, as that lane knows it. */
float lspo_session_scale_of(const lspo_session_t *session, uint32_t parity, const lspo_session_norms_t *norms);

/* memory.c: fp32 arrays of the host into and out of arrays of the device's numbers, done on return. */
lspo_status_t lspo_session_write_numbers(lspo_session_t *session, size_t n, const float *from, void *to);
lspo_status_t lspo_session_read_numbers(lspo_session_t *session, size_t n, const void *from, float *to);
/* The same where the array is the host's (a swapped stage's home). */
void lspo_session_pack_numbers(lspo_number_t number, size_t n, const float *from, void *to);
void lspo_session_unpack_numbers(lspo_number_t number, size_t n, const void *from, float *to);
/* Memory in which the host computes for the GPU lane: device memory where the host sees that, else the host's. */
lspo_status_t lspo_session_take_for_host(lspo_session_t *session, size_t bytes, void **slot);
void lspo_session_give_back_for_host(lspo_session_t *session, void **slot);
/* host_memory.c: all host memory, reserved; that of a stage, or with `counted` (by purpose, in bytes) what it
 * would be. */
lspo_status_t lspo_session_reserve_host(lspo_session_t *session);
lspo_status_t lspo_session_make_host_state(lspo_session_t *session, uint32_t stage, uint64_t *counted);

/* weights.c: a stage's weights and what follows from them, masters; the seeded ones. */
lspo_status_t lspo_session_store_weights(lspo_session_t *session, uint32_t stage, const float *weights);
lspo_status_t lspo_session_make_weights(lspo_session_t *session, uint32_t stage);
lspo_status_t lspo_session_seed_adapters(lspo_session_t *session, uint32_t stage);

/* The learning rate of a step of the training, and of the op's. */
float lspo_session_rate_at(const lspo_session_t *session, uint32_t step);
float lspo_session_rate(const lspo_session_t *session, const lspo_op_t *op);
/* Tokens, targets and lengths of a micro-batch: from `function`, or from the session's function or text. */
lspo_status_t lspo_session_fill_batch(lspo_session_t *session, lspo_batch_function_t function, void *context,
                                      uint32_t step, uint32_t micro);
lspo_status_t lspo_session_load_batch(lspo_session_t *session, uint32_t step, uint32_t micro);
/* The targets of the batch at hand that count. */
size_t lspo_session_counted_targets(const lspo_session_t *session);
/* Sets step_targets and loads the first micro-batch. */
lspo_status_t lspo_session_begin_step(lspo_session_t *session, uint32_t step);
void lspo_session_upload_batch(lspo_session_t *session);
/* Of a sum over the targets that count; 0 where none does. */
double lspo_session_mean_loss(double sum, size_t targets);
/* Whether the stage's gradient is formed by this op's step. */
bool lspo_session_forms_gradient(const lspo_session_t *session, const lspo_op_t *op, uint32_t stage);

/* columns.c: zenflow.  Creation is after the stages' arrays; release of one stage. */
lspo_status_t lspo_session_columns_create(lspo_session_t *session);
void lspo_session_columns_release(lspo_session_t *session, lspo_session_stage_t *stage);
lspo_status_t lspo_session_columns_select(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_columns_compress(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_columns_update_gpu(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_columns_update_host(lspo_session_t *session, const lspo_op_t *op);
void lspo_session_columns_apply(lspo_session_t *session, const lspo_op_t *op, const void *staging);
lspo_status_t lspo_session_columns_written(lspo_session_t *session, lspo_session_stage_t *stage);
/* host.c: part of what D2H brought, in fp32: where it lies, or unpacked into the worker's scratch. */
const float *lspo_session_landed(lspo_session_t *session, uint32_t worker, const void *landing, size_t at, size_t n);
float *lspo_session_update_scratch(const lspo_session_t *session, uint32_t worker);
/* Scratch of as many workers as there are. */
lspo_status_t lspo_session_make_worker_scratch(lspo_session_t *session);

/* gpu.c: the ops of the GPU lane, apply.c its updates, scaling.c its NORM.  host.c: the
 * ops of the links and of the CPU. */
lspo_status_t lspo_session_update_gpu(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_apply(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_norm(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_gpu_op(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_host_op(lspo_session_t *session, const lspo_op_t *op);

/* pairs.c: lsp's projectors.  Made with the seed, stage after stage from the first; again by reset;
 * released. */
lspo_status_t lspo_session_make_projectors(lspo_session_t *session, uint32_t s);
lspo_status_t lspo_session_reset_projectors(lspo_session_t *session);
void lspo_session_release_projectors(lspo_session_t *session);
/* Another place with the arrays of a projector as they lie in one block. */
lspo_projector_t lspo_session_view_in(const lspo_projector_t *shape, void *memory);
static inline size_t lspo_session_block_bytes(const lspo_projector_t *p)
{
    return lspo_projector_bytes(p->rows, p->d, p->r);
}
/* The mirror's arrays to the device. */
lspo_status_t lspo_session_upload_pair(lspo_session_t *session, lspo_session_pair_t *pair);
/* What the CPU knows is what the device has: after the state was written. */
void lspo_session_learn_projectors(lspo_session_t *session);
/* Whether the weight is the first that uses its pair. */
static inline bool lspo_session_owns_pair(const lspo_session_t *session, uint32_t s, uint32_t i)
{
    return session->stages[s].pair[i] && session->stages[s].pair[i] == &session->pairs[s * LSPO_LINEAR_MAX + i];
}
/* Rows of a pair to the host, and moments into the subspaces of rows that have just arrived: before an update. */
lspo_status_t lspo_session_make_carry(lspo_session_t *session);
void lspo_session_send_projectors(lspo_session_t *session, const lspo_op_t *op);
void lspo_session_carry_moments(lspo_session_t *session, const lspo_op_t *op);

/* project.c: they are checked and fitted by PROJECT. */
lspo_status_t lspo_session_project(lspo_session_t *session, const lspo_op_t *op);
/* Batches of a calibration pass, and whether nothing is left to do in it: all biases were low enough. */
lspo_status_t lspo_session_load_calibration(lspo_session_t *session, const lspo_op_t *op);
bool lspo_session_skips_calibration(const lspo_session_t *session, const lspo_op_t *op);
void lspo_session_drop_candidate(lspo_session_t *session, lspo_session_pair_t *pair);

/* The SWAP_IN of `variant` on which `op` (or the update before it) rests; NULL when the stage is resident. */
lspo_swap_use_t *lspo_session_swap_of(lspo_session_t *session, const lspo_op_t *op, lspo_op_variant_t variant);
/* After `op`: give back what its SWAP_IN brought, if nothing else uses it. */
void lspo_session_swap_drop(lspo_session_t *session, const lspo_op_t *op);

/* Of the message's head, which belongs to the linear weights: under lora as many floats as its factors have. */
size_t lspo_session_factor_count(const lspo_session_stage_t *stage);
/* The adapters of a stage; NULL without any. */
const lspo_adapters_t *lspo_session_adapters(const lspo_session_t *session, uint32_t stage);

/* Device memory into and out of a pointer of the state. */
lspo_status_t lspo_session_take(lspo_session_t *session, size_t bytes, void **slot);
void lspo_session_give_back(lspo_session_t *session, void **slot);

/* Whether the link carries 16 bits. */
bool lspo_session_packs(const lspo_session_t *session);

#endif
