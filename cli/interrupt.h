/* interrupt.h - Ctrl-C (SIGINT), SIGTERM and SIGHUP: the first one asks for an end in order, a second one ends the
 * process at once.
 *
 * For commands that have something to save, `train` and `validate`.  The others leave the signals alone, which end them
 * at once.  SIGTERM and SIGHUP that were ignored when the program began stay ignored: nohup means that.  System calls
 * are restarted. */
#ifndef LSPO_CLI_INTERRUPT_H
#define LSPO_CLI_INTERRUPT_H

#include <stdatomic.h>
#include <sys/types.h>

/* From now on the first signal sets what is returned to 1; work polls it. */
const atomic_int *lspo_interrupt_catch(void);

/* For long work without anything to save: SIGINT ends the process, in a script's background job too. */
void lspo_interrupt_at_once(void);

/* Pass the first signal on to this child, as SIGINT: `kill` reaches us alone, a terminal both.  0: to nobody, as at
 * first.  A child that is waited for must still be there when this is told of its end. */
void lspo_interrupt_pass_on(pid_t child);

#endif
