/* log.c - read the times in a log of DeepSpeed, Megatron or Hugging Face's Trainer as records; see log.h. */
#include "traces/import/log.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/input_file.h"
#include "traces/import/ranks.h"

/* A log of this size would have a line per second for three months. */
static const uint64_t log_bytes_max = (uint64_t)1 << 30;

static const char timers_mark[] = "time (ms)";

typedef struct {
    const char *path;
    lspo_log_t *log;
    uint64_t line;
    int decimals;      /* of the times so far                     */
    bool last_line;    /* nothing comes after it                  */
    bool source_known; /* log->source has been set, possibly to none */
    lspo_rank_timers_t ranks;
} reader_t;

static lspo_status_t append(reader_t *reader, lspo_log_record_t record)
{
    lspo_log_t *log = reader->log;
    if (log->count == UINT32_MAX)
        return lspo_no_memory("the records of %s", reader->path);
    lspo_status_t status = lspo_array_grow(&log->records, &log->capacity, (size_t)log->count + 1, sizeof *log->records,
                                           "records of a log");
    if (status != LSPO_OK)
        return status;
    record.line = reader->line;
    log->records[log->count++] = record;
    return LSPO_OK;
}

/* Timers */

static const struct {
    const char *name;
    int phase;
    lspo_log_kind_t kind;
} timers[] = {
    {"fwd_microstep", LSPO_LOG_FORWARD, LSPO_LOG_MICRO},
    {"forward_microstep", LSPO_LOG_FORWARD, LSPO_LOG_MICRO},
    {"bwd_microstep", LSPO_LOG_BACKWARD, LSPO_LOG_MICRO},
    {"backward_microstep", LSPO_LOG_BACKWARD, LSPO_LOG_MICRO},
    {"step_microstep", LSPO_LOG_STEP, LSPO_LOG_MICRO},
    {"fwd", LSPO_LOG_FORWARD, LSPO_LOG_SUM},
    {"forward", LSPO_LOG_FORWARD, LSPO_LOG_SUM},
    {"forward-compute", LSPO_LOG_FORWARD, LSPO_LOG_SUM},
    {"bwd", LSPO_LOG_BACKWARD, LSPO_LOG_SUM},
    {"backward", LSPO_LOG_BACKWARD, LSPO_LOG_SUM},
    {"backward-compute", LSPO_LOG_BACKWARD, LSPO_LOG_SUM},
    {"step", LSPO_LOG_STEP, LSPO_LOG_SUM},
    {"optimizer", LSPO_LOG_STEP, LSPO_LOG_AVERAGE},
};
enum { TIMER_COUNT = sizeof timers / sizeof timers[0] };

static const double timer_ms_max = 1e9;

/* The times of one record of a micro-step or a step. */
typedef struct {
    double ms[2][LSPO_LOG_PHASE_COUNT];
    bool has[2][LSPO_LOG_PHASE_COUNT];
    bool averaged, bad;
    int decimals; /* of the last time */
} times_t;

static int count_decimals(const char *text, const char *end)
{
    const char *point = memchr(text, '.', (size_t)(end - text));
    return point ? (int)(end - point) - 1 : 0;
}

static void note_other_timer(lspo_log_t *log, const char *name, size_t length)
{
    size_t used = strlen(log->other_timers);
    if (length == 0 || length > 40 || used + length + 3 > sizeof log->other_timers)
        return;
    char wanted[48];
    snprintf(wanted, sizeof wanted, "%.*s", (int)length, name);
    if (!strstr(log->other_timers, wanted))
        snprintf(log->other_timers + used, sizeof log->other_timers - used, "%s%s", used ? ", " : "", wanted);
}

/* One " name: value " of a line. */
static void read_timer(reader_t *reader, const char *field, times_t *times)
{
    field += strspn(field, " \t");
    size_t length = strcspn(field, ":|"), i = 0;
    if (field[length] != ':')
        return;
    while (i < TIMER_COUNT && (strlen(timers[i].name) != length || strncmp(timers[i].name, field, length) != 0))
        i++;
    char *end;
    const char *text = field + length + 1;
    double ms = strtod(text, &end);
    if (end == text)
        return; /* cut off */
    times->decimals = count_decimals(text, end);
    if (i == TIMER_COUNT) {
        note_other_timer(reader->log, field, length);
        return;
    }
    if (!(ms >= 0 && ms <= timer_ms_max) || isgraph((unsigned char)*end)) { /* "1,200.10" is no 1 */
        times->bad = true;
        if (reader->log->bad_count++ == 0)
            reader->log->bad_line = reader->line;
        return;
    }
    bool of_step = timers[i].kind != LSPO_LOG_MICRO;
    times->ms[of_step][timers[i].phase] = ms;
    times->has[of_step][timers[i].phase] = true;
    times->averaged |= timers[i].kind == LSPO_LOG_AVERAGE;
}

static int count_phases(const times_t *times, int of_step)
{
    int count = 0;
    for (int phase = 0; phase < LSPO_LOG_PHASE_COUNT; phase++)
        count += times->has[of_step][phase];
    return count;
}

static lspo_status_t append_times(reader_t *reader, const times_t *times, int of_step)
{
    lspo_log_record_t record = {.kind = !of_step ? LSPO_LOG_MICRO : times->averaged ? LSPO_LOG_AVERAGE : LSPO_LOG_SUM};
    memcpy(record.ms, times->ms[of_step], sizeof record.ms);
    return append(reader, record);
}

/* Read what follows "time (ms)", up to the next such text or the end of the line. */
static lspo_status_t take_timers(reader_t *reader, char *text)
{
    lspo_log_t *log = reader->log;
    times_t times = {0};
    for (char *rest = strchr(text, '|'); rest;) {
        char *field = rest + 1;
        rest = strchr(field, '|');
        read_timer(reader, field, &times);
    }
    int micro = count_phases(&times, 0), step = count_phases(&times, 1);
    bool whole = micro == LSPO_LOG_PHASE_COUNT || step == LSPO_LOG_PHASE_COUNT;
    if (reader->last_line && (!whole || times.decimals < reader->decimals)) {
        log->tail_cut = micro + step > 0;
        return LSPO_OK;
    }
    if (!whole && micro + step > 1 && !times.bad && log->cut_count++ == 0)
        log->cut_line = reader->line;
    if (!whole)
        return LSPO_OK;
    reader->decimals = times.decimals > reader->decimals ? times.decimals : reader->decimals;
    lspo_status_t status = LSPO_OK;
    for (int of_step = 0; of_step < 2; of_step++) {
        if (count_phases(&times, of_step) == LSPO_LOG_PHASE_COUNT)
            status = append_times(reader, &times, of_step);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* Other facts */

static const struct {
    const char *mark, *beside; /* only on a line that also has this */
    lspo_log_kind_t kind;
    double unit; /* of the value */
} facts[] = {
    {"step=", "skipped=", LSPO_LOG_NUMBER, 1},
    {"global_step=", "SamplesPerSec=", LSPO_LOG_NUMBER, 1},
    {"steps: ", "samples/sec", LSPO_LOG_NUMBER, 1},
    {"steps: ", "iter time (s)", LSPO_LOG_NUMBER, 1},
    {"step: ", "iter time (s)", LSPO_LOG_NUMBER, 1},
    {"iteration ", "elapsed time per iteration", LSPO_LOG_NUMBER, 1},
    {"iter time (s): ", "", LSPO_LOG_SECONDS, 1},
    {"elapsed time per iteration (ms): ", "", LSPO_LOG_SECONDS, 1e-3},
    {"RunningAvgSamplesPerSec=", "", LSPO_LOG_RATE_OF_RUN, 1},
    {"SamplesPerSec=", "", LSPO_LOG_RATE_OF_RUN, 1},
    {"CurrSamplesPerSec=", "", LSPO_LOG_RATE_NOW, 1},
    {"samples/sec: ", "", LSPO_LOG_RATE, 1},
};
enum { FACT_COUNT = sizeof facts / sizeof facts[0] };

/* Find `mark` as a separate word; NULL if there is none. */
static const char *find_mark(const char *line, const char *mark)
{
    const char *at = strstr(line, mark);
    while (at && at > line && (isalnum((unsigned char)at[-1]) || at[-1] == '_'))
        at = strstr(at + 1, mark);
    return at;
}

/* The positive number after `mark` and optional text; 0 if there is none. */
static double number_after(const char *line, const char *mark)
{
    const char *at = find_mark(line, mark);
    if (!at)
        return 0;
    at += strlen(mark);
    at += strspn(at, " .:=\"'");
    double number = strtod(at, NULL);
    return isfinite(number) && number > 0 ? number : 0;
}

static lspo_status_t take_facts(reader_t *reader, const char *line)
{
    for (size_t i = 0; i < FACT_COUNT; i++) {
        double value = strstr(line, facts[i].beside) ? facts[i].unit * number_after(line, facts[i].mark) : 0;
        if (value <= 0 || value > 1e15)
            continue;
        if (facts[i].kind == LSPO_LOG_RATE_OF_RUN)
            reader->log->samples_per_s = value;
        lspo_status_t status = append(reader, (lspo_log_record_t){.kind = facts[i].kind, .value = value});
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* The total in "10/1000 [00:31<52:00, 3.15s/it]"; 0 if there is none. */
static double steps_of_bar(const char *line)
{
    const char *unit = strstr(line, "s/it]");
    unit = unit ? unit : strstr(line, "it/s]");
    double steps = 0;
    for (const char *at = line; unit && (at = strchr(at, '/')) != NULL && at < unit; at++)
        if (at > line && isdigit((unsigned char)at[-1]) && isdigit((unsigned char)at[1]))
            steps = strtod(at + 1, NULL);
    return steps;
}

static void note_facts(lspo_log_t *log, const char *line)
{
    log->saw_cpu |= strstr(line, "CPU Offload: True") || strstr(line, "DeepSpeedCPU");
    log->saw_gpu |= strstr(line, "CPU Offload: False") || strstr(line, "Optimizer = FusedAdam");
    const struct {
        const char *mark;
        double *value;
    } values[] = {{"train_batch_size", &log->batch},
                  {"global batch size:", &log->batch},
                  {"global_batch_size", &log->batch},
                  {"Total train batch size (w. parallel, distributed & accumulation)", &log->batch},
                  {"train_runtime'", &log->run_s},
                  {"train_runtime\"", &log->run_s},
                  {"train_steps_per_second", &log->run_steps_per_s}};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        double value = number_after(line, values[i].mark);
        if (value <= 0)
            continue;
        log->run_count += values[i].value == &log->run_steps_per_s && value != log->run_steps_per_s;
        *values[i].value = value;
    }
    double steps = steps_of_bar(line);
    if (steps > 0)
        log->run_steps = steps;
}

/* Sources */

/* How a record may begin, after a label. */
static bool begins_record(const char *line)
{
    line += strspn(line, " \t");
    if (*line != '\0' && strchr("[{\033", *line))
        return true;
    for (size_t i = 0; i < FACT_COUNT; i++)
        if (strncmp(line, facts[i].mark, strlen(facts[i].mark)) == 0)
            return true;
    return strncmp(line, timers_mark, sizeof timers_mark - 1) == 0 || strncmp(line, "rank=", 5) == 0 ||
           lspo_rank_timers_is_line(line, true);
}

/* Length of a launcher's label at the beginning of `line`, without its colon: "worker-0: ", "0: ", "[rank0]:". */
static size_t label_length(const char *line)
{
    size_t length = strcspn(line, " \t:");
    bool label = length > 0 && length < sizeof((lspo_log_t *)0)->source && line[length] == ':' &&
                 begins_record(line + length + 1);
    return label ? length : 0;
}

/* The first label with timers or facts is used; others are ignored. */
static bool is_of_source(reader_t *reader, const char *line)
{
    size_t length = label_length(line);
    if (!reader->source_known) {
        snprintf(reader->log->source, sizeof reader->log->source, "%.*s", (int)length, line);
        reader->source_known = true;
    }
    return strlen(reader->log->source) == length && strncmp(reader->log->source, line, length) == 0;
}

/* The number after the last `word` before `end`; -1 if there is none. */
static long rank_before(const char *line, const char *end, const char *word)
{
    long rank = -1;
    for (const char *at = line; (at = strstr(at, word)) != NULL && at < end; at += strlen(word))
        rank = strtol(at + strlen(word), NULL, 10);
    return rank;
}

static bool is_of_other_rank(const char *line, const char *end)
{
    return rank_before(line, end, "[Rank ") > 0 || rank_before(line, end, "rank=") > 0;
}

/* Lines */

static bool holds_facts(const char *line)
{
    for (size_t i = 0; i < FACT_COUNT; i++)
        if (strstr(line, facts[i].beside) && find_mark(line, facts[i].mark))
            return true;
    return false;
}

static lspo_status_t end_ranks(reader_t *reader)
{
    lspo_log_record_t record = {.kind = LSPO_LOG_AVERAGE};
    lspo_log_t *log = reader->log;
    const bool was_open = reader->ranks.open, whole = lspo_rank_timers_end(&reader->ranks);
    log->saw_both_passes |= was_open && reader->ranks.has_both;
    if (was_open && reader->ranks.bad && log->bad_count++ == 0)
        log->bad_line = reader->line - 1;
    if (!whole)
        return LSPO_OK;
    memcpy(record.ms, reader->ranks.ms, sizeof record.ms);
    return append(reader, record);
}

/* If a line belongs to a block of timers over all ranks, read it and return true. */
static lspo_status_t take_ranks(reader_t *reader, const char *line, bool *taken_out)
{
    const size_t label = label_length(line);
    const char *bare = line + label + (label > 0);
    const bool open = reader->ranks.open, ours = lspo_rank_timers_is_line(bare, open);
    const bool elsewhere = ours && !is_of_source(reader, line);
    reader->log->other_source_count += elsewhere;
    *taken_out = elsewhere || (open && lspo_rank_timers_take(&reader->ranks, bare));
    if (*taken_out)
        return LSPO_OK;
    lspo_status_t status = end_ranks(reader);
    *taken_out = lspo_rank_timers_begin(&reader->ranks, bare);
    return status;
}

/* A progress bar may have left several records on one line. */
static lspo_status_t take_line(reader_t *reader, char *line)
{
    bool taken = false;
    lspo_status_t status = take_ranks(reader, line, &taken);
    if (status != LSPO_OK)
        return status;
    if (taken)
        return LSPO_OK;
    char *at = strstr(line, timers_mark);
    note_facts(reader->log, line);
    if (!at && !holds_facts(line))
        return LSPO_OK;
    if (!is_of_source(reader, line)) {
        reader->log->other_source_count++;
        return LSPO_OK;
    }
    if (!at)
        return is_of_other_rank(line, line + strlen(line)) ? LSPO_OK : take_facts(reader, line);
    while (at) {
        char *text = at + strlen(timers_mark), *next = strstr(text, timers_mark);
        bool other_rank = is_of_other_rank(line, at);
        if (next)
            *next = '\0';
        if (other_rank)
            reader->log->other_rank_count++;
        else
            status = take_timers(reader, text);
        if (next)
            *next = timers_mark[0];
        if (status != LSPO_OK)
            return status;
        line = text;
        at = next;
    }
    return LSPO_OK;
}

/* A carriage return starts a line again, for progress bars. */
static lspo_status_t take_pieces(reader_t *reader, char *line)
{
    for (char *rest = line; rest;) {
        char *piece = rest;
        rest = strchr(piece, '\r');
        if (rest)
            *rest++ = '\0';
        lspo_status_t status = take_line(reader, piece);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* Text */

/* The next line of *rest, terminated by a zero byte, without its newline; NULL at the end of the text. */
static char *next_line(char **rest)
{
    char *line = *rest;
    if (*line == '\0')
        return NULL;
    size_t length = strcspn(line, "\n");
    *rest = line + length + (line[length] == '\n');
    line[length] = '\0';
    if (length > 0 && line[length - 1] == '\r')
        line[length - 1] = '\0';
    return line;
}

static size_t line_length(const char *line)
{
    size_t length = strcspn(line, "\n");
    return length > 0 && line[length - 1] == '\r' ? length - 1 : length;
}

/* The number of bytes that identify the beginning of a record: its date, rank or label. */
enum { HEAD = 5 };

/* The characters that continue a broken line of timers: names, numbers and bars, but not the "[" of a date or rank. */
static bool is_continuation(const char *line, const char *next)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.,:| ()]";
    size_t length = line_length(next);
    return strspn(next, letters) >= length && strcspn(next, "0123456789") < length && strncmp(line, next, HEAD) != 0;
}

static bool holds_mark(const char *text, size_t bytes)
{
    return memmem(text, bytes, timers_mark, sizeof timers_mark - 1) != NULL;
}

/* "time (m" at the end of a line of `length` bytes, and "s)" at the beginning of the next. */
static bool breaks_mark(const char *line, size_t length, const char *next)
{
    char seam[2 * sizeof timers_mark];
    size_t before = length < sizeof timers_mark - 1 ? length : sizeof timers_mark - 1;
    size_t after = strnlen(next, sizeof timers_mark - 1);
    memcpy(seam, line + length - before, before);
    memcpy(seam + before, next, after);
    return holds_mark(seam, before + after);
}

/* The number of columns at which a pasted log was broken: of the lines with timers that have the maximum length, most
 * continue in the next line.  0: not broken. */
static uint32_t find_columns(const char *text)
{
    size_t longest = 0;
    uint32_t full = 0, continued = 0;
    const char *next, *before = text;
    for (const char *line = text; *line != '\0'; before = line, line = next) {
        size_t length = line_length(line);
        next = line + strcspn(line, "\n");
        next += *next == '\n';
        if (length > longest) {
            longest = length;
            full = continued = 0;
        }
        bool begins = strncmp(next, timers_mark, sizeof timers_mark - 1) == 0; /* or continues there; unknown */
        if (length != longest || *next == '\0' || begins)
            continue;
        bool continues = is_continuation(line, next);
        if (continues ? holds_mark(before, (size_t)(next - before)) || breaks_mark(line, length, next)
                      : holds_mark(line, length)) {
            full++;
            continued += continues;
        }
    }
    return full > 2 && continued > full / 2 ? (uint32_t)longest : 0;
}

/* Remove the newlines of full lines, except before a line that begins like the joined one: that is the next record,
 * with its date, rank or label. */
static void join_lines(char *text, uint32_t columns)
{
    char *to = text, *head = text;
    for (const char *line = text; *line != '\0';) {
        size_t length = line_length(line), whole = strcspn(line, "\n");
        memmove(to, line, length);
        to += length;
        line += whole + (line[whole] == '\n');
        if (length == columns && to - head >= HEAD && strncmp(line, head, HEAD) != 0)
            continue;
        *to++ = '\n';
        head = to;
    }
    *to = '\0';
}

/* UTF-16, which a Windows shell writes, would give no results without an obvious reason. */
static lspo_status_t check_kind(const char *path, const char *text, size_t length)
{
    bool packed = length > 1 && memcmp(text, "\x1f\x8b", 2) == 0;
    bool wide = length > 1 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0);
    if (packed)
        return lspo_error(LSPO_ERR_INPUT, "%s: compressed by gzip; unpack it first", path);
    return wide ? lspo_error(LSPO_ERR_INPUT, "%s: text in UTF-16; convert it: iconv -f UTF-16 -t UTF-8", path)
                : LSPO_OK;
}

static lspo_status_t read_text(const char *path, char **text_out)
{
    size_t length = 0;
    lspo_status_t status = lspo_input_read_file(path, log_bytes_max, text_out, &length);
    if (status != LSPO_OK)
        return status;
    status = length == 0 ? lspo_input_refuse_empty(path) : check_kind(path, *text_out, length);
    if (status != LSPO_OK) {
        free(*text_out);
        return status;
    }
    for (size_t i = 0; i < length; i++)
        if ((*text_out)[i] == '\0')
            (*text_out)[i] = ' ';
    return LSPO_OK;
}

static lspo_status_t take_lines(reader_t *reader, char *text)
{
    for (char *rest = text, *line; (line = next_line(&rest)) != NULL;) {
        reader->line++;
        reader->last_line = *rest == '\0';
        lspo_status_t status = take_pieces(reader, line);
        if (status != LSPO_OK)
            return status;
    }
    return end_ranks(reader);
}

lspo_status_t lspo_log_read(const char *path, lspo_log_t *log_out)
{
    lspo_log_t log = {0};
    reader_t reader = {.path = path, .log = &log};
    char *text = NULL;
    lspo_status_t status = read_text(path, &text);
    if (status != LSPO_OK)
        return status;
    log.columns = find_columns(text);
    if (log.columns > 0)
        join_lines(text, log.columns);
    status = take_lines(&reader, text);
    free(text);
    if (status != LSPO_OK) {
        lspo_log_release(&log);
        return status;
    }
    *log_out = log;
    return LSPO_OK;
}

void lspo_log_release(lspo_log_t *log)
{
    free(log->records);
    *log = (lspo_log_t){0};
}
