/* json_file.h - read a JSON object from a file that the user names. */
#ifndef LSPO_BASE_JSON_FILE_H
#define LSPO_BASE_JSON_FILE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/status.h"

/* Read a file that is one JSON object; the caller calls json_decref().  A byte-order mark is skipped.  LSPO_ERR_INPUT,
 * with file and line, if it is not a regular file, not JSON, not an object, or has a key twice. */
lspo_status_t lspo_json_file_read(const char *path, json_t **object_out);

/* jansson 2.14 ignores failed allocations: json_loadb() drops digits, json_dumps() words, json_copy() members.  These
 * functions return the complete result or NULL.  To find out, they set jansson's allocation functions, which are those
 * of the whole process.
 *
 * In a thread that shares jansson with others, they leave these as they are, and do everything twice: what is the same
 * both times is complete, since an allocation that fails again leaves nothing at all.  Returns what was set before. */
bool lspo_json_share(bool shared);

/* json_loadb().  Returns NULL if the text is not JSON or, with *no_memory_out set, if memory ran out. */
json_t *lspo_json_parse(const char *text, size_t bytes, size_t flags, json_error_t *error, bool *no_memory_out);
/* json_dumps().  The caller frees the text; NULL if memory ran out or `value` is NULL. */
char *lspo_json_print(const json_t *value, size_t flags);
/* json_deep_copy().  The caller calls json_decref(); NULL if memory ran out or `value` is NULL. */
json_t *lspo_json_copy(const json_t *value);

#endif
