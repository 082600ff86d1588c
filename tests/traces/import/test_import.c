/* Imports of other programs' traces: the result of each event, by hand; versions of DeepSpeed's log; inconsistent
 * files. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/own_folder.h"
#include "traces/import/deepspeed.h"
#include "traces/import/kineto.h"
#include "traces/import/lanes.h"
#include "traces/summary.h"

TestSuite(import, .init = make_folder, .fini = remove_folder);

static const char *path_of(const char *name)
{
    static char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const char *sample_path(const char *name)
{
    static char path[512];
    const char *source = getenv("LSPO_SOURCE");
    snprintf(path, sizeof path, "%s/tests/data/import/%s", source ? source : ".", name);
    return path;
}

static const char *write_file(const char *name, const char *text, size_t length)
{
    const char *path = path_of(name);
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(text, 1, length, file), length);
    cr_assert_eq(fclose(file), 0);
    return path;
}

static char *read_whole(const char *path, size_t *length_out)
{
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    char *text = calloc(1, 1 << 16);
    cr_assert_not_null(text);
    *length_out = fread(text, 1, (1 << 16) - 1, file);
    fclose(file);
    return text;
}

static void silence(void)
{
    cr_assert_not_null(freopen("/dev/null", "w", stderr));
}

typedef struct {
    lspo_op_kind_t kind;
    lspo_lane_kind_t lane;
    uint32_t iteration, micro;
    uint64_t start_ns, end_ns, bytes;
} expected_t;

static void expect_rows(const lspo_trace_t *trace, const expected_t *rows, uint32_t count)
{
    cr_assert_eq(trace->row_count, count, "%u rows, not %u", trace->row_count, count);
    for (uint32_t i = 0; i < count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        bool same = row->kind == rows[i].kind && row->lane == rows[i].lane && row->iteration == rows[i].iteration &&
                    row->micro == rows[i].micro && row->start_ns == rows[i].start_ns && row->end_ns == rows[i].end_ns &&
                    row->bytes == rows[i].bytes && row->op == i;
        cr_expect(same, "row %u: %s on %s, iteration %u, micro %u, %" PRIu64 " to %" PRIu64 " ns, %" PRIu64 " bytes", i,
                  lspo_op_kind_name(row->kind), lspo_lane_kind_name(row->lane), row->iteration, row->micro,
                  row->start_ns, row->end_ns, row->bytes);
    }
}

/* Kineto */

/* The sample's events, all of them less the 1000 us at which step 5 starts:
 *     kernels launched at 10, 20 on the main thread: 100-150 and 120-180 on two streams        FWD 100-180
 *     kernel launched at 250 by autograd's thread in MmBackward0 (240-290): 300-400             BWD
 *     copies: DtoH launched at 270, 420-440.5, 4096 B; HtoD launched at 700, 790-830, 8192 B
 *     DeepSpeedCPUAdam.step 500-800                                                             UPD on the CPU
 *     kernel launched at 750 in it: 830-840                                                     APPLY
 *     memset launched at 950, after the step's last backward, but run at 1050 in the next step  UPD_GPU of step 5
 *     step 6, events out of order: launched at 1010, 1220: 1100-1200, 1300-1450; Adam 1500-1700
 *     kernel launched at 2050, when no step was on: left out
 * Named are all but 80 us - as 50 + 60 us of the two kernels -, 5 us and 100 us of 50 + 60 + 100 + 10 + 5 + 100 +
 * 150. */
static const expected_t two_steps[] = {
    {LSPO_OP_FWD, LSPO_LANE_GPU, 0, 0, 100000, 180000, 0},
    {LSPO_OP_BWD, LSPO_LANE_GPU, 0, 0, 300000, 400000, 0},
    {LSPO_OP_D2H, LSPO_LANE_D2H, 0, 0, 420000, 440500, 4096},
    {LSPO_OP_UPD, LSPO_LANE_CPU, 0, 0, 500000, 800000, 0},
    {LSPO_OP_H2D, LSPO_LANE_H2D, 0, 0, 790000, 830000, 8192},
    {LSPO_OP_APPLY, LSPO_LANE_GPU, 0, 0, 830000, 840000, 0},
    {LSPO_OP_UPD_GPU, LSPO_LANE_GPU, 0, 0, 1050000, 1055000, 0},
    {LSPO_OP_FWD, LSPO_LANE_GPU, 1, 0, 1100000, 1200000, 0},
    {LSPO_OP_BWD, LSPO_LANE_GPU, 1, 0, 1300000, 1450000, 0},
    {LSPO_OP_UPD, LSPO_LANE_CPU, 1, 0, 1500000, 1700000, 0},
};
enum { TWO_STEPS_COUNT = sizeof two_steps / sizeof two_steps[0] };

Test(import, kineto_by_hand)
{
    silence();
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_import_kineto(sample_path("two_steps.json"), NULL, NULL, &trace), LSPO_OK);
    expect_rows(trace, two_steps, TWO_STEPS_COUNT);
    cr_expect_str_eq(lspo_trace_meta(trace, "origin"), "import");
    cr_expect_str_eq(lspo_trace_meta(trace, "source"), "kineto");
    cr_expect_str_eq(lspo_trace_meta(trace, "events"), "9");
    cr_expect_str_eq(lspo_trace_meta(trace, "outside"), "1");
    cr_expect_float_eq(strtod(lspo_trace_meta(trace, "unnamed-gpu-share"), NULL), 215.0 / 475.0, 1e-4);

    /* What is written is a trace, and the summary reads it: iterations end at 400 and 1450 us. */
    lspo_trace_t *again = NULL;
    lspo_summary_t summary;
    cr_assert_eq(lspo_trace_write(trace, path_of("t")), LSPO_OK);
    cr_assert_eq(lspo_trace_read(path_of("t"), &again), LSPO_OK);
    expect_rows(again, two_steps, TWO_STEPS_COUNT);
    cr_assert_eq(lspo_summary_create(again, 0, &summary), LSPO_OK);
    cr_expect_float_eq(summary.iteration_s, 1050e-6, 1e-12);
    lspo_summary_release(&summary);
    lspo_trace_destroy(again);
    lspo_trace_destroy(trace);
}

Test(import, kineto_compressed_is_the_same_and_truncated_is_refused)
{
    silence();
    size_t length;
    char *text = read_whole(sample_path("two_steps.json"), &length);
    gzFile file = gzopen(path_of("t.json.gz"), "wb");
    cr_assert_not_null(file);
    cr_assert_eq(gzwrite(file, text, (unsigned)length), (int)length);
    cr_assert_eq(gzclose(file), Z_OK);
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_import_kineto(path_of("t.json.gz"), NULL, NULL, &trace), LSPO_OK);
    expect_rows(trace, two_steps, TWO_STEPS_COUNT);
    lspo_trace_destroy(trace);
    trace = NULL;

    free(text);
    text = read_whole(path_of("t.json.gz"), &length);
    cr_expect_eq(lspo_import_kineto(write_file("half.gz", text, length / 2), NULL, NULL, &trace), LSPO_ERR_INPUT);
    text[length / 2] ^= 0x55;
    cr_expect_eq(lspo_import_kineto(write_file("torn.gz", text, length), NULL, NULL, &trace), LSPO_ERR_INPUT);
    cr_expect_null(trace, "set only on success");
    free(text);
}

/* A beginning of a trace that ends within an event is refused as truncated.  One that ends between two events is what
 * Chrome's format allows, a trace without its end: the same as with it. */
Test(import, kineto_truncated_is_refused)
{
    silence();
    size_t length;
    uint32_t accepted = 0;
    char *text = read_whole(sample_path("two_steps.json"), &length), *closed = malloc(length + 8);
    cr_assert_not_null(closed);
    for (size_t cut = 0; cut < length - 2; cut += cut < length - 40 ? 7 : 1) {
        lspo_trace_t *trace = NULL, *whole = NULL;
        if (lspo_import_kineto(write_file("cut", text, cut), NULL, NULL, &trace) != LSPO_OK)
            continue;
        accepted++;
        memcpy(closed, text, cut);
        memcpy(closed + cut, "]}", 2);
        bool in_events = lspo_import_kineto(write_file("closed", closed, cut + 2), NULL, NULL, &whole) == LSPO_OK;
        cr_expect_eq(trace->row_count, in_events ? whole->row_count : TWO_STEPS_COUNT, "%zu bytes", cut);
        lspo_trace_destroy(whole);
        lspo_trace_destroy(trace);
    }
    cr_expect(accepted < 60, "%u", accepted);
    free(closed);
    free(text);
}

/* PyTorch's own annotations, threads and nesting (tests/data/import/make_profile.py): each product of 30 us where it
 * was launched.  A linear layer has one product forward and two backward; two of three are recomputed after the
 * backward of the last. */
Test(import, kineto_of_pytorch)
{
    static const lspo_op_kind_t kinds[] = {LSPO_OP_FWD, LSPO_OP_FWD,       LSPO_OP_FWD,       LSPO_OP_BWD,
                                           LSPO_OP_BWD, LSPO_OP_RECOMPUTE, LSPO_OP_RECOMPUTE, LSPO_OP_BWD,
                                           LSPO_OP_BWD, LSPO_OP_BWD,       LSPO_OP_BWD,       LSPO_OP_UPD};
    static const double update_ns[] = {1383023, 11435161};
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_import_kineto(sample_path("pytorch-profile.json.gz"), NULL, NULL, &trace), LSPO_OK);
    cr_assert_eq(trace->row_count, 24u);
    for (uint32_t i = 0; i < 24; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        bool on_cpu = kinds[i % 12] == LSPO_OP_UPD;
        cr_expect_eq(row->kind, kinds[i % 12], "row %u is %s", i, lspo_op_kind_name((lspo_op_kind_t)row->kind));
        cr_expect_eq(row->iteration, i / 12);
        cr_expect_eq(row->lane, on_cpu ? LSPO_LANE_CPU : LSPO_LANE_GPU);
        cr_expect_float_eq((double)(row->end_ns - row->start_ns), on_cpu ? update_ns[i / 12] : 30000.0, 3.0);
    }
    cr_expect_float_eq(strtod(lspo_trace_meta(trace, "unnamed-gpu-share"), NULL), 3.0 / 11.0, 1e-4);
    lspo_trace_destroy(trace);
}

/* A trace of `events`, in which STEP0, STEP1 stand for two steps of the main thread 1: 0-1000 and 1000-2000 us. */
#define STEP0 "{\"ph\":\"X\",\"cat\":\"user_annotation\",\"name\":\"ProfilerStep#0\",\"tid\":1,\"ts\":0,\"dur\":1000}"
#define STEP1                                                                                                          \
    "{\"ph\":\"X\",\"cat\":\"user_annotation\",\"name\":\"ProfilerStep#1\",\"tid\":1,\"ts\":1000,\"dur\":1000}"
#define RANGE(cat, name, tid, ts, dur)                                                                                 \
    "{\"ph\":\"X\",\"cat\":\"" cat "\",\"name\":\"" name "\",\"tid\":" #tid ",\"ts\":" #ts ",\"dur\":" #dur "}"
#define LAUNCH(id, tid, ts)                                                                                            \
    "{\"ph\":\"X\",\"cat\":\"cuda_runtime\",\"name\":\"cudaLaunchKernel\",\"tid\":" #tid ",\"ts\":" #ts                \
    ",\"dur\":1,\"args\":{\"correlation\":" #id "}}"
#define WORK(cat, name, id, ts, dur)                                                                                   \
    "{\"ph\":\"X\",\"cat\":\"" cat "\",\"name\":\"" name "\",\"tid\":7,\"ts\":" #ts ",\"dur\":" #dur                   \
    ",\"args\":{\"correlation\":" #id ",\"bytes\":64}}"
#define KERNEL(id, ts, dur) WORK("kernel", "k", id, ts, dur)

static lspo_status_t import_events(const char *events, const char *rules, lspo_trace_t **trace_out)
{
    char text[8192], map[160] = "";
    int length = snprintf(text, sizeof text, "{\"traceEvents\":[%s]}", events);
    cr_assert_lt((size_t)length, sizeof text);
    if (rules)
        snprintf(map, sizeof map, "%s", write_file("map", rules, strlen(rules)));
    return lspo_import_kineto(write_file("trace.json", text, (size_t)length), rules ? map : NULL, NULL, trace_out);
}

static void expect_events(const char *events, const char *rules, const expected_t *rows, uint32_t count)
{
    lspo_trace_t *trace = NULL;
    cr_assert_eq(import_events(events, rules, &trace), LSPO_OK);
    expect_rows(trace, rows, count);
    lspo_trace_destroy(trace);
}

/* An optimizer's step that launches kernels is the GPU's, one that launches none the CPU's. */
Test(import, kineto_tells_where_the_optimizer_is)
{
    /* clang-format off */
    static const char on_the_gpu[] =
        STEP0
        "," LAUNCH(1, 1, 10) "," KERNEL(1, 20, 5)
        "," RANGE("user_annotation", "Optimizer.step#AdamW.step", 1, 100, 50)
        "," LAUNCH(2, 1, 110) "," KERNEL(2, 120, 5);
    static const char on_the_cpu[] =
        STEP0
        "," LAUNCH(1, 1, 10) "," KERNEL(1, 20, 5)
        "," RANGE("user_annotation", "Optimizer.step#AdamW.step", 1, 100, 50);
    /* clang-format on */
    expect_events(on_the_gpu, NULL,
                  (expected_t[]){{LSPO_OP_FWD, LSPO_LANE_GPU, 0, 0, 20000, 25000, 0},
                                 {LSPO_OP_UPD_GPU, LSPO_LANE_GPU, 0, 0, 120000, 125000, 0}},
                  2);
    expect_events(on_the_cpu, NULL,
                  (expected_t[]){{LSPO_OP_FWD, LSPO_LANE_GPU, 0, 0, 20000, 25000, 0},
                                 {LSPO_OP_UPD, LSPO_LANE_CPU, 0, 0, 100000, 150000, 0}},
                  2);
}

/* Checkpointing: CheckpointFunctionBackward (100-200) launches forward again, and within it autograd runs (150-190). */
Test(import, kineto_innermost_range_names_the_kind)
{
    /* clang-format off */
    static const char events[] =
        STEP0
        "," RANGE("cpu_op", "autograd::engine::evaluate_function: CheckpointFunctionBackward", 2, 100, 100)
        "," RANGE("cpu_op", "CheckpointFunctionBackward", 2, 101, 98)
        "," RANGE("cpu_op", "autograd::engine::evaluate_function: MmBackward0", 2, 150, 40)
        "," LAUNCH(1, 2, 120) "," KERNEL(1, 300, 10)
        "," LAUNCH(2, 2, 160) "," KERNEL(2, 310, 20)
        "," LAUNCH(3, 2, 195) "," KERNEL(3, 400, 10);
    /* clang-format on */
    expect_events(events, NULL,
                  (expected_t[]){{LSPO_OP_RECOMPUTE, LSPO_LANE_GPU, 0, 0, 300000, 310000, 0},
                                 {LSPO_OP_BWD, LSPO_LANE_GPU, 0, 0, 310000, 330000, 0},
                                 {LSPO_OP_RECOMPUTE, LSPO_LANE_GPU, 0, 0, 400000, 410000, 0}},
                  3);
}

/* A user's range on the main thread names what other threads launch meanwhile, unless they have ranges of their own.
 * PyTorch 1.8 wrote threads as text and other categories. */
Test(import, kineto_ranges_of_the_main_thread_and_old_versions)
{
    /* clang-format off */
    static const char two_threads[] =
        STEP0
        "," RANGE("user_annotation", "## forward ##", 1, 10, 50)
        "," RANGE("user_annotation", "## backward ##", 1, 100, 100)
        "," LAUNCH(1, 1, 20) "," KERNEL(1, 30, 5)
        "," LAUNCH(2, 9, 150) "," KERNEL(2, 160, 5);
    static const char old[] =
        RANGE("Operator", "ProfilerStep#1", "123", 50, 400)
        "," RANGE("Operator", "autograd::engine::evaluate_function: NllLossBackward", "456", 300, 70)
        ",{\"ph\":\"X\",\"cat\":\"Runtime\",\"name\":\"cudaLaunchKernel\",\"tid\":\"456\",\"ts\":310,\"dur\":5,"
          "\"args\":{\"correlation\":33,\"external id\":4}}"
        ",{\"ph\":\"X\",\"cat\":\"Kernel\",\"name\":\"void gemm\",\"tid\":\"stream 7\",\"ts\":330,\"dur\":10,"
          "\"args\":{\"stream\":7,\"correlation\":33,\"external id\":4}}"
        ",{\"ph\":\"X\",\"cat\":\"Memcpy\",\"name\":\"Memcpy HtoD (Pageable -> Device)\",\"tid\":\"stream 7\","
          "\"ts\":405,\"dur\":10,\"args\":{\"stream\":7,\"correlation\":34,\"bytes\":12}}";
    /* clang-format on */
    expect_events(two_threads, NULL,
                  (expected_t[]){{LSPO_OP_FWD, LSPO_LANE_GPU, 0, 0, 30000, 35000, 0},
                                 {LSPO_OP_BWD, LSPO_LANE_GPU, 0, 0, 160000, 165000, 0}},
                  2);
    expect_events(old, NULL,
                  (expected_t[]){{LSPO_OP_BWD, LSPO_LANE_GPU, 0, 0, 280000, 290000, 0},
                                 {LSPO_OP_H2D, LSPO_LANE_H2D, 0, 0, 355000, 365000, 12}},
                  2);
}

/* Python writes as \\uXXXX what is not ASCII; "C:\\users" is no such character. */
Test(import, names_are_what_their_escapes_mean)
{
    const char *events = STEP0 "," WORK("kernel", "\\u524d\\u5411 \\u00e9\\u0041 1", 1, 20, 5) "," WORK(
        "kernel", "C:\\users\\ud83d\\u12 2", 2, 30, 5) "," WORK("kernel", "\\u0041lone\\u0000 3", 3, 40, 5);
    silence();
    expect_events(events, "BWD gpu 前向 éA 1\nRECOMPUTE gpu C:?users\xef\xbf\xbd?u12 2\nUPD_GPU gpu Alone?*3\n",
                  (expected_t[]){{LSPO_OP_BWD, LSPO_LANE_GPU, 0, 0, 20000, 25000, 0},
                                 {LSPO_OP_RECOMPUTE, LSPO_LANE_GPU, 0, 0, 30000, 35000, 0},
                                 {LSPO_OP_UPD_GPU, LSPO_LANE_GPU, 0, 0, 40000, 45000, 0}},
                  3);
}

/* The user's rules: of a copy by the range that launches it, of a kernel by name, of what marks a step. */
Test(import, kineto_rules_of_the_user)
{
    /* clang-format off */
    static const char events[] =
        RANGE("user_annotation", "my step", 1, 0, 500)
        "," RANGE("user_annotation", "my step", 1, 500, 500)
        "," RANGE("user_annotation", "Prefetch block 3", 1, 100, 50)
        "," LAUNCH(1, 1, 110) "," WORK("gpu_memcpy", "Memcpy HtoD (Pinned -> Device)", 1, 120, 30)
        "," LAUNCH(2, 1, 200) "," WORK("gpu_memcpy", "Memcpy HtoD (Pinned -> Device)", 2, 220, 30)
        "," LAUNCH(3, 1, 300) "," WORK("kernel", "fused_dgrad_x", 3, 310, 30)
        "," LAUNCH(4, 1, 600) "," KERNEL(4, 610, 30);
    /* clang-format on */
    expect_events(events, "# rules\n\nSTEP cpu my step\nSWAP_IN  h2d\tprefetch*  \nBWD gpu *_dgrad_*\r\n",
                  (expected_t[]){{LSPO_OP_SWAP_IN, LSPO_LANE_H2D, 0, 0, 120000, 150000, 64},
                                 {LSPO_OP_H2D, LSPO_LANE_H2D, 0, 0, 220000, 250000, 64},
                                 {LSPO_OP_BWD, LSPO_LANE_GPU, 0, 0, 310000, 340000, 0},
                                 {LSPO_OP_FWD, LSPO_LANE_GPU, 1, 0, 610000, 640000, 0}},
                  4);
    lspo_trace_t *trace = NULL;
    silence();
    static const char *const wrong[] = {"FWD gpu",    "FOO gpu x", "FWD moon x", "STEP gpu x",
                                        "FWD gpu   ", "fwd gpu x", "FWD",        "FWD gpu x\nBWD\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_eq(import_events(STEP0 "," KERNEL(1, 20, 5), wrong[i], &trace), LSPO_ERR_INPUT, "%s", wrong[i]);
    cr_expect_eq(lspo_import_kineto(sample_path("two_steps.json"), "/no/such/map", NULL, &trace), LSPO_ERR_INPUT);
    cr_expect_null(trace);
}

/* Steps told twice count once; a step in which nothing ran is left out; other devices are left out. */
Test(import, kineto_steps_twice_empty_and_other_devices)
{
    silence();
    static const expected_t rows[] = {{LSPO_OP_FWD, LSPO_LANE_GPU, 0, 0, 20000, 25000, 0},
                                      {LSPO_OP_FWD, LSPO_LANE_GPU, 1, 0, 2020000, 2025000, 0}};
    expect_events(
        STEP1 "," STEP0 "," RANGE("cpu_op", "ProfilerStep#0", 1, 1, 998) "," RANGE(
            "user_annotation", "ProfilerStep#2", 1, 2000,
            1000) "," KERNEL(-1, 2020, 5) "," KERNEL(-1, 20, 5) ",{\"ph\":\"X\",\"cat\":\"kernel\",\"name\":\"k\","
                                                                "\"ts\":1100,\"dur\":9,\"args\":{\"device\":1}}",
        NULL, rows, 2);
}

Test(import, kineto_refuses)
{
    silence();
    static const char *const wrong[] = {
        "",                             /* no GPU at all       */
        STEP0,                          /* no work             */
        KERNEL(1, 20, 5),               /* no step             */
        STEP0 "," KERNEL(1, 5000, 5),   /* no work in the step */
        STEP0 "," KERNEL(1, 20, -5),    /* negative duration   */
        STEP0 "," KERNEL(1, -20, 5),    /* negative start      */
        STEP0 "," KERNEL(1, 1e300, 5),  /* beyond all clocks   */
        STEP0 "," KERNEL(1, 20, 1e13),  /* years               */
        STEP0 "," KERNEL(1, 20, 1e999), /* no number           */
        STEP0 "," KERNEL(1, 20, "5"),   /* text                */
        STEP0 "," STEP1 "," KERNEL(1, 20, 5) "," RANGE("user_annotation", "ProfilerStep#0", 1, 5000, 100), /* again */
        STEP0 "," KERNEL(1, 20, 5) "," RANGE("user_annotation", "ProfilerStep#1", 1, 500, 1000), /* overlaps      */
        STEP0 ",{\"ph\":\"X\",\"cat\":\"kernel\",\"name\":\"k\",\"dur\":5}", /* no start            */
    };
    lspo_trace_t *trace = NULL;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_eq(import_events(wrong[i], NULL, &trace), LSPO_ERR_INPUT, "%s", wrong[i]);
    static const char *const texts[] = {"",
                                        "x",
                                        "7",
                                        "{",
                                        "{}",
                                        "[]",
                                        "{\"traceEvents\":7}",
                                        "{\"a\":1}",
                                        "[] []",
                                        "{\"traceEvents\":[]} x",
                                        "{7:8}",
                                        "\"traceEvents\"",
                                        "{\"a\" 1}",
                                        "\xff\xfe"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_expect_eq(lspo_import_kineto(write_file("x", texts[i], strlen(texts[i])), NULL, NULL, &trace),
                     LSPO_ERR_INPUT, "%s", texts[i]);
    cr_expect_eq(lspo_import_kineto("/no/such/file", NULL, NULL, &trace), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_import_kineto("/tmp", NULL, NULL, &trace), LSPO_ERR_INPUT, "a folder");
    cr_expect_null(trace);
}

Test(import_messages, kineto_errors_name_file_line_and_value, .init = cr_redirect_stderr, .fini = remove_folder)
{
    make_folder();
    static const char text[] = "{\n \"traceEvents\": [\n" STEP0 ",\n\n" KERNEL(1, 20, -5) "\n]}\n";
    lspo_trace_t *trace = NULL;
    cr_expect_eq(lspo_import_kineto(write_file("t", text, strlen(text)), NULL, NULL, &trace), LSPO_ERR_INPUT);
    char wanted[400], message[400] = "";
    snprintf(wanted, sizeof wanted,
             "lspo: warning: %s: left out GPU events whose \"ts\" or \"dur\" is missing, negative, too large or not a "
             "number, so busy times are too short: 1 (the first in line 5)\n",
             path_of("t"));
    FILE *stderr_text = cr_get_redirected_stderr();
    fflush(stderr);
    cr_assert_not_null(fgets(message, sizeof message, stderr_text));
    cr_expect_str_eq(message, wanted);
}

/* Lanes */

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

enum { TICKS = 200, LONGEST = 12, MERGED_ROWS = 60 };

/* After the merge no lane does two things at a time, each instant is busy that was busy before with something that was
 * on then (of the same kind and iteration), and no byte is lost. */
Test(import, merged_lanes_do_one_thing_at_a_time)
{
    uint64_t state = 7;
    for (int round = 0; round < 500; round++) {
        lspo_trace_t *trace = NULL;
        cr_assert_eq(lspo_trace_create(MERGED_ROWS, &trace), LSPO_OK);
        static bool on[LSPO_DEVICE_LANES][TICKS + LONGEST][3][2]; /* lane, instant, kind, iteration */
        memset(on, 0, sizeof on);
        uint64_t bytes = 0, bytes_after = 0;
        uint32_t rows = (uint32_t)(next_random(&state) % MERGED_ROWS);
        for (uint32_t i = 0; i < rows; i++) {
            lspo_trace_row_t row = {.kind = (uint8_t)(next_random(&state) % 3),
                                    .lane = (uint8_t)(next_random(&state) % LSPO_DEVICE_LANES),
                                    .iteration = (uint32_t)(next_random(&state) % 2),
                                    .start_ns = next_random(&state) % TICKS,
                                    .bytes = next_random(&state) % 100};
            row.end_ns = row.start_ns + next_random(&state) % LONGEST;
            for (uint64_t at = row.start_ns; at < row.end_ns; at++)
                on[row.lane][at][row.kind][row.iteration] = true;
            bytes += row.bytes;
            trace->rows[trace->row_count++] = row;
        }
        lspo_import_merge_lanes(trace, 0);
        static bool after[LSPO_DEVICE_LANES][TICKS + LONGEST];
        memset(after, 0, sizeof after);
        for (uint32_t i = 0; i < trace->row_count; i++) {
            const lspo_trace_row_t *row = &trace->rows[i];
            bytes_after += row->bytes;
            cr_assert_eq(row->op, i);
            for (uint64_t at = row->start_ns; at < row->end_ns; at++) {
                cr_assert(!after[row->lane][at], "two ops at %" PRIu64, at);
                cr_assert(on[row->lane][at][row->kind][row->iteration], "an op that was not on at %" PRIu64, at);
                after[row->lane][at] = true;
            }
        }
        cr_assert_eq(bytes_after, bytes);
        for (int lane = 0; lane < LSPO_DEVICE_LANES; lane++)
            for (int at = 0; at < TICKS + LONGEST; at++) {
                bool before = false;
                for (int k = 0; k < 6; k++)
                    before |= on[lane][at][k / 2][k % 2];
                cr_assert_eq(before, after[lane][at], "lane %d at %d", lane, at);
            }
        lspo_trace_destroy(trace);
    }
}

/* DeepSpeed */

/* Two micro-steps a step; step 0's update is 0.04 + 115 ms, and 110.01 and 230.24 are 60 + 50 and 120.25 + 110. */
Test(import, deepspeed_micro_steps)
{
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_import_deepspeed(sample_path("deepspeed-0.14.txt"), 0, &trace), LSPO_OK);
    cr_expect_eq(trace->row_count, 15u);
    trace->row_count = 6;
    expect_rows(trace,
                (expected_t[]){{LSPO_OP_FWD, LSPO_LANE_GPU, 0, 0, 0, 60000000, 0},
                               {LSPO_OP_BWD, LSPO_LANE_GPU, 0, 0, 60000000, 180250000, 0},
                               {LSPO_OP_FWD, LSPO_LANE_GPU, 0, 1, 180250000, 230250000, 0},
                               {LSPO_OP_BWD, LSPO_LANE_GPU, 0, 1, 230250000, 340250000, 0},
                               {LSPO_OP_UPD, LSPO_LANE_CPU, 0, 0, 340250000, 455290000, 0},
                               {LSPO_OP_FWD, LSPO_LANE_GPU, 1, 0, 455290000, 495290000, 0}},
                6);
    cr_expect_str_eq(lspo_trace_meta(trace, "optimizer"), "cpu");
    cr_expect_str_eq(lspo_trace_meta(trace, "samples-per-second"), "20.4");
    trace->row_count = 15;
    /* From the end of the last BWD to the next: 115.04 + 40 + 100 + 42 + 102 and 108.05 + 41 + 101 + 41 + 103. */
    lspo_summary_t summary;
    cr_assert_eq(lspo_summary_create(trace, 0, &summary), LSPO_OK);
    cr_expect_float_eq(summary.samples_s[0], 0.39904, 1e-12);
    cr_expect_float_eq(summary.samples_s[1], 0.39405, 1e-12);
    lspo_summary_release(&summary);
    lspo_trace_destroy(trace);
}

/* Version 0.5: other names, rank 1's line, a step printed twice, timers of experts, a last line cut off. */
Test(import, deepspeed_old_names_and_leftovers)
{
    silence();
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_import_deepspeed(sample_path("deepspeed-0.5.txt"), 0, &trace), LSPO_OK);
    expect_rows(trace,
                (expected_t[]){{LSPO_OP_FWD, LSPO_LANE_GPU, 0, 0, 0, 435690000, 0},
                               {LSPO_OP_BWD, LSPO_LANE_GPU, 0, 0, 435690000, 1179820000, 0},
                               {LSPO_OP_UPD_GPU, LSPO_LANE_GPU, 0, 0, 1179820000, 1180820000, 0},
                               {LSPO_OP_FWD, LSPO_LANE_GPU, 1, 0, 1180820000, 1374470000, 0},
                               {LSPO_OP_BWD, LSPO_LANE_GPU, 1, 0, 1374470000, 1703720000, 0},
                               {LSPO_OP_UPD_GPU, LSPO_LANE_GPU, 1, 0, 1703720000, 1724640000, 0}},
                6);
    cr_expect_str_eq(lspo_trace_meta(trace, "optimizer"), "gpu");
    lspo_trace_destroy(trace);
    cr_assert_eq(lspo_import_deepspeed(sample_path("deepspeed-2020.txt"), 0, &trace), LSPO_OK);
    cr_expect_eq(trace->row_count, 9u);
    cr_expect_eq(trace->rows[8].iteration, 2u);
    cr_expect_str_eq(lspo_trace_meta(trace, "optimizer"), "cpu, assumed");
    lspo_trace_destroy(trace);
}

#define MICRO(f, b, s)                                                                                                 \
    "[Rank 0] time (ms) | fwd_microstep: " #f " | bwd_microstep: " #b                                                  \
    " | bwd_inner_microstep: 1.00 | step_microstep: " #s "\n"
#define STEP(f, b, s) "[Rank 0] time (ms) | fwd: " #f " | bwd: " #b " | bwd_inner: 1.00 | step: " #s "\n"

static lspo_status_t import_log(const char *text, lspo_trace_t **trace_out)
{
    return lspo_import_deepspeed(write_file("log", text, strlen(text)), 0, trace_out);
}

/* Where micro-steps do not add up to their step (a line lost, or all printed twice), the step's own line counts; two
 * records on one line are two. */
Test(import, deepspeed_steps_that_do_not_add_up)
{
    silence();
    static const struct {
        const char *text;
        uint32_t rows;
        uint64_t end_ns;
    } cases[] = {
        {STEP(1.00, 2.00, 3.00) STEP(1.50, 2.00, 3.00), 6, 12500000},
        {MICRO(10.00, 20.00, 0.00) STEP(30.00, 60.00, 5.00), 3, 95000000},
        {MICRO(10.00, 20.00, 5.00) MICRO(10.00, 20.00, 5.00) STEP(10.00, 20.00, 5.00) STEP(10.00, 20.00, 5.00), 3,
         35000000},
        {"time (ms) | fwd: 1.00 | bwd: 2.00 | step: 3.00 | time (ms) | fwd: 2.00 | bwd: 2.00 | step: 3.00\n", 6,
         13000000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_trace_t *trace = NULL;
        cr_assert_eq(import_log(cases[i].text, &trace), LSPO_OK, "case %zu", i);
        cr_expect_eq(trace->row_count, cases[i].rows, "case %zu: %u rows", i, trace->row_count);
        cr_expect_eq(trace->rows[trace->row_count - 1].end_ns, cases[i].end_ns, "case %zu: %" PRIu64, i,
                     trace->rows[trace->row_count - 1].end_ns);
        lspo_trace_destroy(trace);
    }
}

Test(import, deepspeed_refuses)
{
    silence();
    lspo_trace_t *trace = NULL;
    static const char *const wrong[] = {
        "",
        "hello\n",
        STEP(-1.00, 2.00, 3.00),
        STEP(1.00, nan, 3.00),
        STEP(1.00, inf, 3.00),
        STEP(1.00, 2.00, 1e10),
        "[Rank 3] time (ms) | fwd: 1.00 | bwd: 2.00 | step: 3.00\n",
        "time (ms) | fwd: | bwd: 2.00 | step: 3.00\n",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_eq(import_log(wrong[i], &trace), LSPO_ERR_INPUT, "%s", wrong[i]);
    cr_expect_eq(lspo_import_deepspeed("/no/such/file", 0, &trace), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_import_deepspeed("/tmp", 0, &trace), LSPO_ERR_INPUT, "a folder");
    cr_expect_null(trace);
}

/* Mutations */

static size_t mutate(uint64_t *state, const char *sample, size_t length, char *out)
{
    memcpy(out, sample, length);
    switch (next_random(state) % 4) {
    case 0: /* bytes */
        for (uint64_t i = next_random(state) % 8 + 1; i > 0; i--)
            out[next_random(state) % length] = (char)next_random(state);
        return length;
    case 1: /* a digit, a quote, a bracket, a sign where others were */
        for (uint64_t i = next_random(state) % 20 + 1; i > 0; i--)
            out[next_random(state) % length] = "0123456789-.e\"{}[],:|"[next_random(state) % 21];
        return length;
    case 2: { /* a piece copied over another: events twice, out of order, steps again */
        size_t piece = next_random(state) % (length / 2), from = next_random(state) % (length - piece);
        memmove(out + next_random(state) % (length - piece), sample + from, piece);
        return length;
    }
    default:
        return next_random(state) % length;
    }
}

/* What is imported must be a trace that can be read back, with lanes that do one thing at a time. */
static void check_imported(lspo_trace_t *trace)
{
    lspo_trace_t *again = NULL;
    cr_assert_eq(lspo_trace_write(trace, path_of("again")), LSPO_OK);
    cr_assert_eq(lspo_trace_read(path_of("again"), &again), LSPO_OK);
    cr_assert_eq(again->row_count, trace->row_count);
    uint64_t busy_until_ns[LSPO_DEVICE_LANES] = {0};
    for (uint32_t i = 0; i < again->row_count; i++) {
        const lspo_trace_row_t *row = &again->rows[i];
        cr_assert_geq(row->start_ns, busy_until_ns[row->lane]);
        busy_until_ns[row->lane] = row->end_ns;
    }
    lspo_trace_destroy(again);
}

Test(import, mutated_files_never_crash, .timeout = 120)
{
    silence();
    static const char *const names[] = {"two_steps.json", "deepspeed-0.14.txt", "deepspeed-0.5.txt"};
    uint64_t state = 1;
    uint32_t imported = 0, refused = 0;
    for (int sample = 0; sample < 3; sample++) {
        size_t length;
        char *text = read_whole(sample_path(names[sample]), &length), *mutant = malloc(length);
        cr_assert_not_null(mutant);
        for (int round = 0; round < 1000; round++) {
            size_t mutant_length = mutate(&state, text, length, mutant);
            const char *path = write_file("mutant", mutant, mutant_length);
            lspo_trace_t *trace = NULL;
            lspo_status_t status =
                sample == 0 ? lspo_import_kineto(path, NULL, NULL, &trace) : lspo_import_deepspeed(path, 0, &trace);
            cr_assert(status == LSPO_OK || status == LSPO_ERR_INPUT, "status %d in round %d", status, round);
            if (status == LSPO_OK)
                check_imported(trace);
            *(status == LSPO_OK ? &imported : &refused) += 1;
            lspo_trace_destroy(trace);
        }
        free(mutant);
        free(text);
    }
    cr_expect(imported > 300 && refused > 300, "%u imported, %u refused", imported, refused);
}
