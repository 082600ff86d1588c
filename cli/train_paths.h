/* train_paths.h - what a training writes must not destroy what it reads, nor fail when all its work is done. */
#ifndef LSPO_CLI_TRAIN_PATHS_H
#define LSPO_CLI_TRAIN_PATHS_H

#include <stdbool.h>

#include "base/status.h"

/* As the flags of the same names give them; NULL: not given. */
typedef struct {
    const char *model, *machine, *data, *eval_data, *metrics, *export, *output;
    bool resume;
} lspo_train_paths_t;

/* Asked before anything is read.  Makes the folders of --output and --export, in which metrics may be.  LSPO_ERR_INPUT
 * for --metrics or --export that would overwrite one of the others, by whatever name, for checkpoints that --output
 * holds when `resume` is false, and for metrics or checkpoints that another training writes; LSPO_ERR_IO for what
 * cannot be written. */
lspo_status_t lspo_train_paths_check(const lspo_train_paths_t *paths);

#endif
