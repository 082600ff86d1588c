/* import_events.h - the events of a Chrome trace (PyTorch profiler, Kineto) that an import needs, as plain records.
 *
 * The file is JSON, or JSON compressed by gzip: {"traceEvents": [...], ...} or the bare array.  Only complete events
 * ("ph": "X") of the classes in import_rules.h count.  Events are parsed one by one, so that memory is the text and
 * these records, not a tree of the whole file.  Times are microseconds, as in the file.
 */
#ifndef LSPO_TRACES_IMPORT_EVENTS_H
#define LSPO_TRACES_IMPORT_EVENTS_H

#include <stdint.h>

#include "plan/status.h"
#include "traces/import_rules.h"

enum { LSPO_NO_CORRELATION = -1 };

typedef struct {
    const lspo_import_rule_t *rule; /* NULL: none; of the rules that were given                         */
    double start_us, duration_us;
    int64_t correlation; /* ties work on the device to the call that launched it                       */
    int64_t number;      /* N of a step "name#N", else -1                                              */
    uint64_t thread;     /* of the CPU                                                                 */
    uint64_t bytes;      /* of a copy                                                                  */
    uint64_t line;       /* in the file, for messages                                                  */
    int32_t device;
    uint8_t event_class; /* lspo_event_class_t */
} lspo_import_event_t;

typedef struct {
    lspo_import_event_t *events; /* owned, in file order */
    uint32_t count, capacity;
} lspo_import_events_t;

/* Device work and launches all, ranges of the CPU only where a rule names them.  LSPO_ERR_INPUT with file:line where
 * the file is no trace, ends early, or an event has a time that is missing, negative or too large. */
lspo_status_t lspo_import_events_read(const char *path, const lspo_import_rules_t *rules,
                                      lspo_import_events_t *events_out);
void lspo_import_events_release(lspo_import_events_t *events);

#endif
