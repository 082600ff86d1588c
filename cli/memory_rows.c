/* memory_rows.c - the rows of `lspo memory`; see memory_rows.h. */
#include "cli/memory_rows.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "plan/policies.h"
#include "sim/estimators.h"
#include "sim/fit.h"
#include "sim/parallel.h"
#include "sim/tune.h"

static const char *const by_names[] = {"lspo", "lspo", "llmem", "deepspeed"};

/* ---- a row ---- */

static lspo_memory_row_t *begin_row(const lspo_memory_question_t *question, lspo_memory_by_t by, lspo_memory_row_t *row)
{
    *row = (lspo_memory_row_t){.by = by,
                               .by_name = by_names[by],
                               .method = row->method_text,
                               .devices = by == LSPO_MEMORY_POLICY ? 1 : question->devices,
                               .batch = question->workload.batch,
                               .sequence = question->workload.sequence,
                               .largest_batch = LSPO_MISSING,
                               .score = NAN,
                               .fits = -1,
                               .measured_gpu_bytes = LSPO_MISSING,
                               .measured_total_bytes = LSPO_MISSING,
                               .measured_error = NAN,
                               .measured_card_bytes = LSPO_MISSING,
                               .measured_card_error = NAN};
    if (by == LSPO_MEMORY_LLMEM || by == LSPO_MEMORY_DEEPSPEED)
        memset(&row->needs, 0xff, sizeof row->needs); /* LSPO_MISSING */
    return row;
}

/* What is lacking; gpu_bytes includes what the driver takes, and a host without a figure fits. */
static double lacking_gpu(const lspo_machine_t *machine, const lspo_needs_t *needs)
{
    return (double)needs->gpu_bytes - machine->gpu.memory_bytes;
}

static double lacking_host(const lspo_machine_t *machine, const lspo_needs_t *needs)
{
    return needs->host_bytes == LSPO_MISSING ? 0 : (double)needs->host_bytes - machine->cpu.memory_bytes;
}

static bool fits_machine(const lspo_machine_t *machine, const lspo_needs_t *needs)
{
    return lacking_gpu(machine, needs) <= 0 && lacking_host(machine, needs) <= 0;
}

/* "yes", or how much is lacking. */
static void judge(const lspo_machine_t *machine, lspo_memory_row_t *row)
{
    double gpu = lacking_gpu(machine, &row->needs), host = lacking_host(machine, &row->needs);
    char gpu_text[32], host_text[32];
    lspo_format_quantity(gpu, LSPO_UNIT_BYTES, gpu_text, sizeof gpu_text);
    lspo_format_quantity(host, LSPO_UNIT_BYTES, host_text, sizeof host_text);
    row->fits = fits_machine(machine, &row->needs);
    row->runtime_bytes = row->needs.gpu_context_bytes;
    if (row->needs.gpu_reserve_bytes != LSPO_MISSING)
        row->runtime_bytes += row->needs.gpu_reserve_bytes + row->needs.gpu_framework_bytes;
    if (row->needs.host_buffers_bytes != LSPO_MISSING)
        row->host_other_bytes =
            row->needs.host_buffers_bytes + row->needs.host_activations_bytes + row->needs.host_framework_bytes;
    if (row->fits)
        snprintf(row->verdict_text, sizeof row->verdict_text, "yes");
    else if (host <= 0)
        snprintf(row->verdict_text, sizeof row->verdict_text, "no: GPU %s short", gpu_text);
    else if (gpu <= 0)
        snprintf(row->verdict_text, sizeof row->verdict_text, "no: host %s short", host_text);
    else
        snprintf(row->verdict_text, sizeof row->verdict_text, "no: GPU %s, host %s short", gpu_text, host_text);
    row->verdict = row->verdict_text;
}

/* ---- policies ---- */

/* With what a policy's values and the number of steps are for this model. */
static lspo_status_t ask(const lspo_memory_question_t *question, const lspo_model_t *model, const lspo_policy_t *policy,
                         lspo_fit_question_t *fit_out)
{
    *fit_out = (lspo_fit_question_t){model, question->workload, policy, question->machine};
    lspo_status_t status = question->prepare(question->prepare_context, policy, &fit_out->workload);
    if (status == LSPO_OK && fit_out->workload.iterations == 0)
        fit_out->workload.iterations = lspo_policy_iterations(policy, &fit_out->workload);
    return status;
}

static lspo_status_t needs_of_policy(const lspo_fit_question_t *fit, lspo_memory_row_t *row)
{
    static const lspo_parallel_t single = {1, 1, false};
    lspo_fit_question_t tuned = *fit;
    lspo_plan_t *plan = NULL;
    lspo_status_t status = lspo_tune_transition(fit->model, &fit->workload, fit->policy, fit->machine, &plan);
    if (status != LSPO_OK)
        return status;
    tuned.workload = plan->workload;
    lspo_plan_destroy(plan);
    row->devices = lspo_policy_peers(fit->policy, &tuned.workload);
    return lspo_parallel_needs(&tuned, &single, &row->needs);
}

/* Can the preset be trained as asked?  What it has no room for (a rank, a sequence) is no error here. */
static bool allows(const lspo_memory_question_t *question, const lspo_model_t *model, const lspo_policy_t *policy,
                   lspo_fit_question_t *fit_out)
{
    char ignored[256];
    lspo_messages_keep(ignored, sizeof ignored);
    bool good = ask(question, model, policy, fit_out) == LSPO_OK &&
                lspo_workload_check(&fit_out->workload, model) == LSPO_OK &&
                lspo_policy_check(policy, model, &fit_out->workload) == LSPO_OK;
    lspo_messages_keep(NULL, 0);
    return good;
}

/* The preset of most parameters that allows this workload and fits with it. */
static lspo_status_t find_largest_model(const lspo_memory_question_t *question, const lspo_policy_t *policy,
                                        lspo_memory_row_t *row)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < lspo_model_preset_count(); i++) {
        lspo_model_t model;
        lspo_fit_question_t fit;
        lspo_fit_t result = {0};
        lspo_status_t status = lspo_model_preset(i, &model);
        if (status != LSPO_OK)
            return status;
        uint64_t parameters = lspo_model_parameter_count(&model);
        if (parameters <= most || model.class_count > 0)
            continue;
        if (!allows(question, &model, policy, &fit))
            continue;
        status = lspo_fit_try(&fit, &result);
        if (status != LSPO_OK)
            return status;
        if (!result.fits)
            continue;
        most = parameters;
        snprintf(row->largest_model_text, sizeof row->largest_model_text, "%s", model.name);
        row->largest_model = row->largest_model_text;
    }
    return LSPO_OK;
}

static lspo_status_t add_policy(const lspo_memory_question_t *question, const lspo_policy_t *policy,
                                lspo_memory_row_t *row)
{
    lspo_fit_question_t fit;
    uint32_t largest = 0;
    lspo_status_t status = ask(question, question->model, policy, &fit);
    if (status != LSPO_OK)
        return status;
    begin_row(question, LSPO_MEMORY_POLICY, row);
    snprintf(row->method_text, sizeof row->method_text, "%s", policy->name);
    row->semantics = lspo_semantics_name(policy->semantics);
    status = needs_of_policy(&fit, row);
    if (status != LSPO_OK)
        return status;
    judge(question->machine, row);
    if (question->largest_batch) {
        status = lspo_fit_largest_batch(&fit, &largest);
        row->largest_batch = largest;
    }
    if (status == LSPO_OK && question->largest_model)
        status = find_largest_model(question, policy, row);
    return status;
}

/* ---- layouts ---- */

/* The largest batch of a layout that fits, by doubling and bisection: memory grows with the batch. */
static lspo_status_t largest_of_layout(const lspo_fit_question_t *fit, const lspo_parallel_t *layout,
                                       uint64_t *largest_out)
{
    uint32_t low = 0, high = 1, most = lspo_workload_batch_most(&fit->workload, fit->model);
    lspo_fit_question_t tried = *fit;
    bool found = false;
    while (!found || high - low > 1) {
        lspo_needs_t needs;
        tried.workload.batch = found ? low + (high - low) / 2 : high;
        lspo_status_t status = lspo_parallel_needs(&tried, layout, &needs);
        if (status != LSPO_OK)
            return status;
        lspo_needs_share_host(&needs, layout->tensor * layout->data);
        bool fits = fits_machine(fit->machine, &needs);
        if (found) {
            *(fits ? &low : &high) = tried.workload.batch;
        } else if (fits && high < most) {
            low = high;
            high = high > most / 2 ? most : 2 * high;
        } else {
            low = fits ? high : low;
            high = fits ? high + 1 : high;
            found = true;
        }
    }
    *largest_out = low;
    return LSPO_OK;
}

static lspo_status_t add_layout(const lspo_memory_question_t *question, const lspo_parallel_t *layout,
                                lspo_memory_row_t *row)
{
    lspo_fit_question_t fit;
    lspo_status_t status = ask(question, question->model, &lspo_policy_native, &fit);
    if (status != LSPO_OK)
        return status;
    begin_row(question, LSPO_MEMORY_LAYOUT, row);
    lspo_parallel_title(layout, row->method_text, sizeof row->method_text);
    status = lspo_parallel_needs(&fit, layout, &row->needs);
    if (status != LSPO_OK)
        return status;
    lspo_needs_share_host(&row->needs, question->devices);
    judge(question->machine, row);
    return question->largest_batch ? largest_of_layout(&fit, layout, &row->largest_batch) : LSPO_OK;
}

/* ---- the formulas of others ---- */

static void add_llmem(const lspo_memory_question_t *question, const lspo_parallel_t *layout, lspo_memory_row_t *row)
{
    const lspo_machine_t *machine = question->machine;
    uint64_t base = (uint64_t)(machine->gpu.context_bytes + machine->software.library_bytes);
    lspo_llmem_t estimate;
    begin_row(question, LSPO_MEMORY_LLMEM, row);
    lspo_parallel_title(layout, row->method_text, sizeof row->method_text);
    lspo_llmem(question->model, &question->workload, layout, base, &estimate);
    row->needs.gpu_weights_bytes = estimate.weights_bytes;
    row->needs.gpu_optimizer_bytes = estimate.optimizer_bytes;
    row->needs.gpu_step_bytes = estimate.outputs_bytes + estimate.head_bytes + estimate.backward_bytes;
    row->needs.gpu_context_bytes = estimate.base_bytes;
    row->needs.gpu_bytes = estimate.gpu_bytes;
    uint32_t largest = lspo_llmem_largest_batch(question->model, &question->workload, layout, base,
                                                (uint64_t)machine->gpu.memory_bytes);
    row->largest_batch = largest;
    row->score = lspo_llmem_score(layout, largest);
    judge(machine, row);
}

enum { LAYOUTS_MAX = 64 };

static void add_llmem_rows(const lspo_memory_question_t *question, const lspo_parallel_t *layouts, size_t count,
                           lspo_memory_row_t *rows)
{
    double scores[LAYOUTS_MAX];
    for (size_t i = 0; i < count; i++) {
        add_llmem(question, &layouts[i], &rows[i]);
        scores[i] = rows[i].score;
    }
    size_t choice = lspo_llmem_choose(layouts, scores, count);
    if (choice < count)
        rows[choice].choice = "chosen";
}

static void add_deepspeed(const lspo_memory_question_t *question, const lspo_deepspeed_setting_t *setting,
                          lspo_memory_row_t *row)
{
    uint64_t elements = lspo_model_parameter_count(question->model);
    begin_row(question, LSPO_MEMORY_DEEPSPEED, row);
    snprintf(row->method_text, sizeof row->method_text, "%s", setting->title);
    lspo_deepspeed_estimate(elements, lspo_deepspeed_largest(question->model), question->devices, setting,
                            &row->needs.gpu_bytes, &row->needs.host_bytes);
    judge(question->machine, row);
}

/* ---- all of them ---- */

static void report(const lspo_memory_question_t *question, const char *label, uint32_t done, uint32_t of)
{
    if (question->progress != NULL)
        question->progress(question->progress_context, label, done, of);
}

static lspo_status_t add_policies(const lspo_memory_question_t *question, lspo_memory_row_t *rows, size_t *count)
{
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        const lspo_policy_t *policy = lspo_policy_at(i);
        if (question->only != NULL ? question->only != policy : policy->of_peers)
            continue;
        report(question, policy->name, i, lspo_policy_count());
        lspo_status_t status = add_policy(question, policy, &rows[*count]);
        if (status != LSPO_OK)
            return status;
        ++*count;
    }
    return LSPO_OK;
}

lspo_status_t lspo_memory_rows(const lspo_memory_question_t *question, lspo_memory_row_t *rows, size_t *count_out)
{
    lspo_parallel_t layouts[LAYOUTS_MAX];
    size_t count = 0;
    lspo_status_t status = add_policies(question, rows, &count);
    if (status != LSPO_OK)
        return status;
    size_t layout_count = lspo_parallel_list(question->model, question->devices, layouts, LAYOUTS_MAX);
    for (size_t i = 0; question->devices > 1 && i < layout_count; i++) {
        report(question, "several GPUs", (uint32_t)i, (uint32_t)layout_count);
        status = add_layout(question, &layouts[i], &rows[count]);
        if (status != LSPO_OK)
            return status;
        count++;
    }
    add_llmem_rows(question, layouts, layout_count, rows + count);
    count += layout_count;
    const lspo_deepspeed_setting_t *setting;
    for (uint32_t i = 0; (setting = lspo_deepspeed_setting(i)) != NULL; i++)
        add_deepspeed(question, setting, &rows[count++]);
    *count_out = count;
    return LSPO_OK;
}

/* ---- columns ---- */

#define FIELD(name, field, kind, unit)                                                                                 \
    {                                                                                                                  \
        name, kind, unit, offsetof(lspo_memory_row_t, field)                                                           \
    }
#define TEXT(name, field) FIELD(name, field, LSPO_FIELD_TEXT, LSPO_UNIT_NONE)
#define COUNT(name, field) FIELD(name, field, LSPO_FIELD_INTEGER, LSPO_UNIT_NONE)
#define BYTES(name, field) FIELD(name, field, LSPO_FIELD_INTEGER, LSPO_UNIT_BYTES)
#define REAL(name, field) FIELD(name, field, LSPO_FIELD_REAL, LSPO_UNIT_NONE)

const lspo_field_t lspo_memory_fields[] = {
    TEXT("by", by_name),
    TEXT("method", method),
    TEXT("semantics", semantics),
    COUNT("devices", devices),
    COUNT("batch", batch),
    COUNT("sequence", sequence),
    FIELD("fits", fits, LSPO_FIELD_YES_NO, LSPO_UNIT_NONE),
    COUNT("largest_batch", largest_batch),
    TEXT("largest_model", largest_model),
    BYTES("gpu_bytes", needs.gpu_bytes),
    BYTES("gpu_weights_bytes", needs.gpu_weights_bytes),
    BYTES("gpu_gradients_bytes", needs.gpu_gradients_bytes),
    BYTES("gpu_optimizer_bytes", needs.gpu_optimizer_bytes),
    BYTES("gpu_projectors_bytes", needs.gpu_projectors_bytes),
    BYTES("gpu_workspace_bytes", needs.gpu_workspace_bytes),
    BYTES("gpu_framework_bytes", needs.gpu_framework_bytes),
    BYTES("gpu_step_bytes", needs.gpu_step_bytes),
    BYTES("gpu_reserve_bytes", needs.gpu_reserve_bytes),
    BYTES("gpu_context_bytes", needs.gpu_context_bytes),
    BYTES("host_bytes", needs.host_bytes),
    BYTES("host_weights_bytes", needs.host_weights_bytes),
    BYTES("host_optimizer_bytes", needs.host_optimizer_bytes),
    BYTES("host_buffers_bytes", needs.host_buffers_bytes),
    BYTES("host_activations_bytes", needs.host_activations_bytes),
    BYTES("host_framework_bytes", needs.host_framework_bytes),
    BYTES("host_step_bytes", needs.host_step_bytes),
    REAL("score", score),
    TEXT("choice", choice),
    BYTES("measured_gpu_bytes", measured_gpu_bytes),
    BYTES("measured_total_bytes", measured_total_bytes),
    REAL("measured_error", measured_error),
    BYTES("measured_card_bytes", measured_card_bytes),
    REAL("measured_card_error", measured_card_error),
};
const size_t lspo_memory_field_count = sizeof lspo_memory_fields / sizeof lspo_memory_fields[0];

/* For people: short names; of which kinds of rows, and when. */
enum { FOR_POLICY = 1, FOR_LAYOUT = 2, FOR_LLMEM = 4, FOR_DEEPSPEED = 8, FOR_ALL = 15 };
enum { ALWAYS, WITH_BATCH, WITH_MODEL, WITH_MEASURED, WITH_CARD };
static const struct {
    lspo_field_t field;
    int kinds, when;
} columns[] = {
    {TEXT("method", method), FOR_ALL, ALWAYS},
    {BYTES("weights", needs.gpu_weights_bytes), FOR_POLICY | FOR_LAYOUT | FOR_LLMEM, ALWAYS},
    {BYTES("optimizer", needs.gpu_optimizer_bytes), FOR_POLICY | FOR_LAYOUT | FOR_LLMEM, ALWAYS},
    {BYTES("projectors", needs.gpu_projectors_bytes), FOR_POLICY, ALWAYS},
    {BYTES("workspace", needs.gpu_workspace_bytes), FOR_POLICY | FOR_LAYOUT, ALWAYS},
    {BYTES("in a step", needs.gpu_step_bytes), FOR_POLICY | FOR_LAYOUT | FOR_LLMEM, ALWAYS},
    {BYTES("runtime", runtime_bytes), FOR_POLICY | FOR_LAYOUT | FOR_LLMEM, ALWAYS},
    {BYTES("GPU", needs.gpu_bytes), FOR_ALL, ALWAYS},
    {BYTES("measured", measured_gpu_bytes), FOR_POLICY, WITH_MEASURED},
    {BYTES("in use on the card", measured_card_bytes), FOR_POLICY, WITH_CARD},
    {BYTES("host: weights", needs.host_weights_bytes), FOR_POLICY, ALWAYS},
    {BYTES("optimizer", needs.host_optimizer_bytes), FOR_POLICY, ALWAYS},
    {BYTES("buffers", host_other_bytes), FOR_POLICY, ALWAYS},
    {BYTES("in a step", needs.host_step_bytes), FOR_POLICY, ALWAYS},
    {BYTES("host", needs.host_bytes), FOR_POLICY | FOR_DEEPSPEED, ALWAYS},
    {BYTES("GPU + host measured", measured_total_bytes), FOR_POLICY, WITH_MEASURED},
    {REAL("error", measured_error), FOR_POLICY, WITH_MEASURED},
    {REAL("error of the card", measured_card_error), FOR_POLICY, WITH_CARD},
    {COUNT("largest batch", largest_batch), FOR_POLICY | FOR_LAYOUT, WITH_BATCH},
    {COUNT("largest batch", largest_batch), FOR_LLMEM, ALWAYS},
    {REAL("score", score), FOR_LLMEM, ALWAYS},
    {TEXT("", choice), FOR_LLMEM, ALWAYS},
    {TEXT("largest model", largest_model), FOR_POLICY, WITH_MODEL},
    {TEXT("fits", verdict), FOR_ALL, ALWAYS},
};

size_t lspo_memory_columns(const lspo_memory_question_t *question, lspo_memory_by_t by, bool measured, bool card,
                           lspo_field_t columns_out[LSPO_MEMORY_COLUMNS_MAX])
{
    const bool wanted[] = {[ALWAYS] = true,
                           [WITH_BATCH] = question->largest_batch,
                           [WITH_MODEL] = question->largest_model,
                           [WITH_MEASURED] = measured,
                           [WITH_CARD] = card};
    size_t count = 0;
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
        if ((columns[i].kinds >> by & 1) && wanted[columns[i].when])
            columns_out[count++] = columns[i].field;
    return count;
}
