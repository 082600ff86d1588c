/* ini.h - read an INI file key by key, with file and line of each key, by libinih.
 *
 * inih skips what it cannot read and truncates long names.  Here these are errors with file:line: a line that is
 * neither a section nor key = value, a key before the first section, a duplicate key, a line of more than 198
 * characters or with a NUL byte, and a file that cannot be read.
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
    const char *note; /* comment after the value, without ';' and the blanks around it; "": none */
} lspo_ini_entry_t;

/* Called for each key, in the order of the file.  If the handler refuses a key, it logs why, and reading stops. */
typedef lspo_status_t (*lspo_ini_handler_t)(void *context, const lspo_ini_entry_t *entry);

/* Returns the handler's first failure, LSPO_ERR_INPUT for a malformed file, LSPO_ERR_IO for an unreadable one. */
lspo_status_t lspo_ini_read(const char *path, lspo_ini_handler_t handler, void *context);

/* The same, but the handler is also called at the head of each section, with key, value and note "".  A section that
 * is there twice is an error. */
lspo_status_t lspo_ini_read_sections(const char *path, lspo_ini_handler_t handler, void *context);

/* The same as lspo_ini_read() for `text` in memory; messages use `name` as the file's name. */
lspo_status_t lspo_ini_read_text(const char *name, const char *text, lspo_ini_handler_t handler, void *context);

#endif
