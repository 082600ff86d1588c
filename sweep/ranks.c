/* ranks.c - see ranks.h. */
#include "sweep/ranks.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buffer.h"
#include "base/mpi.h"
#include "sweep/chunk.h"

enum { PAUSE_NS = 200000 };

lspo_status_t lspo_ranks_start(lspo_ranks_t *ranks_out)
{
    lspo_ranks_t ranks = {.size = 1};
    if (lspo_mpi_is_launched()) {
        lspo_status_t status = lspo_mpi_open("; --shard needs no MPI", &ranks.mpi);
        if (status != LSPO_OK)
            return status;
        if (ranks.mpi->start(&ranks.rank, &ranks.size) != 0)
            return lspo_error(LSPO_ERR_INTERNAL, "MPI does not start");
    }
    *ranks_out = ranks;
    return LSPO_OK;
}

void lspo_ranks_end(const lspo_ranks_t *ranks, lspo_status_t status)
{
    if (ranks->mpi == NULL)
        return;
    if (status != LSPO_OK)
        ranks->mpi->abort(lspo_status_exit_code(status));
    (void)ranks->mpi->end();
}

/* ---- messages ---- */

static lspo_status_t failed(void)
{
    return lspo_error(LSPO_ERR_IO, "a message of MPI failed");
}

/* The next message, of any rank. */
static lspo_status_t receive(const lspo_ranks_t *ranks, const atomic_int *stop, lspo_buffer_t *message, int *from_out)
{
    static const struct timespec pause = {.tv_nsec = PAUSE_NS};
    int count;
    while (true) {
        if (atomic_load(stop))
            return LSPO_ERR_INTERRUPTED;
        if (ranks->mpi->look(from_out, &count) != 0)
            return failed();
        if (*from_out >= 0)
            break;
        nanosleep(&pause, NULL);
    }
    message->bytes = 0;
    if ((size_t)count + 1 > message->capacity) {
        char *text = realloc(message->text, (size_t)count + 1);
        if (text == NULL)
            return lspo_no_memory("a message of %d bytes", count);
        message->text = text;
        message->capacity = (size_t)count + 1;
    }
    if (ranks->mpi->receive(message->text, count, *from_out) != 0)
        return failed();
    message->bytes = (size_t)count;
    message->text[count] = '\0';
    return LSPO_OK;
}

/* ---- rank 0 ---- */

static lspo_status_t lead(const lspo_ranks_t *ranks, const lspo_sweep_play_t *play)
{
    uint64_t chunk[LSPO_CHUNK_CELLS], before = lspo_journal_rows(play->journal);
    lspo_chunks_t chunks = lspo_chunks_of(play);
    lspo_buffer_t message = {0};
    lspo_status_t status = LSPO_OK;
    for (int working = ranks->size - 1; status == LSPO_OK && working > 0;) {
        int from;
        status = receive(ranks, play->stop, &message, &from);
        if (status == LSPO_OK)
            status = lspo_chunk_keep(play, message.text, message.bytes);
        if (status != LSPO_OK)
            break;
        int count = lspo_chunks_next(&chunks, LSPO_CHUNK_CELLS, chunk);
        if (ranks->mpi->send(chunk, count * (int)sizeof chunk[0], from) != 0)
            status = failed();
        working -= count == 0;
        play->progress(play->progress_context, chunks.next, chunks.count, before);
    }
    free(message.text);
    lspo_status_t flushed = lspo_journal_flush(play->journal);
    return status != LSPO_OK ? status : flushed;
}

/* ---- the others ---- */

typedef struct {
    const lspo_sweep_play_t *play;
    const uint64_t *cells;
    lspo_buffer_t rows;
    pthread_mutex_t lock;
    lspo_status_t status; /* the first error */
} chunk_t;

static void play_item(void *context, uint32_t worker, size_t item)
{
    chunk_t *chunk = context;
    const lspo_sweep_play_t *play = chunk->play;
    lspo_sweep_cell_t cell;
    lspo_row_t row = {0};
    if (!lspo_sweep_grid_cell(play->grid, chunk->cells[item], &cell))
        return;
    lspo_status_t status = play->row(play->row_context, worker, &cell, &row);
    pthread_mutex_lock(&chunk->lock);
    if (status == LSPO_OK && row.text != NULL)
        status = lspo_chunk_add(&chunk->rows, chunk->cells[item], &row);
    if (chunk->status == LSPO_OK)
        chunk->status = status;
    pthread_mutex_unlock(&chunk->lock);
}

static lspo_status_t follow(const lspo_ranks_t *ranks, const lspo_sweep_play_t *play)
{
    chunk_t chunk = {.play = play, .lock = PTHREAD_MUTEX_INITIALIZER};
    lspo_buffer_t message = {0};
    lspo_status_t status = LSPO_OK;
    while (status == LSPO_OK) {
        int from;
        if (ranks->mpi->send(chunk.rows.text != NULL ? chunk.rows.text : "", (int)chunk.rows.bytes, 0) != 0)
            status = failed();
        else
            status = receive(ranks, play->stop, &message, &from);
        if (status != LSPO_OK || message.bytes == 0)
            break;
        chunk.rows.bytes = 0;
        chunk.cells = (const uint64_t *)(const void *)message.text;
        lspo_workers_run(play->workers, message.bytes / sizeof(uint64_t), play_item, &chunk);
        status = chunk.status;
    }
    free(message.text);
    free(chunk.rows.text);
    return status;
}

lspo_status_t lspo_ranks_play(const lspo_ranks_t *ranks, const lspo_sweep_play_t *play)
{
    return ranks->rank == 0 ? lead(ranks, play) : follow(ranks, play);
}
