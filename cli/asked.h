/* asked.h - what the flags of a plan ask for, when they come from a grid or a file of published steps. */
#ifndef LSPO_CLI_ASKED_H
#define LSPO_CLI_ASKED_H

#include <stdbool.h>

#include "base/status.h"
#include "plan/machine.h"
#include "validate/predict.h"

/* Read flags like `lspo sim`; argv[0] is the command's name.  any_task: policies of generation, too.  --link, --cpu and
 * --set change `machine` (may be NULL).  Nothing of argv is kept. */
lspo_status_t lspo_asked_read(int argc, char **argv, bool any_task, lspo_machine_t *machine, lspo_asked_t *asked_out);

/* The same for any task with flags as words with blanks between them: lspo_read_flags_t. */
lspo_status_t lspo_asked_read_text(const char *flags, lspo_machine_t *machine, lspo_asked_t *asked_out);

#endif
