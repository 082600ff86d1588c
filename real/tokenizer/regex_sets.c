/* regex_sets.c - Oniguruma's names of sets of characters in PCRE2's words; see regex_sets.h. */
#include "real/tokenizer/regex_sets.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "real/tokenizer/unicode.h"

#define BIT(category) (1U << UTF8PROC_CATEGORY_##category)
#define LETTERS (BIT(LU) | BIT(LL) | BIT(LT) | BIT(LM) | BIT(LO))
#define MARKS (BIT(MN) | BIT(MC) | BIT(ME))
#define NUMBERS (BIT(ND) | BIT(NL) | BIT(NO))
#define POINTS (BIT(PC) | BIT(PD) | BIT(PS) | BIT(PE) | BIT(PI) | BIT(PF) | BIT(PO))
#define SYMBOLS (BIT(SM) | BIT(SC) | BIT(SK) | BIT(SO))
#define SPACES                                                                                                         \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"

/* What a name stands for: the inside of a class of PCRE2, and the categories whose newer characters belong to it. */
typedef struct {
    const char *names; /* separated by blanks, without regard to case, blanks, - and _ */
    const char *inside;
    uint32_t newer;
} set_t;

static const set_t sets[] = {
    {"L Letter", "\\p{L}", LETTERS},
    {"Lu UppercaseLetter", "\\p{Lu}", BIT(LU)},
    {"Ll LowercaseLetter", "\\p{Ll}", BIT(LL)},
    {"Lt TitlecaseLetter", "\\p{Lt}", BIT(LT)},
    {"Lm ModifierLetter", "\\p{Lm}", BIT(LM)},
    {"Lo OtherLetter", "\\p{Lo}", BIT(LO)},
    {"M Mark CombiningMark", "\\p{M}", MARKS},
    {"Mn NonspacingMark", "\\p{Mn}", BIT(MN)},
    {"Mc SpacingMark", "\\p{Mc}", BIT(MC)},
    {"Me EnclosingMark", "\\p{Me}", BIT(ME)},
    {"N Number", "\\p{N}", NUMBERS},
    {"Nd DecimalNumber digit", "\\p{Nd}", BIT(ND)},
    {"Nl LetterNumber", "\\p{Nl}", BIT(NL)},
    {"No OtherNumber", "\\p{No}", BIT(NO)},
    {"P Punctuation Punct", "\\p{P}", POINTS},
    {"Pc ConnectorPunctuation", "\\p{Pc}", BIT(PC)},
    {"Pd DashPunctuation", "\\p{Pd}", BIT(PD)},
    {"Ps OpenPunctuation", "\\p{Ps}", BIT(PS)},
    {"Pe ClosePunctuation", "\\p{Pe}", BIT(PE)},
    {"Pi InitialPunctuation", "\\p{Pi}", BIT(PI)},
    {"Pf FinalPunctuation", "\\p{Pf}", BIT(PF)},
    {"Po OtherPunctuation", "\\p{Po}", BIT(PO)},
    {"S Symbol", "\\p{S}", SYMBOLS},
    {"Sm MathSymbol", "\\p{Sm}", BIT(SM)},
    {"Sc CurrencySymbol", "\\p{Sc}", BIT(SC)},
    {"Sk ModifierSymbol", "\\p{Sk}", BIT(SK)},
    {"So OtherSymbol", "\\p{So}", BIT(SO)},
    {"Z Separator", "\\p{Z}", 0},
    {"Zs SpaceSeparator", "\\p{Zs}", 0},
    {"Zl LineSeparator", "\\p{Zl}", 0},
    {"Zp ParagraphSeparator", "\\p{Zp}", 0},
    {"Cc Control cntrl", "\\p{Cc}", 0},
    {"Co PrivateUse", "\\p{Co}", 0},
    {"alpha Alphabetic", "\\p{Alphabetic}", LETTERS | BIT(NL) | BIT(MC)},
    {"alnum", "\\p{Alphabetic}\\p{Nd}", LETTERS | BIT(NL) | BIT(MC) | BIT(ND)},
    {"word", "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}", LETTERS | MARKS | BIT(NL) | BIT(ND) | BIT(PC)},
    {"space WhiteSpace", SPACES, 0},
    {"blank", "\\p{Zs}\\x{9}", 0},
    {"punctorsymbol", "\\p{P}\\p{S}", POINTS | SYMBOLS},
    {"upper Uppercase", "\\p{Uppercase}", BIT(LU)},
    {"lower Lowercase", "\\p{Lowercase}", BIT(LL)},
    {"xdigit", "0-9A-Fa-f", 0},
    {"ascii", "\\x{0}-\\x{7f}", 0},
    {"Any", "\\x{0}-\\x{10ffff}", 0},
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

lspo_status_t lspo_regex_put_set(const char *name, bool caseless, lspo_buffer_t *out, const char **why_out)
{
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        if (!is_name(sets[i].names, name))
            continue;
        if (caseless && (sets[i].newer == BIT(LU) || sets[i].newer == BIT(LL) || sets[i].newer == BIT(LT)))
            return fail(why_out, "it asks for letters of one case without regard to case");
        lspo_status_t status = put(out, sets[i].inside);
        return status == LSPO_OK ? lspo_unicode_append_newer(sets[i].newer, out) : status;
    }
    if (strlen(name) < 3)
        return fail(why_out, "it names a set of characters that is not known");
    /* A script; PCRE2 refuses what it does not know. */
    lspo_status_t status = put(out, "\\p{sc:");
    if (status == LSPO_OK)
        status = put(out, name);
    if (status == LSPO_OK)
        status = put(out, "}");
    /* Ideographs that came after Unicode 14. */
    if (status == LSPO_OK && strcasecmp(name, "Han") == 0)
        status = put(
            out,
            "\\x{2b739}-\\x{2b73f}\\x{2b81e}\\x{2b81f}\\x{2cea2}-\\x{2ceaf}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{33479}");
    return status;
}
