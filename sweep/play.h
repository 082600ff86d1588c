/* play.h - play the cells of a sweep on all workers, into its journal. */
#ifndef LSPO_SWEEP_PLAY_H
#define LSPO_SWEEP_PLAY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/workers.h"
#include "sweep/grid.h"
#include "sweep/journal.h"

/* Predict or measure a cell.  Its row is valid until the worker's next call; without a text: a constraint leaves the
 * cell out.  What is wrong with a cell is part of its row; an error returned ends the sweep. */
typedef lspo_status_t (*lspo_sweep_cell_row_t)(void *context, uint32_t worker, const lspo_sweep_cell_t *cell,
                                               lspo_row_t *row_out);

/* The row of a cell at which a process ended by a signal. */
typedef lspo_status_t (*lspo_sweep_crash_row_t)(void *context, const lspo_sweep_cell_t *cell, int signal,
                                                lspo_row_t *row_out);

typedef struct {
    const lspo_sweep_grid_t *grid;
    lspo_journal_t *journal;
    lspo_workers_t *workers;     /* NULL: the calling thread */
    uint32_t shard, shard_count; /* cells whose number leaves `shard` when divided by shard_count */
    lspo_sweep_cell_row_t row;
    lspo_sweep_crash_row_t crash_row; /* for lspo_processes_play() */
    void *row_context;
    const atomic_int *stop;
    /* Called now and then by the calling thread: cells done, of how many, and how many were done before. */
    void (*progress)(void *context, uint64_t done, uint64_t of, uint64_t before);
    void *progress_context;
} lspo_sweep_play_t;

/* Play all cells of the shard that the journal does not have.  Returns the first error, or LSPO_ERR_INTERRUPTED if
 * *stop was set; the journal then has all rows that were finished. */
lspo_status_t lspo_sweep_play(const lspo_sweep_play_t *play);

#endif
