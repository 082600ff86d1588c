/* Traces of other lanes than one GPU's four: written and read, checked, summarised, compared and exported. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/bound.h"
#include "sim/engine.h"
#include "sim/memory.h"
#include "sim/report.h"
#include "tests/plan_maker.h"
#include "traces/compare.h"
#include "traces/gantt.h"
#include "traces/perfetto.h"
#include "traces/summary.h"
#include "traces/trace.h"

static const char *temporary(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "/tmp/lspo-lanes-%ld-%s", (long)getpid(), name);
    return path;
}

static lspo_trace_t *play(const plan_maker_t *maker)
{
    lspo_machine_t machine = maker_machine();
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_engine_play(&maker->plan, &machine, maker->work_ns, &trace), LSPO_OK);
    return trace;
}

/* Per iteration of 30 ns, on two GPUs of one machine and a network:
 *     gpu   FWD 0-10            net  SEND 10-20 (4096 bytes)
 *     gpu1             FWD 20-30; the next iteration starts then */
enum { ITERATIONS = 4 };
static plan_maker_t two_gpus(void)
{
    plan_maker_t maker = maker_create();
    uint32_t net = maker_lane(&maker, LSPO_LANE_NET, 0, 0), gpu1 = maker_lane(&maker, LSPO_LANE_GPU, 1, 0);
    lspo_op_id_t last = LSPO_NO_OP;
    maker.plan.stage_count = 2;
    for (uint32_t i = 0; i < ITERATIONS; i++) {
        lspo_op_id_t first = maker_op(&maker, LSPO_OP_FWD, 0, i, 10);
        maker_depend(&maker, last);
        lspo_op_id_t sent = maker_op_on(&maker, net, LSPO_OP_SEND, 0, i, 10);
        maker_depend(&maker, first);
        maker_bytes(&maker, 4096);
        last = maker_op_on(&maker, gpu1, LSPO_OP_FWD, 1, i, 10);
        maker_depend(&maker, sent);
    }
    return maker;
}

static void expect_same_rows(const lspo_trace_t *a, const lspo_trace_t *b)
{
    cr_assert_eq(a->row_count, b->row_count);
    for (uint32_t i = 0; i < a->row_count; i++) {
        const lspo_trace_row_t *x = &a->rows[i], *y = &b->rows[i];
        cr_assert(x->op == y->op && x->lane == y->lane && x->kind == y->kind && x->bytes == y->bytes &&
                      x->start_ns == y->start_ns && x->end_ns == y->end_ns,
                  "row %u", i);
    }
}

Test(trace_lanes, are_read_as_they_were_written)
{
    plan_maker_t maker = two_gpus();
    for (uint32_t peer = 1; peer < 3000; peer++) /* many that do nothing, and more than header entries are allowed */
        maker_lane(&maker, (lspo_lane_kind_t)(peer % LSPO_LANE_KIND_COUNT), peer % 7, peer);
    lspo_trace_t *trace = play(&maker), *again = NULL;
    cr_assert_eq(lspo_trace_set_meta(trace, "model", "made"), LSPO_OK);
    const char *path = temporary("round");
    cr_assert_eq(lspo_trace_write(trace, path), LSPO_OK);
    cr_assert_eq(lspo_trace_read(path, &again), LSPO_OK);
    unlink(path);
    cr_expect(lspo_lanes_equal(&trace->lanes, &again->lanes));
    cr_expect_str_eq(lspo_trace_meta(again, "model"), "made");
    expect_same_rows(trace, again);
    cr_expect_eq(lspo_trace_check(again, &maker.plan), LSPO_OK);
    lspo_trace_destroy(again);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

Test(trace_lanes, of_one_device_are_not_in_the_header)
{
    plan_maker_t maker = maker_random_plan(3, 50);
    lspo_trace_t *trace = play(&maker);
    const char *path = temporary("four");
    cr_assert_eq(lspo_trace_write(trace, path), LSPO_OK);
    char text[64];
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    unlink(path);
    text[length] = '\0';
    cr_expect_eq(strncmp(text, "# lspo trace 1\nop,kind,", 23), 0, "%s", text);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

static lspo_status_t read_lines(const char *lanes, const char *lane)
{
    const char *path = temporary("lines");
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fprintf(
        file,
        "# lspo trace 1\n%sop,kind,layer,iteration,micro,variant,lane,start_s,end_s,bytes\n0,FWD,0,0,0,0,%s,0,1,0\n",
        lanes, lane);
    fclose(file);
    lspo_trace_t *trace = NULL;
    lspo_status_t status = lspo_trace_read(path, &trace);
    lspo_trace_destroy(trace);
    unlink(path);
    return status;
}

Test(trace_lanes, malformed_ones_are_refused)
{
    cr_expect_eq(read_lines("", "gpu"), LSPO_OK);
    cr_expect_eq(read_lines("", "net"), LSPO_ERR_INPUT, "not among the four");
    cr_expect_eq(read_lines("# lane: a gpu 0 0\n", "a"), LSPO_OK);
    cr_expect_eq(read_lines("# lane: a gpu 65535 999999999\n# lane: b.1_x-y ssd 0 0\n", "b.1_x-y"), LSPO_OK);
    cr_expect_eq(read_lines("# lane: a gpu 0 0\n", "gpu"), LSPO_ERR_INPUT, "only the lanes of the header");
    static const char *const bad[] = {"# lane: a gpu 0\n",
                                      "# lane: a gpu 0 0 0\n",
                                      "# lane: a tpu 0 0\n",
                                      "# lane: a gpu 65536 0\n",
                                      "# lane: a gpu 0 1000000000\n",
                                      "# lane: a gpu -1 0\n",
                                      "# lane: a gpu 0 -1\n",
                                      "# lane: a gpu 0 0\n# lane: a cpu 0 0\n",
                                      "# lane: a,b gpu 0 0\n",
                                      "# lane:\n",
                                      "# lane: a gpu x 0\n",
                                      "# lane: abcdefghijklmnopqrstuvwx gpu 0 0\n",
                                      "# lane: abcdefghijklmnopqrstuvwxabcdefghijklmnopqrstuvwx gpu 0 0\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_eq(read_lines(bad[i], "a"), LSPO_ERR_INPUT, "%s", bad[i]);
}

Test(trace_lanes, a_header_entry_cannot_pass_for_one)
{
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_trace_create(1, &trace), LSPO_OK);
    cr_expect_eq(lspo_trace_set_meta(trace, "lane", "a gpu 0 0"), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_trace_set_meta(trace, "lanes", "are fine"), LSPO_OK);
    lspo_trace_destroy(trace);
}

Test(trace_lanes, must_be_the_plans)
{
    plan_maker_t maker = two_gpus(), other = two_gpus();
    maker_lane(&other, LSPO_LANE_SSD, 0, 0);
    lspo_trace_t *trace = play(&maker);
    cr_expect_eq(lspo_trace_check(trace, &maker.plan), LSPO_OK);
    cr_expect_eq(lspo_trace_check(trace, &other.plan), LSPO_ERR_CHECK);
    lspo_trace_destroy(trace);
    maker_release(&other);
    maker_release(&maker);
}

/* Iterations of 30 ns; each GPU is busy for 10 of them, and the network for 10, exposed.  Nothing else is. */
Test(trace_lanes, summary_of_two_gpus_and_a_network)
{
    plan_maker_t maker = two_gpus();
    lspo_trace_t *trace = play(&maker);
    lspo_summary_t summary;
    cr_assert_eq(lspo_summary_create(trace, 0, &summary), LSPO_OK);
    cr_expect_float_eq(summary.iteration_s, 30e-9, 1e-18);
    static const double busy_ns[6] = {10, 0, 0, 0, 10, 10};
    cr_assert_eq(summary.lane_count, 6u);
    for (uint32_t lane = 0; lane < 6; lane++)
        cr_expect_float_eq(summary.lane_busy_s[lane], 1e-9 * busy_ns[lane], 1e-18, "lane %u", lane);
    cr_expect_float_eq(summary.busy_s[LSPO_LANE_GPU], 10e-9, 1e-18, "the mean of both");
    cr_expect_float_eq(summary.busy_s[LSPO_LANE_NET], 10e-9, 1e-18);
    cr_expect_float_eq(summary.exposed_comm_s, 10e-9, 1e-18);
    cr_expect_float_eq(summary.other_s + summary.exposed_cpu_s, 0, 1e-18);
    cr_expect_eq(summary.link_bytes[LSPO_LANE_NET], 4096u);

    double bound_s;
    cr_assert_eq(lspo_bound_iteration(&maker.plan, maker.work_ns, &bound_s), LSPO_OK);
    cr_expect_float_eq(bound_s, 30e-9, 1e-18, "the chain through all three lanes");
    char text[256];
    lspo_lane_kind_t kind;
    cr_assert_eq(lspo_report_bound(&maker.plan, trace, &summary, sizeof text, text, &kind), LSPO_OK);
    cr_expect_eq(kind, LSPO_LANE_GPU, "two thirds of the path");
    cr_expect_not_null(strstr(text, "GPU 67, D2H 0, H2D 0, CPU 0, network 33, SSD 0 %"), "%s", text);
    lspo_summary_release(&summary);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

/* The SEND of the measured trace takes 20 ns instead of 10: its lane has 10 ns more, the others as before. */
Test(trace_lanes, comparison_lane_by_lane)
{
    plan_maker_t maker = two_gpus(), slow = two_gpus();
    for (lspo_op_id_t id = 1; id < slow.plan.op_count; id += 3)
        for (uint32_t kind = 0; kind < LSPO_LANE_KIND_COUNT; kind++)
            slow.work_ns[id * LSPO_LANE_KIND_COUNT + kind] = 20;
    lspo_trace_t *predicted = play(&maker), *measured = play(&slow);
    lspo_comparison_t comparison;
    cr_assert_eq(lspo_compare(predicted, measured, 0, &comparison), LSPO_OK);
    cr_assert_eq(comparison.busy_lane_count, 3u);
    static const char *const names[] = {"gpu", "net", "gpu1"};
    for (uint32_t i = 0; i < 3; i++) {
        cr_expect_str_eq(comparison.busy_lanes[i].name, names[i]);
        cr_expect_float_eq(comparison.busy_lanes[i].predicted_s, 10e-9, 1e-18);
        cr_expect_float_eq(comparison.busy_lanes[i].measured_s, i == 1 ? 20e-9 : 10e-9, 1e-18);
    }
    cr_assert_gt(comparison.op_count, 0u);
    cr_expect_str_eq(comparison.lanes.list[comparison.ops[0].lane].name, "net", "the greatest difference first");
    lspo_comparison_release(&comparison);

    plan_maker_t four = maker_create();
    for (uint32_t i = 0; i < ITERATIONS; i++) {
        maker_op(&four, LSPO_OP_FWD, 0, i, 10);
        maker_depend(&four, i > 0 ? i - 1 : LSPO_NO_OP);
    }
    lspo_trace_t *other = play(&four);
    cr_expect_eq(lspo_compare(predicted, other, 0, &comparison), LSPO_ERR_CHECK, "other lanes, so another plan");
    cr_assert_eq(lspo_compare_loosely(predicted, other, 0, &comparison), LSPO_OK);
    cr_assert_eq(comparison.busy_lane_count, 3u);
    cr_expect_float_eq(comparison.busy_lanes[1].measured_s, 0, 1e-18, "it has no network");
    lspo_comparison_release(&comparison);
    lspo_trace_destroy(other);
    lspo_trace_destroy(predicted);
    lspo_trace_destroy(measured);
    maker_release(&four);
    maker_release(&maker);
    maker_release(&slow);
}

static uint32_t count_events(json_t *root, const char *phase, const char *name, double thread)
{
    uint32_t count = 0;
    size_t i;
    json_t *event;
    json_array_foreach(json_object_get(root, "traceEvents"), i, event)
    {
        bool is_phase = strcmp(json_string_value(json_object_get(event, "ph")), phase) == 0;
        json_t *own = strcmp(phase, "M") == 0 ? json_object_get(json_object_get(event, "args"), "name")
                                              : json_object_get(event, "name");
        json_t *tid = json_object_get(event, "tid");
        count += is_phase && own && strcmp(json_string_value(own), name) == 0 &&
                 (thread < 0 || (tid && json_number_value(tid) == thread));
    }
    return count;
}

Test(trace_lanes, perfetto_has_a_track_per_lane)
{
    plan_maker_t maker = two_gpus();
    lspo_trace_t *trace = play(&maker);
    const char *path = temporary("json");
    cr_assert_eq(lspo_perfetto_write(&(lspo_perfetto_process_t){trace, &maker.plan}, 1, path), LSPO_OK);
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    cr_assert_not_null(root, "%s", error.text);
    unlink(path);
    for (uint32_t lane = 0; lane < maker.plan.lanes.count; lane++)
        cr_expect_eq(count_events(root, "M", maker.plan.lanes.list[lane].name, lane), 1u);
    cr_expect_eq(count_events(root, "M", "iterations", 6), 1u);
    cr_expect_eq(count_events(root, "X", "FWD embedding", LSPO_LANE_GPU), ITERATIONS);
    cr_expect_eq(count_events(root, "X", "SEND embedding", 4), ITERATIONS);
    cr_expect_eq(count_events(root, "X", "FWD head", 5), ITERATIONS);
    cr_expect_eq(count_events(root, "C", "net (GB/s)", -1), 2u * ITERATIONS);
    json_decref(root);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

Test(trace_lanes, gantt_rows_name_them)
{
    plan_maker_t maker = two_gpus();
    lspo_trace_t *trace = play(&maker);
    const char *path = temporary("gantt");
    cr_assert_eq(lspo_trace_write_gantt(trace, 1, 1, path), LSPO_OK);
    FILE *file = fopen(path, "r");
    char text[512] = {0};
    cr_assert_not_null(file);
    cr_assert_gt(fread(text, 1, sizeof text - 1, file), 0u);
    fclose(file);
    unlink(path);
    cr_expect_str_eq(text, "lane,kind,layer,iteration,start_s,end_s,bytes\n"
                           "gpu,FWD,0,1,0.000000000,0.000000010,0\n"
                           "net,SEND,0,1,0.000000010,0.000000020,4096\n"
                           "gpu1,FWD,1,1,0.000000020,0.000000030,0\n");
    lspo_trace_destroy(trace);
    maker_release(&maker);
}
