/* request.h - the flags that `sim`, `run`, `show plan` and others share, and their defaults.
 *
 * The workload defaults depend only on the model, so that `lspo sim` and `lspo run` with the same flags use the same
 * plan:
 *     byte-level models (vocabulary <= 256, made for the host): batch 4, sequence min(256, longest), fp32, no
 *     checkpointing;
 *     the others: lspo_workload_default(), with the sequence capped at the model's maximum, and fp32 for `run` and
 * `train` on the host device, which has no other precision.  A policy's own parameters come from its table
 * (plan/parameter.h).  The default of --transfer is --precision.
 */
#ifndef LSPO_ASK_REQUEST_H
#define LSPO_ASK_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "ask/args.h"
#include "ask/policy_flags.h"
#include "plan/machine.h"
#include "plan/model.h"
#include "plan/policy.h"
#include "plan/workload.h"
#include "traces/trace.h"

enum { LSPO_SETS_MAX = 64 };

/* These flags change the simulated machine or cap the device of a run.  0, NULL: not given. */
typedef struct {
    double link_Bps;
    double cpu_pps;
    uint64_t gpu_memory_bytes, host_memory_bytes;
    const char *framework;           /* a preset of frameworks/, or a file */
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
    bool any_task;             /* policies of generation, too                                       */
    int task;                  /* lspo_task_t of --task, with any_task; -1: the policy's            */
    bool training;             /* defaults are those of `lspo train`                                */
    bool every_policy;         /* accept flags of all policies; each policy uses its own         */
    const char *of_training;   /* set by reading: an option that generation has no use for; NULL: none is given */
    const lspo_policy_t *also; /* NULL, or a policy whose flags are accepted, too                  */
    lspo_given_t given;        /* flags of policies */
    lspo_workload_t workload;
    lspo_overrides_t overrides;
    uint32_t class_count;            /* of the classifier to make of the model; 0: as it is */
    const lspo_model_t *known_model; /* that of model_name, already found; NULL: find it */
    /* Set by lspo_request_read(). */
    lspo_model_t model;
    uint64_t peak_bytes; /* of GPU memory, predicted for a device with a cap; 0: unknown */
    uint32_t batch_most; /* the largest --batch; 0 until the model is known */
    const lspo_policy_t *policy;
    bool own_iterations;      /* --iterations was given; else the policy's default */
    bool own_sequence;        /* --sequence was given */
    bool own_transfer;        /* --transfer was given */
    double framework_buffers; /* lspo_request_machine(): the framework's --gradient-buffers; 0: none */
    double framework_sums;    /* the same: lspo_accumulate_on_t */
} lspo_request_t;

/* The policy of commands that also play plans of generation, if --policy is not given. */
extern const char lspo_usual_policy[];

/* The same of commands that compare all policies of a task; with --task generate it stands for resident. */
extern const char lspo_every_policy[];

/* LSPO_ERR_INPUT for an option of trainings with a policy of generation.  After lspo_request_read(). */
lspo_status_t lspo_request_check_task(const lspo_request_t *request);

/* Their option `--task`, stored in a request. */
#define LSPO_TASK_ARG(offset)                                                                                          \
    {                                                                                                                  \
        .name = "task", .value = "train|generate",                                                                     \
        .help = "steps of a training, or new tokens of texts, whose policy is resident unless given (the policy's)",   \
        .store = lspo_arg_choice, .names = lspo_task_names, .offset_bytes = (offset)                                   \
    }

/* The option `--trace` of a command that plays a plan, stored in a request. */
#define LSPO_TRACE_ARG                                                                                                 \
    {                                                                                                                  \
        .name = "trace", .value = "FILE", .help = "write start and end of every op as CSV", .store = lspo_arg_output,  \
        .offset_bytes = offsetof(lspo_request_t, trace_path)                                                           \
    }

/* --model and --policy without help texts, for plans whose flags come from a trace or grid. */
extern const lspo_arg_group_t lspo_plan_group;
extern const lspo_arg_group_t lspo_workload_group;
/* The same options with two titles, for simulations and for runs. */
extern const lspo_arg_group_t lspo_override_group, lspo_cap_group;
/* --framework, for simulations. */
extern const lspo_arg_group_t lspo_framework_group;
/* Options of commands that run on a device. */
extern const lspo_arg_group_t lspo_device_group;
/* Fill `request` from flags, and find model and policy.  `request` has the default names.  `read` stores the flags in
 * it, and is called twice, because the defaults of the model, which the first call names, come before all other flags.
 * `precision` is the default on the host device; LSPO_PRECISION_COUNT: the model's, as on other devices.
 * (ask/policy_flags.h has the flags of the policies' own parameters.) */
typedef lspo_status_t (*lspo_request_read_t)(void *context, lspo_request_t *request);
lspo_status_t lspo_request_read(lspo_request_read_t read, void *context, lspo_precision_t precision,
                                lspo_request_t *request);

/* Is the model `name` a folder?  A preset of that name comes first; ./NAME is the folder. */
bool lspo_request_is_folder(const char *name);
/* Is it a file like a config.json, whatever its name? */
bool lspo_request_is_config(const char *name);
/* Find a model: a preset, a file of shapes, a config.json, or such a folder. */
lspo_status_t lspo_request_find_model(const char *name, lspo_model_t *model_out);

/* Can `path` be written?  Checked before a measurement, so that its result is not lost.  Leaves no file; the reader of
 * a named pipe keeps waiting until the program ends. */
lspo_status_t lspo_request_check_output(const char *path);

/* Store a --batch; the message names the largest one for the model and the sequence.  Any text is taken until the model
 * is known, because lspo_request_read() then reads all flags again. */
lspo_status_t lspo_request_store_batch(const lspo_request_t *request, const char *what, const char *text,
                                       uint32_t *batch_out);

/* Set the workload's values of `policy`'s own parameters: its defaults, then the given flags. */
lspo_status_t lspo_request_own_values(const lspo_request_t *request, const lspo_policy_t *policy,
                                      lspo_workload_t *workload);

/* The default workload of a model, see above, without the policies' own values. */
void lspo_request_workload(const lspo_model_t *model, lspo_workload_t *workload_out);

/* Without --machine there is nothing to simulate: what is left to simulation (--basis-lane auto) gets its value. */
void lspo_request_settle(lspo_request_t *request);

/* Store a --set: the slot is an lspo_overrides_t. */
lspo_status_t lspo_request_store_set(const lspo_arg_t *arg, const char *what, const char *text, void *slot);

/* Is it a --set of the model, "model.KEY=VALUE"? */
bool lspo_request_sets_model(const char *assignment);

/* Apply each --set of the model in order, and check the result if there are any. */
lspo_status_t lspo_overrides_model(const lspo_overrides_t *overrides, lspo_model_t *model);

/* Apply --framework, then each --set of the machine in order, then --link, --cpu and the like; checks the result. */
lspo_status_t lspo_overrides_machine(const lspo_overrides_t *overrides, lspo_machine_t *machine);
/* Apply the overrides to the request's machine, and take what its framework decides about the plan: --transfer and
 * --gradient-buffers where they are not given.  After lspo_request_read(). */
lspo_status_t lspo_request_use_machine(lspo_request_t *request, lspo_machine_t *machine);
/* Write the given overrides into the header of a trace. */
lspo_status_t lspo_overrides_describe(const lspo_overrides_t *overrides, lspo_trace_t *trace);
/* All --set separated by blanks, each without blanks ("50 M/s" becomes 50M/s); "": none. */
void lspo_overrides_sets(const lspo_overrides_t *overrides, char *buffer, size_t buffer_bytes);

#endif
