#include "sim/report.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/policy.h"
#include "plan/units.h"
#include "sim/bound.h"
#include "sim/cost.h"
#include "sim/engine.h"
#include "sim/memory.h"

static const char *const lane_titles[LSPO_LANE_COUNT] = {[LSPO_LANE_GPU] = "the GPU",
                                                         [LSPO_LANE_D2H] = "the GPU-to-CPU link",
                                                         [LSPO_LANE_H2D] = "the CPU-to-GPU link",
                                                         [LSPO_LANE_CPU] = "the CPU optimizer"};

static int greatest(const double values[LSPO_LANE_COUNT])
{
    int best = 0;
    for (int lane = 1; lane < LSPO_LANE_COUNT; lane++)
        if (values[lane] > values[best])
            best = lane;
    return best;
}

/* Percentages of the critical path by lane. */
static lspo_status_t path_shares(const lspo_plan_t *plan, const lspo_trace_t *trace, double percent[LSPO_LANE_COUNT])
{
    lspo_op_id_t *ids = NULL;
    uint32_t count = 0;
    lspo_status_t status = lspo_bound_critical_path(plan, trace, &ids, &count);
    if (status != LSPO_OK)
        return status;
    /* Rows are not in the order of ids: mark the path, then sum over the rows. */
    bool *on_path = calloc((size_t)plan->op_count + 1, sizeof *on_path);
    if (!on_path) {
        free(ids);
        return lspo_error(LSPO_ERR_MEMORY, "out of memory for the critical path of %u ops", plan->op_count);
    }
    for (uint32_t i = 0; i < count; i++)
        on_path[ids[i]] = true;
    double total_ns = 0;
    for (uint32_t i = 0; i < trace->row_count; i++) {
        const lspo_trace_row_t *row = &trace->rows[i];
        if (!on_path[row->op])
            continue;
        percent[row->lane] += (double)(row->end_ns - row->start_ns);
        total_ns += (double)(row->end_ns - row->start_ns);
    }
    for (int lane = 0; lane < LSPO_LANE_COUNT && total_ns > 0; lane++)
        percent[lane] *= 100 / total_ns;
    free(on_path);
    free(ids);
    return LSPO_OK;
}

lspo_status_t lspo_report_bound(const lspo_plan_t *plan, const lspo_trace_t *trace, const lspo_summary_t *summary,
                                size_t text_bytes, char *text_out, lspo_lane_t *lane_out)
{
    int busiest = greatest(summary->busy_s);
    double busy_percent = 100 * summary->busy_s[busiest] / summary->iteration_s;
    if (busy_percent >= 95) {
        snprintf(text_out, text_bytes, "bound by %s: busy %.0f %% of an iteration", lane_titles[busiest], busy_percent);
        *lane_out = (lspo_lane_t)busiest;
        return LSPO_OK;
    }
    double percent[LSPO_LANE_COUNT] = {0};
    lspo_status_t status = path_shares(plan, trace, percent);
    if (status != LSPO_OK)
        return status;
    int longest = greatest(percent);
    snprintf(text_out, text_bytes,
             "bound by %s: %.0f %% of the critical path (GPU %.0f, D2H %.0f, H2D %.0f, CPU %.0f %%); no lane is "
             "always busy, %s most: %.0f %% of an iteration",
             lane_titles[longest], percent[longest], percent[LSPO_LANE_GPU], percent[LSPO_LANE_D2H],
             percent[LSPO_LANE_H2D], percent[LSPO_LANE_CPU], lane_titles[busiest], busy_percent);
    *lane_out = (lspo_lane_t)longest;
    return LSPO_OK;
}

/* Advice */

/* What the driver's context leaves. */
static double free_gpu_bytes(const lspo_machine_t *machine)
{
    return fmax(machine->gpu.memory_bytes - machine->gpu.context_bytes, 0);
}

static bool is_gpu_short(const lspo_machine_t *machine, uint64_t peak_gpu_bytes)
{
    return (double)peak_gpu_bytes > free_gpu_bytes(machine);
}

static bool is_host_short(const lspo_machine_t *machine, uint64_t peak_host_bytes)
{
    return (double)peak_host_bytes > machine->cpu.memory_bytes;
}

bool lspo_report_fits(const lspo_machine_t *machine, uint64_t peak_gpu_bytes, uint64_t peak_host_bytes)
{
    return !is_gpu_short(machine, peak_gpu_bytes) && !is_host_short(machine, peak_host_bytes);
}

typedef struct {
    const lspo_plan_t *plan;
    const lspo_machine_t *machine;
} question_t;

/* Would this workload and policy fit?  Peaks repeat from iteration to iteration: a short plan tells. */
static lspo_status_t try_fit(const question_t *question, const lspo_workload_t *workload, const lspo_policy_t *policy,
                             bool *fits_out)
{
    lspo_workload_t trial = *workload;
    trial.iterations = 3;
    lspo_plan_t *plan = NULL;
    uint64_t *work_ns = NULL;
    lspo_trace_t *trace = NULL;
    uint64_t gpu_bytes = 0, host_bytes = 0;
    lspo_status_t status = lspo_plan_build(&question->plan->model, &trial, policy, &plan);
    if (status == LSPO_OK)
        status = lspo_cost_plan(question->machine, plan, &work_ns);
    if (status == LSPO_OK)
        status = lspo_engine_play(plan, question->machine, work_ns, &trace);
    if (status == LSPO_OK)
        status = lspo_memory_predict(plan, question->machine, trace, &gpu_bytes, &host_bytes);
    if (status == LSPO_OK)
        *fits_out = lspo_report_fits(question->machine, gpu_bytes, host_bytes);
    lspo_trace_destroy(trace);
    free(work_ns);
    lspo_plan_destroy(plan);
    return status;
}

/* Halve the batch until it fits; `batch_out` is 0 when even 1 does not. */
static lspo_status_t try_batches(const question_t *question, lspo_workload_t workload, uint32_t *batch_out)
{
    *batch_out = 0;
    while (workload.batch > 1) {
        workload.batch /= 2;
        bool fits = false;
        lspo_status_t status = try_fit(question, &workload, question->plan->policy, &fits);
        if (status != LSPO_OK)
            return status;
        if (fits) {
            *batch_out = workload.batch;
            break;
        }
    }
    return LSPO_OK;
}

static lspo_status_t try_policies(const question_t *question, const char **name_out)
{
    lspo_workload_t workload = lspo_policy_workload(question->plan);
    static const char *const names[] = {"lsp", "zero", "swap"};
    *name_out = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !*name_out; i++) {
        for (uint32_t p = 0; p < lspo_policy_count(); p++) {
            const lspo_policy_t *policy = lspo_policy_at(p);
            if (policy == question->plan->policy || strcmp(policy->name, names[i]) != 0)
                continue;
            bool fits = false;
            lspo_status_t status = try_fit(question, &workload, policy, &fits);
            if (status != LSPO_OK)
                return status;
            if (fits)
                *name_out = names[i];
        }
    }
    return LSPO_OK;
}

/* The first flag that helps; empty when only more memory does. */
static lspo_status_t find_remedy(const question_t *question, size_t text_bytes, char *text)
{
    lspo_workload_t checkpointed = question->plan->workload;
    checkpointed.checkpointing = true;
    uint32_t batch = 0;
    lspo_status_t status;
    text[0] = '\0';
    if (!question->plan->workload.checkpointing) {
        bool fits = false;
        status = try_fit(question, &checkpointed, question->plan->policy, &fits);
        if (status != LSPO_OK || fits) {
            snprintf(text, text_bytes, "--checkpointing on");
            return status;
        }
    }
    status = try_batches(question, question->plan->workload, &batch);
    if (status != LSPO_OK || batch) {
        snprintf(text, text_bytes, "--batch %u", batch);
        return status;
    }
    if (!question->plan->workload.checkpointing) {
        status = try_batches(question, checkpointed, &batch);
        if (status != LSPO_OK || batch) {
            snprintf(text, text_bytes, "--checkpointing on --batch %u", batch);
            return status;
        }
    }
    const char *policy = NULL;
    status = try_policies(question, &policy);
    if (status == LSPO_OK && policy)
        snprintf(text, text_bytes, "--policy %s", policy);
    return status;
}

/* Which memory is short, by how much. */
static void describe_excess(const lspo_machine_t *machine, bool gpu_short, uint64_t peak_bytes, size_t text_bytes,
                            char *text)
{
    double there_bytes = gpu_short ? free_gpu_bytes(machine) : machine->cpu.memory_bytes;
    char needed[32], excess[32], there[32];
    lspo_format_quantity((double)peak_bytes, LSPO_UNIT_BYTES, needed, sizeof needed);
    lspo_format_quantity((double)peak_bytes - there_bytes, LSPO_UNIT_BYTES, excess, sizeof excess);
    lspo_format_quantity(there_bytes, LSPO_UNIT_BYTES, there, sizeof there);
    snprintf(text, text_bytes, "%s of %s memory, %s more than the %s there is", needed, gpu_short ? "GPU" : "host",
             excess, there);
}

static void describe_margin(const lspo_machine_t *machine, const lspo_peaks_t *peaks, size_t text_bytes, char *text)
{
    char excess[160];
    bool gpu_short = is_gpu_short(machine, peaks->gpu_bound_bytes);
    text[0] = '\0';
    if (lspo_report_fits(machine, peaks->gpu_bound_bytes, peaks->host_bound_bytes))
        return;
    describe_excess(machine, gpu_short, gpu_short ? peaks->gpu_bound_bytes : peaks->host_bound_bytes, sizeof excess,
                    excess);
    snprintf(text, text_bytes, "fits as predicted; if lanes run early or late it may need %s", excess);
}

lspo_status_t lspo_report_advice(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_peaks_t *peaks,
                                 size_t text_bytes, char *text_out)
{
    bool gpu_short = is_gpu_short(machine, peaks->gpu_bytes);
    char excess[160], remedy[64];
    describe_margin(machine, peaks, text_bytes, text_out);
    if (lspo_report_fits(machine, peaks->gpu_bytes, peaks->host_bytes))
        return LSPO_OK;

    lspo_status_t status = find_remedy(&(question_t){plan, machine}, sizeof remedy, remedy);
    if (status != LSPO_OK)
        return status;
    if (remedy[0] == '\0' && gpu_short)
        snprintf(remedy, sizeof remedy, "more GPU memory (--gpu-memory)");
    else if (remedy[0] == '\0')
        snprintf(remedy, sizeof remedy, "more host memory (--set cpu.memory_bytes=SIZE)");
    describe_excess(machine, gpu_short, gpu_short ? peaks->gpu_bytes : peaks->host_bytes, sizeof excess, excess);
    snprintf(text_out, text_bytes, "needs %s; %s would make it fit", excess, remedy);
    return LSPO_OK;
}
