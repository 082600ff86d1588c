/* trace_file.c - traces as CSV files; the format is in trace.h. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/input_file.h"
#include "base/output_file.h"
#include "traces/trace.h"

static const char magic[] = "# lspo trace 1";
static const char columns[] = "op,kind,layer,iteration,micro,variant,lane,start_s,end_s,bytes";

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Writing */

enum { NS_A_SECOND = 1000000000 };

static void write_row(FILE *file, const lspo_trace_t *trace, const lspo_trace_row_t *row)
{
    fprintf(file,
            "%" PRIu32 ",%s,%u,%" PRIu32 ",%u,%u,%s,%" PRIu64 ".%09" PRIu64 ",%" PRIu64 ".%09" PRIu64 ",%" PRIu64 "\n",
            row->op, lspo_op_kind_name((lspo_op_kind_t)row->kind), row->layer, row->iteration, row->micro, row->variant,
            lspo_trace_lane_name(trace, row), row->start_ns / NS_A_SECOND, row->start_ns % NS_A_SECOND,
            row->end_ns / NS_A_SECOND, row->end_ns % NS_A_SECOND, row->bytes);
}

/* Writes \\ for a backslash, and \xNN for control characters and for blanks at both ends. */
static void write_value(FILE *file, const char *value)
{
    for (const char *c = value; *c != '\0'; c++)
        if (*c == '\\')
            fputs("\\\\", file);
        else if ((unsigned char)*c < ' ' || (*c == ' ' && (c == value || c[1] == '\0')))
            fprintf(file, "\\x%02x", (unsigned)*c);
        else
            fputc(*c, file);
}

static void write_meta(FILE *file, const lspo_trace_meta_t *meta)
{
    fprintf(file, "# %s: ", meta->key);
    write_value(file, meta->value);
    fputc('\n', file);
}

static void write_lanes(FILE *file, const lspo_lanes_t *lanes)
{
    for (uint32_t i = 0; i < lanes->count; i++) {
        const lspo_lane_t *lane = &lanes->list[i];
        fprintf(file, "# %s: %s %s %u %" PRIu32 "\n", LSPO_TRACE_LANE_KEY, lane->name,
                lspo_lane_kind_name((lspo_lane_kind_t)lane->kind), lane->device, lane->peer);
    }
}

lspo_status_t lspo_trace_write(const lspo_trace_t *trace, const char *path)
{
    lspo_output_t output;
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        return status;
    fprintf(output.file, "%s\n", magic);
    for (uint32_t i = 0; i < trace->meta_count; i++)
        write_meta(output.file, &trace->meta[i]);
    if (!lspo_lanes_are_default(&trace->lanes))
        write_lanes(output.file, &trace->lanes);
    fprintf(output.file, "%s\n", columns);
    for (uint32_t i = 0; i < trace->row_count; i++)
        write_row(output.file, trace, &trace->rows[i]);
    return lspo_output_finish(&output, LSPO_OK);
}

/* Reading */

typedef struct {
    const char *path;
    lspo_input_t *input;
    char *line; /* current line without its newline */
    uint64_t line_number;
    lspo_trace_t *trace;
    size_t row_capacity;
    lspo_lanes_t lanes;          /* declared by the header; if none, the trace's */
    const lspo_lane_t **by_name; /* of the trace's lanes */
    bool declares_lanes;
} reader_t;

/* reader->line is NULL at the end of the file. */
static lspo_status_t next_line(reader_t *reader)
{
    size_t length;
    lspo_status_t status = lspo_input_line(reader->input, &reader->line, &length);
    reader->line_number = lspo_input_line_number(reader->input);
    if (status != LSPO_OK)
        return status;
    if (reader->line && memchr(reader->line, '\0', length))
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": a NUL byte", reader->path, reader->line_number);
    return LSPO_OK;
}

/* Decode the output of write_value() in place.  Any other backslash is kept. */
static void read_value(char *value)
{
    char *to = value;
    for (const char *from = value; *from != '\0'; to++) {
        unsigned byte;
        if (from[0] == '\\' && from[1] == '\\') {
            *to = '\\';
            from += 2;
        } else if (strncmp(from, "\\x", 2) == 0 && isxdigit((unsigned char)from[2]) &&
                   isxdigit((unsigned char)from[3]) && sscanf(from + 2, "%2x", &byte) == 1 && byte != 0) {
            *to = (char)byte;
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* "NAME KIND DEVICE PEER" */
static lspo_status_t read_lane(reader_t *reader, const char *value)
{
    char name[2 * LSPO_LANE_NAME_BYTES], kind[8], rest;
    unsigned long device, peer;
    if (strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._- ") != strlen(value) ||
        sscanf(value, "%47s %7s %9lu %9lu %c", name, kind, &device, &peer, &rest) != 4 || device > UINT16_MAX ||
        peer > LSPO_LANE_PEER_MAX || lspo_lane_kind_parse(kind) == LSPO_LANE_KIND_COUNT ||
        strlen(name) >= LSPO_LANE_NAME_BYTES)
        return lspo_error(
            LSPO_ERR_INPUT,
            "%s:%" PRIu64 ": lane '%.60s' is not NAME KIND DEVICE PEER: a name of 1 to %d characters, one "
            "of gpu, d2h, h2d, cpu, net, ssd, and two numbers (device to %d, peer to %d)",
            reader->path, reader->line_number, value, LSPO_LANE_NAME_BYTES - 1, UINT16_MAX, LSPO_LANE_PEER_MAX);
    lspo_lane_t lane = {
        .kind = (uint8_t)lspo_lane_kind_parse(kind), .device = (uint16_t)device, .peer = (uint32_t)peer};
    memcpy(lane.name, name, strlen(name) + 1);
    uint32_t index;
    return lspo_lanes_add(&reader->lanes, &lane, &index);
}

static lspo_status_t read_meta(reader_t *reader)
{
    char *key = reader->line + 1;
    char *colon = strchr(key, ':');
    if (!colon)
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": header line '%s' is not '# key: value'", reader->path,
                          reader->line_number, reader->line);
    *colon = '\0';
    char *value = colon + 1;
    while (is_blank(*key))
        key++;
    while (is_blank(*value))
        value++;
    for (char *end = value + strlen(value); end > value && is_blank(end[-1]);)
        *--end = '\0';
    for (char *end = colon; end > key && is_blank(end[-1]);)
        *--end = '\0';
    if (*key == '\0')
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": header line has no key", reader->path, reader->line_number);
    if (strcmp(key, LSPO_TRACE_LANE_KEY) == 0)
        return read_lane(reader, value);
    read_value(value);
    return lspo_trace_set_meta(reader->trace, key, value);
}

static lspo_status_t field_error(const reader_t *reader, const char *column, const char *text, const char *wanted)
{
    return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": column %s: '%.40s' is not %s", reader->path, reader->line_number,
                      column, text, wanted);
}

/* Digits only, so that "-1", "0x10" and "nan" are refused. */
static lspo_status_t read_integer(const reader_t *reader, const char *column, const char *text, uint64_t high,
                                  uint64_t *value_out)
{
    uint64_t value = 0;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (value > (high - digit) / 10)
            return field_error(reader, column, text, "within its range");
        value = value * 10 + digit;
    }
    if (p == text || *p != '\0')
        return field_error(reader, column, text, "a whole number");
    *value_out = value;
    return LSPO_OK;
}

/* Seconds with up to nine decimals, read without rounding. */
static lspo_status_t read_seconds(const reader_t *reader, const char *column, char *text, uint64_t *ns_out)
{
    char *point = strchr(text, '.');
    uint64_t seconds = 0, fraction_ns = 0;
    char decimals[10] = "000000000";
    if (point) {
        size_t length = strlen(point + 1);
        if (length == 0 || length > 9)
            return field_error(reader, column, text, "seconds with one to nine decimals");
        memcpy(decimals, point + 1, length);
        *point = '\0';
    }
    lspo_status_t status = read_integer(reader, column, text, INT64_MAX / NS_A_SECOND - 1, &seconds);
    if (status != LSPO_OK)
        return status;
    status = read_integer(reader, column, decimals, NS_A_SECOND - 1, &fraction_ns);
    if (status != LSPO_OK)
        return status;
    *ns_out = seconds * NS_A_SECOND + fraction_ns;
    return LSPO_OK;
}

enum { OP, KIND, LAYER, ITERATION, MICRO, VARIANT, LANE, START, END, BYTES, COLUMN_COUNT };

static lspo_status_t split_row(const reader_t *reader, char *fields[COLUMN_COUNT])
{
    uint32_t count = 0;
    for (char *rest = reader->line; rest;) {
        char *field = strsep(&rest, ",");
        if (count < COLUMN_COUNT)
            fields[count] = field;
        count++;
    }
    if (count != COLUMN_COUNT)
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": %" PRIu32 " columns, not %d (%s)", reader->path,
                          reader->line_number, count, COLUMN_COUNT, columns);
    return LSPO_OK;
}

static lspo_status_t parse_row(const reader_t *reader, lspo_trace_row_t *row_out)
{
    char *fields[COLUMN_COUNT] = {0};
    lspo_status_t status = split_row(reader, fields);
    if (status != LSPO_OK)
        return status;

    static const struct {
        int column;
        const char *name;
        uint64_t high;
    } integers[] = {{OP, "op", LSPO_NO_OP - 1},           {LAYER, "layer", UINT16_MAX},
                    {ITERATION, "iteration", UINT32_MAX}, {MICRO, "micro", UINT16_MAX},
                    {VARIANT, "variant", UINT16_MAX},     {BYTES, "bytes", INT64_MAX}};
    uint64_t values[COLUMN_COUNT] = {0};
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
        int column = integers[i].column;
        status = read_integer(reader, integers[i].name, fields[column], integers[i].high, &values[column]);
        if (status != LSPO_OK)
            return status;
    }
    lspo_op_kind_t kind = lspo_op_kind_parse(fields[KIND]);
    if (kind == LSPO_OP_KIND_COUNT)
        return field_error(reader, "kind", fields[KIND], "a kind of op");
    uint32_t lane = lspo_lanes_find(&reader->trace->lanes, reader->by_name, fields[LANE]);
    if (lane == reader->trace->lanes.count)
        return field_error(reader, "lane", fields[LANE],
                           reader->declares_lanes ? "a lane of the header" : "a lane (gpu, d2h, h2d, cpu)");
    if ((status = read_seconds(reader, "start_s", fields[START], &values[START])) != LSPO_OK ||
        (status = read_seconds(reader, "end_s", fields[END], &values[END])) != LSPO_OK)
        return status;
    if (values[END] < values[START])
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": op %" PRIu64 " ends before it starts", reader->path,
                          reader->line_number, values[OP]);
    *row_out = (lspo_trace_row_t){.op = (lspo_op_id_t)values[OP],
                                  .kind = (uint8_t)kind,
                                  .lane = lane,
                                  .layer = (uint16_t)values[LAYER],
                                  .micro = (uint16_t)values[MICRO],
                                  .variant = (uint16_t)values[VARIANT],
                                  .iteration = (uint32_t)values[ITERATION],
                                  .start_ns = values[START],
                                  .end_ns = values[END],
                                  .bytes = values[BYTES]};
    return LSPO_OK;
}

static lspo_status_t append_row(reader_t *reader, const lspo_trace_row_t *row)
{
    lspo_trace_t *trace = reader->trace;
    if (trace->row_count == UINT32_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: more than %" PRIu32 " rows", reader->path, trace->row_count);
    lspo_status_t status = lspo_array_grow(&trace->rows, &reader->row_capacity, (size_t)trace->row_count + 1,
                                           sizeof *trace->rows, "rows of a trace");
    if (status != LSPO_OK)
        return status;
    trace->rows[trace->row_count++] = *row;
    return LSPO_OK;
}

/* The lines up to and including the column names. */
static lspo_status_t read_header(reader_t *reader)
{
    lspo_status_t status = next_line(reader);
    if (status != LSPO_OK)
        return status;
    if (!reader->line)
        return lspo_input_refuse_empty(reader->path);
    if (strcmp(reader->line, magic) != 0)
        return lspo_error(LSPO_ERR_INPUT, "%s:1: not a trace: the first line is not '%s'", reader->path, magic);
    while (true) {
        status = next_line(reader);
        if (status != LSPO_OK)
            return status;
        if (!reader->line || reader->line[0] != '#')
            break;
        status = read_meta(reader);
        if (status != LSPO_OK)
            return status;
    }
    if (!reader->line || strcmp(reader->line, columns) != 0)
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": '%.60s' is not the column line '%s'", reader->path,
                          reader->line_number, reader->line ? reader->line : "", columns);
    return LSPO_OK;
}

/* Lanes declared in the header become the trace's. */
static lspo_status_t take_lanes(reader_t *reader)
{
    if (reader->lanes.count > 0) {
        lspo_lanes_release(&reader->trace->lanes);
        reader->trace->lanes = reader->lanes;
        reader->lanes = (lspo_lanes_t){0};
        reader->declares_lanes = true;
    }
    lspo_status_t status = lspo_lanes_sort(&reader->trace->lanes, &reader->by_name);
    if (status != LSPO_OK)
        return status;
    for (uint32_t i = 1; i < reader->trace->lanes.count; i++) {
        if (strcmp(reader->by_name[i - 1]->name, reader->by_name[i]->name) == 0)
            status =
                lspo_error(LSPO_ERR_INPUT, "%s: the header has two lanes '%s'", reader->path, reader->by_name[i]->name);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static lspo_status_t read_rows(reader_t *reader)
{
    lspo_status_t status = take_lanes(reader);
    if (status != LSPO_OK)
        return status;
    while (true) {
        lspo_trace_row_t row;
        status = next_line(reader);
        if (status != LSPO_OK || !reader->line)
            return status;
        status = parse_row(reader, &row);
        if (status != LSPO_OK)
            return status;
        status = append_row(reader, &row);
        if (status != LSPO_OK)
            return status;
    }
}

lspo_status_t lspo_trace_read(const char *path, lspo_trace_t **trace_out)
{
    reader_t reader = {.path = path, .row_capacity = 1024};
    lspo_status_t status = lspo_input_open(path, LSPO_TRACE_BYTES_MAX, &reader.input);
    if (status != LSPO_OK)
        return status;
    status = lspo_trace_create((uint32_t)reader.row_capacity, &reader.trace);
    if (status != LSPO_OK)
        goto close_file;
    reader.trace->path = strdup(path);
    if (!reader.trace->path) {
        status = lspo_no_memory("%s", path);
        goto destroy_trace;
    }
    if ((status = read_header(&reader)) != LSPO_OK || (status = read_rows(&reader)) != LSPO_OK)
        goto destroy_trace;
    *trace_out = reader.trace;
    goto close_file;

destroy_trace:
    lspo_trace_destroy(reader.trace);
close_file:
    free(reader.by_name);
    lspo_lanes_release(&reader.lanes);
    lspo_input_close(reader.input);
    return status;
}
