/* ini.h - read an INI file key by key with its place, over libinih.
 *
 * inih skips over what it cannot read and cuts long names; here a line that is neither a section nor key = value,
 * a key before the first section, a duplicate key, a line above 198 characters or with a zero byte, and a file that
 * cannot be read are errors with file:line.
 */
#ifndef LSPO_BASE_INI_H
#define LSPO_BASE_INI_H

#include "base/status.h"

/* A key of a file.  All texts live until the handler returns. */
typedef struct {
    const char *where; /* "FILE:LINE", for messages */
    const char *section;
    const char *key;
    const char *value;
    const char *note; /* the comment behind the value, without its ';' and the blanks around it; "": there is none */
} lspo_ini_entry_t;

/* Called for each key, in file order.  The handler logs what it refuses, and the reading stops there. */
typedef lspo_status_t (*lspo_ini_handler_t)(void *context, const lspo_ini_entry_t *entry);

/* Returns the handler's first failure, LSPO_ERR_INPUT for a malformed file, LSPO_ERR_IO for an unreadable one. */
lspo_status_t lspo_ini_read(const char *path, lspo_ini_handler_t handler, void *context);

/* The same for a file that is in memory as `text`; messages call it `name`. */
lspo_status_t lspo_ini_read_text(const char *name, const char *text, lspo_ini_handler_t handler, void *context);

#endif
