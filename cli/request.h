/* request.h - what `sim`, `run` and `show plan` are asked for: the flags that they share, and their defaults.
 *
 * The workload defaults are a function of the model alone, so that `lspo sim` and `lspo run` with the same flags speak
 * of the same plan:
 *     byte-level models (vocabulary <= 256, made for the host): batch 4, sequence min(256, longest), fp32, no
 *     checkpointing;
 *     the others: lspo_workload_default(), with the sequence capped at the model's longest, and fp32 under `run` and
 *     `train` on the host device, which computes in nothing else.
 * What a policy has of its own comes from its table (plan/parameter.h).
 * The transfer precision follows --precision unless given.
 */
#ifndef LSPO_CLI_REQUEST_H
#define LSPO_CLI_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/args.h"
#include "cli/command.h"
#include "cli/policy_flags.h"
#include "plan/machine.h"
#include "plan/model.h"
#include "plan/policy.h"
#include "plan/workload.h"
#include "real/device/device.h"
#include "traces/trace.h"

enum { LSPO_SETS_MAX = 64 };

/* The same flags change the machine that is simulated and cap the device that runs.  0, NULL: not given. */
typedef struct {
    double link_Bps;
    double cpu_pps;
    uint64_t gpu_memory_bytes, host_memory_bytes;
    const char *sets[LSPO_SETS_MAX]; /* "section.key=VALUE" */
    uint32_t set_count;
} lspo_overrides_t;

typedef struct {
    const char *model_name, *machine_name, *policy_name, *device_name;
    const char *trace_path, *text_path;
    int format;
    uint32_t repeat, rows;
    bool slowdown, timing_only, nvtx;
    uint32_t sms, cpu_threads; /* 0: not given */
    bool training;             /* defaults are those of `lspo train`                                */
    bool every_policy;         /* flags of any policy are accepted: each policy takes its own      */
    const lspo_policy_t *also; /* NULL, or a policy whose flags are accepted, too                  */
    lspo_given_t given;        /* flags of policies */
    lspo_workload_t workload;
    lspo_overrides_t overrides;
    /* Set by lspo_request_parse(). */
    lspo_model_t model;
    const lspo_policy_t *policy;
    bool own_iterations; /* --iterations was given; else the policy's default */
} lspo_request_t;

/* The row `--trace` of a command that plays a plan, stored in a request. */
#define LSPO_TRACE_ARG                                                                                                 \
    {                                                                                                                  \
        .name = "trace", .value = "FILE", .help = "write start and end of every op as CSV", .store = lspo_arg_text,    \
        .offset_bytes = offsetof(lspo_request_t, trace_path)                                                           \
    }

/* --model and --policy, without help: of a plan whose flags nobody types. */
extern const lspo_arg_group_t lspo_plan_group;
extern const lspo_arg_group_t lspo_workload_group;
/* The same options under two titles: of what is simulated and of what runs. */
extern const lspo_arg_group_t lspo_override_group, lspo_cap_group;
/* Of commands that run on a device. */
extern const lspo_arg_group_t lspo_device_group;
/* Flags of a policy's own parameters: cli/policy_flags.h.
 * Parse argv by the options of `command` into `request`, which holds the names' defaults and is what the command's
 * target begins with, and find model and policy.  `precision`: the default on the host device, LSPO_PRECISION_COUNT: by
 * model, as on every other. */
lspo_status_t lspo_request_parse(const lspo_command_t *command, int argc, char **argv, lspo_precision_t precision,
                                 lspo_request_t *request);

/* Is the model `name` a folder?  A preset of that name comes first: ./NAME is the folder. */
bool lspo_request_is_folder(const char *name);
/* A preset, a file of shapes, or such a folder. */
lspo_status_t lspo_request_find_model(const char *name, lspo_model_t *model_out);

/* Can `path` be written?  Asked before a measurement, which its result should not cost.  Leaves nothing behind. */
lspo_status_t lspo_request_check_output(const char *path);

/* Give the workload the values that `policy` has of its own: its defaults, then the flags. */
lspo_status_t lspo_request_own_values(const lspo_request_t *request, const lspo_policy_t *policy,
                                      lspo_workload_t *workload);

/* The default workload of a model; see above.  Without policies' own values. */
void lspo_request_workload(const lspo_model_t *model, lspo_workload_t *workload_out);

/* --set in order, then the flags with names of their own; checks the result. */
lspo_status_t lspo_overrides_machine(const lspo_overrides_t *overrides, lspo_machine_t *machine);
/* The same as caps of a device.  LSPO_ERR_INPUT for a --set that no device can be made to follow (a GEMM rate). */
lspo_status_t lspo_overrides_caps(const lspo_overrides_t *overrides, lspo_device_caps_t *caps);
/* These and what only a device has. */
lspo_status_t lspo_request_caps(const lspo_request_t *request, lspo_device_caps_t *caps);
/* Header entries of a trace: what was given. */
lspo_status_t lspo_overrides_describe(const lspo_overrides_t *overrides, lspo_trace_t *trace);
/* All --set, separated by blanks, without those of their own ("50 M/s" is 50M/s); empty without. */
void lspo_overrides_sets(const lspo_overrides_t *overrides, char *buffer, size_t buffer_bytes);

#endif
