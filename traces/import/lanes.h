/* lanes.h - what every import ends with: lanes that serve one op at a time, and where the trace came from. */
#ifndef LSPO_TRACES_IMPORT_LANES_H
#define LSPO_TRACES_IMPORT_LANES_H

#include "base/status.h"
#include "traces/trace.h"

/* Make the lanes of `trace` serve one op at a time: rows of a lane that overlap, or follow within `slack_ns` (the
 * rounding of the clock that took them), become one busy interval if they are of one kind and iteration; of two kinds
 * the one that began first holds the lane until it ends, and the other has what is left of its time.  Bytes are kept.
 * Sorts, and numbers the rows in that order. */
void lspo_import_merge_lanes(lspo_trace_t *trace, uint64_t slack_ns);

/* Header entries origin "import", source, file and version. */
lspo_status_t lspo_import_describe(lspo_trace_t *trace, const char *source, const char *path);

#endif
