/* engine_few.h - the engine for at most LSPO_ENGINE_FEW lanes, for engine.c, which fills a trace, and pace.c, which
 * only wants the ends of iterations and looks at the state between two of them. */
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
    uint64_t wake_ns;
} lspo_engine_call_t;

/* A lane's time to wake; 0 with several GPUs, which share cores: where their lanes are is not known. */
uint64_t lspo_engine_wake_of(const lspo_plan_t *plan, const lspo_machine_t *machine);

/* Of the time until an op starts, that to wake its lane, which has waited for `waited_ns` until the GPU's op ended, or
 * another one: on two cores, the GPU's lane has one and all others the other one (real/machine/topology.h).  A short
 * wait is none. */
static inline uint64_t lspo_engine_wake_ns(const lspo_engine_call_t *call, uint8_t kind, bool gpu_ended,
                                           uint64_t waited_ns)
{
    return (kind == LSPO_LANE_GPU || gpu_ended) && waited_ns > call->wake_ns ? call->wake_ns : 0;
}

/* Until so much work is done at this rate.  Ends are integers: a fraction of a nanosecond is rounded up, unless it is a
 * rounding error.  Without a call of libm, since lanes with losses get new ends at most events. */
static inline uint64_t lspo_engine_left_ns(double remaining_ns, double rate)
{
    const double left_ns = remaining_ns / rate - 1e-6;
    if (!(left_ns > 0))
        return 0;
    if (left_ns >= (double)LSPO_ENGINE_LAST_START_NS)
        return LSPO_ENGINE_LAST_START_NS;
    const int64_t whole_ns = (int64_t)left_ns;
    return (uint64_t)whole_ns + ((double)whole_ns < left_ns);
}

/* Findings of a play besides the trace. */
typedef struct {
    bool too_long; /* an op would start after LSPO_ENGINE_LAST_START_NS, or last longer */
    bool unsorted; /* rows may be out of order: some op took no time, or a lane was woken */
} lspo_engine_end_t;

typedef struct {
    bool running;
    uint8_t kind;
    uint32_t row; /* of the trace, while running */
    lspo_op_id_t op;
    uint64_t end_ns; /* of its op, or of its latest one */
    /* Only with contention: work left at since_ns, done at `rate` since then. */
    double remaining_ns, rate;
    uint64_t since_ns;
} lspo_few_lane_t;

/* The memory that ops hold at the moment, and have held at most.  Where no op takes no time and no lane is woken, it is
 * that of a replay of the trace (sim/memory.h): what ends at a moment gives back before what starts then takes. */
typedef struct {
    const lspo_op_t *ops; /* by id: what each takes and gives back */
    int64_t gpu_bytes, host_bytes;
    int64_t gpu_peak_bytes, host_peak_bytes;
    int64_t gpu_most_bytes, host_most_bytes; /* a play ends when a peak is above these */
} lspo_few_memory_t;

typedef struct {
    const lspo_engine_call_t *call;
    lspo_ready_t ready;                        /* not owned */
    lspo_ready_lane_t queues[LSPO_ENGINE_FEW]; /* the ready ops: those of `ready`, and empty ones */
    lspo_few_lane_t lanes[LSPO_ENGINE_FEW];
    uint32_t running_mask, ready_mask; /* of lanes: a bit for each with a running op, with ready ones */
    uint64_t next_ns[LSPO_ENGINE_FEW]; /* when the op of each lane ends; UINT64_MAX: none runs */
    uint64_t now_ns;
    uint32_t event; /* counts events: ops that become ready at the same event tie */
    bool gpu_ended; /* an op of the GPU, at now_ns */
    bool unsorted;  /* rows may be out of order: an op took no time, or a lane was woken */
    bool contended;
    bool slowed;                                         /* does any running lane have a rate other than 1? */
    double rates[1 << LSPO_ENGINE_FEW][LSPO_ENGINE_FEW]; /* of each lane, by the set of running lanes */
    bool slows[1 << LSPO_ENGINE_FEW];                    /* is any of these other than 1? */
    lspo_trace_t *trace;                                 /* NULL: none is wanted */

    /* Without a trace: */
    const uint32_t *marks;     /* by op: the iteration that its end may be the end of; UINT32_MAX: none */
    uint64_t *ends_ns;         /* by iteration: the latest end so far */
    lspo_op_id_t awaited;      /* lspo_few_run() returns when it has ended; LSPO_NO_OP: at the end of the plan */
    bool reached;              /* it has, or a peak is above the most */
    lspo_few_memory_t *memory; /* NULL: nobody asks for it */
    uint32_t ranks;            /* priorities are iteration * ranks + rank; 0: nobody asks for `overtook` */
    uint32_t overtook; /* 1 + the highest rank of an op that was served before another one of its iteration, which
                              would have been first if their ranks were equal; 0: none was */
} lspo_few_t;

/* The start of a play. `call` and `ready` must outlive it. */
lspo_status_t lspo_few_create(const lspo_engine_call_t *call, const lspo_ready_t *ready, lspo_few_t *few_out);

/* An op of that lane becomes ready. */
static inline void lspo_few_push(lspo_few_t *few, uint32_t lane, lspo_ready_entry_t entry)
{
    lspo_ready_push(&few->queues[lane], entry);
    few->ready_mask |= 1u << lane;
}

/* Play until `awaited` and all that ends at the same time has ended, before other ops start; or until a peak is above
 * the most; or until no lane runs.  false: too long. */
bool lspo_few_run(lspo_few_t *few);

/* Logs that a plan lasts too long; returns LSPO_ERR_INPUT. */
lspo_status_t lspo_engine_too_long(void);

/* Play until no lane runs and fill the trace, which has room for all ops. */
lspo_status_t lspo_engine_play_few(const lspo_engine_call_t *call, lspo_ready_t *ready, lspo_trace_t *trace,
                                   lspo_engine_end_t *end_out);

#endif
