/* cmd_calibrate.c - `lspo calibrate`: measure this machine into a profile that `lspo sim --machine` reads. */
#include <stddef.h>
#include <stdio.h>

#include "cli/args.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/request.h"
#include "cli/version.h"
#include "plan/machine.h"
#include "real/calibrate.h"
#include "traces/output.h"

typedef struct {
    const char *device, *path;
    bool quick;
} calibrate_request_t;

static const lspo_arg_t calibrate_args[] = {
    {.name = "device",
     .value = "NAME",
     .help = "what is measured (host)",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(calibrate_request_t, device)},
    {.name = "quick",
     .help = "under 10 s instead of under 40 s, with wider errors",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(calibrate_request_t, quick)},
    {.name = "output",
     .letter = 'o',
     .value = "FILE",
     .help = "write the profile there (to standard output)",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(calibrate_request_t, path)},
};

static void print_help(const lspo_arg_group_t *group)
{
    puts("usage: lspo calibrate [--device host] [--quick] [-o machine.ini]\n\n"
         "Measure the rate of each kernel class, of memory and of the link of this machine.  Nothing else should run\n"
         "meanwhile.");
    lspo_args_print(group, 1, stdout);
    puts("\nexample:\n"
         "  lspo calibrate --quick -o host.ini && lspo sim --machine host.ini --model gpt-small --policy zero");
}

static lspo_status_t write_profile(const lspo_machine_t *machine, const calibrate_request_t *request)
{
    char comment[256];
    lspo_output_t output;
    snprintf(comment, sizeof comment, "Measured by lspo %s (%s): lspo calibrate --device %s%s", PACKAGE_VERSION,
             LSPO_GIT_ID, request->device, request->quick ? " --quick" : "");
    if (request->path == NULL)
        return lspo_machine_write(machine, comment, stdout);
    lspo_status_t status = lspo_output_open(request->path, &output);
    if (status != LSPO_OK)
        return status;
    return lspo_output_finish(&output, lspo_machine_write(machine, comment, output.file));
}

static lspo_status_t calibrate(const calibrate_request_t *request)
{
    lspo_machine_t machine;
    lspo_progress_t progress;
    lspo_calibrate_options_t options = {.device = request->device,
                                        .quick = request->quick,
                                        .progress = lspo_progress_update,
                                        .progress_context = &progress};
    lspo_progress_start(&progress);
    lspo_status_t status = lspo_calibrate(&options, &machine);
    lspo_progress_end(&progress);
    return status == LSPO_OK ? write_profile(&machine, request) : status;
}

lspo_status_t lspo_command_calibrate(int argc, char **argv)
{
    calibrate_request_t request = {.device = "host"};
    const lspo_arg_group_t group = {"options", calibrate_args, sizeof calibrate_args / sizeof calibrate_args[0],
                                    &request};
    lspo_positionals_t positionals;
    bool help;
    lspo_status_t status = lspo_args_parse(argc, argv, &group, 1, &positionals, &help);
    if (status != LSPO_OK)
        return status;
    if (help) {
        print_help(&group);
        return LSPO_OK;
    }
    status = lspo_args_expect(&positionals, 0, 0, "lspo calibrate [--device host] [--quick] [-o machine.ini]");
    if (status == LSPO_OK && request.path != NULL)
        status = lspo_request_check_output(request.path);
    return status == LSPO_OK ? calibrate(&request) : status;
}
