/* simgrid_peer.h - a schedule played by SimGrid, to which bench_simgrid compares the event engine. */
#ifndef LSPO_BENCH_SIMGRID_PEER_H
#define LSPO_BENCH_SIMGRID_PEER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Op i of `op_count` takes ns[i] on its lane, after the ops of that lane before it, and waits for the ops
 * deps[first[i] .. first[i + 1]), which come before it. */
typedef struct {
    uint32_t op_count, lane_count;
    const uint32_t *lanes, *first, *deps;
    const uint64_t *ns;
} simgrid_schedule_t;

/* One host of one core per lane, whose speed is 10^9, and on it an actor that executes the lane's ops; it sleeps until
 * the last op for which its next one waits wakes it.  (One activity per op, all made at the start, takes SimGrid 3.32 a
 * time that grows with the square of their number.)  Returns the makespan in seconds; all but the start of SimGrid is
 * timed, by `clock_s`.  Once per process: SimGrid has one clock. */
double simgrid_play(const simgrid_schedule_t *schedule, double (*clock_s)(void), double *took_s_out);

#ifdef __cplusplus
}
#endif

#endif
