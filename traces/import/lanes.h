/* lanes.h - the last steps of every import: make lanes serve one op at a time, and record the source of the trace. */
#ifndef LSPO_TRACES_IMPORT_LANES_H
#define LSPO_TRACES_IMPORT_LANES_H

#include "base/status.h"
#include "traces/trace.h"

/* Make the lanes of `trace` serve one op at a time.  Rows of a lane that overlap or follow within `slack_ns` (the
 * rounding of the clock) become one busy interval if they have the same kind and iteration.  If two kinds overlap, the
 * one that began first has the lane until it ends, and the other gets the rest of its time.  Bytes are kept.  Sorts and
 * numbers the rows. */
void lspo_import_merge_lanes(lspo_trace_t *trace, uint64_t slack_ns);

/* Header entries origin "import", source, file and version. */
lspo_status_t lspo_import_describe(lspo_trace_t *trace, const char *source, const char *path);

#endif
