/* interrupt.h - Ctrl-C: the first one asks for an end in order, a second one ends the process at once. */
#ifndef LSPO_CLI_INTERRUPT_H
#define LSPO_CLI_INTERRUPT_H

#include <stdatomic.h>

/* From now on SIGINT sets what is returned to 1; work polls it.  The handler is gone after the first. */
const atomic_int *lspo_interrupt_catch(void);

#endif
