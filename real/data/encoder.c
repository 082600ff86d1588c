/* encoder.c - see encoder.h. */
#include "real/data/encoder.h"

#include <stdlib.h>

#include "real/data/text.h"

lspo_status_t lspo_tokens_append(lspo_tokens_t *tokens, uint32_t id)
{
    if (tokens->count == tokens->capacity) {
        size_t capacity = tokens->capacity ? 2 * tokens->capacity : 1024;
        uint32_t *ids = realloc(tokens->ids, capacity * sizeof *ids);
        if (!ids)
            return lspo_no_memory("%zu tokens", capacity);
        tokens->ids = ids;
        tokens->capacity = capacity;
    }
    tokens->ids[tokens->count++] = id;
    return LSPO_OK;
}

lspo_encoder_t lspo_encoder_bytes(void)
{
    return (lspo_encoder_t){.name = "bytes", .begin = LSPO_NO_TOKEN, .vocabulary = LSPO_TEXT_VOCABULARY};
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
