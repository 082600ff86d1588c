/* byte_level.c - GPT-2's mapping of bytes to characters; see byte_level.h. */
#include "real/tokenizer/byte_level.h"

#include <stdbool.h>

#include "real/tokenizer/unicode.h"

/* GPT-2's bytes_to_unicode(): these map to themselves. */
static bool is_printable(uint32_t code)
{
    return (code >= 0x21 && code <= 0x7e) || (code >= 0xa1 && code <= 0xac) || (code >= 0xae && code <= 0xff);
}

/* 33 bytes before 0x21, then 0x7f to 0xa0, then 0xad map to the code points from U+0100 on. */
static uint32_t code_of(uint8_t byte)
{
    if (is_printable(byte))
        return byte;
    if (byte < 0x21)
        return 0x100U + byte;
    return byte == 0xad ? 0x143 : 0x121U + (byte - 0x7fU);
}

lspo_status_t lspo_byte_level_append(lspo_buffer_t *out, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        lspo_status_t status = lspo_utf8_append(out, code_of((uint8_t)bytes[i]));
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

int lspo_byte_level_byte(uint32_t code)
{
    if (code <= 0xff)
        return is_printable(code) ? (int)code : -1;
    if (code <= 0x120)
        return (int)(code - 0x100);
    if (code <= 0x142)
        return (int)(code - 0x121 + 0x7f);
    return code == 0x143 ? 0xad : -1;
}
