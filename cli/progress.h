/* progress.h - a progress bar on stderr, for people: only on a terminal, and only once 2 s have passed. */
#ifndef LSPO_CLI_PROGRESS_H
#define LSPO_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t start_ns;
    bool terminal, shown;
} lspo_progress_t;

void lspo_progress_start(lspo_progress_t *progress);
/* The callback of real/run.h and real/calibrate.h; `context` is the lspo_progress_t. */
void lspo_progress_update(void *context, const char *label, uint32_t done, uint32_t of);
/* Wipe the bar, so that messages and results start on an empty line. */
void lspo_progress_end(lspo_progress_t *progress);

#endif
