/* dataset_state.h - the internals of a dataset; private to real/data/dataset*.c. */
#ifndef LSPO_REAL_DATA_DATASET_STATE_H
#define LSPO_REAL_DATA_DATASET_STATE_H

#include <stdbool.h>

#include "real/data/chat.h"
#include "real/data/dataset.h"

typedef struct {
    const char *data; /* may contain zero bytes */
    size_t bytes;
} lspo_text_span_t;

typedef struct {
    size_t first; /* of its tokens */
    uint32_t count, prompt_count;
    uint32_t label;      /* of a classifier: the target, see lspo_batch_t */
    size_t first_answer; /* of a chat: its answers; without any, all tokens from prompt_count on count */
    uint32_t answer_count;
} lspo_row_t;

enum { LSPO_UNUSED_MAX = 6, LSPO_FIELD_MAX = 40, LSPO_WHERE_MAX = 512 };

/* The rows of one file. */
typedef struct {
    lspo_tokens_t tokens;
    lspo_row_t *rows; /* not of a stream */
    size_t row_count, row_capacity;
    lspo_answer_t *answers; /* of chats; tokens are counted from the start of the row */
    size_t answer_count, answer_capacity;
    size_t cut, dropped, lost_systems; /* the last: system messages that the chat template left out */
    size_t skipped;                    /* records that are not trained on, and the first of them */
    char skipped_where[LSPO_WHERE_MAX];
    const char *skipped_why;                      /* static */
    int form;                                     /* lspo_form_t of the first record; -1: none seen */
    char unused[LSPO_UNUSED_MAX][LSPO_FIELD_MAX]; /* fields of records that are not used; "" after the last */
} lspo_part_t;

struct lspo_dataset {
    lspo_part_t train, eval; /* eval is empty unless there is a second file */
    lspo_dataset_kind_t kind;
    lspo_encoder_t encoder;
    uint32_t sequence, class_count;
    uint64_t seed, train_rows, held_out_rows;
    bool own_eval, loss_all, mapped; /* mapped: the user named the fields of the records */
    const char *prompt_field, *answer_field;
    const struct lspo_glue_task *task; /* of the tables; NULL: none so far */
    lspo_chat_source_t chat_source;
    lspo_chat_t *chat; /* NULL: no chats so far */
    uint64_t hash;
    char source[512];
};

typedef enum { LSPO_FORM_TEXT, LSPO_FORM_PROMPT, LSPO_FORM_ALPACA, LSPO_FORM_LABEL, LSPO_FORM_CHAT } lspo_form_t;
/* The form as text for messages: {"text"}, ... */
const char *lspo_form_name(lspo_form_t form);

/* dataset_records.c: convert one parsed record (a json_t) to a row, or to a part of the stream; `where` is its file and
 * line. */
struct json_t;
lspo_status_t lspo_dataset_add_record(lspo_dataset_t *dataset, lspo_part_t *part, const char *where,
                                      const struct json_t *record);
/* dataset_chat.c: the same for a record of messages. */
lspo_status_t lspo_dataset_add_chat(lspo_dataset_t *dataset, lspo_part_t *part, const char *where,
                                    const struct json_t *record);
/* The same for a chat of one question and its answer. */
lspo_status_t lspo_dataset_add_question(lspo_dataset_t *dataset, lspo_part_t *part, const char *where,
                                        lspo_text_span_t question, lspo_text_span_t answer);
/* Is this a form of record that lspo_dataset_add_record() knows? */
bool lspo_dataset_knows_record(const lspo_dataset_t *dataset, const struct json_t *record);

/* dataset_rows.c: helpers of both. */
/* null counts as absent: tables exported as JSON have it if a record lacks a field. */
const struct json_t *lspo_record_field(const struct json_t *record, const char *key);
/* "a string", "an array", ... */
const char *lspo_record_type(const struct json_t *value);
/* null, "", [] or {}. */
bool lspo_record_is_empty(const struct json_t *value);
void lspo_dataset_note_unused(lspo_part_t *part, const char *key);
lspo_status_t lspo_dataset_add_row(lspo_part_t *part, const lspo_row_t *row);
/* Count a record that is not trained on; `why` is static and continues "the first is FILE:LINE: ". */
void lspo_dataset_skip(lspo_part_t *part, const char *where, const char *why);
/* Append begin or end, unless the encoder has none. */
lspo_status_t lspo_dataset_append_special(uint32_t id, lspo_tokens_t *tokens);
#define LSPO_NO_ANSWER "it has no answer"
#define LSPO_RETURNS_ONLY "lines end with carriage returns only; convert them: tr '\\r' '\\n'"

/* dataset_labels.c: a row of a classifier. */
typedef struct {
    const char *where;
    lspo_text_span_t texts[2];
    size_t text_count;
    uint32_t target;
} lspo_labelled_t;
lspo_status_t lspo_dataset_add_labelled(const lspo_dataset_t *dataset, lspo_part_t *part,
                                        const lspo_labelled_t *labelled);
/* The target of a label: a class or, for a model of one class, the bits of a float.  False: the model has no such
 * class, or it is not a finite number. */
bool lspo_label_target(const lspo_dataset_t *dataset, double label, uint32_t *target_out);
/* dataset_glue.c: the rows of a whole .tsv file. */
lspo_status_t lspo_dataset_add_table(lspo_dataset_t *dataset, lspo_part_t *part, const char *path,
                                     lspo_text_span_t text);

/* dataset_load.c: load a file, whose form its name or its beginning determines. */
lspo_status_t lspo_dataset_load_file(lspo_dataset_t *dataset, lspo_part_t *part, const char *path);

#endif
