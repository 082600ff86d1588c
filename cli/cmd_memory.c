/* cmd_memory.c - `lspo memory`: what a training needs of GPU and host memory, itemised. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ask/args.h"
#include "ask/request.h"
#include "base/interrupt.h"
#include "base/table.h"
#include "base/wrap.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/machine_named.h"
#include "cli/measure.h"
#include "cli/memory_rows.h"
#include "cli/progress.h"
#include "cli/request_line.h"

typedef struct {
    lspo_request_t base; /* first, see ask/request.h */
    uint32_t devices;
    bool largest_batch, largest_model, run;
} memory_request_t;

static const lspo_arg_t memory_args[] = {
    {.name = "model",
     .value = "NAME|FILE|FOLDER",
     .list = "models",
     .help = "model to train, or its config.json alone; help: list models",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(memory_request_t, base.model_name)},
    {.name = "machine",
     .value = "NAME|FILE|auto",
     .list = "machines",
     .help = "machine whose memory counts (paper-workstation); auto: this one; help: list machines",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(memory_request_t, base.machine_name)},
    {.name = "policy",
     .value = "NAME",
     .list = "policies",
     .help = "only this policy (all); help: list policies",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(memory_request_t, base.policy_name)},
    {.name = "devices",
     .value = "N",
     .help = "GPUs that share the training: also by replicas, ZeRO-3, tensor parallelism (1)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = 64,
     .offset_bytes = offsetof(memory_request_t, devices)},
    {.name = "largest-batch",
     .help = "also the largest --batch that fits, for each row",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(memory_request_t, largest_batch)},
    {.name = "largest-model",
     .help = "also the largest of lspo's models that fits, for each policy",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(memory_request_t, largest_model)},
    {.name = "run",
     .help = "also run each policy that fits, on the host or a GPU as the machine is, and measure",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(memory_request_t, run)},
    LSPO_FORMAT_ARG("result", offsetof(memory_request_t, base.format)),
};

static const lspo_arg_group_t memory_group = LSPO_ARG_GROUP("options", memory_args);

/* ---- measured ---- */

typedef struct {
    lspo_command_line_t line;
    lspo_bench_t runs;
} bench_t;

/* A run that fails leaves its row without figures, and says so. */
static lspo_status_t measure(const bench_t *bench, const lspo_policy_t *policy, lspo_memory_row_t *row)
{
    char text[LSPO_COMMAND_LINE_BYTES], message[512];
    lspo_run_measured_t measured;
    lspo_status_t status =
        lspo_command_line_write(&bench->line, "run", policy, (uint32_t)row->batch, text, sizeof text);
    if (status != LSPO_OK)
        return status;
    lspo_messages_keep(message, sizeof message);
    status = lspo_bench_measure(&bench->runs, text + strlen("lspo run"), &measured);
    lspo_messages_keep(NULL, 0);
    if (status == LSPO_ERR_CHECK) {
        lspo_warn("%s was not measured: %s", policy->name, message);
        return LSPO_OK;
    }
    if (status != LSPO_OK)
        return status == LSPO_ERR_INTERRUPTED ? status : lspo_error(status, "%s", message);
    double predicted = (double)(row->needs.gpu_bytes - row->needs.gpu_context_bytes + row->needs.host_bytes);
    row->measured_gpu_bytes = measured.peak_gpu_bytes;
    row->measured_total_bytes = measured.peak_total_bytes;
    if (row->measured_total_bytes != LSPO_MISSING && row->measured_total_bytes > 0)
        row->measured_error = predicted / (double)row->measured_total_bytes - 1;
    row->measured_card_bytes = measured.card_bytes;
    if (row->measured_card_bytes != LSPO_MISSING && row->measured_card_bytes > 0)
        row->measured_card_error = (double)row->needs.gpu_bytes / (double)row->measured_card_bytes - 1;
    return LSPO_OK;
}

static lspo_status_t measure_all(bench_t *bench, const lspo_memory_question_t *question, lspo_memory_row_t *rows,
                                 size_t count)
{
    lspo_status_t status = LSPO_OK;
    size_t asked = 0, measured = 0;
    for (size_t i = 0; i < count && status == LSPO_OK && !atomic_load(bench->runs.stop); i++) {
        const lspo_policy_t *policy = NULL;
        if (rows[i].by != LSPO_MEMORY_POLICY || rows[i].fits != 1)
            continue;
        question->progress(question->progress_context, rows[i].method, (uint32_t)i, lspo_policy_count());
        status = lspo_policy_find(rows[i].method, &policy);
        if (status == LSPO_OK)
            status = measure(bench, policy, &rows[i]);
        asked++;
        measured += rows[i].measured_gpu_bytes != LSPO_MISSING;
    }
    if (status == LSPO_OK && atomic_load(bench->runs.stop))
        return LSPO_ERR_INTERRUPTED;
    if (status == LSPO_OK && asked > 0 && measured == 0)
        return lspo_error(LSPO_ERR_DEVICE, "no run ended: nothing was measured");
    return status;
}

static lspo_status_t run_all(const lspo_command_line_t *line, const lspo_memory_question_t *question,
                             lspo_memory_row_t *rows, size_t count)
{
    const char *temporary = getenv("TMPDIR");
    char folder[256], path[272];
    bench_t bench = {.line = *line};
    int length = snprintf(folder, sizeof folder, "%s/lspo-memory-XXXXXX",
                          temporary != NULL && temporary[0] != '\0' ? temporary : "/tmp");
    if (length < 0 || (size_t)length >= sizeof folder || mkdtemp(folder) == NULL)
        return lspo_error(LSPO_ERR_IO, "%s: %s", folder, strerror(errno));
    snprintf(path, sizeof path, "%s/memory", folder);
    lspo_status_t status = lspo_bench_open(path, &bench.runs);
    bench.runs.stop = lspo_interrupt_catch();
    if (status == LSPO_OK)
        status = measure_all(&bench, question, rows, count);
    lspo_interrupt_release();
    lspo_bench_release(&bench.runs);
    rmdir(folder);
    return status;
}

/* ---- the answer ---- */

static void print_headline(FILE *file, const void *context)
{
    const lspo_memory_question_t *question = context;
    const lspo_workload_t *workload = &question->workload;
    const lspo_machine_t *machine = question->machine;
    char gpu[32], host[32], micros[32] = "";
    lspo_format_quantity(machine->gpu.memory_bytes, LSPO_UNIT_BYTES, gpu, sizeof gpu);
    lspo_format_quantity(machine->cpu.memory_bytes, LSPO_UNIT_BYTES, host, sizeof host);
    if (workload->accumulation > 1)
        snprintf(micros, sizeof micros, "%u x ", workload->accumulation);
    fprintf(file, "%s, batch %s%u x %u tokens, %s, checkpointing %s; %s has %s of GPU memory and %s of host memory.\n",
            question->model->name, micros, workload->batch, workload->sequence,
            lspo_precision_name(workload->precision), workload->checkpointing ? "on" : "off", machine->name, gpu, host);
}

/* What follows "One GPU" or "Each of N GPUs". */
static const char *const titles[] = {
    [LSPO_MEMORY_POLICY] = ", by lspo's replay of each policy's plan:",
    [LSPO_MEMORY_LAYOUT] = " under native, by lspo's replay:",
    [LSPO_MEMORY_LLMEM] = " by LLMem's formulas (Gemini, mixed precision, checkpointing):",
    [LSPO_MEMORY_DEEPSPEED] = " by DeepSpeed's estimator (weights, gradients and states only):",
};

static lspo_status_t print_part(const lspo_memory_question_t *question, lspo_memory_by_t by, bool measured,
                                const lspo_memory_row_t *rows, size_t count)
{
    lspo_field_t columns[LSPO_MEMORY_COLUMNS_MAX];
    bool card = false;
    for (size_t i = 0; i < count; i++)
        card |= rows[i].measured_card_bytes != LSPO_MISSING;
    lspo_table_t table = {.fields = columns,
                          .field_count = lspo_memory_columns(question, by, measured, card, columns),
                          .records = rows,
                          .record_bytes = sizeof *rows,
                          .record_count = count};
    if (rows[0].devices == 1)
        printf("\nOne GPU%s\n", titles[by]);
    else
        printf("\nEach of %" PRIu64 " GPUs%s\n", rows[0].devices, titles[by]);
    return lspo_table_write(&table, LSPO_FORMAT_TABLE, stdout);
}

static lspo_status_t print_parts(const memory_request_t *request, const lspo_memory_question_t *question,
                                 const lspo_memory_row_t *rows, size_t count)
{
    lspo_wrap_print(stdout, print_headline, question);
    for (size_t i = 0; i < count;) {
        size_t end = i;
        while (end < count && rows[end].by == rows[i].by)
            end++;
        lspo_status_t status = print_part(question, rows[i].by, request->run, rows + i, end - i);
        if (status != LSPO_OK)
            return status;
        i = end;
    }
    return LSPO_OK;
}

static lspo_status_t write_rows(const memory_request_t *request, const lspo_memory_question_t *question,
                                const lspo_memory_row_t *rows, size_t count)
{
    lspo_format_t format = lspo_format_resolve(request->base.format);
    if (format == LSPO_FORMAT_TABLE)
        return print_parts(request, question, rows, count);
    lspo_table_t table = {.fields = lspo_memory_fields,
                          .field_count = lspo_memory_field_count,
                          .records = rows,
                          .record_bytes = sizeof *rows,
                          .record_count = count};
    return lspo_table_write(&table, format, stdout);
}

/* ---- the command ---- */

static lspo_status_t prepare(void *request, const lspo_policy_t *policy, lspo_workload_t *workload)
{
    return lspo_request_own_values(request, policy, workload);
}

static lspo_status_t answer(memory_request_t *request, const lspo_command_line_t *line,
                            const lspo_memory_question_t *question)
{
    lspo_progress_t progress;
    lspo_memory_question_t asked = *question;
    size_t count = 0;
    lspo_memory_row_t *rows = calloc(LSPO_MEMORY_ROWS_MAX, sizeof *rows);
    if (rows == NULL)
        return lspo_no_memory("%d rows", LSPO_MEMORY_ROWS_MAX);
    asked.progress = lspo_progress_update;
    asked.progress_context = &progress;
    lspo_progress_start(&progress);
    lspo_status_t status = lspo_memory_rows(&asked, rows, &count);
    if (status == LSPO_OK && request->run)
        status = run_all(line, &asked, rows, count);
    lspo_progress_end(&progress);
    if (status == LSPO_OK)
        status = write_rows(request, &asked, rows, count);
    free(rows);
    return status;
}

static bool is_compared(const void *context, const lspo_policy_t *policy)
{
    (void)context;
    return policy->task == LSPO_TASK_TRAIN && !policy->of_peers;
}

static lspo_status_t memory(int argc, char **argv)
{
    memory_request_t request = {.base = {.machine_name = "paper-workstation",
                                         .policy_name = lspo_every_policy,
                                         .every_policy = true,
                                         .format = LSPO_FORMAT_AUTO},
                                .devices = 1};
    lspo_machine_t machine;
    const lspo_policy_t *only = NULL;
    lspo_command_line_t line = {argc, argv, &memory_group, NULL};
    lspo_status_t status = lspo_request_parse(&lspo_command_memory, argc, argv, LSPO_PRECISION_COUNT, &request.base);
    if (status == LSPO_OK && lspo_command_line_has(&line, "policy")) {
        only = request.base.policy;
        status = lspo_given_check(&request.base.given, only, NULL);
    } else if (status == LSPO_OK) {
        status = lspo_given_check_some(&request.base.given, is_compared, NULL, "the policies that are compared");
    }
    if (status == LSPO_OK)
        status = lspo_request_machine(&request.base, &machine);
    if (status != LSPO_OK)
        return status;
    lspo_memory_question_t question = {.model = &request.base.model,
                                       .machine = &machine,
                                       .workload = request.base.workload,
                                       .only = only,
                                       .devices = request.devices,
                                       .largest_batch = request.largest_batch,
                                       .largest_model = request.largest_model,
                                       .prepare = prepare,
                                       .prepare_context = &request.base};
    if (!request.base.own_iterations)
        question.workload.iterations = 0;
    line.device = lspo_command_line_device(&machine);
    return answer(&request, &line, &question);
}

const lspo_command_t lspo_command_memory = {
    .name = "memory",
    .summary = "what a training needs of GPU and host memory, itemised",
    .predicts = true,
    .usage = "--model NAME [options]",
    .about =
        "What a training needs of GPU and host memory, item by item: for every policy by lspo's replay of its plan, "
        "for several GPUs by replicas, ZeRO-3 and tensor parallelism, and beside these by LLMem's formulas and "
        "DeepSpeed's estimator. --run also measures it.",
    .examples = "lspo memory --model llama-7b --machine rtx4090\n"
                "lspo memory --model gpt2-1.3b --gpu-memory 12GiB --batch 8 --largest-batch\n"
                "lspo memory --model ./gpt2 --machine v100-16gb --devices 4\n"
                "lspo memory --model gpt2-774m --machine rtx3060 --policy lsp --largest-model\n"
                "lspo memory --model gpt-tiny --machine host-reference --policy zero --run",
    .common = "model machine policy devices batch sequence gpu-memory largest-batch largest-model run",
    .details =
        "GPU is what a monitor of the GPU shows: with what the driver and the framework's libraries take, and what "
        "its allocator leaves unused (runtime). `in a step` are activations, gradients and messages at their "
        "peak. Time is not asked for: `lspo choose` and `lspo tune` have it.\n\n"
        "LLMem chooses the layout with the highest score, which grows with the batch that fits; its `base`, which "
        "it measures, is the profile's here. A score of 0 everywhere means that it would leave weights and states "
        "to the CPU. DeepSpeed's estimator counts no activations. docs/memory.md has the formulas and how far they "
        "are from measured memory.",
    .groups = (const lspo_arg_group_t *const[]){&memory_group, &lspo_workload_group, &lspo_policy_group,
                                                &lspo_framework_group, &lspo_override_group, NULL},
    .run = memory,
};
