/* dataset_state.h - the internals of a dataset; private to real/data/dataset*.c. */
#ifndef LSPO_REAL_DATA_DATASET_STATE_H
#define LSPO_REAL_DATA_DATASET_STATE_H

#include <stdbool.h>

#include "real/data/dataset.h"

typedef struct {
    size_t first; /* of its tokens */
    uint32_t count, prompt_count;
    uint32_t label;
} lspo_row_t;

enum { LSPO_UNUSED_MAX = 6, LSPO_FIELD_MAX = 40 };

/* The rows of one file. */
typedef struct {
    lspo_tokens_t tokens;
    lspo_row_t *rows; /* not of a stream */
    size_t row_count, row_capacity;
    size_t cut, dropped;
    int form;                                     /* lspo_form_t of the first record; -1: none seen */
    char unused[LSPO_UNUSED_MAX][LSPO_FIELD_MAX]; /* fields of records that are not used; "" after the last */
} lspo_part_t;

struct lspo_dataset {
    lspo_part_t train, eval; /* eval is empty unless there is a second file */
    lspo_dataset_kind_t kind;
    lspo_encoder_t encoder;
    uint32_t sequence, class_count;
    uint64_t seed, train_rows, held_out_rows;
    bool own_eval;
    uint64_t hash;
    char source[512];
};

typedef enum { LSPO_FORM_TEXT, LSPO_FORM_PROMPT, LSPO_FORM_ALPACA, LSPO_FORM_LABEL } lspo_form_t;
/* The form as text for messages: {"text"}, ... */
const char *lspo_form_name(lspo_form_t form);

/* dataset_records.c: convert one parsed record (a json_t) to a row, or to a part of the stream; `where` is its file and
 * line. */
struct json_t;
lspo_status_t lspo_dataset_add_record(lspo_dataset_t *dataset, lspo_part_t *part, const char *where,
                                      const struct json_t *record);
/* Is this a form of record that lspo_dataset_add_record() knows? */
bool lspo_dataset_knows_record(const lspo_dataset_t *dataset, const struct json_t *record);

/* dataset_load.c: load a file, whose form its name or its beginning determines. */
lspo_status_t lspo_dataset_load_file(lspo_dataset_t *dataset, lspo_part_t *part, const char *path);

#endif
