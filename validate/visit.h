/* visit.h - one visit of a cell: `lspo run` with its flags, in a process of its own. */
#ifndef LSPO_VALIDATE_VISIT_H
#define LSPO_VALIDATE_VISIT_H

#include <stdatomic.h>
#include <stdint.h>

#include "real/machine/topology.h"
#include "validate/visits.h"

typedef struct {
    const char *machine; /* the profile of the predictions: what a policy finds by itself is the same here */
    const char *device, *text_path, *folder;
    const lspo_topology_t *topology; /* of the host device; NULL: a GPU */
    double interval;                 /* half-width / median of the interval of a settled cell */
    double budget_s;
    uint32_t visits_least; /* calm visits that a settled cell needs */
    const char *others;    /* lines that visits.csv keeps, see lspo_visits_read() */
    const atomic_int *stop;
    void (*progress)(void *context, const char *label, uint32_t done, uint32_t of);
    void *progress_context;
} lspo_measure_options_t;

/* Visit the cell; the trace is written to `trace_path`.  A yardstick on several cores runs once on each, all at once,
 * and the visit is that of the slowest.  The caller frees visit_out->samples_s.  LSPO_ERR_FIT: the cell does not fit
 * the device or this machine, which a warning names; LSPO_ERR_INTERRUPTED after *stop was set. */
lspo_status_t lspo_validate_visit(const lspo_cell_t *cell, const lspo_measure_options_t *options,
                                  const char *trace_path, lspo_visit_t *visit_out);

#endif
