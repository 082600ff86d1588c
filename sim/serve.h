/* serve.h - requests served on a simulated machine (plan/serving.h).
 *
 * A pass takes the time of its kernels (sim/cost.h) on the GPU, from memory.  A second thread makes the calls that map
 * chunks, one growth after the other; a pass waits for those of its own tokens.  Calls that unmap or share are made
 * before the next pass.  Attention to paged blocks is counted as attention to plain tensors.
 */
#ifndef LSPO_SIM_SERVE_H
#define LSPO_SIM_SERVE_H

#include "plan/machine.h"
#include "plan/serving.h"

/* As lspo_serving_run().  LSPO_ERR_INPUT if the machine lacks a rate. */
lspo_status_t lspo_serve_simulate(const lspo_machine_t *machine, const lspo_serving_options_t *options,
                                  const lspo_serving_request_t *requests, uint32_t count, lspo_served_t *served_out,
                                  lspo_serving_report_t *report_out);

/* Requests whose times between arrivals are exponential, and whose lengths are uniform between (1 - spread) and (1 +
 * spread) times their means, at least 1.  The first comes at 0.  LSPO_ERR_MEMORY. */
typedef struct {
    uint64_t seed;
    double rate; /* per second */
    uint32_t prompt, tokens;
    double spread; /* 0 .. 1 */
} lspo_arrivals_t;
lspo_status_t lspo_arrivals_draw(const lspo_arrivals_t *arrivals, uint32_t count, lspo_serving_request_t *requests_out);

#endif
