/* reply.c - predict a query; see lspo.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/allocator.h"
#include "lib/handles.h"
#include "plan/op.h"

/* lspo_request_read_t */
static lspo_status_t read_settings(void *context, lspo_request_t *request)
{
    const lspo_settings_t *settings = context;
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; status == LSPO_OK && i < settings->count; i++)
        status = lspo_args_store(lspo_library_options, settings->list[i].key, settings->list[i].value, request);
    return status;
}

/* Write the result as JSON. */
static lspo_status_t write_json(lspo_reply *reply)
{
    size_t bytes;
    FILE *file = open_memstream(&reply->json, &bytes);
    if (file == NULL)
        return lspo_no_memory("the reply as JSON");
    lspo_status_t status = lspo_result_write(&reply->result, LSPO_FORMAT_JSON, file);
    if ((fclose(file) != 0 || reply->json == NULL) && status == LSPO_OK)
        status = lspo_no_memory("the reply as JSON");
    return status;
}

static lspo_status_t fill(lspo_reply *reply)
{
    lspo_request_t *request = &reply->request;
    *request = (lspo_request_t){.model_name = "gpt2-774m",
                                .machine_name = "paper-workstation",
                                .policy_name = lspo_usual_policy,
                                .any_task = true,
                                .task = -1};
    lspo_status_t status = lspo_request_read(read_settings, &reply->settings, LSPO_PRECISION_COUNT, request);
    if (status == LSPO_OK)
        status = lspo_request_check_task(request);
    if (status == LSPO_OK)
        status = lspo_machine_find(request->machine_name, &reply->machine);
    if (status == LSPO_OK)
        status = lspo_request_use_machine(request, &reply->machine);
    if (status == LSPO_OK)
        status = lspo_answer_predict(request, &reply->machine, true, &reply->answer);
    if (status != LSPO_OK)
        return status;
    lspo_answer_result(&reply->answer, &reply->result);
    reply->field_count = lspo_result_fields(0, &reply->fields);
    return write_json(reply);
}

lspo_status_t lspo_reply_create(const lspo_query *query, lspo_reply **reply_out)
{
    lspo_reply *reply = calloc(1, sizeof *reply);
    if (reply == NULL)
        return lspo_no_memory("a reply");
    reply->context = query->context;
    lspo_status_t status = lspo_settings_copy(&query->settings, &reply->settings);
    if (status == LSPO_OK)
        status = fill(reply);
    if (status == LSPO_OK)
        *reply_out = reply;
    else
        lspo_reply_destroy(reply);
    return status;
}

void lspo_reply_destroy(lspo_reply *reply)
{
    if (reply == NULL)
        return;
    const lspo_options *before = lspo_allocator_use(&reply->context->options);
    lspo_answer_release(&reply->answer);
    lspo_settings_release(&reply->settings);
    free(reply->json);
    free(reply);
    (void)lspo_allocator_use(before);
}

/* The value of a name; NULL: there is none. */
static const void *find_slot(const lspo_reply *reply, const char *name, lspo_field_kind_t *kind_out)
{
    for (size_t i = 0; name != NULL && i < reply->field_count; i++) {
        const lspo_field_t *field = &reply->fields.fields[i].field;
        if (strcmp(field->name, name) == 0) {
            *kind_out = field->kind;
            return (const char *)&reply->result + field->offset_bytes;
        }
    }
    return NULL;
}

int lspo_reply_number(const lspo_reply *reply, const char *name, double *number_out)
{
    lspo_field_kind_t kind;
    const void *slot = find_slot(reply, name, &kind);
    if (slot == NULL)
        return LSPO_NOT_FOUND;
    if (kind == LSPO_FIELD_REAL)
        *number_out = *(const double *)slot;
    else if (kind == LSPO_FIELD_INTEGER)
        *number_out = *(const uint64_t *)slot == LSPO_MISSING ? (double)NAN : (double)*(const uint64_t *)slot;
    else if (kind == LSPO_FIELD_YES_NO)
        *number_out = *(const int *)slot < 0 ? (double)NAN : *(const int *)slot;
    else
        return LSPO_NOT_FOUND;
    return LSPO_DONE;
}

int lspo_reply_text(const lspo_reply *reply, const char *name, const char **text_out)
{
    lspo_field_kind_t kind;
    const void *slot = find_slot(reply, name, &kind);
    if (slot == NULL || (kind != LSPO_FIELD_TEXT && kind != LSPO_FIELD_STRING))
        return LSPO_NOT_FOUND;
    const char *text = *(const char *const *)slot;
    *text_out = text != NULL && (text[0] != '\0' || kind == LSPO_FIELD_STRING) ? text : NULL;
    return LSPO_DONE;
}

const char *lspo_reply_name(const lspo_reply *reply, size_t index)
{
    return index < reply->field_count ? reply->fields.fields[index].field.name : NULL;
}

const char *lspo_reply_json(const lspo_reply *reply)
{
    return reply->json;
}

size_t lspo_reply_op_count(const lspo_reply *reply)
{
    return reply->answer.trace->row_count;
}

int lspo_reply_op_at(const lspo_reply *reply, size_t index, lspo_reply_op *op)
{
    const lspo_trace_t *trace = reply->answer.trace;
    if (op->size != sizeof *op) /* the only size so far */
        return LSPO_REFUSED;
    if (index >= trace->row_count)
        return LSPO_NOT_FOUND;
    const lspo_trace_row_t *row = &trace->rows[index];
    *op = (lspo_reply_op){.size = sizeof *op,
                          .lane = trace->lanes.list[row->lane].name,
                          .kind = lspo_op_kinds[row->kind].name,
                          .layer = row->layer,
                          .iteration = row->iteration,
                          .micro = row->micro,
                          .variant = row->variant,
                          .start_s = (double)row->start_ns * 1e-9,
                          .end_s = (double)row->end_ns * 1e-9,
                          .bytes = row->bytes};
    return LSPO_DONE;
}
