/* train_data.h - the data of `lspo train`: its files as the tokens of a model's tokenizer, or as bytes. */
#ifndef LSPO_CLI_TRAIN_DATA_H
#define LSPO_CLI_TRAIN_DATA_H

#include <stdbool.h>
#include <stdint.h>

#include "ask/request.h"
#include "cli/train_view.h"
#include "real/data/dataset.h"
#include "real/tokenizer/tokenizer.h"

/* The values of the flags of the same names; NULL: not given. */
typedef struct {
    const char *path, *eval_path;
    double held_out;
    const char *prompt_field, *answer_field, *chat_template;
    const char *folder; /* of the model; NULL: a preset or a file */
    bool loss_all;
} lspo_train_data_t;

/* What the encoder works with; it must outlive the encoder. */
typedef struct {
    lspo_tokenizer_t *tokenizer; /* NULL: bytes */
    lspo_train_view_t *view;
    uint32_t vocabulary;          /* of the model */
    uint64_t text_bytes, encoded; /* of the data; bytes encoded so far */
} lspo_train_encoding_t;

lspo_encoder_t lspo_train_encoder(lspo_train_encoding_t *encoding);

/* Load the data of a training; the caller closes it.  Warns of examples that do not fit. */
lspo_status_t lspo_train_data_open(const lspo_train_data_t *given, const lspo_request_t *request,
                                   lspo_train_encoding_t *encoding, lspo_dataset_t **data_out);

#endif
