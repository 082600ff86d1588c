/* cmd_sql.c - `lspo sql`: tables and claims of CSV files. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/args.h"
#include "base/input_file.h"
#include "cli/command.h"
#include "sql/script.h"

enum { GIVEN_MAX = 32 };
#define SCRIPT_BYTES_MAX (UINT64_C(1) << 24)
#define STEPS_MAX 10000000 /* thousands: minutes */

typedef struct {
    const char *texts[GIVEN_MAX];
    size_t count;
} given_t;

typedef struct {
    const char *execute;
    const char *folder;
    given_t given;
} sql_request_t;

static lspo_status_t store_given(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    (void)arg;
    given_t *given = slot;
    if (strchr(text, '=') == NULL || text[0] == '=')
        return lspo_error(LSPO_ERR_INPUT, "%s: '%s' is not NAME=VALUE", what, text);
    if (given->count == GIVEN_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: more than %d values", what, GIVEN_MAX);
    given->texts[given->count++] = text;
    return LSPO_OK;
}

static const lspo_arg_t sql_args[] = {
    {.name = "execute",
     .letter = 'e',
     .value = "SQL",
     .help = "run this in place of FILE: -e 'select name from input'",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(sql_request_t, execute)},
    {.name = "output",
     .letter = 'o',
     .value = "FOLDER",
     .help = "where WRITE puts its CSV (.)",
     .store = lspo_arg_output,
     .offset_bytes = offsetof(sql_request_t, folder)},
    {.name = "given",
     .value = "NAME=VALUE",
     .help = "what given('NAME') is, a number or a text; may be repeated",
     .store = store_given,
     .offset_bytes = offsetof(sql_request_t, given)},
};

static const lspo_arg_group_t sql_group = LSPO_ARG_GROUP("options", sql_args);

static lspo_status_t run_sql(int argc, char **argv)
{
    sql_request_t request = {.folder = "."};
    lspo_positionals_t files;
    lspo_status_t status = lspo_command_parse(&lspo_command_sql, argc, argv, &request, &files);
    if (status != LSPO_OK)
        return status;
    char *text = NULL;
    size_t bytes, first = request.execute == NULL ? 1 : 0;
    if (request.execute == NULL)
        status = lspo_input_read_file(files.texts[0], SCRIPT_BYTES_MAX, &text, &bytes);
    if (status != LSPO_OK)
        return status;
    const lspo_sql_script_t script = {.path = first == 1 ? files.texts[0] : "-e",
                                      .text = first == 1 ? text : request.execute,
                                      .sources = files.texts + first,
                                      .source_count = files.count - first,
                                      .given = request.given.texts,
                                      .given_count = request.given.count,
                                      .folder = request.folder,
                                      .steps_max = STEPS_MAX,
                                      .output = stdout};
    status = lspo_sql_run(&script);
    free(text);
    return status;
}

const lspo_command_t lspo_command_sql = {
    .name = "sql",
    .summary = "tables and claims of CSV files, in SQL",
    .usage = "FILE CSV|FOLDER...",
    .about =
        "Run the statements of FILE, in the SQL of SQLite, with CSV files as tables. A table has the name of its "
        "file without \".csv\", or NAME if it is given as NAME=CSV; of a folder, those CSV are tables that FILE "
        "mentions. Beside the statements of SQLite there are three:\n\n"
        "  REQUIRE SELECT verdict, sentence ...;  claims that must hold, a row each\n"
        "  OBSERVE SELECT verdict, sentence ...;  claims that are only printed\n"
        "  WRITE name AS SELECT ...;              the rows as a table and as name.csv\n\n"
        "A claim is printed behind \"holds\" or \"FAILS\", one of OBSERVE behind \"yes\" or \"no\". Two more "
        "columns of a claim are the ends of its interval, a fifth is the number of its runs, a sixth its limit, and a "
        "seventh the unit of the ends: if the limit is within the interval, and there are at least three runs, the "
        "claim is \"undecided\". The rows of other SELECTs are printed, their "
        "cells separated by a blank. The checks of experiments/ are such files.",
    .examples = "lspo sql claims.sql results.csv\n"
                "lspo sql claims.sql results -o . --given limit=0.2\n"
                "lspo list policies --format csv | lspo sql -e \"select name from input where task = 'train'\" "
                "input=/dev/stdin",
    .common = "execute output given",
    .details =
        "Numbers of a CSV are reals, so 1 / 2 of two columns is 0.5; empty cells are NULL. A name in double quotes is "
        "a column, a text is in single quotes. Functions beside those of SQLite: median(x), quantile(x, q), "
        "geomean(x), low95(x) and high95(x) (the 95 % interval of the mean, by Student's t), tau(x, y) (Kendall's), "
        "undecided(low, high, runs, limit) (do the runs leave open on which side of the limit their mean is?), "
        "pick(x, condition) (x of the only row for which the condition holds), "
        "every(condition) (which, unlike min(), does not leave out NULL), and given('NAME').\n\n"
        "A verdict is a condition; NULL, because a value is missing, does not hold. A REQUIRE without rows fails. The "
        "exit status is 1 if a required claim fails (an undecided one does not), and 2 for a mistake in FILE, for a "
        "table or column that is not there, and for a CSV without rows. FILE can read no files but these, and writes "
        "only by WRITE.",
    .groups = (const lspo_arg_group_t *const[]){&sql_group, NULL},
    .positional_least = 1,
    .positional_most = LSPO_POSITIONALS_MAX,
    .positionals = "FILE",
    .run = run_sql,
};
