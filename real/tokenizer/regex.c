/* regex.c - match the regular expressions of tokenizer.json, in Oniguruma's syntax, with PCRE2; see regex.h. */
#include "real/tokenizer/regex.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { STACK_BYTES = 32 << 10, STACK_MAX_BYTES = 64 << 20 };

struct lspo_regex {
    pcre2_code *code;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

static lspo_status_t compile(lspo_regex_t *regex, const char *path, const char *pattern, const lspo_buffer_t *ours)
{
    int error;
    uint32_t matches_nothing = 0;
    PCRE2_SIZE where;
    /* Without the search for a match's first characters: in 10.42, that of the JIT skips matches of (?>...). */
    const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NO_START_OPTIMIZE;
    regex->code = pcre2_compile((PCRE2_SPTR)ours->text, ours->bytes, options, &error, &where, NULL);
    if (!regex->code && error == PCRE2_ERROR_HEAP_FAILED)
        return lspo_no_memory("an expression of %s", path);
    if (!regex->code) {
        PCRE2_UCHAR why[128] = "";
        pcre2_get_error_message(error, why, sizeof why);
        return lspo_error(LSPO_ERR_INPUT, "%s: the expression '%s' is not supported: %s", path, pattern, (char *)why);
    }
    pcre2_pattern_info(regex->code, PCRE2_INFO_MATCHEMPTY, &matches_nothing);
    if (matches_nothing)
        return lspo_error(LSPO_ERR_INPUT, "%s: the expression '%s' is not supported: it matches an empty text", path,
                          pattern);
    pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE); /* without it, matching is slower */
    regex->match = pcre2_match_data_create(1, NULL);
    regex->context = pcre2_match_context_create(NULL);
    regex->stack = pcre2_jit_stack_create(STACK_BYTES, STACK_MAX_BYTES, NULL);
    if (!regex->match || !regex->context || !regex->stack)
        return lspo_no_memory("an expression of %s", path);
    pcre2_jit_stack_assign(regex->context, NULL, regex->stack);
    return LSPO_OK;
}

static lspo_status_t translate_and_compile(lspo_regex_t *regex, const char *path, const char *pattern)
{
    lspo_buffer_t ours = {0};
    const char *why = NULL;
    lspo_status_t status = lspo_regex_translate(pattern, &ours, &why);
    if (status == LSPO_ERR_INPUT)
        status = lspo_error(LSPO_ERR_INPUT, "%s: the expression '%s' is not supported: %s", path, pattern, why);
    if (status != LSPO_OK)
        goto cleanup;
    status = compile(regex, path, pattern, &ours);
cleanup:
    free(ours.text);
    return status;
}

lspo_status_t lspo_regex_create(const char *path, const char *pattern, lspo_regex_t **regex_out)
{
    lspo_regex_t *regex = calloc(1, sizeof *regex);
    if (!regex)
        return lspo_no_memory("an expression of %s", path);
    lspo_status_t status = translate_and_compile(regex, path, pattern);
    if (status != LSPO_OK) {
        lspo_regex_destroy(regex);
        return status;
    }
    *regex_out = regex;
    return LSPO_OK;
}

void lspo_regex_destroy(lspo_regex_t *regex)
{
    if (!regex)
        return;
    pcre2_jit_stack_free(regex->stack);
    pcre2_match_context_free(regex->context);
    pcre2_match_data_free(regex->match);
    pcre2_code_free(regex->code);
    free(regex);
}

lspo_status_t lspo_regex_next(lspo_regex_t *regex, const char *text, size_t bytes, size_t from, size_t *begin_out,
                              size_t *end_out)
{
    int found =
        pcre2_match(regex->code, (PCRE2_SPTR)text, bytes, from, PCRE2_NO_UTF_CHECK, regex->match, regex->context);
    if (found == PCRE2_ERROR_NOMATCH) {
        *begin_out = *end_out = bytes;
        return LSPO_OK;
    }
    if (found == PCRE2_ERROR_NOMEMORY)
        return lspo_no_memory("the search in a text of %zu bytes", bytes);
    if (found < 0) {
        PCRE2_UCHAR why[128] = "";
        pcre2_get_error_message(found, why, sizeof why);
        return lspo_error(LSPO_ERR_INPUT, "a text of %zu bytes is too much for the tokenizer's expression: %s", bytes,
                          (char *)why);
    }
    const PCRE2_SIZE *where = pcre2_get_ovector_pointer(regex->match);
    *begin_out = where[0];
    *end_out = where[1];
    return LSPO_OK;
}
