/* hf_generation.c - see hf_generation.h. */
#include "real/formats/hf_generation.h"

#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/json_file.h"
#include "real/formats/hf_model_state.h"

static lspo_status_t take(const char *path, const json_t *value, uint32_t vocabulary, lspo_hf_ends_t *ends)
{
    const json_int_t id = json_integer_value(value);
    if (!json_is_integer(value))
        return lspo_error(LSPO_ERR_INPUT, "%s: eos_token_id must be a token, or a list of tokens: integers 0..%u", path,
                          vocabulary - 1);
    if (id < 0 || id >= (json_int_t)vocabulary) {
        lspo_warn("%s: eos_token_id %" JSON_INTEGER_FORMAT
                  " is outside the vocabulary, 0..%u: no text will end with it",
                  path, id, vocabulary - 1);
        return LSPO_OK;
    }
    if (ends->count == LSPO_HF_ENDS_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: eos_token_id has more than %d tokens", path, LSPO_HF_ENDS_MAX);
    ends->ids[ends->count++] = (uint32_t)id;
    return LSPO_OK;
}

static lspo_status_t read_from(const char *path, uint32_t vocabulary, lspo_hf_ends_t *ends)
{
    json_t *config = NULL;
    lspo_status_t status = lspo_json_file_read(path, &config);
    if (status != LSPO_OK)
        return status;
    const json_t *value = json_object_get(config, "eos_token_id"), *item;
    size_t index;
    if (json_is_array(value))
        json_array_foreach(value, index, item)
        {
            status = take(path, item, vocabulary, ends);
            if (status != LSPO_OK)
                break;
        }
    else if (value != NULL && !json_is_null(value))
        status = take(path, value, vocabulary, ends);
    json_decref(config);
    return status;
}

lspo_status_t lspo_hf_ends_read(const char *folder, uint32_t vocabulary, lspo_hf_ends_t *ends_out)
{
    static const char *const names[] = {"generation_config.json", "config.json"};
    lspo_hf_ends_t ends = {.count = 0};
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; i < 2 && status == LSPO_OK && ends.count == 0; i++) {
        char *path = lspo_hf_path(folder, names[i]);
        if (path == NULL)
            return lspo_no_memory("the name of %s", folder);
        if (access(path, F_OK) == 0)
            status = read_from(path, vocabulary, &ends);
        free(path);
    }
    if (status == LSPO_OK)
        *ends_out = ends;
    return status;
}
