/* train_view.h - what a person sees of a training on stderr: on a terminal a line for the step and a bar for whatever
 * else takes more than 2 s (reading, fitting); elsewhere one line of what takes more than 5 s. */
#ifndef LSPO_CLI_TRAIN_VIEW_H
#define LSPO_CLI_TRAIN_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/progress.h"
#include "real/train/train.h"

typedef struct {
    lspo_progress_t line;
    const char *phase; /* under way; NULL: steps are */
    bool told;         /* of this phase, where there is no terminal */
} lspo_train_view_t;

void lspo_train_view_begin(lspo_train_view_t *view);
/* The callbacks of real/train/train.h; `context` is the view. */
void lspo_train_view_step(void *context, const lspo_train_progress_t *progress);
void lspo_train_view_phase(void *context, const char *phase, uint32_t done, uint32_t of);
/* Wipe what stands there; nothing is shown after that. */
void lspo_train_view_end(lspo_train_view_t *view);

#endif
