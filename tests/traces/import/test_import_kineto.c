/* Profiles as people have them: damaged, nested, accumulated.  The right value of each is worked out by hand. */
#include "tests/profile_maker.h"

TestSuite(import_kineto, .init = begin, .fini = end);

/* Files */

/* All are one profile of 6 steps: GPU 700, D2H 100, H2D 50, CPU optimizer 150 us a step, 1 and 0.5 MB; with one
 * fault. */
Test(import_kineto, faults_of_files)
{
    static const struct {
        const char *file, *says; /* "": nothing */
        uint32_t steps, missing_us;
    } cases[] = {
        {"ok.json", "", 6, 0},
        {"inf.json", "JSON does not allow: 1 (the first in line 110)", 6, 0},
        {"nan.json", "JSON does not allow: 1 (the first in line 110)", 6, 0},
        {"NaN.json", "JSON does not allow: 1 (the first in line 110)", 6, 0},
        {"backslash.json", "JSON does not allow: 2 (the first in line 3)", 6, 0},
        {"trailing_comma.json", "", 6, 0},
        {"no_close.json", "the file has no proper end", 6, 0},
        {"quote_missing.json", "skipped places that are not JSON, up to the next event", 6, 300},
        {"neg_dur.json", "negative, too large or not a number, so busy times are too short: 1", 6, 0},
        {"merged_ranks.json",
         "pid 4242 is used, which marks the first step, and 72 events of others are left out: pid 104242", 6, 0},
        {"gaps.json", "launched outside the steps: 4 of 24", 5, 0},
        {"corr64.json", "", 6, 0},
        {"xpu.json", "", 6, 0},
        {"mtia.json", "", 6, 0},
        {"one_step.json", "", 1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_trace_t *trace = NULL;
        cr_assert_eq(lspo_import_kineto(case_path(cases[i].file), NULL, NULL, &trace), LSPO_OK, "%s", cases[i].file);
        const char *text = said();
        cr_expect(cases[i].says[0] ? strstr(text, cases[i].says) != NULL : text[0] == '\0', "%s: %s", cases[i].file,
                  text);
        cr_expect_eq(iterations_of(trace), cases[i].steps, "%s", cases[i].file);
        cr_expect_eq(busy_us(trace, -1, LSPO_LANE_GPU), 700 * cases[i].steps - cases[i].missing_us, "%s",
                     cases[i].file);
        cr_expect_eq(busy_us(trace, LSPO_OP_BWD, LSPO_LANE_GPU), 400 * cases[i].steps, "%s", cases[i].file);
        cr_expect_eq(busy_us(trace, -1, LSPO_LANE_D2H), 100 * cases[i].steps, "%s", cases[i].file);
        cr_expect_eq(busy_us(trace, -1, LSPO_LANE_H2D), 50 * cases[i].steps, "%s", cases[i].file);
        cr_expect_eq(busy_us(trace, -1, LSPO_LANE_CPU), 150 * cases[i].steps, "%s", cases[i].file);
        uint64_t bytes = 0;
        for (uint32_t row = 0; row < trace->row_count; row++)
            bytes += trace->rows[row].bytes;
        cr_expect_eq(bytes, 1500000 * cases[i].steps, "%s", cases[i].file);
        lspo_trace_destroy(trace);
    }
}

Test(import_kineto, files_that_are_refused)
{
    static const struct {
        const char *file, *says;
    } cases[] = {
        {"two_ranks.json", "the profiles of several ranks are mixed in this file"},
        {"same_dev_two_ranks.json", "the profiles of several ranks are mixed in this file"},
        {"autograd_1_4.json", "its events have no category"},
        {"bomb.json.gz", "it expands to more than"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_trace_t *trace = NULL;
        cr_expect_eq(lspo_import_kineto(case_path(cases[i].file), NULL, NULL, &trace), LSPO_ERR_INPUT);
        const char *text = said();
        cr_expect_not_null(strstr(text, cases[i].says), "%s: %s", cases[i].file, text);
    }
    static const char *const texts[][2] = {
        {"PK\003\004 and so on", "zip archive"}, {"\xff\xfe{", "UTF-16"}, {"[] []", "two profiles in one file"}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        lspo_trace_t *trace = NULL;
        FILE *file = fopen(path, "w");
        fputs(texts[i][0], file);
        fclose(file);
        cr_expect_eq(lspo_import_kineto(path, NULL, NULL, &trace), LSPO_ERR_INPUT);
        const char *text = said();
        cr_expect_not_null(strstr(text, texts[i][1]), "%s", text);
    }
}

/* Optimizers */

/* A step of 1000 us; what `optimizer` adds from 500 us on is an optimizer of the GPU for `gpu` us and of the CPU for
 * `cpu` us. */
static void check_optimizer(const char *name, void (*optimizer)(void), uint64_t gpu, uint64_t cpu)
{
    profile.length = profile.event_count = 0;
    step(0, 0, 1000);
    forward_and_backward(1, 0);
    optimizer();
    lspo_trace_t *trace = import_profile();
    cr_expect_eq(busy_us(trace, LSPO_OP_UPD_GPU, LSPO_LANE_GPU), gpu, "%s: GPU %" PRIu64, name,
                 busy_us(trace, LSPO_OP_UPD_GPU, LSPO_LANE_GPU));
    cr_expect_eq(busy_us(trace, -1, LSPO_LANE_CPU), cpu, "%s: CPU %" PRIu64, name, busy_us(trace, -1, LSPO_LANE_CPU));
    lspo_trace_destroy(trace);
}

static void gpu_step(void)
{
    range("Optimizer.step#AdamW.step", 1, 500, 100);
    work(10, 1, 510, 30);
}
static void in_annotation(void)
{
    range("## optimizer ##", 1, 490, 120);
    gpu_step();
}
static void in_three(void)
{
    range("optimizer", 1, 480, 140);
    in_annotation();
}
static void with_groups(void)
{
    gpu_step();
    range("optimizer step group 0", 1, 505, 40); /* holds the launch */
    range("optimizer step group 1", 1, 550, 40); /* no parameters    */
}
static void overlapping(void) /* neither lies in the other */
{
    range("optimizer step prologue", 1, 450, 55);
    gpu_step();
    range("optimizer step epilogue", 1, 590, 60);
}
static void on_other_thread(void)
{
    range("## optimizer ##", 1, 490, 120);
    range("Optimizer.step#AdamW.step", 3, 500, 100);
    work(10, 3, 510, 30);
    range("optimizer step group 0", 4, 520, 30);
}
static void of_other_device(void) /* the second half of a model on two devices */
{
    range("Optimizer.step#AdamW.step", 1, 500, 100);
    launch(10, 1, 510);
    event("{\"ph\":\"X\",\"cat\":\"kernel\",\"name\":\"k\",\"ts\":515,\"dur\":30,\"args\":{\"device\":1,"
          "\"correlation\":10}}");
}
static void of_damaged_kernel(void)
{
    range("Optimizer.step#AdamW.step", 1, 500, 100);
    launch(10, 1, 510);
    event("{\"ph\":\"X\",\"cat\":\"kernel\",\"name\":\"k\",\"ts\":515,\"dur\":-1,\"args\":{\"device\":0,"
          "\"correlation\":10}}");
}
static void cpu_step(void)
{
    range("Optimizer.step#Adam.step", 1, 500, 100);
}
static void cpu_in_annotation(void) /* which also casts something on the GPU */
{
    range("## optimizer ##", 1, 490, 200);
    range("Optimizer.step#Adam.step", 1, 500, 100);
    work(10, 1, 650, 30);
}
static void deepspeed_in_annotation(void)
{
    range("optimizer step", 1, 490, 120);
    range("Optimizer.step#DeepSpeedCPUAdam.step", 1, 500, 100);
    work(10, 1, 580, 30); /* brings the result into the weights */
}
static void one_of_each(void)
{
    range("optimizer", 1, 450, 450);
    gpu_step();
    range("Optimizer.step#Adam.step", 1, 700, 100);
}

Test(import_kineto, optimizers_of_gpu_and_cpu)
{
    check_optimizer("alone", gpu_step, 30, 0);
    check_optimizer("in an annotation", in_annotation, 30, 0);
    check_optimizer("in two annotations", in_three, 30, 0);
    check_optimizer("around groups", with_groups, 30, 0);
    check_optimizer("overlapping others", overlapping, 30, 0);
    check_optimizer("on another thread", on_other_thread, 30, 0);
    check_optimizer("of another device", of_other_device, 0, 0);
    check_optimizer("of a damaged kernel", of_damaged_kernel, 0, 0);
    check_optimizer("of the CPU", cpu_step, 0, 100);
    check_optimizer("of the CPU in an annotation", cpu_in_annotation, 30, 100);
    check_optimizer("DeepSpeed's in an annotation", deepspeed_in_annotation, 0, 100);
    check_optimizer("one of each", one_of_each, 30, 100);
}

/* Without launches an optimizer that launched nothing cannot be told from one whose launches are missing. */
Test(import_kineto, without_launches_no_optimizer_is_the_cpus)
{
    step(0, 0, 1000);
    kernel(1, 20, 50);
    kernel(2, 900, 50);
    range("Optimizer.step#AdamW.step", 1, 500, 100);
    lspo_trace_t *trace = import_profile();
    cr_expect_eq(busy_us(trace, -1, LSPO_LANE_CPU), 0);
    cr_expect_not_null(strstr(said(), "no GPU event has a launch"));
    lspo_trace_destroy(trace);
}

Test(import_kineto, files_with_optimizers)
{
    static const char *const files[] = {"gpu_optimizer_in_range.json", "gpu_optimizer_plain.json"};
    for (int i = 0; i < 2; i++) {
        lspo_trace_t *trace = NULL;
        cr_assert_eq(lspo_import_kineto(case_path(files[i]), NULL, NULL, &trace), LSPO_OK);
        cr_expect_eq(busy_us(trace, LSPO_OP_UPD_GPU, LSPO_LANE_GPU), 6u * 120, "%s", files[i]);
        cr_expect_eq(busy_us(trace, -1, LSPO_LANE_CPU), 0, "%s", files[i]);
        lspo_trace_destroy(trace);
    }
}

/* Steps */

/* Iterations end 1000 us after each other, or `every` times that where an optimizer's step takes so many. */
Test(import_kineto, accumulation_over_marked_steps)
{
    static const struct {
        int count, every, shift;
        uint32_t iterations, micros;
        const char *says;
    } cases[] = {
        {6, 1, 0, 6, 1, ""},
        {8, 4, 0, 2, 4,
         "only once in 4 marked steps (gradient accumulation), so 4 steps are one iteration; left out steps "
         "of incomplete iterations: 0"},
        {9, 2, 1, 4, 2, "2 steps are one iteration; left out steps of incomplete iterations: 1"},
        {10, 3, 1, 2, 3, "left out steps of incomplete iterations: 4"},
        {6, 4, 0, 6, 1, "the optimizer runs in 1 of 6 steps, at irregular distances"},
        {3, 8, 0, 3, 1, "no optimizer step is marked"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        profile.length = profile.event_count = 0;
        accumulate(cases[i].count, cases[i].every, cases[i].shift);
        lspo_trace_t *trace = import_profile();
        const char *text = said();
        cr_expect(cases[i].says[0] ? strstr(text, cases[i].says) != NULL : text[0] == '\0', "case %zu: %s", i, text);
        cr_expect_eq(iterations_of(trace), cases[i].iterations, "case %zu: %u", i, iterations_of(trace));
        uint32_t micros = 0;
        for (uint32_t row = 0; row < trace->row_count; row++)
            micros = trace->rows[row].micro >= micros ? trace->rows[row].micro + 1u : micros;
        cr_expect_eq(micros, cases[i].micros, "case %zu: %u", i, micros);
        cr_expect_eq(busy_us(trace, LSPO_OP_BWD, LSPO_LANE_GPU), 60 * cases[i].iterations * cases[i].micros, "case %zu",
                     i);
        lspo_summary_t summary;
        cr_assert_eq(lspo_summary_create(trace, 0, &summary), LSPO_OK);
        cr_expect_float_eq(summary.iteration_s, 1e-3 * cases[i].micros, 1e-9, "case %zu", i);
        lspo_summary_release(&summary);
        lspo_trace_destroy(trace);
    }
}

/* Step 2's mark is damaged: what it launched is no part of step 1. */
Test(import_kineto, steps_without_times)
{
    for (int i = 0; i < 4; i++) {
        if (i == 2)
            event("{\"ph\":\"X\",\"cat\":\"user_annotation\",\"name\":\"ProfilerStep#2\",\"tid\":1,\"ts\":null,\"dur\":"
                  "1000}");
        else
            step(i, i * 1000, 999);
        forward_and_backward(1 + 10 * i, i * 1000);
    }
    lspo_trace_t *trace = import_profile();
    cr_expect_eq(iterations_of(trace), 3u);
    cr_expect_eq(busy_us(trace, -1, LSPO_LANE_GPU), 3u * 110);
    cr_expect_not_null(strstr(said(), "is missing, negative, too large or not a number: 1"));
    lspo_trace_destroy(trace);

    /* Its end is damaged: it lasts until the next begins. */
    profile.length = profile.event_count = 0;
    for (int i = 0; i < 3; i++) {
        event("{\"ph\":\"X\",\"cat\":\"user_annotation\",\"name\":\"ProfilerStep#%d\",\"tid\":1,\"ts\":%d,\"dur\":%s}",
              i, i * 1000, i == 1 ? "-1" : "1000");
        forward_and_backward(1 + 10 * i, i * 1000);
    }
    trace = import_profile();
    cr_expect_eq(iterations_of(trace), 3u);
    cr_expect_eq(busy_us(trace, -1, LSPO_LANE_GPU), 3u * 110);
    lspo_trace_destroy(trace);
}

/* One launch of a CUDA graph starts forward, backward and optimizer, which no range can name then. */
Test(import_kineto, without_a_backward_pass_all_is_forward)
{
    step(0, 0, 1000);
    kernel(1, 20, 200);
    kernel(2, 300, 500);
    lspo_trace_t *trace = import_profile();
    cr_expect_eq(busy_us(trace, LSPO_OP_FWD, LSPO_LANE_GPU), 700);
    cr_expect_not_null(strstr(said(), "no GPU event belongs to a backward pass"));
    lspo_trace_destroy(trace);
}

/* Durations */

Test(import_kineto, durations_that_cannot_be)
{
    step(0, 0, 1000);
    work(1, 1, 10, 500);  /* 15-515; the next of its stream begins at 105 */
    work(2, 1, 100, 50);  /* 105-155 */
    work(3, 1, 200, 40);  /* 205-245 */
    work(4, 1, 990, 9e8); /* fifteen minutes in a profile of a millisecond */
    lspo_trace_t *trace = import_profile();
    const char *text = said();
    cr_expect_eq(busy_us(trace, -1, LSPO_LANE_GPU), 90 + 50 + 40);
    cr_expect_not_null(strstr(text, "cut off at the start of the next event of their stream: 1 (the first in line 3)"),
                       "%s", text);
    cr_expect_not_null(strstr(text, "longer than the profile: 1 (the first in line 9)"), "%s", text);
    lspo_trace_destroy(trace);
}

/* A copy that ends a little after the kernel beside it, and another stream, contradict nothing. */
Test(import_kineto, durations_that_can_be)
{
    step(0, 0, 1000);
    work(1, 1, 10, 500);
    event("{\"ph\":\"X\",\"cat\":\"gpu_memcpy\",\"name\":\"Memcpy DtoH (Device -> Pinned)\",\"ts\":450,\"dur\":100,"
          "\"args\":{\"device\":0,\"stream\":7,\"correlation\":2,\"bytes\":64}}");
    event("{\"ph\":\"X\",\"cat\":\"kernel\",\"name\":\"k\",\"ts\":100,\"dur\":500,"
          "\"args\":{\"device\":0,\"stream\":8,\"correlation\":3}}");
    lspo_trace_t *trace = import_profile();
    cr_expect_eq(busy_us(trace, -1, LSPO_LANE_GPU), 585);
    cr_expect_null(strstr(said(), "wrong durations"));
    lspo_trace_destroy(trace);
}

/* Copies */

static void copy(int id, double at, const char *name, const char *args)
{
    event(
        "{\"ph\":\"X\",\"cat\":\"gpu_memcpy\",\"name\":\"%s\",\"ts\":%.3f,\"dur\":10,\"args\":{\"correlation\":%d%s}}",
        name, at, id, args);
}

/* ROCm tells the bytes of a copy as text with its launch; of a copy whose bytes nobody tells they are unknown, not
 * 0. */
Test(import_kineto, bytes_of_copies)
{
    step(0, 0, 1000);
    work(1, 1, 10, 50);
    event("{\"ph\":\"X\",\"cat\":\"hip_runtime\",\"name\":\"hipMemcpyWithStream\",\"pid\":9,\"tid\":1,\"ts\":300,"
          "\"dur\":2,"
          "\"args\":{\"correlation\":2,\"size\":\"4096\",\"kind\":\"DeviceToHost\"}}");
    copy(2, 310, "CopyDeviceToHost", "");
    lspo_trace_t *trace = import_profile();
    cr_assert_eq(trace->row_count, 2u);
    cr_expect_eq(trace->rows[1].lane, LSPO_LANE_D2H);
    cr_expect_eq(trace->rows[1].bytes, 4096u);
    cr_expect_null(lspo_trace_meta(trace, "d2h-bytes"));
    lspo_trace_destroy(trace);

    launch(3, 1, 400);
    copy(3, 410, "Memcpy D2M (Device -> Memory)", "");
    copy(4, 420, "Memcpy M2D (Memory -> Device)", ",\"bytes\":\"512\"");
    trace = import_profile();
    cr_assert_not_null(lspo_trace_meta(trace, "d2h-bytes"));
    cr_expect_str_eq(lspo_trace_meta(trace, "d2h-bytes"), "unknown");
    cr_expect_null(lspo_trace_meta(trace, "h2d-bytes"));
    lspo_trace_destroy(trace);
}

/* A correlation that comes again belongs to the launch before the work, not to the first of all. */
Test(import_kineto, correlations_that_come_again)
{
    step(0, 0, 1000);
    step(1, 1000, 1000);
    work(1, 1, 10, 50);
    work(1, 1, 1010, 50);
    lspo_trace_t *trace = import_profile();
    cr_expect_eq(iterations_of(trace), 2u);
    lspo_trace_destroy(trace);
}

/* Copies told twice have their bytes once. */
Test(import_kineto, events_that_are_told_again)
{
    step(0, 0, 1000);
    work(1, 1, 10, 50);
    for (int i = 0; i < 2; i++)
        event("{\"ph\":\"X\",\"cat\":\"gpu_memcpy\",\"name\":\"Memcpy DtoH (Device -> Pinned)\",\"ts\":300,\"dur\":10,"
              "\"args\":{\"device\":0,\"stream\":9,\"correlation\":2,\"bytes\":64}}");
    lspo_trace_t *trace = import_profile();
    cr_assert_eq(trace->row_count, 2u);
    cr_expect_eq(trace->rows[1].bytes, 64u);
    cr_expect_not_null(strstr(said(), "left out repeated GPU events: 1"));
    lspo_trace_destroy(trace);
}

/* A range that lasts beyond its step has a wrong duration: an optimizer of the CPU is no longer than its step. */
Test(import_kineto, ranges_that_last_beyond_their_step)
{
    for (int i = 0; i < 2; i++) {
        step(i, i * 1000, 1000);
        forward_and_backward(1 + 10 * i, i * 1000);
        range("Optimizer.step#DeepSpeedCPUAdam.step", 1, i * 1000 + 600, i == 0 ? 1e6 : 100);
    }
    lspo_trace_t *trace = import_profile();
    cr_expect_eq(busy_us(trace, LSPO_OP_UPD, LSPO_LANE_CPU), 400 + 100);
    cr_expect_not_null(strstr(said(), "cut off at the end of their step: 1"));
    lspo_trace_destroy(trace);
}
