/* interrupt.h - Ctrl-C (SIGINT), SIGTERM and SIGHUP: the first one asks for an end in order, a second one ends the
 * process at once.
 *
 * For commands that have something to save, `train` and `validate`.  The others leave the signals alone, which end them
 * at once.  A signal that was ignored when the program began stays ignored: nohup means that for SIGHUP, and a script
 * without job control starts `command &` with SIGINT ignored.  System calls are restarted. */
#ifndef LSPO_BASE_INTERRUPT_H
#define LSPO_BASE_INTERRUPT_H

#include <stdatomic.h>
#include <sys/types.h>

/* From now on the first signal sets what is returned to 1; work polls it. */
const atomic_int *lspo_interrupt_catch(void);

/* In a child: the signals that were caught end it at once. */
void lspo_interrupt_release(void);

/* Pass the first signal on to this child: `kill` reaches us alone, a terminal both.  0: to nobody, as at first.  A
 * child that is waited for must still be there when this is told of its end. */
void lspo_interrupt_pass_on(pid_t child);

#endif
