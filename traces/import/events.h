/* events.h - the events of a Chrome trace (PyTorch profiler, Kineto) that an import needs, as plain records.
 *
 * The file is JSON, or JSON compressed by gzip: {"traceEvents": [...], ...} or the bare array.  Only complete events
 * ("ph": "X") of the classes in rules.h count.  Only these records are kept in memory, not the text.  Times are
 * microseconds, as in the file.
 *
 * One damaged byte does not make a profile useless.  What is not JSON is skipped up to the next event.  An event
 * without a usable time is kept as `skipped`, since it shows what was launched.  Both are counted and reported once.
 */
#ifndef LSPO_TRACES_IMPORT_EVENTS_H
#define LSPO_TRACES_IMPORT_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "traces/import/rules.h"
#include "traces/import/text.h"

enum { LSPO_NO_CORRELATION = -1, LSPO_IMPORT_PROCESSES_MAX = 1024 };

#define LSPO_IMPORT_NO_BYTES UINT64_MAX
#define LSPO_IMPORT_NO_STREAM UINT64_MAX

typedef struct {
    const lspo_import_rule_t *rule; /* one of the given rules; NULL: none                                        */
    double start_us, duration_us;
    int64_t correlation; /* connects work on the device with the call that launched it              */
    int64_t number;      /* N of a step "name#N", else -1                                              */
    uint64_t thread;     /* of the CPU                                                                 */
    uint64_t stream;     /* of the device, or LSPO_IMPORT_NO_STREAM                                    */
    uint64_t bytes;      /* of a copy or its launch, or LSPO_IMPORT_NO_BYTES                           */
    uint64_t line;       /* in the file, for messages                                                  */
    uint32_t process;    /* index of its name                                                          */
    int32_t device;
    uint8_t event_class; /* lspo_event_class_t */
    bool skipped;        /* its times are unusable: start_us or duration_us is 0                     */
} lspo_import_event_t;

typedef struct {
    lspo_import_event_t *events; /* owned, in file order */
    uint32_t count;
    size_t capacity;
    char *process_names[LSPO_IMPORT_PROCESSES_MAX]; /* owned: "pid" as in the file */
    uint32_t process_count;
    uint64_t uncategorized_count; /* events without "cat": of profilers before PyTorch 1.8.1 */
    uint64_t begin_count;         /* "ph": "B" of ranges that have a rule: not read          */
} lspo_import_events_t;

/* Reads all device work and launches, and those CPU ranges that a rule names.  LSPO_ERR_INPUT with file:line if the
 * file is not a trace or ends within an event. */
lspo_status_t lspo_import_events_read(const char *path, const lspo_import_rules_t *rules,
                                      const lspo_import_progress_t *progress, lspo_import_events_t *events_out);
void lspo_import_events_release(lspo_import_events_t *events);

#endif
