/* The profile of this machine: measured once, kept, measured again for another version.  The measurement is a fake. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "cli/machine_auto.h"
#include "tests/own_folder.h"

TestSuite(machine_auto, .init = make_folder, .fini = remove_folder);

static int measured;
static char measured_path[256], said[1024], cache[128];
static const char *version = "lspo 1.0 (a)";

/* With 1 TFLOP/s more at each measurement. */
static lspo_status_t measure(const char *device, const char *path)
{
    lspo_machine_t machine;
    char comment[128];
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file, "%s", path);
    cr_assert_str_eq(device, "cuda");
    cr_assert_eq(lspo_machine_find("host-reference", &machine), LSPO_OK);
    machine.gpu.gemm_flops[LSPO_FP32] = 1e12 * ++measured;
    snprintf(comment, sizeof comment, "Measured by %s: by a test", version);
    lspo_status_t status = lspo_machine_write(&machine, comment, NULL, file);
    fclose(file);
    snprintf(measured_path, sizeof measured_path, "%s", path);
    return status;
}

static void say(const char *text)
{
    size_t used = strlen(said);
    snprintf(said + used, sizeof said - used, "%s\n", text);
}

static lspo_machine_auto_t wanted(void)
{
    snprintf(cache, sizeof cache, "%s/a/cache", folder);
    return (lspo_machine_auto_t){.folder = cache,
                                 .host = "node7.cluster",
                                 .device = "cuda",
                                 .device_name = "NVIDIA X/Y, 4.0 GiB",
                                 .version = version,
                                 .measure = measure,
                                 .say = say};
}

static void expect_rate(const lspo_machine_auto_t *question, double rate_flops)
{
    lspo_machine_t machine = {0};
    said[0] = '\0';
    cr_assert_eq(lspo_machine_auto(question, &machine), LSPO_OK);
    cr_expect_float_eq(machine.gpu.gemm_flops[LSPO_FP32], rate_flops, 0);
}

Test(machine_auto, is_measured_once_by_each_version)
{
    lspo_machine_auto_t question = wanted();
    expect_rate(&question, 1e12);
    cr_expect_not_null(strstr(said, "there is no profile"), "%s", said);
    cr_expect_not_null(strstr(measured_path, "/a/cache/node7.cluster-NVIDIA-X-Y-4.0-GiB.ini"), "%s", measured_path);
    expect_rate(&question, 1e12);
    cr_expect_null(strstr(said, "measuring"), "%s", said);
    cr_expect_not_null(strstr(said, measured_path), "%s", said);
    question.version = version = "lspo 1.0 (b)";
    expect_rate(&question, 2e12);
    cr_expect_not_null(strstr(said, "another version"), "%s", said);
    cr_expect_eq(measured, 2);
}

Test(machine_auto, devices_and_machines_have_profiles_of_their_own)
{
    lspo_machine_auto_t question = wanted();
    expect_rate(&question, 1e12);
    question.host = "node8";
    expect_rate(&question, 2e12);
    question.device_name = "NVIDIA Z";
    expect_rate(&question, 3e12);
}

/* Nothing is measured that could not be kept. */
Test(machine_auto, refuses_a_place_that_cannot_be_used)
{
    lspo_machine_auto_t question = wanted();
    lspo_machine_t machine;
    char file[128];
    snprintf(file, sizeof file, "%s/a", folder);
    FILE *in_the_way = fopen(file, "w");
    cr_assert_not_null(in_the_way);
    fclose(in_the_way);
    cr_expect_eq(lspo_machine_auto(&question, &machine), LSPO_ERR_INPUT);
    cr_expect_eq(measured, 0);
}

static lspo_status_t fail(const char *device, const char *path)
{
    (void)device;
    (void)path;
    return LSPO_ERR_NUMERIC;
}

Test(machine_auto, a_failed_measurement_leaves_the_folder_free)
{
    lspo_machine_auto_t question = wanted();
    lspo_machine_t machine;
    question.measure = fail;
    cr_expect_eq(lspo_machine_auto(&question, &machine), LSPO_ERR_NUMERIC);
    question.measure = measure;
    expect_rate(&question, 1e12);
}
