/* presence.h - a file that tells whether a process is there, whatever ended it: the process holds a lock on the file,
 * which the system releases, and writes a last word into it if it leaves on its own account.  Of a process on another
 * machine the file system must pass locks on. */
#ifndef LSPO_BASE_PRESENCE_H
#define LSPO_BASE_PRESENCE_H

#include "base/status.h"

typedef enum {
    LSPO_PRESENCE_UNKNOWN, /* it has not come yet, or nothing can be told */
    LSPO_PRESENCE_HERE,
    LSPO_PRESENCE_LEFT, /* on its own account */
    LSPO_PRESENCE_LOST  /* ended by something else */
} lspo_presence_t;

/* Before the process comes: nothing is known.  A file that cannot be made is not there, and stays unknown. */
void lspo_presence_forget(const char *path);

/* This process is there, until it ends or leaves.  Returns a descriptor, or -1: without it nothing can be told. */
int lspo_presence_come(const char *path);
void lspo_presence_leave(int descriptor);

lspo_presence_t lspo_presence_look(const char *path);

#endif
