/* deepspeed.c - convert the step times in a training's log to a measured trace; traces/import/log.h reads the lines;
 * see deepspeed.h. */
#include "traces/import/deepspeed.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "traces/import/lanes.h"
#include "traces/import/log.h"
#include "traces/import/sums.h"

typedef struct {
    const char *path;
    lspo_log_t log;
    double batch;                     /* samples per step; 0: unknown */
    const lspo_log_record_t **micros; /* owned                                     */
    lspo_log_step_t *steps;           /* owned                                     */
    double *intervals;                /* owned: see sums.h                  */
    uint32_t micro_count, step_count, interval_count;
    uint32_t open_micro_count; /* since the last step                              */
    uint32_t repeated_count, unequal_count;
    double steps_per_line;
    lspo_trace_t *trace;
    uint32_t iteration_count;
    uint64_t now_ns;
} import_t;

/* From records to steps */

/* Timers start and stop at slightly different times: their sums agree to a few hundredths of a millisecond per
 * micro-step. */
static bool adds_up(const import_t *import, const double ms[LSPO_LOG_PHASE_COUNT])
{
    for (int phase = 0; phase < LSPO_LOG_PHASE_COUNT; phase++) {
        double sum_ms = 0;
        for (uint32_t i = 0; i < import->open_micro_count; i++)
            sum_ms += import->micros[import->micro_count - 1 - i]->ms[phase];
        if (fabs(sum_ms - ms[phase]) > 0.02 * ms[phase] + 0.5 * import->open_micro_count)
            return false;
    }
    return true;
}

/* The line of a step closes the step.  Without preceding micro-steps it is a step by itself, unless it repeats the last
 * one. */
static bool take_step(import_t *import, const lspo_log_record_t *record, double told_s)
{
    const lspo_log_step_t *last = import->step_count > 0 ? &import->steps[import->step_count - 1] : NULL;
    uint32_t open = import->open_micro_count;
    if (open == 0 && last && memcmp(last->ms, record->ms, sizeof last->ms) == 0) {
        import->repeated_count++;
        return false;
    }
    bool whole = open > 0 && adds_up(import, record->ms);
    lspo_log_step_t step = {.step_s = told_s,
                            .first_micro = import->micro_count - open,
                            .micro_count = whole ? open : 0,
                            .averaged = record->kind == LSPO_LOG_AVERAGE};
    memcpy(step.ms, record->ms, sizeof step.ms);
    import->steps[import->step_count++] = step;
    import->unequal_count += open > 0 && !whole;
    import->open_micro_count = 0;
    return true;
}

/* The last number of a step, and the lines of timers since then. */
typedef struct {
    double last;
    uint32_t line_count;
} numbers_t;

static void take_number(import_t *import, numbers_t *numbers, double number)
{
    if (number == numbers->last)
        return;
    if (numbers->last > 0 && number > numbers->last && numbers->line_count > 0)
        import->intervals[import->interval_count++] = (number - numbers->last) / numbers->line_count;
    numbers->last = number;
    numbers->line_count = 0;
}

/* The kind of record that gives the time of a step: the time itself, or samples per second if the batch is known. */
static lspo_log_kind_t find_teller(const import_t *import)
{
    lspo_log_kind_t teller = import->batch > 0 ? LSPO_LOG_RATE : LSPO_LOG_SECONDS;
    for (uint32_t i = 0; i < import->log.count; i++)
        if (import->log.records[i].kind == LSPO_LOG_SECONDS)
            teller = LSPO_LOG_SECONDS;
    return teller;
}

/* A step's time is the last one before its timers, or the first one after them. */
static void collect_steps(import_t *import)
{
    numbers_t numbers = {0};
    double told_s = 0;
    lspo_log_kind_t teller = find_teller(import);
    for (uint32_t i = 0; i < import->log.count; i++) {
        const lspo_log_record_t *record = &import->log.records[i];
        if (record->kind == LSPO_LOG_MICRO) {
            import->micros[import->micro_count++] = record;
            import->open_micro_count++;
        } else if (record->kind == LSPO_LOG_SUM || record->kind == LSPO_LOG_AVERAGE) {
            numbers.line_count += take_step(import, record, told_s);
        } else if (record->kind == LSPO_LOG_NUMBER) {
            take_number(import, &numbers, record->value);
        } else if (record->kind == teller) {
            told_s = teller == LSPO_LOG_SECONDS ? record->value : import->batch / record->value;
            for (uint32_t step = import->step_count; step > 0 && import->steps[step - 1].step_s == 0; step--)
                import->steps[step - 1].step_s = told_s;
        }
    }
    bool may_be_sum = import->interval_count == 0 && import->step_count < 3 && numbers.last > import->step_count;
    if (may_be_sum && told_s == 0 && import->step_count > 0 && !import->steps[0].averaged)
        lspo_warn("%s: it has only one step number, %g, so it is unknown how many steps each line of timers covers",
                  import->path, numbers.last);
}

/* A log with only micro-steps. */
static void take_micros_as_steps(import_t *import)
{
    for (uint32_t i = 0; i < import->micro_count; i++) {
        import->steps[i] = (lspo_log_step_t){.first_micro = i};
        memcpy(import->steps[i].ms, import->micros[i]->ms, sizeof import->steps[i].ms);
    }
    import->step_count = import->micro_count;
    import->open_micro_count = 0;
}

static lspo_status_t make_room(import_t *import)
{
    size_t room = (size_t)import->log.count + 1;
    import->micros = malloc(room * sizeof(*import->micros));
    import->steps = malloc(room * sizeof *import->steps);
    import->intervals = malloc(room * sizeof *import->intervals);
    if (!import->micros || !import->steps || !import->intervals)
        return lspo_no_memory("the steps of %s", import->path);
    return LSPO_OK;
}

/* Building the trace */

static lspo_status_t append_row(import_t *import, lspo_op_kind_t kind, lspo_lane_kind_t lane, uint32_t micro, double ms)
{
    lspo_trace_t *trace = import->trace;
    uint64_t duration_ns = (uint64_t)llround(1e6 * ms);
    if (duration_ns > INT64_MAX / 2 - import->now_ns || micro > UINT16_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: the steps take longer, or have more micro-steps, than a trace can hold",
                          import->path);
    trace->rows[trace->row_count] = (lspo_trace_row_t){.op = trace->row_count,
                                                       .kind = (uint8_t)kind,
                                                       .lane = (uint8_t)lane,
                                                       .micro = (uint16_t)micro,
                                                       .iteration = import->iteration_count,
                                                       .start_ns = import->now_ns,
                                                       .end_ns = import->now_ns + duration_ns};
    trace->row_count++;
    import->now_ns += duration_ns;
    return LSPO_OK;
}

static lspo_status_t append_micro(import_t *import, const double ms[LSPO_LOG_PHASE_COUNT], uint32_t micro)
{
    lspo_status_t status = append_row(import, LSPO_OP_FWD, LSPO_LANE_GPU, micro, ms[LSPO_LOG_FORWARD]);
    if (status != LSPO_OK)
        return status;
    return append_row(import, LSPO_OP_BWD, LSPO_LANE_GPU, micro, ms[LSPO_LOG_BACKWARD]);
}

/* Add forward and backward of each micro-step, or of the whole step; adds the time of updates to *update_ms. */
static lspo_status_t append_passes(import_t *import, const lspo_log_step_t *step, double *update_ms)
{
    if (step->micro_count == 0 || import->steps_per_line > 1) {
        const double ms[LSPO_LOG_PHASE_COUNT] = {step->ms[LSPO_LOG_FORWARD] / import->steps_per_line,
                                                 step->ms[LSPO_LOG_BACKWARD] / import->steps_per_line};
        *update_ms += step->ms[LSPO_LOG_STEP] / import->steps_per_line;
        return append_micro(import, ms, 0);
    }
    for (uint32_t micro = 0; micro < step->micro_count; micro++) {
        const double *ms = import->micros[step->first_micro + micro]->ms;
        lspo_status_t status = append_micro(import, ms, micro);
        if (status != LSPO_OK)
            return status;
        *update_ms += ms[LSPO_LOG_STEP];
    }
    return LSPO_OK;
}

/* One iteration: its micro-steps, then their updates as one; then unnamed time until its end. */
static lspo_status_t append_step(import_t *import, const lspo_log_step_t *step)
{
    uint64_t start_ns = import->now_ns;
    double update_ms = 0;
    lspo_status_t status = append_passes(import, step, &update_ms);
    if (status != LSPO_OK)
        return status;
    bool on_gpu = import->log.saw_gpu && !import->log.saw_cpu;
    status = append_row(import, on_gpu ? LSPO_OP_UPD_GPU : LSPO_OP_UPD, on_gpu ? LSPO_LANE_GPU : LSPO_LANE_CPU, 0,
                        update_ms);
    if (status != LSPO_OK)
        return status;
    uint64_t told_ns = step->step_s < 1e6 ? (uint64_t)llround(1e9 * step->step_s) : 0;
    if (import->now_ns < start_ns + told_ns)
        import->now_ns = start_ns + told_ns;
    import->iteration_count++;
    return LSPO_OK;
}

static void warn_of_log(const import_t *import)
{
    const lspo_log_t *log = &import->log;
    if (log->columns > 0)
        lspo_warn("%s: its lines are broken at %" PRIu32 " columns, as a terminal does; they are joined again",
                  import->path, log->columns);
    if (log->tail_cut)
        lspo_warn("%s: the last line is cut off and is left out", import->path);
    if (log->other_source_count > 0)
        lspo_warn("%s: left out lines of sources other than '%s': %" PRIu32, import->path, log->source,
                  log->other_source_count);
    if (log->other_rank_count > 0)
        lspo_warn("%s: left out lines of ranks other than 0: %" PRIu32, import->path, log->other_rank_count);
    if (log->bad_count > 0)
        lspo_warn("%s: left out lines with times that are negative, not numbers or too large: %" PRIu32
                  " (the first in line %" PRIu64 ")",
                  import->path, log->bad_count, log->bad_line);
}

static void warn_of_steps(const import_t *import)
{
    if (import->open_micro_count > 0)
        lspo_warn("%s: the last step did not end; left out its micro-steps: %" PRIu32, import->path,
                  import->open_micro_count);
    if (import->repeated_count > 0)
        lspo_warn("%s: left out lines that repeat the previous step: %" PRIu32, import->path, import->repeated_count);
    if (import->unequal_count > 0)
        lspo_warn(
            "%s: steps whose times differ from the sum of their micro-steps; the times of the steps are used: %" PRIu32,
            import->path, import->unequal_count);
    if (import->steps_per_line > 1)
        lspo_warn(
            "%s: by the step numbers, each line of timers is the sum over %g steps; an iteration here is their average",
            import->path, import->steps_per_line);
}

/* If batch and samples per second are known, they also give the time of a step. */
static void check_throughput(const import_t *import)
{
    const lspo_log_t *log = &import->log;
    if (import->batch <= 0 || log->samples_per_s <= 0 || import->iteration_count == 0)
        return;
    double told_s = import->batch / log->samples_per_s;
    double timed_s = 1e-9 * (double)import->now_ns / import->iteration_count;
    if (timed_s > 1.5 * told_s || told_s > 1.5 * timed_s)
        lspo_warn("%s: it contradicts itself: a step takes %.3g s by its timers, but %.3g s by its batch of %g and "
                  "%.4g samples per second",
                  import->path, timed_s, told_s, import->batch, log->samples_per_s);
}

static lspo_status_t build_of_timers(import_t *import)
{
    if (import->step_count == 0) {
        take_micros_as_steps(import);
        lspo_warn("%s: it has only the times of micro-steps; each one counts as a step", import->path);
    }
    const lspo_log_rhythm_t rhythm = {import->steps, import->step_count, import->interval_count, import->intervals};
    lspo_status_t status = lspo_log_steps_per_line(import->path, &rhythm, &import->steps_per_line);
    if (status != LSPO_OK)
        return status;
    status = lspo_trace_create(2 * import->micro_count + 3 * import->step_count, &import->trace);
    if (status != LSPO_OK)
        return status;
    for (uint32_t i = 0; i < import->step_count; i++) {
        status = append_step(import, &import->steps[i]);
        if (status != LSPO_OK)
            return status;
    }
    warn_of_steps(import);
    check_throughput(import);
    return LSPO_OK;
}

/* Logs without timers */

/* The times of steps, from the most precise source. */
typedef struct {
    double *seconds; /* owned */
    uint32_t count;
    const char *origin;
} times_t;

static void take_times(const import_t *import, lspo_log_kind_t kind, times_t *times)
{
    for (uint32_t i = 0; i < import->log.count; i++) {
        const lspo_log_record_t *record = &import->log.records[i];
        if (record->kind == kind)
            times->seconds[times->count++] = kind == LSPO_LOG_SECONDS ? record->value : import->batch / record->value;
    }
}

/* For a complete training: its time divided by its steps, if the log has their number, because the rate has few
 * digits. */
static double average_step_s(const lspo_log_t *log)
{
    double by_rate = log->run_steps_per_s > 0 ? 1 / log->run_steps_per_s : 0;
    double by_steps = log->run_s > 0 && log->run_steps > 0 ? log->run_s / log->run_steps : 0;
    return by_steps > 0 && fabs(by_steps - by_rate) < 0.1 * by_rate ? by_steps : by_rate;
}

static void find_times(const import_t *import, times_t *times)
{
    times->origin = "the time of a step";
    take_times(import, LSPO_LOG_SECONDS, times);
    if (times->count == 0 && import->batch > 0) {
        static const lspo_log_kind_t rates[] = {LSPO_LOG_RATE, LSPO_LOG_RATE_NOW, LSPO_LOG_RATE_OF_RUN};
        times->origin = "samples per second and the batch";
        for (int i = 0; i < 3 && times->count == 0; i++)
            take_times(import, rates[i], times);
    }
    double average_s = average_step_s(&import->log);
    if (times->count == 0 && average_s > 0) {
        times->origin = "the average over a training";
        times->seconds[0] = times->seconds[1] = average_s; /* the time from the end of one to that of the next */
        times->count = 2;
        if (import->log.run_count > 1)
            lspo_warn("%s: it has the averages of %" PRIu32 " trainings; the last one is used", import->path,
                      import->log.run_count);
    }
}

static lspo_status_t nothing_found(const import_t *import)
{
    const lspo_log_t *log = &import->log;
    static const char advice[] = "lines as 'time (ms) | fwd: ... | bwd: ... | step: ...', which DeepSpeed writes with "
                                 "\"wall_clock_breakdown\": true";
    if (log->samples_per_s > 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: no step times, but %.4g samples per second: give --batch N, the samples per step on all "
                          "GPUs; for the parts of a step, log %s",
                          import->path, log->samples_per_s, advice);
    if (log->cut_count > 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s:%" PRIu64 ": no step times, because lines of timers are cut off: %" PRIu32, import->path,
                          log->cut_line, log->cut_count);
    if (log->other_timers[0])
        return lspo_error(
            LSPO_ERR_INPUT,
            "%s: no step times: it has timers (%s), but not those of forward, backward and step; needed are %s",
            import->path, log->other_timers, advice);
    if (log->run_steps > 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: no step times, only a progress bar: train to the end, when the Trainer prints "
                          "train_steps_per_second; for the parts of a step, log %s",
                          import->path, advice);
    return lspo_error(LSPO_ERR_INPUT, "%s: no step times; needed are %s", import->path, advice);
}

/* Each iteration is a BWD of zero duration at its end. */
static lspo_status_t append_times(import_t *import, const times_t *times)
{
    lspo_status_t status = lspo_trace_create(times->count, &import->trace);
    if (status != LSPO_OK)
        return status;
    for (uint32_t i = 0; i < times->count; i++) {
        double step_ns = 1e9 * times->seconds[i];
        if (step_ns < 1 || step_ns > 1e15)
            return lspo_error(LSPO_ERR_INPUT, "%s: a step takes %.9g s; allowed are 1e-9 to 1e6 s", import->path,
                              times->seconds[i]);
        import->now_ns += (uint64_t)llround(step_ns);
        status = append_row(import, LSPO_OP_BWD, LSPO_LANE_GPU, 0, 0);
        import->iteration_count++;
        if (status != LSPO_OK)
            return status;
    }
    return lspo_trace_set_meta(import->trace, "parts", "unknown");
}

static lspo_status_t build_of_times(import_t *import)
{
    times_t times = {malloc(((size_t)import->log.count + 2) * sizeof(double)), 0, NULL};
    if (!times.seconds)
        return lspo_no_memory("the steps of %s", import->path);
    find_times(import, &times);
    lspo_status_t status = times.count > 0 ? append_times(import, &times) : nothing_found(import);
    if (status != LSPO_OK)
        goto cleanup;
    lspo_warn(
        "%s: it has only %s, so the parts of a step (times of GPU, links and CPU) are unknown%s", import->path,
        times.origin,
        import->log.saw_both_passes
            ? ".  Its timer forward-backward covers both passes; Megatron's --timing-log-level 2 times them separately"
            : "");
cleanup:
    free(times.seconds);
    return status;
}

/* The complete trace */

static lspo_status_t describe(const import_t *import)
{
    const lspo_log_t *log = &import->log;
    const char *place = log->saw_cpu ? "cpu" : log->saw_gpu ? "gpu" : "cpu, assumed";
    char text[32];
    lspo_status_t status = lspo_import_describe(import->trace, "deepspeed-log", import->path);
    if (status != LSPO_OK)
        return status;
    if (import->steps_per_line > 0)
        status = lspo_trace_set_meta(import->trace, "optimizer", place);
    if (status != LSPO_OK)
        return status;
    if (import->steps_per_line > 1) {
        snprintf(text, sizeof text, "%g", import->steps_per_line);
        status = lspo_trace_set_meta(import->trace, "steps-per-iteration", text);
    }
    if (status != LSPO_OK)
        return status;
    if (log->samples_per_s <= 0)
        return LSPO_OK;
    snprintf(text, sizeof text, "%.6g", log->samples_per_s);
    return lspo_trace_set_meta(import->trace, "samples-per-second", text);
}

static lspo_status_t read_and_build(import_t *import, double batch)
{
    lspo_status_t status = lspo_log_read(import->path, &import->log);
    if (status != LSPO_OK)
        return status;
    status = make_room(import);
    if (status != LSPO_OK)
        return status;
    import->batch = batch > 0 ? batch : import->log.batch;
    warn_of_log(import);
    collect_steps(import);
    bool timed = import->step_count + import->micro_count > 0;
    status = timed ? build_of_timers(import) : build_of_times(import);
    if (status != LSPO_OK)
        return status;
    return describe(import);
}

lspo_status_t lspo_import_deepspeed(const char *path, double batch, lspo_trace_t **trace_out)
{
    import_t import = {.path = path};
    lspo_status_t status = read_and_build(&import, batch);
    free(import.intervals);
    free(import.steps);
    free(import.micros);
    lspo_log_release(&import.log);
    if (status != LSPO_OK) {
        lspo_trace_destroy(import.trace);
        return status;
    }
    *trace_out = import.trace;
    return LSPO_OK;
}
