/* regex_scan.c - scan characters and named sets in a pattern. */
#include "real/tokenizer/regex_scan.h"

#include <stdlib.h>
#include <string.h>

#include "real/tokenizer/unicode.h"

lspo_status_t lspo_regex_fail(lspo_regex_parser_t *p, const char *why)
{
    p->why = why;
    return LSPO_ERR_INPUT;
}

/* -- sets of characters -------------------------------------------------------------------------------------------- */

/* {Name}, {^Name} or a letter after \p or \P. */
static lspo_status_t take_name(lspo_regex_parser_t *p, char name[LSPO_REGEX_NAME_BYTES], bool *negative)
{
    size_t length = 0;
    if (*p->at != '{') {
        if (*p->at == '\0')
            return lspo_regex_fail(p, "it ends with \\p");
        name[0] = *p->at++;
        name[1] = '\0';
        return LSPO_OK;
    }
    p->at++;
    if (*p->at == '^') {
        *negative = !*negative;
        p->at++;
    }
    for (; *p->at && *p->at != '}'; p->at++)
        if (!strchr(" _-", *p->at)) {
            if (length + 1 == LSPO_REGEX_NAME_BYTES)
                return lspo_regex_fail(p, "it has an unknown set of characters");
            name[length++] = *p->at;
        }
    name[length] = '\0';
    if (*p->at != '}' || length == 0)
        return lspo_regex_fail(p, "the name of a set of characters has no end");
    p->at++;
    return LSPO_OK;
}

lspo_status_t lspo_regex_take_set(lspo_regex_parser_t *p, char name[LSPO_REGEX_NAME_BYTES], bool *negative, bool *found)
{
    const char letter = *p->at;
    *found = letter != '\0' && strchr("pPwWdDsShH", letter) != NULL;
    if (!*found)
        return LSPO_OK;
    p->at++;
    *negative = letter >= 'A' && letter <= 'Z';
    if (letter == 'p' || letter == 'P')
        return take_name(p, name, negative);
    const char lower = (char)(letter | 0x20);
    strcpy(name, lower == 'w' ? "word" : lower == 'd' ? "digit" : lower == 's' ? "space" : "xdigit");
    return LSPO_OK;
}

/* -- single characters --------------------------------------------------------------------------------------------- */

static lspo_status_t take_hex(lspo_regex_parser_t *p, size_t digits_min, size_t digits_max, uint32_t *code_out)
{
    const size_t digits = strspn(p->at, "0123456789abcdefABCDEF");
    char text[9] = "";
    if (digits < digits_min)
        return lspo_regex_fail(p, "a character's number is not hexadecimal");
    const size_t taken = digits < digits_max ? digits : digits_max;
    memcpy(text, p->at, taken);
    p->at += taken;
    *code_out = (uint32_t)strtoul(text, NULL, 16);
    return *code_out <= 0x10ffff ? LSPO_OK : lspo_regex_fail(p, "a character's number is too large");
}

lspo_status_t lspo_regex_take_escaped(lspo_regex_parser_t *p, bool in_class, uint32_t *code_out)
{
    static const char letters[] = "tnrfaev", codes[] = "\t\n\r\f\a\033\v";
    const char *known = *p->at ? strchr(letters, *p->at) : NULL;
    if (known || (in_class && *p->at == 'b')) {
        *code_out = known ? (uint8_t)codes[known - letters] : 8;
        p->at++;
        return LSPO_OK;
    }
    if (*p->at == 'u') {
        p->at++;
        return take_hex(p, 4, 4, code_out);
    }
    if (*p->at == 'x' && p->at[1] == '{') {
        p->at += 2;
        lspo_status_t status = take_hex(p, 1, 8, code_out);
        return status != LSPO_OK || *p->at++ == '}' ? status : lspo_regex_fail(p, "\\x{ has no }");
    }
    if (*p->at == 'x') {
        p->at++;
        return take_hex(p, 1, 2, code_out);
    }
    if ((uint8_t)*p->at >= 0x80 || *p->at == '\0' || (*p->at >= '0' && *p->at <= '9') ||
        ((*p->at | 0x20) >= 'a' && (*p->at | 0x20) <= 'z'))
        return lspo_regex_fail(p, "it has an unknown escape");
    *code_out = (uint8_t)*p->at++;
    return LSPO_OK;
}

uint32_t lspo_regex_take_plain(lspo_regex_parser_t *p)
{
    uint32_t code;
    p->at += lspo_utf8_next(p->at, strlen(p->at), 0, &code);
    return code;
}
