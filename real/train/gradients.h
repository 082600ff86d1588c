/* gradients.h - the gradients of a model in training, and how well each compression method preserves them.
 *
 * A plan trains a model on a device.  Then the gradient G = X^T dY of each linear weight of one block is computed for
 * batches that were not used in training: calibration batches from the training text, validation batches from the
 * held-out text.  For both sets the relative bias ||E(G) - G||_F / ||G||_F is computed, with these estimates E:
 *     raw        E = P P^T G Q Q^T, P and Q random                                        [arXiv 2406.10181, Def. 1]
 *     random     the same times the best scalar for each gradient; the bias never exceeds 1
 *     learned    P and Q fitted on the calibration gradients (kernels/fit.h), times the best scalar too
 *     low rank   E = A A^T G or G A A^T, A: leading singular vectors of the mean calibration gradient
 *                (kernels/lowrank.h)
 * and averaged over the gradients of the set.  No estimate of rank k has a bias below floor_k = sqrt(1 - sum of the k
 * largest squared singular values / ||G||^2).
 *
 * GaLore's rank is chosen for equal extra GPU memory, counted in two ways.  In bytes: the projectors take
 * lspo_projector_bytes() (values and indices, in both orders), GaLore at rank k takes 4 k (s + 3 l) bytes (s and l:
 * shorter and longer side) for basis, gradient and Adam's moments in fp32.  In numbers, as in Table 2 of the paper: (m
 * + n) r against k (s + 3 l).  The first count gives GaLore about four times the rank.
 */
#ifndef LSPO_REAL_TRAIN_GRADIENTS_H
#define LSPO_REAL_TRAIN_GRADIENTS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/plan.h"
#include "real/session/session.h"

typedef struct {
    const lspo_plan_t *plan; /* the training: policy and iterations */
    const char *device;
    const char *text_path;                        /* NULL: the machine's own text, see real/data/text.h */
    uint32_t stage;                               /* a block                                                */
    uint32_t calibration_count, validation_count; /* gradients of each set, 1..LSPO_GRADIENTS_MAX           */
    const atomic_int *stop;                       /* nonzero: LSPO_ERR_INTERRUPTED; may be NULL */
    lspo_tokenizer_t *tokenizer;                  /* NULL: tokens are bytes */
    lspo_first_weights_t first_weights;           /* of the model that trains */
} lspo_gradients_options_t;

enum { LSPO_GRADIENTS_MAX = 64 };

typedef struct {
    lspo_stage_t shape; /* of the stage; the gradients are those of its linear tensors */
    uint64_t linear_elements;
    uint32_t calibration_count, validation_count;
    float *values; /* (calibration + validation) x linear_elements */
    float *update; /* linear_elements: weights after the training minus those before */
    double loss_first, loss_last;
} lspo_gradients_t;

/* LSPO_ERR_INPUT if the stage is not a block, if a count is out of range, or if the session refuses the plan;
 * LSPO_ERR_FIT, LSPO_ERR_NUMERIC, LSPO_ERR_MEMORY. The caller releases *gradients_out. */
lspo_status_t lspo_gradients_collect(const lspo_gradients_options_t *options, lspo_gradients_t *gradients_out);
void lspo_gradients_release(lspo_gradients_t *gradients);

/* Host memory that lspo_gradients_collect() holds at its peak beside the training: the gradients, the update, a copy of
 * all weights, and the activations and workspace of one backward pass in fp32.  Uses plan, stage and counts. */
uint64_t lspo_gradients_bytes(const lspo_gradients_options_t *options);

/* Gradient `index` (calibration first) of a linear tensor: rows x cols. */
const float *lspo_gradients_at(const lspo_gradients_t *gradients, uint32_t index, uint32_t tensor);

typedef struct {
    double raw, random, learned;
    double lowrank, lowrank_formula; /* ranks at equal bytes; at an equal count of numbers, as in the paper */
} lspo_bias_set_t;

typedef struct {
    const char *tensor;                       /* static */
    uint32_t rows, cols, d_rows, d_cols, nnz; /* nnz: nonzeros per row of P */
    lspo_bias_set_t calibration, validation;
    double floor;         /* at rank min(d_rows, d_cols), the largest of a pair: mean over the validation set */
    double floor_lowrank; /* at GaLore's rank at equal bytes                                  */
    uint32_t lowrank_rank, lowrank_formula_rank; /* 0: no column fits; the biases are then 1 */
    uint64_t projector_bytes, lowrank_bytes;
    uint32_t fit_steps;
    double fit_s;
    const char *fit_reason; /* static */
    uint32_t update_rank;   /* numerical rank of `update`                                                 */
} lspo_bias_report_t;

/* Compare the methods on one linear tensor, with d, r, seed and the fit's settings from the workload.  LSPO_ERR_INPUT
 * if the weight is sent uncompressed at this d, LSPO_ERR_MEMORY, LSPO_ERR_NUMERIC if a gradient is zero or not
 * finite. */
lspo_status_t lspo_gradients_compare(const lspo_gradients_t *gradients, uint32_t tensor,
                                     const lspo_workload_t *workload, lspo_bias_report_t *report_out);

/* Largest rank at equal memory, see above; at most min(m, n). */
uint32_t lspo_gradients_lowrank_rank(uint32_t m, uint32_t n, uint64_t bytes);

/* The number of singular values above 1e-4 times the largest, by LAPACK's dgesdd in double; 0 for a zero matrix.
 * LSPO_ERR_MEMORY, LSPO_ERR_NUMERIC if `values` (m x n, row-major) is not finite. */
lspo_status_t lspo_gradients_rank(uint32_t m, uint32_t n, const float *values, uint32_t *rank_out);

#endif
