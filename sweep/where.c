/* where.c - see where.h. */
#include "sweep/where.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/words.h"

enum { WORDS_MAX = 64, FACTORS_MAX = 4, COMPARISONS_MAX = 16, TEXT_BYTES = 64 };

/* A name, or a constant. */
typedef struct {
    bool is_name;
    lspo_sweep_key_t key;
    double number;
    char text[TEXT_BYTES];
} factor_t;

typedef struct {
    factor_t factors[FACTORS_MAX];
    size_t count;
} side_t;

typedef enum { LESS, AT_MOST, GREATER, AT_LEAST, EQUAL, UNEQUAL, OPERATORS } operator_t;
static const char *const operator_words[OPERATORS] = {"<", "<=", ">", ">=", "=", "!="};

typedef struct {
    side_t sides[2];
    operator_t operator;
    bool texts;
} comparison_t;

struct lspo_where {
    comparison_t comparisons[COMPARISONS_MAX];
    size_t count;
};

typedef struct {
    const lspo_sweep_language_t *language;
    const char *where; /* FILE:LINE */
    char **words;
    size_t count, at;
} parser_t;

static lspo_status_t refuse(const parser_t *parser, const char *expected)
{
    return lspo_error(LSPO_ERR_INPUT, "%s: where: '%s': expected %s; for example: where = subspace < model.width",
                      parser->where, parser->at < parser->count ? parser->words[parser->at] : "the end", expected);
}

static bool find_operator(const char *word, operator_t *operator_out)
{
    for (int i = 0; i < OPERATORS; i++)
        if (strcmp(word, operator_words[i]) == 0) {
            *operator_out = (operator_t)i;
            return true;
        }
    return false;
}

/* Names begin with a letter; so do words, which are constants on the right of a name that takes words. */
static lspo_status_t read_factor(parser_t *parser, factor_t *factor)
{
    const char *word = parser->words[parser->at];
    operator_t unused;
    if (find_operator(word, &unused) || strcmp(word, "and") == 0 || strcmp(word, "*") == 0)
        return refuse(parser, "a name or a value");
    if (strlen(word) >= TEXT_BYTES)
        return refuse(parser, "a shorter word");
    strcpy(factor->text, word);
    factor->number = NAN;
    parser->at++;
    return LSPO_OK;
}

static lspo_status_t read_side(parser_t *parser, side_t *side)
{
    do {
        if (side->count > 0)
            parser->at++; /* the * */
        if (side->count == FACTORS_MAX || parser->at == parser->count)
            return refuse(parser, "a name or a value");
        lspo_status_t status = read_factor(parser, &side->factors[side->count]);
        if (status != LSPO_OK)
            return status;
        side->count++;
    } while (parser->at < parser->count && strcmp(parser->words[parser->at], "*") == 0);
    return LSPO_OK;
}

/* Is the constant's side the one of a name that takes words? */
static bool compares_words(const comparison_t *comparison)
{
    for (int s = 0; s < 2; s++)
        for (size_t i = 0; i < comparison->sides[s].count; i++)
            if (comparison->sides[s].factors[i].is_name && comparison->sides[s].factors[i].key.kind == LSPO_SWEEP_TEXT)
                return true;
    return false;
}

/* What begins with a letter is a name, but not on the right of a name that takes words. */
static lspo_status_t find_names(const parser_t *parser, comparison_t *comparison)
{
    bool any_text = false;
    for (int s = 0; s < 2; s++)
        for (size_t i = 0; i < comparison->sides[s].count; i++) {
            factor_t *factor = &comparison->sides[s].factors[i];
            if (!isalpha((unsigned char)factor->text[0]) || (s == 1 && any_text))
                continue;
            lspo_status_t status =
                parser->language->find(parser->language->context, parser->where, factor->text, &factor->key);
            if (status != LSPO_OK)
                return status;
            factor->is_name = true;
            any_text |= factor->key.kind == LSPO_SWEEP_TEXT;
        }
    return LSPO_OK;
}

/* The unit of the comparison's names; plain if they have several, whose product has none of these units. */
static lspo_unit_t unit_of(const comparison_t *comparison)
{
    lspo_unit_t unit = LSPO_UNIT_NONE;
    for (int s = 0; s < 2; s++)
        for (size_t i = 0; i < comparison->sides[s].count; i++)
            if (comparison->sides[s].factors[i].is_name && comparison->sides[s].factors[i].key.unit != LSPO_UNIT_NONE)
                unit = comparison->sides[s].factors[i].key.unit;
    return unit;
}

lspo_status_t lspo_where_number(const char *what, const char *text, lspo_unit_t unit, double *number_out)
{
    lspo_status_t status = lspo_parse_quantity(what, text + (text[0] == '-'), unit, number_out);
    if (status == LSPO_OK && text[0] == '-')
        *number_out = -*number_out;
    return status;
}

static lspo_status_t read_constants(const parser_t *parser, comparison_t *comparison)
{
    lspo_unit_t unit = unit_of(comparison);
    for (int s = 0; s < 2; s++)
        for (size_t i = 0; i < comparison->sides[s].count; i++) {
            factor_t *factor = &comparison->sides[s].factors[i];
            if (factor->is_name)
                continue;
            /* 2 * link: a factor without a unit beside a name. */
            bool plain = factor->text[strspn(factor->text, "0123456789.eE+-")] == '\0';
            lspo_unit_t own = plain && comparison->sides[s].count > 1 ? LSPO_UNIT_NONE : unit;
            lspo_status_t status = lspo_where_number(parser->where, factor->text, own, &factor->number);
            if (status != LSPO_OK)
                return status;
        }
    return LSPO_OK;
}

/* Is the word on the other side of a name a value that the name's key takes? */
static lspo_status_t check_word(const parser_t *parser, const factor_t *name, const factor_t *word)
{
    char what[640];
    const void *unused = NULL;
    if (!name->is_name || word->is_name)
        return LSPO_OK;
    snprintf(what, sizeof what, "%s: where: %s", parser->where, name->text);
    return parser->language->check(parser->language->context, what, &name->key, word->text, &unused);
}

static lspo_status_t check_comparison(const parser_t *parser, comparison_t *comparison)
{
    bool names = false;
    for (int s = 0; s < 2; s++)
        for (size_t i = 0; i < comparison->sides[s].count; i++)
            names |= comparison->sides[s].factors[i].is_name;
    if (!names)
        return lspo_error(LSPO_ERR_INPUT, "%s: where: a comparison of constants", parser->where);
    comparison->texts = compares_words(comparison);
    if (!comparison->texts)
        return read_constants(parser, comparison);
    if (comparison->operator!= EQUAL && comparison->operator!= UNEQUAL)
        return lspo_error(LSPO_ERR_INPUT, "%s: where: words are compared with = or !=, not with %s", parser->where,
                          operator_words[comparison->operator]);
    for (int s = 0; s < 2; s++)
        if (comparison->sides[s].factors[0].is_name && comparison->sides[s].factors[0].key.kind != LSPO_SWEEP_TEXT)
            return lspo_error(LSPO_ERR_INPUT, "%s: where: %s takes numbers, which are not compared with words",
                              parser->where, comparison->sides[s].factors[0].text);
    if (comparison->sides[0].count != 1 || comparison->sides[1].count != 1)
        return lspo_error(LSPO_ERR_INPUT, "%s: where: a word cannot be multiplied", parser->where);
    lspo_status_t status = check_word(parser, &comparison->sides[0].factors[0], &comparison->sides[1].factors[0]);
    if (status == LSPO_OK)
        status = check_word(parser, &comparison->sides[1].factors[0], &comparison->sides[0].factors[0]);
    return status;
}

static lspo_status_t read_comparison(parser_t *parser, comparison_t *comparison)
{
    lspo_status_t status = read_side(parser, &comparison->sides[0]);
    if (status != LSPO_OK)
        return status;
    if (parser->at == parser->count || !find_operator(parser->words[parser->at], &comparison->operator))
        return refuse(parser, "one of < <= > >= = !=");
    parser->at++;
    status = read_side(parser, &comparison->sides[1]);
    if (status != LSPO_OK)
        return status;
    status = find_names(parser, comparison);
    return status == LSPO_OK ? check_comparison(parser, comparison) : status;
}

static lspo_status_t read_all(parser_t *parser, lspo_where_t *where)
{
    do {
        if (where->count > 0)
            parser->at++; /* the "and" */
        if (where->count == COMPARISONS_MAX)
            return lspo_error(LSPO_ERR_INPUT, "%s: where: more than %d comparisons", parser->where, COMPARISONS_MAX);
        lspo_status_t status = read_comparison(parser, &where->comparisons[where->count]);
        if (status != LSPO_OK)
            return status;
        where->count++;
    } while (parser->at < parser->count && strcmp(parser->words[parser->at], "and") == 0);
    return parser->at == parser->count ? LSPO_OK : refuse(parser, "and");
}

lspo_status_t lspo_where_read(const lspo_sweep_language_t *language, const lspo_ini_entry_t *entry,
                              lspo_where_t **where_out)
{
    char *words[WORDS_MAX], *text = strdup(entry->value);
    lspo_where_t *where = calloc(1, sizeof *where);
    parser_t parser = {.language = language, .where = entry->where, .words = words};
    lspo_status_t status = text && where ? LSPO_OK : lspo_no_memory("%s", entry->where);
    if (status == LSPO_OK)
        status = lspo_words_split(entry->where, text, WORDS_MAX, words, &parser.count);
    if (status == LSPO_OK)
        status = read_all(&parser, where);
    free(text);
    if (status != LSPO_OK) {
        free(where);
        return status;
    }
    *where_out = where;
    return LSPO_OK;
}

void lspo_where_destroy(lspo_where_t *where)
{
    free(where);
}

/* Returns whether the cell has all names of the side. */
static bool value_of(const side_t *side, lspo_where_value_t value, void *cell, double *number_out,
                     const char **text_out)
{
    *number_out = 1;
    for (size_t i = 0; i < side->count; i++) {
        const factor_t *factor = &side->factors[i];
        double number = factor->number;
        const char *text = factor->text;
        if (factor->is_name) {
            number = NAN;
            text = NULL;
            value(cell, factor->text, &factor->key, &number, &text);
            if (isnan(number) && text == NULL)
                return false;
        }
        *number_out *= number;
        *text_out = text;
    }
    return true;
}

/* A constant without colons stands for all values that begin with it. */
static bool same_text(const comparison_t *comparison, const char *const texts[2])
{
    for (int s = 0; s < 2; s++) {
        const factor_t *name = &comparison->sides[s].factors[0], *constant = &comparison->sides[1 - s].factors[0];
        const size_t length = strlen(constant->text);
        if (name->is_name && name->key.has_colons && !constant->is_name && strchr(constant->text, ':') == NULL)
            return strncmp(texts[s], constant->text, length) == 0 &&
                   (texts[s][length] == '\0' || texts[s][length] == ':');
    }
    return strcmp(texts[0], texts[1]) == 0;
}

static bool compare(operator_t operator, double a, double b)
{
    switch (operator) {
    case LESS:
        return a < b;
    case AT_MOST:
        return a <= b;
    case GREATER:
        return a > b;
    case AT_LEAST:
        return a >= b;
    case EQUAL:
        return a == b;
    default:
        return a != b;
    }
}

bool lspo_where_holds(const lspo_where_t *where, lspo_where_value_t value, void *cell)
{
    for (size_t i = 0; where != NULL && i < where->count; i++) {
        const comparison_t *it = &where->comparisons[i];
        double numbers[2];
        const char *texts[2] = {"", ""};
        if (!value_of(&it->sides[0], value, cell, &numbers[0], &texts[0]) ||
            !value_of(&it->sides[1], value, cell, &numbers[1], &texts[1]))
            continue;
        /* What a cell does not say in the form that is compared does not count. */
        if (it->texts ? texts[0] == NULL || texts[1] == NULL : isnan(numbers[0]) || isnan(numbers[1]))
            continue;
        bool holds =
            it->texts ? same_text(it, texts) == (it->operator== EQUAL) : compare(it->operator, numbers[0], numbers[1]);
        if (!holds)
            return false;
    }
    return true;
}
