/* dataset_rows.c - what all forms of records need: fields, rows, and what is said of records.  See dataset_state.h. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "real/data/dataset_state.h"

const json_t *lspo_record_field(const json_t *record, const char *key)
{
    const json_t *value = json_object_get(record, key);
    return json_is_null(value) ? NULL : value;
}

const char *lspo_record_type(const json_t *value)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string", [JSON_INTEGER] = "a number",
        [JSON_REAL] = "a number",    [JSON_TRUE] = "true",      [JSON_FALSE] = "false",     [JSON_NULL] = "null"};
    return names[json_typeof(value)];
}

bool lspo_record_is_empty(const json_t *value)
{
    return json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

void lspo_dataset_note_unused(lspo_part_t *part, const char *key)
{
    char name[LSPO_FIELD_MAX];
    snprintf(name, sizeof name, "%s", key);
    for (size_t i = 0; i < LSPO_UNUSED_MAX; i++) {
        if (strcmp(part->unused[i], name) == 0)
            return;
        if (part->unused[i][0] == '\0') {
            memcpy(part->unused[i], name, sizeof name);
            return;
        }
    }
}

void lspo_dataset_skip(lspo_part_t *part, const char *where, const char *why)
{
    if (part->skipped++ > 0)
        return;
    snprintf(part->skipped_where, sizeof part->skipped_where, "%s", where);
    part->skipped_why = why;
}

lspo_status_t lspo_dataset_add_row(lspo_part_t *part, const lspo_row_t *row)
{
    lspo_status_t status =
        lspo_array_grow(&part->rows, &part->row_capacity, part->row_count + 1, sizeof *part->rows, "examples");
    if (status != LSPO_OK)
        return status;
    part->rows[part->row_count++] = *row;
    return LSPO_OK;
}

lspo_status_t lspo_dataset_append_special(uint32_t id, lspo_tokens_t *tokens)
{
    return id == LSPO_NO_TOKEN ? LSPO_OK : lspo_tokens_append(tokens, id);
}
