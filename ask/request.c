/* request.c - see request.h. */
#include "ask/request.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/names.h"
#include "base/output_file.h"
#include "plan/policies/lsp.h"
#include "plan/policies/shared.h"
#include "real/formats/hf_folder.h"
#include "real/formats/hf_model.h"

/* An option that decides nothing where texts are generated. */
static void note_of_training(const lspo_arg_t *arg, void *slot)
{
    lspo_request_t *request = (void *)((char *)slot - arg->offset_bytes);
    request->of_training = arg->name;
}

static lspo_status_t store_loss_scale(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    note_of_training(arg, slot);
    return lspo_loss_scale_parse(what, text, slot);
}

static lspo_status_t store_precision(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    (void)arg;
    return lspo_precision_parse(what, text, slot);
}

static lspo_status_t store_transfer(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    note_of_training(arg, slot);
    return lspo_precision_parse(what, text, slot);
}

static lspo_status_t store_checkpointing(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    note_of_training(arg, slot);
    return lspo_arg_on_off(arg, what, text, slot);
}

static lspo_status_t store_train_rest(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    bool on;
    note_of_training(arg, slot);
    lspo_status_t status = lspo_arg_on_off(arg, what, text, &on);
    if (status != LSPO_OK)
        return status;
    *(lspo_train_rest_t *)slot = on ? LSPO_TRAIN_REST_ON : LSPO_TRAIN_REST_OFF;
    return LSPO_OK;
}

/* Of the optimizer. */
static lspo_status_t store_number(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    note_of_training(arg, slot);
    return lspo_parse_quantity(what, text, LSPO_UNIT_NONE, slot);
}

lspo_status_t lspo_request_store_set(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    (void)arg;
    lspo_overrides_t *overrides = slot;
    if (overrides->set_count == LSPO_SETS_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s is given more than %d times", what, LSPO_SETS_MAX);
    overrides->sets[overrides->set_count++] = text;
    return LSPO_OK;
}

/* A size whose limit follows from the model.  While the model is not known, any text is taken; the second pass of
 * lspo_request_read() refuses it with the limit that then holds. */
static lspo_status_t store_size(const char *what, const char *text, uint32_t most, uint32_t *size_out)
{
    int64_t size;
    if (most == 0) {
        *size_out = (uint32_t)strtoul(text, NULL, 10);
        return LSPO_OK;
    }
    lspo_status_t status = lspo_parse_integer(what, text, 1, most, &size);
    if (status != LSPO_OK)
        return status;
    *size_out = (uint32_t)size;
    return LSPO_OK;
}

static lspo_status_t store_sequence(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    const lspo_request_t *request = (const void *)((const char *)slot - arg->offset_bytes);
    return store_size(what, text, request->model.max_sequence, slot);
}

lspo_status_t lspo_request_store_batch(const lspo_request_t *request, const char *what, const char *text,
                                       uint32_t *batch_out)
{
    return store_size(what, text, request->batch_most, batch_out);
}

static lspo_status_t store_batch(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    return lspo_request_store_batch((const void *)((const char *)slot - arg->offset_bytes), what, text, slot);
}

#define WORKLOAD(field) .offset_bytes = offsetof(lspo_request_t, workload.field)
#define COUNT(field, most) .store = lspo_arg_u32, .low = 1, .high = most, WORKLOAD(field)

static const lspo_arg_t workload_args[] = {
    {.name = "batch", .value = "N", .help = "sequences per micro-batch (4)", .store = store_batch, WORKLOAD(batch)},
    {.name = "sequence",
     .value = "N",
     .help = "tokens per sequence (512; byte-level models 256; of generation fewer if new ones need the positions)",
     .store = store_sequence,
     WORKLOAD(sequence)},
    {.name = "precision",
     .value = "fp32|bf16|fp16",
     .help = "format of weights and activations (fp16; fp32 on the host device and for byte-level models)",
     .store = store_precision,
     WORKLOAD(precision)},
    {.name = "transfer",
     .value = "fp32|bf16|fp16",
     .help = "format of gradients, parameters and deltas on the link (the same as --precision)",
     .store = store_transfer,
     WORKLOAD(transfer)},
    {.name = "checkpointing",
     .value = "on|off",
     .help =
         "keep only the blocks' inputs in forward and compute the rest again in backward (on; byte-level models off)",
     .store = store_checkpointing,
     WORKLOAD(checkpointing)},
    {.name = "swap-activations",
     .value = "N",
     .help = "what the first N blocks keep for backward waits on the host; the GPU has room for that of the others (0)",
     .store = lspo_arg_u32,
     .high = LSPO_BLOCKS_MAX - 1,
     WORKLOAD(swap_activations)},
    {.name = "iterations",
     .value = "N",
     .help = "optimizer steps in the plan (8 or more; stale policies 16 or more)",
     COUNT(iterations, LSPO_STEPS_MAX)},
    {.name = "accumulation",
     .value = "K",
     .help = "micro-batches per optimizer step; the loss is the mean over all their targets (1)",
     COUNT(accumulation, LSPO_MICROS_MAX)},
    {.name = "clip",
     .value = "NORM",
     .help = "clip the global gradient norm to NORM; most policies then wait for the last gradient before any update "
             "(0: off)",
     .store = store_number,
     WORKLOAD(clip_norm)},
    {.name = "order",
     .value = "policy|auto",
     .help = "order in which a lane serves ops that wait for it: the policy's, or the fastest by simulation (policy)",
     .store = lspo_arg_choice,
     .names = lspo_lane_order_names,
     WORKLOAD(order)},
    {.name = "loss-scale",
     .value = "auto|dynamic|N",
     .help = "factor that multiplies the loss in backward (auto: 1024 in fp16, or dynamic with --clip; else 1)",
     .store = store_loss_scale,
     WORKLOAD(loss_scale)},
    {.name = "train-rest",
     .value = "on|off",
     .help = "also train embeddings, norms, biases and head (default: see `lspo list policies`)",
     .store = store_train_rest,
     WORKLOAD(train_rest)},
    {.name = "weight-decay",
     .value = "RATE",
     .help = "weight decay of AdamW: weights shrink by learning rate x RATE per step (0)",
     .store = store_number,
     WORKLOAD(weight_decay)},
    {.name = "adam-epsilon",
     .value = "E",
     .help = "Adam divides by sqrt(v) + E (1e-8)",
     .store = store_number,
     WORKLOAD(adam_epsilon)},
    {.name = "adam-root-epsilon",
     .value = "E",
     .help = "Adam divides by sqrt(v + E) + ...; the authors of LSP-Offload have 1e-4 here (0)",
     .store = store_number,
     WORKLOAD(adam_root_epsilon)},
    {.name = "learning-rate",
     .value = "RATE",
     .help = "learning rate (1e-4)",
     .store = store_number,
     WORKLOAD(learning_rate)},
    {.name = "seed",
     .value = "N",
     .help = "seed of the random weights, batches and projectors (1)",
     .store = lspo_arg_u64,
     .high = INT64_MAX,
     WORKLOAD(seed)},
};
const lspo_arg_group_t lspo_workload_group = LSPO_ARG_GROUP("workload (defaults in brackets)", workload_args);

static const lspo_arg_t override_args[] = {
    {.name = "link",
     .value = "RATE",
     .help = "bandwidth of the link in each direction: 12GB/s",
     .store = lspo_arg_quantity,
     .unit = LSPO_UNIT_BPS,
     .offset_bytes = offsetof(lspo_request_t, overrides.link_Bps)},
    {.name = "cpu",
     .value = "RATE",
     .help = "parameters per second of the CPU optimizer: 100M/s",
     .store = lspo_arg_quantity,
     .unit = LSPO_UNIT_PPS,
     .offset_bytes = offsetof(lspo_request_t, overrides.cpu_pps)},
    {.name = "gpu-memory",
     .value = "SIZE",
     .help = "GPU memory: 4GiB",
     .store = lspo_arg_bytes,
     .offset_bytes = offsetof(lspo_request_t, overrides.gpu_memory_bytes)},
    {.name = "host-memory",
     .value = "SIZE",
     .help = "host memory: 16GiB",
     .store = lspo_arg_bytes,
     .offset_bytes = offsetof(lspo_request_t, overrides.host_memory_bytes)},
    {.name = "set",
     .value = "KEY=VALUE",
     .help = "any other field of the machine, by its name in `lspo show machine`, or of the model (model.blocks=64); "
             "may be repeated",
     .store = lspo_request_store_set,
     .offset_bytes = offsetof(lspo_request_t, overrides)},
};

static const lspo_arg_t plan_args[] = {
    {.name = "model",
     .value = "NAME|FILE",
     .help = "",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, model_name)},
    {.name = "policy",
     .value = "NAME",
     .help = "",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, policy_name)},
};

const lspo_arg_group_t lspo_plan_group = LSPO_ARG_GROUP("plan", plan_args);
const lspo_arg_group_t lspo_override_group = LSPO_ARG_GROUP("overrides of the machine's profile", override_args);
const lspo_arg_group_t lspo_cap_group = LSPO_ARG_GROUP("caps, which make the device slower or smaller", override_args);

static const lspo_arg_t framework_args[] = {
    {.name = "framework",
     .value = "NAME|FILE",
     .list = "frameworks",
     .help = "whose implementation runs: lspo, graphs, compiled, eager, deepspeed, ... (the machine's, else lspo); "
             "help: list them",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, overrides.framework)},
};
const lspo_arg_group_t lspo_framework_group = LSPO_ARG_GROUP("implementation", framework_args);

static const lspo_arg_t device_args[] = {
    {.name = "device",
     .value = "NAME",
     .list = "devices",
     .help = "host, cuda or cuda:N (host); help: list them",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, device_name)},
    {.name = "cpu-threads",
     .value = "N",
     .help = "threads of the CPU optimizer (host: 1; GPU: all cores of its NUMA node except two)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = 65536,
     .high_is = "the number of cores",
     .offset_bytes = offsetof(lspo_request_t, cpu_threads)},
    {.name = "sms",
     .value = "N",
     .help = "multiprocessors that the kernels of a GPU may use (all)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = 65536,
     .high_is = "the number of the GPU's multiprocessors",
     .offset_bytes = offsetof(lspo_request_t, sms)},
    {.name = "nvtx",
     .help = "mark ops with NVTX ranges for NVIDIA's profilers",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(lspo_request_t, nvtx)},
};
const lspo_arg_group_t lspo_device_group = LSPO_ARG_GROUP("device", device_args);

lspo_status_t lspo_request_check_output(const char *path)
{
    lspo_output_t output;
    struct stat info;
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        return status;
    /* The reader of a named pipe leaves at its end, so a copy stays open as long as the program runs. */
    if (fstat(fileno(output.file), &info) == 0 && S_ISFIFO(info.st_mode))
        (void)fcntl(fileno(output.file), F_DUPFD_CLOEXEC, 3);
    /* Any error drops what was written. */
    (void)lspo_output_finish(&output, LSPO_ERR_INTERRUPTED);
    return LSPO_OK;
}

void lspo_request_workload(const lspo_model_t *model, lspo_workload_t *workload_out)
{
    lspo_workload_t workload;
    lspo_workload_default(&workload);
    if (model->vocabulary <= 256) {
        workload.sequence = 256;
        workload.precision = LSPO_FP32;
        workload.checkpointing = false;
    }
    if (workload.sequence > model->max_sequence)
        workload.sequence = model->max_sequence;
    workload.transfer = workload.precision;
    *workload_out = workload;
}

static bool is_preset(const char *name)
{
    bool found = false;
    for (uint32_t i = 0; i < lspo_model_preset_count() && !found; i++)
        found = strcmp(lspo_model_preset_name(i), name) == 0;
    return found;
}

bool lspo_request_is_folder(const char *name)
{
    struct stat info;
    return !is_preset(name) && stat(name, &info) == 0 && S_ISDIR(info.st_mode);
}

bool lspo_request_is_config(const char *name)
{
    return !is_preset(name) && lspo_hf_is_config(name);
}

lspo_status_t lspo_request_find_model(const char *name, lspo_model_t *model_out)
{
    struct stat info;
    if (is_preset(name) && stat(name, &info) == 0)
        lspo_warn("--model %s is the preset of that name; to use the file or folder here, write ./%s", name, name);
    if (lspo_request_is_folder(name))
        return lspo_hf_model_exists(name) ? lspo_hf_shapes_read(name, model_out) : lspo_hf_folder_refuse(name);
    if (lspo_request_is_config(name))
        return lspo_hf_shapes_read(name, model_out);
    return lspo_model_find(name, model_out);
}

/* What a framework asks for, where the policy has it; 0: nothing. */
static void set_asked(const lspo_policy_t *policy, const lspo_parameter_t *parameter, double value,
                      lspo_workload_t *workload)
{
    void *slot = lspo_policy_slot(policy, workload, parameter);
    if (slot != NULL && value > 0)
        lspo_parameter_store(parameter, value, slot);
}

void lspo_request_settle(lspo_request_t *request)
{
    uint32_t *lane = lspo_policy_slot(request->policy, &request->workload, &lspo_parameter_basis_lane);
    if (request->machine_name == NULL && lane != NULL && *lane == LSPO_BASIS_LANE_AUTO)
        *lane = LSPO_BASIS_LANE_CPU;
}

lspo_status_t lspo_request_own_values(const lspo_request_t *request, const lspo_policy_t *policy,
                                      lspo_workload_t *workload)
{
    lspo_policy_set_defaults(policy, &request->model, request->training, workload);
    set_asked(policy, &lspo_parameter_gradient_buffers, request->framework_buffers, workload);
    set_asked(policy, &lspo_parameter_accumulate_on, request->framework_sums, workload);
    return lspo_given_apply(&request->given, policy, workload);
}

/* Where no prompt's length is given, it leaves positions for the new tokens. */
static void shorten_prompt(const lspo_request_t *request, lspo_workload_t *workload)
{
    const uint32_t positions = request->model.max_sequence, new_tokens = workload->iterations;
    if (request->policy->task != LSPO_TASK_GENERATE || request->own_sequence || new_tokens > positions)
        return;
    if (workload->sequence > positions + 1 - new_tokens)
        workload->sequence = positions + 1 - new_tokens;
}

/* The policy's own values, and the iterations and the default prompt, which follow from them. */
static lspo_status_t finish_workload(lspo_request_t *request)
{
    lspo_workload_t *workload = &request->workload;
    lspo_status_t status = LSPO_OK;
    if (!request->every_policy)
        status = lspo_given_check(&request->given, request->policy, request->also);
    if (status != LSPO_OK)
        return status;
    status = lspo_request_own_values(request, request->policy, workload);
    if (status != LSPO_OK)
        return status;
    request->own_iterations = workload->iterations > 0;
    if (!request->own_iterations)
        workload->iterations = lspo_policy_iterations(request->policy, workload);
    shorten_prompt(request, workload);
    status = lspo_workload_check(workload, &request->model);
    if (status != LSPO_OK)
        return status;
    return lspo_policy_check(request->policy, &request->model, workload);
}

/* The largest batch at the given sequence, 0: at the default one.  A sequence that is refused anyway does not count. */
static uint32_t most_batch(const lspo_request_t *request, uint32_t sequence)
{
    lspo_workload_t workload = request->workload;
    if (sequence > 0 && sequence <= request->model.max_sequence)
        workload.sequence = sequence;
    return lspo_workload_batch_most(&workload, &request->model);
}

static const char model_prefix[] = "model.";

bool lspo_request_sets_model(const char *assignment)
{
    return strncmp(assignment, model_prefix, sizeof model_prefix - 1) == 0;
}

lspo_status_t lspo_overrides_model(const lspo_overrides_t *overrides, lspo_model_t *model)
{
    lspo_status_t status = LSPO_OK;
    bool changed = false;
    for (uint32_t i = 0; status == LSPO_OK && i < overrides->set_count; i++)
        if (lspo_request_sets_model(overrides->sets[i])) {
            status = lspo_model_set(model, overrides->sets[i] + sizeof model_prefix - 1);
            changed = true;
        }
    return status == LSPO_OK && changed ? lspo_model_check(model) : status;
}

/* The model as a classifier with a head of its own. */
static lspo_status_t make_classifier(uint32_t class_count, lspo_model_t *model)
{
    model->class_count = class_count;
    model->tied_head = false;
    return lspo_model_check(model);
}

/* The model, with what --classes and --set change of it. */
static lspo_status_t find_model(lspo_request_t *request)
{
    lspo_status_t status = LSPO_OK;
    if (request->known_model != NULL)
        request->model = *request->known_model;
    else
        status = lspo_request_find_model(request->model_name, &request->model);
    if (status == LSPO_OK && request->class_count > 0)
        status = make_classifier(request->class_count, &request->model);
    return status == LSPO_OK ? lspo_overrides_model(&request->overrides, &request->model) : status;
}

const char lspo_usual_policy[] = "lsp", lspo_every_policy[] = "native";

lspo_status_t lspo_request_check_task(const lspo_request_t *request)
{
    if (request->policy->task != LSPO_TASK_GENERATE || request->of_training == NULL)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT,
                      "--%s is an option of trainings; with policies of generation, such as %s, it "
                      "decides nothing",
                      request->of_training, request->policy->name);
}

/* --task generate without --policy is generation with everything on the GPU; so it is where every policy is asked. */
static lspo_status_t find_policy(lspo_request_t *request)
{
    const lspo_policy_t *policy = NULL;
    if (!request->any_task)
        return lspo_policy_find(request->policy_name, &request->policy);
    lspo_status_t status = lspo_policy_find_any(request->policy_name, &policy);
    if (status != LSPO_OK)
        return status;
    if (request->task == LSPO_TASK_GENERATE &&
        (request->policy_name == lspo_every_policy || request->policy_name == lspo_usual_policy))
        policy = lspo_policy_baseline(LSPO_TASK_GENERATE);
    if (request->task >= 0 && (int)policy->task != request->task)
        return lspo_error(LSPO_ERR_INPUT, "--task %s: policy %s is of the task %s; `lspo list policies` lists them",
                          lspo_task_names[request->task], policy->name, lspo_task_names[policy->task]);
    request->policy = policy;
    return LSPO_OK;
}

/* Forget the flags of the first reading. */
static void start_again(lspo_request_t *request)
{
    request->workload.precision = request->workload.transfer = LSPO_PRECISION_COUNT;
    request->workload.iterations = 0;
    request->overrides.set_count = 0;
    request->given.count = 0;
    request->of_training = NULL;
}

lspo_status_t lspo_request_read(lspo_request_read_t read, void *context, lspo_precision_t precision,
                                lspo_request_t *request)
{
    lspo_status_t status = read(context, request);
    if (status != LSPO_OK)
        return status;
    status = find_model(request);
    if (status != LSPO_OK)
        return status;
    status = find_policy(request);
    if (status != LSPO_OK)
        return status;

    /* The model's defaults are known only now: set them, then apply the flags again. */
    const uint32_t sequence = request->workload.sequence;
    lspo_request_workload(&request->model, &request->workload);
    request->batch_most = most_batch(request, sequence);
    request->own_sequence = sequence > 0;
    bool on_host = request->device_name != NULL && strcmp(request->device_name, "host") == 0;
    if (precision == LSPO_PRECISION_COUNT || !on_host)
        precision = request->workload.precision;
    start_again(request);
    status = read(context, request);
    if (status != LSPO_OK)
        return status;
    if (request->workload.precision == LSPO_PRECISION_COUNT)
        request->workload.precision = precision;
    request->own_transfer = request->workload.transfer != LSPO_PRECISION_COUNT;
    if (!request->own_transfer)
        request->workload.transfer = request->workload.precision;
    return finish_workload(request);
}

lspo_status_t lspo_overrides_machine(const lspo_overrides_t *overrides, lspo_machine_t *machine)
{
    if (overrides->framework != NULL) {
        lspo_status_t status = lspo_machine_use_framework(machine, overrides->framework);
        if (status != LSPO_OK)
            return status;
    }
    for (uint32_t i = 0; i < overrides->set_count; i++) {
        lspo_status_t status = LSPO_OK;
        if (!lspo_request_sets_model(overrides->sets[i]))
            status = lspo_machine_set(machine, overrides->sets[i]);
        if (status != LSPO_OK)
            return status;
    }
    lspo_machine_pace(machine, overrides->link_Bps, overrides->cpu_pps);
    if (overrides->gpu_memory_bytes > 0)
        machine->gpu.memory_bytes = (double)overrides->gpu_memory_bytes + machine->gpu.context_bytes;
    if (overrides->host_memory_bytes > 0)
        machine->cpu.memory_bytes = (double)overrides->host_memory_bytes;
    return lspo_machine_check(machine);
}

lspo_status_t lspo_request_use_machine(lspo_request_t *request, lspo_machine_t *machine)
{
    lspo_status_t status = lspo_overrides_machine(&request->overrides, machine);
    if (status != LSPO_OK)
        return status;
    if (machine->software.fp32_transfer > 0 && !request->own_transfer)
        request->workload.transfer = LSPO_FP32;
    request->framework_buffers = machine->software.gradient_buffers;
    request->framework_sums = machine->software.host_sums > 0 ? LSPO_ACCUMULATE_ON_HOST : LSPO_ACCUMULATE_ON_GPU;
    return lspo_request_own_values(request, request->policy, &request->workload);
}
