/* Where a measured step may lie: which band a plan on a machine gets, and how it is said. */
#include "plan/expect.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/csv_file.h"
#include "plan/policy.h"

static lspo_plan_t *plan_of(const char *policy_name)
{
    const lspo_policy_t *policy = NULL;
    lspo_model_t model;
    lspo_workload_t workload;
    lspo_plan_t *plan = NULL;
    cr_assert_eq(lspo_policy_find(policy_name, &policy), LSPO_OK);
    cr_assert_eq(lspo_model_find("gpt-tiny", &model), LSPO_OK);
    lspo_workload_default(&workload);
    workload.sequence = 32;
    cr_assert_eq(lspo_plan_build(&model, &workload, policy, &plan), LSPO_OK);
    return plan;
}

static lspo_expect_t expect_of(const char *policy_name, const lspo_machine_t *machine)
{
    lspo_expect_t expect;
    lspo_plan_t *plan = plan_of(policy_name);
    cr_assert_eq(lspo_expect(plan, machine, &expect), LSPO_OK);
    lspo_plan_destroy(plan);
    return expect;
}

Test(expect, kinds_of_policies)
{
    static const struct {
        const char *policy;
        lspo_band_kind_t kind;
    } cases[] = {{"native", LSPO_BAND_NATIVE}, {"badam", LSPO_BAND_NATIVE}, {"lora", LSPO_BAND_PEFT},
                 {"zero", LSPO_BAND_OFFLOAD},  {"lsp", LSPO_BAND_OFFLOAD},  {"swap", LSPO_BAND_OFFLOAD}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_plan_t *plan = plan_of(cases[i].policy);
        cr_expect_eq(lspo_band_kind(plan), cases[i].kind, "%s", cases[i].policy);
        lspo_plan_destroy(plan);
    }
}

/* 95 of 100 predictions are within 6.3 %, and runs have a standard deviation of 1 %:
 *     sqrt(ln(1.063)^2 + (1.96 * 0.01)^2) = 0.0641621, e^-0.0641621 = 0.937853
 *     sqrt(ln(0.937)^2 + (1.96 * 0.01)^2) = 0.0679597, e^0.0679597 = 1.070322
 * With a standard deviation of 80 %: a wider band, however noisy. */
Test(expect, a_calibrated_profile_has_its_measured_accuracy)
{
    char text[512];
    lspo_machine_t machine = {.evidence = "calibrated", .noise.run_sigma = 0.01};
    lspo_expect_t expect = expect_of("native", &machine);
    cr_expect_eq(expect.basis, LSPO_EXPECT_CALIBRATED);
    cr_expect_float_eq(expect.low, 0.937853, 1e-6);
    cr_expect_float_eq(expect.high, 1.070322, 1e-6);
    lspo_expect_describe(&expect, &machine, 0.1, sizeof text, text);
    cr_expect_str_eq(text, "Expect 93.8 ms to 107 ms: calibrated profile; 95 of 100 predictions for a calibrated host "
                           "were within 6.3 %.");
    machine.noise.run_sigma = 0.8;
    cr_expect_float_eq(expect_of("native", &machine).low, 0.208214, 1e-6);
    cr_expect_float_eq(expect_of("native", &machine).high, 4.803523, 1e-6);
    machine.gpu.context_bytes = 1;
    lspo_expect_describe(&expect, &machine, 0.1, sizeof text, text);
    cr_expect_not_null(strstr(text, "6.3 %, and none for a GPU has been compared."), "%s", text);
    strcpy(machine.framework, "eager");
    cr_expect_neq(expect_of("lora", &machine).basis, LSPO_EXPECT_CALIBRATED);
}

/* The row of the file that was compiled in. */
static void find_row(const char *kind, const char *framework, const char *machine, uint64_t *rows, double *low,
                     double *high)
{
    const char *source = getenv("LSPO_SOURCE");
    char path[512];
    lspo_csv_t csv;
    snprintf(path, sizeof path, "%s/experiments/published/bands.csv", source != NULL ? source : ".");
    cr_assert_eq(lspo_csv_read(path, 1 << 20, &csv), LSPO_OK);
    *rows = 0;
    for (size_t r = 0; r < csv.row_count; r++) {
        if (strcmp(lspo_csv_cell(&csv, r, lspo_csv_column(&csv, "kind")), kind) != 0 ||
            strcmp(lspo_csv_cell(&csv, r, lspo_csv_column(&csv, "framework")), framework) != 0 ||
            strcmp(lspo_csv_cell(&csv, r, lspo_csv_column(&csv, "machine")), machine) != 0)
            continue;
        *rows = strtoull(lspo_csv_cell(&csv, r, lspo_csv_column(&csv, "rows")), NULL, 10);
        *low = strtod(lspo_csv_cell(&csv, r, lspo_csv_column(&csv, "low")), NULL);
        *high = strtod(lspo_csv_cell(&csv, r, lspo_csv_column(&csv, "high")), NULL);
    }
    lspo_csv_release(&csv);
}

/* With enough steps of both, the band of framework and machine covers both; a host after the name does not count. */
Test(expect, framework_and_machine)
{
    lspo_machine_t machine = {.evidence = "data sheet", .framework = "compiled", .name = "a100-80gb-sxm+server-ddr4"};
    uint64_t framework_rows, machine_rows;
    double low, high, machine_low, machine_high;
    find_row("native", "compiled", "", &framework_rows, &low, &high);
    find_row("native", "", "a100-80gb-sxm", &machine_rows, &machine_low, &machine_high);
    cr_assert(framework_rows >= LSPO_BAND_ROWS_LEAST && machine_rows >= LSPO_BAND_ROWS_LEAST);
    lspo_expect_t expect = expect_of("native", &machine);
    cr_expect_eq(expect.basis, LSPO_EXPECT_STEPS);
    cr_expect_eq(expect.rows, framework_rows);
    cr_expect_eq(expect.machine_rows, machine_rows);
    cr_expect_eq(expect.low, low < machine_low ? low : machine_low);
    cr_expect_eq(expect.high, high > machine_high ? high : machine_high);
    strcpy(machine.name, "mine");
    expect = expect_of("native", &machine);
    cr_expect_eq(expect.machine_rows, 0);
    cr_expect_eq(expect.low, low);
    cr_expect_eq(expect.high, high);
}

/* lspo's own kernels are in no published step. */
Test(expect, without_steps_the_band_is_that_of_the_kind)
{
    char text[512];
    lspo_machine_t machine = {.evidence = "data sheet"};
    uint64_t rows;
    double low, high;
    find_row("offload", "", "", &rows, &low, &high);
    lspo_expect_t expect = expect_of("zero", &machine);
    cr_expect_eq(expect.basis, LSPO_EXPECT_KIND);
    cr_expect_eq(expect.rows, rows);
    cr_expect_eq(expect.low, low);
    cr_expect_eq(expect.high, high);
    lspo_expect_describe(&expect, &machine, 1, sizeof text, text);
    cr_expect_eq(strncmp(text, "No published offload step bears on framework lspo: no band of its own; ", 71), 0, "%s",
                 text);
}
