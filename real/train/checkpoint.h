/* checkpoint.h - a training's state on disk: written whole or not at all, and read back only where it fits.
 *
 * A checkpoint is a folder FOLDER/step-0000000120 with
 *     state.safetensors   every array of the session (real/session/session.h)
 *     state.json          the step, what early stopping remembers, the settings that decide the numbers, a hash (XXH3,
 *                         64 bits) of each array and one of all else in it
 * It is written under a name that begins with a dot, flushed to disk and renamed, and only then are older ones removed;
 * so that whatever happens, the newest step-... is complete.  Equal training gives equal state.safetensors, byte for
 * byte.  A checkpoint that is damaged all the same is set aside as damaged-step-..., and the one before it taken.
 */
#ifndef LSPO_REAL_TRAIN_CHECKPOINT_H
#define LSPO_REAL_TRAIN_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "real/session/session.h"

/* One setting that a training must not change when it resumes: a flag and its value. */
typedef struct {
    char key[40]; /* as the flag is called, without dashes */
    char value[128];
    bool tolerated; /* another value is warned of: it goes on, but rounds otherwise */
} lspo_setting_t;

typedef struct {
    uint32_t step;          /* steps done                                                      */
    uint32_t steps;         /* that the training is to have                                    */
    double elapsed_s;       /* of training, over all its sittings                              */
    double loss_first;      /* training loss of the first step; NaN: none                      */
    double loss_last;       /* and of the latest                                               */
    double held_out_before; /* held-out loss before the first step; NaN: not known            */
    double held_out_last;   /* and the latest                                                  */
    double best_loss;       /* the lowest held-out loss; NaN: none yet                         */
    uint32_t best_step;     /* where it was                                                    */
    double accuracy_before; /* held-out accuracy of a classifier before the first step; NaN: none */
    double accuracy_last;   /* and the latest                                                  */
    double accuracy_best;   /* and at best_step                                                */
    uint32_t worse_count;   /* evaluations since                                               */
    uint64_t refits;        /* lsp: weights whose projectors were fitted anew */
    bool evaluation_due;    /* an interrupt ended the evaluation after `step`: a resumed training begins with it */
    bool finished;          /* all steps done, or stopped early: there is nothing to resume */
} lspo_train_state_t;

/* What is written, and where it is read to. */
typedef struct {
    lspo_train_state_t *state;
    const lspo_setting_t *settings;
    size_t setting_count;
    const lspo_state_array_t *arrays;
    size_t array_count;
    /* May be NULL.  Called with MB of arrays written or read, on the thread that does so. */
    void (*progress)(void *context, uint32_t done_mb, uint32_t of_mb);
    void *progress_context;
} lspo_checkpoint_t;

/* Make `folder` (and its parents) ready and lock it until the descriptor that comes back is closed or the process ends:
 * remove what a killed run left half-written.  LSPO_ERR_INPUT when another training has it locked, or when it holds
 * checkpoints and `resume` is false, since they would be overwritten; LSPO_ERR_IO when it cannot be made. */
lspo_status_t lspo_checkpoint_prepare(const char *folder, bool resume, int *lock_out);

/* Write one and prune.  LSPO_ERR_IO leaves those before as they are.  May run on any thread, one call
 * at a time. */
lspo_status_t lspo_checkpoint_write(const char *folder, const lspo_checkpoint_t *checkpoint, uint32_t keep);

/* Of those up to `step` remove all but the newest `keep`: what a run that was killed between a write and its end left
 * over.  With `beyond` those of later steps go too: writing does so, since the training has taken another way from
 * here. */
lspo_status_t lspo_checkpoint_prune(const char *folder, uint32_t step, uint32_t keep, bool beyond);

/* Read the newest that is whole into state and arrays; *found_out is false when there is none at all.  Damaged ones are
 * set aside, with a warning; with `undrained` so are those, left where they are, that end a training of fewer steps
 * than state->steps, which have no updates to go on with (real/train/train.h).  LSPO_ERR_INPUT, naming what differs,
 * unless settings and arrays are those with which it was written, and when none is whole; the arrays are then not to be
 * used. */
lspo_status_t lspo_checkpoint_resume(const char *folder, const lspo_checkpoint_t *checkpoint, bool undrained,
                                     bool *found_out);

#endif
