/* json_file.h - a JSON object from a file that somebody gave us. */
#ifndef LSPO_BASE_JSON_FILE_H
#define LSPO_BASE_JSON_FILE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/status.h"

/* The object of a whole file; the caller's to json_decref().  A byte-order mark is skipped.  LSPO_ERR_INPUT, with file
 * and line, for what is no regular file, no JSON, no object, or has one key twice. */
lspo_status_t lspo_json_file_read(const char *path, json_t **object_out);

/* json_loadb(), which tells lack of memory apart: a word that jansson has no memory for is a syntax error to it.  NULL
 * where the text is no JSON and, with *no_memory_out, where memory ran out. */
json_t *lspo_json_parse(const char *text, size_t bytes, size_t flags, json_error_t *error, bool *no_memory_out);

#endif
