/* regex_sets.c - convert Oniguruma's named character sets to PCRE2's syntax; see regex_sets.h. */
#include "real/tokenizer/regex_sets.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "real/tokenizer/regex_table.h"
#include "real/tokenizer/unicode.h"

#define BIT(category) (1U << UTF8PROC_CATEGORY_##category)
#define LETTERS (BIT(LU) | BIT(LL) | BIT(LT) | BIT(LM) | BIT(LO))
#define MARKS (BIT(MN) | BIT(MC) | BIT(ME))
#define NUMBERS (BIT(ND) | BIT(NL) | BIT(NO))
#define POINTS (BIT(PC) | BIT(PD) | BIT(PS) | BIT(PE) | BIT(PI) | BIT(PF) | BIT(PO))
#define SYMBOLS (BIT(SM) | BIT(SC) | BIT(SK) | BIT(SO))
#define SPACES                                                                                                         \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

/* The meaning of a name: the inside of a PCRE2 class, and the categories and the set of newer_in_set whose newer
 * characters belong to it. */
typedef struct {
    const char *names; /* separated by blanks, without regard to case, blanks, - and _ */
    const char *inside;
    uint32_t newer;
    const char *newer_set; /* or NULL */
} set_t;

static const set_t sets[] = {
    {"L Letter", "\\p{L}", LETTERS, NULL},
    {"Lu UppercaseLetter", "\\p{Lu}", BIT(LU), NULL},
    {"Ll LowercaseLetter", "\\p{Ll}", BIT(LL), NULL},
    {"Lt TitlecaseLetter", "\\p{Lt}", BIT(LT), NULL},
    {"Lm ModifierLetter", "\\p{Lm}", BIT(LM), NULL},
    {"Lo OtherLetter", "\\p{Lo}", BIT(LO), NULL},
    {"M Mark CombiningMark", "\\p{M}", MARKS, NULL},
    {"Mn NonspacingMark", "\\p{Mn}", BIT(MN), NULL},
    {"Mc SpacingMark", "\\p{Mc}\\x{1171e}", BIT(MC), NULL},
    {"Me EnclosingMark", "\\p{Me}", BIT(ME), NULL},
    {"N Number", "\\p{N}", NUMBERS, NULL},
    {"Nd DecimalNumber digit", "\\p{Nd}", BIT(ND), NULL},
    {"Nl LetterNumber", "\\p{Nl}", BIT(NL), NULL},
    {"No OtherNumber", "\\p{No}", BIT(NO), NULL},
    {"P Punctuation Punct", "\\p{P}", POINTS, NULL},
    {"Pc ConnectorPunctuation", "\\p{Pc}", BIT(PC), NULL},
    {"Pd DashPunctuation", "\\p{Pd}", BIT(PD), NULL},
    {"Ps OpenPunctuation", "\\p{Ps}", BIT(PS), NULL},
    {"Pe ClosePunctuation", "\\p{Pe}", BIT(PE), NULL},
    {"Pi InitialPunctuation", "\\p{Pi}", BIT(PI), NULL},
    {"Pf FinalPunctuation", "\\p{Pf}", BIT(PF), NULL},
    {"Po OtherPunctuation", "\\p{Po}", BIT(PO), NULL},
    {"S Symbol", "\\p{S}", SYMBOLS, NULL},
    {"Sm MathSymbol", "\\p{Sm}", BIT(SM), NULL},
    {"Sc CurrencySymbol", "\\p{Sc}", BIT(SC), NULL},
    {"Sk ModifierSymbol", "\\p{Sk}", BIT(SK), NULL},
    {"So OtherSymbol", "\\p{So}", BIT(SO), NULL},
    {"Z Separator", "\\p{Z}", 0, NULL},
    {"Zs SpaceSeparator", "\\p{Zs}", 0, NULL},
    {"Zl LineSeparator", "\\p{Zl}", 0, NULL},
    {"Zp ParagraphSeparator", "\\p{Zp}", 0, NULL},
    {"Cc Control cntrl", "\\p{Cc}", 0, NULL},
    {"Co PrivateUse", "\\p{Co}", 0, NULL},
    {"alpha Alphabetic", "\\p{Alphabetic}", 0, "Alphabetic"},
    {"alnum", "\\p{Alphabetic}\\p{Nd}", BIT(ND), "Alphabetic"},
    {"word", "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}", LETTERS | MARKS | BIT(NL) | BIT(ND) | BIT(PC), NULL},
    {"space WhiteSpace", SPACES, 0, NULL},
    {"blank", "\\p{Zs}\\x{9}", 0, NULL},
    {"punctorsymbol", "\\p{P}\\p{S}", POINTS | SYMBOLS, NULL},
    {"upper Uppercase", "\\p{Uppercase}", BIT(LU), "Uppercase"},
    {"lower Lowercase", "\\p{Lowercase}", BIT(LL), "Lowercase"},
    {"xdigit", "0-9A-Fa-f", 0, NULL},
    {"ascii", "\\x{0}-\\x{7f}", 0, NULL},
    {"Any", "\\x{0}-\\x{10ffff}", 0, NULL},
};

static bool is_name(const char *names, const char *name)
{
    const size_t length = strlen(name);
    for (const char *p = names; *p; p += strspn(p, " ")) {
        const size_t other = strcspn(p, " ");
        if (other == length && strncasecmp(p, name, length) == 0)
            return true;
        p += other;
    }
    return false;
}

static lspo_status_t fail(const char **why_out, const char *why)
{
    *why_out = why;
    return LSPO_ERR_INPUT;
}

static lspo_status_t put(lspo_buffer_t *out, const char *text)
{
    return lspo_buffer_append(out, text, strlen(text));
}

/* The characters of `set` that Unicode 14 lacks. */
static lspo_status_t put_newer(const char *set, lspo_buffer_t *out)
{
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; i < sizeof newer_in_set / sizeof newer_in_set[0]; i++) {
        char text[32];
        snprintf(text, sizeof text, "\\x{%x}-\\x{%x}", newer_in_set[i].first, newer_in_set[i].last);
        if (strcasecmp(newer_in_set[i].set, set) == 0)
            status = put(out, text);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* A script; the newer characters of other scripts are unknown. */
static lspo_status_t put_script(const char *name, lspo_buffer_t *out, const char **why_out)
{
    bool asked = false;
    for (size_t i = 0; i < sizeof asked_sets / sizeof asked_sets[0]; i++)
        asked |= strcasecmp(asked_sets[i], name) == 0;
    if (!asked)
        return fail(why_out, "it names a set of characters that is not known");
    lspo_status_t status = put(out, "\\p{sc:");
    if (status != LSPO_OK)
        return status;
    status = put(out, name);
    if (status != LSPO_OK)
        return status;
    status = put(out, "}");
    if (status != LSPO_OK)
        return status;
    return put_newer(name, out);
}

const char *lspo_regex_set_lacks(const char *name)
{
    return strcasecmp(name, "Mn") == 0 || strcasecmp(name, "NonspacingMark") == 0 ? "\\x{1171e}" : NULL;
}

lspo_status_t lspo_regex_put_set(const char *name, bool caseless, lspo_buffer_t *out, const char **why_out)
{
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        if (!is_name(sets[i].names, name))
            continue;
        if (caseless && (sets[i].newer == BIT(LU) || sets[i].newer == BIT(LL) || sets[i].newer == BIT(LT)))
            return fail(why_out, "it asks for letters of one case without regard to case");
        lspo_status_t status = put(out, sets[i].inside);
        if (status != LSPO_OK)
            return status;
        if (sets[i].newer_set)
            status = put_newer(sets[i].newer_set, out);
        if (status != LSPO_OK)
            return status;
        return lspo_unicode_append_newer(sets[i].newer, out);
    }
    return put_script(name, out, why_out);
}
