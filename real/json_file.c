#include "real/json_file.h"

#include <stdlib.h>

#include "plan/input_file.h"

/* Tokenizers of a million tokens have 100 MB. */
enum { JSON_MAX_BYTES = 1 << 30 };

lspo_status_t lspo_json_file_read(const char *path, json_t **object_out)
{
    lspo_input_t *input = NULL;
    char *text = NULL;
    size_t bytes = 0;
    json_error_t error;
    lspo_status_t status = lspo_input_open(path, JSON_MAX_BYTES, &input);
    if (status == LSPO_OK)
        status = lspo_input_read_all(input, &text, &bytes);
    lspo_input_close(input);
    if (status != LSPO_OK)
        return status;
    json_t *object = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    free(text);
    if (!object && json_error_code(&error) == json_error_out_of_memory)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for %s", path);
    if (!object)
        return lspo_error(LSPO_ERR_INPUT, "%s: line %d: %s", path, error.line, error.text);
    if (!json_is_object(object)) {
        json_decref(object);
        return lspo_error(LSPO_ERR_INPUT, "%s: no JSON object", path);
    }
    *object_out = object;
    return LSPO_OK;
}
