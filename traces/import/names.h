/* names.h - what each piece of work of a profile was: the innermost range of the CPU in which it was
 * launched. */
#ifndef LSPO_TRACES_IMPORT_NAMES_H
#define LSPO_TRACES_IMPORT_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "traces/import/events.h"

#define LSPO_NO_ITERATION UINT32_MAX
#define LSPO_NO_KIND UINT8_MAX

/* Work of the device with what is known of its launch, or a range of the CPU. */
typedef struct {
    const lspo_import_event_t *event;
    double launch_us;   /* of a range: its start                                             */
    uint64_t thread;    /* that launched it                                                  */
    uint64_t bytes;     /* of a copy, or LSPO_IMPORT_NO_BYTES                                */
    uint32_t iteration; /* index of a step, or LSPO_NO_ITERATION                             */
    uint8_t kind, lane; /* LSPO_NO_KIND: not known yet; in the end: of a range that is no op */
    bool is_range, has_launch;
    bool on_cpu; /* of an optimizer's range: it is work of the CPU */
} lspo_import_item_t;

/* That work of the device was launched. */
typedef struct {
    uint64_t thread;
    double at_us;
} lspo_import_launch_t;

typedef struct {
    lspo_import_item_t *items;      /* owned by the importer */
    lspo_import_launch_t *launches; /* owned by the importer: of all kernels, also of those that are left out */
    uint32_t item_count, launch_count, step_count;
    bool launches_known;  /* the profile has them: what launched nothing can be told */
    uint64_t step_thread; /* the thread that marks the steps                         */
} lspo_import_work_t;

/* Fill kind and lane of all items.  A rule of the user for the work itself comes first, then the innermost range of the
 * thread that launched it, then that of the steps' thread at the time, then the built-in rules; what is left is FWD up
 * to the last backward of its step, UPD_GPU after it.  *unnamed_share_out: the time of what was left, of all GPU
 * time. */
lspo_status_t lspo_import_name_work(lspo_import_work_t *work, double *unnamed_share_out);

#endif
