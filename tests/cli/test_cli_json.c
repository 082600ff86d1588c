/* The command's JSON and CSV: names and types of the fields, missing values, and a prediction that can be checked by
 * hand.  The commands run as users run them, through the shell. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "plan/policy.h"
#include "tests/short_text.h"

/* Standard output of `lspo ARGUMENTS`, to be freed; its exit code. */
static char *output_of(const char *arguments, int *code_out)
{
    const char *program = getenv("LSPO");
    char command[2048];
    snprintf(command, sizeof command, "'%s' %s", program != NULL ? program : "./lspo", arguments);
    FILE *pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    char *text = NULL;
    size_t text_bytes = 0;
    if (getdelim(&text, &text_bytes, '\0', pipe) < 0) {
        free(text);
        text = strdup("");
    }
    int status = pclose(pipe);
    cr_assert(WIFEXITED(status), "lspo %s did not end by itself", arguments);
    *code_out = WEXITSTATUS(status);
    return text;
}

static json_t *json_of(const char *arguments)
{
    int code;
    json_error_t error;
    char *text = output_of(arguments, &code);
    cr_assert_eq(code, 0, "lspo %s: exit code %d", arguments, code);
    json_t *value = json_loads(text, 0, &error);
    cr_assert_not_null(value, "lspo %s: %s", arguments, error.text);
    free(text);
    return value;
}

static double number(const json_t *result, const char *name)
{
    const json_t *value = json_object_get(result, name);
    cr_assert(json_is_number(value), "%s is no number", name);
    return json_number_value(value);
}

static void expect_null(const json_t *result, const char *name)
{
    cr_expect(json_is_null(json_object_get(result, name)), "%s is not null", name);
}

static const char *const both_numbers[] = {"iteration_s",    "tokens_per_s",   "gpu_busy_s",     "d2h_busy_s",
                                           "h2d_busy_s",     "cpu_busy_s",     "exposed_comm_s", "exposed_cpu_s",
                                           "peak_gpu_bytes", "peak_host_bytes"};

static void expect_numbers(const json_t *result)
{
    for (size_t i = 0; i < sizeof both_numbers / sizeof both_numbers[0]; i++)
        cr_expect_geq(number(result, both_numbers[i]), 0.0);
    cr_expect(json_is_boolean(json_object_get(result, "fits")));
    cr_expect_gt(number(result, "iteration_s"), 0.0);
}

Test(cli_json, sim_has_the_promised_fields)
{
    json_t *result = json_of("sim --model gpt2-124m --machine paper-laptop --policy zero --format json");
    expect_numbers(result);
    cr_expect_gt(number(result, "slowdown"), 1.0);
    cr_expect_gt(number(result, "lower_bound_s"), 0.0);
    cr_expect_leq(number(result, "lower_bound_s"), number(result, "iteration_s"));
    expect_null(result, "loss_first");
    expect_null(result, "loss_last");
    expect_null(result, "subspace");
    expect_null(result, "link_Bps");
    json_decref(result);
}

/* gpt-tiny has 1,057,152 parameters.  zero trains all and sends each once a way in fp32: 4,228,608 bytes.  At 1 MB/s
 * that is 4.228608 s a way, beside which compute vanishes.  The first parameters return when the last gradients have
 * arrived, and the next forward waits for all: two ways one after the other, 8.457216 s an iteration.  lsp with
 * train-rest off, d = 64, sends 64 x 64 elements for each of the 20 linear weights: 327,680 bytes, 0.327680 s a way;
 * the next iteration's forward overlaps with none of it here, because the shallowest block's message leaves last. */
Test(cli_json, sim_agrees_with_arithmetic)
{
    json_t *zero = json_of("sim --model gpt-tiny --policy zero --link 1MB/s --format json");
    cr_expect_eq(number(zero, "d2h_bytes"), 4228608.0);
    cr_expect_eq(number(zero, "h2d_bytes"), 4228608.0);
    cr_expect_float_eq(number(zero, "d2h_busy_s"), 4.228608, 0.01);
    cr_expect_float_eq(number(zero, "iteration_s"), 8.457216, 0.03);
    cr_expect_eq(number(zero, "link_Bps"), 1e6);
    json_decref(zero);

    json_t *lsp = json_of("sim --model gpt-tiny --policy lsp --subspace 64 --nnz 4 --link 1MB/s --format json");
    cr_expect_eq(number(lsp, "d2h_bytes"), 327680.0);
    cr_expect_eq(number(lsp, "h2d_bytes"), 327680.0);
    cr_expect_eq(number(lsp, "subspace"), 64.0);
    cr_expect_geq(number(lsp, "iteration_s"), 0.327680);
    cr_expect_leq(number(lsp, "iteration_s"), 2.0 * 0.327680);
    json_decref(lsp);
}

Test(cli_json, overrides_reach_the_machine)
{
    json_t *flag = json_of("sim --model gpt-tiny --policy zero --link 5MB/s --cpu 2M/s --format json");
    json_t *set = json_of("sim --model gpt-tiny --policy zero --set link.h2d_Bps=5MB/s --set link.d2h_Bps=5MB/s"
                          " --set cpu.adam_pps=2M/s --set cpu.adam_cached_pps=2M/s --format json");
    cr_expect_eq(number(flag, "iteration_s"), number(set, "iteration_s"));
    /* 1,057,152 parameters at 2 M a second. */
    cr_expect_float_eq(number(flag, "cpu_busy_s"), 0.528576, 0.01);
    json_decref(flag);
    json_decref(set);
}

Test(cli_json, what_does_not_fit_is_reported_and_simulated)
{
    json_t *small = json_of("sim --model llama-7b --policy zero --gpu-memory 1GiB --format json");
    cr_expect(json_is_false(json_object_get(small, "fits")));
    cr_expect_gt(number(small, "peak_gpu_bytes"), 1073741824.0);
    cr_expect_gt(strlen(json_string_value(json_object_get(small, "advice"))), 10u);
    json_decref(small);

    json_t *large = json_of("sim --model llama-7b --policy zero --gpu-memory 1TiB --format json");
    cr_expect(json_is_true(json_object_get(large, "fits")));
    expect_null(large, "advice");
    json_decref(large);
}

Test(cli_json, equal_input_gives_equal_bytes)
{
    int code;
    const char *arguments = "sim --model gpt2-124m --policy lsp --format json --trace /dev/stdout";
    char *first = output_of(arguments, &code);
    cr_assert_eq(code, 0);
    char *second = output_of(arguments, &code);
    cr_expect_str_eq(first, second);
    cr_expect_gt(strlen(first), 1000u);
    free(first);
    free(second);
}

/* Number of commas outside quotes. */
static size_t comma_count(const char *line)
{
    size_t count = 0;
    int quoted = 0;
    for (; *line != '\0' && *line != '\n'; line++) {
        quoted ^= *line == '"';
        count += *line == ',' && !quoted;
    }
    return count;
}

/* The longest path of dependencies from the end of `first` to that of `last`, of a plan's ops; durations in ns. */
static double longest_path_ns(const json_t *ops, size_t first, size_t last)
{
    double *end_ns = calloc(json_array_size(ops), sizeof *end_ns);
    for (size_t id = first + 1; id <= last; id++) {
        const json_t *op = json_array_get(ops, id), *deps = json_object_get(op, "deps");
        double start_ns = -1;
        for (size_t d = 0; d < json_array_size(deps); d++) {
            size_t dep = (size_t)json_integer_value(json_array_get(deps, d));
            cr_assert_lt(dep, id);
            if (dep == first || (dep > first && end_ns[dep] > 0))
                start_ns = end_ns[dep] > start_ns ? end_ns[dep] : start_ns;
        }
        end_ns[id] = start_ns >= 0 ? start_ns + number(op, "duration_ns") : 0;
    }
    double path_ns = end_ns[last];
    free(end_ns);
    return path_ns;
}

/* The bound is at least the longest path between the passes of its barrier, found here from the printed ops. */
Test(cli_json, a_plan_has_durations_and_a_bound_of_a_machine)
{
    json_t *plan = json_of("show plan --model gpt-tiny --policy zero --machine host-reference --format json");
    const json_t *ops = json_object_get(plan, "ops"), *barrier = json_object_get(plan, "barrier");
    double path_ns = longest_path_ns(ops, (size_t)number(barrier, "first"), (size_t)number(barrier, "second"));
    cr_expect_gt(path_ns, 0.0);
    cr_expect_geq(number(barrier, "bound_ns"), path_ns);
    cr_expect_float_eq(number(plan, "lower_bound_s"), 1e-9 * number(barrier, "bound_ns"), 1e-9);
    cr_expect_eq(json_array_size(json_object_get(plan, "lanes")), 4u);
    json_decref(plan);

    plan = json_of("show plan --model gpt-tiny --policy zero --format json");
    expect_null(plan, "lower_bound_s");
    expect_null(plan, "barrier");
    expect_null(json_array_get(json_object_get(plan, "ops"), 0), "duration_ns");
    json_decref(plan);
}

Test(cli_json, csv_has_a_cell_a_field_and_leaves_missing_ones_empty)
{
    int code;
    char *text = output_of("sim --model gpt-tiny --policy zero --format csv", &code);
    cr_assert_eq(code, 0);
    char *row = strchr(text, '\n');
    cr_assert_not_null(row);
    cr_expect_eq(comma_count(text), comma_count(row + 1));
    cr_expect_eq(
        strncmp(row + 1, "sim,gpt-tiny,paper-workstation,lsp-authors,,zero,exact,0,4,256,fp32,fp32,false,", 78), 0);
    free(text);
}

/* Small enough for the sanitizers: 2 sequences of 32 tokens. */
#define SMALL_RUN "--model gpt-tiny --batch 2 --sequence 32 --iterations 5 --format json "

Test(cli_json, run_has_the_promised_fields)
{
    json_t *result = json_of("run " SMALL_RUN "--policy zero");
    expect_numbers(result);
    expect_null(result, "slowdown");
    expect_null(result, "lower_bound_s");
    /* An untrained byte-level model is near ln 256 = 5.545 nats. */
    cr_expect_float_eq(number(result, "loss_first"), 5.545, 0.5);
    cr_expect_lt(number(result, "loss_last"), number(result, "loss_first"));
    cr_expect_eq(number(result, "d2h_bytes"), 4228608.0);
    cr_expect_str_eq(json_string_value(json_object_get(result, "precision")), "fp32");
    json_decref(result);
}

Test(cli_json, run_measures_native_and_bounds_when_asked)
{
    json_t *result = json_of("run " SMALL_RUN "--policy zero --link 100MB/s --slowdown --machine host-reference");
    cr_expect_gt(number(result, "slowdown"), 1.0);
    cr_expect_gt(number(result, "native_iteration_s"), 0.0);
    cr_expect_gt(number(result, "lower_bound_s"), 0.0);
    json_decref(result);
}

/* The order of ops on the lanes is another one, the numbers are the same. */
Test(cli_json, run_in_another_order_computes_the_same)
{
    static const char *const policies[] = {"stream", "zero-layerwise", "zero-delayed", "lsp", "swap"};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        char arguments[2048];
        double loss[2][2];
        for (int order = 0; order < 2; order++) {
            snprintf(arguments, sizeof arguments,
                     "run " SMALL_RUN "--text '%s' --policy %s --link 100MB/s --cpu 20M/s --order %s", short_text(),
                     policies[i], order == 0 ? "policy" : "auto");
            json_t *result = json_of(arguments);
            loss[order][0] = number(result, "loss_first");
            loss[order][1] = number(result, "loss_last");
            json_decref(result);
        }
        cr_expect_arr_eq(loss[0], loss[1], sizeof loss[0], "%s", policies[i]);
    }
}

Test(cli_json, run_that_does_not_fit_is_an_error)
{
    int code;
    char *text = output_of("run " SMALL_RUN "--policy zero --gpu-memory 1MiB 2>/dev/null", &code);
    cr_expect_eq(code, 4);
    cr_expect_str_eq(text, "");
    free(text);
}

/* Of host memory, too; what is enough is a run. */
Test(cli_json, run_keeps_to_the_hosts_memory)
{
    static const struct {
        const char *flag;
        int code;
    } cases[] = {{"--host-memory 1MiB", 4}, {"--set cpu.memory_bytes=1MiB", 4}, {"--host-memory 1GiB", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char arguments[256];
        int code;
        snprintf(arguments, sizeof arguments, "run " SMALL_RUN "--policy zero %s --format csv 2>&1", cases[i].flag);
        char *text = output_of(arguments, &code);
        cr_expect_eq(code, cases[i].code, "%s: %s", cases[i].flag, text);
        if (cases[i].code == 4)
            cr_expect_not_null(strstr(text, "host memory: "), "%s", text);
        free(text);
    }
}

/* A trace compared with itself has no error; with the trace of another plan it is refused. */
Test(cli_json, compare_reads_what_sim_writes)
{
    char folder[] = "/tmp/lspo-test-XXXXXX", arguments[512];
    int code;
    cr_assert_not_null(mkdtemp(folder));
    snprintf(arguments, sizeof arguments, "sim --model gpt-tiny --policy zero --trace %s/a >/dev/null", folder);
    free(output_of(arguments, &code));
    cr_assert_eq(code, 0);
    snprintf(arguments, sizeof arguments, "sim --model gpt-tiny --policy lsp --trace %s/b >/dev/null", folder);
    free(output_of(arguments, &code));
    cr_assert_eq(code, 0);

    snprintf(arguments, sizeof arguments, "compare %s/a %s/a --format json", folder, folder);
    json_t *rows = json_of(arguments);
    cr_assert_gt(json_array_size(rows), 4u);
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(rows, 0), "kind")), "ITERATION");
    for (size_t i = 0; i < json_array_size(rows); i++)
        cr_expect_eq(number(json_array_get(rows, i), "share_of_error"), 0.0);
    json_decref(rows);

    snprintf(arguments, sizeof arguments, "compare %s/a %s/b --same-plan 2>/dev/null", folder, folder);
    free(output_of(arguments, &code));
    cr_expect_eq(code, 1);
    snprintf(arguments, sizeof arguments, "trace diff %s/a %s/b --format json 2>/dev/null", folder, folder);
    rows = json_of(arguments);
    size_t kinds = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const char *stage = json_string_value(json_object_get(json_array_get(rows, i), "stage"));
        const char *row = json_string_value(json_object_get(json_array_get(rows, i), "row"));
        kinds += strcmp(row, "kind") == 0 && strcmp(stage, "all") == 0;
        cr_expect_str_neq(row, "op", "ops of different plans cannot be joined");
    }
    cr_expect_geq(kinds, 7u, "FWD, BWD, COMPRESS, D2H, UPD, H2D, APPLY");
    json_decref(rows);

    snprintf(arguments, sizeof arguments, "trace export %s/a --perfetto %s/c --gantt %s/d", folder, folder, folder);
    free(output_of(arguments, &code));
    cr_expect_eq(code, 0);
    snprintf(arguments, sizeof arguments, "%s/c", folder);
    json_t *perfetto = json_load_file(arguments, 0, NULL);
    cr_expect_gt(json_array_size(json_object_get(perfetto, "traceEvents")), 100u);
    json_decref(perfetto);
    for (const char *name = "abcd"; *name != '\0'; name++) {
        snprintf(arguments, sizeof arguments, "%s/%c", folder, *name);
        remove(arguments);
    }
    rmdir(folder);
}

/* ---- choose ---- */

/* What `lspo choose` and `lspo sim` both say. */
static const char *const chosen_numbers[] = {
    "iteration_s",    "tokens_per_s",    "slowdown",   "lower_bound_s",        "batch",
    "peak_gpu_bytes", "peak_host_bytes", "iterations", "peak_gpu_bound_bytes", "peak_host_bound_bytes"};

/* The row's own command, with --format json, says what the row says. */
static void expect_row_of_sim(const json_t *row)
{
    char arguments[4096];
    const char *command = json_string_value(json_object_get(row, "command"));
    cr_assert_eq(strncmp(command, "lspo sim ", 9), 0, "%s", command);
    snprintf(arguments, sizeof arguments, "%s --format json", command + strlen("lspo "));
    json_t *result = json_of(arguments);
    for (size_t i = 0; i < sizeof chosen_numbers / sizeof chosen_numbers[0]; i++)
        cr_expect_eq(number(row, chosen_numbers[i]), number(result, chosen_numbers[i]), "%s: %s", command,
                     chosen_numbers[i]);
    cr_expect_str_eq(json_string_value(json_object_get(row, "policy")),
                     json_string_value(json_object_get(result, "policy")));
    cr_expect_eq(json_is_true(json_object_get(row, "fits")), json_is_true(json_object_get(result, "fits")), "%s",
                 command);
    json_decref(result);
}

/* One row a policy, on three machines, with flags of the workload, caps and a value that a shell would split. */
Test(cli_json, choose_says_what_sim_says)
{
    static const struct {
        const char *arguments;
        bool exact_only;
    } cases[] = {
        {"--model gpt2-1.3b --machine paper-laptop --host-memory 16GiB", false},
        {"--machine=rtx4090 --model=llama-7b --batch largest --sequence 256 --window 2 --exact-only", true},
        {"--model gpt-small --machine paper-workstation --batch 2 --accumulation 2 --clip 1 --check-every 4 "
         "--project-every 3 --set 'cpu.adam_pps=50 M/s' --gpu-memory 1GiB",
         false},
    };
    size_t policies = 0, exact = 0;
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        policies += !lspo_policy_at(i)->of_peers;
        exact += !lspo_policy_at(i)->of_peers && lspo_policy_at(i)->semantics == LSPO_SEMANTICS_EXACT;
    }
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        char arguments[1024];
        size_t i, best = 0;
        json_t *row;
        snprintf(arguments, sizeof arguments, "choose %s --format json", cases[c].arguments);
        json_t *rows = json_of(arguments);
        cr_assert_eq(json_array_size(rows), cases[c].exact_only ? exact : policies, "%s: %zu rows", arguments,
                     json_array_size(rows));
        json_array_foreach(rows, i, row)
        {
            expect_row_of_sim(row);
            best += json_is_string(json_object_get(row, "best"));
        }
        cr_expect_eq(best, cases[c].exact_only ? 1u : 3u, "one a class");
        json_decref(rows);
    }
}
