/* train_sample.c - see train_sample.h. */
#include "cli/train_sample.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "plan/family.h"
#include "real/tokenizer/unicode.h"
#include "real/train/sample.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

static lspo_status_t check_tokens(const lspo_train_sample_t *sample)
{
    const lspo_model_t *model = sample->model;
    if (sample->tokens.count == 0)
        return lspo_error(LSPO_ERR_INPUT, "--sample: the text has no tokens");
    for (size_t i = 0; i < sample->tokens.count; i++)
        if (sample->tokens.ids[i] >= model->vocabulary)
            return lspo_error(LSPO_ERR_INPUT,
                              "--sample: token %" PRIu32 " of the text is outside the model's vocabulary of %" PRIu32,
                              sample->tokens.ids[i], model->vocabulary);
    if (sample->tokens.count + sample->more > model->max_sequence)
        return lspo_error(LSPO_ERR_INPUT,
                          "--sample: the text has %zu tokens, and with %" PRIu32
                          " more it exceeds the model's limit of %" PRIu32
                          "; shorten the text or lower --sample-tokens",
                          sample->tokens.count, sample->more, model->max_sequence);
    return LSPO_OK;
}

lspo_status_t lspo_train_sample_begin(const char *text, lspo_train_sample_t *sample)
{
    const lspo_encoder_t *encoder = &sample->encoder;
    lspo_status_t status = LSPO_OK;
    if (!lspo_family_of(sample->model)->causal)
        return lspo_error(LSPO_ERR_INPUT, "--sample: model %s reads a text in both directions and cannot continue it",
                          sample->model->name);
    if (encoder->begin != LSPO_NO_TOKEN)
        status = lspo_tokens_append(&sample->tokens, encoder->begin);
    if (status != LSPO_OK)
        return status;
    status = lspo_encoder_encode(encoder, text, strlen(text), &sample->tokens);
    if (status != LSPO_OK)
        return status;
    return check_tokens(sample);
}

/* Invalid characters, and zero bytes, which would end the text, become U+FFFD.  NULL if out of memory. */
static char *readable(const char *text, size_t bytes)
{
    char *out = malloc(bytes * (sizeof replacement - 1) + 1);
    size_t written = 0;
    for (size_t at = 0, length; out && at < bytes; at += length) {
        uint32_t code;
        length = lspo_utf8_next(text, bytes, at, &code);
        bool shown = code != UINT32_MAX && code != 0;
        size_t count = shown ? length : sizeof replacement - 1;
        memcpy(out + written, shown ? text + at : replacement, count);
        written += count;
    }
    if (out)
        out[written] = '\0';
    return out;
}

/* A model with its own vocabulary and no tokenizer may generate ids that are not bytes. */
static lspo_status_t decode_bytes(const lspo_tokens_t *tokens, char **text_out, size_t *bytes_out)
{
    char *text = malloc(tokens->count + 1);
    if (!text)
        return lspo_no_memory("a text of %zu tokens", tokens->count);
    for (size_t i = 0; i < tokens->count; i++)
        text[i] = tokens->ids[i] < 256 ? (char)tokens->ids[i] : '\0';
    *text_out = text;
    *bytes_out = tokens->count;
    return LSPO_OK;
}

lspo_status_t lspo_train_sample_end(lspo_train_sample_t *sample, const float *const *stages)
{
    lspo_tokens_t *tokens = &sample->tokens;
    size_t room = tokens->count + sample->more, bytes = 0;
    uint32_t *ids = realloc(tokens->ids, room * sizeof *ids);
    char *text = NULL;
    if (!ids)
        return lspo_no_memory("a text of %zu tokens", room);
    tokens->ids = ids;
    tokens->capacity = room;
    lspo_status_t status = lspo_sample(sample->model, stages, sample->tokenizer ? sample->encoder.end : 0, tokens);
    if (status != LSPO_OK)
        return status;
    status = sample->tokenizer ? lspo_tokenizer_decode(sample->tokenizer, ids, tokens->count, true, &text, &bytes)
                               : decode_bytes(tokens, &text, &bytes);
    if (status != LSPO_OK)
        return status;
    sample->text = readable(text, bytes);
    free(text);
    return sample->text ? LSPO_OK : lspo_no_memory("a text of %zu bytes", bytes);
}

void lspo_train_sample_release(lspo_train_sample_t *sample)
{
    free(sample->text);
    free(sample->tokens.ids);
    *sample = (lspo_train_sample_t){0};
}
