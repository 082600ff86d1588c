/* words.c - see words.h. */
#include "base/words.h"

#include <stdbool.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Copies the word at *from_at to `to`, without its quotes, and ends it.  False: a quote has no end. */
static bool take_word(char **from_at, char *to, char **end_out)
{
    char *from = *from_at, quote = '\0';
    for (; *from != '\0' && (quote != '\0' || !is_blank(*from)); from++) {
        if (quote == '\0' && (*from == '\'' || *from == '"')) {
            quote = *from;
        } else if (*from == quote) {
            quote = '\0';
        } else {
            if (*from == '\\' && quote != '\'' && from[1] != '\0')
                from++;
            *to++ = *from;
        }
    }
    *from_at = *from != '\0' ? from + 1 : from;
    *to = '\0';
    *end_out = to + 1;
    return quote == '\0';
}

lspo_status_t lspo_words_split(const char *what, char *text, size_t most, char **words_out, size_t *count_out)
{
    size_t count = 0;
    char *from = text, *to = text;
    for (;;) {
        while (is_blank(*from))
            from++;
        if (*from == '\0')
            break;
        if (count == most)
            return lspo_error(LSPO_ERR_INPUT, "%s: more than %zu words", what, most);
        words_out[count++] = to;
        if (!take_word(&from, to, &to))
            return lspo_error(LSPO_ERR_INPUT, "%s: the quote in '%s' has no end", what, words_out[count - 1]);
    }
    *count_out = count;
    return LSPO_OK;
}
