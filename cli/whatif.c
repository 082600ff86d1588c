/* whatif.c - see whatif.h. */
#include "cli/whatif.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "base/words.h"
#include "cli/machine_named.h"
#include "plan/expect.h"
#include "plan/policies/shared.h"
#include "sim/fit.h"
#include "sim/tune.h"

/* Changes of less than this do not count. */
static const double change_least = 0.01;
static const double pageable_share = 0.3, throttled_share = 0.7;

/* Candidates */

typedef struct {
    lspo_whatif_t *list;
    uint32_t count;
} candidates_t;

__attribute__((format(printf, 4, 5))) static void add(candidates_t *candidates, const char *why, const char *remedy,
                                                      const char *format, ...)
{
    va_list values;
    if (candidates->count == LSPO_WHATIFS_MAX)
        return;
    lspo_whatif_t *it = &candidates->list[candidates->count];
    *it = (lspo_whatif_t){.remedy = remedy};
    snprintf(it->why, sizeof it->why, "%s", why);
    va_start(values, format);
    int length = vsnprintf(it->flags, sizeof it->flags, format, values);
    va_end(values);
    if (length > 0 && (size_t)length < sizeof it->flags)
        candidates->count++;
}

/* "12.6GB/s": without a blank, so that it is one word.  Returns `text`. */
static const char *quantity(double value, lspo_unit_t unit, char text[48])
{
    size_t used = 0;
    lspo_format_quantity_exact(value, unit, text, 48);
    for (size_t i = 0; text[i] != '\0'; i++)
        if (text[i] != ' ')
            text[used++] = text[i];
    text[used] = '\0';
    return text;
}

static lspo_status_t add_frameworks(const lspo_machine_t *machine, candidates_t *candidates)
{
    for (uint32_t i = 0; i < lspo_machine_preset_count(LSPO_PART_FRAMEWORK); i++) {
        lspo_machine_t framework;
        const char *name = lspo_machine_preset_name(LSPO_PART_FRAMEWORK, i);
        if (strcmp(name, lspo_machine_framework(machine)) == 0)
            continue;
        lspo_status_t status = lspo_machine_preset(LSPO_PART_FRAMEWORK, i, &framework);
        if (status != LSPO_OK)
            return status;
        add(candidates, framework.description, "name the framework that runs (lspo list frameworks)", "--framework %s",
            name);
    }
    return LSPO_OK;
}

static void add_link(const lspo_machine_t *machine, candidates_t *candidates)
{
    static const struct {
        double share;
        const char *why, *remedy;
    } links[] = {
        {0.5, "the card has half of its PCIe lanes, or the generation before",
         "see the link's width and generation under load: nvidia-smi -q -d PERFORMANCE, lspci -vv"},
        {0.25, "the card has a quarter of its PCIe lanes", "see the link's width under load: lspci -vv"},
        {pageable_share, "copies go through pageable memory", "pin the host's buffers (pin_memory)"},
    };
    char rate[48];
    double link_Bps = fmin(machine->link.h2d_Bps, machine->link.d2h_Bps);
    for (size_t i = 0; i < sizeof links / sizeof links[0] && link_Bps > 0; i++)
        add(candidates, links[i].why, links[i].remedy, "--link %s",
            quantity(links[i].share * link_Bps, LSPO_UNIT_BPS, rate));
    if (machine->cpu.adam_pps > 0)
        add(candidates, "the optimizer on the CPU has half of its rate",
            "give it all cores and memory channels (OMP_NUM_THREADS, NUMA), and a fused Adam", "--cpu %s",
            quantity(machine->cpu.adam_pps / 2, LSPO_UNIT_PPS, rate));
}

static void add_transfers(const lspo_plan_t *plan, candidates_t *candidates)
{
    lspo_workload_t workload = plan->workload;
    const uint32_t *buffers = lspo_policy_slot(plan->policy, &workload, &lspo_parameter_gradient_buffers);
    if (buffers != NULL && *buffers != 1)
        add(candidates, "each copy of a gradient blocks backward", "let copies overlap with backward (overlap_comm)",
            "--gradient-buffers 1");
    if (workload.accumulation > 1 && lspo_policy_slot(plan->policy, &workload, &lspo_parameter_accumulate_on) != NULL) {
        if (lspo_plan_sums_on_host(plan))
            add(candidates, "gradients are summed on the GPU and sent once per step",
                "see whether micro-batches send their gradients, or only the last one", "--accumulate-on gpu");
        else
            add(candidates, "each micro-batch fetches, adds and returns its gradients",
                "use larger micro-batches, or keep gradients on the GPU", "--accumulate-on host");
    }
    if (workload.transfer != LSPO_FP32)
        add(candidates, "gradients and parameters cross the link in fp32", "send them in 16 bits", "--transfer fp32");
}

/* What attention costs whose scores go through memory, as a framework says that has it so. */
static lspo_status_t add_unfused(const lspo_machine_t *machine, candidates_t *candidates)
{
    lspo_machine_t unfused = *machine;
    if (machine->software.score_bytes > 0)
        return LSPO_OK;
    lspo_status_t status = lspo_machine_use_framework(&unfused, "eager-unfused");
    if (status == LSPO_OK)
        add(candidates, "attention is not fused", "use scaled_dot_product_attention or FlashAttention",
            "--set software.score_bytes=%g --set software.score_backward_bytes=%g", unfused.software.score_bytes,
            unfused.software.score_backward_bytes);
    return status;
}

static void add_gpu(const lspo_plan_t *plan, const lspo_machine_t *machine, candidates_t *candidates)
{
    const lspo_workload_t *workload = &plan->workload;
    char rate[48];
    add(candidates,
        workload->checkpointing ? "activations are kept, not computed again" : "activations are computed again",
        "see whether gradient checkpointing is on", "--checkpointing %s", workload->checkpointing ? "off" : "on");
    if (workload->precision != LSPO_FP32)
        add(candidates, "the GPU computes in fp32", "switch on bf16 (autocast), and TF32 for what is left",
            "--precision fp32");
    else
        add(candidates, "the GPU computes in bf16", "see which precision runs", "--precision bf16");
    add(candidates, "the GPU runs below its clock", "see clocks, power and temperature: nvidia-smi -q -d CLOCK,POWER",
        "--set gpu.gemm_%s_flops=%s", lspo_precision_name(workload->precision),
        quantity(throttled_share * machine->gpu.gemm_flops[workload->precision], LSPO_UNIT_FLOPS, rate));
}

static void add_sizes(const lspo_plan_t *plan, candidates_t *candidates)
{
    static const char why[] = "a step has other sizes than assumed";
    static const char remedy[] = "compare batch, sequence (padding) and accumulation with the training's";
    const lspo_workload_t *workload = &plan->workload;
    if (workload->batch <= lspo_workload_batch_most(workload, &plan->model) / 2)
        add(candidates, why, remedy, "--batch %u", 2 * workload->batch);
    if (workload->batch > 1)
        add(candidates, why, remedy, "--batch %u", workload->batch / 2);
    lspo_workload_t longer = *workload;
    longer.sequence = workload->sequence <= plan->model.max_sequence / 2 ? 2 * workload->sequence : 0;
    if (longer.sequence > 0 && workload->batch <= lspo_workload_batch_most(&longer, &plan->model))
        add(candidates, why, remedy, "--sequence %u", longer.sequence);
    if (workload->sequence > 1)
        add(candidates, why, remedy, "--sequence %u", workload->sequence / 2);
    if (workload->accumulation <= LSPO_MICROS_MAX / 2)
        add(candidates, why, remedy, "--accumulation %u", 2 * workload->accumulation);
    if (workload->accumulation > 1)
        add(candidates, why, remedy, "--accumulation %u", workload->accumulation / 2);
}

/* Predictions */

enum { WORDS_MAX = 8 };

/* The command with these flags behind its own: the last of two counts. */
static lspo_status_t predict(const lspo_whatif_question_t *question, char **argv, lspo_whatif_t *candidate)
{
    char flags[LSPO_WHATIF_FLAGS_BYTES], *words[WORDS_MAX];
    size_t count = 0;
    lspo_sim_request_t request;
    lspo_machine_t machine;
    lspo_plan_t *plan = NULL;
    lspo_fit_t fit;
    lspo_expect_t expect;
    snprintf(flags, sizeof flags, "%s", candidate->flags);
    lspo_status_t status = lspo_words_split("flags", flags, WORDS_MAX, words, &count);
    if (status != LSPO_OK)
        return status;
    memcpy(argv + question->argc, words, count * sizeof *words);
    status = question->read(question->argc + (int)count, argv, &request);
    if (status != LSPO_OK)
        return status;
    status = lspo_request_machine(&request.base, &machine);
    if (status != LSPO_OK)
        return status;
    status = lspo_tune_transition(&request.base.model, &request.base.workload, request.base.policy, &machine, &plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_fit_plan(plan, &machine, &fit);
    if (status == LSPO_OK)
        status = lspo_expect(plan, &machine, &expect);
    lspo_plan_destroy(plan);
    if (status != LSPO_OK)
        return status;
    candidate->predicted_s = fit.iteration_s;
    candidate->explains =
        question->measured_s >= expect.low * fit.iteration_s && question->measured_s <= expect.high * fit.iteration_s;
    return LSPO_OK;
}

static double distance(double predicted_s, double measured_s)
{
    return fabs(log(predicted_s / measured_s));
}

/* Does it change the time, and bring it nearer to the measured one? */
static bool helps(const lspo_whatif_question_t *question, const lspo_whatif_t *candidate)
{
    double ratio = candidate->predicted_s / question->predicted_s;
    return fabs(ratio - 1) > change_least && distance(candidate->predicted_s, question->measured_s) <
                                                 distance(question->predicted_s, question->measured_s);
}

/* Insert in the order of distance. */
static uint32_t insert(const lspo_whatif_question_t *question, lspo_whatif_t candidate, lspo_whatif_t *list,
                       uint32_t count)
{
    uint32_t at = count;
    while (at > 0 && distance(list[at - 1].predicted_s, question->measured_s) >
                         distance(candidate.predicted_s, question->measured_s)) {
        list[at] = list[at - 1];
        at--;
    }
    list[at] = candidate;
    return count + 1;
}

lspo_status_t lspo_whatif(const lspo_whatif_question_t *question, lspo_whatif_t list_out[LSPO_WHATIFS_MAX],
                          uint32_t *count_out)
{
    candidates_t candidates = {.list = list_out};
    uint32_t kept = 0;
    char **argv = calloc((size_t)question->argc + WORDS_MAX + 1, sizeof *argv);
    if (argv == NULL)
        return lspo_no_memory("flags");
    memcpy(argv, question->argv, (size_t)question->argc * sizeof *argv);
    lspo_status_t status = add_unfused(question->machine, &candidates);
    if (status == LSPO_OK)
        status = add_frameworks(question->machine, &candidates);
    if (status != LSPO_OK)
        goto cleanup;
    add_gpu(question->plan, question->machine, &candidates);
    if (lspo_band_kind(question->plan) == LSPO_BAND_OFFLOAD) {
        add_link(question->machine, &candidates);
        add_transfers(question->plan, &candidates);
    }
    add_sizes(question->plan, &candidates);
    for (uint32_t i = 0; i < candidates.count; i++) {
        lspo_whatif_t candidate = list_out[i];
        status = predict(question, argv, &candidate);
        if (status != LSPO_OK)
            goto cleanup;
        if (helps(question, &candidate))
            kept = insert(question, candidate, list_out, kept);
    }
    *count_out = kept;
cleanup:
    free(argv);
    return status;
}
