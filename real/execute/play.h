/* play.h - run a plan on a device: connects the lanes of the executor with those of the device.
 *
 * On a synchronous device (the host) all lanes are synchronous.  On an asynchronous device each lane except the CPU's
 * is a queue of LSPO_ISSUED_MAX ops on the lane's stream; marks before and after every op give its times and its
 * end.  If GPU memory is limited, an op waits for room; not in a part of a plan, of which room.h knows nothing. */
#ifndef LSPO_REAL_EXECUTE_PLAY_H
#define LSPO_REAL_EXECUTE_PLAY_H

#include <stdatomic.h>

#include "base/status.h"
#include "base/workers.h"
#include "plan/plan.h"
#include "real/device/device.h"
#include "real/execute/executor.h"
#include "real/machine/topology.h"
#include "traces/trace.h"

/* Place the lanes of a device and the workers of its CPU lane on cores; `cpu_threads` as in lspo_topology_workers().
 * The pool is NULL for one worker; otherwise the caller destroys it. */
lspo_status_t lspo_play_place(const lspo_device_t *device, uint32_t cpu_threads, lspo_topology_t *topology_out,
                              lspo_workers_t **workers_out);

typedef struct {
    lspo_device_t *device;
    void *context; /* of all functions */
    lspo_op_function_t run;
    lspo_op_function_t finish;        /* asynchronous devices only: an op has ended; see lspo_executor_calls_t */
    lspo_lane_function_t enter_lane;  /* may be NULL */
    const lspo_executor_part_t *part; /* NULL: see lspo_executor_calls_t */
    lspo_cut_function_t cut;          /* NULL: see lspo_executor_calls_t */
    lspo_row_function_t row;          /* may be NULL: see lspo_executor_calls_t */
    void *row_context;
} lspo_play_t;

/* Like lspo_execute(); LSPO_ERR_DEVICE if something fails on the device. */
lspo_status_t lspo_play(const lspo_plan_t *plan, const lspo_play_t *play, const atomic_int *stop,
                        lspo_trace_t **trace_out);

#endif
