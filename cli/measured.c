/* measured.c - see measured.h. */
#include "cli/measured.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/input_file.h"
#include "base/units.h"
#include "real/train/metrics.h"
#include "traces/import/deepspeed.h"
#include "traces/import/kineto.h"
#include "traces/import/log.h"
#include "traces/import/pace.h"
#include "traces/median.h"
#include "traces/summary.h"

static const double step_s_max = 1e9;

/* How many of `count` steps are warm-up. */
static uint32_t warmup_of(uint32_t count)
{
    enum { ENOUGH = 5 };
    return count >= ENOUGH ? 2 : count > 1 ? 1 : 0;
}

/* Times */

/* "1.9s", "480 ms", "3.6e-2s": a number, and letters that are a unit or nothing. */
static bool is_time(const char *text)
{
    static const char *const units[] = {"", "s", "ms", "us", "ns", "min", "h"};
    char *unit;
    strtod(text, &unit);
    if (strspn(text, "+-.0123456789") == 0 || unit == text)
        return false;
    unit += strspn(unit, " ");
    bool known = false;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        known |= strcmp(unit, units[i]) == 0;
    return known;
}

static lspo_status_t read_time(const char *text, lspo_measured_t *measured)
{
    double step_s;
    lspo_status_t status = lspo_parse_quantity("--measured", text, LSPO_UNIT_SECONDS, &step_s);
    if (status != LSPO_OK)
        return status;
    if (!(step_s > 0 && step_s <= step_s_max))
        return lspo_error(LSPO_ERR_INPUT, "--measured: '%s' is not above 0 s and at most %g s", text, step_s_max);
    measured->step_s = step_s;
    measured->source = "the time given";
    return LSPO_OK;
}

/* The median without the warm-up. */
static void take_steps(const double *seconds, uint32_t count, lspo_measured_t *measured)
{
    measured->skipped = warmup_of(count);
    measured->steps = count - measured->skipped;
    measured->step_s = lspo_median(seconds + measured->skipped, (uint32_t)measured->steps);
}

/* Files */

/* Rows that have a time, and the row before them. */
static uint32_t find_intervals(const lspo_metrics_row_t *rows, size_t count, double *seconds)
{
    double before_s = NAN;
    uint32_t before = 0, found = 0;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].step == 0)
            before_s = 0;
        if (isnan(rows[i].time_s))
            continue;
        if (!isnan(before_s) && rows[i].step > before && rows[i].time_s > before_s)
            seconds[found++] = (rows[i].time_s - before_s) / (rows[i].step - before);
        before_s = rows[i].time_s;
        before = rows[i].step;
    }
    return found;
}

static lspo_status_t read_metrics(const char *path, lspo_measured_t *measured)
{
    lspo_metrics_row_t *rows;
    size_t count;
    lspo_status_t status = lspo_metrics_read(path, &rows, &count);
    if (status != LSPO_OK)
        return status;
    double *seconds = malloc(count * sizeof *seconds);
    if (seconds == NULL) {
        status = lspo_no_memory("the steps of %s", path);
        goto cleanup;
    }
    uint32_t found = find_intervals(rows, count, seconds);
    status = lspo_origin_read(path, &measured->origin);
    if (status == LSPO_OK && found == 0)
        status = lspo_error(LSPO_ERR_INPUT, "%s: no two steps with a time (time_s)", path);
    if (status == LSPO_OK)
        take_steps(seconds, found, measured);
    measured->source = "the metrics of lspo train";
cleanup:
    free(seconds);
    free(rows);
    return status;
}

/* The steps of a trace, which `measured` then owns if it has the parts of steps. */
static lspo_status_t take_trace(lspo_trace_t *trace, lspo_measured_t *measured)
{
    uint64_t *ends_ns = NULL;
    uint32_t count = 0;
    lspo_summary_t summary;
    const char *origin = lspo_trace_meta(trace, "origin");
    lspo_status_t status = LSPO_OK;
    if (origin != NULL && strcmp(origin, "sim") == 0)
        status =
            lspo_error(LSPO_ERR_INPUT, "%s is a prediction (origin sim), not a measurement", lspo_trace_name(trace));
    if (status == LSPO_OK)
        status = lspo_trace_iteration_ends(trace, &ends_ns, &count);
    if (status != LSPO_OK)
        goto destroy;
    free(ends_ns);
    /* Times of steps are differences between their ends. */
    measured->warmup = count > 1 ? warmup_of(count - 1) : 0;
    measured->warmup = count - measured->warmup >= 2 ? measured->warmup : 0;
    status = lspo_summary_create(trace, measured->warmup, &summary);
    if (status != LSPO_OK)
        goto destroy;
    measured->step_s = summary.iteration_s;
    measured->steps = summary.sample_count;
    measured->skipped = summary.warmup;
    lspo_summary_release(&summary);
    if (lspo_trace_meta(trace, "parts") == NULL) {
        measured->trace = trace;
        return LSPO_OK;
    }
destroy:
    lspo_trace_destroy(trace);
    return status;
}

static lspo_status_t read_trace(const char *path, lspo_measured_t *measured)
{
    lspo_trace_t *trace;
    measured->source = "a trace";
    lspo_status_t status = lspo_trace_read(path, &trace);
    return status != LSPO_OK ? status : take_trace(trace, measured);
}

static lspo_status_t read_profile(const char *path, lspo_measured_t *measured)
{
    lspo_trace_t *trace;
    measured->source = "a profile of PyTorch";
    lspo_status_t status = lspo_import_kineto(path, NULL, NULL, &trace);
    return status != LSPO_OK ? status : take_trace(trace, measured);
}

static lspo_status_t read_timers(const char *path, double batch, lspo_measured_t *measured)
{
    lspo_trace_t *trace;
    measured->source = "the log of a trainer";
    lspo_status_t status = lspo_import_deepspeed(path, batch, &trace);
    return status != LSPO_OK ? status : take_trace(trace, measured);
}

static void take_pace(const char *path, const lspo_pace_t *pace, lspo_measured_t *measured)
{
    measured->source = pace->kind == LSPO_PACE_STEPS ? "the log of a trainer" : "a progress bar";
    measured->left_out = (uint64_t)pace->bad_count + pace->repeated_count;
    if (pace->bad_count > 0)
        lspo_warn("%s: left out lines whose time is 0, not a number or above 1e6 s: %" PRIu32 " (the first in line "
                  "%" PRIu64 ")",
                  path, pace->bad_count, pace->bad_line);
    take_steps(pace->seconds, pace->count, measured);
}

/* Does the log have times of steps from timers, or of a whole training? */
static lspo_status_t look_for_timers(const char *path, bool *steps_out, bool *run_out)
{
    lspo_log_t log;
    lspo_status_t status = lspo_log_read(path, &log);
    if (status != LSPO_OK)
        return status;
    *steps_out = *run_out = false;
    for (uint32_t i = 0; i < log.count; i++)
        *steps_out |= log.records[i].kind != LSPO_LOG_NUMBER;
    *run_out = log.run_steps_per_s > 0;
    lspo_log_release(&log);
    return LSPO_OK;
}

static lspo_status_t read_log(const char *path, double batch, lspo_measured_t *measured)
{
    bool has_steps = false, has_run = false;
    lspo_pace_t pace;
    lspo_status_t status = lspo_pace_read(path, &pace);
    if (status != LSPO_OK)
        return status;
    if (pace.kind != LSPO_PACE_STEPS)
        status = look_for_timers(path, &has_steps, &has_run);
    if (status != LSPO_OK)
        goto cleanup;
    if (pace.kind != LSPO_PACE_STEPS && has_steps)
        status = read_timers(path, batch, measured);
    else if (pace.kind != LSPO_PACE_NONE)
        take_pace(path, &pace, measured);
    else if (has_run) {
        status = read_timers(path, batch, measured);
        measured->is_average = true;
    } else
        status = lspo_error(LSPO_ERR_INPUT,
                            "%s: no times of steps; read are traces and metrics of lspo, profiles of PyTorch, and logs "
                            "with lines such as 'iter 10: loss 3.1, time 135.2ms' (nanoGPT, llm.c), '25/500 "
                            "[00:52<16:28, 2.08s/it]' (Hugging Face, torchtune, Lightning) or 'time (ms) | fwd: ...' "
                            "(DeepSpeed)",
                            path);
cleanup:
    lspo_pace_release(&pace);
    return status;
}

/* What the file is */

enum { HEAD_BYTES = 64 };

/* The beginning of a regular file, without a byte-order mark; "" for any other, which the reader of logs refuses or
 * takes. */
static void read_head(const char *path, char head[HEAD_BYTES])
{
    static const char mark[] = "\xEF\xBB\xBF";
    struct stat info;
    memset(head, 0, HEAD_BYTES);
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return;
    size_t length = fread(head, 1, HEAD_BYTES - 1, file);
    fclose(file);
    size_t skip = length >= sizeof mark - 1 && memcmp(head, mark, sizeof mark - 1) == 0 ? sizeof mark - 1 : 0;
    memmove(head, head + skip, HEAD_BYTES - skip);
}

static bool begins(const char *head, const char *text)
{
    return strncmp(head, text, strlen(text)) == 0;
}

/* An object with a key, or an array of objects.  Lines of logs begin with {'loss' or [2024. */
static bool is_json(const char *head)
{
    const char *first = head + strspn(head, " \t\r\n");
    if (*first != '{' && *first != '[')
        return false;
    const char *second = first + 1 + strspn(first + 1, " \t\r\n");
    return *second == (*first == '{' ? '"' : '{');
}

/* A profile, or what a trainer wrote: trainer_state.json, all_results.json, a log with an object on each line.  These
 * are small, and have no list of events. */
static lspo_status_t look_for_events(const char *path, const char *head, bool *found_out)
{
    static const char key[] = "\"traceEvents\"";
    static const off_t trainer_bytes_max = 64 << 20;
    struct stat info;
    char *text;
    size_t length;
    *found_out = true;
    if (head[strspn(head, " \t\r\n")] == '[' || stat(path, &info) != 0 || info.st_size > trainer_bytes_max)
        return LSPO_OK;
    lspo_status_t status = lspo_input_read_file(path, trainer_bytes_max, &text, &length);
    if (status != LSPO_OK)
        return status;
    *found_out = memmem(text, length, key, sizeof key - 1) != NULL;
    free(text);
    return LSPO_OK;
}

static lspo_status_t read_json(const char *path, const char *head, double batch, lspo_measured_t *measured)
{
    bool events;
    lspo_status_t status = look_for_events(path, head, &events);
    if (status != LSPO_OK)
        return status;
    return events ? read_profile(path, measured) : read_log(path, batch, measured);
}

lspo_status_t lspo_measured_read(const char *text, double batch, lspo_measured_t *measured_out)
{
    char head[HEAD_BYTES];
    lspo_measured_t measured = {0};
    lspo_status_t status;
    read_head(text, head);
    if (is_time(text))
        status = read_time(text, &measured);
    else if (access(text, F_OK) != 0 && lspo_descriptor_of_path(text) < 0)
        status = lspo_error(LSPO_ERR_INPUT,
                            "--measured: '%s' is neither a time with a unit, such as 60ms, nor a file here", text);
    else if (begins(head, "# lspo trace"))
        status = read_trace(text, &measured);
    else if (begins(head, "step,"))
        status = read_metrics(text, &measured);
    else if (begins(head, "\x1f\x8b"))
        status = read_profile(text, &measured);
    else if (is_json(head))
        status = read_json(text, head, batch, &measured);
    else
        status = read_log(text, batch, &measured);
    if (status != LSPO_OK)
        lspo_measured_release(&measured);
    *measured_out = measured;
    return status;
}

static const char *setting_of(const lspo_measured_t *measured, const char *key)
{
    if (measured->trace != NULL)
        return lspo_trace_meta(measured->trace, key);
    if (measured->origin == NULL)
        return NULL;
    return strcmp(key, "model") == 0 ? lspo_origin_model(measured->origin) : lspo_origin_value(measured->origin, key);
}

void lspo_measured_warn_of_other(const lspo_measured_t *measured, const char *path, const lspo_trace_t *expected)
{
    static const char *const keys[] = {"model",        "policy",        "batch",    "sequence",
                                       "accumulation", "checkpointing", "precision"};
    char text[512] = "";
    for (size_t i = 0, used = 0; i < sizeof keys / sizeof keys[0] && used < sizeof text; i++) {
        const char *theirs = setting_of(measured, keys[i]), *ours = lspo_trace_meta(expected, keys[i]);
        if (theirs != NULL && ours != NULL && strcmp(theirs, ours) != 0)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s %s %s, not %s", used > 0 ? ";" : "", keys[i],
                                     theirs, ours);
    }
    if (text[0] != '\0')
        lspo_warn("%s is of another training than the prediction:%s", path, text);
}

void lspo_measured_release(lspo_measured_t *measured)
{
    lspo_trace_destroy(measured->trace);
    lspo_origin_close(measured->origin);
    *measured = (lspo_measured_t){0};
}
