/* split.c - the "pre_tokenizer" of tokenizer.json, which splits a normalised text into words; see split.h. */
#include "real/tokenizer/split.h"

#include <stdlib.h>
#include <string.h>

#include "real/tokenizer/byte_level.h"
#include "real/tokenizer/json.h"
#include "real/tokenizer/regex.h"
#include "real/tokenizer/unicode.h"

enum { STEPS_MAX = 32 };

static const char gpt2_expression[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* What happens to a match. */
typedef enum { REMOVED, ISOLATED, WITH_PREVIOUS, WITH_NEXT, CONTIGUOUS } behavior_t;
typedef enum { NEVER, FIRST, ALWAYS } prepend_t;

/* A step changes each word of the previous step, then splits it; either may do nothing. */
typedef enum { AS_IT_IS, PREFIX_BLANK, METASPACE, BYTES } change_t;
typedef enum { WHOLE, BY_REGEX, BY_TEXT, BY_CHARACTER, BY_CLASS } cut_t;

typedef struct {
    change_t change;
    cut_t cut;
    behavior_t behavior;
    bool invert;
    prepend_t prepend;               /* METASPACE                                         */
    const char *text;                /* BY_TEXT: of the JSON object, or static            */
    size_t text_bytes;               /* METASPACE: also the replacement of a blank */
    lspo_regex_t *regex;             /* BY_REGEX                                          */
    bool (*is_match)(uint32_t code); /* BY_CHARACTER: each character is a separate match */
    uint32_t delimiter;              /* BY_CHARACTER without is_match                     */
} step_t;

struct lspo_splitter {
    const char *path; /* during creation */
    json_t *object;
    step_t steps[STEPS_MAX];
    size_t count;
    lspo_buffer_t changed[STEPS_MAX]; /* a step's changed word */
    lspo_word_function_t take;        /* during the split of a text */
    void *context;
};

/* -- parts --------------------------------------------------------------------------------------------------------- */

/* A word being split by a step, and the last part, which may still grow: a word for the next step. */
typedef struct {
    lspo_splitter_t *splitter;
    size_t level; /* of the step */
    const char *text;
    size_t begin, end;
    bool first, previous;
} cutter_t;

static lspo_status_t cut_word(lspo_splitter_t *splitter, size_t level, const char *text, size_t bytes, bool first);

static lspo_status_t pass_on(cutter_t *c)
{
    const size_t begin = c->begin, bytes = c->end - c->begin;
    c->begin = c->end;
    return bytes > 0 ? cut_word(c->splitter, c->level + 1, c->text + begin, bytes, c->first && begin == 0) : LSPO_OK;
}

static bool joins(const cutter_t *c, behavior_t behavior, bool is_match)
{
    switch (behavior) {
    case WITH_PREVIOUS:
        return is_match && !c->previous;
    case WITH_NEXT:
        return !is_match && c->previous;
    case CONTIGUOUS:
        return is_match == c->previous;
    case REMOVED:
    case ISOLATED:
        break;
    }
    return false;
}

/* The next part of the word: a match, or the text between two matches. */
static lspo_status_t add_part(cutter_t *c, size_t from, size_t to, bool is_match)
{
    const step_t *step = &c->splitter->steps[c->level];
    if (from == to)
        return LSPO_OK;
    is_match ^= step->invert;
    const bool grows = c->end > c->begin && joins(c, step->behavior, is_match);
    c->previous = is_match;
    if (grows) {
        c->end = to;
        return LSPO_OK;
    }
    lspo_status_t status = pass_on(c);
    c->begin = from;
    c->end = step->behavior == REMOVED && is_match ? from : to;
    return status;
}

/* -- splitting ---------------------------------------------------------------------------------------------------- */

static const step_t *step_of(const cutter_t *c)
{
    return &c->splitter->steps[c->level];
}

/* An expression is applied to one run of valid UTF-8 at a time. */
static lspo_status_t cut_by_regex(cutter_t *c, const char *text, size_t bytes)
{
    size_t done = 0;
    for (size_t at = 0; at < bytes;) {
        const size_t until = lspo_utf8_valid_until(text, bytes, at);
        for (size_t begin = 0, end = 0; end < until - at;) {
            lspo_status_t status = lspo_regex_next(step_of(c)->regex, text + at, until - at, end, &begin, &end);
            if (status != LSPO_OK)
                return status;
            if (begin == until - at)
                break;
            status = add_part(c, done, at + begin, false);
            if (status != LSPO_OK)
                return status;
            status = add_part(c, at + begin, at + end, true);
            if (status != LSPO_OK)
                return status;
            done = at + end;
        }
        at = until + (until < bytes);
    }
    return add_part(c, done, bytes, false);
}

static lspo_status_t cut_by_text(cutter_t *c, const char *text, size_t bytes)
{
    size_t done = 0;
    for (const char *hit;; done += step_of(c)->text_bytes) {
        hit = memmem(text + done, bytes - done, step_of(c)->text, step_of(c)->text_bytes);
        if (!hit)
            break;
        const size_t begin = (size_t)(hit - text);
        lspo_status_t status = add_part(c, done, begin, false);
        if (status != LSPO_OK)
            return status;
        status = add_part(c, begin, begin + step_of(c)->text_bytes, true);
        if (status != LSPO_OK)
            return status;
        done = begin;
    }
    return add_part(c, done, bytes, false);
}

static lspo_status_t cut_by_character(cutter_t *c, const char *text, size_t bytes)
{
    size_t done = 0;
    uint32_t code = 0;
    for (size_t at = 0, length; at < bytes; at += length) {
        length = lspo_utf8_next(text, bytes, at, &code);
        if (!(step_of(c)->is_match ? step_of(c)->is_match(code) : code == step_of(c)->delimiter))
            continue;
        lspo_status_t status = add_part(c, done, at, false);
        if (status != LSPO_OK)
            return status;
        status = add_part(c, at, at + length, true);
        if (status != LSPO_OK)
            return status;
        done = at + length;
    }
    return add_part(c, done, bytes, false);
}

/* Whitespace: \w+|[^\w\s]+ are the words. */
static int class_of(uint32_t code)
{
    if (lspo_unicode_is_word(code))
        return 0;
    return lspo_unicode_is_space(code) ? 1 : 2;
}

static lspo_status_t cut_by_class(cutter_t *c, const char *text, size_t bytes)
{
    size_t begin = 0;
    uint32_t code = 0;
    int before = -1;
    for (size_t at = 0, length; at < bytes; at += length) {
        length = lspo_utf8_next(text, bytes, at, &code);
        const int class = class_of(code);
        if (at > 0 && class != before) {
            lspo_status_t status = add_part(c, begin, at, before == 1);
            if (status != LSPO_OK)
                return status;
            begin = at;
        }
        before = class;
    }
    return add_part(c, begin, bytes, before == 1);
}

/* -- changing ------------------------------------------------------------------------------------------------------ */

static bool begins_with(const char *text, size_t bytes, const char *prefix, size_t prefix_bytes)
{
    return bytes >= prefix_bytes && memcmp(text, prefix, prefix_bytes) == 0;
}

static lspo_status_t replace_blanks(const step_t *step, const char *text, size_t bytes, bool first, lspo_buffer_t *out)
{
    const bool blank = text[0] == ' ' || begins_with(text, bytes, step->text, step->text_bytes);
    lspo_status_t status = LSPO_OK;
    if (!blank && (step->prepend == ALWAYS || (step->prepend == FIRST && first)))
        status = lspo_buffer_append(out, step->text, step->text_bytes);
    if (status != LSPO_OK)
        return status;
    for (size_t done = 0; done < bytes;) {
        const char *hit = memchr(text + done, ' ', bytes - done);
        const size_t until = hit ? (size_t)(hit - text) : bytes;
        status = lspo_buffer_append(out, text + done, until - done);
        if (status != LSPO_OK)
            return status;
        if (hit)
            status = lspo_buffer_append(out, step->text, step->text_bytes);
        if (status != LSPO_OK)
            return status;
        done = until + 1;
    }
    return LSPO_OK;
}

static lspo_status_t change_word(const step_t *step, const char *text, size_t bytes, bool first, lspo_buffer_t *out)
{
    switch (step->change) {
    case METASPACE:
        return replace_blanks(step, text, bytes, first, out);
    case BYTES:
        return lspo_byte_level_append(out, text, bytes);
    case PREFIX_BLANK:
        if (text[0] != ' ') {
            lspo_status_t status = lspo_buffer_append(out, " ", 1);
            if (status != LSPO_OK)
                return status;
        }
        break;
    case AS_IT_IS:
        break;
    }
    return lspo_buffer_append(out, text, bytes);
}

static lspo_status_t cut(cutter_t *c, size_t bytes)
{
    switch (step_of(c)->cut) {
    case BY_REGEX:
        return cut_by_regex(c, c->text, bytes);
    case BY_TEXT:
        return cut_by_text(c, c->text, bytes);
    case BY_CHARACTER:
        return cut_by_character(c, c->text, bytes);
    case BY_CLASS:
        return cut_by_class(c, c->text, bytes);
    case WHOLE:
        break;
    }
    c->end = bytes;
    return LSPO_OK;
}

/* Process a word by the steps from `level` on, each part as soon as it is complete. */
static lspo_status_t cut_word(lspo_splitter_t *splitter, size_t level, const char *text, size_t bytes, bool first)
{
    if (level == splitter->count)
        return splitter->take(splitter->context, text, bytes);
    const step_t *step = &splitter->steps[level];
    lspo_buffer_t *changed = &splitter->changed[level];
    if (step->change != AS_IT_IS) {
        changed->bytes = 0;
        lspo_status_t status = change_word(step, text, bytes, first, changed);
        if (status != LSPO_OK)
            return status;
        text = changed->text;
        bytes = changed->bytes;
    }
    cutter_t c = {.splitter = splitter, .level = level, .text = text, .first = first};
    lspo_status_t status = cut(&c, bytes);
    if (status != LSPO_OK)
        return status;
    return pass_on(&c);
}

lspo_status_t lspo_splitter_apply(lspo_splitter_t *splitter, const char *text, size_t bytes, bool first,
                                  lspo_word_function_t take, void *context)
{
    splitter->take = take;
    splitter->context = context;
    return bytes > 0 ? cut_word(splitter, 0, text, bytes, first) : LSPO_OK;
}

/* -- creation ----------------------------------------------------------------------------------------------------- */

static lspo_status_t add_step(lspo_splitter_t *s, step_t step)
{
    if (s->count == STEPS_MAX) {
        lspo_regex_destroy(step.regex);
        return lspo_error(LSPO_ERR_INPUT, "%s: pre_tokenizer: more than %d steps", s->path, STEPS_MAX);
    }
    s->steps[s->count++] = step;
    return LSPO_OK;
}

static lspo_status_t take_behavior(const lspo_splitter_t *s, const json_t *member, behavior_t otherwise,
                                   behavior_t *behavior_out)
{
    static const char *const names[] = {[REMOVED] = "Removed",
                                        [ISOLATED] = "Isolated",
                                        [WITH_PREVIOUS] = "MergedWithPrevious",
                                        [WITH_NEXT] = "MergedWithNext",
                                        [CONTIGUOUS] = "Contiguous"};
    const char *name = lspo_json_text(member, "behavior");
    *behavior_out = otherwise;
    if (!name)
        return LSPO_OK;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0) {
            *behavior_out = (behavior_t)i;
            return LSPO_OK;
        }
    return lspo_error(LSPO_ERR_INPUT, "%s: pre_tokenizer %s: behavior %s is not supported", s->path,
                      lspo_json_type(member), name);
}

static lspo_status_t take_split(lspo_splitter_t *s, const json_t *member)
{
    const json_t *pattern = json_object_get(member, "pattern");
    const char *expression = lspo_json_text(pattern, "Regex");
    step_t step = {.cut = expression ? BY_REGEX : BY_TEXT,
                   .invert = lspo_json_flag(member, "invert", false),
                   .text = lspo_json_text(pattern, "String"),
                   .text_bytes = json_string_length(json_object_get(pattern, "String"))};
    if (!lspo_json_text(member, "behavior") || (!expression && step.text_bytes == 0))
        return lspo_error(LSPO_ERR_INPUT, "%s: pre_tokenizer Split has no pattern or no behavior", s->path);
    lspo_status_t status = take_behavior(s, member, ISOLATED, &step.behavior);
    if (status != LSPO_OK)
        return status;
    if (expression)
        status = lspo_regex_create(s->path, expression, &step.regex);
    if (status != LSPO_OK)
        return status;
    return add_step(s, step);
}

static lspo_status_t take_metaspace(lspo_splitter_t *s, const json_t *member)
{
    static const char *const schemes[] = {[NEVER] = "never", [FIRST] = "first", [ALWAYS] = "always"};
    const char *scheme = lspo_json_text(member, "prepend_scheme"), *replacement = lspo_json_text(member, "replacement");
    const bool splits = lspo_json_flag(member, "split", true);
    step_t step = {.change = METASPACE,
                   .cut = splits ? BY_TEXT : WHOLE,
                   .behavior = WITH_NEXT,
                   .text = replacement ? replacement : LSPO_METASPACE};
    step.text_bytes = strlen(step.text);
    if (!scheme)
        scheme = lspo_json_flag(member, "add_prefix_space", true) ? "always" : "never";
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++)
        if (strcmp(schemes[i], scheme) == 0 && step.text_bytes > 0) {
            step.prepend = (prepend_t)i;
            return add_step(s, step);
        }
    return lspo_error(LSPO_ERR_INPUT, "%s: Metaspace: prepend_scheme %s is not supported", s->path, scheme);
}

static lspo_status_t add_byte_level(lspo_splitter_t *s, bool prefix, bool by_expression)
{
    step_t step = {
        .change = prefix ? PREFIX_BLANK : AS_IT_IS, .cut = by_expression ? BY_REGEX : WHOLE, .behavior = ISOLATED};
    lspo_status_t status = by_expression ? lspo_regex_create(s->path, gpt2_expression, &step.regex) : LSPO_OK;
    if (status != LSPO_OK)
        return status;
    if (prefix || by_expression)
        status = add_step(s, step);
    if (status != LSPO_OK)
        return status;
    return add_step(s, (step_t){.change = BYTES});
}

static bool is_blank(uint32_t code)
{
    return lspo_unicode_is_space(code);
}

static lspo_status_t take_characters(lspo_splitter_t *s, const json_t *member, bool (*is_match)(uint32_t code),
                                     behavior_t otherwise)
{
    step_t step = {.cut = BY_CHARACTER, .is_match = is_match};
    lspo_status_t status = take_behavior(s, member, otherwise, &step.behavior);
    if (status != LSPO_OK)
        return status;
    return add_step(s, step);
}

static lspo_status_t take_delimiter(lspo_splitter_t *s, const json_t *member)
{
    const char *text = lspo_json_text(member, "delimiter");
    step_t step = {.cut = BY_CHARACTER, .behavior = REMOVED};
    if (!text || *text == '\0' || lspo_utf8_next(text, strlen(text), 0, &step.delimiter) != strlen(text))
        return lspo_error(LSPO_ERR_INPUT, "%s: CharDelimiterSplit: its delimiter is not a character", s->path);
    return add_step(s, step);
}

static lspo_status_t take_member(void *context, const json_t *member)
{
    lspo_splitter_t *s = context;
    const char *type = lspo_json_type(member);
    if (strcmp(type, "ByteLevel") == 0)
        return add_byte_level(s, lspo_json_flag(member, "add_prefix_space", true),
                              lspo_json_flag(member, "use_regex", true));
    if (strcmp(type, "Metaspace") == 0)
        return take_metaspace(s, member);
    if (strcmp(type, "Split") == 0)
        return take_split(s, member);
    if (strcmp(type, "Digits") == 0)
        return take_characters(s, member, lspo_unicode_is_number,
                               lspo_json_flag(member, "individual_digits", false) ? ISOLATED : CONTIGUOUS);
    if (strcmp(type, "Punctuation") == 0)
        return take_characters(s, member, lspo_unicode_is_punctuation, ISOLATED);
    if (strcmp(type, "WhitespaceSplit") == 0)
        return take_characters(s, member, is_blank, REMOVED);
    if (strcmp(type, "Whitespace") == 0)
        return add_step(s, (step_t){.cut = BY_CLASS, .behavior = REMOVED});
    if (strcmp(type, "CharDelimiterSplit") == 0)
        return take_delimiter(s, member);
    if (strcmp(type, "BertPreTokenizer") == 0) {
        lspo_status_t status = take_characters(s, member, is_blank, REMOVED);
        if (status != LSPO_OK)
            return status;
        return take_characters(s, member, lspo_unicode_is_punctuation, ISOLATED);
    }
    return lspo_error(LSPO_ERR_INPUT, "%s: pre_tokenizer %s is not supported", s->path, type);
}

lspo_status_t lspo_splitter_create(const char *path, const json_t *object, lspo_splitter_t **splitter_out)
{
    lspo_splitter_t *s = calloc(1, sizeof *s);
    if (!s)
        return lspo_no_memory("%s", path);
    s->path = path;
    s->object = json_incref((json_t *)object);
    lspo_status_t status = lspo_json_each(s, object, "pretokenizers", take_member);
    s->path = NULL;
    if (status != LSPO_OK) {
        lspo_splitter_destroy(s);
        return status;
    }
    *splitter_out = s;
    return LSPO_OK;
}

void lspo_splitter_destroy(lspo_splitter_t *splitter)
{
    if (!splitter)
        return;
    for (size_t i = 0; i < splitter->count; i++) {
        lspo_regex_destroy(splitter->steps[i].regex);
        free(splitter->changed[i].text);
    }
    json_decref(splitter->object);
    free(splitter);
}

bool lspo_splitter_is_byte_level(const lspo_splitter_t *splitter)
{
    bool found = false;
    for (size_t i = 0; i < splitter->count; i++)
        found |= splitter->steps[i].change == BYTES;
    return found;
}

bool lspo_splitter_is_metaspace(const lspo_splitter_t *splitter, bool *prepends_out)
{
    *prepends_out = false;
    for (size_t i = 0; i < splitter->count; i++)
        if (splitter->steps[i].change == METASPACE) {
            *prepends_out = splitter->steps[i].prepend != NEVER;
            return true;
        }
    return false;
}

bool lspo_splitter_asks_for_first(const lspo_splitter_t *splitter)
{
    bool asks = false;
    for (size_t i = 0; i < splitter->count; i++)
        asks |= splitter->steps[i].change == METASPACE && splitter->steps[i].prepend == FIRST;
    return asks;
}
