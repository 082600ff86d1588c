#include "traces/import_deepspeed.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "traces/import_lanes.h"

enum { FORWARD, BACKWARD, STEP, PHASE_COUNT };

typedef struct {
    double ms[PHASE_COUNT];
    bool has[PHASE_COUNT];
} times_t;

typedef struct {
    const char *path;
    uint64_t line;
    times_t *micros; /* owned: of the step that is not closed yet; when the log has no steps at all: of all */
    uint32_t micro_count, micro_capacity;
    times_t last_step;
    uint32_t step_count, repeated_count, unequal_count, other_rank_count;
    bool saw_cpu, saw_gpu; /* what the log says of the optimizer's place */
    double samples_per_second;
    uint64_t now_ns;
    lspo_trace_t *trace;
    uint32_t row_capacity;
} import_t;

/* Building the trace */

static lspo_status_t append_row(import_t *import, lspo_op_kind_t kind, lspo_lane_t lane, uint32_t micro, double ms)
{
    lspo_trace_t *trace = import->trace;
    if (trace->row_count == import->row_capacity) {
        uint32_t capacity = import->row_capacity * 2;
        lspo_trace_row_t *rows = capacity > import->row_capacity ? realloc(trace->rows, capacity * sizeof *rows) : NULL;
        if (!rows)
            return lspo_error(LSPO_ERR_MEMORY, "out of memory for the rows of %s", import->path);
        trace->rows = rows;
        import->row_capacity = capacity;
    }
    uint64_t duration_ns = (uint64_t)llround(1e6 * ms);
    if (duration_ns > INT64_MAX / 2 - import->now_ns || micro > UINT16_MAX)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s:%" PRIu64 ": the steps take longer, or have more micro-steps, than a "
                          "trace can hold",
                          import->path, import->line);
    trace->rows[trace->row_count] = (lspo_trace_row_t){.op = trace->row_count,
                                                       .kind = (uint8_t)kind,
                                                       .lane = (uint8_t)lane,
                                                       .micro = (uint16_t)micro,
                                                       .iteration = import->step_count,
                                                       .start_ns = import->now_ns,
                                                       .end_ns = import->now_ns + duration_ns};
    trace->row_count++;
    import->now_ns += duration_ns;
    return LSPO_OK;
}

/* One iteration: its micro-steps, then their updates as one. */
static lspo_status_t append_step(import_t *import, const times_t *micros, uint32_t count)
{
    lspo_status_t status = LSPO_OK;
    double update_ms = 0;
    for (uint32_t micro = 0; micro < count && status == LSPO_OK; micro++) {
        status = append_row(import, LSPO_OP_FWD, LSPO_LANE_GPU, micro, micros[micro].ms[FORWARD]);
        if (status == LSPO_OK)
            status = append_row(import, LSPO_OP_BWD, LSPO_LANE_GPU, micro, micros[micro].ms[BACKWARD]);
        update_ms += micros[micro].ms[STEP];
    }
    bool on_gpu = import->saw_gpu && !import->saw_cpu;
    if (status == LSPO_OK)
        status = append_row(import, on_gpu ? LSPO_OP_UPD_GPU : LSPO_OP_UPD, on_gpu ? LSPO_LANE_GPU : LSPO_LANE_CPU, 0,
                            update_ms);
    import->step_count++;
    return status;
}

static lspo_status_t take_micro(import_t *import, const times_t *times)
{
    if (import->micro_count == import->micro_capacity) {
        uint32_t capacity = import->micro_capacity ? import->micro_capacity * 2 : 64;
        times_t *grown = capacity > import->micro_capacity ? realloc(import->micros, capacity * sizeof *grown) : NULL;
        if (!grown)
            return lspo_error(LSPO_ERR_MEMORY, "out of memory for the micro-steps of %s", import->path);
        import->micros = grown;
        import->micro_capacity = capacity;
    }
    import->micros[import->micro_count++] = *times;
    return LSPO_OK;
}

/* Timers start and stop around each other: their sums agree to a few hundredths of a millisecond a micro-step. */
static bool adds_up(const import_t *import, const times_t *step)
{
    for (int phase = 0; phase < PHASE_COUNT; phase++) {
        double sum_ms = 0;
        for (uint32_t i = 0; i < import->micro_count; i++)
            sum_ms += import->micros[i].ms[phase];
        if (fabs(sum_ms - step->ms[phase]) > 0.02 * step->ms[phase] + 0.5 * import->micro_count)
            return false;
    }
    return true;
}

/* The line of a step closes it.  Without micro-steps before it, it stands for itself, unless it repeats the last. */
static lspo_status_t take_step(import_t *import, const times_t *step)
{
    lspo_status_t status = LSPO_OK;
    if (import->micro_count > 0 && adds_up(import, step)) {
        status = append_step(import, import->micros, import->micro_count);
    } else if (import->micro_count == 0 && import->step_count > 0 &&
               memcmp(step->ms, import->last_step.ms, sizeof step->ms) == 0) {
        import->repeated_count++;
    } else {
        import->unequal_count += import->micro_count > 0;
        status = append_step(import, step, 1);
    }
    import->micro_count = 0;
    import->last_step = *step;
    return status;
}

/* Reading lines */

static const struct {
    const char *name;
    int phase;
    bool of_micro;
} timers[] = {
    {"fwd_microstep", FORWARD, true},  {"forward_microstep", FORWARD, true},
    {"bwd_microstep", BACKWARD, true}, {"backward_microstep", BACKWARD, true},
    {"step_microstep", STEP, true},    {"fwd", FORWARD, false},
    {"forward", FORWARD, false},       {"bwd", BACKWARD, false},
    {"backward", BACKWARD, false},     {"step", STEP, false},
};

static const double timer_ms_max = 1e9;

/* One " name: value " of a line into the times of micro-steps or steps. */
static lspo_status_t read_timer(const import_t *import, const char *field, times_t times[2])
{
    field += strspn(field, " \t");
    size_t length = strcspn(field, ":|");
    for (size_t i = 0; i < sizeof timers / sizeof timers[0]; i++) {
        if (field[length] != ':' || strlen(timers[i].name) != length || strncmp(timers[i].name, field, length) != 0)
            continue;
        const char *text = field + length + 1;
        char *end;
        double ms = strtod(text, &end);
        if (end == text)
            return LSPO_OK; /* cut off */
        if (!(ms >= 0 && ms <= timer_ms_max))
            return lspo_error(LSPO_ERR_INPUT, "%s:%" PRIu64 ": %s is %.9g ms; it must be from 0 to %.9g", import->path,
                              import->line, timers[i].name, ms, timer_ms_max);
        times[timers[i].of_micro].ms[timers[i].phase] = ms;
        times[timers[i].of_micro].has[timers[i].phase] = true;
    }
    return LSPO_OK;
}

static bool is_complete(const times_t *times)
{
    return times->has[FORWARD] && times->has[BACKWARD] && times->has[STEP];
}

/* What follows "time (ms)", up to the next of these or the end of the line. */
static lspo_status_t take_timers(import_t *import, char *text)
{
    times_t times[2] = {0}; /* of a step, of a micro-step */
    lspo_status_t status = LSPO_OK;
    for (char *rest = strchr(text, '|'); rest && status == LSPO_OK;) {
        char *field = rest + 1;
        rest = strchr(field, '|');
        status = read_timer(import, field, times);
    }
    if (status == LSPO_OK && is_complete(&times[1]))
        status = take_micro(import, &times[1]);
    if (status == LSPO_OK && is_complete(&times[0]))
        status = take_step(import, &times[0]);
    return status;
}

/* The number after the last `word` before `end`; -1 when there is none. */
static long rank_before(const char *line, const char *end, const char *word)
{
    long rank = -1;
    for (const char *at = line; (at = strstr(at, word)) != NULL && at < end; at += strlen(word))
        rank = strtol(at + strlen(word), NULL, 10);
    return rank;
}

static void note_facts(import_t *import, const char *line)
{
    import->saw_cpu |= strstr(line, "CPU Offload: True") || strstr(line, "DeepSpeedCPU");
    import->saw_gpu |= strstr(line, "CPU Offload: False") || strstr(line, "Optimizer = FusedAdam");
    static const char *const marks[] = {"RunningAvgSamplesPerSec=", " SamplesPerSec="};
    for (int i = 0; i < 2; i++) {
        const char *at = strstr(line, marks[i]);
        double rate = at ? strtod(at + strlen(marks[i]), NULL) : 0;
        if (rate > 0 && isfinite(rate))
            import->samples_per_second = rate;
    }
}

/* A progress bar may have left several records on one line. */
static lspo_status_t take_line(import_t *import, char *line)
{
    static const char mark[] = "time (ms)";
    note_facts(import, line);
    lspo_status_t status = LSPO_OK;
    for (char *at = strstr(line, mark); at && status == LSPO_OK;) {
        char *text = at + strlen(mark), *next = strstr(text, mark);
        bool other_rank = rank_before(line, at, "[Rank ") > 0 || rank_before(line, at, "rank=") > 0;
        if (next)
            *next = '\0';
        if (other_rank)
            import->other_rank_count++;
        else
            status = take_timers(import, text);
        if (next)
            *next = mark[0];
        line = text;
        at = next;
    }
    return status;
}

static lspo_status_t read_lines(import_t *import)
{
    FILE *file = fopen(import->path, "re");
    if (!file)
        return lspo_error(LSPO_ERR_INPUT, "cannot open log %s: %s", import->path, strerror(errno));
    char *line = NULL;
    size_t line_bytes = 0;
    ssize_t length;
    lspo_status_t status = LSPO_OK;
    while (status == LSPO_OK && (length = getline(&line, &line_bytes, file)) >= 0) {
        import->line++;
        if (length > 0 && line[length - 1] != '\n') {
            lspo_warn("%s:%" PRIu64 ": the last line is cut off and left out", import->path, import->line);
            break;
        }
        status = take_line(import, line);
    }
    if (status == LSPO_OK && ferror(file))
        status = lspo_error(LSPO_ERR_INPUT, "cannot read %s: %s", import->path, strerror(errno));
    free(line);
    fclose(file);
    return status;
}

/* What is left when the log ends: the beginning of a step, or all of it in a log that prints micro-steps alone. */
static lspo_status_t finish_steps(import_t *import)
{
    lspo_status_t status = LSPO_OK;
    bool without_steps = import->step_count == 0 && import->micro_count > 0;
    for (uint32_t i = 0; without_steps && i < import->micro_count && status == LSPO_OK; i++)
        status = append_step(import, &import->micros[i], 1);
    if (status != LSPO_OK)
        return status;
    if (import->step_count == 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: no step times ('time (ms) | fwd: ... | bwd: ... | step: ...'): set "
                          "\"wall_clock_breakdown\": true in DeepSpeed's configuration",
                          import->path);
    if (without_steps)
        lspo_warn("%s: it has the times of micro-steps only: each counts as a step", import->path);
    else if (import->micro_count > 0)
        lspo_warn("%s: the last step did not end; its micro-steps are left out: %" PRIu32, import->path,
                  import->micro_count);
    if (import->other_rank_count > 0)
        lspo_warn("%s: lines of other ranks than 0, left out: %" PRIu32, import->path, import->other_rank_count);
    if (import->repeated_count > 0)
        lspo_warn("%s: lines that repeat the step before, left out: %" PRIu32, import->path, import->repeated_count);
    if (import->unequal_count > 0)
        lspo_warn("%s: steps to which their micro-steps do not add up, taken as they say themselves: %" PRIu32,
                  import->path, import->unequal_count);
    return LSPO_OK;
}

static lspo_status_t describe(const import_t *import)
{
    const char *place = import->saw_cpu ? "cpu" : import->saw_gpu ? "gpu" : "cpu, assumed";
    lspo_status_t status = lspo_import_describe(import->trace, "deepspeed-log", import->path);
    if (status == LSPO_OK)
        status = lspo_trace_set_meta(import->trace, "optimizer", place);
    if (status != LSPO_OK || import->samples_per_second <= 0)
        return status;
    char text[32];
    snprintf(text, sizeof text, "%.6g", import->samples_per_second);
    return lspo_trace_set_meta(import->trace, "samples-per-second", text);
}

lspo_status_t lspo_import_deepspeed(const char *path, lspo_trace_t **trace_out)
{
    import_t import = {.path = path, .row_capacity = 256};
    lspo_status_t status = lspo_trace_create(import.row_capacity, &import.trace);
    if (status != LSPO_OK)
        return status;
    status = read_lines(&import);
    if (status == LSPO_OK)
        status = finish_steps(&import);
    if (status == LSPO_OK)
        status = describe(&import);
    free(import.micros);
    if (status != LSPO_OK) {
        lspo_trace_destroy(import.trace);
        return status;
    }
    *trace_out = import.trace;
    return LSPO_OK;
}
