/* Traces for Perfetto: each kind of event worked out by hand, and counters against an independent replay of random
 * plans. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/engine.h"
#include "sim/memory.h"
#include "tests/plan_maker.h"
#include "traces/perfetto.h"

/* FWD 0 (gpu, 0 to 10 ns), D2H 0 (10 to 25) after it, FWD 1 (gpu, 10 to 20).  Bytes on the GPU: 1000 all along, 100
 * from 0 to 25, 50 from 10 to 20; on the host 500 and 7 from 10 to 25. */
static plan_maker_t small_plan(void)
{
    plan_maker_t maker = maker_create();
    maker_op(&maker, LSPO_OP_FWD, 0, 0, 10);
    maker_op(&maker, LSPO_OP_D2H, 0, 0, 15);
    maker_depend(&maker, 0);
    maker_bytes(&maker, 4096);
    maker_op(&maker, LSPO_OP_FWD, 1, 0, 10);
    lspo_plan_t *plan = &maker.plan;
    plan->ops[2].priority = 1;
    plan->stage_count = 3;
    plan->gpu_static_bytes = 1000;
    plan->host_static_bytes = 500;
    plan->ops[0].gpu_alloc_bytes = plan->ops[1].gpu_free_bytes = 100;
    plan->ops[2].gpu_alloc_bytes = plan->ops[2].gpu_free_bytes = 50;
    plan->ops[1].host_alloc_bytes = plan->ops[1].host_free_bytes = 7;
    return maker;
}

static lspo_trace_t *play(const plan_maker_t *maker, const char *origin)
{
    lspo_machine_t machine = maker_machine();
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_engine_play(&maker->plan, &machine, maker->work_ns, &trace), LSPO_OK);
    cr_assert_eq(lspo_trace_set_meta(trace, "origin", origin), LSPO_OK);
    cr_assert_eq(lspo_trace_set_meta(trace, "model", "made"), LSPO_OK);
    return trace;
}

static json_t *exported(const lspo_perfetto_process_t *processes, uint32_t count)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/lspo-perfetto-%ld", (long)getpid());
    cr_assert_eq(lspo_perfetto_write(processes, count, path), LSPO_OK);
    json_error_t error;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    cr_assert_not_null(root, "line %d: %s", error.line, error.text);
    unlink(path);
    return root;
}

static const char *text_of(json_t *event, const char *key)
{
    const char *text = json_string_value(json_object_get(event, key));
    return text ? text : "";
}

static double number_of(json_t *event, const char *key)
{
    return json_number_value(json_object_get(event, key));
}

/* The n-th event of this phase and name, from 0; NULL when there are fewer. */
static json_t *find(json_t *root, const char *phase, const char *name, int n)
{
    size_t i;
    json_t *event;
    json_array_foreach(json_object_get(root, "traceEvents"), i, event)
    {
        if (strcmp(text_of(event, "ph"), phase) == 0 && strcmp(text_of(event, "name"), name) == 0 && n-- == 0)
            return event;
    }
    return NULL;
}

static void expect_slice(json_t *root, const char *name, int thread, double ts, double dur)
{
    json_t *event = find(root, "X", name, 0);
    cr_assert_not_null(event, "there is no slice %s", name);
    cr_expect_eq(json_integer_value(json_object_get(event, "tid")), thread);
    cr_expect_float_eq(number_of(event, "ts"), ts, 1e-12);
    cr_expect_float_eq(number_of(event, "dur"), dur, 1e-12);
    cr_expect_null(find(root, "X", name, 1), "%s twice", name);
}

static void expect_counter(json_t *root, const char *name, int n, double ts, double value)
{
    json_t *event = find(root, "C", name, n);
    cr_assert_not_null(event, "%s has no value %d", name, n);
    cr_expect_float_eq(number_of(event, "ts"), ts, 1e-12, "%s %d: %g us", name, n, number_of(event, "ts"));
    json_t *shown = json_object_iter_value(json_object_iter(json_object_get(event, "args")));
    cr_expect_float_eq(json_number_value(shown), value, 1e-3, "%s %d: %g", name, n, json_number_value(shown));
}

Test(perfetto, a_plan_worked_out_by_hand)
{
    plan_maker_t maker = small_plan();
    lspo_trace_t *trace = play(&maker, "sim");
    json_t *root = exported(&(lspo_perfetto_process_t){trace, &maker.plan}, 1);

    expect_slice(root, "FWD embedding", LSPO_LANE_GPU, 0, 0.010);
    expect_slice(root, "FWD block 1", LSPO_LANE_GPU, 0.010, 0.010);
    expect_slice(root, "D2H embedding", LSPO_LANE_D2H, 0.010, 0.015);
    cr_expect_eq(number_of(json_object_get(find(root, "X", "D2H embedding", 0), "args"), "bytes"), 4096);
    expect_slice(root, "iteration 0", LSPO_DEVICE_LANES, 0, 0.020);

    json_t *leaves = find(root, "s", "waits for", 0), *arrives = find(root, "f", "waits for", 0);
    cr_assert(leaves && arrives && !find(root, "s", "waits for", 1) && !find(root, "f", "waits for", 1));
    cr_expect_eq(number_of(leaves, "id"), number_of(arrives, "id"));
    cr_expect_float_eq(number_of(leaves, "ts"), 0.009, 1e-12);
    cr_expect_eq(number_of(leaves, "tid"), LSPO_LANE_GPU);
    cr_expect_float_eq(number_of(arrives, "ts"), 0.010, 1e-12);
    cr_expect_eq(number_of(arrives, "tid"), LSPO_LANE_D2H);

    static const double gpu[][2] = {{0, 1100}, {0.010, 1150}, {0.020, 1100}, {0.025, 1000}};
    static const double host[][2] = {{0, 500}, {0.010, 507}, {0.020, 507}, {0.025, 500}};
    for (int i = 0; i < 4; i++) {
        expect_counter(root, "GPU memory (bytes)", i, gpu[i][0], gpu[i][1]);
        expect_counter(root, "host memory (bytes)", i, host[i][0], host[i][1]);
    }
    cr_expect_null(find(root, "C", "GPU memory (bytes)", 4));
    /* 4096 bytes in 15 ns are 273.0667 GB/s. */
    expect_counter(root, "d2h (GB/s)", 0, 0.010, 4096.0 / 15);
    expect_counter(root, "d2h (GB/s)", 1, 0.025, 0);
    cr_expect_null(find(root, "C", "h2d (GB/s)", 0));

    cr_expect_str_eq(json_string_value(json_object_get(json_object_get(root, "otherData"), "model")), "made");
    json_decref(root);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

/* Without a plan: no stage, dependency or memory is known; the rest is. */
Test(perfetto, an_imported_trace)
{
    plan_maker_t maker = small_plan();
    lspo_trace_t *trace = play(&maker, "import");
    cr_assert_eq(lspo_trace_set_meta(trace, "note", "not \xff UTF-8"), LSPO_OK);
    cr_assert_eq(lspo_trace_set_meta(trace, "quoted", "a \"b\" \\ \x01"), LSPO_OK);
    json_t *root = exported(&(lspo_perfetto_process_t){trace, NULL}, 1);
    expect_slice(root, "FWD layer 1", LSPO_LANE_GPU, 0.010, 0.010);
    expect_slice(root, "iteration 0", LSPO_DEVICE_LANES, 0, 0.020);
    cr_expect_not_null(find(root, "C", "d2h (GB/s)", 0));
    cr_expect_null(find(root, "s", "waits for", 0));
    cr_expect_null(find(root, "C", "GPU memory (bytes)", 0));
    cr_expect_str_eq(text_of(json_object_get(root, "otherData"), "note"), "not \\xff UTF-8");
    cr_expect_str_eq(text_of(json_object_get(root, "otherData"), "quoted"), "a \"b\" \\ \x01");
    json_decref(root);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

/* Predicted and measured: two processes, whose arrows do not cross from one to the other. */
Test(perfetto, two_traces_are_two_processes)
{
    plan_maker_t maker = small_plan();
    lspo_trace_t *predicted = play(&maker, "sim"), *measured = play(&maker, "run");
    const lspo_perfetto_process_t processes[] = {{predicted, &maker.plan}, {measured, &maker.plan}};
    json_t *root = exported(processes, 2);
    for (int i = 0; i < 2; i++) {
        json_t *name = find(root, "M", "process_name", i), *leaves = find(root, "s", "waits for", i);
        cr_assert(name && leaves);
        cr_expect_eq(number_of(name, "pid"), i + 1);
        cr_expect_str_eq(text_of(json_object_get(name, "args"), "name"), i == 0 ? "sim: ?, made" : "run: ?, made");
        cr_expect_eq(number_of(leaves, "pid"), i + 1);
        cr_expect_eq(number_of(find(root, "f", "waits for", i), "id"), number_of(leaves, "id"));
    }
    cr_expect_neq(number_of(find(root, "s", "waits for", 0), "id"), number_of(find(root, "s", "waits for", 1), "id"));
    cr_expect_str_eq(text_of(json_object_get(root, "otherData"), "2 origin"), "run");
    json_decref(root);
    lspo_trace_destroy(measured);
    lspo_trace_destroy(predicted);
    maker_release(&maker);
}

/* The highest value of a counter; its last one in *last_out. */
static double highest(json_t *root, const char *name, double *last_out)
{
    double most = -1;
    json_t *event;
    for (int i = 0; (event = find(root, "C", name, i)) != NULL; i++) {
        *last_out = number_of(json_object_get(event, "args"), "bytes");
        most = fmax(most, *last_out);
    }
    return most;
}

Test(perfetto, memory_peaks_where_the_replay_says)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        plan_maker_t maker = maker_random_plan(seed, 120);
        lspo_plan_t *plan = &maker.plan;
        plan->stage_count = 9;
        plan->gpu_static_bytes = 5000;
        plan->host_static_bytes = 3000;
        lspo_trace_t *trace = play(&maker, "sim");
        uint64_t gpu_bytes, host_bytes, arrows = 0;
        cr_assert_eq(lspo_memory_replay(plan, trace, &gpu_bytes, &host_bytes), LSPO_OK);
        json_t *root = exported(&(lspo_perfetto_process_t){trace, plan}, 1);
        double last;
        cr_expect_eq((uint64_t)highest(root, "GPU memory (bytes)", &last), gpu_bytes, "seed %lu", (unsigned long)seed);
        cr_expect_eq(last, 5000);
        cr_expect_eq((uint64_t)highest(root, "host memory (bytes)", &last), host_bytes, "seed %lu",
                     (unsigned long)seed);
        cr_expect_eq(last, 3000);
        size_t i;
        json_t *event;
        json_array_foreach(json_object_get(root, "traceEvents"), i, event) arrows += text_of(event, "ph")[0] == 's';
        cr_expect_eq(arrows, plan->dep_count);
        json_decref(root);
        lspo_trace_destroy(trace);
        maker_release(&maker);
    }
}
