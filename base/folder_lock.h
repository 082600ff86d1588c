/* folder_lock.h - one process at a time writes into a folder. */
#ifndef LSPO_BASE_FOLDER_LOCK_H
#define LSPO_BASE_FOLDER_LOCK_H

#include <stdbool.h>

#include "base/status.h"

/* Lock an open file; false when another process still holds it after two seconds, in which one that was killed ends. */
bool lspo_lock_take(int descriptor);

/* Lock an existing folder for this process, until close(*lock_out) or its end, however it ends.  LSPO_ERR_INPUT when
 * another process holds it: "FOLDER: another USER writes here".  A file system without locks gives none and no
 * error. */
lspo_status_t lspo_folder_lock(const char *folder, const char *user, int *lock_out);

#endif
