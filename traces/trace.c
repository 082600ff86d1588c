#include "traces/trace.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/input_file.h"
#include "base/output_file.h"
#include "plan/policy.h"
#include "traces/order.h"

static const char magic[] = "# lspo trace 1";
static const char columns[] = "op,kind,layer,iteration,micro,variant,lane,start_s,end_s,bytes";

lspo_status_t lspo_trace_create(uint32_t row_capacity, lspo_trace_t **trace_out)
{
    lspo_trace_t *trace = calloc(1, sizeof *trace);
    if (trace)
        trace->rows = calloc(row_capacity ? row_capacity : 1, sizeof *trace->rows);
    if (!trace || !trace->rows) {
        free(trace);
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for a trace of %" PRIu32 " rows", row_capacity);
    }
    *trace_out = trace;
    return LSPO_OK;
}

void lspo_trace_destroy(lspo_trace_t *trace)
{
    if (!trace)
        return;
    for (uint32_t i = 0; i < trace->meta_count; i++) {
        free(trace->meta[i].key);
        free(trace->meta[i].value);
    }
    free(trace->meta);
    free(trace->rows);
    free(trace);
}

/* Header entries */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* What the line format gives back unchanged as a key. */
static bool is_key(const char *text)
{
    size_t length = strlen(text);
    return length > 0 && strpbrk(text, ":\r\n") == NULL && !is_blank(text[0]) && !is_blank(text[length - 1]);
}

static lspo_trace_meta_t *find_meta(const lspo_trace_t *trace, const char *key)
{
    for (uint32_t i = 0; i < trace->meta_count; i++)
        if (strcmp(trace->meta[i].key, key) == 0)
            return &trace->meta[i];
    return NULL;
}

const char *lspo_trace_meta(const lspo_trace_t *trace, const char *key)
{
    const lspo_trace_meta_t *entry = find_meta(trace, key);
    return entry ? entry->value : NULL;
}

static lspo_status_t append_meta(lspo_trace_t *trace, const char *key, char *value)
{
    if (trace->meta_count == LSPO_TRACE_META_MAX)
        return lspo_error(LSPO_ERR_INPUT, "a trace has at most %d header entries; '%s' is one more",
                          LSPO_TRACE_META_MAX, key);
    char *key_copy = strdup(key);
    lspo_trace_meta_t *meta = realloc(trace->meta, (trace->meta_count + 1) * sizeof *meta);
    if (meta)
        trace->meta = meta;
    if (!key_copy || !meta) {
        free(key_copy);
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for trace header entry '%s'", key);
    }
    trace->meta[trace->meta_count++] = (lspo_trace_meta_t){key_copy, value};
    return LSPO_OK;
}

lspo_status_t lspo_trace_set_meta(lspo_trace_t *trace, const char *key, const char *value)
{
    if (!is_key(key))
        return lspo_error(LSPO_ERR_INPUT, "a trace header cannot have the key '%s'", key);

    char *value_copy = strdup(value);
    if (!value_copy)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for trace header entry '%s'", key);
    lspo_trace_meta_t *entry = find_meta(trace, key);
    if (entry) {
        free(entry->value);
        entry->value = value_copy;
        return LSPO_OK;
    }
    lspo_status_t status = append_meta(trace, key, value_copy);
    if (status != LSPO_OK)
        free(value_copy);
    return status;
}

double lspo_trace_core_share(const lspo_trace_t *trace)
{
    const char *share = lspo_trace_meta(trace, "gpu core share");
    return share ? strtod(share, NULL) : 1;
}

static lspo_status_t describe_workload(lspo_trace_t *trace, const lspo_workload_t *workload)
{
    for (size_t i = 0; i < lspo_workload_field_count; i++) {
        char value[LSPO_SOURCE_BYTES];
        if (lspo_workload_fields[i].hidden)
            continue;
        lspo_record_format(&lspo_workload_fields[i], workload, value, sizeof value);
        lspo_status_t status = lspo_trace_set_meta(trace, lspo_workload_fields[i].name, value);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static lspo_status_t describe_policy(lspo_trace_t *trace, const lspo_plan_t *plan)
{
    const lspo_parameters_t *own = plan->policy->parameters;
    for (size_t i = 0; own != NULL && i < own->count; i++) {
        const lspo_parameter_t *parameter = own->uses[i].parameter;
        char value[LSPO_SOURCE_BYTES];
        lspo_parameter_format(parameter, lspo_policy_value(plan->policy, &plan->workload, parameter), value,
                              sizeof value);
        lspo_status_t status = lspo_trace_set_meta(trace, parameter->key, value);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

lspo_status_t lspo_trace_describe_plan(lspo_trace_t *trace, const lspo_plan_t *plan)
{
    lspo_status_t status = lspo_trace_set_meta(trace, "version", PACKAGE_VERSION);
    if (status == LSPO_OK)
        status = lspo_trace_set_meta(trace, "model", plan->model.name);
    if (status == LSPO_OK)
        status = lspo_trace_set_meta(trace, "policy", plan->policy != NULL ? plan->policy->name : "none");
    if (status == LSPO_OK)
        status = describe_workload(trace, &plan->workload);
    return status == LSPO_OK && plan->policy != NULL ? describe_policy(trace, plan) : status;
}

/* Rows */

void lspo_trace_row_from_op(const lspo_plan_t *plan, lspo_op_id_t op, lspo_trace_row_t *row)
{
    const lspo_op_t *source = &plan->ops[op];
    bool on_link = source->lane == LSPO_LANE_D2H || source->lane == LSPO_LANE_H2D;
    row->op = op;
    row->kind = source->kind;
    row->lane = source->lane;
    row->layer = source->layer;
    row->micro = source->micro;
    row->variant = source->variant;
    row->iteration = source->iteration;
    row->bytes = on_link ? lspo_work_link_bytes(&plan->works[source->work]) : 0;
}

static int compare_by_start(const void *left, const void *right)
{
    const lspo_trace_row_t *a = left, *b = right;
    LSPO_ORDER(a->start_ns, b->start_ns)
    LSPO_ORDER(a->lane, b->lane)
    LSPO_ORDER(a->end_ns, b->end_ns)
    LSPO_ORDER(a->op, b->op)
    return 0;
}

static int compare_by_lane(const void *left, const void *right)
{
    const lspo_trace_row_t *a = *(const lspo_trace_row_t *const *)left, *b = *(const lspo_trace_row_t *const *)right;
    LSPO_ORDER(a->lane, b->lane)
    return compare_by_start(a, b);
}

void lspo_trace_sort(lspo_trace_t *trace)
{
    qsort(trace->rows, trace->row_count, sizeof *trace->rows, compare_by_start);
}

/* Writing */

enum { NS_A_SECOND = 1000000000 };

static void write_row(FILE *file, const lspo_trace_row_t *row)
{
    fprintf(file,
            "%" PRIu32 ",%s,%u,%" PRIu32 ",%u,%u,%s,%" PRIu64 ".%09" PRIu64 ",%" PRIu64 ".%09" PRIu64 ",%" PRIu64 "\n",
            row->op, lspo_op_kind_name((lspo_op_kind_t)row->kind), row->layer, row->iteration, row->micro, row->variant,
            lspo_lane_name((lspo_lane_t)row->lane), row->start_ns / NS_A_SECOND, row->start_ns % NS_A_SECOND,
            row->end_ns / NS_A_SECOND, row->end_ns % NS_A_SECOND, row->bytes);
}

/* With \\ for a backslash, and \xNN for a control character and for a blank at either end. */
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

lspo_status_t lspo_trace_write(const lspo_trace_t *trace, const char *path)
{
    lspo_output_t output;
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        return status;
    fprintf(output.file, "%s\n", magic);
    for (uint32_t i = 0; i < trace->meta_count; i++)
        write_meta(output.file, &trace->meta[i]);
    fprintf(output.file, "%s\n", columns);
    for (uint32_t i = 0; i < trace->row_count; i++)
        write_row(output.file, &trace->rows[i]);
    return lspo_output_finish(&output, LSPO_OK);
}

/* Reading */

typedef struct {
    const char *path;
    lspo_input_t *input;
    char *line; /* current line without its line end */
    uint64_t line_number;
    lspo_trace_t *trace;
    uint32_t row_capacity;
} reader_t;

/* reader->line is NULL at the end of the file. */
static lspo_status_t next_line(reader_t *reader)
{
    size_t length;
    lspo_status_t status = lspo_input_line(reader->input, &reader->line, &length);
    reader->line_number = lspo_input_line_number(reader->input);
    if (status == LSPO_OK && reader->line && memchr(reader->line, '\0', length))
        status = lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": a NUL byte", reader->path, reader->line_number);
    return status;
}

/* What write_value() wrote, in place.  Any other backslash stands for itself. */
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
    if (status == LSPO_OK)
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
    lspo_lane_t lane = lspo_lane_parse(fields[LANE]);
    if (lane == LSPO_LANE_COUNT)
        return field_error(reader, "lane", fields[LANE], "a lane (gpu, d2h, h2d, cpu)");
    if ((status = read_seconds(reader, "start_s", fields[START], &values[START])) != LSPO_OK ||
        (status = read_seconds(reader, "end_s", fields[END], &values[END])) != LSPO_OK)
        return status;
    if (values[END] < values[START])
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": op %" PRIu64 " ends before it starts", reader->path,
                          reader->line_number, values[OP]);
    *row_out = (lspo_trace_row_t){.op = (lspo_op_id_t)values[OP],
                                  .kind = (uint8_t)kind,
                                  .lane = (uint8_t)lane,
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
    if (trace->row_count == reader->row_capacity) {
        if (reader->row_capacity > UINT32_MAX / 2)
            return lspo_error(LSPO_ERR_INPUT, "%s: more than %" PRIu32 " rows", reader->path, trace->row_count);
        uint32_t capacity = reader->row_capacity * 2;
        lspo_trace_row_t *rows = realloc(trace->rows, capacity * sizeof *rows);
        if (!rows)
            return lspo_error(LSPO_ERR_MEMORY, "out of memory for the rows of %s", reader->path);
        trace->rows = rows;
        reader->row_capacity = capacity;
    }
    trace->rows[trace->row_count++] = *row;
    return LSPO_OK;
}

/* The lines up to and including the column names. */
static lspo_status_t read_header(reader_t *reader)
{
    lspo_status_t status = next_line(reader);
    if (status == LSPO_OK && (!reader->line || strcmp(reader->line, magic) != 0))
        return lspo_error(LSPO_ERR_INPUT, "%s:1: not a trace: the first line is not '%s'", reader->path, magic);
    while (status == LSPO_OK && (status = next_line(reader)) == LSPO_OK && reader->line && reader->line[0] == '#')
        status = read_meta(reader);
    if (status == LSPO_OK && (!reader->line || strcmp(reader->line, columns) != 0))
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": '%.60s' is not the column line '%s'", reader->path,
                          reader->line_number, reader->line ? reader->line : "", columns);
    return status;
}

static lspo_status_t read_rows(reader_t *reader)
{
    lspo_status_t status = LSPO_OK;
    while (status == LSPO_OK && (status = next_line(reader)) == LSPO_OK && reader->line) {
        lspo_trace_row_t row;
        status = parse_row(reader, &row);
        if (status == LSPO_OK)
            status = append_row(reader, &row);
    }
    return status;
}

lspo_status_t lspo_trace_read(const char *path, lspo_trace_t **trace_out)
{
    reader_t reader = {.path = path, .row_capacity = 1024};
    lspo_status_t status = lspo_input_open(path, LSPO_TRACE_BYTES_MAX, &reader.input);
    if (status != LSPO_OK)
        return status;
    status = lspo_trace_create(reader.row_capacity, &reader.trace);
    if (status != LSPO_OK)
        goto close_file;
    if ((status = read_header(&reader)) != LSPO_OK || (status = read_rows(&reader)) != LSPO_OK)
        goto destroy_trace;
    *trace_out = reader.trace;
    goto close_file;

destroy_trace:
    lspo_trace_destroy(reader.trace);
close_file:
    lspo_input_close(reader.input);
    return status;
}

/* Checking */

static lspo_status_t check_row(const lspo_trace_row_t *row, const lspo_plan_t *plan)
{
    if (row->op >= plan->op_count)
        return lspo_error(LSPO_ERR_CHECK, "trace: op %" PRIu32 " is not in the plan", row->op);
    const lspo_op_t *op = &plan->ops[row->op];
    if (row->kind != op->kind || row->lane != op->lane || row->layer != op->layer || row->iteration != op->iteration ||
        row->micro != op->micro || row->variant != op->variant)
        return lspo_error(LSPO_ERR_CHECK, "trace: op %" PRIu32 " (%s of layer %u) is not what the plan says", row->op,
                          lspo_op_kind_name((lspo_op_kind_t)row->kind), row->layer);
    if (row->end_ns < row->start_ns)
        return lspo_error(LSPO_ERR_CHECK, "trace: op %" PRIu32 " ends before it starts", row->op);
    return LSPO_OK;
}

/* row_of[op]: each op of the plan exactly once. */
static lspo_status_t index_rows(const lspo_trace_t *trace, const lspo_plan_t *plan, const lspo_trace_row_t **row_of)
{
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        lspo_status_t status = check_row(row, plan);
        if (status != LSPO_OK)
            return status;
        if (row_of[row->op])
            return lspo_error(LSPO_ERR_CHECK, "trace: op %" PRIu32 " is there twice", row->op);
        row_of[row->op] = row;
    }
    for (lspo_op_id_t op = 0; op < plan->op_count; op++)
        if (!row_of[op])
            return lspo_error(
                LSPO_ERR_CHECK, "trace: op %" PRIu32 " (%s of layer %u, iteration %" PRIu32 ") is missing", op,
                lspo_op_kind_name((lspo_op_kind_t)plan->ops[op].kind), plan->ops[op].layer, plan->ops[op].iteration);
    return LSPO_OK;
}

static lspo_status_t check_dependencies(const lspo_plan_t *plan, const lspo_trace_row_t *const *row_of)
{
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        for (uint32_t i = 0; i < op->dep_count; i++) {
            lspo_op_id_t dep = plan->deps[op->dep_first + i];
            if (row_of[dep]->end_ns > row_of[id]->start_ns)
                return lspo_error(LSPO_ERR_CHECK,
                                  "trace: op %" PRIu32 " starts at %" PRIu64 " ns, before op %" PRIu32
                                  " that it waits for ends at %" PRIu64 " ns",
                                  id, row_of[id]->start_ns, dep, row_of[dep]->end_ns);
        }
    }
    return LSPO_OK;
}

/* Reorders `rows` by lane. */
static lspo_status_t check_lanes(const lspo_trace_row_t **rows, uint32_t count)
{
    qsort(rows, count, sizeof *rows, compare_by_lane);
    for (uint32_t i = 1; i < count; i++) {
        const lspo_trace_row_t *before = rows[i - 1], *after = rows[i];
        if (before->lane == after->lane && after->start_ns < before->end_ns)
            return lspo_error(LSPO_ERR_CHECK,
                              "trace: lane %s has two ops at a time: op %" PRIu32 " until %" PRIu64 " ns, op %" PRIu32
                              " from %" PRIu64 " ns",
                              lspo_lane_name((lspo_lane_t)before->lane), before->op, before->end_ns, after->op,
                              after->start_ns);
    }
    return LSPO_OK;
}

lspo_status_t lspo_trace_check(const lspo_trace_t *trace, const lspo_plan_t *plan)
{
    const lspo_trace_row_t **row_of = calloc(plan->op_count ? plan->op_count : 1, sizeof *row_of);
    if (!row_of)
        return lspo_error(LSPO_ERR_MEMORY, "out of memory to check a trace of %" PRIu32 " ops", plan->op_count);
    lspo_status_t status = index_rows(trace, plan, row_of);
    if (status == LSPO_OK)
        status = check_dependencies(plan, row_of);
    if (status == LSPO_OK)
        status = check_lanes(row_of, plan->op_count);
    free(row_of);
    return status;
}
