/* streams.h - durations that cannot be: a stream of a device does one thing at a time. */
#ifndef LSPO_TRACES_IMPORT_STREAMS_H
#define LSPO_TRACES_IMPORT_STREAMS_H

#include "base/status.h"
#include "traces/import/events.h"

/* Cut work of a device that lasts beyond the start of the next of its stream, and mark as skipped what is told again or
 * lasts longer than `longest_us`; each with one warning. */
lspo_status_t lspo_import_check_streams(const char *path, double longest_us, lspo_import_events_t *events);

#endif
