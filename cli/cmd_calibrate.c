/* cmd_calibrate.c - `lspo calibrate`: measure this machine into a profile that `lspo sim --machine` reads. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "ask/args.h"
#include "ask/request.h"
#include "base/output_file.h"
#include "base/table.h"
#include "cli/calibration.h"
#include "cli/command.h"
#include "cli/gnuplot.h"
#include "real/calibrate/calibrate.h"
#include "real/calibrate/report.h"

typedef struct {
    const char *device, *path, *samples, *plot;
    int precision, format;
    uint32_t cpu_threads;
    bool quick;
} calibrate_request_t;

/* By lspo_precision_t. */
static const char *const precision_names[] = {"fp32", "bf16", "fp16", NULL};

static const lspo_arg_t calibrate_args[] = {
    {.name = "device",
     .value = "NAME",
     .list = "devices",
     .help = "device to measure: host, cuda or cuda:N (host)",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(calibrate_request_t, device)},
    {.name = "precision",
     .value = "fp32|bf16|fp16",
     .help = "number format of the GPU kernels that are timed (cuda: bf16; the host has fp32 only)",
     .store = lspo_arg_choice,
     .names = precision_names,
     .offset_bytes = offsetof(calibrate_request_t, precision)},
    {.name = "cpu-threads",
     .value = "N",
     .help = "threads of the CPU optimizer (host: 1; cuda: the same as lspo run)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = 65536,
     .high_is = "the number of cores",
     .offset_bytes = offsetof(calibrate_request_t, cpu_threads)},
    {.name = "quick",
     .help = "measure for half a minute to one instead of one to 3, less accurately",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(calibrate_request_t, quick)},
    {.name = "output",
     .letter = 'o',
     .value = "FILE",
     .help = "write the profile to this file and print a report (without it: print the profile)",
     .store = lspo_arg_output,
     .offset_bytes = offsetof(calibrate_request_t, path)},
    {.name = "samples",
     .value = "FILE",
     .help = "write every sample and its fitted time as CSV (beside the profile, FILE.samples.csv)",
     .store = lspo_arg_output,
     .offset_bytes = offsetof(calibrate_request_t, samples)},
    {.name = "plot",
     .value = "FILE",
     .help = "plot the residuals of the fits with gnuplot, as .svg or .png",
     .store = lspo_arg_output,
     .offset_bytes = offsetof(calibrate_request_t, plot)},
    {.name = "format",
     .value = "table|csv|json",
     .help = "format of the report (table on a terminal, else csv)",
     .store = lspo_arg_choice,
     .names = lspo_format_names,
     .offset_bytes = offsetof(calibrate_request_t, format)},
};

/* machine.ini gives machine.samples.csv; replaces any extension. */
static void default_samples_path(const char *profile, char *path, size_t path_bytes)
{
    const char *slash = strrchr(profile, '/'), *dot = strrchr(profile, '.');
    size_t length = dot != NULL && (slash == NULL || dot > slash + 1) ? (size_t)(dot - profile) : strlen(profile);
    snprintf(path, path_bytes, "%.*s.samples.csv", (int)length, profile);
}

static lspo_status_t write_samples(const lspo_calibration_result_t *result, const char *path)
{
    lspo_output_t output;
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        return status;
    return lspo_output_finish(&output, lspo_calibration_write_samples(result, output.file));
}

static lspo_status_t write_all(const lspo_calibration_result_t *result, const lspo_calibrate_options_t *options,
                               const calibrate_request_t *request)
{
    char beside[4096];
    const char *samples = request->samples;
    const char *first = request->path != NULL ? request->path : request->plot;
    if (samples == NULL && first != NULL) {
        default_samples_path(first, beside, sizeof beside);
        samples = beside;
    }
    lspo_status_t status = lspo_calibration_write(result, options, request->path);
    if (status != LSPO_OK)
        return status;
    if (samples != NULL)
        status = write_samples(result, samples);
    if (status != LSPO_OK)
        return status;
    if (request->plot != NULL)
        status = lspo_gnuplot_draw("calibrate.gp", request->plot, &(lspo_gnuplot_variable_t){"samples", samples}, 1);
    if (status != LSPO_OK)
        return status;
    if (request->path != NULL) /* else the profile is on standard output */
        status = lspo_calibration_report(result, lspo_format_resolve(request->format), stdout);
    return status;
}

static lspo_status_t measure(const calibrate_request_t *request)
{
    lspo_calibration_result_t result;
    const lspo_calibrate_options_t options = {.device = request->device,
                                              .precision = (lspo_precision_t)request->precision,
                                              .quick = request->quick,
                                              .cpu_threads = request->cpu_threads};
    lspo_status_t status = lspo_calibration_measure(&options, &result);
    if (status != LSPO_OK)
        return status;
    status = write_all(&result, &options, request);
    lspo_calibration_release(&result);
    return status;
}

/* Check before minutes of measurement that the path can be written and the plot drawn. */
static lspo_status_t check_outputs(const calibrate_request_t *request)
{
    const char *paths[] = {request->path, request->samples, request->plot};
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (paths[i] != NULL)
            status = lspo_request_check_output(paths[i]);
        if (status != LSPO_OK)
            return status;
    }
    if (request->plot != NULL)
        status = lspo_gnuplot_check(request->plot);
    return status;
}

static lspo_status_t calibrate(int argc, char **argv)
{
    calibrate_request_t request = {.device = "host", .precision = -1, .format = LSPO_FORMAT_AUTO};
    lspo_positionals_t positionals;
    lspo_status_t status = lspo_command_parse(&lspo_command_calibrate, argc, argv, &request, &positionals);
    if (status != LSPO_OK)
        return status;
    if (request.precision < 0)
        request.precision = lspo_calibration_precision(request.device);
    status = check_outputs(&request);
    if (status != LSPO_OK)
        return status;
    return measure(&request);
}

static const lspo_arg_group_t calibrate_group = LSPO_ARG_GROUP("options", calibrate_args);

const lspo_command_t lspo_command_calibrate = {
    .name = "calibrate",
    .summary = "measure this machine and write a profile for sim",
    .usage = "[--device host|cuda[:N]] [--quick] [-o FILE]",
    .about = "Measure the rates of this machine's kernels (by class and shape), memory and link, and fit a profile to "
             "them. Nothing else should run in the meantime.",
    .examples = "lspo calibrate --quick -o host.ini\n"
                "lspo calibrate --device cuda --precision bf16 -o gpu.ini\n"
                "lspo calibrate -o host.ini --plot residuals.svg",
    .common = "device quick output",
    .details = "To predict with the profile: lspo sim --machine host.ini --model gpt-small --policy zero",
    .groups = (const lspo_arg_group_t *const[]){&calibrate_group, NULL},
    .run = calibrate,
};
