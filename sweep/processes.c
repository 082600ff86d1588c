/* processes.c - see processes.h. */
#include "sweep/processes.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sweep/chunk.h"

enum { READ_BYTES = 1 << 16, SEND_BYTES = 1 << 15, POLL_MS = 200, SHARES = 4 };

/* Behind the rows of a chunk: it is done, or an error has ended it. */
static const char done_line[] = ".\n";

typedef struct {
    uint32_t count;
    uint64_t cells[LSPO_CHUNK_CELLS];
} chunk_t;

typedef struct {
    pid_t pid;    /* 0: none */
    int to, from; /* pipes */
    bool busy;
    chunk_t chunk;
    lspo_buffer_t lines;
} child_t;

typedef struct {
    const lspo_sweep_play_t *play;
    lspo_chunks_t chunks;
    uint64_t before;
    uint64_t *again; /* owned: cells of chunks in which a child has crashed, to be played one by one.  A child that
                        takes a whole chunk leaves none, so there is at most a chunk per child. */
    uint32_t again_count;
    child_t *children;
    uint32_t count;
    atomic_int *stop; /* shared with the children */
    lspo_status_t status;
} parent_t;

/* ---- in a child ---- */

static bool write_all(int descriptor, const char *text, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(descriptor, text, bytes);
        if (written < 0 && errno != EINTR)
            return false;
        text += written > 0 ? written : 0;
        bytes -= written > 0 ? (size_t)written : 0;
    }
    return true;
}

static bool read_all(int descriptor, void *memory, size_t bytes)
{
    char *at = memory;
    while (bytes > 0) {
        ssize_t got = read(descriptor, at, bytes);
        if (got == 0 || (got < 0 && errno != EINTR))
            return false;
        at += got > 0 ? got : 0;
        bytes -= got > 0 ? (size_t)got : 0;
    }
    return true;
}

static bool send_lines(int descriptor, lspo_buffer_t *lines)
{
    bool sent = write_all(descriptor, lines->text != NULL ? lines->text : "", lines->bytes);
    lines->bytes = 0;
    return sent;
}

static lspo_status_t play_chunk(const parent_t *parent, const chunk_t *chunk, int to, lspo_buffer_t *lines)
{
    const lspo_sweep_play_t *play = parent->play;
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; i < chunk->count && status == LSPO_OK && !atomic_load(parent->stop); i++) {
        lspo_sweep_cell_t cell;
        lspo_row_t row = {0};
        if (!lspo_sweep_grid_cell(play->grid, chunk->cells[i], &cell))
            continue;
        status = play->row(play->row_context, 0, &cell, &row);
        if (status == LSPO_OK && row.text != NULL)
            status = lspo_chunk_add(lines, cell.index, &row);
        if (lines->bytes >= SEND_BYTES && !send_lines(to, lines))
            _exit(0); /* the parent is gone */
    }
    return status;
}

/* Until there is no more to do.  Signals are the parent's; it says when to stop, and takes this process along. */
static _Noreturn void serve(const parent_t *parent, int from, int to)
{
    lspo_buffer_t lines = {0};
    chunk_t chunk;
    sigset_t signals;
    char text[32];
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (read_all(from, &chunk, sizeof chunk)) {
        lspo_status_t status = play_chunk(parent, &chunk, to, &lines);
        if (!send_lines(to, &lines))
            break;
        snprintf(text, sizeof text, "?%d\n", (int)status);
        const char *last = status == LSPO_OK ? done_line : text;
        if (!write_all(to, last, strlen(last)))
            break;
    }
    _exit(0);
}

/* ---- in the parent ---- */

static void close_child(child_t *child)
{
    if (child->to >= 0)
        close(child->to);
    if (child->from >= 0)
        close(child->from);
    child->to = child->from = -1;
}

/* False: there is no room for another process.  The pipes of other children are closed in a new one, which would keep
 * them open. */
static bool start_child(parent_t *parent, child_t *child)
{
    int down[2], up[2];
    if (pipe(down) != 0)
        return false;
    if (pipe(up) != 0) {
        close(down[0]);
        close(down[1]);
        return false;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        for (uint32_t i = 0; i < parent->count; i++)
            close_child(&parent->children[i]);
        close(down[1]);
        close(up[0]);
        serve(parent, down[0], up[1]);
    }
    close(down[0]);
    close(up[1]);
    child->pid = pid > 0 ? pid : 0;
    child->to = down[1];
    child->from = up[0];
    child->busy = false;
    child->lines.bytes = 0;
    if (pid < 0)
        close_child(child);
    return pid > 0;
}

static void stop_with(parent_t *parent, lspo_status_t status)
{
    if (parent->status == LSPO_OK)
        parent->status = status;
    atomic_store(parent->stop, 1);
}

/* The next chunk: cells that are played again, alone; else of those that have not been handed out. */
static void hand_out(parent_t *parent, child_t *child)
{
    if (parent->again_count > 0) {
        child->chunk.count = 1;
        child->chunk.cells[0] = parent->again[--parent->again_count];
    } else {
        /* Towards the end smaller ones, so that all children end together. */
        uint64_t share = (parent->chunks.count - parent->chunks.next) / ((uint64_t)SHARES * parent->count) + 1;
        int most = share < LSPO_CHUNK_CELLS ? (int)share : LSPO_CHUNK_CELLS;
        child->chunk.count = (uint32_t)lspo_chunks_next(&parent->chunks, most, child->chunk.cells);
    }
    child->busy = child->chunk.count > 0;
    if (!child->busy) { /* nothing is left: let it end */
        close(child->to);
        child->to = -1;
    } else if (!write_all(child->to, (const char *)&child->chunk, sizeof child->chunk)) {
        child->busy = true; /* it has crashed between two chunks, which the end of its pipe will say */
    }
}

/* Rows up to the last whole line, and the end of the chunk. */
static void take_lines(parent_t *parent, child_t *child)
{
    lspo_buffer_t *lines = &child->lines;
    const char *end = lines->bytes > 0 ? memrchr(lines->text, '\n', lines->bytes) : NULL;
    if (end == NULL)
        return;
    size_t whole = (size_t)(end - lines->text) + 1;
    const char *last = memrchr(lines->text, '\n', whole - 1);
    last = last != NULL ? last + 1 : lines->text;
    bool ends = *last == '.' || *last == '?';
    lspo_status_t status = lspo_chunk_keep(parent->play, lines->text, ends ? (size_t)(last - lines->text) : whole);
    if (status == LSPO_OK && ends && *last == '?')
        status = (lspo_status_t)strtol(last + 1, NULL, 10);
    if (status != LSPO_OK)
        stop_with(parent, status);
    if (ends)
        child->busy = false;
    memmove(lines->text, lines->text + whole, lines->bytes - whole);
    lines->bytes -= whole;
}

static lspo_status_t write_crash(parent_t *parent, uint64_t index, int signal)
{
    const lspo_sweep_play_t *play = parent->play;
    lspo_sweep_cell_t cell;
    lspo_row_t row = {0};
    if (!lspo_sweep_grid_cell(play->grid, index, &cell))
        return LSPO_OK;
    lspo_status_t status = play->crash_row(play->row_context, &cell, signal, &row);
    return status == LSPO_OK ? lspo_journal_append(play->journal, index, &row) : status;
}

/* A child that has ended in the middle of a chunk. */
static void bury(parent_t *parent, child_t *child)
{
    int state = 0;
    waitpid(child->pid, &state, 0);
    close_child(child);
    child->pid = 0;
    if (!child->busy || parent->status != LSPO_OK)
        return;
    int signal = WIFSIGNALED(state) ? WTERMSIG(state) : 0;
    if (signal == SIGKILL || signal == 0) {
        stop_with(parent, lspo_error(LSPO_ERR_MEMORY, "a process that plays cells was %s; --resume continues",
                                     signal == SIGKILL ? "killed, as when memory is short" : "ended from outside"));
        return;
    }
    lspo_status_t status = LSPO_OK;
    if (child->chunk.count == 1)
        status = write_crash(parent, child->chunk.cells[0], signal);
    for (uint32_t i = 0; child->chunk.count > 1 && i < child->chunk.count; i++)
        if (!lspo_journal_has(parent->play->journal, child->chunk.cells[i]))
            parent->again[parent->again_count++] = child->chunk.cells[i];
    if (status == LSPO_OK && !start_child(parent, child))
        status = lspo_no_memory("a process in place of one that crashed");
    if (status != LSPO_OK)
        stop_with(parent, status);
    else
        hand_out(parent, child);
}

static void serve_child(parent_t *parent, child_t *child)
{
    char text[READ_BYTES];
    ssize_t got = read(child->from, text, sizeof text);
    if (got < 0 && errno == EINTR)
        return;
    if (got <= 0) {
        bury(parent, child);
        return;
    }
    lspo_status_t status = lspo_buffer_append(&child->lines, text, (size_t)got);
    if (status != LSPO_OK) {
        stop_with(parent, status);
        return;
    }
    take_lines(parent, child);
    if (child->busy)
        return;
    parent->play->progress(parent->play->progress_context, parent->chunks.next, parent->chunks.count, parent->before);
    if (atomic_load(parent->stop)) {
        if (child->to >= 0)
            close(child->to);
        child->to = -1;
    } else if (child->to >= 0) {
        hand_out(parent, child);
    }
}

/* Wait for any child; false when none is left. */
static bool serve_some(parent_t *parent, struct pollfd *polled)
{
    nfds_t count = 0;
    bool busy = false;
    for (uint32_t i = 0; i < parent->count; i++)
        if (parent->children[i].pid > 0) {
            polled[count++] = (struct pollfd){.fd = parent->children[i].from, .events = POLLIN};
            busy |= parent->children[i].busy;
        }
    if (count == 0)
        return false;
    int ready = poll(polled, count, POLL_MS);
    if (busy && atomic_load(parent->play->stop))
        stop_with(parent, LSPO_ERR_INTERRUPTED);
    for (uint32_t i = 0; i < parent->count && ready > 0; i++)
        for (nfds_t p = 0; p < count; p++)
            if (parent->children[i].pid > 0 && polled[p].fd == parent->children[i].from && polled[p].revents != 0) {
                polled[p].revents = 0;
                serve_child(parent, &parent->children[i]);
                break;
            }
    return true;
}

static lspo_status_t create(uint32_t count, parent_t *parent)
{
    void *shared = mmap(NULL, sizeof *parent->stop, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return lspo_no_memory("a shared page");
    parent->stop = shared;
    parent->children = calloc(count, sizeof *parent->children);
    parent->again = calloc((size_t)count * LSPO_CHUNK_CELLS, sizeof *parent->again);
    if (parent->children == NULL || parent->again == NULL)
        return lspo_no_memory("%u processes", count);
    parent->count = count;
    for (uint32_t i = 0; i < count; i++)
        parent->children[i].to = parent->children[i].from = -1;
    return LSPO_OK;
}

static void destroy(parent_t *parent)
{
    for (uint32_t i = 0; i < parent->count; i++)
        free(parent->children[i].lines.text);
    free(parent->children);
    free(parent->again);
    if (parent->stop != NULL)
        munmap(parent->stop, sizeof *parent->stop);
}

/* Returns how many there are. */
static uint32_t start_children(parent_t *parent)
{
    uint32_t started = 0;
    while (started < parent->count && start_child(parent, &parent->children[started]))
        hand_out(parent, &parent->children[started++]);
    return started;
}

static lspo_status_t play_apart(parent_t *parent)
{
    struct pollfd *polled = calloc(parent->count, sizeof *polled);
    if (polled == NULL)
        return lspo_no_memory("%u processes", parent->count);
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    bool none = start_children(parent) == 0;
    while (serve_some(parent, polled)) {
    }
    signal(SIGPIPE, before);
    free(polled);
    return none ? lspo_sweep_play(parent->play) : parent->status;
}

lspo_status_t lspo_processes_play(uint32_t count, const lspo_sweep_play_t *play)
{
    parent_t parent = {.play = play, .chunks = lspo_chunks_of(play), .before = lspo_journal_rows(play->journal)};
    if (count > parent.chunks.count)
        count = parent.chunks.count > 0 ? (uint32_t)parent.chunks.count : 1;
    lspo_status_t status = create(count, &parent);
    if (status == LSPO_OK)
        status = play_apart(&parent);
    destroy(&parent);
    lspo_status_t flushed = lspo_journal_flush(play->journal);
    return status != LSPO_OK ? status : flushed;
}
