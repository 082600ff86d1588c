/* sweep_merge.h - the files of a sweep: its final file, and shards that are put together. */
#ifndef LSPO_CLI_SWEEP_MERGE_H
#define LSPO_CLI_SWEEP_MERGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "sweep/journal.h"

/* "results.csv.shard-1-of-4", malloc'd; NULL: no memory. */
char *lspo_sweep_shard_path(const char *output, uint32_t shard, uint32_t shard_count);

/* Is it a pipe or a device, which has no place beside it?  A folder is none: it is refused when it is opened. */
bool lspo_sweep_is_stream(const char *path);

/* The name of the sweep's journal, malloc'd: "results.csv.part".  Of a pipe or a device it is in a new folder of
 * $TMPDIR (/tmp), *apart_out: call lspo_sweep_part_remove() when it is open.  LSPO_ERR_IO if that cannot be made. */
lspo_status_t lspo_sweep_part_path(const char *final_path, char **path_out, bool *apart_out);
/* Remove such a journal, if it is still there, and its folder; `path` is cut. */
void lspo_sweep_part_remove(char *path);

/* The journal at part_path (NULL: removed) is complete.  Write the ordered file and remove the journal; `names` is its
 * first line (NULL: none).  A shard is only marked as finished and renamed: its journal is what is merged. */
lspo_status_t lspo_sweep_finish(lspo_journal_t *journal, bool shard, const char *part_path, const char *final_path,
                                const char *names);

/* Say how many rows were written, and warn of cells with an error, if there are any; `columns` are the names of the
 * rows' columns. */
void lspo_sweep_say(const char *output, uint64_t rows, uint64_t errors, const char *columns);

/* Put the shards of `output` together, and say how many rows and errors there are.  They stay.  LSPO_ERR_INPUT if there
 * are none, one is missing or not whole, or they are of different sweeps. */
lspo_status_t lspo_sweep_merge(const char *output);

#endif
