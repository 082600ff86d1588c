/* json_file.h - a JSON object from a file that somebody gave us. */
#ifndef LSPO_BASE_JSON_FILE_H
#define LSPO_BASE_JSON_FILE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/status.h"

/* The object of a whole file; the caller's to json_decref().  A byte-order mark is skipped.  LSPO_ERR_INPUT, with file
 * and line, for what is no regular file, no JSON, no object, or has one key twice. */
lspo_status_t lspo_json_file_read(const char *path, json_t **object_out);

/* jansson 2.14 goes on after allocations that fail: json_loadb() drops digits, json_dumps() words, json_copy() members.
 * These return all of it or NULL. */

/* json_loadb().  NULL where the text is no JSON and, with *no_memory_out, where memory ran out. */
json_t *lspo_json_parse(const char *text, size_t bytes, size_t flags, json_error_t *error, bool *no_memory_out);
/* json_dumps(): the text is the caller's to free(); NULL without memory, or without a value. */
char *lspo_json_print(const json_t *value, size_t flags);
/* json_deep_copy(): the caller's to json_decref(); NULL without memory, or without a value. */
json_t *lspo_json_copy(const json_t *value);

#endif
