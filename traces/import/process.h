/* process.h - the events of one process, where a profile has those of several.
 *
 * Tools merge the profiles of all ranks into one file.  Their steps, correlations and devices have the same numbers,
 * so that what is not told apart counts twice.  The process that marks the first step of the file is taken.  What ran
 * on a device belongs to the process among whose events it stands, where each process has its own part of the file,
 * else to that whose launch alone has its correlation.
 */
#ifndef LSPO_TRACES_IMPORT_PROCESS_H
#define LSPO_TRACES_IMPORT_PROCESS_H

#include "base/status.h"
#include "traces/import/events.h"

/* Drop the events of other processes, with a warning that names them.  LSPO_ERR_INPUT where they cannot be told
 * apart. */
lspo_status_t lspo_import_choose_process(const char *path, lspo_import_events_t *events);

#endif
