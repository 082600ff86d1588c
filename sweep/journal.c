/* journal.c - see journal.h. */
#include "sweep/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/folder_lock.h"

enum { END_BYTES = 32, READ_BYTES = 1 << 16, FLUSH_NS = 1000000000 };

/* Where the rows of a block of cells are in the file. */
typedef struct {
    uint64_t first, end; /* bytes; first == end: no row */
} region_t;

struct lspo_journal {
    char *path;
    int descriptor;
    uint64_t cell_count, row_count, error_count, bytes;
    _Atomic uint64_t *seen; /* a bit per cell; set with the lock held */
    region_t *regions;      /* by block */
    pthread_mutex_t lock;
    uint64_t flushed_ns;
    bool dirty, broken; /* broken: a row could not be written, which has been said */
    char *line;         /* scratch of append() */
    size_t line_capacity;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t block_count(uint64_t cell_count)
{
    return cell_count / LSPO_JOURNAL_BLOCK + 1;
}

static lspo_status_t failed(const lspo_journal_t *journal, const char *what)
{
    return lspo_error(LSPO_ERR_IO, "cannot %s %s: %s", what, journal->path, strerror(errno));
}

bool lspo_journal_has(const lspo_journal_t *journal, uint64_t cell)
{
    return atomic_load_explicit(&journal->seen[cell / 64], memory_order_relaxed) >> cell % 64 & 1;
}

uint64_t lspo_journal_rows(const lspo_journal_t *journal)
{
    return journal->row_count;
}

uint64_t lspo_journal_errors(const lspo_journal_t *journal)
{
    return journal->error_count;
}

/* A row of `cell` is at [first, end). */
static void note_row(lspo_journal_t *journal, uint64_t cell, bool error, uint64_t first, uint64_t end)
{
    region_t *region = &journal->regions[cell / LSPO_JOURNAL_BLOCK];
    if (!lspo_journal_has(journal, cell)) {
        journal->row_count++;
        journal->error_count += error;
    }
    atomic_fetch_or_explicit(&journal->seen[cell / 64], UINT64_C(1) << cell % 64, memory_order_relaxed);
    if (region->first == region->end)
        *region = (region_t){first, end};
    region->first = first < region->first ? first : region->first;
    region->end = end > region->end ? end : region->end;
}

lspo_status_t lspo_journal_flush(lspo_journal_t *journal)
{
    return fdatasync(journal->descriptor) == 0 || errno == EINVAL ? LSPO_OK : failed(journal, "flush");
}

/* ---- reading ---- */

/* Lines of a part of the file. */
typedef struct {
    const lspo_journal_t *journal;
    uint64_t at, end; /* of the file: what is not in the buffer yet */
    char *buffer;     /* owned */
    size_t begin, filled, capacity;
    uint64_t line_at; /* of the last line */
} lines_t;

static lspo_status_t fill(lines_t *lines)
{
    if (lines->begin > 0) /* there is a buffer */
        memmove(lines->buffer, lines->buffer + lines->begin, lines->filled - lines->begin);
    lines->filled -= lines->begin;
    lines->begin = 0;
    lspo_status_t status =
        lspo_array_grow(&lines->buffer, &lines->capacity, lines->filled + READ_BYTES, 1, "bytes of a row");
    if (status != LSPO_OK)
        return status;
    size_t wanted = lines->end - lines->at < READ_BYTES ? (size_t)(lines->end - lines->at) : READ_BYTES;
    ssize_t got = pread(lines->journal->descriptor, lines->buffer + lines->filled, wanted, (off_t)lines->at);
    if (got < 0)
        return failed(lines->journal, "read");
    if (got == 0)
        lines->end = lines->at;
    lines->at += (uint64_t)got;
    lines->filled += (size_t)got;
    return LSPO_OK;
}

/* The next line with its end; *length_out 0: there is none. */
static lspo_status_t next_line(lines_t *lines, const char **line_out, size_t *length_out)
{
    for (size_t searched = 0;;) {
        char *start = lines->buffer + lines->begin;
        size_t there = lines->filled - lines->begin;
        const char *end = there > searched ? memchr(start + searched, '\n', there - searched) : NULL;
        if (end != NULL) {
            *line_out = start;
            *length_out = (size_t)(end - start) + 1;
            lines->line_at = lines->at - there;
            lines->begin += *length_out;
            return LSPO_OK;
        }
        searched = there;
        if (lines->at == lines->end) {
            *length_out = 0;
            return LSPO_OK;
        }
        lspo_status_t status = fill(lines);
        if (status != LSPO_OK)
            return status;
    }
}

size_t lspo_row_prefix(uint64_t cell, const lspo_row_t *row, char text_out[LSPO_ROW_PREFIX_BYTES])
{
    return (size_t)snprintf(text_out, LSPO_ROW_PREFIX_BYTES, "%" PRIu64 "%c", cell, row->error ? '!' : ',');
}

lspo_row_t lspo_row_of_line(const char *line, size_t bytes, uint64_t *cell_out)
{
    uint64_t cell = 0;
    size_t digits = 0;
    for (; digits < bytes && digits < LSPO_ROW_PREFIX_BYTES && line[digits] >= '0' && line[digits] <= '9'; digits++)
        cell = 10 * cell + (uint64_t)(line[digits] - '0');
    if (digits == 0 || digits > 19 || digits == bytes || (line[digits] != ',' && line[digits] != '!'))
        return (lspo_row_t){0};
    *cell_out = cell;
    return (lspo_row_t){line + digits + 1, bytes - digits - 1, line[digits] == '!'};
}

/* The row of a line with its end; text is NULL if it is no such line. */
static lspo_row_t parse_line(const lspo_journal_t *journal, const char *line, size_t length, uint64_t *cell_out)
{
    lspo_row_t row = lspo_row_of_line(line, length - 1, cell_out);
    if (row.text == NULL || *cell_out >= journal->cell_count || memchr(line, '\0', length) != NULL)
        return (lspo_row_t){0};
    return row;
}

/* The first line; *title_out is malloc'd, NULL if there is no whole one. */
static lspo_status_t read_title(lines_t *lines, char **title_out)
{
    const char *line;
    size_t length;
    lspo_status_t status = next_line(lines, &line, &length);
    *title_out = NULL;
    if (status != LSPO_OK || length == 0)
        return status;
    *title_out = strndup(line, length - 1);
    return *title_out ? LSPO_OK : lspo_no_memory("%s", lines->journal->path);
}

/* Note all rows, up to the first line that is torn. */
static lspo_status_t read_rows(lines_t *lines, lspo_journal_t *journal)
{
    const char *line;
    size_t length;
    while (true) {
        uint64_t cell = 0;
        lspo_status_t status = next_line(lines, &line, &length);
        if (status != LSPO_OK || length == 0)
            return status;
        const lspo_row_t row = parse_line(journal, line, length, &cell);
        if (row.text == NULL)
            return LSPO_OK;
        journal->bytes = lines->line_at + length;
        note_row(journal, cell, row.error, lines->line_at, journal->bytes);
    }
}

static lspo_status_t size_of(const lspo_journal_t *journal, uint64_t *bytes_out)
{
    off_t bytes = lseek(journal->descriptor, 0, SEEK_END);
    if (bytes < 0)
        return failed(journal, "read");
    *bytes_out = (uint64_t)bytes;
    return LSPO_OK;
}

/* ---- opening ---- */

static lspo_status_t create(const char *path, uint64_t cell_count, lspo_journal_t **journal_out)
{
    lspo_journal_t *journal = calloc(1, sizeof *journal);
    if (!journal)
        return lspo_no_memory("a journal");
    journal->descriptor = -1;
    journal->cell_count = cell_count;
    pthread_mutex_init(&journal->lock, NULL);
    journal->path = strdup(path);
    journal->seen = calloc(cell_count / 64 + 1, sizeof *journal->seen);
    journal->regions = calloc(block_count(cell_count), sizeof *journal->regions);
    if (!journal->path || !journal->seen || !journal->regions) {
        lspo_journal_close(journal);
        return lspo_no_memory("the journal of %" PRIu64 " cells", cell_count);
    }
    *journal_out = journal;
    return LSPO_OK;
}

static lspo_status_t append_all(lspo_journal_t *journal, const char *text, size_t bytes)
{
    ssize_t written;
    do
        written = write(journal->descriptor, text, bytes);
    while (written < 0 && errno == EINTR);
    if (written == (ssize_t)bytes) {
        journal->bytes += bytes;
        journal->dirty = true;
        return LSPO_OK;
    }
    /* Half a row must not stand before the rows of a later session. */
    if (written >= 0)
        errno = ENOSPC;
    int error = errno;
    if (written > 0 && ftruncate(journal->descriptor, (off_t)journal->bytes) != 0)
        return failed(journal, "cut");
    errno = error;
    return failed(journal, "write");
}

static lspo_status_t write_title(lspo_journal_t *journal, const char *title)
{
    char *line;
    int bytes = asprintf(&line, "%s\n", title);
    if (bytes < 0)
        return lspo_no_memory("%s", journal->path);
    lspo_status_t status = ftruncate(journal->descriptor, 0) == 0 ? LSPO_OK : failed(journal, "write");
    if (status == LSPO_OK)
        status = append_all(journal, line, (size_t)bytes);
    free(line);
    return status;
}

/* Read what is there, and cut what is torn. */
static lspo_status_t resume_journal(lspo_journal_t *journal, const char *title)
{
    char *known = NULL;
    uint64_t bytes = 0;
    lines_t lines = {.journal = journal};
    lspo_status_t status = size_of(journal, &bytes);
    if (status != LSPO_OK)
        return status;
    lines.end = bytes;
    status = read_title(&lines, &known);
    if (status == LSPO_OK && known == NULL) {
        status = write_title(journal, title);
    } else if (status == LSPO_OK && strcmp(known, title) != 0) {
        status = lspo_error(LSPO_ERR_INPUT,
                            "%s is of another sweep; remove it, or give the same grid, columns and version: it has "
                            "'%s', this is '%s'",
                            journal->path, known, title);
    } else if (status == LSPO_OK) {
        journal->bytes = strlen(known) + 1;
        status = read_rows(&lines, journal);
        if (status == LSPO_OK && journal->bytes < bytes && ftruncate(journal->descriptor, (off_t)journal->bytes) != 0)
            status = failed(journal, "cut");
    }
    free(known);
    free(lines.buffer);
    return status;
}

lspo_status_t lspo_journal_open(const char *path, const char *title, uint64_t cell_count, bool resume,
                                lspo_journal_t **journal_out)
{
    lspo_journal_t *journal;
    lspo_status_t status = create(path, cell_count, &journal);
    if (status != LSPO_OK)
        return status;
    int flags = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | (resume ? 0 : O_EXCL);
    journal->descriptor = open(path, flags, 0666);
    if (journal->descriptor < 0 && errno == EEXIST)
        status = lspo_error(LSPO_ERR_INPUT, "%s exists: --resume continues that sweep; remove it to start again", path);
    else if (journal->descriptor < 0)
        status = failed(journal, "write");
    else if (!lspo_lock_take(journal->descriptor))
        status = lspo_error(LSPO_ERR_INPUT, "%s: another lspo sweep is writing to it", path);
    if (status == LSPO_OK)
        status = resume_journal(journal, title);
    if (status != LSPO_OK) {
        lspo_journal_close(journal);
        return status;
    }
    journal->flushed_ns = now_ns();
    *journal_out = journal;
    return LSPO_OK;
}

/* The last line of a finished journal, with its end. */
static int write_end(const lspo_journal_t *journal, char text[END_BYTES])
{
    return snprintf(text, END_BYTES, "end %" PRIu64 "\n", journal->row_count);
}

lspo_status_t lspo_journal_finish(lspo_journal_t *journal)
{
    char text[END_BYTES];
    int bytes = write_end(journal, text);
    lspo_status_t status = append_all(journal, text, (size_t)bytes);
    return status == LSPO_OK ? lspo_journal_flush(journal) : status;
}

/* Is that line, and nothing else, behind the rows? */
static lspo_status_t check_end(const lspo_journal_t *journal)
{
    char expected[END_BYTES], text[END_BYTES];
    ssize_t bytes = write_end(journal, expected);
    ssize_t got = pread(journal->descriptor, text, sizeof text, (off_t)journal->bytes);
    if (got < 0)
        return failed(journal, "read");
    if (got == bytes && memcmp(text, expected, (size_t)bytes) == 0)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT,
                      "%s is not whole: %" PRIu64 " rows can be read, and the line 'end %" PRIu64
                      "' does not follow them; play that shard again",
                      journal->path, journal->row_count, journal->row_count);
}

lspo_status_t lspo_journal_open_finished(const char *path, uint64_t cell_count, lspo_journal_t **journal_out,
                                         char **title_out)
{
    lspo_journal_t *journal;
    lines_t lines = {0};
    lspo_status_t status = create(path, cell_count, &journal);
    if (status != LSPO_OK)
        return status;
    char *title = NULL;
    journal->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    lines.journal = journal;
    if (journal->descriptor < 0)
        status = lspo_error(LSPO_ERR_INPUT, "%s: %s", path, strerror(errno));
    if (status == LSPO_OK)
        status = size_of(journal, &lines.end);
    if (status == LSPO_OK)
        status = read_title(&lines, &title);
    if (status == LSPO_OK && title == NULL)
        status = lspo_error(LSPO_ERR_INPUT, "%s is not a shard of a sweep", path);
    if (status == LSPO_OK)
        journal->bytes = strlen(title) + 1;
    if (status == LSPO_OK)
        status = read_rows(&lines, journal);
    if (status == LSPO_OK)
        status = check_end(journal);
    free(lines.buffer);
    if (status != LSPO_OK) {
        free(title);
        lspo_journal_close(journal);
        return status;
    }
    *journal_out = journal;
    *title_out = title;
    return LSPO_OK;
}

void lspo_journal_close(lspo_journal_t *journal)
{
    if (!journal)
        return;
    if (journal->descriptor >= 0)
        close(journal->descriptor);
    pthread_mutex_destroy(&journal->lock);
    free(journal->line);
    free(journal->regions);
    free(journal->seen);
    free(journal->path);
    free(journal);
}

/* ---- appending ---- */

/* With the lock held.  *due_out: the caller flushes when it has given the lock back. */
static lspo_status_t append(lspo_journal_t *journal, uint64_t cell, const lspo_row_t *row, bool *due_out)
{
    lspo_status_t status = lspo_array_grow(&journal->line, &journal->line_capacity, row->bytes + LSPO_ROW_PREFIX_BYTES,
                                           1, "bytes of a row");
    if (status != LSPO_OK)
        return status;
    size_t prefix = lspo_row_prefix(cell, row, journal->line);
    memcpy(journal->line + prefix, row->text, row->bytes);
    journal->line[prefix + row->bytes] = '\n';
    uint64_t first = journal->bytes;
    status = append_all(journal, journal->line, prefix + row->bytes + 1);
    if (status != LSPO_OK)
        return status;
    note_row(journal, cell, row->error, first, journal->bytes);
    uint64_t now = now_ns();
    *due_out = journal->dirty && now - journal->flushed_ns >= FLUSH_NS;
    if (*due_out) {
        journal->flushed_ns = now;
        journal->dirty = false;
    }
    return LSPO_OK;
}

lspo_status_t lspo_journal_append(lspo_journal_t *journal, uint64_t cell, const lspo_row_t *row)
{
    bool due = false;
    pthread_mutex_lock(&journal->lock);
    lspo_status_t status = journal->broken ? LSPO_ERR_IO : append(journal, cell, row, &due);
    journal->broken |= status != LSPO_OK;
    pthread_mutex_unlock(&journal->lock);
    return status == LSPO_OK && due ? lspo_journal_flush(journal) : status;
}

/* ---- in order ---- */

/* A block of cells: which journal has each row, and where. */
typedef struct {
    uint64_t first_cell;
    uint64_t *at; /* by cell; UINT64_MAX: no row */
    uint16_t *journal;
} block_t;

static lspo_status_t find_rows(const lspo_journal_t *journal, uint16_t number, block_t *block)
{
    const region_t *region = &journal->regions[block->first_cell / LSPO_JOURNAL_BLOCK];
    lines_t lines = {.journal = journal, .at = region->first, .end = region->end};
    const char *line;
    size_t length = 0;
    lspo_status_t status = LSPO_OK;
    while (region->first < region->end) {
        uint64_t cell = 0;
        status = next_line(&lines, &line, &length);
        if (status != LSPO_OK || length == 0)
            break;
        if (parse_line(journal, line, length, &cell).text == NULL || cell < block->first_cell ||
            cell - block->first_cell >= LSPO_JOURNAL_BLOCK || block->at[cell - block->first_cell] != UINT64_MAX)
            continue;
        block->at[cell - block->first_cell] = lines.line_at;
        block->journal[cell - block->first_cell] = number;
    }
    free(lines.buffer);
    return status;
}

/* Go to a line that begins at `at`, in the buffer if it is there: rows are nearly in order. */
static void seek_line(lines_t *lines, uint64_t at)
{
    uint64_t buffer_at = lines->at - lines->filled;
    if (lines->filled > 0 && at >= buffer_at && at < lines->at) {
        lines->begin = (size_t)(at - buffer_at);
        return;
    }
    lines->begin = lines->filled = 0;
    lines->at = at;
    lines->end = lines->journal->bytes;
}

static lspo_status_t give_rows(lspo_journal_t *const *journals, lines_t *readers, const block_t *block,
                               lspo_journal_row_t each, void *context)
{
    for (size_t i = 0; i < LSPO_JOURNAL_BLOCK; i++) {
        const char *line;
        size_t length;
        uint64_t cell;
        if (block->at[i] == UINT64_MAX)
            continue;
        lines_t *lines = &readers[block->journal[i]];
        const lspo_journal_t *journal = journals[block->journal[i]];
        seek_line(lines, block->at[i]);
        lspo_status_t status = next_line(lines, &line, &length);
        if (status != LSPO_OK)
            return status;
        const lspo_row_t row = length > 0 ? parse_line(journal, line, length, &cell) : (lspo_row_t){0};
        if (row.text == NULL)
            return lspo_error(LSPO_ERR_IO, "%s has changed while it was read", journal->path);
        status = each(context, row.text, row.bytes);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static lspo_status_t order_block(lspo_journal_t *const *journals, uint32_t count, lines_t *readers, block_t *block,
                                 lspo_journal_row_t each, void *context)
{
    memset(block->at, 0xff, LSPO_JOURNAL_BLOCK * sizeof *block->at);
    for (uint32_t j = 0; j < count; j++) {
        lspo_status_t status = find_rows(journals[j], (uint16_t)j, block);
        if (status != LSPO_OK)
            return status;
    }
    return give_rows(journals, readers, block, each, context);
}

lspo_status_t lspo_journals_order(lspo_journal_t *const *journals, uint32_t count, lspo_journal_row_t each,
                                  void *context)
{
    block_t block = {.at = malloc(LSPO_JOURNAL_BLOCK * sizeof *block.at),
                     .journal = malloc(LSPO_JOURNAL_BLOCK * sizeof *block.journal)};
    lines_t *readers = calloc(count, sizeof *readers);
    lspo_status_t status = block.at && block.journal && readers ? LSPO_OK : lspo_no_memory("a block of rows");
    for (uint32_t j = 0; status == LSPO_OK && j < count; j++)
        readers[j] = (lines_t){.journal = journals[j]};
    for (uint64_t b = 0; status == LSPO_OK && b < block_count(journals[0]->cell_count); b++) {
        block.first_cell = b * LSPO_JOURNAL_BLOCK;
        status = order_block(journals, count, readers, &block, each, context);
    }
    for (uint32_t j = 0; readers && j < count; j++)
        free(readers[j].buffer);
    free(readers);
    free(block.journal);
    free(block.at);
    return status;
}
