/* play.c - see play.h. */
#include "sweep/play.h"

#include <stdbool.h>

/* The state that workers share. */
typedef struct {
    const lspo_sweep_play_t *play;
    atomic_int status;         /* the first error */
    atomic_uint_fast64_t done; /* cells of the shard, with those that are left out */
    uint64_t count, before;
} run_t;

static uint64_t shard_cells(const lspo_sweep_play_t *play)
{
    uint64_t cells = play->grid->cell_count;
    return cells > play->shard ? (cells - play->shard - 1) / play->shard_count + 1 : 0;
}

static void stop_with(run_t *run, lspo_status_t status)
{
    int none = LSPO_OK;
    atomic_compare_exchange_strong(&run->status, &none, status);
}

static lspo_status_t play_cell(run_t *run, uint32_t worker, uint64_t index)
{
    const lspo_sweep_play_t *play = run->play;
    lspo_sweep_cell_t cell;
    lspo_row_t row = {0};
    if (!lspo_sweep_grid_cell(play->grid, index, &cell))
        return LSPO_OK;
    lspo_status_t status = play->row(play->row_context, worker, &cell, &row);
    return status == LSPO_OK && row.text != NULL ? lspo_journal_append(play->journal, index, &row) : status;
}

/* An item is the place of a cell in the shard. */
static void do_item(void *context, uint32_t worker, size_t item)
{
    run_t *run = context;
    const lspo_sweep_play_t *play = run->play;
    uint64_t index = play->shard + (uint64_t)item * play->shard_count;
    if (atomic_load_explicit(&run->status, memory_order_relaxed) != LSPO_OK)
        return;
    if (atomic_load_explicit(play->stop, memory_order_relaxed)) {
        stop_with(run, LSPO_ERR_INTERRUPTED);
        return;
    }
    if (!lspo_journal_has(play->journal, index)) {
        lspo_status_t status = play_cell(run, worker, index);
        if (status != LSPO_OK) {
            stop_with(run, status);
            return;
        }
    }
    uint64_t done = atomic_fetch_add_explicit(&run->done, 1, memory_order_relaxed) + 1;
    if (worker == 0)
        play->progress(play->progress_context, done, run->count, run->before);
}

lspo_status_t lspo_sweep_play(const lspo_sweep_play_t *play)
{
    run_t run = {.play = play, .count = shard_cells(play), .before = lspo_journal_rows(play->journal)};
    lspo_workers_run(play->workers, (size_t)run.count, do_item, &run);
    lspo_status_t flushed = lspo_journal_flush(play->journal);
    lspo_status_t status = (lspo_status_t)atomic_load(&run.status);
    return status != LSPO_OK ? status : flushed;
}
