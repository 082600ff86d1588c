/* pairs.h - the pairs of sparse projectors (P, Q) of lsp: create, check, fit them and send them to the CPU.
 *
 * Each pair belongs to the first weight that uses it; if all weights of a shape share a pair, that is in the first
 * block. */
#ifndef LSPO_REAL_METHODS_PAIRS_H
#define LSPO_REAL_METHODS_PAIRS_H

#include "kernels/fit.h"
#include "kernels/projector.h"
#include "real/methods/gpu_bases.h"

/* One pair, with the state of its checks and fits.  The host does the fits; if it cannot see device memory, it keeps a
 * mirror of the pair. */
typedef struct {
    lspo_projector_t p, q;           /* their arrays are in memory                                  */
    lspo_projector_t host_p, host_q; /* in mirror, or in memory without a mirror                    */
    void *memory[2];                 /* device                                                      */
    void *mirror[2];                 /* host; NULL if the host sees device memory                   */
    uint32_t weights;                /* that use this pair */
    /* Of a micro-batch that checks or decides: weights visited; how many of them had a finite bias; sums of the bias
     * of the pair in use and of the new one. */
    uint32_t visits, counted;
    double in_use, renewed;
    double bias; /* of the pair in use on the pass's first micro-batch, mean over its weights */
    /* During a calibration pass (lspo_session_take_for_host()): the new pair and the moments of its fit. */
    void *candidate[2];
    float *fit_moments;
    lspo_fit_stream_t fit;
    bool begun;
    /* Host, with checks: rows of p and q that belong to the moments on the CPU, and the rows after the latest pass. */
    void *known[2], *arrived[2];
} lspo_pair_t;

/* The state of a stage. */
typedef struct {
    lspo_host_adam_t host;                                   /* of the message                     */
    lspo_gpu_adam_t gpu;                                     /* of a stage that is updated there   */
    lspo_eigen_t eigen;                                      /* of its linear weights              */
    lspo_gpu_bases_t gpu_bases;                              /* the same on the GPU                */
    lspo_pair_t own_pairs[LSPO_LINEAR_MAX];                  /* of weights that are the first ones */
    lspo_pair_t *pair[LSPO_LINEAR_MAX];                      /* current; NULL: not projected       */
    lspo_projector_t p[LSPO_LINEAR_MAX], q[LSPO_LINEAR_MAX]; /* the pair's                         */
} lspo_pairs_stage_t;

/* The state of the session. */
typedef struct {
    void *scratch;        /* device: for COMPRESS and APPLY, which never run at the same time            */
    float *unpacked;      /* device: a compressed weight's delta in fp32, if the link has 16 bits        */
    float *carry_scratch; /* host: for moments transformed to new projectors, unless they are in a basis  */
    lspo_eigen_scratch_t eigen, gpu_eigen;
    lspo_gpu_bases_scratch_t gpu_bases;
    bool fits; /* some bias of this calibration pass was above the threshold                  */
} lspo_pairs_t;

static inline lspo_pairs_stage_t *lspo_pairs_of(const lspo_session_t *session, uint32_t stage)
{
    return session->stages[stage].own;
}

/* Is the weight the first one that uses its pair? */
static inline bool lspo_pairs_owns(const lspo_session_t *session, uint32_t s, uint32_t i)
{
    const lspo_pairs_stage_t *own = lspo_pairs_of(session, s);
    return own->pair[i] && own->pair[i] == &own->own_pairs[i];
}

/* Bytes of a projector's arrays, which are in one block. */
static inline size_t lspo_pairs_block_bytes(const lspo_projector_t *p)
{
    return lspo_projector_bytes(p->rows, p->d, p->r);
}

/* ---- pairs.c ---- */

/* Create the pairs of a stage from the seed, stage after stage from the first; create them again; release them. */
lspo_status_t lspo_pairs_make(lspo_session_t *session, uint32_t s);
lspo_status_t lspo_pairs_reset(lspo_session_t *session);
void lspo_pairs_release(lspo_session_t *session);
/* The projector with the same layout of its arrays in another block of memory. */
lspo_projector_t lspo_pairs_view_in(const lspo_projector_t *shape, void *memory);
/* Copy the mirror's arrays to the device. */
lspo_status_t lspo_pairs_upload(lspo_session_t *session, lspo_pair_t *pair);
/* After the state was written: the moments on the CPU belong to the projectors on the device. */
void lspo_pairs_learn(lspo_session_t *session);
/* Without a gradient yet: Adam's bases are those that whiten the pairs. */
lspo_status_t lspo_pairs_begin_bases(lspo_session_t *session);
/* Send the rows of a pair to the host, and transform moments to the subspace of newly arrived rows, before an
 * update. */
lspo_status_t lspo_pairs_make_carry(lspo_session_t *session);
void lspo_pairs_send(lspo_session_t *session, const lspo_op_t *op);
void lspo_pairs_carry_moments(lspo_session_t *session, const lspo_op_t *op);

/* ---- project.c ---- */

/* g (device, m x n) = beta g + X^T dY, the gradient of linear weight i of the block with the latest backward pass. */
void lspo_pairs_form_gradient(lspo_session_t *session, const lspo_projection_t *linear, uint32_t i, float beta,
                              void *g);
/* PROJECT: check the pairs of a stage and fit them again. */
lspo_status_t lspo_pairs_project(lspo_session_t *session, const lspo_op_t *op);
/* Load the batches of a calibration pass; and is the rest of the pass skipped because all biases were low enough? */
lspo_status_t lspo_pairs_load_calibration(lspo_session_t *session, const lspo_op_t *op);
bool lspo_pairs_skip_calibration(const lspo_session_t *session, const lspo_op_t *op);
/* Give back the memory of a fit. */
void lspo_pairs_drop_candidate(lspo_session_t *session, lspo_pair_t *pair);

#endif
