/* Playing a sweep on several threads, and in several processes: each cell once, errors and interruptions end it, what
 * is there is not played. */
#include "sweep/play.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sweep/processes.h"
#include "tests/own_folder.h"

enum { CELLS = 3000, WORKERS = 4, ROW_BYTES = 32 };

static void enter_folder(void)
{
    make_folder();
    cr_assert_eq(chdir(folder), 0);
}

TestSuite(play, .init = enter_folder, .fini = remove_folder);

static lspo_status_t find(void *context, const char *what, const char *key, lspo_sweep_key_t *key_out)
{
    (void)context;
    (void)what;
    *key_out = (lspo_sweep_key_t){.kind = strcmp(key, "n") == 0 ? LSPO_SWEEP_INTEGER : LSPO_SWEEP_TEXT,
                                  .meaning = strcmp(key, "policy") == 0 ? "policy" : ""};
    return LSPO_OK;
}

static lspo_status_t check(void *context, const char *what, const lspo_sweep_key_t *key, const char *value,
                           const void **resolved_out)
{
    const lspo_policy_t *policy = NULL;
    (void)context;
    (void)what;
    if (*(const char *)key->meaning != '\0' && lspo_policy_find(value, &policy) != LSPO_OK)
        return LSPO_ERR_INPUT;
    *resolved_out = policy;
    return LSPO_OK;
}

static const lspo_sweep_language_t language = {.find = find, .check = check};

/* What the row functions share. */
typedef struct {
    lspo_sweep_grid_t grid;
    lspo_journal_t *journal;
    lspo_workers_t *workers;
    atomic_int stop, played;
    char rows[WORKERS][ROW_BYTES];
    uint64_t fails_at, stops_at, crashes_at, killed_at;
    int crashes;
} sweep_t;

static void progress(void *context, uint64_t done, uint64_t of, uint64_t before)
{
    (void)context;
    (void)before;
    cr_expect_leq(done, of);
}

/* The row of cell 17 is "17:18"; every tenth cell is left out. */
static lspo_status_t row(void *context, uint32_t worker, const lspo_sweep_cell_t *cell, lspo_row_t *row_out)
{
    sweep_t *sweep = context;
    atomic_fetch_add(&sweep->played, 1);
    if (cell->index >= sweep->fails_at)
        return lspo_error(LSPO_ERR_MEMORY, "made up");
    if (cell->index == sweep->stops_at)
        atomic_store(&sweep->stop, 1);
    int bytes = snprintf(sweep->rows[worker], ROW_BYTES, "%d:%s", (int)cell->index, lspo_sweep_cell_value(cell, "n"));
    if (cell->index % 10 != 0)
        *row_out = (lspo_row_t){.text = sweep->rows[worker], .bytes = (size_t)bytes};
    return LSPO_OK;
}

static void open_sweep(sweep_t *sweep, bool resume)
{
    const char *path = own_file("grid", "[all]\nmodel = m\nmachine = h\npolicy = zero\nn = linear(1, 3000)\n");
    *sweep = (sweep_t){.fails_at = UINT64_MAX, .stops_at = UINT64_MAX, .crashes_at = UINT64_MAX};
    cr_assert_eq(lspo_sweep_grid_read(path, &language, NULL, &sweep->grid), LSPO_OK);
    cr_assert_eq(lspo_journal_open("journal", "title", CELLS, resume, &sweep->journal), LSPO_OK);
    cr_assert_eq(lspo_workers_create(WORKERS, NULL, &sweep->workers), LSPO_OK);
}

static void close_sweep(sweep_t *sweep)
{
    lspo_workers_destroy(sweep->workers);
    lspo_journal_close(sweep->journal);
    lspo_sweep_grid_release(&sweep->grid);
}

static lspo_status_t play(sweep_t *sweep, uint32_t shard, uint32_t shard_count)
{
    return lspo_sweep_play(&(lspo_sweep_play_t){.grid = &sweep->grid,
                                                .journal = sweep->journal,
                                                .workers = sweep->workers,
                                                .shard = shard,
                                                .shard_count = shard_count,
                                                .row = row,
                                                .row_context = sweep,
                                                .stop = &sweep->stop,
                                                .progress = progress});
}

static lspo_status_t compare(void *context, const char *text, size_t bytes)
{
    int *next = context;
    char expected[ROW_BYTES];
    *next += *next % 10 == 0; /* was left out */
    int length = snprintf(expected, sizeof expected, "%d:%d", *next, *next + 1);
    cr_expect(bytes == (size_t)length && memcmp(text, expected, bytes) == 0, "%.*s", (int)bytes, text);
    ++*next;
    return LSPO_OK;
}

static void expect_all(sweep_t *sweep)
{
    int next = 0;
    cr_expect_eq(lspo_journal_rows(sweep->journal), CELLS - CELLS / 10);
    cr_assert_eq(lspo_journals_order(&sweep->journal, 1, compare, &next), LSPO_OK);
}

Test(play, each_cell_once)
{
    sweep_t sweep;
    open_sweep(&sweep, false);
    cr_assert_eq(play(&sweep, 0, 1), LSPO_OK);
    cr_expect_eq(sweep.played, CELLS);
    expect_all(&sweep);
    close_sweep(&sweep);
}

Test(play, shards_are_parts)
{
    sweep_t sweep;
    open_sweep(&sweep, false);
    for (uint32_t shard = 0; shard < 7; shard++)
        cr_assert_eq(play(&sweep, shard, 7), LSPO_OK);
    cr_expect_eq(sweep.played, CELLS);
    expect_all(&sweep);
    close_sweep(&sweep);
}

Test(play, an_interruption_keeps_what_is_done)
{
    sweep_t sweep;
    open_sweep(&sweep, false);
    sweep.stops_at = 1000;
    cr_assert_eq(play(&sweep, 0, 1), LSPO_ERR_INTERRUPTED);
    cr_expect_lt(sweep.played, CELLS);
    uint64_t before = lspo_journal_rows(sweep.journal);
    cr_expect_gt(before, 0);
    close_sweep(&sweep);
    open_sweep(&sweep, true);
    cr_expect_eq(lspo_journal_rows(sweep.journal), before);
    cr_assert_eq(play(&sweep, 0, 1), LSPO_OK);
    cr_expect_lt(sweep.played, CELLS);
    expect_all(&sweep);
    close_sweep(&sweep);
}

/* In processes.  What happens there is not seen here. */

static lspo_status_t fragile_row(void *context, uint32_t worker, const lspo_sweep_cell_t *cell, lspo_row_t *row_out)
{
    sweep_t *sweep = context;
    if (cell->index == sweep->crashes_at || (cell->index == sweep->killed_at && cell->index > 0)) {
        signal(SIGSEGV, SIG_DFL);
        raise(cell->index == sweep->killed_at ? SIGKILL : SIGSEGV);
    }
    return row(context, worker, cell, row_out);
}

static lspo_status_t crash_row(void *context, const lspo_sweep_cell_t *cell, int signal, lspo_row_t *row_out)
{
    sweep_t *sweep = context;
    cr_expect_eq(signal, SIGSEGV);
    cr_expect_eq(cell->index, sweep->crashes_at);
    sweep->crashes++;
    *row_out = (lspo_row_t){.text = "crashed", .bytes = strlen("crashed"), .error = true};
    return LSPO_OK;
}

static lspo_status_t play_apart(sweep_t *sweep, uint32_t count)
{
    return lspo_processes_play(count, &(lspo_sweep_play_t){.grid = &sweep->grid,
                                                           .journal = sweep->journal,
                                                           .shard_count = 1,
                                                           .row = fragile_row,
                                                           .crash_row = crash_row,
                                                           .row_context = sweep,
                                                           .stop = &sweep->stop,
                                                           .progress = progress});
}

Test(processes, each_cell_once)
{
    for (uint32_t count = 1; count <= 3; count++) {
        sweep_t sweep;
        enter_folder();
        open_sweep(&sweep, false);
        cr_assert_eq(play_apart(&sweep, count), LSPO_OK);
        expect_all(&sweep);
        cr_expect_eq(lspo_journal_errors(sweep.journal), 0);
        close_sweep(&sweep);
        remove_folder();
    }
}

/* A crash costs one cell, also the first and the last, in any number of processes. */
Test(processes, a_crash_is_a_row)
{
    static const uint64_t cells[] = {1, 777, CELLS - 1};
    for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++) {
        sweep_t sweep;
        enter_folder();
        open_sweep(&sweep, false);
        sweep.crashes_at = cells[i];
        cr_assert_eq(play_apart(&sweep, 1 + (uint32_t)i), LSPO_OK);
        cr_expect_eq(sweep.crashes, 1);
        cr_expect_eq(lspo_journal_rows(sweep.journal), CELLS - CELLS / 10);
        cr_expect_eq(lspo_journal_errors(sweep.journal), 1);
        close_sweep(&sweep);
        remove_folder();
    }
}

/* A process that is killed is no cell's fault. */
Test(processes, a_kill_ends_the_sweep, .init = enter_folder, .fini = remove_folder)
{
    sweep_t sweep;
    open_sweep(&sweep, false);
    sweep.killed_at = 1234;
    cr_expect_eq(play_apart(&sweep, 2), LSPO_ERR_MEMORY);
    cr_expect_lt(lspo_journal_rows(sweep.journal), CELLS - CELLS / 10);
    close_sweep(&sweep);
    open_sweep(&sweep, true);
    cr_assert_eq(play_apart(&sweep, 2), LSPO_OK);
    expect_all(&sweep);
    close_sweep(&sweep);
}

Test(processes, an_error_or_a_stop_ends_the_sweep, .init = enter_folder, .fini = remove_folder)
{
    sweep_t sweep;
    open_sweep(&sweep, false);
    sweep.fails_at = 500;
    cr_expect_eq(play_apart(&sweep, 2), LSPO_ERR_MEMORY);
    cr_expect_leq(lspo_journal_rows(sweep.journal), 500);
    atomic_store(&sweep.stop, 1);
    sweep.fails_at = UINT64_MAX;
    cr_expect_eq(play_apart(&sweep, 2), LSPO_ERR_INTERRUPTED);
    close_sweep(&sweep);
}

Test(play, an_error_ends_the_sweep)
{
    sweep_t sweep;
    open_sweep(&sweep, false);
    sweep.fails_at = 500;
    cr_expect_eq(play(&sweep, 0, 1), LSPO_ERR_MEMORY);
    cr_expect_leq(sweep.played, 500 + WORKERS, "each worker fails once");
    close_sweep(&sweep);
}
