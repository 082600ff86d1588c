/* byte_level.h - GPT-2's alphabet of bytes: printable ones stand for themselves, the others from U+0100 up. */
#ifndef LSPO_REAL_TOKENIZER_BYTE_LEVEL_H
#define LSPO_REAL_TOKENIZER_BYTE_LEVEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

/* Append the characters that stand for some bytes. */
lspo_status_t lspo_byte_level_append(lspo_buffer_t *out, const char *bytes, size_t count);
/* The byte that a code point stands for, -1 when none. */
int lspo_byte_level_byte(uint32_t code);

#endif
