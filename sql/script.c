/* script.c - see script.h. */
#include "sql/script.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/output_file.h"
#include "sql/functions.h"
#include "sql/statement.h"
#include "sql/tables.h"

enum { STEPS = 1000, CELL_BYTES = 32, CLAIM_COLUMNS = 2, WITH_INTERVAL = 4, WITH_LIMIT = 6, WITH_UNIT = 7 };
#define LENGTH_MAX 1000000 /* of a cell; SQLite's own limit is 1e9 */
#define HEAP_BYTES_MAX (INT64_C(1) << 30)

typedef struct {
    lspo_sql_t sql;
    const lspo_sql_script_t *script;
    const char *at;      /* in the text: of the statement under way */
    uint64_t steps_left; /* in thousands */
    size_t claim_count, failed_count;
} run_t;

/* ---- the connection ---- */

/* No other file is opened, and no setting changed. */
static int authorize(void *context, int action, const char *first, const char *second, const char *database,
                     const char *trigger)
{
    (void)context, (void)first, (void)second, (void)database, (void)trigger;
    return action == SQLITE_ATTACH || action == SQLITE_DETACH || action == SQLITE_PRAGMA ? SQLITE_DENY : SQLITE_OK;
}

static int count_steps(void *context)
{
    run_t *run = context;
    return run->steps_left-- == 0;
}

static lspo_status_t open_connection(run_t *run, const lspo_sql_given_t *given)
{
    const lspo_sqlite_t *lib = run->sql.lib;
    int code = lib->open_v2(":memory:", &run->sql.connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    sqlite3 *connection = run->sql.connection;
    /* A name in double quotes that is no column is a mistake, not a text. */
    if (code == SQLITE_OK)
        code = lib->db_config(connection, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    if (code == SQLITE_OK)
        code = lib->db_config(connection, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    if (code == SQLITE_OK)
        code = lib->set_authorizer(connection, authorize, NULL);
    if (code == SQLITE_OK)
        code = lspo_sql_functions_add(lib, connection, given);
    if (code != SQLITE_OK)
        return lspo_error(LSPO_ERR_INTERNAL, "SQLite: %s", connection ? lib->errmsg(connection) : "no memory");
    lib->limit(connection, SQLITE_LIMIT_LENGTH, LENGTH_MAX);
    lib->hard_heap_limit64(HEAP_BYTES_MAX);
    lib->progress_handler(connection, STEPS, count_steps, run);
    return LSPO_OK;
}

/* ---- statements ---- */

/* What SQLite says of the statement; `offset_bytes`: of the mistake in `text`, or below 0. */
static lspo_status_t refuse(const run_t *run, const char *text, int offset_bytes)
{
    const char *at = offset_bytes > 0 ? text + offset_bytes : run->at;
    fflush(run->script->output);
    return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": %s", run->script->path, lspo_sql_line(run->script->text, at),
                      run->steps_left + 1 == 0 ? "the query takes too long"
                                               : run->sql.lib->errmsg(run->sql.connection));
}

static void print_row(const run_t *run, sqlite3_stmt *statement)
{
    char buffer[CELL_BYTES];
    for (int i = 0; i < run->sql.lib->column_count(statement); i++)
        fprintf(run->script->output, "%s%s", i > 0 ? " " : "", lspo_sql_cell(&run->sql, statement, i, buffer));
    fputc('\n', run->script->output);
}

/* The columns behind verdict and sentence; NaN: NULL, or no such column. */
typedef struct {
    double low, high; /* ends of the interval */
    double runs, limit;
    const char *unit; /* "": none */
} mean_t;

/* A number to two digits of half the width, so that both ends are told apart, and its unit. */
static void print_end(const run_t *run, const mean_t *mean, double end)
{
    double width = mean->high - mean->low, digit = width > 0 ? pow(10, floor(log10(width / 2)) - 1) : 0;
    if (digit > 0)
        end = round(end / digit) * digit + 0.0; /* not -0 */
    fprintf(run->script->output, "%.12g%s%s", end, *mean->unit != '\0' ? " " : "", mean->unit);
}

static void print_interval(const run_t *run, const mean_t *mean)
{
    if (isnan(mean->low)) {
        if (!isnan(mean->runs))
            fputs(mean->runs == 1 ? " [one run]" : " [no run]", run->script->output);
        return;
    }
    fputs(" [95 %: ", run->script->output);
    print_end(run, mean, mean->low);
    fputs(" to ", run->script->output);
    print_end(run, mean, mean->high);
    fputs("]", run->script->output);
}

/* A number, or a text that is one, as given() returns; NaN: NULL. */
static bool read_number(const run_t *run, sqlite3_stmt *statement, int column, double *value_out)
{
    const lspo_sqlite_t *lib = run->sql.lib;
    int type = lib->column_type(statement, column);
    char *end;
    *value_out = NAN;
    if (type == SQLITE_BLOB)
        return false;
    if (type == SQLITE_TEXT) {
        const char *text = (const char *)lib->column_text(statement, column);
        *value_out = strtod(text, &end);
        return end > text && *end == '\0' && !isnan(*value_out);
    }
    if (type != SQLITE_NULL)
        *value_out = lib->column_double(statement, column);
    return true;
}

/* What is wrong with these columns?  NULL: nothing. */
static const char *read_mean(const run_t *run, sqlite3_stmt *statement, mean_t *mean_out)
{
    static const char *const wrong[] = {"has a low end that is not a number", "has a high end that is not a number",
                                        "has a number of runs that is none", "has a limit that is not a number"};
    double *const numbers[] = {&mean_out->low, &mean_out->high, &mean_out->runs, &mean_out->limit};
    int columns = run->sql.lib->column_count(statement);
    *mean_out = (mean_t){NAN, NAN, NAN, NAN, ""};
    for (int i = 0; i < WITH_LIMIT - CLAIM_COLUMNS && CLAIM_COLUMNS + i < columns; i++)
        if (!read_number(run, statement, CLAIM_COLUMNS + i, numbers[i]))
            return wrong[i];
    int type = columns == WITH_UNIT ? run->sql.lib->column_type(statement, WITH_UNIT - 1) : SQLITE_NULL;
    if (type == SQLITE_TEXT)
        mean_out->unit = (const char *)run->sql.lib->column_text(statement, WITH_UNIT - 1);
    if ((type != SQLITE_TEXT && type != SQLITE_NULL) || strpbrk(mean_out->unit, "\n[]") != NULL)
        return "has a unit that is not a line of text without brackets";
    if (isnan(mean_out->low) != isnan(mean_out->high))
        return "has only one end";
    if (!isnan(mean_out->low) && !isfinite(mean_out->high - mean_out->low))
        return "is not finite";
    if (mean_out->low > mean_out->high)
        return "has a low end above its high end";
    if (isnan(mean_out->low) && mean_out->runs > 1)
        return "of more than one run has no ends";
    return isinf(mean_out->limit) ? "has a limit that is not finite" : NULL;
}

/* One row of REQUIRE or OBSERVE. */
static lspo_status_t judge(run_t *run, lspo_sql_verb_t verb, sqlite3_stmt *statement)
{
    char buffer[CELL_BYTES];
    mean_t mean;
    bool known = run->sql.lib->column_type(statement, 0) != SQLITE_NULL;
    bool holds = run->sql.lib->column_double(statement, 0) != 0;
    const char *sentence = lspo_sql_cell(&run->sql, statement, 1, buffer);
    if (*sentence == '\0' || *sentence == ' ' || strchr(sentence, '\n') != NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": a claim's sentence is '%s', not a line of text",
                          run->script->path, lspo_sql_line(run->script->text, run->at), sentence);
    const char *wrong = read_mean(run, statement, &mean);
    if (wrong != NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": the interval of '%s' %s", run->script->path,
                          lspo_sql_line(run->script->text, run->at), sentence, wrong);
    bool required = verb == LSPO_SQL_REQUIRE;
    bool undecided = known && lspo_sql_is_undecided(mean.low, mean.high, mean.runs, mean.limit);
    const char *decided = required ? (holds ? "holds" : "FAILS") : holds ? "yes" : "no";
    fprintf(run->script->output, "  %-5s %s", undecided ? "undecided" : decided, sentence);
    print_interval(run, &mean);
    fputc('\n', run->script->output);
    run->claim_count += required;
    run->failed_count += required && !undecided && !holds;
    return LSPO_OK;
}

static lspo_status_t step_through(run_t *run, const lspo_sql_statement_t *read, sqlite3_stmt *statement)
{
    bool claims = read->verb == LSPO_SQL_REQUIRE || read->verb == LSPO_SQL_OBSERVE;
    uint64_t line = lspo_sql_line(run->script->text, run->at), rows = 0;
    int code, columns = run->sql.lib->column_count(statement);
    if (claims && columns != CLAIM_COLUMNS && (columns < WITH_INTERVAL || columns > WITH_UNIT))
        return lspo_error(LSPO_ERR_INPUT,
                          "%s:%" PRIu64 ": a claim has 2 columns, verdict and sentence, or 4 with the ends of its "
                          "interval, or 5 with its number of runs, or 6 with its limit, or 7 with its unit, not %d",
                          run->script->path, line, columns);
    for (; (code = run->sql.lib->step(statement)) == SQLITE_ROW; rows++) {
        lspo_status_t status = LSPO_OK;
        if (claims)
            status = judge(run, read->verb, statement);
        else
            print_row(run, statement);
        if (status != LSPO_OK)
            return status;
    }
    if (code != SQLITE_DONE)
        return refuse(run, read->text, -1);
    if (read->verb == LSPO_SQL_REQUIRE && rows == 0) {
        fprintf(run->script->output, "  FAILS %s:%" PRIu64 " has no rows to judge\n", run->script->path, line);
        run->claim_count++;
        run->failed_count++;
    }
    return LSPO_OK;
}

/* A folder's table may be one that an earlier run wrote; a file that is named is not for us to replace. */
static lspo_status_t check_sources(const run_t *run, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.csv", run->script->folder, name);
    for (size_t i = 0; i < run->script->source_count; i++) {
        const char *source = run->script->sources[i], *equals = strchr(source, '=');
        if (lspo_same_file(path, source) || (equals != NULL && lspo_same_file(path, equals + 1)))
            return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": WRITE %s would overwrite the file of %s",
                              run->script->path, lspo_sql_line(run->script->text, run->at), name, source);
    }
    return LSPO_OK;
}

/* CREATE TABLE name AS the text up to `end`, in place of one that an earlier run wrote. */
static lspo_status_t write_table(run_t *run, const lspo_sql_statement_t *read, const char *end)
{
    lspo_status_t status = check_sources(run, read->name);
    if (status != LSPO_OK)
        return status;
    static const char before[] = "DROP TABLE IF EXISTS \"%s\"; CREATE TABLE \"%s\" AS %.*s";
    size_t bytes = sizeof before + 2 * strlen(read->name) + (size_t)(end - read->text);
    char *command = malloc(bytes);
    if (command == NULL)
        return lspo_no_memory("a statement");
    snprintf(command, bytes, before, read->name, read->name, (int)(end - read->text), read->text);
    int code = run->sql.lib->exec(run->sql.connection, command, NULL, NULL, NULL);
    free(command);
    return code == SQLITE_OK ? lspo_sql_save(&run->sql, read->name, run->script->folder) : refuse(run, read->text, -1);
}

static lspo_status_t run_statement(run_t *run, const lspo_sql_statement_t *read, const char **end_out)
{
    const lspo_sqlite_t *lib = run->sql.lib;
    sqlite3_stmt *statement = NULL;
    if (lib->prepare_v2(run->sql.connection, read->text, -1, &statement, end_out) != SQLITE_OK)
        return refuse(run, read->text, lib->error_offset(run->sql.connection));
    lspo_status_t status = LSPO_OK;
    if (read->verb != LSPO_SQL_PLAIN && lib->column_count(statement) == 0)
        status = lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": only a SELECT is written or judged", run->script->path,
                            lspo_sql_line(run->script->text, read->text));
    else if (lib->bind_parameter_count(statement) > 0)
        status = lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": parameters have no values here; use given('name')",
                            run->script->path, lspo_sql_line(run->script->text, read->text));
    else if (read->verb == LSPO_SQL_WRITE)
        status = write_table(run, read, *end_out);
    else
        status = step_through(run, read, statement);
    lib->finalize(statement);
    return status;
}

static lspo_status_t run_statements(run_t *run)
{
    const lspo_sql_script_t *script = run->script;
    for (const char *at = script->text;;) {
        lspo_sql_statement_t statement;
        lspo_status_t status = lspo_sql_statement_read(script->path, script->text, at, &statement);
        if (status != LSPO_OK || statement.text == NULL)
            return status;
        run->at = statement.text;
        status = run_statement(run, &statement, &at);
        if (status != LSPO_OK)
            return status;
    }
}

lspo_status_t lspo_sql_run(const lspo_sql_script_t *script)
{
    const lspo_sql_given_t given = {script->given, script->given_count};
    run_t run = {.script = script, .at = script->text, .steps_left = script->steps_max};
    lspo_status_t status = lspo_sqlite_load("SQL", &run.sql.lib);
    if (status != LSPO_OK)
        return status;
    status = open_connection(&run, &given);
    for (size_t i = 0; status == LSPO_OK && i < script->source_count; i++)
        status = lspo_sql_load(&run.sql, script->sources[i], script->text);
    if (status == LSPO_OK)
        status = run_statements(&run);
    run.sql.lib->close(run.sql.connection);
    fflush(script->output); /* what was printed comes before the error, where both go to one file */
    if (status == LSPO_OK && run.failed_count > 0)
        status = lspo_error(LSPO_ERR_CHECK, "%s: %zu of %zu claims do not hold", script->path, run.failed_count,
                            run.claim_count);
    return status;
}
