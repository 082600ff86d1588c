/* play.h - play a plan on a device: the executor's lanes are the device's.
 *
 * On a synchronous device (the host) all lanes are.  On an asynchronous one each lane but the CPU's is a queue of
 * LSPO_ISSUED_MAX ops on the lane's stream, with marks before and behind every op, which time it and tell when it has
 * ended. */
#ifndef LSPO_REAL_EXECUTE_PLAY_H
#define LSPO_REAL_EXECUTE_PLAY_H

#include <stdatomic.h>

#include "plan/plan.h"
#include "base/status.h"
#include "real/device/device.h"
#include "real/execute/executor.h"
#include "real/machine/topology.h"
#include "base/workers.h"
#include "traces/trace.h"

/* Where a device's lanes and the workers of its CPU lane run; `cpu_threads` as lspo_topology_workers() has it.  The
 * pool is NULL for one worker, else the caller's to destroy. */
lspo_status_t lspo_play_place(const lspo_device_t *device, uint32_t cpu_threads, lspo_topology_t *topology_out,
                              lspo_workers_t **workers_out);

typedef struct {
    lspo_device_t *device;
    void *context; /* of all functions */
    lspo_op_function_t run;
    lspo_op_function_t finish;       /* asynchronous devices only: an op has ended; see lspo_executor_calls_t */
    lspo_lane_function_t enter_lane; /* may be NULL */
    lspo_cut_function_t cut;         /* NULL: see lspo_executor_calls_t */
} lspo_play_t;

/* As lspo_execute(), with LSPO_ERR_DEVICE for what fails on the device. */
lspo_status_t lspo_play(const lspo_plan_t *plan, const lspo_play_t *play, const atomic_int *stop,
                        lspo_trace_t **trace_out);

#endif
