/* json_file.h - a JSON object from a file that somebody gave us. */
#ifndef LSPO_REAL_JSON_FILE_H
#define LSPO_REAL_JSON_FILE_H

#include <jansson.h>

#include "plan/status.h"

/* The object of a whole file; the caller's to json_decref().  A byte-order mark is skipped.  LSPO_ERR_INPUT, with file
 * and line, for what is no regular file, no JSON, no object, or has one key twice. */
lspo_status_t lspo_json_file_read(const char *path, json_t **object_out);

#endif
