/* train.h - fine-tuning: many steps of one plan, with a schedule, evaluation, checkpoints and metrics.
 *
 * A training is a chain of *segments*: plans of a few steps of one policy, played one after the other by the executor
 * (real/session/session.h).  Between two of them nothing runs: there weights are evaluated and copied for a checkpoint.
 * An end that is asked for cuts the segment behind the steps that have begun.  Where the cuts lie changes no number:
 * weights after n steps are the same, bit for bit, for any length of segments and whether or not the training was
 * resumed.
 *
 * A resumed training may have more steps than it was begun with: its rates are those of the new number from there on,
 * so that it ends elsewhere than one that had them from the beginning, unless the rate is constant.  A stale policy
 * then goes on from the newest checkpoint before its end, since that one has no pending update.
 *
 * With keep_best the weights of the evaluation with the lowest held-out loss, the one before the first step included,
 * are kept in host memory and in every checkpoint.  An early stop leaves out the pending update of a stale policy: the
 * last weights are those that were evaluated.
 *
 * Learning rate of step s (from 0) of n, with w steps of warm-up, peak rate p and last rate q:
 *     s < w:   p (s + 1) / w
 *     else:    q + (p - q) (1 + cos(pi (s - w) / (n - w))) / 2        [Loshchilov, Hutter, arXiv 1608.03983, eq. 5]
 */
#ifndef LSPO_REAL_TRAIN_TRAIN_H
#define LSPO_REAL_TRAIN_TRAIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "plan/policy.h"
#include "real/train/checkpoint.h"
#include "real/data/dataset.h"
#include "real/device/device.h"
#include "real/train/schedule.h"

typedef struct {
    uint32_t step, steps; /* done, of                                     */
    double loss;          /* of the latest step                             */
    double held_out_loss; /* latest; NaN: none                            */
    double accuracy;      /* latest, of a classifier; NaN: none             */
    double tokens_per_s;  /* of the latest segment                          */
    double remaining_s;   /* at the pace of this sitting                    */
    double predicted_s;   /* remaining, as simulated; NaN: not known      */
} lspo_train_progress_t;

typedef struct {
    lspo_model_t model;
    lspo_workload_t workload; /* iterations: steps a segment at most; learning_rate: the peak */
    const lspo_policy_t *policy;
    const lspo_dataset_t *data;
    const char *device;
    lspo_device_caps_t caps;
    uint32_t cpu_threads; /* workers of the CPU lane; 0: as lspo_topology_workers() says */
    uint32_t steps, warmup_steps;
    double min_learning_rate;
    uint32_t eval_every;             /* steps between two evaluations; 0: before the first and after the last only */
    uint32_t eval_batches;           /* at most, spread over the held-out rows                                    */
    uint32_t patience;               /* evaluations without a new best before the training stops; 0: it never does */
    bool keep_best;                  /* the weights of the best evaluation are saved at the end, not the last ones */
    const char *output;              /* folder of checkpoints; NULL: none                                         */
    uint32_t checkpoint_every, keep; /* 0: at the end only                                              */
    bool resume;
    const char *metrics_path; /* NULL: none */
    double predicted_step_s;  /* NaN: not known */
    /* First weights of a stage, as lspo_first_weights_t gives them. */
    lspo_status_t (*load)(void *context, uint32_t stage, float *weights, bool *given_out);
    /* Called at the end with the weights of all stages (lora: adapters merged), with keep_best those of the best
     * evaluation; NULL: not. */
    lspo_status_t (*save)(void *context, const float *const *stages);
    void *model_context;    /* of both */
    const atomic_int *stop; /* nonzero: finish the step, unpaced, write a checkpoint, return LSPO_ERR_INTERRUPTED; an
                              * evaluation ends between two batches, and a resumed training begins with it */
    void (*progress)(void *context, const lspo_train_progress_t *progress); /* may be NULL */
    /* What is under way when no step is: "loading weights", "evaluating", "fitting projectors"; the last on the GPU
     * lane's thread. */
    void (*phase)(void *context, const char *phase, uint32_t done, uint32_t of); /* may be NULL */
    void *progress_context;
} lspo_train_options_t;

typedef struct {
    lspo_train_state_t state;
    uint32_t steps_run; /* in this sitting */
    uint32_t resumed_from;
    double load_s;       /* from the call to the first evaluation: weights, checkpoint, memory            */
    double step_s;       /* measured mean of this sitting, without fits of projectors; NaN when it ran none */
    double fit_s;        /* lsp: in this sitting's fits                                                    */
    double checkpoint_s; /* that the training stood still for this sitting's checkpoints      */
    uint64_t checkpoint_copy_bytes; /* of host memory for a copy of the state; 0: none                   */
    double tokens_per_s;
    uint64_t peak_gpu_bytes;
} lspo_train_result_t;

/* Train.  LSPO_ERR_INPUT for what the session, the dataset's shape or a checkpoint's settings do not allow,
 * LSPO_ERR_FIT, LSPO_ERR_NUMERIC with step and stage named, LSPO_ERR_INTERRUPTED after a checkpoint was written,
 * LSPO_ERR_IO. */
lspo_status_t lspo_train(const lspo_train_options_t *options, lspo_train_result_t *result_out);

#endif
