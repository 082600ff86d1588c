/* sweep_title.h - the first line of a sweep's journal: what its rows are. */
#ifndef LSPO_CLI_SWEEP_TITLE_H
#define LSPO_CLI_SWEEP_TITLE_H

#include <stdint.h>

#include "base/status.h"

typedef struct {
    uint64_t cell_count;
    uint32_t shard, shard_count;    /* from 1 */
    uint64_t grid_hash, names_hash; /* of the grid's text, and of the models and machines that it names */
    const char *format, *version;
    const char *run;     /* the device of --run, or "none" */
    const char *columns; /* names, separated by commas */
} lspo_sweep_title_t;

/* malloc'd. */
lspo_status_t lspo_sweep_title_write(const lspo_sweep_title_t *title, char **text_out);
/* Cuts `text` in pieces, to which the result points.  LSPO_ERR_INPUT, with `path` in the message, if it is none. */
lspo_status_t lspo_sweep_title_read(const char *path, char *text, lspo_sweep_title_t *title_out);

#endif
