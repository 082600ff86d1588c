/* child.h - run this program with other arguments in a process of its own, which may crash. */
#ifndef LSPO_VALIDATE_CHILD_H
#define LSPO_VALIDATE_CHILD_H

#include <stdatomic.h>
#include <stddef.h>

#include "base/status.h"

typedef struct {
    char **argv;            /* "lspo", "run", ..., NULL */
    const char *output;     /* file for what it writes to standard output; NULL: dropped */
    const char *log;        /* file for its messages */
    const atomic_int *stop; /* of base/interrupt.h; signals are passed on */
} lspo_child_t;

/* Run and wait.  *code_out: its exit code, or 128 + signal; *cpu_s_out: its CPU time. */
lspo_status_t lspo_child_run(const lspo_child_t *child, int *code_out, double *cpu_s_out);

/* The last line of its log, or "no message". */
void lspo_child_last_line(const char *path, char *last, size_t last_bytes);

#endif
