/* A sweep's journal: what is kept, cut and put in order. */
#include "sweep/journal.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/own_folder.h"

static const char path[] = "journal.part", title[] = "a title";

static void enter_folder(void)
{
    make_folder();
    cr_assert_eq(chdir(folder), 0);
}

TestSuite(journal, .init = enter_folder, .fini = remove_folder);

static lspo_journal_t *open_journal(uint64_t cells, bool resume)
{
    lspo_journal_t *journal = NULL;
    cr_assert_eq(lspo_journal_open(path, title, cells, resume, &journal), LSPO_OK);
    return journal;
}

/* Rows that begin with an e are of cells with an error. */
static void append(lspo_journal_t *journal, uint64_t cell, const char *row)
{
    const lspo_row_t appended = {.text = row, .bytes = strlen(row), .error = row[0] == 'e'};
    cr_assert_eq(lspo_journal_append(journal, cell, &appended), LSPO_OK);
}

static void add_text(const char *text, size_t bytes)
{
    FILE *file = fopen(path, "a");
    cr_assert_not_null(file);
    fwrite(text, 1, bytes, file);
    fclose(file);
}

static lspo_status_t take_row(void *context, const char *row, size_t bytes)
{
    strncat(context, row, bytes);
    strcat(context, ";");
    return LSPO_OK;
}

Test(journal, rows_come_in_the_order_of_cells)
{
    char rows[64] = "";
    lspo_journal_t *journal = open_journal(5, false);
    append(journal, 3, "d");
    append(journal, 0, "a");
    append(journal, 4, "e,f");
    append(journal, 1, "");
    cr_expect(lspo_journal_has(journal, 3) && !lspo_journal_has(journal, 2));
    cr_expect_eq(lspo_journal_rows(journal), 4);
    cr_expect_eq(lspo_journal_errors(journal), 1);
    cr_assert_eq(lspo_journals_order(&journal, 1, take_row, rows), LSPO_OK);
    cr_expect_str_eq(rows, "a;;d;e,f;");
    lspo_journal_close(journal);
}

/* Errors of a session before count, each once. */
Test(journal, errors_are_those_of_all_rows)
{
    char rows[64] = "";
    lspo_journal_t *journal = open_journal(5, false);
    append(journal, 3, "e3");
    append(journal, 1, "a");
    lspo_journal_close(journal);
    journal = open_journal(5, true);
    append(journal, 0, "e0");
    append(journal, 3, "e3");
    cr_expect_eq(lspo_journal_errors(journal), 2);
    cr_expect_eq(lspo_journal_rows(journal), 3);
    cr_assert_eq(lspo_journals_order(&journal, 1, take_row, rows), LSPO_OK);
    cr_expect_str_eq(rows, "e0;a;e3;");
    lspo_journal_close(journal);
}

/* Cells of several blocks, backwards, with long rows: each is read from where it is. */
Test(journal, many_rows_in_any_order)
{
    enum { CELLS = 2 * LSPO_JOURNAL_BLOCK + 100, STEP = 1021 };
    static char row[3000], rows[CELLS / STEP * (16 + 10) + 4096];
    static char expected[sizeof rows];
    lspo_journal_t *journal = open_journal(CELLS, false);
    uint64_t last = (CELLS - 1) / STEP * STEP;
    for (uint64_t cell = last;; cell -= STEP) {
        snprintf(row, sizeof row, "%d", (int)cell);
        append(journal, cell, row);
        if (cell == 0)
            break;
    }
    cr_assert_eq(lspo_journals_order(&journal, 1, take_row, rows), LSPO_OK);
    for (uint64_t cell = 0; cell <= last; cell += STEP)
        sprintf(expected + strlen(expected), "%d;", (int)cell);
    cr_expect_str_eq(rows, expected);
    lspo_journal_close(journal);
}

/* Whatever a kill or a crash leaves behind the last whole row is cut; the rows before it stay. */
Test(journal, a_torn_end_is_cut)
{
    static const struct {
        const char *text;
        size_t bytes;
    } ends[] = {{"", 0},      {"2", 1},        {"2,b", 3},      {"99,x\n", 5},
                {"b,2\n", 4}, {"2,\0\0\n", 5}, {"\0\0\0\0", 4}, {"\n", 1}};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        char rows[64] = "";
        lspo_journal_t *journal = open_journal(4, false);
        append(journal, 1, "b");
        append(journal, 0, "a");
        lspo_journal_close(journal);
        add_text(ends[i].text, ends[i].bytes);
        journal = open_journal(4, true);
        cr_expect_eq(lspo_journal_rows(journal), 2);
        append(journal, 2, "c");
        cr_assert_eq(lspo_journals_order(&journal, 1, take_row, rows), LSPO_OK);
        cr_expect_str_eq(rows, "a;b;c;", "%zu: %s", i, rows);
        lspo_journal_close(journal);
        unlink(path);
    }
}

Test(journal, a_torn_title_is_written_again)
{
    add_text("a ti", 4);
    lspo_journal_t *journal = open_journal(4, true);
    append(journal, 1, "b");
    lspo_journal_close(journal);
    journal = open_journal(4, true);
    cr_expect_eq(lspo_journal_rows(journal), 1);
    lspo_journal_close(journal);
}

Test(journal, several_are_one)
{
    static const char second[] = "second.part";
    char rows[64] = "";
    lspo_journal_t *journals[2] = {open_journal(4, false), NULL};
    cr_assert_eq(lspo_journal_open(second, title, 4, false, &journals[1]), LSPO_OK);
    append(journals[0], 2, "c");
    append(journals[1], 3, "d");
    append(journals[1], 1, "b");
    append(journals[0], 0, "a");
    append(journals[1], 0, "not this one");
    cr_assert_eq(lspo_journals_order(journals, 2, take_row, rows), LSPO_OK);
    cr_expect_str_eq(rows, "a;b;c;d;");
    lspo_journal_close(journals[0]);
    lspo_journal_close(journals[1]);
}

/* A finished one is read as it was; without its last bytes or lines, or with more of them, it is refused. */
Test(journal, only_a_whole_one_is_finished)
{
    static const char whole[] = "a title\n1,b\n0,a\nend 2\n", more[] = "end 2\n";
    lspo_journal_t *journal = open_journal(4, false);
    append(journal, 1, "b");
    append(journal, 0, "a");
    cr_assert_eq(lspo_journal_finish(journal), LSPO_OK);
    lspo_journal_close(journal);
    for (size_t bytes = 0; bytes < sizeof whole; bytes++) {
        char *text = NULL;
        unlink(path);
        add_text(whole, bytes);
        lspo_status_t status = lspo_journal_open_finished(path, 4, &journal, &text);
        cr_assert_eq(status, bytes == sizeof whole - 1 ? LSPO_OK : LSPO_ERR_INPUT, "%zu", bytes);
        if (status != LSPO_OK)
            continue;
        cr_expect_str_eq(text, title);
        cr_expect_eq(lspo_journal_rows(journal), 2);
        lspo_journal_close(journal);
        free(text);
    }
    char *text = NULL;
    add_text(more, sizeof more - 1);
    cr_expect_eq(lspo_journal_open_finished(path, 4, &journal, &text), LSPO_ERR_INPUT);
}

Test(journal, what_is_there_is_not_overwritten)
{
    lspo_journal_t *journal = NULL, *other = NULL;
    lspo_journal_close(open_journal(4, false));
    cr_expect_eq(lspo_journal_open(path, title, 4, false, &journal), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_journal_open(path, "another title", 4, true, &journal), LSPO_ERR_INPUT);
    journal = open_journal(4, true);
    cr_expect_eq(lspo_journal_open(path, title, 4, true, &other), LSPO_ERR_INPUT, "in use");
    lspo_journal_close(journal);
}
