/* processes.h - play the cells of a sweep in processes, so that a crash costs a cell and not the sweep.
 *
 * This process hands out chunks of cells (sweep/chunk.h) and writes the rows.  Its children, each with one thread, play
 * them; a child lives until all is done or it crashes.  Then the cells of its chunk are played again one by one in
 * another child, and one that crashes that, too, gets a row of its own (lspo_sweep_crash_row_t).  A child that is
 * killed (SIGKILL, as by the kernel when memory is short) ends the sweep: it is not the cell's fault.
 */
#ifndef LSPO_SWEEP_PROCESSES_H
#define LSPO_SWEEP_PROCESSES_H

#include <stdint.h>

#include "base/status.h"
#include "sweep/play.h"

/* lspo_sweep_play() in `count` children, without workers.  The caller has no other threads.  With fewer, if there is
 * no room for so many, and in this process if there is for none.  LSPO_ERR_MEMORY also if a child is killed. */
lspo_status_t lspo_processes_play(uint32_t count, const lspo_sweep_play_t *play);

#endif
