/* pace.c - see pace.h. */
#include "traces/import/pace.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "base/input_file.h"

static const uint64_t file_bytes_max = (uint64_t)1 << 30;
static const double step_s_max = 1e6;

/* A line's step and its time. */
typedef struct {
    uint64_t step, total; /* total: of a bar; 0 for nanoGPT */
    double elapsed_s, step_s;
    uint64_t line;
} record_t;

typedef struct {
    record_t *steps, *bars; /* owned */
    size_t step_count, bar_count, step_capacity, bar_capacity;
    uint64_t line, bad_line;
    uint32_t bad_count, repeated_count;
} reader_t;

/* Texts */

/* Digits at *at, which moves behind them; false if there are none, or too many. */
static bool take_integer(const char **at, uint64_t *value_out)
{
    enum { DIGITS_MAX = 18 };
    size_t digits = strspn(*at, "0123456789");
    if (digits == 0 || digits > DIGITS_MAX)
        return false;
    *value_out = strtoull(*at, NULL, 10);
    *at += digits;
    return true;
}

/* A decimal number at *at, also "nan" and "inf", which the caller refuses. */
static bool take_number(const char **at, double *value_out)
{
    char *end;
    *value_out = strtod(*at, &end);
    bool taken = end != *at;
    *at = end;
    return taken;
}

static bool take_text(const char **at, const char *text)
{
    size_t length = strlen(text);
    if (strncmp(*at, text, length) != 0)
        return false;
    *at += length;
    return true;
}

static void skip_blanks(const char **at)
{
    while (**at == ' ' || **at == '\t')
        (*at)++;
}

/* "52", "00:52", "1:00:52", in seconds. */
static bool take_clock(const char **at, double *seconds_out)
{
    double seconds = 0;
    uint64_t part;
    do {
        if (!take_integer(at, &part))
            return false;
        seconds = 60 * seconds + (double)part;
    } while (take_text(at, ":"));
    *seconds_out = seconds;
    return true;
}

/* Lines */

/* What a time of a step has before and behind it. */
typedef struct {
    const char *mark, *ends; /* ends: one of these follows, or the end of the line; NULL: anything but a unit */
} frame_t;

/* "135.21ms", "300.10 ms |": a number of milliseconds, and what follows it. */
static bool take_ms(const char *at, const char *ends, double *ms_out)
{
    if (!take_number(&at, ms_out))
        return false;
    skip_blanks(&at);
    if (!take_text(&at, "ms"))
        return false;
    if (ends == NULL)
        return !isalnum((unsigned char)*at) && *at != '/';
    skip_blanks(&at);
    return strchr(ends, *at) != NULL; /* also at '\0' */
}

/* The time behind the first of these marks that has one: ", time 135.21ms", "dt: 338.19ms", "| 300.10 ms |",
 * "(300.1 ms,".  In "| fwd: 10 ms |" and "| 10 ms fwd |" it is that of a part. */
static bool find_time(const char *text, double *step_s_out)
{
    static const frame_t frames[] = {{", time ", NULL}, {"dt: ", NULL}, {"| ", "|"}, {" (", ",)"}};
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++)
        for (const char *at = text; (at = strstr(at, frames[i].mark)) != NULL;) {
            double ms;
            at += strlen(frames[i].mark);
            if (!take_ms(at, frames[i].ends, &ms))
                continue;
            *step_s_out = ms / 1000;
            return true;
        }
    return false;
}

/* Is there "val" or "eval" before `end`?  "Validation step 3 | loss ...", "step 3 | val_loss ...". */
static bool is_of_validation(const char *line, const char *end)
{
    const char *at = strcasestr(line, "val");
    return at != NULL && at < end;
}

/* "iter 120: loss 2.1034, ...", "step    3/19560 | loss 11.0 ...", "step 00010/21400 (0.05%) | loss: 8.1 ..." */
static bool read_step(const char *line, record_t *record)
{
    static const char *const marks[] = {"iter ", "step "};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        const char *at = strstr(line, marks[i]);
        if (at == NULL)
            continue;
        at += strlen(marks[i]);
        skip_blanks(&at);
        if (!take_integer(&at, &record->step))
            continue;
        const char *loss = strstr(at, "loss");
        if (strcspn(at, ":|") < strlen(at) && loss != NULL && !is_of_validation(line, loss) &&
            find_time(loss, &record->step_s))
            return true;
    }
    return false;
}

/* "2.08s/it" or "1.95it/s"; before the first step the rate is "?". */
static bool take_rate(const char **at, double *step_s_out)
{
    double rate;
    skip_blanks(at);
    if (!take_number(at, &rate))
        return false;
    if (take_text(at, "s/it"))
        *step_s_out = rate;
    else if (take_text(at, "it/s"))
        *step_s_out = 1 / rate;
    else
        return false;
    return true;
}

/* Is there nothing before the percentage, or that of a training: "Epoch 0: ", "Epoch 1/3: ", "Train: ", "Training: ",
 * "1|5|Loss: 1.9: "?  Other bars are of data, evaluations, or epochs. */
static bool is_of_training(const char *label, const char *percent)
{
    static const char train[] = "train";
    uint64_t number;
    double loss;
    skip_blanks(&label);
    if (label >= percent)
        return true;
    if (strncasecmp(label, train, sizeof train - 1) == 0) {
        label += sizeof train - 1;
        (void)take_text(&label, "ing");
    } else if (take_text(&label, "Epoch ")) {
        label += strspn(label, "[]/ 0123456789");
    } else if (!take_integer(&label, &number) || !take_text(&label, "|") || !take_integer(&label, &number) ||
               !take_text(&label, "|Loss: ") || !take_number(&label, &loss)) {
        return false;
    }
    if (!take_text(&label, ":"))
        return false;
    skip_blanks(&label);
    return label == percent;
}

/* "  5%|5         | 25/500 [00:52<16:28,  2.08s/it]" */
static bool read_bar(const char *line, record_t *record)
{
    const char *at = strstr(line, "%|"), *percent = at;
    while (percent != NULL && percent > line && isdigit((unsigned char)percent[-1]))
        percent--;
    if (percent == NULL || percent == at || !is_of_training(line, percent))
        return false;
    at = strchr(at + strlen("%|"), '|');
    if (at == NULL)
        return false;
    at++;
    skip_blanks(&at);
    if (!take_integer(&at, &record->step) || !take_text(&at, "/") || !take_integer(&at, &record->total) ||
        !take_text(&at, " [") || !take_clock(&at, &record->elapsed_s) || !take_text(&at, "<"))
        return false;
    at = strchr(at, ',');
    if (at == NULL)
        return false;
    at++;
    return take_rate(&at, &record->step_s);
}

static void count_bad(reader_t *reader)
{
    if (reader->bad_count++ == 0)
        reader->bad_line = reader->line;
}

/* A bar is drawn again when a message interrupts it. */
static bool repeats(const record_t *records, size_t count, const record_t *record)
{
    return count > 0 && records[count - 1].step == record->step && records[count - 1].total == record->total;
}

static lspo_status_t take_line(reader_t *reader, const char *line)
{
    record_t record = {.line = reader->line};
    bool step = read_step(line, &record);
    if (!step && !read_bar(line, &record))
        return LSPO_OK;
    if (!(record.step_s > 0 && record.step_s <= step_s_max)) {
        count_bad(reader);
        return LSPO_OK;
    }
    record_t **records = step ? &reader->steps : &reader->bars;
    size_t *count = step ? &reader->step_count : &reader->bar_count;
    size_t *capacity = step ? &reader->step_capacity : &reader->bar_capacity;
    if (repeats(*records, *count, &record)) {
        reader->repeated_count++;
        return LSPO_OK;
    }
    lspo_status_t status = lspo_array_grow(records, capacity, *count + 1, sizeof record, "steps of a log");
    if (status == LSPO_OK)
        (*records)[(*count)++] = record;
    return status;
}

/* A carriage return starts a line again, for progress bars. */
static lspo_status_t take_pieces(reader_t *reader, char *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (line[i] == '\0')
            line[i] = ' ';
    lspo_status_t status = LSPO_OK;
    for (char *rest = line, *piece; status == LSPO_OK && (piece = strsep(&rest, "\r")) != NULL;)
        status = take_line(reader, piece);
    return status;
}

static lspo_status_t take_lines(lspo_input_t *input, reader_t *reader)
{
    for (;;) {
        char *line;
        size_t length;
        lspo_status_t status = lspo_input_line(input, &line, &length);
        if (status != LSPO_OK || line == NULL)
            return status;
        reader->line = lspo_input_line_number(input);
        status = take_pieces(reader, line, length);
        if (status != LSPO_OK)
            return status;
    }
}

/* The whole file */

/* The total of the bar that took longest. */
static uint64_t longest_bar(const reader_t *reader)
{
    const record_t *longest = &reader->bars[0];
    for (size_t i = 1; i < reader->bar_count; i++)
        if (reader->bars[i].elapsed_s > longest->elapsed_s)
            longest = &reader->bars[i];
    return longest->total;
}

static lspo_status_t collect(const reader_t *reader, lspo_pace_t *pace)
{
    bool steps = reader->step_count > 0;
    const record_t *records = steps ? reader->steps : reader->bars;
    size_t count = steps ? reader->step_count : reader->bar_count;
    uint64_t total = steps || count == 0 ? 0 : longest_bar(reader);
    *pace = (lspo_pace_t){
        .bad_count = reader->bad_count, .bad_line = reader->bad_line, .repeated_count = reader->repeated_count};
    if (count == 0)
        return LSPO_OK;
    pace->seconds = malloc(count * sizeof *pace->seconds);
    if (pace->seconds == NULL)
        return lspo_no_memory("%zu steps of a log", count);
    for (size_t i = 0; i < count; i++)
        if (records[i].total == total)
            pace->seconds[pace->count++] = records[i].step_s;
    pace->kind = steps ? LSPO_PACE_STEPS : LSPO_PACE_BAR;
    return LSPO_OK;
}

lspo_status_t lspo_pace_read(const char *path, lspo_pace_t *pace_out)
{
    reader_t reader = {0};
    lspo_input_t *input;
    lspo_status_t status = lspo_input_open(path, file_bytes_max, &input);
    if (status != LSPO_OK)
        return status;
    status = take_lines(input, &reader);
    lspo_input_close(input);
    if (status == LSPO_OK)
        status = collect(&reader, pace_out);
    free(reader.steps);
    free(reader.bars);
    return status;
}

void lspo_pace_release(lspo_pace_t *pace)
{
    free(pace->seconds);
    *pace = (lspo_pace_t){0};
}
