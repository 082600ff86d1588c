/* buffer.h - a growing array of bytes, NUL-terminated after the first append. */
#ifndef LSPO_BASE_BUFFER_H
#define LSPO_BASE_BUFFER_H

#include <stddef.h>

#include "base/status.h"

typedef struct {
    char *text; /* free() it */
    size_t bytes, capacity;
} lspo_buffer_t;

lspo_status_t lspo_buffer_append(lspo_buffer_t *buffer, const char *text, size_t bytes);

#endif
