/* functions.h - what files of SQL may call beside SQLite's own functions.
 *
 *     median(x), quantile(x, q)   of the values that are not NULL; between two ranks by interpolation, q (count - 1)
 *     geomean(x)                  geometric mean of values above 0; any other value is an error
 *     low95(x), high95(x)         ends of the 95 % interval of the mean by Student's t: mean -+ t s / sqrt(n), with
 *                                 t = the 0.975 quantile at n - 1 degrees of freedom; NULL for fewer than two values
 *     undecided(low, high, runs, limit)
 *                                 do runs whose mean has this interval leave open on which side of the limit it is
 *                                 (lspo_sql_is_undecided())?  A mean beyond its limit, and not so, is so for certain.
 *     tau(x, y)                   Kendall's tau: (concordant - discordant) / pairs with different x; equal y count as
 *                                 neither
 *     pick(x, condition)          x of the only row for which the condition holds; of two it is an error
 *     every(condition)            does it hold in every row?  NULL does not hold, as it is left out by min()
 *     given(name)                 the value of --given NAME=VALUE, a number if it is one; without it an error
 *
 * Without values the aggregates are NULL.
 */
#ifndef LSPO_SQL_FUNCTIONS_H
#define LSPO_SQL_FUNCTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/sqlite.h"

/* "NAME=VALUE" each. */
typedef struct {
    const char *const *texts;
    size_t count;
} lspo_sql_given_t;

/* Let `connection` have them; `given` lives as long.  Returns a code of SQLite. */
int lspo_sql_functions_add(const lspo_sqlite_t *sqlite, sqlite3 *connection, const lspo_sql_given_t *given);

/* Is the limit within the interval, ends included?  Of fewer than three runs the interval is so wide that it would
 * leave everything open: their mean is judged.  NaN: no interval, no limit; of runs: their number is not known. */
bool lspo_sql_is_undecided(double low, double high, double runs, double limit);

/* Is it a decimal number, as "-1.5e3"? */
bool lspo_sql_number(const char *text, double *value_out);

#endif
