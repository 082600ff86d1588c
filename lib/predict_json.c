/* predict_json.c - one prediction as JSON; see lspo.h. */
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_file.h"
#include "lib/allocator.h"
#include "lib/handles.h"

/* ---- the request ---- */

typedef struct {
    lspo_query *query;
    bool wants_ops;
} asked_t;

enum { TEXT_BYTES = 1024 };

/* A value as the text of an option. */
static lspo_status_t write_value(const char *key, const json_t *value, char text[TEXT_BYTES])
{
    int length = 0;
    switch (json_typeof(value)) {
    case JSON_STRING:
        if (strlen(json_string_value(value)) != json_string_length(value))
            return lspo_error(LSPO_ERR_INPUT, "%s has a NUL character", key);
        length = snprintf(text, TEXT_BYTES, "%s", json_string_value(value));
        break;
    case JSON_INTEGER:
        length = snprintf(text, TEXT_BYTES, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        length = snprintf(text, TEXT_BYTES, "%.17g", json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        length = snprintf(text, TEXT_BYTES, "%s", json_is_true(value) ? "on" : "off");
        break;
    default:
        return lspo_error(LSPO_ERR_INPUT, "%s is neither a text nor a number, true or false", key);
    }
    return length < TEXT_BYTES ? LSPO_OK
                               : lspo_error(LSPO_ERR_INPUT, "%s is longer than %d characters", key, TEXT_BYTES - 1);
}

static lspo_status_t set_value(lspo_query *query, const char *key, const json_t *value)
{
    char text[TEXT_BYTES];
    lspo_status_t status = write_value(key, value, text);
    return status == LSPO_OK ? lspo_query_store(query, key, text) : status;
}

/* {"link.h2d_Bps": "20GB/s"} */
static lspo_status_t set_field(lspo_query *query, const char *field, const json_t *value)
{
    char text[TEXT_BYTES], assignment[2 * TEXT_BYTES];
    lspo_status_t status = write_value(field, value, text);
    if (status != LSPO_OK)
        return status;
    if (snprintf(assignment, sizeof assignment, "%s=%s", field, text) >= (int)sizeof assignment)
        return lspo_error(LSPO_ERR_INPUT, "set: the name of a field is too long");
    return lspo_query_store(query, "set", assignment);
}

static lspo_status_t set_fields(lspo_query *query, json_t *fields)
{
    lspo_status_t status = LSPO_OK;
    const char *field;
    json_t *value;
    size_t index;
    if (!json_is_object(fields) && !json_is_array(fields))
        return set_value(query, "set", fields);
    json_object_foreach(fields, field, value) if (status == LSPO_OK) status = set_field(query, field, value);
    json_array_foreach(fields, index, value) if (status == LSPO_OK) status = set_value(query, "set", value);
    return status;
}

static lspo_status_t read_key(asked_t *asked, const char *key, json_t *value)
{
    if (strcmp(key, "set") == 0)
        return set_fields(asked->query, value);
    if (strcmp(key, "ops") != 0)
        return set_value(asked->query, key, value);
    asked->wants_ops = json_is_true(value);
    return json_is_boolean(value) ? LSPO_OK : lspo_error(LSPO_ERR_INPUT, "ops is neither true nor false");
}

static lspo_status_t read_request(const char *text, asked_t *asked)
{
    json_error_t error;
    bool no_memory;
    if (text == NULL)
        return lspo_error(LSPO_ERR_INPUT, "the request is NULL");
    json_t *request = lspo_json_parse(text, strlen(text), JSON_REJECT_DUPLICATES, &error, &no_memory);
    if (no_memory)
        return lspo_no_memory("the request");
    if (request == NULL)
        return lspo_error(LSPO_ERR_INPUT, "the request is not JSON: line %d: %s", error.line, error.text);
    lspo_status_t status = LSPO_OK;
    const char *key;
    json_t *value;
    if (!json_is_object(request))
        status = lspo_error(LSPO_ERR_INPUT, "the request is not a JSON object");
    json_object_foreach(request, key, value) if (status == LSPO_OK) status = read_key(asked, key, value);
    json_decref(request);
    return status;
}

/* ---- the answer ---- */

/* The warnings of a prediction as an array. */
typedef struct {
    json_t *list;
    bool lacked_memory;
} warnings_t;

/* lspo_options.warn */
static void collect(void *user, const char *text)
{
    warnings_t *warnings = user;
    warnings->lacked_memory |= json_array_append_new(warnings->list, json_string(text)) != 0;
}

static void write_ops(const lspo_reply *reply, FILE *file)
{
    lspo_reply_op op = LSPO_REPLY_OP_INIT;
    fputs(",\n  \"ops\": [", file);
    for (size_t i = 0; lspo_reply_op_at(reply, i, &op) == LSPO_DONE; i++)
        fprintf(file,
                "%s\n    {\"lane\": \"%s\", \"kind\": \"%s\", \"layer\": %" PRIu32 ", \"iteration\": %" PRIu32
                ", \"micro\": %" PRIu32 ", \"variant\": %" PRIu32
                ", \"start_s\": %.9f, \"end_s\": %.9f, \"bytes\": %" PRIu64 "}",
                i > 0 ? "," : "", op.lane, op.kind, op.layer, op.iteration, op.micro, op.variant, op.start_s, op.end_s,
                op.bytes);
    fputs("\n  ]", file);
}

/* The reply's object with two more members. */
static void write_reply(const lspo_reply *reply, const char *warnings, bool wants_ops, FILE *file)
{
    size_t length = (size_t)(strrchr(reply->json, '}') - reply->json);
    while (reply->json[length - 1] == '\n')
        length--;
    fwrite(reply->json, 1, length, file);
    fprintf(file, ",\n  \"warnings\": %s", warnings);
    if (wants_ops)
        write_ops(reply, file);
    fputs("\n}\n", file);
}

/* Print `value`; then the answer around it: `reply` with warnings, or {"error": value}. */
static lspo_status_t write_answer(const lspo_reply *reply, bool wants_ops, const json_t *value, char **answer_out)
{
    size_t bytes;
    char *text = NULL, *quoted = lspo_json_print(value, JSON_ENCODE_ANY);
    FILE *file = quoted != NULL ? open_memstream(&text, &bytes) : NULL;
    if (file != NULL && reply != NULL)
        write_reply(reply, quoted, wants_ops, file);
    else if (file != NULL)
        fprintf(file, "{\"error\": %s}\n", quoted);
    free(quoted);
    if (file == NULL || fclose(file) != 0 || text == NULL) {
        free(text);
        return lspo_no_memory("the answer");
    }
    *answer_out = text;
    return LSPO_OK;
}

static lspo_status_t predict(lspo_context *context, const char *request, const warnings_t *warnings, char **answer_out)
{
    lspo_query query = {.context = context};
    asked_t asked = {.query = &query};
    lspo_reply *reply = NULL;
    lspo_status_t status = read_request(request, &asked);
    if (status == LSPO_OK)
        status = lspo_reply_create(&query, &reply);
    if (status == LSPO_OK && warnings->lacked_memory)
        status = lspo_no_memory("the warnings");
    if (status == LSPO_OK)
        status = write_answer(reply, asked.wants_ops, warnings->list, answer_out);
    lspo_reply_destroy(reply);
    lspo_settings_release(&query.settings);
    return status;
}

/* What failed, as the answer. */
static lspo_status_t tell_error(lspo_context *context, char **answer_out)
{
    lspo_speak_of_keys(context->message);
    json_t *message = json_string(context->message);
    lspo_status_t status = write_answer(NULL, false, message, answer_out);
    json_decref(message);
    return status;
}

int lspo_predict_json(const char *request, char **answer_out)
{
    warnings_t warnings = {.list = json_array()};
    lspo_options options = LSPO_OPTIONS_INIT;
    lspo_context *context = NULL;
    *answer_out = NULL;
    options.warn = collect;
    options.user = &warnings;
    if (warnings.list == NULL || lspo_context_open(&options, &context) != LSPO_DONE) {
        json_decref(warnings.list);
        return LSPO_NO_ROOM;
    }
    lspo_call_t call = lspo_call_begin(context);
    lspo_status_t status = predict(context, request, &warnings, answer_out);
    if (status != LSPO_OK && tell_error(context, answer_out) != LSPO_OK)
        status = LSPO_ERR_MEMORY;
    int code = lspo_call_end(&call, status);
    lspo_context_close(context);
    json_decref(warnings.list);
    return code;
}

void lspo_free(char *text)
{
    const lspo_options *before = lspo_allocator_use(NULL);
    free(text);
    (void)lspo_allocator_use(before);
}
