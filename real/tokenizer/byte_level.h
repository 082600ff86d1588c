/* byte_level.h - GPT-2's mapping of bytes to characters: printable bytes map to themselves, the others to U+0100 and
 * up. */
#ifndef LSPO_REAL_TOKENIZER_BYTE_LEVEL_H
#define LSPO_REAL_TOKENIZER_BYTE_LEVEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

/* Append the characters of some bytes. */
lspo_status_t lspo_byte_level_append(lspo_buffer_t *out, const char *bytes, size_t count);
/* The byte of a code point, -1 if there is none. */
int lspo_byte_level_byte(uint32_t code);

#endif
