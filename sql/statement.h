/* statement.h - the statements of a file of SQL (docs/adding-an-experiment.md).
 *
 * A statement is one of SQLite, up to its semicolon, behind at most one word of ours: REQUIRE, OBSERVE, or WRITE name
 * AS, in capitals or not.  Where it ends, SQLite says.
 */
#ifndef LSPO_SQL_STATEMENT_H
#define LSPO_SQL_STATEMENT_H

#include <stdint.h>

#include "base/status.h"

typedef enum {
    LSPO_SQL_PLAIN,   /* its rows, if it has any, are printed         */
    LSPO_SQL_REQUIRE, /* rows (verdict, sentence): claims that must hold */
    LSPO_SQL_OBSERVE, /* the same, not required                       */
    LSPO_SQL_WRITE    /* its rows become the table `name` and a CSV   */
} lspo_sql_verb_t;

enum { LSPO_SQL_NAME_BYTES = 64 };

typedef struct {
    lspo_sql_verb_t verb;
    char name[LSPO_SQL_NAME_BYTES]; /* LSPO_SQL_WRITE */
    const char *text;               /* what SQLite reads; NULL: there is no further statement */
} lspo_sql_statement_t;

/* The statement at `at`, behind blanks, comments and semicolons, in `script`; `path` is for messages. */
lspo_status_t lspo_sql_statement_read(const char *path, const char *script, const char *at,
                                      lspo_sql_statement_t *statement_out);

/* The number of the line of `at`, from 1. */
uint64_t lspo_sql_line(const char *script, const char *at);

#endif
