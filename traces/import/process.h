/* process.h - select the events of one process in a profile of several.
 *
 * Some tools merge the profiles of all ranks into one file, in which steps, correlations and devices have the same
 * numbers; without separation everything would count twice.  The process that marks the first step of the file is used.
 * Device work belongs to the process around it if each process has its own part of the file, or else to the only
 * process with a launch of that correlation.
 */
#ifndef LSPO_TRACES_IMPORT_PROCESS_H
#define LSPO_TRACES_IMPORT_PROCESS_H

#include "base/status.h"
#include "traces/import/events.h"

/* Drop the events of other processes, with a warning that names them.  LSPO_ERR_INPUT if they cannot be separated. */
lspo_status_t lspo_import_choose_process(const char *path, lspo_import_events_t *events);

#endif
