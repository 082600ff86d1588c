/* engine_few.h - the engine for at most LSPO_ENGINE_FEW lanes; engine.c is its only caller. */
#ifndef LSPO_SIM_ENGINE_FEW_H
#define LSPO_SIM_ENGINE_FEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/plan.h"
#include "plan/ready.h"
#include "traces/trace.h"

enum { LSPO_ENGINE_FEW = 4 };

/* 73 years.  Twice that, the latest possible end, is still within 63 bits. */
#define LSPO_ENGINE_LAST_START_NS (UINT64_C(1) << 61)

typedef struct {
    const lspo_plan_t *plan;
    const lspo_machine_t *machine;
    const uint64_t *work_ns; /* by work and kind of lane, or NULL: */
    const uint64_t *op_ns;   /* by op */
} lspo_engine_call_t;

/* Findings of a play besides the trace. */
typedef struct {
    bool too_long; /* an op would start after LSPO_ENGINE_LAST_START_NS, or last longer */
    bool unsorted; /* some op took no time: rows may be out of order */
} lspo_engine_end_t;

/* Play until no lane runs and fill the trace, which has room for all ops. */
lspo_status_t lspo_engine_play_few(const lspo_engine_call_t *call, lspo_ready_t *ready, lspo_trace_t *trace,
                                   lspo_engine_end_t *end_out);

#endif
