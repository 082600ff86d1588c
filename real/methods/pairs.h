/* pairs.h - pairs of sparse projectors (P, Q), as lsp uses them: made, checked, fitted, sent to the CPU.
 *
 * Each pair belongs to the first weight that uses it: its own, or, where all weights of a shape share one, that of the
 * first block. */
#ifndef LSPO_REAL_METHODS_PAIRS_H
#define LSPO_REAL_METHODS_PAIRS_H

#include "kernels/fit.h"
#include "kernels/projector.h"
#include "real/methods/host_adam.h"

/* One pair, and what checks and fits hold of it.  The host fits: where it cannot see device memory, a mirror in its own
 * follows the pair. */
typedef struct {
    lspo_projector_t p, q;           /* their arrays lie in memory                                 */
    lspo_projector_t host_p, host_q; /* ... in mirror, or where there is none in memory             */
    void *memory[2];                 /* device                                                      */
    void *mirror[2];                 /* host; NULL where device memory is the host's                */
    uint32_t weights;                /* how many use it */
    /* Of a micro-batch that checks or decides: weights visited; how many of them had a finite bias; sums of the bias
     * of the pair in use and of the new one. */
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
} lspo_pair_t;

/* What a stage holds. */
typedef struct {
    lspo_host_adam_t host;                                   /* of the message                     */
    lspo_pair_t own_pairs[LSPO_LINEAR_MAX];                  /* of weights that are the first ones */
    lspo_pair_t *pair[LSPO_LINEAR_MAX];                      /* in use; NULL: not projected        */
    lspo_projector_t p[LSPO_LINEAR_MAX], q[LSPO_LINEAR_MAX]; /* the pair's                         */
} lspo_pairs_stage_t;

/* What the session holds. */
typedef struct {
    void *scratch;        /* device: of COMPRESS and APPLY, which never run at once                            */
    float *unpacked;      /* device: a compressed weight's delta in fp32, when the link carries 16 bits        */
    float *carry_scratch; /* host: of moments carried into new projectors                                      */
    bool fits;            /* in this calibration pass some bias was above the threshold                        */
} lspo_pairs_t;

static inline lspo_pairs_stage_t *lspo_pairs_of(const lspo_session_t *session, uint32_t stage)
{
    return session->stages[stage].own;
}

/* Whether the weight is the first that uses its pair. */
static inline bool lspo_pairs_owns(const lspo_session_t *session, uint32_t s, uint32_t i)
{
    const lspo_pairs_stage_t *own = lspo_pairs_of(session, s);
    return own->pair[i] && own->pair[i] == &own->own_pairs[i];
}

/* Bytes of a projector's arrays, which lie in one block. */
static inline size_t lspo_pairs_block_bytes(const lspo_projector_t *p)
{
    return lspo_projector_bytes(p->rows, p->d, p->r);
}

/* ---- pairs.c ---- */

/* The pairs of a stage, made with the seed, stage after stage from the first; again; released. */
lspo_status_t lspo_pairs_make(lspo_session_t *session, uint32_t s);
lspo_status_t lspo_pairs_reset(lspo_session_t *session);
void lspo_pairs_release(lspo_session_t *session);
/* Another place with the arrays of a projector as they lie in one block. */
lspo_projector_t lspo_pairs_view_in(const lspo_projector_t *shape, void *memory);
/* The mirror's arrays to the device. */
lspo_status_t lspo_pairs_upload(lspo_session_t *session, lspo_pair_t *pair);
/* What the CPU knows is what the device has: after the state was written. */
void lspo_pairs_learn(lspo_session_t *session);
/* Rows of a pair to the host, and moments into the subspaces of rows that have just arrived: before an update. */
lspo_status_t lspo_pairs_make_carry(lspo_session_t *session);
void lspo_pairs_send(lspo_session_t *session, const lspo_op_t *op);
void lspo_pairs_carry_moments(lspo_session_t *session, const lspo_op_t *op);

/* ---- project.c ---- */

/* g (device, m x n) = beta g + X^T dY, the gradient of linear weight i of the block whose backward pass came last. */
void lspo_pairs_form_gradient(lspo_session_t *session, const lspo_projection_t *linear, uint32_t i, float beta,
                              void *g);
/* PROJECT: check the pairs of a stage and fit them anew. */
lspo_status_t lspo_pairs_project(lspo_session_t *session, const lspo_op_t *op);
/* Batches of a calibration pass, and whether nothing is left to do in it: all biases were low enough. */
lspo_status_t lspo_pairs_load_calibration(lspo_session_t *session, const lspo_op_t *op);
bool lspo_pairs_skip_calibration(const lspo_session_t *session, const lspo_op_t *op);
/* Give back what a fit holds. */
void lspo_pairs_drop_candidate(lspo_session_t *session, lspo_pair_t *pair);

#endif
