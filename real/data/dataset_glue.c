/* dataset_glue.c - the .tsv files of GLUE [Wang et al., arXiv 1804.07461], as its download has them.
 *
 * The first line names the columns, by which the task is found; only CoLA has none, and always four columns: source,
 * label, the author's mark, sentence.  Fields are separated by tabs; quotes have no meaning.  The other columns (ids,
 * parses, labels of single annotators) are not used.  Classes that are words have the order in which Hugging Face's
 * `glue` data set numbers them.  A row that is broken is left out and counted. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "real/data/data_file.h"
#include "real/data/dataset_state.h"

enum { COLUMNS_MAX = 64, COLA_COLUMNS = 4, CLASSES_MAX = 3, NUMBER_BYTES = 32, SCORE_MAX = 5 };

struct lspo_glue_task {
    const char *name;
    const char *texts[2]; /* columns; the second may be NULL */
    const char *label;
    uint32_t class_count;             /* 1: a score from 0 to SCORE_MAX */
    const char *classes[CLASSES_MAX]; /* their words; they may be numbers, too */
};

/* The first whose columns a file has. */
static const struct lspo_glue_task tasks[] = {
    {"MRPC", {"#1 String", "#2 String"}, "Quality", 2, {NULL}},
    {"QQP", {"question1", "question2"}, "is_duplicate", 2, {NULL}},
    {"STS-B", {"sentence1", "sentence2"}, "score", 1, {NULL}},
    {"MNLI", {"sentence1", "sentence2"}, "gold_label", 3, {"entailment", "neutral", "contradiction"}},
    {"QNLI", {"question", "sentence"}, "label", 2, {"entailment", "not_entailment"}},
    {"RTE or WNLI", {"sentence1", "sentence2"}, "label", 2, {"entailment", "not_entailment"}},
    {"SST-2", {"sentence", NULL}, "label", 2, {NULL}},
};
static const struct lspo_glue_task cola = {"CoLA", {"sentence", NULL}, "label", 2, {NULL}};

/* The file being read. */
typedef struct {
    lspo_dataset_t *dataset;
    lspo_part_t *part;
    const char *path;
    size_t line, columns;
    const struct lspo_glue_task *task;
    size_t texts[2], label; /* places of the columns */
} table_t;

/* The number of fields of a line; at most COLUMNS_MAX are kept. */
static size_t split(lspo_text_span_t line, lspo_text_span_t fields[COLUMNS_MAX])
{
    size_t count = 0;
    for (const char *at = line.data, *end = line.data + line.bytes;; count++) {
        const char *tab = memchr(at, '\t', (size_t)(end - at)), *stop = tab ? tab : end;
        if (count < COLUMNS_MAX)
            fields[count] = (lspo_text_span_t){at, (size_t)(stop - at)};
        if (!tab)
            return count + 1;
        at = tab + 1;
    }
}

static bool is_word(lspo_text_span_t field, const char *word)
{
    return field.bytes == strlen(word) && memcmp(field.data, word, field.bytes) == 0;
}

static bool find_column(const lspo_text_span_t *fields, size_t count, const char *name, size_t *place_out)
{
    for (size_t i = 0; i < count; i++)
        if (is_word(fields[i], name)) {
            *place_out = i;
            return true;
        }
    return false;
}

static bool has_texts(const struct lspo_glue_task *task, const lspo_text_span_t *fields, size_t count, table_t *table)
{
    return find_column(fields, count, task->texts[0], &table->texts[0]) &&
           (!task->texts[1] || find_column(fields, count, task->texts[1], &table->texts[1]));
}

/* The task by the names of the columns. */
static lspo_status_t find_task(table_t *table, const lspo_text_span_t *fields, size_t count)
{
    const struct lspo_glue_task *unlabelled = NULL;
    for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++) {
        if (!has_texts(&tasks[i], fields, count, table))
            continue;
        if (find_column(fields, count, tasks[i].label, &table->label)) {
            table->task = &tasks[i];
            return LSPO_OK;
        }
        unlabelled = unlabelled ? unlabelled : &tasks[i];
    }
    if (unlabelled)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s:1: there is no column of labels; GLUE's test files have none: use dev.tsv", table->path);
    return lspo_error(LSPO_ERR_INPUT,
                      "%s:1: the columns are of none of GLUE's tasks (CoLA, MNLI, MRPC, QNLI, QQP, RTE, SST-2, STS-B, "
                      "WNLI); convert the file to JSONL of {\"text\",\"label\"}",
                      table->path);
}

static bool is_cola(const lspo_text_span_t *fields, size_t count)
{
    return count == COLA_COLUMNS && (is_word(fields[1], "0") || is_word(fields[1], "1"));
}

/* What the first line says; *is_row_out: it is a row itself. */
static lspo_status_t take_header(table_t *table, const lspo_text_span_t *fields, size_t count, bool *is_row_out)
{
    lspo_dataset_t *dataset = table->dataset;
    lspo_status_t status = LSPO_OK;
    table->columns = count;
    *is_row_out = is_cola(fields, count);
    if (*is_row_out) {
        table->task = &cola;
        table->label = 1;
        table->texts[0] = 3;
    } else
        status = find_task(table, fields, count < COLUMNS_MAX ? count : COLUMNS_MAX);
    if (status != LSPO_OK)
        return status;
    if (table->task->class_count != dataset->class_count)
        return lspo_error(LSPO_ERR_INPUT, "%s: %s needs --classes %" PRIu32 ", and the model has %" PRIu32, table->path,
                          table->task->name, table->task->class_count, dataset->class_count);
    if (dataset->task && dataset->task != table->task)
        return lspo_error(LSPO_ERR_INPUT, "%s is of %s, and --data of %s", table->path, table->task->name,
                          dataset->task->name);
    dataset->task = table->task;
    return LSPO_OK;
}

/* ---- rows ---- */

/* Digits, and perhaps a point and more digits. */
static bool is_decimal(const char *text)
{
    static const char digits[] = "0123456789";
    const size_t whole = strspn(text, digits), part = text[whole] == '.' ? strspn(text + whole + 1, digits) : 0;
    return whole > 0 && text[whole + (part > 0 ? part + 1 : 0)] == '\0';
}

/* A word of the task, the number of a class as one digit, or a score. */
static bool read_label(const table_t *table, lspo_text_span_t field, uint32_t *target_out)
{
    char text[NUMBER_BYTES];
    for (uint32_t i = 0; i < CLASSES_MAX && table->task->classes[i]; i++)
        if (is_word(field, table->task->classes[i])) {
            *target_out = i;
            return true;
        }
    if (field.bytes == 0 || field.bytes >= sizeof text)
        return false;
    memcpy(text, field.data, field.bytes);
    text[field.bytes] = '\0';
    const bool is_score = table->task->class_count == 1;
    if (strlen(text) != field.bytes || !(is_score ? is_decimal(text) : field.bytes == 1 && is_decimal(text)))
        return false;
    const double number = strtod(text, NULL);
    return !(is_score && number > SCORE_MAX) && lspo_label_target(table->dataset, number, target_out);
}

static lspo_status_t add_row(const table_t *table, lspo_text_span_t line, const lspo_text_span_t *fields, size_t count)
{
    char where[LSPO_WHERE_MAX];
    lspo_not_utf8_t bad;
    uint32_t target = 0;
    snprintf(where, sizeof where, "%.480s:%zu", table->path, table->line);
    const char *why = NULL;
    if (count != table->columns)
        why = "it has another number of columns than the first line";
    else if (!read_label(table, fields[table->label], &target))
        why = "its label is none of the task";
    else if (!lspo_data_is_utf8(line.data, line.bytes, &bad))
        why = "it is not UTF-8";
    if (why) {
        lspo_dataset_skip(table->part, where, why);
        return LSPO_OK;
    }
    const lspo_labelled_t labelled = {.where = where,
                                      .texts = {fields[table->texts[0]], fields[table->texts[1]]},
                                      .text_count = table->task->texts[1] ? 2 : 1,
                                      .target = target};
    return lspo_dataset_add_labelled(table->dataset, table->part, &labelled);
}

static lspo_status_t add_line(table_t *table, lspo_text_span_t line)
{
    lspo_text_span_t fields[COLUMNS_MAX];
    bool is_row = true;
    if (line.bytes > 0 && line.data[line.bytes - 1] == '\r')
        line.bytes--;
    if (line.bytes == 0)
        return LSPO_OK;
    if (!table->task && memchr(line.data, '\r', line.bytes))
        return lspo_error(LSPO_ERR_INPUT, "%s:%zu: " LSPO_RETURNS_ONLY, table->path, table->line);
    const size_t count = split(line, fields);
    lspo_status_t status = table->task ? LSPO_OK : take_header(table, fields, count, &is_row);
    return status == LSPO_OK && is_row ? add_row(table, line, fields, count) : status;
}

lspo_status_t lspo_dataset_add_table(lspo_dataset_t *dataset, lspo_part_t *part, const char *path,
                                     lspo_text_span_t text)
{
    table_t table = {.dataset = dataset, .part = part, .path = path, .line = 1};
    lspo_status_t status = LSPO_OK;
    part->form = LSPO_FORM_LABEL;
    for (size_t at = 0; status == LSPO_OK && at < text.bytes; table.line++) {
        const char *begin = text.data + at, *end = memchr(begin, '\n', text.bytes - at);
        const size_t length = end ? (size_t)(end - begin) : text.bytes - at;
        status = add_line(&table, (lspo_text_span_t){begin, length});
        at += length + 1;
    }
    if (status == LSPO_OK && part->row_count + part->skipped == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: the file has no records", path);
    return status;
}
