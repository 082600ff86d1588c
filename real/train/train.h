/* train.h - fine-tuning: many steps of one plan, with a schedule, evaluation, checkpoints and metrics.
 *
 * A training is a chain of *segments*: plans of a few steps of one policy, played one after the other by the executor
 * (real/session/session.h).  Between two segments nothing runs; there weights are evaluated and copied for a
 * checkpoint.  A request to stop ends the segment after the steps that have begun.  Segment boundaries do not change
 * results: the weights after n steps are bit-identical for any segment length, and whether or not the training was
 * resumed.
 *
 * A resumed training may have more steps than before.  From there on its learning rates follow the new number of steps,
 * so the result differs from a training that had this number from the beginning, unless the rate is constant.  A stale
 * policy then continues from the newest checkpoint before the old end, because the last one has no pending update.
 *
 * With keep_best the weights with the lowest held-out loss of all evaluations, including the one before the first step,
 * are kept in host memory and in every checkpoint.  An early stop does not apply the pending update of a stale policy:
 * the last weights are those that were evaluated.
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
#include "real/data/dataset.h"
#include "real/device/device.h"
#include "real/train/checkpoint.h"
#include "real/train/schedule.h"

typedef struct {
    uint32_t step, steps; /* steps done; steps in all */
    double loss;          /* of the latest step                             */
    double held_out_loss; /* the latest; NaN: none */
    lspo_scores_t scores; /* the latest, of a classifier */
    double tokens_per_s;  /* of the latest segment                          */
    double remaining_s;   /* at the speed of this run so far */
    double predicted_s;   /* remaining time by the simulation; NaN: not known */
} lspo_train_progress_t;

typedef struct {
    lspo_model_t model;
    lspo_workload_t workload; /* iterations: most steps per segment; learning_rate: the peak */
    const lspo_policy_t *policy;
    const lspo_dataset_t *data;
    const char *device;
    lspo_device_caps_t caps;
    uint32_t cpu_threads; /* workers of the CPU lane; 0: lspo_topology_workers() */
    uint32_t steps, warmup_steps;
    double min_learning_rate;
    uint32_t eval_every;             /* steps between evaluations; 0: only before the first and after the last */
    uint32_t eval_batches;           /* most batches per evaluation, spread over the held-out rows */
    uint32_t patience;               /* stop after this many evaluations without a new best; 0: never */
    bool keep_best;                  /* save the weights of the best evaluation at the end, not the last ones */
    const char *output;              /* folder of checkpoints; NULL: none */
    uint32_t checkpoint_every, keep; /* checkpoint_every 0: at the end only */
    bool resume;
    const char *metrics_path; /* NULL: none */
    double predicted_step_s;  /* NaN: not known */
    /* Initial weights of a stage, as in lspo_first_weights_t. */
    lspo_status_t (*load)(void *context, uint32_t stage, float *weights, bool *given_out);
    /* Called at the end with the weights of all stages (lora: adapters merged), with keep_best those of the best
     * evaluation; may be NULL. */
    lspo_status_t (*save)(void *context, const float *const *stages);
    void *model_context; /* of both */
    /* Nonzero: finish the step without pacing, write a checkpoint, return LSPO_ERR_INTERRUPTED.  An evaluation is
     * interrupted between two batches; a resumed training repeats it first. */
    const atomic_int *stop;
    void (*progress)(void *context, const lspo_train_progress_t *progress); /* may be NULL */
    /* Called during work other than steps: "loading weights", "evaluating", "fitting projectors"; the last on the GPU
     * lane's thread. */
    void (*phase)(void *context, const char *phase, uint32_t done, uint32_t of); /* may be NULL */
    void *progress_context;
} lspo_train_options_t;

typedef struct {
    lspo_train_state_t state;
    uint32_t steps_run; /* in this run */
    uint32_t resumed_from;
    double load_s;                  /* until the first evaluation: weights, checkpoint, memory */
    double step_s;                  /* measured mean of this run, without fits of projectors; NaN: no steps */
    double fit_s;                   /* lsp: time of fits in this run */
    double checkpoint_s;            /* time that training waited for checkpoints in this run */
    uint64_t checkpoint_copy_bytes; /* host memory for a copy of the state; 0: none */
    double tokens_per_s;
    uint64_t peak_gpu_bytes;
} lspo_train_result_t;

/* Train.  LSPO_ERR_INPUT if the session refuses the plan, or if the dataset's shape or a checkpoint's settings do not
 * match, LSPO_ERR_FIT, LSPO_ERR_NUMERIC naming step and stage, LSPO_ERR_INTERRUPTED after a checkpoint was written,
 * LSPO_ERR_IO. */
lspo_status_t lspo_train(const lspo_train_options_t *options, lspo_train_result_t *result_out);

#endif
