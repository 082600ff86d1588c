/* Logs as people have them: sums of several steps, labels, broken lines, no parts.  Values are worked out by hand. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "traces/import/deepspeed.h"
#include "traces/typical.h"

static char path[64], text[1 << 16];
static size_t length;

static void begin(void)
{
    cr_redirect_stderr();
    strcpy(path, "/tmp/lspo-test-log-XXXXXX");
    int descriptor = mkstemp(path);
    cr_assert(descriptor >= 0);
    close(descriptor);
    length = 0;
}

static void end(void)
{
    unlink(path);
}

TestSuite(import_log, .init = begin, .fini = end);

__attribute__((format(printf, 1, 2))) static void print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    length += (size_t)vsnprintf(text + length, sizeof text - length, format, arguments);
    va_end(arguments);
    cr_assert_lt(length, sizeof text);
}

static const char *case_path(const char *name)
{
    static char whole[512];
    const char *source = getenv("LSPO_SOURCE");
    snprintf(whole, sizeof whole, "%s/tests/data/cases/dslog/%s", source ? source : ".", name);
    return whole;
}

static const char *said(void)
{
    static char words[1 << 13];
    fflush(stderr);
    size_t count = fread(words, 1, sizeof words - 1, cr_get_redirected_stderr());
    words[count] = '\0';
    return words;
}

static lspo_status_t import_text(double batch, lspo_trace_t **trace_out)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(text, 1, length, file), length);
    fclose(file);
    length = 0;
    return lspo_import_deepspeed(path, batch, trace_out);
}

static uint32_t iterations_of(const lspo_trace_t *trace)
{
    return trace->row_count > 0 ? trace->rows[trace->row_count - 1].iteration + 1 : 0;
}

/* What is imported now has `iterations` of about these times (to a hundredth), and says `words`. */
static void expect_trace(lspo_trace_t *trace, const char *name, uint32_t iterations, const double times_s[3],
                         const char *words)
{
    lspo_typical_t typical;
    cr_assert_eq(lspo_typical_iteration(trace, &typical), LSPO_OK, "%s: %s", name, said());
    const double got_s[3] = {typical.iteration_s, typical.busy_s[LSPO_LANE_GPU], typical.busy_s[LSPO_LANE_CPU]};
    for (int i = 0; i < 3; i++)
        cr_expect_float_eq(got_s[i], times_s[i], 0.005 * times_s[i], "%s: time %d is %g s, not %g", name, i, got_s[i],
                           times_s[i]);
    cr_expect_eq(iterations_of(trace), iterations, "%s: %u iterations", name, iterations_of(trace));
    const char *got = said();
    cr_expect(words[0] ? strstr(got, words) != NULL : got[0] == '\0', "%s: %s", name, got);
    lspo_trace_destroy(trace);
}

/* The files: forward 120, backward 380, step 900 ms, if not said otherwise. */
Test(import_log, files)
{
    static const struct {
        const char *file;
        double batch;
        uint32_t iterations;
        double times_s[3]; /* iteration, GPU, CPU */
        const char *words;
    } cases[] = {
        {"ok.log", 0, 8, {1.401, 0.501, 0.9}, ""},
        {"ansi.log", 0, 8, {1.401, 0.501, 0.9}, ""},
        {"crlf.log", 0, 8, {1.401, 0.501, 0.9}, ""},
        {"restart.log", 0, 8, {1.401, 0.501, 0.9}, ""},
        {"gas4.log", 0, 6, {2.906, 2.005, 0.9}, ""},
        {"overflow.log", 0, 12, {1.401, 0.501, 0.9}, ""}, /* in 4 of 12 steps nothing is updated */
        {"nan_timer.log",
         0,
         8,
         {1.401, 0.501, 0.9},
         "left out lines with times that are negative, not numbers or too large: 1"},
        {"pdsh_label.log", 0, 8, {1.401, 0.501, 0.9}, "left out lines of sources other than 'worker-0': 16"},
        {"srun_label.log", 0, 8, {1.401, 0.501, 0.9}, "left out lines of sources other than '0': 16"},
        {"torchrun_label.log", 0, 8, {1.401, 0.501, 0.9}, "left out lines of sources other than '[rank0]': 16"},
        {"wrapped80.log", 0, 8, {1.401, 0.501, 0.9}, "its lines are broken at 80 columns"},
        {"megatron.log", 0, 6, {42.4665, 3.7258, 38.74}, ""},
        {"pipeline.log", 0, 5, {0.91, 0.7907, 0.00125}, "each line of timers is the sum over 10"},
        {"no_breakdown.log", 8, 8, {8 / 6.31, 0, 0}, "it has only samples per second and the batch"},
        {"hf_trainer.log", 0, 2, {3.15, 0, 0}, "it has only the average over a training"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_trace_t *trace = NULL;
        cr_assert_eq(lspo_import_deepspeed(case_path(cases[i].file), cases[i].batch, &trace), LSPO_OK, "%s: %s",
                     cases[i].file, said());
        expect_trace(trace, cases[i].file, cases[i].iterations, cases[i].times_s, cases[i].words);
    }
}

Test(import_log, files_that_are_refused)
{
    static const char *const cases[][2] = {
        {"no_breakdown.log", "no step times, but 6.3 samples per second: give --batch N"},
        {"sparse.log",
         "it has timers (optimizer_allgather, optimizer_gradients, optimizer_step), but not those of forward"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_trace_t *trace = NULL;
        cr_expect_eq(lspo_import_deepspeed(case_path(cases[i][0]), 0, &trace), LSPO_ERR_INPUT);
        const char *got = said();
        cr_expect_not_null(strstr(got, cases[i][1]), "%s: %s", cases[i][0], got);
    }
}

/* Sums */

/* `blocks` sums of `every` steps of 100, 200 and 50 ms, with the steps' numbers and what else `extra` says. */
static void print_sums(int blocks, int every, const char *number, const char *extra)
{
    for (int block = 1; block <= blocks; block++) {
        if (number)
            print("[Rank 0] ");
        if (number)
            print(number, block * every);
        print("\n%s[Rank 0] time (ms) | fwd_microstep: %.2f | bwd_microstep: %.2f | step_microstep: %.2f\n"
              "[Rank 0] time (ms) | fwd: %.2f | bwd: %.2f | step: %.2f\n",
              extra, 100.0 * every + 0.01 * block, 200.0 * every, 50.0 * every, 100.0 * every + 0.01 * block,
              200.0 * every, 50.0 * every);
    }
}

Test(import_log, sums_of_several_steps)
{
    static const struct {
        int every;
        const char *number, *extra;
        double batch, iteration_s;
    } cases[] = {
        {1, "step=%d, skipped=0\n", "", 0, 0.35},
        {10, "step=%d, skipped=0\n", "", 0, 0.35},
        {5, "step=%d, skipped=2\n", "loss: 1.0 iter time (s): 0.400 samples/sec: 20.0\n", 0, 0.4},
        {10, "epoch=0/micro_step=7/global_step=%d, RunningAvgSamplesPerSec=22.8, CurrSamplesPerSec=22.9\n", "", 0,
         0.35},
        {2, "steps: %d loss: 4.1 iter time (s): 0.350 samples/sec: 22.8\n", "", 0, 0.35},
        {10, "steps: %d loss: 4.1 samples/sec: 20.0\n", "", 8, 0.4},
        {1, NULL, "iter time (s): 0.351\n", 0, 0.351},
        {1, NULL, "iteration 7/ 99 | elapsed time per iteration (ms): 500.0 |\n", 0, 0.5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[32];
        lspo_trace_t *trace = NULL;
        snprintf(name, sizeof name, "case %zu", i);
        print_sums(7, cases[i].every, cases[i].number, cases[i].extra);
        cr_assert_eq(import_text(cases[i].batch, &trace), LSPO_OK, "%s: %s", name, said());
        char words[64] = "";
        if (cases[i].every > 1)
            snprintf(words, sizeof words, "each line of timers is the sum over %d steps;", cases[i].every);
        const char *told = lspo_trace_meta(trace, "steps-per-iteration");
        cr_expect_eq(told ? atoi(told) : 1, cases[i].every, "%s", name);
        expect_trace(trace, name, 7, (double[3]){cases[i].iteration_s, 0.3, 0.05}, words);
    }
}

/* A number of a step every ten steps, timers every step, as DeepSpeed prints them. */
Test(import_log, numbers_every_ten_steps_and_timers_every_step)
{
    lspo_trace_t *trace = NULL;
    for (int step = 1; step <= 45; step++) {
        print("[Rank 0] time (ms) | fwd: %.2f | bwd: 200.00 | step: 50.00\n", 100 + 0.01 * step);
        if (step % 10 == 0)
            print("[Rank 0] step=%d, skipped=0, lr=[0.001]\n", step);
    }
    cr_assert_eq(import_text(0, &trace), LSPO_OK);
    expect_trace(trace, "each step", 45, (double[3]){0.35, 0.3, 0.05}, "");
}

Test(import_log, contradictions_are_refused)
{
    lspo_trace_t *trace = NULL;
    print_sums(5, 10, NULL, "iter time (s): 0.400\n"); /* sums of 10, and no number says so */
    cr_expect_eq(import_text(0, &trace), LSPO_ERR_INPUT);
    cr_expect_not_null(strstr(said(), "its timers add up to 8.75 times the step time in the log"));

    print_sums(5, 10, "step=%d, skipped=0\n", "iter time (s): 0.100\n");
    cr_expect_eq(import_text(0, &trace), LSPO_ERR_INPUT);
    cr_expect_not_null(strstr(said(), "the log contradicts itself"));

    for (int i = 1; i < 8; i++) /* 1, 4, 9, ... */
        print("step=%d, skipped=0\n[Rank 0] time (ms) | fwd: %d.00 | bwd: 200.00 | step: 50.00\n", i * i * i, 100 * i);
    cr_expect_eq(import_text(0, &trace), LSPO_ERR_INPUT);
    cr_expect_not_null(strstr(said(), "sums over different numbers of steps"));

    print_sums(5, 1, NULL, "train_batch_size ............. 64\nRunningAvgSamplesPerSec=10.0, CurrSamplesPerSec=10.0\n");
    cr_assert_eq(import_text(0, &trace), LSPO_OK);
    cr_expect_not_null(
        strstr(said(), "it contradicts itself: a step takes 0.35 s by its timers, but 6.4 s by its batch"));
    lspo_trace_destroy(trace);
}

/* Ends of files */

Test(import_log, last_lines)
{
    static const struct {
        const char *tail;
        uint32_t iterations;
        bool cut;
    } cases[] = {
        {"step: 50.25", 4, false}, {"step: 50.25\n", 4, false},   {"step: 50.2", 3, true}, {"step: 5", 3, true},
        {"st", 3, true},           {"step: 50.25\r\n", 4, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_trace_t *trace = NULL;
        for (int step = 0; step < 3; step++)
            print("time (ms) | fwd: 10%d.00 | bwd: 200.00 | step: 50.25\n", step);
        print("time (ms) | fwd: 104.00 | bwd: 200.00 | %s", cases[i].tail);
        cr_assert_eq(import_text(0, &trace), LSPO_OK);
        cr_expect_eq(iterations_of(trace), cases[i].iterations, "case %zu: %u", i, iterations_of(trace));
        cr_expect_eq(strstr(said(), "the last line is cut off") != NULL, cases[i].cut, "case %zu", i);
        lspo_trace_destroy(trace);
    }
}

/* Broken at any width from 30 columns on, within a name, a number or the words before: the same. */
Test(import_log, broken_lines)
{
    static char whole[sizeof text];
    for (int step = 0; step < 6; step++)
        print("[2024-05-01 10:00:00,100] [INFO] [Rank 0] time (ms) | fwd: 10%d.25 | bwd: 200.00 | bwd_inner: 1.00 | "
              "step: 50.75\n",
              step);
    memcpy(whole, text, length + 1);
    for (int columns = 30; columns < 110; columns++) {
        length = 0;
        int column = 0;
        for (const char *p = whole; *p != '\0'; p++) {
            if (*p != '\n' && column == columns)
                print("\n");
            column = *p == '\n' ? 0 : column == columns ? 1 : column + 1;
            print("%c", *p);
        }
        lspo_trace_t *trace = NULL;
        cr_assert_eq(import_text(0, &trace), LSPO_OK, "%d columns", columns);
        cr_assert_eq(trace->row_count, 18u, "%d columns: %u rows", columns, trace->row_count);
        cr_expect_eq(trace->rows[17].end_ns - trace->rows[17].start_ns, 50750000u, "%d columns", columns);
        (void)said();
        lspo_trace_destroy(trace);
    }
}

/* Megatron's lines before its timers are longer than these, and all of one length: they are not broken. */
Test(import_log, long_lines_of_one_length)
{
    lspo_trace_t *trace = NULL;
    for (int step = 1; step < 7; step++)
        print(" iteration %8d/ 500 | consumed samples: 10 | elapsed time per iteration (ms): 43000.0 | lm loss: 1.0 | "
              "grad "
              "norm: 1.0 | number of skipped iterations: 0 |\ntime (ms) | forward: 21%d.71 | backward: 3509.10 | "
              "optimizer: "
              "38738.77 | batch generator: 4.65\n",
              10 * step, step);
    cr_assert_eq(import_text(0, &trace), LSPO_OK);
    expect_trace(trace, "Megatron", 6, (double[3]){43, 3.7232, 38.7388}, "");
}

/* Timers over all ranks, a line each; `form` of the block.  Steps of 300 ms: 80, 160 and 40 ms of the slowest rank. */
static void print_ranks(int block, const char *label, int form)
{
    static const struct {
        const char *name;
        double ms;
    } timers[] = {{"forward-backward", 245}, {"forward-compute", 80},      {"backward-compute", 160},
                  {"batch-generator", 2},    {"optimizer-inner-step", 30}, {"optimizer", 40}};
    static const char *const heads[] = {
        "(min, max) time across ranks (ms):", "max time across ranks (ms):", "times across ranks (ms):"};
    print("%s iteration %8d/ 500 | consumed samples: 10 | elapsed time per iteration (ms): 300.%d | lm loss: 1.0 |\n",
          label, 10 * block, block);
    print("%s[Rank 0] (after 10 iterations) memory (MB) | allocated: 1.0\n%s%s\n", label, label, heads[form]);
    for (size_t i = 0; i < sizeof timers / sizeof timers[0]; i++) {
        const double ms = timers[i].ms + 0.01 * block;
        if (form == 0)
            print("%s    %s .....................: (%.2f, %.2f)\n", label, timers[i].name, 0.9 * ms, ms);
        else if (form == 1)
            print("%s    %s .....................: %.2f\n", label, timers[i].name, ms);
        else
            print("%s  %s:\n%s     rank  0: %.2f\n%s     rank  1: %.2f\n", label, timers[i].name, label, ms, label,
                  0.9 * ms);
    }
}

Test(import_log, timers_over_all_ranks)
{
    for (int form = 0; form < 3; form++) {
        lspo_trace_t *trace = NULL;
        for (int block = 1; block < 6; block++)
            print_ranks(block, "", form);
        cr_assert_eq(import_text(0, &trace), LSPO_OK, "form %d: %s", form, said());
        expect_trace(trace, "ranks", 5, (double[3]){0.3, 0.24, 0.04}, "");
        for (int block = 1; block < 6; block++) {
            print_ranks(block, "[default7]:", form);
            print("[default3]:    forward-compute .....: (10.00, 20.00)\n");
        }
        cr_assert_eq(import_text(0, &trace), LSPO_OK, "form %d: %s", form, said());
        expect_trace(trace, "ranks with a label", 5, (double[3]){0.3, 0.24, 0.04},
                     "left out lines of sources other than '[default7]': 5");
    }
}

/* Of a block that lacks a phase, or has a time that is none, the time of the step is what is left. */
Test(import_log, timers_over_all_ranks_that_are_not_whole)
{
    static const struct {
        const char *timers, *words;
    } cases[] = {
        {"    forward-backward ....: (240.00, 245.00)\n    optimizer ....: (40.00, 40.00)\n",
         "--timing-log-level 2 times them separately"},
        {"    forward-compute ....: (1.00, nan)\n    backward-compute ....: (1.00, 2.00)\n    optimizer ....: (1.00, "
         "2.00)\n",
         "left out lines with times that are negative, not numbers or too large: 4"},
        {"    forward-compute ....: (1.00, 2.00)\n    backward-compute ....: (1.00,\n    optimizer ....: (1.00, "
         "2.00)\n",
         "negative, not numbers or too large: 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_trace_t *trace = NULL;
        for (int block = 1; block < 5; block++)
            print(
                " iteration %d/ 50 | elapsed time per iteration (ms): 300.0 |\n(min, max) time across ranks (ms):\n%s",
                block, cases[i].timers);
        cr_assert_eq(import_text(0, &trace), LSPO_OK, "case %zu: %s", i, said());
        cr_expect_str_eq(lspo_trace_meta(trace, "parts"), "unknown");
        expect_trace(trace, "not whole", 4, (double[3]){0.3, 0, 0}, cases[i].words);
    }
}

/* A device's rate is no batch: per_device_train_batch_size is not the samples of a step. */
Test(import_log, batch_of_a_step)
{
    lspo_trace_t *trace = NULL;
    for (int step = 1; step < 5; step++)
        print("per_device_train_batch_size=3,\n\"train_batch_size\": 12,\nCurrSamplesPerSec=6.0\n");
    cr_assert_eq(import_text(0, &trace), LSPO_OK);
    cr_expect_str_eq(lspo_trace_meta(trace, "parts"), "unknown");
    expect_trace(trace, "batch", 4, (double[3]){2, 0, 0}, "samples per second and the batch");
}

/* A shell of Windows writes UTF-16, and old logs are packed: nothing would be found, without a reason. */
Test(import_log, what_is_no_text_is_named)
{
    static const struct {
        const char *bytes, *words;
    } cases[] = {{"\xff\xfe[\x01", "text in UTF-16"}, {"\xfe\xff\x01[", "text in UTF-16"}, {"\x1f\x8b\x08", "by gzip"}};
    lspo_trace_t *trace;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        print("%s", cases[i].bytes);
        cr_expect_eq(import_text(0, &trace), LSPO_ERR_INPUT);
        const char *got = said();
        cr_expect_not_null(strstr(got, cases[i].words), "%s", got);
    }
}

Test(import_log, a_time_with_more_behind_it_is_no_time)
{
    lspo_trace_t *trace;
    for (int i = 0; i < 5; i++)
        print("time (ms) | fwd: %s | bwd: 380.0%d | step: 900.00\n", i == 2 ? "1,120.00" : "120.00", i);
    cr_assert_eq(import_text(0, &trace), LSPO_OK);
    expect_trace(trace, "thousands", 4, (double[]){1.4, 0.5, 0.9},
                 "negative, not numbers or too large: 1 (the first in line 3)");
}

Test(import_log, one_of_several_trainings_is_taken_aloud)
{
    lspo_trace_t *trace;
    print("{'train_runtime': 63.0, 'train_steps_per_second': 0.4}\n  train_steps_per_second = 0.4\n");
    cr_assert_eq(import_text(0, &trace), LSPO_OK);
    cr_expect_null(strstr(said(), "trainings"));
    lspo_trace_destroy(trace);
    print("{'train_steps_per_second': 0.4}\n{'train_steps_per_second': 0.5}\n");
    cr_assert_eq(import_text(0, &trace), LSPO_OK);
    cr_expect_eq(iterations_of(trace), 2);
    cr_expect_not_null(strstr(said(), "averages of 2 trainings; the last one is used"));
    lspo_trace_destroy(trace);
}
