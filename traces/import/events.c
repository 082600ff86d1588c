/* events.c - the events of a Chrome trace (PyTorch profiler, Kineto) that an import needs, as plain records; see
 * events.h. */
#include "traces/import/events.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "traces/import/fields.h"
#include "traces/import/scan.h"

/* A warning that is given once, with the place of its first occurrence. */
typedef struct {
    uint64_t count, line;
} tally_t;

typedef struct {
    const char *path;
    lspo_import_text_t text;
    lspo_scan_t scan;
    lspo_import_fields_t fields;
    const lspo_import_rules_t *rules;
    lspo_import_events_t *events;
    uint32_t last_process;
    tally_t senseless, untimed_work, untimed_ranges;
    bool unclosed;
} reader_t;

static void note(tally_t *tally, uint64_t line)
{
    if (tally->count++ == 0)
        tally->line = line;
}

/* Records */

static lspo_status_t append_event(reader_t *reader, const lspo_import_event_t *event)
{
    lspo_import_events_t *events = reader->events;
    if (events->count == UINT32_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: more than %" PRIu32 " events", reader->path, events->count);
    lspo_status_t status = lspo_array_grow(&events->events, &events->capacity, (size_t)events->count + 1,
                                           sizeof *events->events, "events");
    if (status != LSPO_OK)
        return status;
    events->events[events->count++] = *event;
    return LSPO_OK;
}

static lspo_status_t find_process(reader_t *reader, const char *name, uint32_t *process_out)
{
    lspo_import_events_t *events = reader->events;
    uint32_t at = reader->last_process;
    if (at >= events->process_count || strcmp(events->process_names[at], name) != 0)
        for (at = 0; at < events->process_count && strcmp(events->process_names[at], name) != 0; at++)
            ;
    if (at == LSPO_IMPORT_PROCESSES_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: events of more than %d processes (\"pid\")", reader->path,
                          LSPO_IMPORT_PROCESSES_MAX);
    if (at == events->process_count) {
        events->process_names[at] = strdup(name);
        if (!events->process_names[at])
            return lspo_no_memory("the events of %s", reader->path);
        events->process_count++;
    }
    reader->last_process = *process_out = at;
    return LSPO_OK;
}

/* N of "ProfilerStep#N", else -1. */
static int64_t step_number(const char *name)
{
    const char *digits = strrchr(name, '#');
    return digits && digits[1] >= '0' && digits[1] <= '9' ? (int64_t)strtoll(digits + 1, NULL, 10) : -1;
}

static const double start_us_max = 9e15, duration_us_max = 1e12;

/* Launches need only their start, and a step ends where the next one begins. */
static void fill_times(reader_t *reader, lspo_import_event_t *event)
{
    double start_us = -1, duration_us = -1;
    bool started =
        lspo_import_value_number(&reader->fields.start, &start_us) && start_us >= 0 && start_us <= start_us_max;
    bool lasted = lspo_import_value_number(&reader->fields.duration, &duration_us) && duration_us >= 0 &&
                  duration_us <= duration_us_max;
    event->start_us = started ? start_us : 0;
    event->duration_us = lasted ? duration_us : 0;
    bool is_launch = event->event_class == LSPO_EVENT_LAUNCH;
    bool is_step = event->rule && event->rule->kind == LSPO_RULE_STEP;
    event->skipped = !started || (!lasted && !is_launch && !is_step);
    if (!started || (!lasted && !is_launch))
        note(event->event_class & (LSPO_EVENT_KERNEL | LSPO_EVENT_COPY) ? &reader->untimed_work
                                                                        : &reader->untimed_ranges,
             event->line);
}

static void fill_args(const lspo_import_fields_t *fields, lspo_import_event_t *event)
{
    int64_t bytes = lspo_import_value_whole(&fields->bytes, -1);
    int64_t size = lspo_import_value_whole(&fields->size, -1);
    int64_t device = lspo_import_value_whole(&fields->device, 0);
    int64_t stream = lspo_import_value_whole(&fields->stream, -1);
    event->bytes = bytes >= 0 ? (uint64_t)bytes : size >= 0 ? (uint64_t)size : LSPO_IMPORT_NO_BYTES;
    event->device = device >= 0 && device <= INT32_MAX ? (int32_t)device : 0;
    event->stream = stream >= 0 ? (uint64_t)stream : LSPO_IMPORT_NO_STREAM;
}

/* Store the event in reader->fields. */
static lspo_status_t take_event(reader_t *reader, uint64_t line)
{
    const lspo_import_fields_t *fields = &reader->fields;
    if (!fields->category.present && strcmp(fields->phase.text, "X") == 0)
        reader->events->uncategorized_count++;
    if (fields->event_class == 0 || !fields->phase.present)
        return LSPO_OK;
    const char *name = fields->has_name ? fields->name.text : "";
    lspo_import_event_t event = {.line = line, .event_class = fields->event_class};
    event.correlation = lspo_import_value_whole(&fields->correlation, LSPO_NO_CORRELATION);
    bool is_launch = event.event_class == LSPO_EVENT_LAUNCH;
    if (!is_launch)
        event.rule = lspo_import_rules_find(reader->rules, (lspo_event_class_t)event.event_class, name);
    bool is_range = event.event_class == LSPO_EVENT_ANNOTATION || event.event_class == LSPO_EVENT_CPU_OP;
    if ((is_range && !event.rule) || (is_launch && event.correlation == LSPO_NO_CORRELATION))
        return LSPO_OK;
    if (fields->phase.text[0] == 'B') {
        reader->events->begin_count++;
        return LSPO_OK;
    }
    fill_times(reader, &event);
    fill_args(fields, &event);
    event.thread = lspo_import_value_identity(&fields->thread);
    event.number = is_range ? step_number(name) : -1;
    lspo_status_t status = find_process(reader, fields->process.text, &event.process);
    if (status != LSPO_OK)
        return status;
    return append_event(reader, &event);
}

/* Recovery from errors */

static lspo_status_t early_end(reader_t *reader)
{
    if (reader->text.status != LSPO_OK)
        return reader->text.status;
    return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": the trace ends too early: the file is truncated", reader->path,
                      lspo_import_text_line(&reader->text));
}

/* Skip to what looks like the end of an event before another element: "}," not followed by a key. */
static void seek_element(reader_t *reader)
{
    bool closed = false;
    int c;
    while ((c = lspo_import_text_take(&reader->text)) != LSPO_IMPORT_END) {
        if (c == ',' && closed && lspo_scan_peek(&reader->scan, true) != '"')
            return;
        if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
            closed = c == '}';
    }
}

/* Skip to the text after "traceEvents" and its colon. */
static bool seek_events(reader_t *reader)
{
    static const char mark[] = "\"traceEvents\"";
    size_t found = 0;
    int c;
    while ((c = lspo_import_text_take(&reader->text)) != LSPO_IMPORT_END) {
        found = c == mark[found] ? found + 1 : c == mark[0];
        if (found < sizeof mark - 1)
            continue;
        found = 0;
        if (lspo_scan_peek(&reader->scan, false) != ':')
            continue;
        reader->text.at++;
        if (lspo_scan_peek(&reader->scan, false) == '[')
            return true;
    }
    return false;
}

/* The trace */

/* Read one element of the array, from its first byte on. */
static lspo_status_t read_element(reader_t *reader, int first)
{
    uint64_t line = lspo_import_text_line(&reader->text);
    lspo_scan_status_t scanned = LSPO_SCAN_OK;
    if (first == '{') {
        reader->text.at++;
        scanned = lspo_import_fields_read(&reader->scan, &reader->fields);
    } else {
        scanned = lspo_scan_skip(&reader->scan);
    }
    if (scanned == LSPO_SCAN_END)
        return early_end(reader);
    if (scanned == LSPO_SCAN_OK && first == '{')
        return take_event(reader, line);
    note(&reader->senseless, line);
    if (scanned == LSPO_SCAN_BAD)
        seek_element(reader);
    return reader->text.status;
}

/* Read from after '[' to after its ']'; if that is missing but the last event is complete, to the end of the text. */
static lspo_status_t read_array(reader_t *reader)
{
    while (true) {
        int first = lspo_scan_peek(&reader->scan, true);
        if (first == LSPO_IMPORT_END) {
            reader->unclosed = true;
            return reader->text.status;
        }
        if (first == ']') {
            reader->text.at++;
            return LSPO_OK;
        }
        lspo_status_t status = read_element(reader, first);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* Read one "key": value of the outer object. */
static lspo_scan_status_t read_member(reader_t *reader, bool *is_events_out)
{
    lspo_scan_status_t scanned = lspo_scan_key(&reader->scan, &reader->fields.key);
    if (scanned != LSPO_SCAN_OK)
        return scanned;
    *is_events_out = strcmp(reader->fields.key.text, "traceEvents") == 0 && lspo_scan_peek(&reader->scan, false) == '[';
    return *is_events_out ? LSPO_SCAN_OK : lspo_scan_skip(&reader->scan);
}

/* Read from after '{' to after its '}'.  Errors before the events are skipped up to them; errors after them do not
 * matter. */
static lspo_status_t read_object(reader_t *reader, bool *found_out)
{
    while (lspo_scan_peek(&reader->scan, true) != '}') {
        bool is_events = false;
        uint64_t line = lspo_import_text_line(&reader->text);
        lspo_scan_status_t scanned = read_member(reader, &is_events);
        if (scanned == LSPO_SCAN_BAD && !*found_out) {
            note(&reader->senseless, line);
            is_events = seek_events(reader);
            scanned = is_events ? LSPO_SCAN_OK : LSPO_SCAN_END;
        }
        if (scanned != LSPO_SCAN_OK && *found_out && reader->text.status == LSPO_OK) {
            reader->unclosed = true;
            return LSPO_OK;
        }
        if (scanned != LSPO_SCAN_OK)
            return early_end(reader);
        if (!is_events)
            continue;
        reader->text.at++;
        *found_out = true;
        lspo_status_t status = read_array(reader);
        if (status != LSPO_OK || reader->unclosed)
            return status;
    }
    reader->text.at++;
    return LSPO_OK;
}

/* Recognise other files that a user may give by mistake. */
static lspo_status_t not_a_trace(reader_t *reader)
{
    static const struct {
        const char *begins, *meaning;
    } kinds[] = {
        {"PK\003\004", "a zip archive: unpack it first"},
        {"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it first"},
        {"\xfd"
         "7zXZ",
         "compressed by xz: unpack it first"},
        {"BZh", "compressed by bzip2: unpack it first"},
        {"\xff\xfe", "text in UTF-16: save it as UTF-8"},
        {"\xfe\xff", "text in UTF-16: save it as UTF-8"},
    };
    const lspo_import_text_t *text = &reader->text;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t length = strlen(kinds[i].begins);
        if (text->end - text->at >= length && memcmp(text->window + text->at, kinds[i].begins, length) == 0)
            return lspo_error(LSPO_ERR_INPUT, "%s: it is %s", reader->path, kinds[i].meaning);
    }
    int c = text->window[text->at];
    return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": '%c' does not begin a JSON trace; expected { or [", reader->path,
                      lspo_import_text_line(&reader->text), c >= ' ' && c <= '~' ? c : '?');
}

static lspo_status_t check_end(reader_t *reader)
{
    int c = lspo_scan_peek(&reader->scan, true);
    if (c == '{' || c == '[')
        return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": text after the end of the trace: two profiles in one file?",
                          reader->path, lspo_import_text_line(&reader->text));
    if (c != LSPO_IMPORT_END)
        note(&reader->senseless, lspo_import_text_line(&reader->text));
    return reader->text.status;
}

static lspo_status_t read_trace(reader_t *reader)
{
    bool found = false;
    int c = lspo_scan_peek(&reader->scan, false);
    if (c == LSPO_IMPORT_END)
        return early_end(reader);
    if (c != '{' && c != '[')
        return not_a_trace(reader);
    reader->text.at++;
    lspo_status_t status = c == '[' ? read_array(reader) : read_object(reader, &found);
    if (status != LSPO_OK)
        return status;
    if (c == '{' && !found)
        return lspo_error(LSPO_ERR_INPUT, "%s: not a profiler trace: it has no \"traceEvents\"", reader->path);
    return reader->unclosed ? reader->text.status : check_end(reader);
}

static void warn_once(const reader_t *reader)
{
    const struct {
        const tally_t tally;
        const char *meaning;
    } warnings[] = {
        {reader->senseless, "skipped places that are not JSON, up to the next event; their contents are missing"},
        {{reader->scan.odd_count, reader->scan.odd_line}, "ignored values and characters that JSON does not allow"},
        {reader->untimed_work, "left out GPU events whose \"ts\" or \"dur\" is missing, negative, too large or not a "
                               "number, so busy times are too short"},
        {reader->untimed_ranges, "left out steps, ranges and launches of the CPU whose \"ts\" or \"dur\" is missing, "
                                 "negative, too large or not a number"},
    };
    for (size_t i = 0; i < sizeof warnings / sizeof warnings[0]; i++)
        if (warnings[i].tally.count > 0)
            lspo_warn("%s: %s: %" PRIu64 " (the first in line %" PRIu64 ")", reader->path, warnings[i].meaning,
                      warnings[i].tally.count, warnings[i].tally.line);
    if (reader->unclosed)
        lspo_warn("%s: the file has no proper end; if it was cut off, events are missing", reader->path);
    if (reader->events->begin_count > 0)
        lspo_warn("%s: left out ranges written as begin and end (\"ph\": \"B\", \"E\"): %" PRIu64, reader->path,
                  reader->events->begin_count);
}

lspo_status_t lspo_import_events_read(const char *path, const lspo_import_rules_t *rules,
                                      const lspo_import_progress_t *progress, lspo_import_events_t *events_out)
{
    lspo_import_events_t events = {0};
    reader_t reader = {.path = path, .rules = rules, .events = &events};
    lspo_status_t status = lspo_import_text_open(path, progress, &reader.text);
    if (status != LSPO_OK)
        return status;
    reader.scan.text = &reader.text;
    status = read_trace(&reader);
    lspo_import_fields_release(&reader.fields);
    lspo_import_text_close(&reader.text);
    if (status != LSPO_OK) {
        lspo_import_events_release(&events);
        return status;
    }
    warn_once(&reader);
    *events_out = events;
    return LSPO_OK;
}

void lspo_import_events_release(lspo_import_events_t *events)
{
    for (uint32_t i = 0; i < events->process_count; i++)
        free(events->process_names[i]);
    free(events->events);
    *events = (lspo_import_events_t){0};
}
