/* folder_lock.h - a lock, so that only one process at a time writes to a folder. */
#ifndef LSPO_BASE_FOLDER_LOCK_H
#define LSPO_BASE_FOLDER_LOCK_H

#include <stdbool.h>

#include "base/status.h"

/* Lock an open file.  Returns false if another process still holds the lock after two seconds, long enough for a killed
 * process to end. */
bool lspo_lock_take(int descriptor);

/* Lock an existing folder for this process, until close(*lock_out) or until the process ends in any way.
 * LSPO_ERR_INPUT if another process holds the lock; `user` ("train") is for the message.  On a file system without
 * locks the folder is not locked, which is no error. */
lspo_status_t lspo_folder_lock(const char *folder, const char *user, int *lock_out);

#endif
