/* statement.c - see statement.h. */
#include "sql/statement.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

uint64_t lspo_sql_line(const char *script, const char *at)
{
    uint64_t line = 1;
    for (; script < at; script++)
        line += *script == '\n';
    return line;
}

/* Behind blanks, semicolons, and comments as SQLite has them: -- to the end of the line, and between slashes and stars,
 * where the last one need not end. */
static const char *skip(const char *at)
{
    for (;;) {
        at += strspn(at, " \t\r\n\f;");
        if (strncmp(at, "--", 2) == 0) {
            at += strcspn(at, "\n");
        } else if (strncmp(at, "/*", 2) == 0) {
            const char *end = strstr(at + 2, "*/");
            at = end != NULL ? end + 2 : at + strlen(at);
        } else {
            return at;
        }
    }
}

static size_t word_length(const char *at)
{
    size_t length = 0;
    while (isalnum((unsigned char)at[length]) || at[length] == '_')
        length++;
    return length;
}

static bool take(const char **at_inout, const char *word)
{
    size_t length = word_length(*at_inout);
    if (length != strlen(word) || strncasecmp(*at_inout, word, length) != 0)
        return false;
    *at_inout = skip(*at_inout + length);
    return true;
}

/* name AS */
static lspo_status_t read_target(const char *path, const char *script, const char **at_inout, char *name_out)
{
    const char *at = *at_inout;
    size_t length = word_length(at);
    if (length == 0 || length >= LSPO_SQL_NAME_BYTES || isdigit((unsigned char)*at))
        return lspo_error(LSPO_ERR_INPUT,
                          "%s:%" PRIu64 ": WRITE needs the name of a table: a letter or _, then up to %d letters, "
                          "digits and _",
                          path, lspo_sql_line(script, at), LSPO_SQL_NAME_BYTES - 2);
    const char *after = skip(at + length);
    if (!take(&after, "AS"))
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": WRITE %.*s is not followed by AS", path,
                          lspo_sql_line(script, at), (int)length, at);
    memcpy(name_out, at, length);
    name_out[length] = '\0';
    *at_inout = after;
    return LSPO_OK;
}

lspo_status_t lspo_sql_statement_read(const char *path, const char *script, const char *at,
                                      lspo_sql_statement_t *statement_out)
{
    lspo_sql_statement_t statement = {.verb = LSPO_SQL_PLAIN};
    at = skip(at);
    const char *begin = at;
    if (take(&at, "REQUIRE"))
        statement.verb = LSPO_SQL_REQUIRE;
    else if (take(&at, "OBSERVE"))
        statement.verb = LSPO_SQL_OBSERVE;
    else if (take(&at, "WRITE"))
        statement.verb = LSPO_SQL_WRITE;
    if (statement.verb == LSPO_SQL_WRITE) {
        lspo_status_t status = read_target(path, script, &at, statement.name);
        if (status != LSPO_OK)
            return status;
    }
    if (statement.verb != LSPO_SQL_PLAIN && *at == '\0')
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": the file ends where a SELECT should be", path,
                          lspo_sql_line(script, begin));
    statement.text = *at != '\0' ? at : NULL;
    *statement_out = statement;
    return LSPO_OK;
}
