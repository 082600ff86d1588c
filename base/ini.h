/* ini.h - read an INI file key by key with its place, over libinih.
 *
 * inih skips over what it cannot read and cuts long names; here a line that is neither a section nor key = value,
 * a key before the first section, a duplicate key, a line above 198 characters or with a zero byte, and a file that
 * cannot be read are errors with file:line.
 */
#ifndef LSPO_BASE_INI_H
#define LSPO_BASE_INI_H

#include "base/status.h"

/* Called for each key, in file order.  `where` is "FILE:LINE", for messages.  The handler logs what it refuses, and the
 * reading stops there. */
typedef lspo_status_t (*lspo_ini_handler_t)(void *context, const char *where, const char *section, const char *key,
                                            const char *value);

/* Returns the handler's first failure, LSPO_ERR_INPUT for a malformed file, LSPO_ERR_IO for an unreadable one. */
lspo_status_t lspo_ini_read(const char *path, lspo_ini_handler_t handler, void *context);

#endif
