/* session_state.h - what a session holds; private to real/session*.c. */
#ifndef LSPO_REAL_SESSION_STATE_H
#define LSPO_REAL_SESSION_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/fit.h"
#include "kernels/projector.h"
#include "real/session.h"
#include "real/transformer.h"

/* Elements that the CPU optimizer takes at a time: gradient, moments and weights of a block stay in a core's L2 while
 * they are unpacked, updated and packed again. */
enum { LSPO_UPDATE_BLOCK = 16384 };

/* One pair (P, Q) of lsp, and what checks and fits hold of it. */
typedef struct {
    lspo_projector_t p, q; /* their arrays lie in memory */
    void *memory[2];       /* device */
    uint32_t weights;      /* how many use it */
    /* Of a micro-batch that checks or decides: weights seen, of these those whose bias is a number, sums of the bias of
     * the pair in use and of the new one. */
    uint32_t visits, counted;
    double in_use, renewed;
    double bias; /* of the pair in use on the pass's first micro-batch, mean over its weights */
    /* Device, through a calibration pass: the new pair and the moments of its fit. */
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
    size_t gradient_count;            /* floats of the gradient that BWD makes                    */
    size_t sent_count;                /* zenflow: of them those that the CPU updates              */
    size_t gpu_moments, host_moments; /* floats of m and v together                     */
    bool trained, swapped, updated_on_host, updated_on_gpu;

    /* Device, for the whole session.  Of a swapped stage, weights and optimizer come with SWAP_IN instead. */
    float *weights;
    float *optimizer;                                        /* m, then v; badam: a part of the session's state */
    lspo_session_pair_t *pair[LSPO_LINEAR_MAX];              /* of the session's; NULL: not projected */
    lspo_projector_t p[LSPO_LINEAR_MAX], q[LSPO_LINEAR_MAX]; /* the pair's                            */
    float *basis[LSPO_LINEAR_MAX];                           /* galore: of the compressed weights (kernels/lowrank.h) */
    float *factors;           /* lora: A and B of each linear weight, as in the message */
    lspo_adapters_t adapters; /* and how the transformer is told of them              */

    /* Device, from the op that takes it to the op that gives it back.  What belongs to a gradient is there for
     * even and odd iterations, since a stale policy has two of them under way. */
    float *output, *saved;
    float *critical; /* zenflow: the GPU's part of the gradient, the critical columns of each weight and the rest */
    void *sending;   /* zenflow: the CPU's part */
    float *gradient[2];
    uint16_t *packed[2];
    void *staging[2];

    /* Host.  `slots` landing buffers, and as many outgoing ones where the master itself cannot be sent. */
    void *landing[2];
    void *outgoing[2];
    float *master;
    float *host_optimizer;                 /* m, then v; of a swapped stage their home */
    float *home;                           /* of a swapped stage's weights             */
    uint32_t *columns[2][LSPO_LINEAR_MAX]; /* zenflow: splits (kernels/columns.h), of even and odd selections */
    float *window_sum[2];                  /* zenflow: gradients of even and odd windows                      */
} lspo_session_stage_t;

/* What one SWAP_IN brought, and the last op that uses it. */
typedef struct {
    void *memory;
    lspo_op_id_t last_user;
} lspo_swap_use_t;

struct lspo_session {
    const lspo_plan_t *plan;
    lspo_device_t *device;
    const lspo_text_t *text;
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
    float *scratch;  /* device: of COMPRESS and APPLY */
    float *unpacked; /* device: a delta in fp32, when the link carries 16 bits */
    float *dx;
    float *full_gradient; /* device: galore's, from a block's BWD to its COMPRESS */
    uint32_t *tokens_in, *targets, *lengths;
    float *carry_scratch;  /* host: of moments carried into new projectors */
    float *update_scratch; /* host: LSPO_UPDATE_BLOCK floats */
    float *row_scratch;    /* host: zenflow, three rows of the widest weight */
    double *squares;       /* [iteration parity][stage]: sum of the squares of the stage's message */
    float norm_gpu[2], norm_host[2];
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

/* The learning rate of a step of the training, and of the op's. */
float lspo_session_rate_at(const lspo_session_t *session, uint32_t step);
float lspo_session_rate(const lspo_session_t *session, const lspo_op_t *op);
/* Tokens, targets and lengths of a micro-batch: from `function`, or from the session's function or text. */
lspo_status_t lspo_session_fill_batch(lspo_session_t *session, lspo_batch_function_t function, void *context,
                                      uint32_t step, uint32_t micro);
lspo_status_t lspo_session_load_batch(lspo_session_t *session, uint32_t step, uint32_t micro);

/* session_columns.c: zenflow.  Creation is after the stages' arrays; release of one stage. */
lspo_status_t lspo_session_columns_create(lspo_session_t *session);
void lspo_session_columns_release(lspo_session_t *session, lspo_session_stage_t *stage);
void lspo_session_columns_select(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_columns_compress(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_columns_update_gpu(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_columns_update_host(lspo_session_t *session, const lspo_op_t *op);
void lspo_session_columns_apply(lspo_session_t *session, const lspo_op_t *op, const void *staging);
/* session_host.c: part of what D2H brought, in fp32: where it lies, or unpacked into update_scratch. */
const float *lspo_session_landed(lspo_session_t *session, const void *landing, size_t at, size_t n);

/* session_gpu.c: the ops of the GPU lane.  session_host.c: those of the links and of the CPU. */
lspo_status_t lspo_session_gpu_op(lspo_session_t *session, const lspo_op_t *op);
lspo_status_t lspo_session_host_op(lspo_session_t *session, const lspo_op_t *op);

/* session_pairs.c: lsp's projectors.  Made with the seed, stage after stage from the first; again by reset; released. */
lspo_status_t lspo_session_make_projectors(lspo_session_t *session, uint32_t s);
lspo_status_t lspo_session_reset_projectors(lspo_session_t *session);
void lspo_session_release_projectors(lspo_session_t *session);
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

/* session_project.c: they are checked and fitted by PROJECT. */
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

/* The fp32 <-> link formats of `plan->workload.transfer` (not fp32). */
void lspo_session_pack(const lspo_session_t *session, size_t n, const float *in, uint16_t *out);
void lspo_session_unpack(const lspo_session_t *session, size_t n, const uint16_t *in, float *out);

bool lspo_session_packs(const lspo_session_t *session);
/* min(1, clip / norm); 1 without clipping. */
float lspo_session_clip_scale(const lspo_session_t *session, float norm);

#endif
