/* encoder.c - see encoder.h. */
#include "real/data/encoder.h"

#include <stdlib.h>

#include "base/array.h"
#include "real/data/text.h"

lspo_status_t lspo_tokens_append(lspo_tokens_t *tokens, uint32_t id)
{
    lspo_status_t status =
        lspo_array_grow(&tokens->ids, &tokens->capacity, tokens->count + 1, sizeof *tokens->ids, "tokens");
    if (status != LSPO_OK)
        return status;
    tokens->ids[tokens->count++] = id;
    return LSPO_OK;
}

lspo_encoder_t lspo_encoder_bytes(void)
{
    static const uint32_t ends[2] = {0};
    return (lspo_encoder_t){.name = "bytes",
                            .begin = LSPO_NO_TOKEN,
                            .vocabulary = LSPO_TEXT_VOCABULARY,
                            .pairs = true,
                            .between = ends,
                            .between_count = 2};
}

lspo_status_t lspo_encoder_encode(const lspo_encoder_t *encoder, const char *text, size_t bytes, lspo_tokens_t *tokens)
{
    if (encoder->encode)
        return encoder->encode(encoder->context, text, bytes, tokens);
    for (size_t i = 0; i < bytes; i++) {
        lspo_status_t status = lspo_tokens_append(tokens, (uint8_t)text[i]);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

lspo_status_t lspo_encoder_encode_parts(const lspo_encoder_t *encoder, const lspo_tokenizer_parts_t *parts,
                                        lspo_tokens_t *tokens)
{
    if (encoder->encode_parts)
        return encoder->encode_parts(encoder->context, parts, tokens);
    for (size_t i = 0; i < parts->stop_count; i++)
        parts->stops[i].token = parts->stops[i].at;
    return lspo_encoder_encode(encoder, parts->text, parts->bytes, tokens);
}
