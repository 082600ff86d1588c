/* buffer.c - a growing array of bytes, NUL-terminated after the first append; see buffer.h. */
#include "base/buffer.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

lspo_status_t lspo_buffer_append(lspo_buffer_t *buffer, const char *text, size_t bytes)
{
    const size_t needed = buffer->bytes + bytes + 1;
    lspo_status_t status = lspo_array_grow(&buffer->text, &buffer->capacity, needed, 1, "bytes of text");
    if (status != LSPO_OK)
        return status;
    if (bytes > 0)
        memcpy(buffer->text + buffer->bytes, text, bytes);
    buffer->bytes += bytes;
    buffer->text[buffer->bytes] = '\0';
    return LSPO_OK;
}
