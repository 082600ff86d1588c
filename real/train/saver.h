/* saver.h - write checkpoints in the background: training pauses while its state is copied in memory, but not while the
 * copy is written.
 *
 * The copy takes as much host memory as the state, starting at the first checkpoint that is not the last.  If there is
 * not enough memory, each checkpoint is written directly from the state while the training waits; a warning says so
 * once.  Only one write runs at a time: the next checkpoint waits for it. */
#ifndef LSPO_REAL_TRAIN_SAVER_H
#define LSPO_REAL_TRAIN_SAVER_H

#include <stdint.h>

#include "base/status.h"
#include "real/train/checkpoint.h"

typedef struct lspo_saver lspo_saver_t;

/* Checkpoints go into `folder`; the newest `keep` are kept.  NULL if out of memory. */
lspo_saver_t *lspo_saver_create(const char *folder, uint32_t keep);
/* Waits for a write in progress. */
void lspo_saver_destroy(lspo_saver_t *saver);

/* Save a checkpoint.  The caller may change state and arrays on return, but must keep the settings until the next call.
 * With `last` the checkpoint is written before the return, without a copy.  Returns the status of the previous write,
 * or of this one if it was written before the return. */
lspo_status_t lspo_saver_save(lspo_saver_t *saver, const lspo_checkpoint_t *checkpoint, bool last);

/* Wait for the write in progress and return its status; poll does not wait and returns LSPO_OK while it is in
 * progress. */
lspo_status_t lspo_saver_wait(lspo_saver_t *saver);
lspo_status_t lspo_saver_poll(lspo_saver_t *saver);

/* Seconds that callers spent in save and wait, and the size of the copy (0: none). */
double lspo_saver_held_s(const lspo_saver_t *saver);
uint64_t lspo_saver_copy_bytes(const lspo_saver_t *saver);

#endif
