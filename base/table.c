/* table.c - see table.h. */
#include "base/table.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json_file.h"
#include "base/printable.h"
#include "base/wrap.h"

void lspo_field_clear(const lspo_field_t *field, void *record)
{
    void *slot = (char *)record + field->offset_bytes;
    switch (field->kind) {
    case LSPO_FIELD_TEXT:
    case LSPO_FIELD_STRING:
        *(const char **)slot = NULL;
        break;
    case LSPO_FIELD_REAL:
        *(double *)slot = NAN;
        break;
    case LSPO_FIELD_INTEGER:
        *(uint64_t *)slot = LSPO_MISSING;
        break;
    case LSPO_FIELD_YES_NO:
        *(int *)slot = -1;
        break;
    }
}

enum { CELL_BYTES = 4096 };

const char *const lspo_format_names[] = {"table", "csv", "json", NULL};

lspo_format_t lspo_format_resolve(int format)
{
    if (format != LSPO_FORMAT_AUTO)
        return (lspo_format_t)format;
    return isatty(STDOUT_FILENO) ? LSPO_FORMAT_TABLE : LSPO_FORMAT_CSV;
}

typedef union {
    const char *text;
    double real;
    uint64_t integer;
    int yes_no;
} cell_t;

static bool is_text(const lspo_field_t *field)
{
    return field->kind == LSPO_FIELD_TEXT || field->kind == LSPO_FIELD_STRING;
}

/* False when the value is missing. */
static bool read_cell(const lspo_table_t *table, size_t record, const lspo_field_t *field, cell_t *cell_out)
{
    const char *slot = (const char *)table->records + record * table->record_bytes + field->offset_bytes;
    switch (field->kind) {
    case LSPO_FIELD_TEXT:
        cell_out->text = *(const char *const *)(const void *)slot;
        return cell_out->text != NULL && cell_out->text[0] != '\0';
    case LSPO_FIELD_STRING:
        cell_out->text = *(const char *const *)(const void *)slot;
        return cell_out->text != NULL;
    case LSPO_FIELD_REAL:
        cell_out->real = *(const double *)(const void *)slot;
        return isfinite(cell_out->real);
    case LSPO_FIELD_INTEGER:
        cell_out->integer = *(const uint64_t *)(const void *)slot;
        return cell_out->integer != LSPO_MISSING;
    default:
        cell_out->yes_no = *(const int *)(const void *)slot;
        return cell_out->yes_no >= 0;
    }
}

/* The value as CSV writes it; empty when missing. */
static const char *plain_cell(const lspo_table_t *table, size_t record, const lspo_field_t *field, char *buffer)
{
    cell_t cell;
    buffer[0] = '\0';
    if (!read_cell(table, record, field, &cell))
        return buffer;
    switch (field->kind) {
    case LSPO_FIELD_TEXT:
    case LSPO_FIELD_STRING:
        return cell.text;
    case LSPO_FIELD_REAL:
        snprintf(buffer, CELL_BYTES, "%.9g", cell.real);
        return buffer;
    case LSPO_FIELD_INTEGER:
        snprintf(buffer, CELL_BYTES, "%" PRIu64, cell.integer);
        return buffer;
    default:
        return cell.yes_no ? "true" : "false";
    }
}

static const char *human_cell(const lspo_table_t *table, size_t record, const lspo_field_t *field, char *buffer)
{
    cell_t cell;
    if (!read_cell(table, record, field, &cell))
        return "-";
    if (field->kind == LSPO_FIELD_YES_NO)
        return cell.yes_no ? "yes" : "no";
    if (field->unit != LSPO_UNIT_NONE && field->kind == LSPO_FIELD_REAL)
        return lspo_format_quantity(cell.real, field->unit, buffer, CELL_BYTES);
    if (field->unit != LSPO_UNIT_NONE && field->kind == LSPO_FIELD_INTEGER)
        return lspo_format_quantity((double)cell.integer, field->unit, buffer, CELL_BYTES);
    if (field->kind == LSPO_FIELD_REAL) {
        snprintf(buffer, CELL_BYTES, fabs(cell.real) >= 1000.0 && fabs(cell.real) < 1e15 ? "%.0f" : "%.4g", cell.real);
        return buffer;
    }
    if (is_text(field)) {
        lspo_printable(cell.text, buffer, CELL_BYTES);
        return buffer;
    }
    return plain_cell(table, record, field, buffer);
}

/* Quoted only if a comma, quote or newline would break the row. */
void lspo_table_write_text(const char *text, FILE *file)
{
    if (strpbrk(text, ",\"\r\n") == NULL) {
        fputs(text, file);
        return;
    }
    fputc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"')
            fputc('"', file);
        fputc(*text, file);
    }
    fputc('"', file);
}

void lspo_table_write_names(const lspo_table_t *table, FILE *file)
{
    for (size_t f = 0; f < table->field_count; f++) {
        if (f > 0)
            fputc(',', file);
        lspo_table_write_text(table->fields[f].name, file);
    }
}

static void write_csv_line(const lspo_table_t *table, size_t record, bool on_terminal, FILE *file)
{
    char buffer[CELL_BYTES], printable[CELL_BYTES];
    for (size_t f = 0; f < table->field_count; f++) {
        if (f > 0)
            fputc(',', file);
        const char *text = plain_cell(table, record, &table->fields[f], buffer);
        if (on_terminal)
            lspo_printable(text, printable, sizeof printable);
        lspo_table_write_text(on_terminal ? printable : text, file);
    }
}

static void write_csv(const lspo_table_t *table, FILE *file)
{
    bool on_terminal = isatty(fileno(file));
    lspo_table_write_names(table, file);
    fputc('\n', file);
    for (size_t r = 0; r < table->record_count; r++) {
        write_csv_line(table, r, on_terminal, file);
        fputc('\n', file);
    }
}

/* With escapes for bytes that are not UTF-8, because a file name may contain any byte.  NULL if out of memory, like the
 * others below. */
static json_t *json_text(const char *text)
{
    size_t bytes = LSPO_PRINTABLE_MOST * strlen(text) + 4;
    char *valid = malloc(bytes);
    if (valid == NULL)
        return NULL;
    lspo_valid_utf8(text, valid, bytes);
    json_t *value = json_string(valid);
    free(valid);
    return value;
}

static json_t *json_cell(const lspo_table_t *table, size_t record, const lspo_field_t *field)
{
    cell_t cell;
    if (!read_cell(table, record, field, &cell))
        return json_null();
    switch (field->kind) {
    case LSPO_FIELD_TEXT:
    case LSPO_FIELD_STRING:
        return json_text(cell.text);
    case LSPO_FIELD_REAL:
        return json_real(cell.real);
    case LSPO_FIELD_INTEGER:
        return json_integer((json_int_t)cell.integer);
    default:
        return json_boolean(cell.yes_no);
    }
}

static json_t *json_record(const lspo_table_t *table, size_t record)
{
    json_t *object = json_object();
    for (size_t f = 0; f < table->field_count; f++) {
        /* Steals the value, and fails on NULL. */
        if (json_object_set_new(object, table->fields[f].name, json_cell(table, record, &table->fields[f])) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static lspo_status_t write_json(json_t *value, FILE *file)
{
    char *text = lspo_json_print(value, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(value);
    if (!text)
        return lspo_no_memory("the result as JSON");
    fprintf(file, "%s\n", text); /* the caller notices a full disk when it closes the file */
    free(text);
    return LSPO_OK;
}

lspo_status_t lspo_table_write_line(const lspo_table_t *table, size_t record, lspo_format_t format, FILE *file)
{
    if (format != LSPO_FORMAT_JSON) {
        write_csv_line(table, record, false, file);
        return LSPO_OK;
    }
    json_t *value = json_record(table, record);
    char *text = lspo_json_print(value, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(value);
    if (!text)
        return lspo_no_memory("the result as JSON");
    fputs(text, file);
    free(text);
    return LSPO_OK;
}

static json_t *json_records(const lspo_table_t *table)
{
    json_t *array = json_array();
    for (size_t r = 0; r < table->record_count; r++)
        if (json_array_append_new(array, json_record(table, r)) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

/* Header in bold on a terminal, unless NO_COLOR is set. */
static bool use_bold(FILE *file)
{
    const char *no_color = getenv("NO_COLOR");
    return isatty(fileno(file)) && (no_color == NULL || no_color[0] == '\0');
}

/* Columns on a terminal: characters, not bytes. */
static size_t width_of(const char *text, size_t length)
{
    size_t width = 0;
    for (size_t i = 0; i < length; i++)
        width += ((unsigned char)text[i] & 0xc0) != 0x80;
    return width;
}

/* `length` bytes of `text`: texts are left-aligned, numbers right-aligned. */
static void write_cell(const char *text, size_t length, const lspo_field_t *field, size_t width, bool last, FILE *file)
{
    size_t own = width_of(text, length);
    int padding = own < width ? (int)(width - own) : 0;
    if (is_text(field))
        fprintf(file, "%.*s%*s%s", (int)length, text, last ? 0 : padding, "", last ? "" : "  ");
    else
        fprintf(file, "%*s%.*s%s", padding, "", (int)length, text, last ? "" : "  ");
}

/* Row 0 is the header. */
static const char *column_cell(const lspo_table_t *table, size_t row, const lspo_field_t *field, char *buffer)
{
    return row == 0 ? field->name : human_cell(table, row - 1, field, buffer);
}

enum { COLUMN_GAP = 2, TEXT_COLUMN_LEAST = 24, NAMES_LEAST = 18 };

typedef struct {
    const lspo_table_t *table;
    size_t *widths; /* by field */
    FILE *file;
} columns_t;

static void measure_columns(const columns_t *columns)
{
    char buffer[CELL_BYTES];
    for (size_t r = 0; r <= columns->table->record_count; r++)
        for (size_t f = 0; f < columns->table->field_count; f++) {
            const char *text = column_cell(columns->table, r, &columns->table->fields[f], buffer);
            size_t width = width_of(text, strlen(text));
            columns->widths[f] = width > columns->widths[f] ? width : columns->widths[f];
        }
}

/* The widest text column that can be narrower; field_count: none. */
static size_t widest_text(const columns_t *columns)
{
    size_t widest = columns->table->field_count, width = TEXT_COLUMN_LEAST;
    for (size_t f = 1; f < columns->table->field_count; f++)
        if (is_text(&columns->table->fields[f]) && columns->widths[f] > width) {
            widest = f;
            width = columns->widths[f];
        }
    return widest;
}

/* Wraps texts until the table has `room` columns, if possible. */
static void narrow_columns(const columns_t *columns, size_t room)
{
    size_t total = 0;
    for (size_t f = 0; f < columns->table->field_count; f++)
        total += columns->widths[f] + COLUMN_GAP;
    for (size_t f; total > room + COLUMN_GAP && (f = widest_text(columns)) < columns->table->field_count; total--)
        columns->widths[f]--;
}

/* Line `line` of a text wrapped at `width`; *length_out is 0 after its end. */
static const char *line_of(const char *text, size_t width, size_t line, size_t *length_out)
{
    for (;; line--) {
        *length_out = strlen(text) <= width ? strlen(text) : lspo_wrap_line(text, width);
        if (line == 0 || *text == '\0')
            return text;
        text += *length_out;
        text += strspn(text, " ");
    }
}

/* Prints one line of a row: the first column and those from `begin` to `end`.  Returns whether a text has more
 * lines. */
static bool write_row_line(const columns_t *columns, size_t row, size_t line, size_t begin, size_t end)
{
    const lspo_field_t *fields = columns->table->fields;
    char buffer[CELL_BYTES];
    size_t length, filled = 0;
    bool more = false;
    for (size_t f = 0; f < end; f = f == 0 ? begin : f + 1) {
        const char *cell = column_cell(columns->table, row, &fields[f], buffer);
        const char *text = line_of(cell, columns->widths[f], line, &length);
        filled = length > 0 ? f : filled;
        more |= text[length] != '\0';
    }
    for (size_t f = 0; f <= filled; f = f == 0 ? begin : f + 1) {
        const char *cell = column_cell(columns->table, row, &fields[f], buffer);
        const char *text = line_of(cell, columns->widths[f], line, &length);
        write_cell(text, length, &fields[f], columns->widths[f], f == filled, columns->file);
    }
    return more;
}

static void write_band(const columns_t *columns, size_t begin, size_t end)
{
    bool bold = use_bold(columns->file);
    for (size_t r = 0; r <= columns->table->record_count; r++) {
        bool more = true;
        for (size_t line = 0; more; line++) {
            if (bold && r == 0)
                fputs("\033[1m", columns->file);
            more = write_row_line(columns, r, line, begin, end);
            fputs(bold && r == 0 ? "\033[0m\n" : "\n", columns->file);
        }
    }
}

/* On a terminal texts are wrapped; columns that still do not fit follow below, after the first column again. */
static lspo_status_t write_columns(const lspo_table_t *table, FILE *file)
{
    const columns_t columns = {table, calloc(table->field_count, sizeof(size_t)), file};
    if (columns.widths == NULL)
        return lspo_no_memory("the result as a table");
    size_t room = lspo_terminal_width(file);
    measure_columns(&columns);
    if (room > 0)
        narrow_columns(&columns, room);
    size_t begin = 1;
    do {
        size_t end = begin, used = columns.widths[0];
        while (end < table->field_count &&
               (room == 0 || end == begin || used + COLUMN_GAP + columns.widths[end] <= room))
            used += COLUMN_GAP + columns.widths[end++];
        if (begin > 1)
            fputc('\n', file);
        write_band(&columns, begin, end);
        begin = end;
    } while (begin < table->field_count);
    free(columns.widths);
    return LSPO_OK;
}

/* The values begin in one column, after the longest name. */
static void write_upright(const lspo_table_t *table, FILE *file)
{
    char buffer[CELL_BYTES];
    cell_t cell;
    size_t width = NAMES_LEAST;
    for (size_t f = 0; f < table->field_count; f++)
        if (read_cell(table, 0, &table->fields[f], &cell) && strlen(table->fields[f].name) > width)
            width = strlen(table->fields[f].name);
    for (size_t f = 0; f < table->field_count; f++)
        if (read_cell(table, 0, &table->fields[f], &cell))
            fprintf(file, "%-*s %s\n", (int)width, table->fields[f].name,
                    human_cell(table, 0, &table->fields[f], buffer));
}

lspo_status_t lspo_table_write(const lspo_table_t *table, lspo_format_t format, FILE *file)
{
    if (format == LSPO_FORMAT_JSON)
        return write_json(json_records(table), file);
    if (format == LSPO_FORMAT_CSV)
        write_csv(table, file);
    else
        return write_columns(table, file);
    return LSPO_OK;
}

lspo_status_t lspo_table_write_record(const lspo_table_t *table, lspo_format_t format, FILE *file)
{
    if (format == LSPO_FORMAT_JSON)
        return write_json(json_record(table, 0), file);
    if (format == LSPO_FORMAT_CSV)
        write_csv(table, file);
    else
        write_upright(table, file);
    return LSPO_OK;
}
