/* functions.c - see functions.h. */
#include "sql/functions.h"

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

/* What functions get at by sqlite3_user_data(). */
static const lspo_sqlite_t *lib;

bool lspo_sql_number(const char *text, double *value_out)
{
    char *end;
    if (*text == '\0' || strspn(text, "0123456789.eE+-") != strlen(text) || strpbrk(text, "0123456789") == NULL)
        return false;
    *value_out = strtod(text, &end);
    return *end == '\0';
}

/* ---- values of an aggregate ---- */

typedef struct {
    double *x; /* pairs: x, y, x, y ... */
    size_t count, capacity;
    double q;
    bool failed;
} values_t;

static void fail(sqlite3_context *context, values_t *values, const char *message)
{
    lib->result_error(context, message, -1);
    values->failed = true;
}

static void add(sqlite3_context *context, values_t *values, double x)
{
    if (values->failed)
        return;
    if (lspo_array_grow(&values->x, &values->capacity, values->count + 1, sizeof *values->x, "values") != LSPO_OK) {
        lib->result_error_nomem(context);
        values->failed = true;
        return;
    }
    values->x[values->count++] = x;
}

static values_t *values_of(sqlite3_context *context)
{
    values_t *values = lib->aggregate_context(context, sizeof *values);
    if (values == NULL)
        lib->result_error_nomem(context);
    return values;
}

/* NULL is left out; a text is an error. */
static bool is_number(sqlite3_context *context, values_t *values, sqlite3_value *value)
{
    int type = lib->value_type(value);
    if (type != SQLITE_INTEGER && type != SQLITE_FLOAT && type != SQLITE_NULL)
        fail(context, values, "an aggregate of numbers has a value that is none");
    return type == SQLITE_INTEGER || type == SQLITE_FLOAT;
}

/* ---- median(x), quantile(x, q) ---- */

static void quantile_step(sqlite3_context *context, int count, sqlite3_value **arguments)
{
    values_t *values = values_of(context);
    if (values == NULL || !is_number(context, values, arguments[0]))
        return;
    values->q = count > 1 ? lib->value_double(arguments[1]) : 0.5;
    if (!(values->q >= 0 && values->q <= 1))
        fail(context, values, "quantile(x, q): q is not within 0 to 1");
    add(context, values, lib->value_double(arguments[0]));
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void quantile_final(sqlite3_context *context)
{
    values_t *values = values_of(context);
    if (values == NULL)
        return;
    if (!values->failed && values->count > 0) {
        qsort(values->x, values->count, sizeof *values->x, compare);
        lib->result_double(context, gsl_stats_quantile_from_sorted_data(values->x, 1, values->count, values->q));
    }
    free(values->x);
}

/* ---- geomean(x) ---- */

static void geomean_step(sqlite3_context *context, int count, sqlite3_value **arguments)
{
    (void)count;
    values_t *values = values_of(context);
    if (values == NULL || !is_number(context, values, arguments[0]))
        return;
    if (!(lib->value_double(arguments[0]) > 0))
        fail(context, values, "geomean(x): a value is not above 0");
    add(context, values, log(lib->value_double(arguments[0])));
}

static void geomean_final(sqlite3_context *context)
{
    values_t *values = values_of(context);
    if (values == NULL)
        return;
    if (!values->failed && values->count > 0)
        lib->result_double(context, exp(gsl_stats_mean(values->x, 1, values->count)));
    free(values->x);
}

/* ---- low95(x), high95(x) ---- */

static void mean_step(sqlite3_context *context, int count, sqlite3_value **arguments)
{
    (void)count;
    values_t *values = values_of(context);
    if (values != NULL && is_number(context, values, arguments[0]))
        add(context, values, lib->value_double(arguments[0]));
}

/* The end of the interval of the mean on the `side` of it, -1 or 1. */
static void mean_final(sqlite3_context *context, double side)
{
    values_t *values = values_of(context);
    if (values == NULL)
        return;
    if (!values->failed && values->count > 1) {
        double mean = gsl_stats_mean(values->x, 1, values->count), n = (double)values->count;
        double deviation = gsl_stats_sd_m(values->x, 1, values->count, mean);
        lib->result_double(context, mean + side * gsl_cdf_tdist_Pinv(0.975, n - 1) * deviation / sqrt(n));
    }
    free(values->x);
}

static void low95_final(sqlite3_context *context)
{
    mean_final(context, -1);
}

static void high95_final(sqlite3_context *context)
{
    mean_final(context, 1);
}

/* ---- undecided(low, high, runs, limit) ---- */

bool lspo_sql_is_undecided(double low, double high, double runs, double limit)
{
    enum { RUNS_LEAST = 3 };
    return low < high && low <= limit && limit <= high && !(runs < RUNS_LEAST);
}

static void undecided_call(sqlite3_context *context, int count, sqlite3_value **arguments)
{
    enum { LOW, HIGH, RUNS, LIMIT, ARGUMENTS };
    double numbers[ARGUMENTS];
    for (int i = 0; i < count; i++) {
        int type = lib->value_type(arguments[i]);
        numbers[i] = type == SQLITE_NULL ? (double)NAN : lib->value_double(arguments[i]);
        if (type == SQLITE_TEXT || type == SQLITE_BLOB) {
            lib->result_error(context, "undecided(low, high, runs, limit): a value is not a number", -1);
            return;
        }
    }
    bool undecided = lspo_sql_is_undecided(numbers[LOW], numbers[HIGH], numbers[RUNS], numbers[LIMIT]);
    lib->result_double(context, undecided ? 1 : 0);
}

/* ---- tau(x, y) ---- */

static void tau_step(sqlite3_context *context, int count, sqlite3_value **arguments)
{
    (void)count;
    values_t *values = values_of(context);
    if (values == NULL || !is_number(context, values, arguments[0]) || !is_number(context, values, arguments[1]))
        return;
    add(context, values, lib->value_double(arguments[0]));
    add(context, values, lib->value_double(arguments[1]));
}

static void tau_final(sqlite3_context *context)
{
    values_t *values = values_of(context);
    if (values == NULL)
        return;
    double agreement = 0, pairs = 0;
    const double *x = values->x;
    for (size_t i = 0; !values->failed && i + 1 < values->count; i += 2)
        for (size_t j = 0; j < i; j += 2) {
            int of_x = compare(&x[i], &x[j]), of_y = compare(&x[i + 1], &x[j + 1]);
            pairs += of_x != 0;
            agreement += of_x * of_y;
        }
    if (pairs > 0)
        lib->result_double(context, agreement / pairs);
    free(values->x);
}

/* ---- pick(x, condition) ---- */

typedef struct {
    sqlite3_value *value; /* owned */
    bool picked, failed;
} picked_t;

static void pick_step(sqlite3_context *context, int count, sqlite3_value **arguments)
{
    (void)count;
    picked_t *picked = lib->aggregate_context(context, sizeof *picked);
    if (picked == NULL || picked->failed || lib->value_double(arguments[1]) == 0)
        return;
    picked->failed = picked->picked;
    if (picked->picked)
        lib->result_error(context, "pick(x, condition): the condition holds for two rows", -1);
    else
        picked->value = lib->value_dup(arguments[0]);
    picked->picked = true;
}

static void pick_final(sqlite3_context *context)
{
    picked_t *picked = lib->aggregate_context(context, sizeof *picked);
    if (picked == NULL)
        return;
    if (!picked->failed && picked->value != NULL)
        lib->result_value(context, picked->value);
    lib->value_free(picked->value);
}

/* ---- every(condition) ---- */

typedef struct {
    bool any, broken;
} every_t;

static void every_step(sqlite3_context *context, int count, sqlite3_value **arguments)
{
    (void)count;
    every_t *every = lib->aggregate_context(context, sizeof *every);
    if (every == NULL)
        return;
    every->any = true;
    every->broken |= lib->value_double(arguments[0]) == 0; /* NULL is 0, too */
}

static void every_final(sqlite3_context *context)
{
    every_t *every = lib->aggregate_context(context, sizeof *every);
    if (every != NULL && every->any)
        lib->result_double(context, every->broken ? 0 : 1);
}

/* ---- given(name) ---- */

static void given_call(sqlite3_context *context, int count, sqlite3_value **arguments)
{
    (void)count;
    const lspo_sql_given_t *given = lib->user_data(context);
    const char *name = (const char *)lib->value_text(arguments[0]);
    size_t length = name != NULL ? strlen(name) : 0;
    double value;
    for (size_t i = given->count; name != NULL && i-- > 0;) {
        const char *text = given->texts[i];
        if (strncmp(text, name, length) != 0 || text[length] != '=')
            continue;
        text += length + 1;
        if (lspo_sql_number(text, &value))
            lib->result_double(context, value);
        else if (*text != '\0')
            lib->result_text(context, text, -1, SQLITE_STATIC);
        return;
    }
    lib->result_error(context, "given(name): there is no --given with this name", -1);
}

int lspo_sql_functions_add(const lspo_sqlite_t *sqlite, sqlite3 *connection, const lspo_sql_given_t *given)
{
    const struct {
        const char *name;
        int arguments;
        void (*step)(sqlite3_context *, int, sqlite3_value **);
        void (*final)(sqlite3_context *);
    } aggregates[] = {{"median", 1, quantile_step, quantile_final}, {"quantile", 2, quantile_step, quantile_final},
                      {"geomean", 1, geomean_step, geomean_final},  {"tau", 2, tau_step, tau_final},
                      {"low95", 1, mean_step, low95_final},         {"high95", 1, mean_step, high95_final},
                      {"pick", 2, pick_step, pick_final},           {"every", 1, every_step, every_final}};
    lib = sqlite;
    int code = sqlite->create_function(connection, "given", 1, SQLITE_UTF8, (void *)given, given_call, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite->create_function(connection, "undecided", 4, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                                       undecided_call, NULL, NULL);
    for (size_t i = 0; code == SQLITE_OK && i < sizeof aggregates / sizeof aggregates[0]; i++)
        code = sqlite->create_function(connection, aggregates[i].name, aggregates[i].arguments,
                                       SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, NULL, aggregates[i].step,
                                       aggregates[i].final);
    return code;
}
