/* grid_parts.h - train a plan of several peers (grid.h) for many steps, and save the part of each.
 *
 * A part is what one peer of the chain has: the arrays of its session.  It is saved every few steps as a checkpoint
 * (checkpoint.h) of its own, in FOLDER/part-0, part-1, ... in the order of the chain; the newest two are kept.  Nobody
 * goes on before all have saved, so all always have one step in common.  A training that begins, with whichever peers,
 * goes on from the newest step that all parts have; the save that a part has beyond it is removed.  Two of them mean
 * that another part's are lost: then nothing is removed.  The steps since then are made again with the same numbers:
 * weights at the end are those of a training that was never interrupted, bit for bit. */
#ifndef LSPO_REAL_TRAIN_GRID_PARTS_H
#define LSPO_REAL_TRAIN_GRID_PARTS_H

#include "base/presence.h"
#include "plan/policy.h"
#include "real/train/grid.h"

typedef struct {
    const lspo_model_t *model;
    const lspo_policy_t *policy;
    const lspo_workload_t *workload; /* its iterations and first step are not used */
    uint32_t steps, save_every;
    const char *folder;
    lspo_grid_options_t grid;
    void (*saved)(void *context, uint32_t step); /* on rank 0; NULL: nobody wants to know */
    void *saved_context;
} lspo_parts_options_t;

/* Of rank 0, or of the one process. */
typedef struct {
    uint32_t first_step;          /* from which it went on */
    double loss_first, loss_last; /* of the first step and the last one */
    uint64_t weights_hash;        /* XXH3 of the hashes of the weights of all stages, as fp32 */
} lspo_parts_result_t;

/* What all ranks call.  As lspo_grid_create(), lspo_play() and lspo_checkpoint_write(); LSPO_ERR_INPUT if parts were
 * saved with other settings, or for more steps. */
lspo_status_t lspo_parts_train(const lspo_parts_options_t *options, lspo_parts_result_t *result_out);

/* Is the rank there that trains this part?  For others, while the job runs; forget it before the job starts.  A rank
 * comes when it has opened its part, and leaves at the end of lspo_parts_train(), with whatever status. */
lspo_presence_t lspo_parts_presence(const char *folder, uint32_t part);
void lspo_parts_forget_presence(const char *folder, uint32_t parts);

/* The newest step that so many parts have; 0: none.  As lspo_checkpoint_newest_step(). */
lspo_status_t lspo_parts_saved(const char *folder, uint32_t parts, uint32_t *step_out);

#endif
