/* workers.h - a pool of threads that share work: of the CPU lane, of fits of projectors, of initial weights.
 *
 * A run has `items` independent pieces of work.  Each is done once, by any free worker, so a result that depends only
 * on its item is the same for any number of workers.  Worker 0 is the thread that calls lspo_workers_run(); the others
 * sleep between runs.  During a run all have the caller's floating-point mode.
 */
#ifndef LSPO_BASE_WORKERS_H
#define LSPO_BASE_WORKERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct lspo_workers lspo_workers_t;

/* `worker` is below lspo_workers_count(); it selects the scratch memory. */
typedef void (*lspo_workers_function_t)(void *context, uint32_t worker, size_t item);

/* `count` workers, including the caller of a run: 1 starts no thread. cpus (may be NULL): the operating-system CPU to
 * which each is bound, `count` numbers, of which the caller's own, the first, is ignored.  LSPO_ERR_INPUT if `count` is
 * 0, LSPO_ERR_MEMORY if a thread cannot be started.  Do not destroy the pool during a run. */
lspo_status_t lspo_workers_create(uint32_t count, const int *cpus, lspo_workers_t **workers_out);
/* How many CPUs the process may use; 1 if that is not known. */
uint32_t lspo_workers_cpus(void);
/* One worker per CPU that the process may use; NULL, the calling thread alone, if that fails. */
lspo_workers_t *lspo_workers_of_process(void);
void lspo_workers_destroy(lspo_workers_t *workers);

/* NULL is a pool of one worker, the calling thread. */
uint32_t lspo_workers_count(const lspo_workers_t *workers);
/* Does items 0 .. items - 1 and returns when all are done; the caller then sees what they wrote.  Only one run at a
 * time. */
void lspo_workers_run(lspo_workers_t *workers, size_t items, lspo_workers_function_t function, void *context);

#endif
