/* train_sample.h - `lspo train --sample TEXT`: continue a text with the trained model. */
#ifndef LSPO_CLI_TRAIN_SAMPLE_H
#define LSPO_CLI_TRAIN_SAMPLE_H

#include "plan/model.h"
#include "real/data/dataset.h"
#include "real/tokenizer/tokenizer.h"

typedef struct {
    const lspo_model_t *model;
    lspo_encoder_t encoder;
    const lspo_tokenizer_t *tokenizer; /* NULL: bytes */
    lspo_tokens_t tokens;              /* of the text; NULL ids: no --sample         */
    uint32_t more;                     /* most tokens to add                        */
    char *text;                        /* in the end: the text and its continuation, in UTF-8 without NUL bytes */
} lspo_train_sample_t;

/* Before the training: get the tokens of the text.  LSPO_ERR_INPUT if this model cannot continue it. */
lspo_status_t lspo_train_sample_begin(const char *text, lspo_train_sample_t *sample);
/* After the training: fill sample->text. */
lspo_status_t lspo_train_sample_end(lspo_train_sample_t *sample, const float *const *stages);
void lspo_train_sample_release(lspo_train_sample_t *sample);

#endif
