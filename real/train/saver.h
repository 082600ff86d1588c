/* saver.h - checkpoints written beside the training: it stands still while its state is copied in memory, not while the
 * copy is written.
 *
 * The copy takes as much host memory as the state, from the first checkpoint on that is not the last.  Where there is
 * less, each checkpoint is written from the state itself while the training waits, which a warning says once.  One
 * write at a time: the next checkpoint waits for it. */
#ifndef LSPO_REAL_TRAIN_SAVER_H
#define LSPO_REAL_TRAIN_SAVER_H

#include <stdint.h>

#include "base/status.h"
#include "real/train/checkpoint.h"

typedef struct lspo_saver lspo_saver_t;

/* Into `folder`, of which it keeps the newest `keep`.  NULL when memory runs out. */
lspo_saver_t *lspo_saver_create(const char *folder, uint32_t keep);
/* Waits for what is being written. */
void lspo_saver_destroy(lspo_saver_t *saver);

/* State and arrays are the caller's again on return; settings stay as they are until the next call.  With `last`
 * nothing is to go on beside it: it is written at once, without a copy.  The status of the write before, or of this one
 * where it was not put off. */
lspo_status_t lspo_saver_save(lspo_saver_t *saver, const lspo_checkpoint_t *checkpoint, bool last);

/* Wait for what is being written; its status.  poll: only where it has been written. */
lspo_status_t lspo_saver_wait(lspo_saver_t *saver);
lspo_status_t lspo_saver_poll(lspo_saver_t *saver);

/* Seconds that callers of save and wait spent there, and bytes of the copy (0: none). */
double lspo_saver_held_s(const lspo_saver_t *saver);
uint64_t lspo_saver_copy_bytes(const lspo_saver_t *saver);

#endif
