/* names.h - find the kind of each piece of work in a profile, from the innermost CPU range in which it was launched. */
#ifndef LSPO_TRACES_IMPORT_NAMES_H
#define LSPO_TRACES_IMPORT_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "traces/import/events.h"

#define LSPO_NO_ITERATION UINT32_MAX
#define LSPO_NO_KIND UINT8_MAX

/* Work of the device, with what is known about its launch, or a CPU range. */
typedef struct {
    const lspo_import_event_t *event;
    double launch_us;   /* of a range: its start                                             */
    uint64_t thread;    /* that launched it                                                  */
    uint64_t bytes;     /* of a copy, or LSPO_IMPORT_NO_BYTES                                */
    uint32_t iteration; /* index of a step, or LSPO_NO_ITERATION                             */
    uint8_t kind, lane; /* LSPO_NO_KIND: unknown yet; in the end: a range that is not an op */
    bool is_range, has_launch;
    bool on_cpu; /* an optimizer's range that is work of the CPU */
} lspo_import_item_t;

/* A launch of work on the device. */
typedef struct {
    uint64_t thread;
    double at_us;
} lspo_import_launch_t;

typedef struct {
    lspo_import_item_t *items;      /* owned by the importer */
    lspo_import_launch_t *launches; /* owned by the importer: of all kernels, also of those that are left out */
    uint32_t item_count, launch_count, step_count;
    bool launches_known;  /* the profile has launches, so ranges without any are known */
    uint64_t step_thread; /* the thread that marks the steps                         */
} lspo_import_work_t;

/* Fill kind and lane of all items.  The first that applies: a user's rule for the work itself; the innermost range of
 * the thread that launched it; that of the steps' thread at that time; the built-in rules.  The rest is FWD up to the
 * last backward of its step and UPD_GPU after it; *unnamed_share_out is its share of all GPU time. */
lspo_status_t lspo_import_name_work(lspo_import_work_t *work, double *unnamed_share_out);

#endif
