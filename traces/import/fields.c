/* fields.c - the fields of an event of a profile that an import needs, as they are in the file; see fields.h. */
#include "traces/import/fields.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *category;
    lspo_event_class_t event_class;
} categories[] = {
    {"cpu_op", LSPO_EVENT_CPU_OP},
    {"kernel", LSPO_EVENT_KERNEL},
    {"gpu_memcpy", LSPO_EVENT_COPY},
    {"gpu_memset", LSPO_EVENT_KERNEL},
    {"user_annotation", LSPO_EVENT_ANNOTATION},
    {"mtia_ccp_events", LSPO_EVENT_KERNEL},
    {"Operator", LSPO_EVENT_CPU_OP}, /* PyTorch 1.8 */
    {"Runtime", LSPO_EVENT_LAUNCH},
    {"Memcpy", LSPO_EVENT_COPY},
    {"Memset", LSPO_EVENT_KERNEL},
};

/* Calls that launch are cuda_runtime, cuda_driver, hip_runtime, xpu_runtime, mtia_runtime, privateuse1_runtime, ... */
static const char *const launch_endings[] = {"_runtime", "_driver"};

uint8_t lspo_import_event_class(const char *category)
{
    size_t length = strlen(category);
    for (size_t i = 0; i < sizeof categories / sizeof categories[0]; i++)
        if (strcasecmp(categories[i].category, category) == 0)
            return (uint8_t)categories[i].event_class;
    for (size_t i = 0; i < sizeof launch_endings / sizeof launch_endings[0]; i++) {
        size_t ending = strlen(launch_endings[i]);
        if (length > ending && strcasecmp(category + length - ending, launch_endings[i]) == 0)
            return LSPO_EVENT_LAUNCH;
    }
    return 0;
}

bool lspo_import_value_number(const lspo_import_value_t *value, double *number_out)
{
    char *end;
    double number = strtod(value->text, &end);
    if (!value->present || value->is_string || end == value->text || *end != '\0' || !isfinite(number))
        return false;
    *number_out = number;
    return true;
}

int64_t lspo_import_value_whole(const lspo_import_value_t *value, int64_t missing)
{
    const char *text = value->text;
    char *end;
    if (!value->present || text[0] == '\0')
        return missing;
    errno = 0;
    bool hexadecimal = strncasecmp(text, "0x", 2) == 0;
    int64_t whole = text[0] == '-' ? strtoll(text, &end, 10) : (int64_t)strtoull(text, &end, hexadecimal ? 16 : 10);
    if (*end == '\0' && errno == 0)
        return whole;
    double number = strtod(text, &end);
    return *end == '\0' && fabs(number) <= 9e15 ? (int64_t)number : missing;
}

uint64_t lspo_import_value_identity(const lspo_import_value_t *value)
{
    int64_t whole = lspo_import_value_whole(value, INT64_MIN);
    if (whole != INT64_MIN)
        return (uint64_t)whole;
    uint64_t hash = 0; /* FNV-1a */
    for (const char *p = value->text; *p != '\0'; p++)
        hash = ((hash ? hash : 0xcbf29ce484222325u) ^ (unsigned char)*p) * 0x100000001b3u;
    return hash;
}

/* The destination of each key's value. */
typedef struct {
    const char *key;
    size_t offset_bytes;
} place_t;

static const place_t event_places[] = {
    {"ph", offsetof(lspo_import_fields_t, phase)},    {"cat", offsetof(lspo_import_fields_t, category)},
    {"pid", offsetof(lspo_import_fields_t, process)}, {"tid", offsetof(lspo_import_fields_t, thread)},
    {"ts", offsetof(lspo_import_fields_t, start)},    {"dur", offsetof(lspo_import_fields_t, duration)},
};
enum { EVENT_PLACES = sizeof event_places / sizeof event_places[0] };

static const place_t args_places[] = {
    {"correlation", offsetof(lspo_import_fields_t, correlation)},
    {"bytes", offsetof(lspo_import_fields_t, bytes)},
    {"size", offsetof(lspo_import_fields_t, size)},
    {"device", offsetof(lspo_import_fields_t, device)},
    {"stream", offsetof(lspo_import_fields_t, stream)},
};
enum { ARGS_PLACES = sizeof args_places / sizeof args_places[0] };

static lspo_import_value_t *find_place(lspo_import_fields_t *fields, const place_t *places, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(places[i].key, fields->key.text) == 0)
            return (lspo_import_value_t *)(void *)((char *)fields + places[i].offset_bytes);
    return NULL;
}

/* Read the next value; an object, an array, or a text that is too long to be useful counts as missing. */
static lspo_scan_status_t read_value(lspo_scan_t *scan, lspo_import_fields_t *fields, lspo_import_value_t *value)
{
    int c = lspo_scan_peek(scan, false);
    if (c == '{' || c == '[')
        return lspo_scan_skip(scan);
    lspo_scan_status_t status = lspo_scan_word(scan, &fields->word);
    if (status != LSPO_SCAN_OK)
        return status;
    size_t length = fields->word.length < sizeof value->text ? fields->word.length : sizeof value->text - 1;
    memcpy(value->text, fields->word.text, length);
    value->text[length] = '\0';
    value->is_string = fields->word.is_string;
    value->present = value->is_string || strcmp(value->text, "null") != 0;
    return LSPO_SCAN_OK;
}

static lspo_scan_status_t read_args(lspo_scan_t *scan, lspo_import_fields_t *fields)
{
    lspo_scan_status_t status = LSPO_SCAN_OK;
    if (lspo_scan_peek(scan, false) != '{')
        return lspo_scan_skip(scan);
    scan->text->at++;
    while (status == LSPO_SCAN_OK && lspo_scan_peek(scan, true) != '}') {
        status = lspo_scan_key(scan, &fields->key);
        if (status != LSPO_SCAN_OK)
            break;
        lspo_import_value_t *value = find_place(fields, args_places, ARGS_PLACES);
        status = value ? read_value(scan, fields, value) : lspo_scan_skip(scan);
    }
    scan->text->at += status == LSPO_SCAN_OK;
    return status;
}

static lspo_scan_status_t read_name(lspo_scan_t *scan, lspo_import_fields_t *fields)
{
    int c = lspo_scan_peek(scan, false);
    if (c != '"')
        return lspo_scan_skip(scan);
    fields->has_name = true;
    return lspo_scan_word(scan, &fields->name);
}

/* Phase and category usually come first, and decide whether the rest matters. */
static void judge(lspo_import_fields_t *fields, const lspo_import_value_t *value)
{
    if (value == &fields->category) {
        fields->event_class = lspo_import_event_class(value->text);
        fields->needless |= fields->event_class == 0;
    } else if (value == &fields->phase) {
        fields->needless |= strcmp(value->text, "X") != 0 && strcmp(value->text, "B") != 0;
    }
}

static lspo_scan_status_t read_member(lspo_scan_t *scan, lspo_import_fields_t *fields)
{
    lspo_scan_status_t status = lspo_scan_key(scan, &fields->key);
    if (status != LSPO_SCAN_OK)
        return status;
    if (strcmp(fields->key.text, "name") == 0)
        return read_name(scan, fields);
    if (strcmp(fields->key.text, "args") == 0)
        return read_args(scan, fields);
    lspo_import_value_t *value = find_place(fields, event_places, EVENT_PLACES);
    status = value ? read_value(scan, fields, value) : lspo_scan_skip(scan);
    if (status == LSPO_SCAN_OK && value)
        judge(fields, value);
    return status;
}

static void clear(lspo_import_fields_t *fields)
{
    fields->has_name = fields->needless = false;
    fields->event_class = 0;
    for (size_t i = 0; i < EVENT_PLACES + ARGS_PLACES; i++) {
        const place_t *place = i < EVENT_PLACES ? &event_places[i] : &args_places[i - EVENT_PLACES];
        lspo_import_value_t *value = (lspo_import_value_t *)(void *)((char *)fields + place->offset_bytes);
        value->present = false;
        value->text[0] = '\0';
    }
}

lspo_scan_status_t lspo_import_fields_read(lspo_scan_t *scan, lspo_import_fields_t *fields)
{
    lspo_scan_status_t status = LSPO_SCAN_OK;
    clear(fields);
    while (status == LSPO_SCAN_OK && lspo_scan_peek(scan, true) != '}') {
        status = read_member(scan, fields);
        if (status == LSPO_SCAN_OK && fields->needless)
            return lspo_scan_skip_rest(scan, '{');
    }
    scan->text->at += status == LSPO_SCAN_OK;
    return status;
}

void lspo_import_fields_release(lspo_import_fields_t *fields)
{
    lspo_scan_word_release(&fields->name);
    lspo_scan_word_release(&fields->key);
    lspo_scan_word_release(&fields->word);
}
