/* said.h - what a call writes to stderr. */
#ifndef LSPO_TESTS_SAID_H
#define LSPO_TESTS_SAID_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char said[4096];
static FILE *said_log;
static int said_saved;

/* From here on stderr is kept, up to listen_end(), which puts it into `said`. */
static inline void listen_begin(void)
{
    said_log = tmpfile();
    cr_assert_not_null(said_log);
    fflush(stderr);
    said_saved = dup(STDERR_FILENO);
    dup2(fileno(said_log), STDERR_FILENO);
}

static inline void listen_end(void)
{
    fflush(stderr);
    dup2(said_saved, STDERR_FILENO);
    close(said_saved);
    rewind(said_log);
    said[fread(said, 1, sizeof said - 1, said_log)] = '\0';
    fclose(said_log);
}

static inline void expect_said(const char *name, const char *part)
{
    cr_expect(strstr(said, part), "%s: '%s' is not in: %s", name, part, said);
}

#endif
