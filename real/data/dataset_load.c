/* dataset_load.c - read a file of training data, in the format given by its name or its beginning.  See dataset.h. */
#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json_file.h"
#include "real/data/data_file.h"
#include "real/data/dataset_state.h"

/* Numbers are not text: a number that no integer type can represent, such as an id of 128 bits, must not make the
 * record invalid. */
enum { LOOK_FLAGS = JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL };
enum { PARSE_FLAGS = LOOK_FLAGS | JSON_REJECT_DUPLICATES, WHERE_MAX = LSPO_WHERE_MAX, NOT_UTF8_PARTS = 10 };

/* The file being read, and the position of the current part. */
typedef struct {
    lspo_dataset_t *dataset;
    lspo_part_t *part;
    const char *path; /* as given */
    const char *text;
    size_t bytes;
    bool lines; /* by its name the file has one record per line */
} reader_t;

static bool blank(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (!isspace((unsigned char)text[i]))
            return false;
    return true;
}

static size_t skip_blanks(const char *text, size_t bytes)
{
    size_t at = 0;
    while (at < bytes && isspace((unsigned char)text[at]))
        at++;
    return at;
}

/* ---- why something is not JSON ---- */

static lspo_status_t refuse_not_utf8(const reader_t *reader, size_t line, const lspo_not_utf8_t *bad)
{
    return lspo_error(LSPO_ERR_INPUT,
                      "%s:%zu: column %zu: the byte 0x%02x is not UTF-8; if the text is Latin-1, convert it: "
                      "iconv -f LATIN1 -t UTF-8",
                      reader->path, line, bad->column, bad->byte);
}

/* Common deviations from JSON, by jansson's error messages. */
static const struct {
    const char *said, *hint;
} hints[] = {
    {"invalid Unicode '\\u", "; half of a surrogate pair: such a character needs both halves"},
    {"near 'NaN'", "; JSON has no NaN: write null"},
    {"near '-Infinity'", "; JSON has no infinity: write null"},
    {"near 'Infinity'", "; JSON has no infinity: write null"},
    {"near '''", "; names and strings need double quotes"},
    {"end of file expected near ','", "; nothing may follow a record"},
    {"end of file expected near '{'", "; a line may have only one record"},
};

static lspo_status_t refuse_json(const reader_t *reader, size_t line, const json_error_t *error)
{
    const char *hint = "";
    for (size_t i = 0; i < sizeof hints / sizeof hints[0] && !hint[0]; i++)
        if (strstr(error->text, hints[i].said))
            hint = hints[i].hint;
    return lspo_error(LSPO_ERR_INPUT, "%s:%zu: column %d: not JSON: %s%s", reader->path, line, error->column,
                      error->text, hint);
}

/* The value that begins there and ends some lines later; NULL if there is none. */
static json_t *value_over_lines(const reader_t *reader, size_t at, size_t length)
{
    json_error_t end;
    bool no_memory; /* of a file that is refused in any case */
    json_t *value =
        lspo_json_parse(reader->text + at, reader->bytes - at, PARSE_FLAGS | JSON_DISABLE_EOF_CHECK, &end, &no_memory);
    if (value && end.position >= 0 && (size_t)end.position > length)
        return value;
    json_decref(value);
    return NULL;
}

static lspo_status_t refuse_over_lines(const reader_t *reader, size_t line, const json_t *value)
{
    char where[WHERE_MAX];
    snprintf(where, sizeof where, "%.480s:%zu", reader->path, line);
    if (!json_is_object(value) || !lspo_dataset_knows_record(reader->dataset, value))
        return lspo_dataset_add_record(reader->dataset, reader->part, where, value);
    return lspo_error(LSPO_ERR_INPUT, "%s: a record spans several lines; %s (jq -c . makes one line of each record)",
                      where,
                      reader->lines ? "JSONL has one record per line"
                                    : "a .json file is one array of records, or has one record per line");
}

/* Why the `length` bytes at `at` are not a record. */
static lspo_status_t refuse_line(const reader_t *reader, size_t line, size_t at, size_t length,
                                 const json_error_t *error)
{
    const char *text = reader->text + at;
    size_t first = skip_blanks(text, length);
    const char *carriage = memchr(text, '\r', length);
    lspo_not_utf8_t bad;
    if (!lspo_data_is_utf8(text, length, &bad))
        return refuse_not_utf8(reader, line, &bad);
    json_t *value = value_over_lines(reader, at, length);
    if (value) {
        lspo_status_t status = refuse_over_lines(reader, line, value);
        json_decref(value);
        return status;
    }
    if (carriage && !blank(carriage, length - (size_t)(carriage - text)))
        return lspo_error(LSPO_ERR_INPUT, "%s:%zu: " LSPO_RETURNS_ONLY, reader->path, line);
    if (reader->part->form < 0 && text[first] != '{' && text[first] != '[')
        return lspo_error(LSPO_ERR_INPUT, "%s:%zu: not JSON: %s; if it is plain text, rename it to .txt", reader->path,
                          line, error->text);
    return refuse_json(reader, line, error);
}

/* ---- records ---- */

/* A concatenated file may have byte-order marks where its parts began. */
static size_t skip_mark(const char *text, size_t bytes)
{
    return bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

static lspo_status_t add_line(const reader_t *reader, size_t line, size_t at, size_t length)
{
    json_error_t error;
    char where[WHERE_MAX];
    snprintf(where, sizeof where, "%.480s:%zu", reader->path, line);
    bool no_memory;
    json_t *record = lspo_json_parse(reader->text + at, length, PARSE_FLAGS, &error, &no_memory);
    if (no_memory)
        return lspo_no_memory("a record: %s", where);
    if (!record)
        return refuse_line(reader, line, at, length, &error);
    lspo_status_t status = lspo_dataset_add_record(reader->dataset, reader->part, where, record);
    json_decref(record);
    return status;
}

static lspo_status_t add_lines(const reader_t *reader)
{
    lspo_status_t status = LSPO_OK;
    size_t line = 1;
    for (size_t at = 0; at < reader->bytes; line++) {
        const char *begin = reader->text + at, *end = memchr(begin, '\n', reader->bytes - at);
        size_t length = end ? (size_t)(end - begin) : reader->bytes - at, mark = skip_mark(begin, length);
        if (!blank(begin + mark, length - mark))
            status = add_line(reader, line, at + mark, length - mark);
        if (status != LSPO_OK)
            return status;
        at += length + 1;
    }
    return LSPO_OK;
}

/* A position in the text of an array, to count the lines of its records. */
typedef struct {
    const char *at, *end;
    size_t line;
} cursor_t;

static void step_over(cursor_t *cursor)
{
    cursor->line += *cursor->at == '\n';
    cursor->at++;
}

static void skip_string(cursor_t *cursor)
{
    for (step_over(cursor); cursor->at < cursor->end && *cursor->at != '"'; step_over(cursor))
        if (*cursor->at == '\\' && cursor->at + 1 < cursor->end)
            step_over(cursor);
    if (cursor->at < cursor->end)
        step_over(cursor);
}

/* The line on which the next element begins.  The cursor is behind the array's '[' or an element's ',', and moves
 * behind the next one; the text is valid JSON. */
static size_t line_of_next(cursor_t *cursor)
{
    while (cursor->at < cursor->end && isspace((unsigned char)*cursor->at))
        step_over(cursor);
    const size_t line = cursor->line;
    for (size_t depth = 0; cursor->at < cursor->end && !(depth == 0 && *cursor->at == ',');) {
        const char c = *cursor->at;
        if (c == '"') {
            skip_string(cursor);
            continue;
        }
        depth += c == '{' || c == '[';
        depth -= depth > 0 && (c == '}' || c == ']');
        step_over(cursor);
    }
    if (cursor->at < cursor->end)
        step_over(cursor);
    return line;
}

/* Behind the '[' with which the text begins. */
static cursor_t first_of(const reader_t *reader)
{
    cursor_t cursor = {reader->text, reader->text + reader->bytes, 1};
    while (cursor.at < cursor.end && *cursor.at != '[')
        step_over(&cursor);
    if (cursor.at < cursor.end)
        step_over(&cursor);
    return cursor;
}

static lspo_status_t add_array(const reader_t *reader)
{
    cursor_t cursor = first_of(reader);
    json_error_t error;
    lspo_not_utf8_t bad;
    lspo_status_t status = LSPO_OK;
    bool no_memory;
    json_t *array = lspo_json_parse(reader->text, reader->bytes, PARSE_FLAGS, &error, &no_memory);
    if (no_memory)
        return lspo_no_memory("the records of %s", reader->path);
    if (!array && !lspo_data_is_utf8(reader->text, reader->bytes, &bad))
        return refuse_not_utf8(reader, bad.line, &bad);
    if (!array)
        return refuse_json(reader, error.line > 0 ? (size_t)error.line : 1, &error);
    for (size_t i = 0; i < json_array_size(array); i++) {
        char where[WHERE_MAX];
        snprintf(where, sizeof where, "%.440s:%zu: record %zu", reader->path, line_of_next(&cursor), i + 1);
        status = lspo_dataset_add_record(reader->dataset, reader->part, where, json_array_get(array, i));
        if (status != LSPO_OK)
            break;
    }
    json_decref(array);
    return status;
}

/* ---- text ---- */

/* For a tokenizer such bytes are not characters.  For a model of bytes they are ordinary tokens, but many of them mean
 * another encoding. */
static lspo_status_t check_characters(const reader_t *reader)
{
    lspo_not_utf8_t bad;
    if (lspo_data_is_utf8(reader->text, reader->bytes, &bad))
        return LSPO_OK;
    if (reader->dataset->encoder.encode || bad.count > reader->bytes / NOT_UTF8_PARTS)
        return refuse_not_utf8(reader, bad.line, &bad);
    lspo_warn(
        "%s: bytes that are not UTF-8: %zu, the first 0x%02x in line %zu, column %zu; they are trained on unchanged",
        reader->path, bad.count, bad.byte, bad.line, bad.column);
    return LSPO_OK;
}

static lspo_status_t add_text(const reader_t *reader)
{
    lspo_dataset_t *dataset = reader->dataset;
    if (dataset->class_count > 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: a classifier needs JSONL of %s, or a .tsv file of GLUE%s", reader->path,
                          lspo_form_name(LSPO_FORM_LABEL),
                          memchr(reader->text, '\t', reader->bytes) ? "; if this is one, rename it to .tsv" : "");
    if (dataset->mapped)
        return lspo_error(LSPO_ERR_INPUT, "%s is plain text, which has no fields for --prompt-field and --answer-field",
                          reader->path);
    lspo_status_t status = check_characters(reader);
    if (status != LSPO_OK)
        return status;
    return lspo_encoder_encode(&dataset->encoder, reader->text, reader->bytes, &reader->part->tokens);
}

/* ---- choice of the format ---- */

static bool ends_with(const char *path, const char *suffix)
{
    size_t length = strlen(path), suffix_length = strlen(suffix);
    return length >= suffix_length && strcasecmp(path + length - suffix_length, suffix) == 0;
}

typedef enum { FORMAT_TEXT, FORMAT_LINES, FORMAT_ARRAY, FORMAT_TABLE, FORMAT_UNKNOWN } format_t;

/* The format by content: prose may begin with a bracket, so it is JSON only if it begins with a complete record, or is
 * an array that does. */
static format_t look(const char *text, size_t bytes)
{
    size_t at = skip_blanks(text, bytes);
    if (at == bytes || (text[at] != '{' && text[at] != '['))
        return FORMAT_TEXT;
    bool no_memory;
    json_t *value = lspo_json_parse(text + at, bytes - at, LOOK_FLAGS | JSON_DISABLE_EOF_CHECK, NULL, &no_memory);
    if (no_memory)
        return FORMAT_UNKNOWN;
    const json_t *record = json_is_array(value) ? json_array_get(value, 0) : value;
    bool records = json_is_object(record) && json_object_size(record) > 0;
    format_t format = !records ? FORMAT_TEXT : json_is_array(value) ? FORMAT_ARRAY : FORMAT_LINES;
    json_decref(value);
    return format;
}

/* The name decides if it is meaningful, otherwise the content. */
static format_t format_of(const reader_t *reader, const char *name)
{
    size_t at = skip_blanks(reader->text, reader->bytes);
    bool array = at < reader->bytes && reader->text[at] == '[';
    if (ends_with(name, ".jsonl") || ends_with(name, ".ndjson"))
        return FORMAT_LINES;
    if (ends_with(name, ".json"))
        return array ? FORMAT_ARRAY : FORMAT_LINES;
    if (ends_with(name, ".tsv") && reader->dataset->class_count > 0)
        return FORMAT_TABLE;
    format_t seen = look(reader->text, reader->bytes);
    if (seen == FORMAT_UNKNOWN || (!ends_with(name, ".txt") && !ends_with(name, ".md")))
        return seen;
    if (seen != FORMAT_TEXT)
        lspo_warn("%s: contains JSON, but because of its name it is trained on as plain text; to train on its records, "
                  "rename it to %s",
                  reader->path, seen == FORMAT_ARRAY ? ".json" : ".jsonl");
    return FORMAT_TEXT;
}

static void warn_of_table(const reader_t *reader, const char *name)
{
    if (ends_with(name, ".csv") || ends_with(name, ".tsv"))
        lspo_warn(
            "%s: looks like a table and is trained on as plain text; to train on its columns, convert it to JSONL",
            reader->path);
}

static void warn_of_unused(const reader_t *reader)
{
    char names[LSPO_UNUSED_MAX * (LSPO_FIELD_MAX + 4)] = "";
    const lspo_part_t *part = reader->part;
    for (size_t i = 0; i < LSPO_UNUSED_MAX && part->unused[i][0] != '\0'; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s\"%s\"", i > 0 ? ", " : "", part->unused[i]);
    if (names[0] != '\0')
        lspo_warn("%s: these fields of its records are not trained on: %s", reader->path, names);
}

static void warn_of_skipped(const reader_t *reader)
{
    const lspo_part_t *part = reader->part;
    if (part->skipped > 0 && part->row_count > 0)
        lspo_warn("%s: records left out: %zu; the first is %s: %s", reader->path, part->skipped, part->skipped_where,
                  part->skipped_why);
    if (part->lost_systems > 0)
        lspo_warn("%s: system messages that the chat template does not write: %zu; it writes one only into a last turn "
                  "that is the user's",
                  reader->path, part->lost_systems);
}

lspo_status_t lspo_dataset_load_file(lspo_dataset_t *dataset, lspo_part_t *part, const char *path)
{
    lspo_data_file_t file;
    lspo_status_t status = lspo_data_file_read(path, &file);
    if (status != LSPO_OK)
        return status;
    reader_t reader = {.dataset = dataset, .part = part, .path = path, .text = file.text, .bytes = file.bytes};
    reader.lines = !ends_with(file.name, ".json");
    switch (format_of(&reader, file.name)) {
    case FORMAT_LINES:
        status = add_lines(&reader);
        break;
    case FORMAT_ARRAY:
        status = add_array(&reader);
        break;
    case FORMAT_TABLE:
        status = lspo_dataset_add_table(dataset, part, path, (lspo_text_span_t){reader.text, reader.bytes});
        break;
    case FORMAT_UNKNOWN:
        status = lspo_no_memory("the records of %s", path);
        break;
    case FORMAT_TEXT:
        warn_of_table(&reader, file.name);
        status = add_text(&reader);
        break;
    }
    if (status != LSPO_OK)
        goto cleanup;
    if (part->form < 0 && part->tokens.count == 0) {
        status = lspo_error(LSPO_ERR_INPUT, "%s: the file has no records", path);
        goto cleanup;
    }
    warn_of_unused(&reader);
    warn_of_skipped(&reader);
cleanup:
    lspo_data_file_release(&file);
    return status;
}
