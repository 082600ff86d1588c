/* ranks.c - see ranks.h. */
#include "sweep/ranks.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "sweep/chunk.h"

enum { PAUSE_NS = 200000 };

static const char plugin_name[] = "liblspo-mpi.so";

/* ---- starting ---- */

static long number_of(const char *name)
{
    const char *text = getenv(name);
    return text != NULL ? strtol(text, NULL, 10) : 0;
}

/* Open MPI's mpirun, MPICH's, and srun with either of their interfaces. */
static bool is_launched(void)
{
    return number_of("OMPI_COMM_WORLD_SIZE") > 1 || number_of("PMI_SIZE") > 1 ||
           (number_of("SLURM_STEP_NUM_TASKS") > 1 && (getenv("PMIX_RANK") != NULL || getenv("PMI_RANK") != NULL));
}

/* In the build folder beside the program; installed in ../lib/lspo. */
static void *open_plugin(void)
{
    static const char *const places[] = {"", "../lib/lspo/"};
    char program[PATH_MAX], path[PATH_MAX + 64];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    void *library = NULL;
    if (length <= 0)
        return NULL;
    program[length] = '\0';
    *(strrchr(program, '/') + 1) = '\0';
    for (size_t i = 0; library == NULL && i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, sizeof path, "%s%s%s", program, places[i], plugin_name);
        /* MPI finds its own parts only if its symbols are global. */
        library = access(path, F_OK) == 0 ? dlopen(path, RTLD_NOW | RTLD_GLOBAL) : NULL;
    }
    return library;
}

lspo_status_t lspo_ranks_start(lspo_ranks_t *ranks_out)
{
    lspo_ranks_t ranks = {.size = 1};
    const lspo_mpi_t *(*functions)(void) = NULL;
    if (is_launched()) {
        void *library = open_plugin(), *symbol = library != NULL ? dlsym(library, LSPO_MPI_SYMBOL) : NULL;
        if (symbol == NULL)
            return lspo_error(LSPO_ERR_INPUT,
                              "an MPI launcher has started this sweep, but %s cannot be opened (%s); "
                              "--shard needs no MPI",
                              plugin_name, library == NULL ? "was it built with MPI?" : "it is of another version");
        memcpy(&functions, &symbol, sizeof symbol);
        ranks.mpi = functions();
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
