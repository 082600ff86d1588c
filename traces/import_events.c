#include "traces/import_events.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

typedef struct {
    const char *path;
    char *text; /* owned */
    size_t bytes;
    size_t at;      /* next byte to read                         */
    size_t counted; /* bytes whose newlines `line` has counted   */
    uint64_t line;
    const lspo_import_rules_t *rules;
    lspo_import_events_t *events;
} reader_t;

/* The file as text */

/* A profile of a few steps has some hundred megabytes; a gzip bomb has more. */
static const size_t text_bytes_max = (size_t)8 << 30;

static lspo_status_t read_chunks(gzFile file, reader_t *reader)
{
    size_t capacity = 0;
    for (;;) {
        if (reader->bytes == capacity) {
            capacity = capacity ? capacity * 2 : (size_t)1 << 20;
            char *grown = capacity <= text_bytes_max ? realloc(reader->text, capacity) : NULL;
            if (!grown && capacity > text_bytes_max)
                return lspo_error(LSPO_ERR_INPUT, "%s: more than %zu GiB of text: profile fewer steps", reader->path,
                                  text_bytes_max >> 30);
            if (!grown)
                return lspo_error(LSPO_ERR_MEMORY, "out of memory to read %s", reader->path);
            reader->text = grown;
        }
        size_t room = capacity - reader->bytes;
        int taken = gzread(file, reader->text + reader->bytes, room > INT32_MAX ? INT32_MAX : (unsigned)room);
        int code = Z_OK;
        const char *message = gzerror(file, &code);
        if (taken < 0 || (code != Z_OK && code != Z_STREAM_END))
            return lspo_error(LSPO_ERR_INPUT, "cannot read %s: %s", reader->path,
                              code == Z_ERRNO ? strerror(errno) : message);
        if (taken == 0)
            return LSPO_OK;
        reader->bytes += (size_t)taken;
    }
}

/* gzread() passes text that is not compressed through. */
static lspo_status_t read_text(reader_t *reader)
{
    gzFile file = gzopen(reader->path, "rbe");
    if (!file)
        return lspo_error(LSPO_ERR_INPUT, "cannot open trace %s: %s", reader->path, strerror(errno));
    lspo_status_t status = read_chunks(file, reader);
    gzclose(file);
    return status;
}

/* JSON, one value at a time */

static uint64_t line_at(reader_t *reader, size_t at)
{
    while (reader->counted < at)
        reader->line += reader->text[reader->counted++] == '\n';
    return reader->line;
}

static lspo_status_t early_end(reader_t *reader)
{
    return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": the trace ends too early: the file is truncated", reader->path,
                      line_at(reader, reader->bytes));
}

/* The next byte that is not blank, without taking it; '\0' at the end of the text. */
static char peek(reader_t *reader)
{
    while (reader->at < reader->bytes && strchr(" \t\r\n", reader->text[reader->at]) && reader->text[reader->at])
        reader->at++;
    return reader->at < reader->bytes ? reader->text[reader->at] : '\0';
}

static lspo_status_t expect(reader_t *reader, const char *wanted, char *found_out)
{
    char found = peek(reader);
    if (reader->at == reader->bytes)
        return early_end(reader);
    if (found == '\0' || !strchr(wanted, found))
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": '%c' is not JSON of a trace: one of %s is wanted",
                          reader->path, line_at(reader, reader->at), found >= ' ' && found <= '~' ? found : '?',
                          wanted);
    reader->at++;
    *found_out = found;
    return LSPO_OK;
}

static lspo_status_t take_value(reader_t *reader, json_t **value_out)
{
    json_error_t error;
    if (peek(reader) == '\0' && reader->at == reader->bytes)
        return early_end(reader);
    /* Integers as reals: identifiers of 64 bits would not fit jansson's, and none is needed exactly above 2^53. */
    json_t *value = json_loadb(reader->text + reader->at, reader->bytes - reader->at,
                               JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK | JSON_DECODE_INT_AS_REAL, &error);
    if (!value && json_error_code(&error) == json_error_premature_end_of_input)
        return early_end(reader);
    if (!value)
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": %s", reader->path,
                          line_at(reader, reader->at) + (uint64_t)(error.line > 0 ? error.line - 1 : 0), error.text);
    reader->at += (size_t)error.position;
    *value_out = value;
    return LSPO_OK;
}

/* Events */

static const struct {
    const char *category;
    lspo_event_class_t event_class;
} categories[] = {
    {"cpu_op", LSPO_EVENT_CPU_OP},       {"kernel", LSPO_EVENT_KERNEL},
    {"cuda_runtime", LSPO_EVENT_LAUNCH}, {"cuda_driver", LSPO_EVENT_LAUNCH},
    {"gpu_memcpy", LSPO_EVENT_COPY},     {"gpu_memset", LSPO_EVENT_KERNEL},
    {"hip_runtime", LSPO_EVENT_LAUNCH},  {"user_annotation", LSPO_EVENT_ANNOTATION},
    {"Operator", LSPO_EVENT_CPU_OP}, /* PyTorch 1.8 */
    {"Runtime", LSPO_EVENT_LAUNCH},      {"Memcpy", LSPO_EVENT_COPY},
    {"Memset", LSPO_EVENT_KERNEL},
};

/* 0: an event that an import does not need. */
static int event_class(const json_t *event)
{
    const char *phase = json_string_value(json_object_get(event, "ph"));
    const char *category = json_string_value(json_object_get(event, "cat"));
    if (!phase || !category || strcmp(phase, "X") != 0)
        return 0;
    for (size_t i = 0; i < sizeof categories / sizeof categories[0]; i++)
        if (strcasecmp(categories[i].category, category) == 0)
            return (int)categories[i].event_class;
    return 0;
}

/* A whole number, or `missing` where there is none or it is out of range. */
static int64_t whole_number(const json_t *value, int64_t missing)
{
    double number = json_is_number(value) ? json_number_value(value) : (double)NAN;
    if (json_is_string(value))
        number = strtod(json_string_value(value), NULL);
    return fabs(number) <= 9e15 ? (int64_t)number : missing;
}

static lspo_status_t read_time(const reader_t *reader, uint64_t line, const json_t *event, const char *key,
                               double high_us, double *us_out)
{
    const json_t *value = json_object_get(event, key);
    const char *name = json_string_value(json_object_get(event, "name"));
    if (!json_is_number(value))
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": event '%.60s' has no number \"%s\"", reader->path, line,
                          name, key);
    double us = json_number_value(value);
    if (!(us >= 0 && us <= high_us))
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": event '%.60s': \"%s\" is %.9g us; it must be from 0 to %.9g",
                          reader->path, line, name, key, us, high_us);
    *us_out = us;
    return LSPO_OK;
}

static lspo_status_t append_event(reader_t *reader, const lspo_import_event_t *event)
{
    lspo_import_events_t *events = reader->events;
    if (events->count == events->capacity) {
        if (events->capacity > UINT32_MAX / 2)
            return lspo_error(LSPO_ERR_INPUT, "%s: more than %" PRIu32 " events", reader->path, events->count);
        uint32_t capacity = events->capacity ? events->capacity * 2 : 1024;
        lspo_import_event_t *grown = realloc(events->events, capacity * sizeof *grown);
        if (!grown)
            return lspo_error(LSPO_ERR_MEMORY, "out of memory for the events of %s", reader->path);
        events->events = grown;
        events->capacity = capacity;
    }
    events->events[events->count++] = *event;
    return LSPO_OK;
}

/* N of "ProfilerStep#N", else -1. */
static int64_t step_number(const char *name)
{
    const char *digits = strrchr(name, '#');
    return digits && digits[1] >= '0' && digits[1] <= '9' ? (int64_t)strtoll(digits + 1, NULL, 10) : -1;
}

static lspo_status_t read_event(reader_t *reader, uint64_t line, const json_t *object)
{
    if (!json_is_object(object))
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": an event of the trace is no object", reader->path, line);
    lspo_import_event_t event = {.line = line, .event_class = (uint8_t)event_class(object)};
    if (event.event_class == 0)
        return LSPO_OK;
    const char *name = json_string_value(json_object_get(object, "name"));
    if (!name)
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": an event has no name", reader->path, line);
    const json_t *args = json_object_get(object, "args");
    event.correlation = whole_number(json_object_get(args, "correlation"), LSPO_NO_CORRELATION);
    bool is_launch = event.event_class == LSPO_EVENT_LAUNCH;
    if (!is_launch)
        event.rule = lspo_import_rules_find(reader->rules, (lspo_event_class_t)event.event_class, name);
    bool is_range = event.event_class == LSPO_EVENT_ANNOTATION || event.event_class == LSPO_EVENT_CPU_OP;
    if ((is_range && !event.rule) || (is_launch && event.correlation == LSPO_NO_CORRELATION))
        return LSPO_OK;

    lspo_status_t status = read_time(reader, line, object, "ts", 9e15, &event.start_us);
    if (status == LSPO_OK)
        status = read_time(reader, line, object, "dur", 1e12, &event.duration_us);
    if (status != LSPO_OK)
        return status;
    int64_t bytes = whole_number(json_object_get(args, "bytes"), 0);
    int64_t device = whole_number(json_object_get(args, "device"), 0);
    event.bytes = bytes > 0 ? (uint64_t)bytes : 0;
    event.device = device >= 0 && device <= INT32_MAX ? (int32_t)device : 0;
    event.thread = (uint64_t)whole_number(json_object_get(object, "tid"), 0);
    event.number = step_number(name);
    return append_event(reader, &event);
}

/* From after '[' to after its ']'. */
static lspo_status_t read_array(reader_t *reader)
{
    char separator = ',';
    lspo_status_t status = LSPO_OK;
    if (peek(reader) == ']')
        return expect(reader, "]", &separator);
    while (status == LSPO_OK && separator == ',') {
        json_t *value = NULL;
        (void)peek(reader);
        uint64_t line = line_at(reader, reader->at);
        status = take_value(reader, &value);
        if (status == LSPO_OK)
            status = read_event(reader, line, value);
        json_decref(value);
        if (status == LSPO_OK)
            status = expect(reader, ",]", &separator);
    }
    return status;
}

/* One "key": value of the outer object; *found_out when it was the events. */
static lspo_status_t read_member(reader_t *reader, bool *found_out)
{
    json_t *key = NULL, *value = NULL;
    char mark;
    lspo_status_t status = take_value(reader, &key);
    if (status == LSPO_OK && !json_is_string(key))
        status = lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": a key of the trace is no text", reader->path,
                            line_at(reader, reader->at));
    if (status == LSPO_OK)
        status = expect(reader, ":", &mark);
    if (status == LSPO_OK && strcmp(json_string_value(key), "traceEvents") == 0) {
        status = expect(reader, "[", &mark);
        if (status == LSPO_OK)
            status = read_array(reader);
        *found_out = true;
    } else if (status == LSPO_OK) {
        status = take_value(reader, &value);
    }
    json_decref(value);
    json_decref(key);
    return status;
}

static lspo_status_t read_trace(reader_t *reader)
{
    char mark;
    bool found = false;
    lspo_status_t status = expect(reader, "{[", &mark);
    if (status == LSPO_OK && mark == '[') {
        found = true;
        status = read_array(reader);
    } else if (status == LSPO_OK && peek(reader) == '}') {
        status = expect(reader, "}", &mark);
    } else {
        while (status == LSPO_OK && mark != '}') {
            status = read_member(reader, &found);
            if (status == LSPO_OK)
                status = expect(reader, ",}", &mark);
        }
    }
    if (status != LSPO_OK)
        return status;
    if (!found)
        return lspo_error(LSPO_ERR_INPUT, "%s: not a profiler trace: it has no \"traceEvents\"", reader->path);
    (void)peek(reader);
    if (reader->at != reader->bytes)
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": text after the end of the trace", reader->path,
                          line_at(reader, reader->at));
    return LSPO_OK;
}

lspo_status_t lspo_import_events_read(const char *path, const lspo_import_rules_t *rules,
                                      lspo_import_events_t *events_out)
{
    lspo_import_events_t events = {0};
    reader_t reader = {.path = path, .line = 1, .rules = rules, .events = &events};
    lspo_status_t status = read_text(&reader);
    if (status == LSPO_OK)
        status = read_trace(&reader);
    free(reader.text);
    if (status != LSPO_OK) {
        lspo_import_events_release(&events);
        return status;
    }
    *events_out = events;
    return LSPO_OK;
}

void lspo_import_events_release(lspo_import_events_t *events)
{
    free(events->events);
    *events = (lspo_import_events_t){0};
}
