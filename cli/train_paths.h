/* train_paths.h - check, before a training starts, that it can write its outputs and does not overwrite its inputs. */
#ifndef LSPO_CLI_TRAIN_PATHS_H
#define LSPO_CLI_TRAIN_PATHS_H

#include <stdbool.h>

#include "base/status.h"

/* The values of the flags of the same names; NULL: not given. */
typedef struct {
    const char *model, *metrics, *export, *output;
    bool resume;
} lspo_train_paths_t;

/* Call before anything is read.  Makes the folders of --output and --export, in which the metrics file may be.
 * LSPO_ERR_INPUT if --export would overwrite the model, write the metrics file, or leave parts of another model in its
 * folder; if --output has checkpoints and `resume` is false; if another training writes to the metrics, checkpoints or
 * export; and if --output or --export is not a folder.  LSPO_ERR_IO if an output cannot be written.  Warns if the model
 * is a config.json, which has no weights.  *export_lock_out, -1 before, becomes the lock of the folder of --export if
 * it needs one of its own, also after an error; close it after the export. */
lspo_status_t lspo_train_paths_check(const lspo_train_paths_t *paths, int *export_lock_out);

#endif
