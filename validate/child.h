/* child.h - run this program with other arguments in processes of their own, which may crash. */
#ifndef LSPO_VALIDATE_CHILD_H
#define LSPO_VALIDATE_CHILD_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct {
    char **argv;            /* "lspo", "run", ..., NULL */
    const char *output;     /* file for what it writes to standard output; NULL: dropped */
    const char *log;        /* file for its messages */
    const int *cpu;         /* operating-system CPU number on which it stays; NULL: on any */
    const atomic_int *stop; /* of base/interrupt.h; signals are passed on */
} lspo_child_t;

enum { LSPO_CHILDREN_MAX = 64 };

/* Run and wait.  *code_out: its exit code, or 128 + signal; *cpu_s_out: its CPU time. */
lspo_status_t lspo_child_run(const lspo_child_t *child, int *code_out, double *cpu_s_out);
/* The same for up to LSPO_CHILDREN_MAX that run at once; one code for each, and the sum of their CPU times. */
lspo_status_t lspo_children_run(const lspo_child_t *children, uint32_t count, int *codes_out, double *cpu_s_out);

/* The last line of its log, or "no message". */
void lspo_child_last_line(const char *path, char *last, size_t last_bytes);

#endif
