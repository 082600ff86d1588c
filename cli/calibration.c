/* calibration.c - measure a device of this machine; see calibration.h. */
#include "cli/calibration.h"

#include <stdio.h>
#include <string.h>

#include "ask/version.h"
#include "base/output_file.h"
#include "cli/progress.h"
#include "real/calibrate/report.h"
#include "validate/trainings.h"

lspo_precision_t lspo_calibration_precision(const char *device)
{
    return strcmp(device, "host") == 0 ? LSPO_FP32 : LSPO_BF16;
}

lspo_status_t lspo_calibration_measure(const lspo_calibrate_options_t *options, lspo_calibration_result_t *result_out)
{
    lspo_calibrate_options_t shown = *options;
    lspo_calibration_result_t result;
    lspo_progress_t progress;
    shown.progress = lspo_progress_update;
    shown.progress_context = &progress;
    lspo_progress_start(&progress);
    lspo_status_t status = lspo_calibrate(&shown, &result);
    bool measured = status == LSPO_OK;
    if (measured && strcmp(options->device, "host") == 0)
        status = lspo_calibrate_trainings(&shown, &result);
    lspo_progress_end(&progress);
    if (status == LSPO_OK)
        *result_out = result;
    else if (measured)
        lspo_calibration_release(&result);
    return status;
}

lspo_status_t lspo_calibration_write(const lspo_calibration_result_t *result, const lspo_calibrate_options_t *options,
                                     const char *path)
{
    char comment[1024];
    lspo_output_t output;
    snprintf(comment, sizeof comment, "Measured by %s: lspo calibrate --device %s --precision %s%s\n%s",
             lspo_program_version, options->device, lspo_precision_name(options->precision),
             options->quick ? " --quick" : "", result->topology);
    if (path == NULL)
        return lspo_calibration_write_profile(result, comment, stdout);
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        return status;
    return lspo_output_finish(&output, lspo_calibration_write_profile(result, comment, output.file));
}
