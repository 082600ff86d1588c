/* script.h - run a file of SQL over CSV files: it prints, writes tables, and judges claims.
 *
 *     SELECT ...;                               its rows are printed, cells separated by a blank
 *     WRITE name AS SELECT ...;                 its rows become the table `name` and name.csv
 *     REQUIRE SELECT verdict, sentence ...;     of each row a claim: "  holds SENTENCE", or "  FAILS SENTENCE"
 *     OBSERVE SELECT verdict, sentence ...;     the same with "yes" and "no"; not required
 *
 * A claim about a mean of repeated runs has more columns, of which the last may be missing; each is a number, a text
 * that is one, or NULL.  Columns 3 and 4 are the ends of its 95 % interval, printed to two digits of half the width of
 * the interval: the claim ends in " [95 %: LOW to HIGH]".  The fifth is the number of runs: without ends, the claim
 * ends in " [one run]" or " [no run]", or, if the number is NULL, in nothing.  The sixth is the limit to which the mean
 * is held; NULL: it is not held to one.  Where these four are undecided() (sql/functions.h), the claim is printed
 * behind "undecided" in place of the four words above, and is no failure.  The seventh is a text, the unit that is
 * printed behind both ends.  Mistakes: one end without the other, a low above a high one, what is not finite, no ends
 * with several runs, a unit that would break the line.
 *
 * These are the lines that report/claims.h reads.  A verdict of NULL, where a value is missing, is as one of 0.  A
 * claim without rows fails.  Other statements (CREATE VIEW) are run.  Functions: sql/functions.h; tables:
 * sql/tables.h.
 */
#ifndef LSPO_SQL_SCRIPT_H
#define LSPO_SQL_SCRIPT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

typedef struct {
    const char *path;           /* of the script, for messages                        */
    const char *text;           /* the script                                         */
    const char *const *sources; /* tables: FILE, NAME=FILE, or a folder               */
    size_t source_count;
    const char *const *given; /* NAME=VALUE                                           */
    size_t given_count;
    const char *folder; /* of what is written                                         */
    uint64_t steps_max; /* of SQLite's machine, in thousands: a query may be endless  */
    FILE *output;
} lspo_sql_script_t;

/* LSPO_ERR_CHECK if a required claim does not hold; LSPO_ERR_INPUT, with file and line, for a mistake in the script, a
 * table or column that is not there, and in a build without SQLite. */
lspo_status_t lspo_sql_run(const lspo_sql_script_t *script);

#endif
