/* checkpoint.h - a training's state on disk: written completely or not at all, and checked when it is read.
 *
 * A checkpoint is a folder FOLDER/step-0000000120 with
 *     state.safetensors   every array of the session (real/session/session.h)
 *     state.json         the step, the state of early stopping, the settings that determine the numbers, and XXH3
 * hashes (64 bits): one per array and one of the rest of the file It is written under a name that begins with a dot,
 * flushed to disk and renamed; only then are older checkpoints removed.  So the newest step-... is always complete.
 * Equal trainings write equal bytes to state.safetensors.  A checkpoint that is damaged nevertheless is renamed to
 * damaged-step-..., and the previous one is used.
 */
#ifndef LSPO_REAL_TRAIN_CHECKPOINT_H
#define LSPO_REAL_TRAIN_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "real/session/session.h"

enum { LSPO_SETTING_BYTES = 128 };

/* One setting that a training must not change when it resumes: a flag and its value. */
typedef struct {
    char key[40]; /* the name of the flag, without dashes */
    char value[LSPO_SETTING_BYTES];
    bool tolerated;      /* another value only causes a warning: it changes rounding */
    bool preset;         /* the value is what a checkpoint means that does not name the flag */
    const char *unnamed; /* that value, if it is not the default; static */
} lspo_setting_t;

typedef struct {
    uint32_t step;               /* steps done                                                      */
    uint32_t steps;              /* to do in all                                    */
    double elapsed_s;            /* of training, over all its runs */
    double loss_first;           /* training loss of the first step; NaN: none                      */
    double loss_last;            /* of the latest step */
    double held_out_before;      /* held-out loss before the first step; NaN: not known */
    double held_out_last;        /* latest held-out loss */
    double best_loss;            /* the lowest held-out loss; NaN: none yet                         */
    uint32_t best_step;          /* its step */
    lspo_scores_t scores_before; /* of a classifier on held-out rows, before the first step */
    lspo_scores_t scores_last;   /* the latest */
    lspo_scores_t scores_best;   /* at best_step */
    uint32_t worse_count;        /* evaluations since best_step */
    uint64_t refits;             /* lsp: how many times a weight's projectors were fitted again */
    bool evaluation_due;         /* the evaluation after `step` was interrupted: a resumed training begins with it */
    bool finished;               /* all steps done, or stopped early: there is nothing to resume */
} lspo_train_state_t;

/* What to write, and where to store what is read. */
typedef struct {
    lspo_train_state_t *state;
    const lspo_setting_t *settings;
    size_t setting_count;
    const lspo_state_array_t *arrays;
    size_t array_count;
    bool some_arrays; /* only these are read: the checkpoint may have others */
    /* May be NULL.  Called with the MB of arrays written or read so far, on the thread that does it. */
    void (*progress)(void *context, uint32_t done_mb, uint32_t of_mb);
    void *progress_context;
} lspo_checkpoint_t;

/* Create `folder` and its parents if needed, remove files that a killed run left half-written, and lock the folder
 * until *lock_out is closed or the process ends.  LSPO_ERR_INPUT if another training has locked it, or if it has
 * checkpoints and `resume` is false, because they would be overwritten; LSPO_ERR_IO if it cannot be created. */
lspo_status_t lspo_checkpoint_prepare(const char *folder, bool resume, int *lock_out);

/* Write a checkpoint and prune older ones.  LSPO_ERR_IO: the earlier checkpoints are unchanged.  May run on any thread,
 * one call at a time. */
lspo_status_t lspo_checkpoint_write(const char *folder, const lspo_checkpoint_t *checkpoint, uint32_t keep);

/* Remove all checkpoints up to `step` except the newest `keep`.  With `beyond` also remove those of later steps:
 * writing a checkpoint does so, because the training that wrote them was continued from an earlier step. */
lspo_status_t lspo_checkpoint_prune(const char *folder, uint32_t step, uint32_t keep, bool beyond);

/* The number of checkpoints of later steps, damaged or not. */
lspo_status_t lspo_checkpoint_count_beyond(const char *folder, uint32_t step, uint32_t *count_out);

/* Read the newest complete checkpoint into state and arrays; *found_out is false if there is no checkpoint.  Damaged
 * ones are renamed, with a warning.  With `undrained`, a checkpoint at the end of a training of fewer steps than
 * state->steps is skipped, because it lacks the pending updates that the next step needs (real/train/train.h).
 * LSPO_ERR_INPUT, naming the difference, if settings or arrays differ from those at the time of writing, or if no
 * checkpoint is complete; the arrays are then undefined. */
lspo_status_t lspo_checkpoint_resume(const char *folder, const lspo_checkpoint_t *checkpoint, bool undrained,
                                     bool *found_out);

/* The step of the newest checkpoint; 0: there is none. */
lspo_status_t lspo_checkpoint_newest_step(const char *folder, uint32_t *step_out);

/* The value of a setting in the newest checkpoint whose settings can be read, or "" if that does not name it;
 * *found_out is false, and value_out unchanged, if there is none. */
lspo_status_t lspo_checkpoint_setting(const char *folder, const char *key, char value_out[LSPO_SETTING_BYTES],
                                      bool *found_out);

#endif
