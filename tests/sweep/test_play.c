/* Playing a sweep on several threads: each cell once, errors and interruptions end it, what is there is not played. */
#include "sweep/play.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    uint64_t fails_at, stops_at;
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
    *sweep = (sweep_t){.fails_at = UINT64_MAX, .stops_at = UINT64_MAX};
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

Test(play, an_error_ends_the_sweep)
{
    sweep_t sweep;
    open_sweep(&sweep, false);
    sweep.fails_at = 500;
    cr_expect_eq(play(&sweep, 0, 1), LSPO_ERR_MEMORY);
    cr_expect_leq(sweep.played, 500 + WORKERS, "each worker fails once");
    close_sweep(&sweep);
}
