/* gradients.h - gradients of a model in training, and how much of them each way of compressing keeps.
 *
 * A plan is played on a device, so that the gradients are those of a model that learns; then G = X^T dY of one block's
 * linear weights is formed for batches that were not trained on: calibration ones from the training text, validation
 * ones from the held-out text.  On both the relative bias ||E(G) - G||_F / ||G||_F of an estimate E is
 *     raw        E = P P^T G Q Q^T, P and Q random                                        [arXiv 2406.10181, Def. 1]
 *     random     the same times its best scalar, found anew for each gradient: never above 1
 *     learned    P and Q fitted on the calibration gradients (kernels/fit.h), times its best scalar as well
 *     low rank   E = A A^T G or G A A^T, A: leading singular vectors of the mean calibration gradient
 *                (kernels/lowrank.h)
 * each averaged over the gradients of a set.  No estimate of rank k has less than floor_k = sqrt(1 - sum of the k
 * largest squared singular values / ||G||^2).
 *
 * Equal extra GPU memory: of the pair, what lspo_projector_bytes() counts (values and indices, in both orders); of
 * GaLore at rank k, 4 k (s + 3 l) bytes, s and l the shorter and the longer side: basis, gradient and Adam's moments in
 * fp32.  Or as Table 2 of the paper counts, in numbers: (m + n) r against k (s + 3 l).  The first gives GaLore about
 * four times the rank.
 */
#ifndef LSPO_REAL_TRAIN_GRADIENTS_H
#define LSPO_REAL_TRAIN_GRADIENTS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/plan.h"
#include "real/session/session.h"

typedef struct {
    const lspo_plan_t *plan; /* what trains: its policy, its iterations                      */
    const char *device;
    const char *text_path;                        /* NULL: the machine's own, see real/data/text.h               */
    uint32_t stage;                               /* a block                                                */
    uint32_t calibration_count, validation_count; /* gradients of each set, 1..LSPO_GRADIENTS_MAX           */
    const atomic_int *stop;                       /* nonzero: LSPO_ERR_INTERRUPTED; may be NULL */
    lspo_tokenizer_t *tokenizer;                  /* NULL: tokens are bytes */
    lspo_first_weights_t first_weights;           /* of the model that trains */
} lspo_gradients_options_t;

enum { LSPO_GRADIENTS_MAX = 64 };

typedef struct {
    lspo_stage_t shape; /* of the stage; its linear tensors are those that follow */
    uint64_t linear_elements;
    uint32_t calibration_count, validation_count;
    float *values; /* (calibration + validation) x linear_elements */
    float *update; /* linear_elements: weights after the training minus those before */
    double loss_first, loss_last;
} lspo_gradients_t;

/* LSPO_ERR_INPUT for a stage that is no block, counts out of range, and what a session refuses; LSPO_ERR_FIT,
 * LSPO_ERR_NUMERIC, LSPO_ERR_MEMORY.  Released by the caller. */
lspo_status_t lspo_gradients_collect(const lspo_gradients_options_t *options, lspo_gradients_t *gradients_out);
void lspo_gradients_release(lspo_gradients_t *gradients);

/* Gradient `index` (calibration first) of a linear tensor: rows x cols. */
const float *lspo_gradients_at(const lspo_gradients_t *gradients, uint32_t index, uint32_t tensor);

typedef struct {
    double raw, random, learned;
    double lowrank, lowrank_formula; /* at equal bytes; at the paper's equal count of numbers */
} lspo_bias_set_t;

typedef struct {
    const char *tensor;                       /* static */
    uint32_t rows, cols, d_rows, d_cols, nnz; /* nnz: of a row of P */
    lspo_bias_set_t calibration, validation;
    double floor;         /* at rank min(d_rows, d_cols), which no pair exceeds: mean over the validation set */
    double floor_lowrank; /* at GaLore's rank at equal bytes                                  */
    uint32_t lowrank_rank, lowrank_formula_rank; /* 0: not one column fits; biases are then 1                       */
    uint64_t projector_bytes, lowrank_bytes;
    uint32_t fit_steps;
    double fit_s;
    const char *fit_reason; /* static */
    uint32_t update_rank;   /* numerical rank of `update`                                                 */
} lspo_bias_report_t;

/* Compare on one linear tensor, with d, r, seed and the fit's settings from the workload.  LSPO_ERR_INPUT when the
 * weight is sent uncompressed at this d, LSPO_ERR_MEMORY, LSPO_ERR_NUMERIC when a gradient is zero or not finite. */
lspo_status_t lspo_gradients_compare(const lspo_gradients_t *gradients, uint32_t tensor,
                                     const lspo_workload_t *workload, lspo_bias_report_t *report_out);

/* Largest rank at equal memory, see above; at most min(m, n). */
uint32_t lspo_gradients_lowrank_rank(uint32_t m, uint32_t n, uint64_t bytes);

/* Singular values above 1e-4 of the largest, by LAPACK's dgesdd in double; 0 for a zero matrix.  LSPO_ERR_MEMORY,
 * LSPO_ERR_NUMERIC when `values` (m x n, row-major) is not finite. */
lspo_status_t lspo_gradients_rank(uint32_t m, uint32_t n, const float *values, uint32_t *rank_out);

#endif
