/* checkpoint_parts.h - the two files of a checkpoint; private to real/train/checkpoint*.c.  A damaged file gives
 * LSPO_ERR_CHECK, one that does not fit this training LSPO_ERR_INPUT. */
#ifndef LSPO_REAL_TRAIN_CHECKPOINT_PARTS_H
#define LSPO_REAL_TRAIN_CHECKPOINT_PARTS_H

#include "real/train/checkpoint.h"

/* hashes: array_count of them. */
lspo_status_t lspo_checkpoint_write_arrays(const char *path, const lspo_checkpoint_t *checkpoint, uint64_t *hashes);
lspo_status_t lspo_checkpoint_read_arrays(const char *path, const lspo_checkpoint_t *checkpoint,
                                          const uint64_t *hashes);
/* An array's parts, in order; `array` has no data.  Those that come before an error may be damaged. */
typedef lspo_status_t (*lspo_checkpoint_take_t)(void *context, size_t offset_bytes, size_t bytes, const void *part);
lspo_status_t lspo_checkpoint_read_parts(const char *path, const lspo_state_array_t *array, uint64_t hash,
                                         lspo_checkpoint_take_t take, void *context);

lspo_status_t lspo_checkpoint_write_state(const char *path, const lspo_checkpoint_t *checkpoint,
                                          const uint64_t *hashes);
/* Fills *state_out and `hashes`; checkpoint->state is unchanged. */
lspo_status_t lspo_checkpoint_read_state(const char *path, const lspo_checkpoint_t *checkpoint, uint64_t *hashes,
                                         lspo_train_state_t *state_out);
/* The files of the newest complete checkpoint; LSPO_ERR_INPUT if there is none. */
enum { LSPO_CHECKPOINT_PATH_BYTES = 4096 };
lspo_status_t lspo_checkpoint_newest(const char *folder, char state_path_out[LSPO_CHECKPOINT_PATH_BYTES],
                                     char arrays_path_out[LSPO_CHECKPOINT_PATH_BYTES]);
/* The value of a setting, or "". */
lspo_status_t lspo_checkpoint_read_setting(const char *path, const char *key, char value_out[LSPO_SETTING_BYTES]);

#endif
