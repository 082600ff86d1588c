/* train_view.h - the progress of a training on stderr: on a terminal, a line for the step and a bar for other phases of
 * more than 2 s (reading, fitting); elsewhere one line per phase of more than 5 s. */
#ifndef LSPO_CLI_TRAIN_VIEW_H
#define LSPO_CLI_TRAIN_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/progress.h"
#include "real/train/train.h"

typedef struct {
    lspo_progress_t line;
    const char *phase; /* current phase; NULL: steps */
    bool told;         /* this phase has been reported, without a terminal */
} lspo_train_view_t;

void lspo_train_view_begin(lspo_train_view_t *view);
/* The callbacks of real/train/train.h; `context` is the view. */
void lspo_train_view_step(void *context, const lspo_train_progress_t *progress);
void lspo_train_view_phase(void *context, const char *phase, uint32_t done, uint32_t of);
/* Erase the line; nothing is shown after that. */
void lspo_train_view_end(lspo_train_view_t *view);

#endif
