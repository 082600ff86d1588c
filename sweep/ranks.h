/* ranks.h - play a sweep on the ranks of an MPI job: rank 0 hands out chunks of cells and writes the journal, the
 * others play them.
 *
 * A rank asks for work with the rows of its last chunk: lines "CELL,ROW" as in the journal.  The answer is the
 * numbers of the cells of the next chunk; none: there is no more.  A rank that is killed ends the job, as MPI has it;
 * the journal then has all rows that rank 0 has got, and --resume plays the others.
 */
#ifndef LSPO_SWEEP_RANKS_H
#define LSPO_SWEEP_RANKS_H

#include <stdbool.h>

#include "base/mpi_plugin.h"
#include "base/status.h"
#include "sweep/play.h"

typedef struct {
    const lspo_mpi_t *mpi; /* NULL: no launcher, or one rank */
    int rank, size;
} lspo_ranks_t;

/* Start MPI if a launcher (mpirun, srun) has started this process with others.  LSPO_ERR_INPUT if the plug-in cannot be
 * opened. */
lspo_status_t lspo_ranks_start(lspo_ranks_t *ranks_out);

/* End MPI after all ranks have ended their work, or with a failure all of them at once. */
void lspo_ranks_end(const lspo_ranks_t *ranks, lspo_status_t status);

/* Like lspo_sweep_play(), on all ranks; only rank 0 has a journal, and needs no row function. */
lspo_status_t lspo_ranks_play(const lspo_ranks_t *ranks, const lspo_sweep_play_t *play);

#endif
