/* workers.h - a pool of threads that share out work: of the CPU lane, of fitting projectors, of a model's first
 * weights.
 *
 * A run is `items` pieces of work that do not depend on one another: each is done once, by whichever worker is free, so
 * that a result which is a function of its item alone is the same for any number of workers.  Worker 0 is the thread
 * that calls lspo_workers_run(); the others sleep between runs.  All have the caller's floating-point mode while they
 * work for it.
 */
#ifndef LSPO_BASE_WORKERS_H
#define LSPO_BASE_WORKERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct lspo_workers lspo_workers_t;

/* `worker` is below lspo_workers_count(): which scratch to use. */
typedef void (*lspo_workers_function_t)(void *context, uint32_t worker, size_t item);

/* `count` workers, the caller of a run among them: 1 starts no thread.  cpus (may be NULL): the operating-system CPU
 * that each is bound to, `count` numbers of which the first, the caller's own, is not looked at.  LSPO_ERR_INPUT for
 * none, LSPO_ERR_MEMORY when a thread cannot be started.  Not while a run goes on: destroy. */
lspo_status_t lspo_workers_create(uint32_t count, const int *cpus, lspo_workers_t **workers_out);
void lspo_workers_destroy(lspo_workers_t *workers);

/* NULL counts as one worker: the calling thread. */
uint32_t lspo_workers_count(const lspo_workers_t *workers);
/* Does items 0 .. items - 1 and returns when all are done; what they wrote is then seen by the caller.  One run at a
 * time. */
void lspo_workers_run(lspo_workers_t *workers, size_t items, lspo_workers_function_t function, void *context);

#endif
