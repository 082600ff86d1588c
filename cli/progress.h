/* progress.h - a line of progress on stderr, for people: only on a terminal.  Errors and warnings wipe it first, so
 * that they stand on lines of their own. */
#ifndef LSPO_CLI_PROGRESS_H
#define LSPO_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t start_ns;
    bool terminal;
} lspo_progress_t;

void lspo_progress_start(lspo_progress_t *progress);
/* A bar, once 2 s have passed.  The callback of real/train/run.h, real/calibrate/calibrate.h and others; `context` is
 * the lspo_progress_t. */
void lspo_progress_update(void *context, const char *label, uint32_t done, uint32_t of);
/* Any other line, at once. */
void lspo_progress_line(lspo_progress_t *progress, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Erase the line; nothing is shown after that. */
void lspo_progress_end(lspo_progress_t *progress);

#endif
