/* train_sample.h - `lspo train --sample TEXT`: how the trained model goes on with a text. */
#ifndef LSPO_CLI_TRAIN_SAMPLE_H
#define LSPO_CLI_TRAIN_SAMPLE_H

#include "plan/model.h"
#include "real/data/dataset.h"
#include "real/tokenizer/tokenizer.h"

typedef struct {
    const lspo_model_t *model;
    lspo_encoder_t encoder;
    const lspo_tokenizer_t *tokenizer; /* NULL: bytes */
    lspo_tokens_t tokens;              /* of the text; NULL ids: nothing is asked for */
    uint32_t more;                     /* tokens at most */
    char *text;                        /* in the end: the text and what follows it, in UTF-8 without zero bytes */
} lspo_train_sample_t;

/* Asked before the training: the text's tokens.  LSPO_ERR_INPUT where this model cannot continue it. */
lspo_status_t lspo_train_sample_begin(const char *text, lspo_train_sample_t *sample);
/* After it: fills sample->text. */
lspo_status_t lspo_train_sample_end(lspo_train_sample_t *sample, const float *const *stages);
void lspo_train_sample_release(lspo_train_sample_t *sample);

#endif
