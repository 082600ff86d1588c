/* interrupt.h - Ctrl-C (SIGINT), SIGTERM and SIGHUP: the first signal asks for an orderly end, a second one ends the
 * process at once; one that follows within 0.3 s is the same request, sent twice, as timeout(1) does.
 *
 * This is for the commands that have something to save or to say in the end: `train`, `generate`, `sweep`, `validate`
 * and `memory --run`.  Signals end all other commands at once.  A signal that was ignored when the program started
 * stays ignored: nohup ignores SIGHUP, and a script without job control starts `command &` with SIGINT ignored.  System
 * calls are restarted. */
#ifndef LSPO_BASE_INTERRUPT_H
#define LSPO_BASE_INTERRUPT_H

#include <stdatomic.h>
#include <sys/types.h>

/* From now on the first signal sets the returned flag to 1, which the work polls. */
const atomic_int *lspo_interrupt_catch(void);

/* In a child process: let the caught signals end it at once. */
void lspo_interrupt_release(void);

/* Pass the first signal on to this child, or if negative to this group of children, since `kill` reaches only the
 * parent (a terminal reaches both, but not a group of their own). 0: to no child, which is the default.  Call this with
 * 0 before the child is reaped, so that no signal goes to another process. */
void lspo_interrupt_pass_on(pid_t child);

#endif
