#include "cli/sim_report.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "plan/policy.h"
#include "plan/units.h"
#include "sim/fit.h"

const char *lspo_format_count(double value, char *buffer, size_t buffer_bytes)
{
    char digits[32];
    size_t used = 0;
    if (!(fabs(value) < 1e15)) {
        snprintf(buffer, buffer_bytes, "%.4g", value);
        return buffer;
    }
    snprintf(digits, sizeof digits, "%.0f", value);
    size_t length = strlen(digits);
    for (size_t i = 0; i < length && used + 2 < buffer_bytes; i++) {
        if (i > 0 && digits[i - 1] != '-' && (length - i) % 3 == 0)
            buffer[used++] = ',';
        buffer[used++] = digits[i];
    }
    buffer[used] = '\0';
    return buffer;
}

/* Quantities that one line holds side by side. */
typedef struct {
    char text[32];
} words_t;

static words_t bytes(double value)
{
    words_t words;
    lspo_format_quantity(value, LSPO_UNIT_BYTES, words.text, sizeof words.text);
    return words;
}

static words_t seconds(double value)
{
    words_t words;
    lspo_format_quantity(value, LSPO_UNIT_SECONDS, words.text, sizeof words.text);
    return words;
}

static void print_answer(const lspo_sim_report_t *report)
{
    const lspo_workload_t *workload = &report->plan->workload;
    char tokens[32], micros[32] = "";
    lspo_format_count(report->prediction->tokens_per_s, tokens, sizeof tokens);
    if (workload->accumulation > 1)
        snprintf(micros, sizeof micros, "%u x ", workload->accumulation);
    printf("%s per step, %s tokens/s on %s: %s by %s, batch %s%u x %u tokens, %s, checkpointing %s.\n",
           seconds(report->prediction->summary.iteration_s).text, tokens, report->machine->name,
           report->plan->model.name, report->plan->policy->name, micros, workload->batch, workload->sequence,
           lspo_precision_name(workload->precision), workload->checkpointing ? "on" : "off");
}

static void print_memory(const lspo_sim_report_t *report)
{
    const lspo_prediction_t *prediction = report->prediction;
    const lspo_machine_t *machine = report->machine;
    if (!prediction->fits) {
        printf("Does not fit: %s.\n", report->advice);
        return;
    }
    printf("Fits: %s of %s of GPU memory, %s of %s of host memory.\n", bytes((double)prediction->peak_gpu_bytes).text,
           bytes(lspo_fit_gpu_bytes(machine)).text, bytes((double)prediction->peak_host_bytes).text,
           bytes(machine->cpu.memory_bytes).text);
    if (report->advice[0] != '\0')
        printf("Beware: it %s.\n", report->advice);
}

static void print_native(const lspo_sim_report_t *report)
{
    const lspo_native_t *native = &report->prediction->native;
    const lspo_machine_t *machine = report->machine;
    if (strcmp(report->plan->policy->name, "native") == 0)
        return;
    printf("Slowdown %.2f against native training, which takes %s", report->prediction->slowdown,
           seconds(native->iteration_s).text);
    if (native->fits)
        printf(" and fits (%s).\n", bytes((double)native->peak_gpu_bytes).text);
    else if (lspo_fit_gpu_excess(machine, native->peak_gpu_bytes) > 0)
        printf(" but does not fit (%s of GPU memory).\n", bytes((double)native->peak_gpu_bytes).text);
    else
        printf(" but does not fit (%s of host memory).\n", bytes((double)native->peak_host_bytes).text);
}

static void print_lanes(const lspo_sim_report_t *report)
{
    const lspo_summary_t *summary = &report->prediction->summary;
    double scale = 100 / summary->iteration_s;
    printf("Busy: GPU %.0f %%, link to the CPU %.0f %%, link to the GPU %.0f %%, CPU optimizer %.0f %%.  The GPU waits "
           "%s for the link, %s for the CPU.\n",
           scale * summary->busy_s[LSPO_LANE_GPU], scale * summary->busy_s[LSPO_LANE_D2H],
           scale * summary->busy_s[LSPO_LANE_H2D], scale * summary->busy_s[LSPO_LANE_CPU],
           seconds(summary->exposed_comm_s).text, seconds(summary->exposed_cpu_s).text);
}

/* What of the model the policy changes, and how. */
static void print_training(const lspo_plan_t *plan)
{
    const lspo_workload_t *workload = &plan->workload;
    bool rest = workload->train_rest == LSPO_TRAIN_REST_ON;
    char how[96] = "";
    if (plan->gradient_form == LSPO_FORM_SUBSPACE)
        snprintf(how, sizeof how, ", each in a subspace of %u x %u", workload->subspace, workload->subspace);
    else if (plan->gradient_form == LSPO_FORM_ADAPTER)
        snprintf(how, sizeof how, ", each by an adapter of rank %u", workload->rank);
    else if (plan->gradient_form == LSPO_FORM_LOWRANK)
        snprintf(how, sizeof how, ", each in a subspace of rank %u", workload->rank);
    else if (plan->optimizer == LSPO_OPTIMIZER_BLOCK_ADAM)
        snprintf(how, sizeof how, ", one block at a time");
    printf("Trains (%s): %s%s", lspo_semantics_name(plan->policy->semantics),
           rest && how[0] == '\0' ? "all weights" : "the linear weights of the blocks", how);
    if (rest && how[0] != '\0')
        printf("; embeddings, norms, biases and head too");
    else if (!rest)
        printf("; not embeddings, norms, biases and head (--train-rest on)");
    if (plan->policy->semantics == LSPO_SEMANTICS_STALE)
        printf(", up to %u step%s late", plan->staleness_steps, plan->staleness_steps == 1 ? "" : "s");
    puts(".");
}

const char *lspo_sim_not_counted(const lspo_plan_t *plan, const lspo_prediction_t *prediction, uint32_t *period_out)
{
    *period_out = lspo_policy_period(plan->policy, &plan->workload);
    return *period_out > prediction->summary.iteration_count ? plan->policy->period_work : NULL;
}

/* What a long training does and these iterations do not show. */
static void print_left_out(const lspo_sim_report_t *report)
{
    const lspo_plan_t *plan = report->plan;
    uint32_t period;
    if (lspo_sim_not_counted(plan, report->prediction, &period) != NULL)
        printf("Not counted: %s, every %u steps (--iterations %llu would count them).\n", plan->policy->period_work,
               period, (unsigned long long)period + report->prediction->summary.warmup + 1);
    if (plan->optimizer == LSPO_OPTIMIZER_BLOCK_ADAM && plan->workload.iterations <= plan->workload.switch_every)
        puts("The time is that of the first block's turn, the longest: backward ends at the block that is trained.");
}

lspo_status_t lspo_sim_report_print(const lspo_sim_report_t *report)
{
    const lspo_prediction_t *prediction = report->prediction;
    print_answer(report);
    print_memory(report);
    printf("Limited by %s.\n", prediction->bound + strlen("bound by "));
    if (report->noise)
        printf("Of 100 runs 95 take %s to %s (%u draws).\n", seconds(report->noise->iteration_s[0]).text,
               seconds(report->noise->iteration_s[LSPO_PERCENTILES - 1]).text, report->draws);
    print_native(report);
    print_lanes(report);
    print_training(report->plan);
    print_left_out(report);
    puts("All figures: --all.  Words: lspo help terms.  Every policy: lspo choose.");
    return LSPO_OK;
}
