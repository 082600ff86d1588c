/* profile_maker.h - write a profile for a test event by event, and check its import and the messages. */
#ifndef TESTS_PROFILE_MAKER_H
#define TESTS_PROFILE_MAKER_H

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "traces/import/kineto.h"
#include "traces/summary.h"

/* A profile that is being written, event by event.  Times in microseconds. */
typedef struct {
    char text[1 << 18];
    size_t length;
    uint32_t event_count;
} profile_t;

static profile_t profile;
static char path[64];

static inline void begin(void)
{
    cr_redirect_stderr();
    strcpy(path, "/tmp/lspo-test-kineto-XXXXXX");
    int descriptor = mkstemp(path);
    cr_assert(descriptor >= 0);
    close(descriptor);
    profile.length = profile.event_count = 0;
}

static inline void end(void)
{
    unlink(path);
}

__attribute__((format(printf, 1, 2))) static inline void event(const char *format, ...)
{
    va_list arguments;
    size_t room = sizeof profile.text - profile.length;
    int written = snprintf(profile.text + profile.length, room, "%s", profile.event_count++ ? ",\n" : "");
    va_start(arguments, format);
    written += vsnprintf(profile.text + profile.length + written, room - (size_t)written, format, arguments);
    va_end(arguments);
    cr_assert_lt((size_t)written, room);
    profile.length += (size_t)written;
}

static inline void range(const char *name, int thread, double start, double duration)
{
    bool is_op = strncmp(name, "autograd", 8) == 0;
    event("{\"ph\":\"X\",\"cat\":\"%s\",\"name\":\"%s\",\"pid\":9,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f}",
          is_op ? "cpu_op" : "user_annotation", name, thread, start, duration);
}

static inline void step(int number, double start, double duration)
{
    char name[32];
    snprintf(name, sizeof name, "ProfilerStep#%d", number);
    range(name, 1, start, duration);
}

static inline void launch(int id, int thread, double start)
{
    event("{\"ph\":\"X\",\"cat\":\"cuda_runtime\",\"name\":\"cudaLaunchKernel\",\"pid\":9,\"tid\":%d,\"ts\":%.3f,"
          "\"dur\":1,\"args\":{\"correlation\":%d}}",
          thread, start, id);
}

static inline void kernel(int id, double start, double duration)
{
    event("{\"ph\":\"X\",\"cat\":\"kernel\",\"name\":\"k\",\"pid\":0,\"tid\":7,\"ts\":%.3f,\"dur\":%.3f,"
          "\"args\":{\"device\":0,\"stream\":7,\"correlation\":%d}}",
          start, duration, id);
}

/* Launched by `thread` at `at`, run 5 us later. */
static inline void work(int id, int thread, double at, double duration)
{
    launch(id, thread, at);
    kernel(id, at + 5, duration);
}

static inline const char *write_profile(void)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fprintf(file, "{\"traceEvents\":[%.*s]}", (int)profile.length, profile.text);
    cr_assert_eq(fclose(file), 0);
    return path;
}

static inline const char *case_path(const char *name)
{
    static char text[512];
    const char *source = getenv("LSPO_SOURCE");
    snprintf(text, sizeof text, "%s/tests/data/cases/kineto/%s", source ? source : ".", name);
    return text;
}

/* What was said since the last call. */
static inline const char *said(void)
{
    static char text[1 << 14];
    fflush(stderr);
    size_t length = fread(text, 1, sizeof text - 1, cr_get_redirected_stderr());
    text[length] = '\0';
    return text;
}

static inline uint64_t busy_us(const lspo_trace_t *trace, int kind, lspo_lane_kind_t lane)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < trace->row_count; i++)
        if (trace->rows[i].lane == lane && (kind < 0 || trace->rows[i].kind == kind))
            sum += trace->rows[i].end_ns - trace->rows[i].start_ns;
    return sum / 1000;
}

static inline uint32_t iterations_of(const lspo_trace_t *trace)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < trace->row_count; i++)
        count = trace->rows[i].iteration >= count ? trace->rows[i].iteration + 1 : count;
    return count;
}

static inline lspo_trace_t *import_profile(void)
{
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_import_kineto(write_profile(), NULL, NULL, &trace), LSPO_OK, "%s", said());
    return trace;
}

static inline void forward_and_backward(int first_id, double start)
{
    work(first_id, 1, start + 10, 50);
    range("autograd::engine::evaluate_function: MmBackward0", 2, start + 100, 100);
    work(first_id + 1, 2, start + 110, 60);
}

/* `count` marked steps of 1000 us, with an optimizer in those for which (step + shift) % every is every - 1. */
static inline void accumulate(int count, int every, int shift)
{
    for (int i = 0; i < count; i++) {
        step(i, i * 1000, 1000);
        forward_and_backward(1 + 10 * i, i * 1000);
        if ((i + shift) % every == every - 1) {
            range("Optimizer.step#AdamW.step", 1, i * 1000 + 500, 100);
            work(3 + 10 * i, 1, i * 1000 + 510, 30);
        }
    }
}

#endif
