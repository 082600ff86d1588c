/* table.c - see table.h. */
#include "cli/table.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plan/printable.h"

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

/* False when the value is missing. */
static bool read_cell(const lspo_table_t *table, size_t record, const lspo_field_t *field, cell_t *cell_out)
{
    const char *slot = (const char *)table->records + record * table->record_bytes + field->offset_bytes;
    switch (field->kind) {
    case LSPO_FIELD_TEXT:
        cell_out->text = *(const char *const *)(const void *)slot;
        return cell_out->text != NULL && cell_out->text[0] != '\0';
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
    if (field->kind == LSPO_FIELD_TEXT) {
        lspo_printable(cell.text, buffer, CELL_BYTES);
        return buffer;
    }
    return plain_cell(table, record, field, buffer);
}

/* Quoted only where a comma, quote or newline would break the row. */
static void write_csv_text(const char *text, FILE *file)
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

static void write_csv(const lspo_table_t *table, FILE *file)
{
    char buffer[CELL_BYTES], printable[CELL_BYTES];
    bool on_terminal = isatty(fileno(file));
    for (size_t f = 0; f < table->field_count; f++)
        fprintf(file, "%s%s", f > 0 ? "," : "", table->fields[f].name);
    fputc('\n', file);
    for (size_t r = 0; r < table->record_count; r++) {
        for (size_t f = 0; f < table->field_count; f++) {
            if (f > 0)
                fputc(',', file);
            const char *text = plain_cell(table, r, &table->fields[f], buffer);
            if (on_terminal)
                lspo_printable(text, printable, sizeof printable);
            write_csv_text(on_terminal ? printable : text, file);
        }
        fputc('\n', file);
    }
}

/* With escapes for what is not UTF-8: a name of a file may hold any byte.  NULL without memory, like the others below. */
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
    /* A full disk shows when the caller closes the file. */
    bool written =
        value != NULL && (json_dumpf(value, file, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) == 0 || ferror(file));
    json_decref(value);
    if (!written)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for the result as JSON");
    fputc('\n', file);
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

/* Header in bold on a terminal that has not asked for no colour. */
static bool use_bold(FILE *file)
{
    const char *no_color = getenv("NO_COLOR");
    return isatty(fileno(file)) && (no_color == NULL || no_color[0] == '\0');
}

/* Columns on a terminal: characters, not bytes. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void write_cell(const char *text, const lspo_field_t *field, size_t width, bool last, FILE *file)
{
    size_t own = width_of(text);
    int padding = own < width ? (int)(width - own) : 0;
    if (field->kind == LSPO_FIELD_TEXT)
        fprintf(file, "%s%*s%s", text, last ? 0 : padding, "", last ? "" : "  ");
    else
        fprintf(file, "%*s%s%s", padding, "", text, last ? "" : "  ");
}

/* Row 0 is the header. */
static const char *column_cell(const lspo_table_t *table, size_t row, const lspo_field_t *field, char *buffer)
{
    return row == 0 ? field->name : human_cell(table, row - 1, field, buffer);
}

static lspo_status_t write_columns(const lspo_table_t *table, FILE *file)
{
    char buffer[CELL_BYTES];
    bool bold = use_bold(file);
    size_t *widths = calloc(table->field_count, sizeof *widths);
    if (widths == NULL)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for the result as a table");
    for (size_t r = 0; r <= table->record_count; r++)
        for (size_t f = 0; f < table->field_count; f++) {
            size_t width = width_of(column_cell(table, r, &table->fields[f], buffer));
            widths[f] = width > widths[f] ? width : widths[f];
        }
    for (size_t r = 0; r <= table->record_count; r++) {
        if (bold && r == 0)
            fputs("\033[1m", file);
        for (size_t f = 0; f < table->field_count; f++)
            write_cell(column_cell(table, r, &table->fields[f], buffer), &table->fields[f], widths[f],
                       f + 1 == table->field_count, file);
        fputs(bold && r == 0 ? "\033[0m\n" : "\n", file);
    }
    free(widths);
    return LSPO_OK;
}

static void write_upright(const lspo_table_t *table, FILE *file)
{
    char buffer[CELL_BYTES];
    for (size_t f = 0; f < table->field_count; f++) {
        cell_t cell;
        if (read_cell(table, 0, &table->fields[f], &cell))
            fprintf(file, "%-18s %s\n", table->fields[f].name, human_cell(table, 0, &table->fields[f], buffer));
    }
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
