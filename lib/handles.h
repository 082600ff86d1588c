/* handles.h - what the handles of lspo.h hold, and how a call of the library begins and ends. */
#ifndef LSPO_LIB_HANDLES_H
#define LSPO_LIB_HANDLES_H

#include <locale.h>
#include <stdbool.h>
#include <stddef.h>

#include "ask/answer.h"
#include "ask/request.h"
#include "ask/result.h"
#include "base/status.h"
#include "base/texts.h"
#include "lib/lspo.h"
#include "lib/settings.h"
#include "lib/spare.h"

enum { LSPO_MESSAGE_BYTES = 2048 };

struct lspo_context {
    lspo_options options; /* with functions of memory: the caller's or those of `spare` */
    lspo_spare_t spare;
    locale_t locale; /* "C": numbers have points */
    lspo_texts_t texts;
    char message[LSPO_MESSAGE_BYTES];
};

struct lspo_query {
    lspo_context *context;
    lspo_settings_t settings;
};

struct lspo_reply {
    const lspo_context *context; /* whose memory it is */
    lspo_settings_t settings;    /* to whose texts the request points */
    lspo_request_t request;
    lspo_machine_t machine;
    lspo_answer_t answer;
    lspo_result_t result;
    lspo_result_fields_t fields;
    size_t field_count;
    char *json;
};

/* What a call changes in its thread and restores. */
typedef struct {
    lspo_context *context;
    locale_t locale;
    lspo_messages_t messages;
    const lspo_options *allocator;
    lspo_texts_t *texts;
    bool shares_json;
} lspo_call_t;

/* Between the two, messages and texts go to the context, memory comes from its functions, numbers are read and written
 * as in "C", and jansson is left as it is. */
lspo_call_t lspo_call_begin(lspo_context *context);
/* The code of lspo.h for `status`. */
int lspo_call_end(const lspo_call_t *call, lspo_status_t status);

/* The parts that predict call options as the command does, "--batch"; here "batch" is a key.  Takes the dashes of keys
 * out, and leaves quoted texts and paths as they are: those are the caller's.  lspo_call_end() does so, too. */
void lspo_speak_of_keys(char *text);

/* lspo_query_set() and lspo_query_predict() within a call. */
lspo_status_t lspo_query_store(lspo_query *query, const char *key, const char *value);
lspo_status_t lspo_reply_create(const lspo_query *query, lspo_reply **reply_out);

#endif
