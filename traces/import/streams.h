/* streams.h - correct impossible durations: a stream of a device runs one piece of work at a time. */
#ifndef LSPO_TRACES_IMPORT_STREAMS_H
#define LSPO_TRACES_IMPORT_STREAMS_H

#include "base/status.h"
#include "traces/import/events.h"

/* Cut off device work at the start of the next work of its stream, and mark work as skipped if it is repeated or lasts
 * longer than `longest_us`; each with one warning. */
lspo_status_t lspo_import_check_streams(const char *path, double longest_us, lspo_import_events_t *events);

#endif
