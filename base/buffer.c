#include "base/buffer.h"

#include <stdlib.h>
#include <string.h>

lspo_status_t lspo_buffer_append(lspo_buffer_t *buffer, const char *text, size_t bytes)
{
    if (buffer->bytes + bytes + 1 > buffer->capacity) {
        size_t capacity = 2 * (buffer->bytes + bytes) + 64;
        char *grown = realloc(buffer->text, capacity);
        if (!grown)
            return lspo_no_memory("%zu bytes of text", capacity);
        buffer->text = grown;
        buffer->capacity = capacity;
    }
    if (bytes > 0)
        memcpy(buffer->text + buffer->bytes, text, bytes);
    buffer->bytes += bytes;
    buffer->text[buffer->bytes] = '\0';
    return LSPO_OK;
}
