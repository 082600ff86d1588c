/* sim_report.c - print a prediction for people; see sim_report.h. */
#include "cli/sim_report.h"
#include "plan/policies/fusion.h"
#include "plan/policies/lsp.h"
#include "plan/policies/shared.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "base/wrap.h"
#include "plan/policy.h"
#include "sim/fit.h"
#include "sim/report.h"

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

/* Quantities on one line. */
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

static bool generates(const lspo_sim_report_t *report)
{
    return report->plan->policy->task == LSPO_TASK_GENERATE;
}

static void print_answer(FILE *file, const lspo_sim_report_t *report)
{
    const lspo_workload_t *workload = &report->plan->workload;
    char tokens[32], micros[32] = "", swapped[64] = "";
    lspo_format_count(report->prediction->tokens_per_s, tokens, sizeof tokens);
    if (workload->accumulation > 1)
        snprintf(micros, sizeof micros, "%u x ", workload->accumulation);
    if (generates(report)) {
        fprintf(file,
                "%s per token after %s for the first, %s tokens/s on %s: %s by %s, batch %s%u, prompts of %u "
                "tokens and %u new ones, %s.\n",
                seconds(report->prediction->summary.iteration_s).text,
                seconds(report->prediction->summary.first_s).text, tokens, report->machine->name,
                report->plan->model.name, report->plan->policy->name, micros, workload->batch, workload->sequence,
                workload->iterations, lspo_precision_name(workload->precision));
        return;
    }
    if (workload->swap_activations > 0)
        snprintf(swapped, sizeof swapped, ", activations of %u blocks swapped", workload->swap_activations);
    fprintf(file, "%s per step, %s tokens/s on %s: %s by %s, batch %s%u x %u tokens, %s, checkpointing %s%s.\n",
            seconds(report->prediction->summary.iteration_s).text, tokens, report->machine->name,
            report->plan->model.name, report->plan->policy->name, micros, workload->batch, workload->sequence,
            lspo_precision_name(workload->precision), workload->checkpointing ? "on" : "off", swapped);
}

/* Which peers train which stages. */
static void print_chain(FILE *file, const lspo_sim_report_t *report)
{
    const uint32_t *chain = lspo_policy_value(report->plan->policy, &report->plan->workload, &lspo_parameter_chain);
    if (chain == NULL || *chain == 0)
        return;
    fprintf(file, "Peers, each with so many stages: %s.\n", lspo_parameter_word(&lspo_parameter_chain, *chain));
}

/* Where a measured time may lie. */
static void print_expected(FILE *file, const lspo_sim_report_t *report)
{
    char text[512];
    lspo_expect_describe(report->expect, report->machine, report->prediction->summary.iteration_s, sizeof text, text);
    fprintf(file, "%s\n", text);
}

static void print_memory(FILE *file, const lspo_sim_report_t *report)
{
    const lspo_prediction_t *prediction = report->prediction;
    const lspo_machine_t *machine = report->machine;
    if (!prediction->fits) {
        fprintf(file, "Does not fit: %s.\n", report->advice);
        return;
    }
    if (report->plan->network.kind_count > 0) {
        fprintf(file, "Fits on each peer: at most %s of GPU memory.\n", bytes((double)prediction->peak_gpu_bytes).text);
        return;
    }
    fprintf(file, "Fits: %s of %s of GPU memory, %s of %s of host memory.\n",
            bytes((double)prediction->peak_gpu_bytes).text, bytes(lspo_fit_gpu_bytes(machine)).text,
            bytes((double)prediction->peak_host_bytes).text, bytes(machine->cpu.memory_bytes).text);
    if (report->advice[0] != '\0')
        fprintf(file, "Beware: it %s.\n", report->advice);
}

static void print_native(FILE *file, const lspo_sim_report_t *report)
{
    const lspo_native_t *native = &report->prediction->native;
    const lspo_machine_t *machine = report->machine;
    const char *name = lspo_policy_baseline(report->plan->policy->task)->name;
    if (strcmp(report->plan->policy->name, name) == 0)
        return;
    fprintf(file, "Slowdown %.2f against %s%s, which takes %s", report->prediction->slowdown, name,
            generates(report) ? "" : " training", seconds(native->iteration_s).text);
    if (native->fits)
        fprintf(file, " and fits (%s).\n", bytes((double)native->peak_gpu_bytes).text);
    else if (lspo_fit_gpu_excess(machine, native->peak_gpu_bytes) > 0)
        fprintf(file, " but does not fit (%s of GPU memory).\n", bytes((double)native->peak_gpu_bytes).text);
    else
        fprintf(file, " but does not fit (%s of host memory).\n", bytes((double)native->peak_host_bytes).text);
}

static void print_lanes(FILE *file, const lspo_sim_report_t *report)
{
    const lspo_summary_t *summary = &report->prediction->summary;
    double scale = 100 / summary->iteration_s;
    fprintf(
        file,
        "Busy: GPU %.0f %%, link to the CPU %.0f %%, link to the GPU %.0f %%, CPU optimizer %.0f %%.  The GPU waits "
        "%s for the link, %s for the CPU.\n",
        scale * summary->busy_s[LSPO_LANE_GPU], scale * summary->busy_s[LSPO_LANE_D2H],
        scale * summary->busy_s[LSPO_LANE_H2D], scale * summary->busy_s[LSPO_LANE_CPU],
        seconds(summary->exposed_comm_s).text, seconds(summary->exposed_cpu_s).text);
}

/* What a prediction assumes of steps that clip. */
static void print_speculation(FILE *file, const lspo_plan_t *plan)
{
    const uint32_t every = lspo_layerwise_values_of(&plan->workload)->clip_every;
    if (!lspo_plan_speculates(plan))
        return;
    if (every == 0)
        fputs("; assuming that no step clips (--clip-every 1: all do)", file);
    else if (every == 1)
        fputs("; assuming that every step clips (--clip-every 0: none does)", file);
    else
        fprintf(file, "; assuming that one of %u steps clips (--clip-every)", every);
}

/* Which part of the model the policy changes, and how. */
static void print_training(FILE *file, const lspo_plan_t *plan)
{
    const lspo_workload_t *workload = &plan->workload;
    bool rest = workload->train_rest == LSPO_TRAIN_REST_ON;
    char how[96] = "";
    if (plan->gradient_form == LSPO_FORM_SUBSPACE)
        snprintf(how, sizeof how, ", each in a subspace of %u x %u", lspo_lsp_values_of(workload)->subspace,
                 lspo_lsp_values_of(workload)->subspace);
    else if (plan->gradient_form == LSPO_FORM_ADAPTER)
        snprintf(how, sizeof how, ", each by an adapter of rank %u%s", lspo_plan_rank(plan),
                 lspo_plan_quantizes(plan) ? " on 4-bit weights" : "");
    else if (plan->gradient_form == LSPO_FORM_LOWRANK)
        snprintf(how, sizeof how, ", each in a subspace of rank %u", lspo_plan_rank(plan));
    else if (plan->optimizer == LSPO_OPTIMIZER_BLOCK_ADAM)
        snprintf(how, sizeof how, ", one block at a time");
    fprintf(file, "Trains (%s): %s%s", lspo_semantics_name(plan->policy->semantics),
            rest && how[0] == '\0' ? "all weights" : "the linear weights of the blocks", how);
    if (lspo_plan_native_layers(plan) > 0)
        fprintf(file, "; the first %u layers natively", lspo_plan_native_layers(plan));
    print_speculation(file, plan);
    if (rest && how[0] != '\0')
        fprintf(file, "; embeddings, norms, biases and head too");
    else if (!rest)
        fprintf(file, "; not embeddings, norms, biases and head (--train-rest on)");
    if (lspo_plan_optimizer_state(plan) != LSPO_OPTIMIZER_STATE_FP32)
        fprintf(file, "; Adam's m and v in %s",
                lspo_plan_optimizer_state(plan) == LSPO_OPTIMIZER_STATE_BF16 ? "bf16" : "8 bits");
    if (lspo_plan_adam_basis(plan) != LSPO_ADAM_BASIS_PLAIN)
        fprintf(file, "; Adam in %s",
                lspo_plan_adam_basis(plan) == LSPO_ADAM_BASIS_FIXED ? "the eigenbasis of each first gradient"
                                                                    : "the eigenbasis of each weight's gradients");
    if (lspo_plan_sums_on_host(plan))
        fprintf(file, "; sums of micro-batches wait on the host");
    if (plan->policy->semantics == LSPO_SEMANTICS_STALE)
        fprintf(file, ", up to %u step%s late", plan->staleness_steps, plan->staleness_steps == 1 ? "" : "s");
    fputs(".\n", file);
}

/* What a long training does but these iterations do not show. */
static void print_left_out(FILE *file, const lspo_sim_report_t *report)
{
    const lspo_plan_t *plan = report->plan;
    uint32_t period;
    const char *work = lspo_report_not_counted(plan, report->prediction->summary.iteration_count, &period);
    if (work != NULL)
        fprintf(file, "Not counted: %s, every %u steps (--iterations %llu would count them).\n", work, period,
                (unsigned long long)period + report->prediction->summary.warmup + 1);
    if (plan->optimizer == LSPO_OPTIMIZER_BLOCK_ADAM && plan->workload.iterations <= lspo_plan_turn_steps(plan))
        fputs("The time is that of the first block's turn, the longest: backward ends at the block that is trained.\n",
              file);
}

static void print_report(FILE *file, const void *context)
{
    const lspo_sim_report_t *report = context;
    print_answer(file, report);
    print_chain(file, report);
    if (!generates(report))
        print_expected(file, report);
    if (report->judgement != NULL)
        lspo_judgement_print(report->judgement, file);
    print_memory(file, report);
    fprintf(file, "Limited by %s.\n", report->prediction->bound + strlen("bound by "));
    if (report->noise)
        fprintf(file, "Of 100 runs 95 take %s to %s (%u draws).\n", seconds(report->noise->iteration_s[0]).text,
                seconds(report->noise->iteration_s[LSPO_PERCENTILES - 1]).text, report->draws);
    print_native(file, report);
    print_lanes(file, report);
    if (!generates(report)) {
        print_training(file, report->plan);
        print_left_out(file, report);
    }
    fputs("All figures: --all.  Words: lspo help terms.  ", file);
    fputs(generates(report) ? "Every policy: lspo list policies.\n" : "Every policy: lspo choose.\n", file);
}

void lspo_sim_report_print(const lspo_sim_report_t *report)
{
    lspo_wrap_print(stdout, print_report, report);
}

static int digits_after_point(double value)
{
    return value < 10 ? 2 : value < 100 ? 1 : 0;
}

void lspo_format_step(double iteration_s, const lspo_expect_t *expect, size_t text_bytes, char *text)
{
    char step[32], one[32];
    double unit_s = 1;
    lspo_format_quantity(iteration_s, LSPO_UNIT_SECONDS, step, sizeof step);
    snprintf(one, sizeof one, "1%s", strchr(step, ' ') != NULL ? strchr(step, ' ') : " s");
    (void)lspo_parse_quantity("a step", one, LSPO_UNIT_SECONDS, &unit_s); /* what was just formatted */
    double low = iteration_s * expect->low / unit_s, high = iteration_s * expect->high / unit_s;
    snprintf(text, text_bytes, "%s (%.*f to %.*f)", step, digits_after_point(low), low, digits_after_point(high), high);
}
