/* advice.c - changes that would make a plan fit; see advice.h. */
#include "sim/advice.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/units.h"
#include "plan/policy.h"
#include "sim/fit.h"
#include "sim/savers.h"

typedef struct {
    const lspo_plan_t *plan;
    const lspo_machine_t *machine;
} question_t;

/* The workload for another policy: the same, with its own iterations and transition. */
static lspo_fit_question_t ask(const question_t *question, const lspo_policy_t *policy)
{
    lspo_fit_question_t asked = {.model = &question->plan->model,
                                 .workload = lspo_policy_workload(question->plan),
                                 .policy = policy,
                                 .machine = question->machine};
    if (policy == question->plan->policy)
        asked.workload = question->plan->workload;
    else
        asked.workload.iterations = lspo_policy_iterations(policy, &asked.workload);
    return asked;
}

/* May there be room for what the plan holds all the time?  Without it no play is needed. */
static lspo_status_t has_room(const lspo_fit_question_t *asked, bool *has_room_out)
{
    uint64_t short_bytes = 0;
    lspo_status_t status = lspo_fit_least_excess(asked, &short_bytes);
    *has_room_out = short_bytes == 0;
    return status;
}

/* lspo_fit_try_or_stop() where only what fits in less time than that counts. */
static lspo_status_t try_to_beat(const lspo_fit_question_t *asked, double most_s, lspo_fit_t *fit_out)
{
    bool may = false;
    *fit_out = (lspo_fit_t){0};
    lspo_status_t status = has_room(asked, &may);
    if (status == LSPO_OK && may)
        status = lspo_fit_may(asked, most_s, &may);
    return status == LSPO_OK && may ? lspo_fit_try_or_stop(asked, fit_out) : status;
}

static lspo_status_t try_to_fit(const lspo_fit_question_t *asked, lspo_fit_t *fit_out)
{
    return try_to_beat(asked, INFINITY, fit_out);
}

/* Of batches that are not larger than 1 none needs less. */
static lspo_status_t find_batch(const lspo_fit_question_t *asked, uint32_t *batch_out)
{
    lspo_fit_question_t least = *asked;
    bool room = false;
    least.workload.batch = 1;
    lspo_status_t status = has_room(&least, &room);
    *batch_out = 0;
    return status == LSPO_OK && room ? lspo_fit_largest_batch(asked, batch_out) : status;
}

/* ---- the given policy ---- */

/* The smallest number of blocks whose activations must leave the GPU, of those that leave it a place ahead; 0: none is
 * enough.  The asked workload has checkpointing. */
static lspo_status_t find_swap(lspo_fit_question_t asked, uint32_t *blocks_out)
{
    const uint32_t asked_for = asked.workload.swap_activations, blocks = asked.model->block_count;
    uint32_t low = asked_for, high = blocks < 2 ? 0 : blocks - 2; /* low does not fit */
    lspo_fit_t fit = {0};
    *blocks_out = 0;
    if (high <= low)
        return LSPO_OK;
    asked.workload.swap_activations = high;
    lspo_status_t status = try_to_fit(&asked, &fit);
    if (status != LSPO_OK || !fit.fits)
        return status;
    while (high - low > 1 && status == LSPO_OK) {
        asked.workload.swap_activations = low + (high - low) / 2;
        status = try_to_fit(&asked, &fit);
        if (fit.fits)
            high = asked.workload.swap_activations;
        else
            low = asked.workload.swap_activations;
    }
    *blocks_out = high;
    return status;
}

/* The first change that makes it fit, as flags; empty if there is none. */
static lspo_status_t find_change(const question_t *question, size_t text_bytes, char *text)
{
    lspo_fit_question_t asked = ask(question, question->plan->policy);
    lspo_fit_question_t checkpointed = asked;
    const bool recomputes = asked.workload.checkpointing;
    uint32_t batch = 0, blocks = 0;
    text[0] = '\0';
    checkpointed.workload.checkpointing = true;
    if (!recomputes) {
        lspo_fit_t fit = {0};
        lspo_status_t status = try_to_fit(&checkpointed, &fit);
        if (status != LSPO_OK || fit.fits) {
            snprintf(text, text_bytes, "--checkpointing on");
            return status;
        }
    }
    lspo_status_t status = find_swap(checkpointed, &blocks);
    if (status != LSPO_OK || blocks > 0) {
        snprintf(text, text_bytes, "%s--swap-activations %u", recomputes ? "" : "--checkpointing on ", blocks);
        return status;
    }
    status = find_batch(&asked, &batch);
    if (status != LSPO_OK || batch > 0) {
        snprintf(text, text_bytes, "--batch %u", batch);
        return status;
    }
    if (recomputes)
        return LSPO_OK;
    status = find_batch(&checkpointed, &batch);
    if (status != LSPO_OK)
        return status;
    if (batch > 0)
        snprintf(text, text_bytes, "--checkpointing on --batch %u", batch);
    return LSPO_OK;
}

/* ---- other policies ---- */

/* The fastest policy that fits with the given workload, of those with the same semantics or of all others.  NULL:
 * none. */
static lspo_status_t find_fastest(const question_t *question, bool alike, const lspo_policy_t **policy_out)
{
    const lspo_policy_t *wanted = question->plan->policy;
    double best_s = INFINITY;
    *policy_out = NULL;
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        const lspo_policy_t *policy = lspo_policy_at(i);
        const lspo_fit_question_t asked = ask(question, policy);
        lspo_fit_t fit = {0};
        if (policy == wanted || (policy->semantics == wanted->semantics) != alike)
            continue;
        lspo_status_t status = try_to_beat(&asked, best_s, &fit);
        if (status != LSPO_OK)
            return status;
        if (fit.fits && fit.iteration_s < best_s) {
            *policy_out = policy;
            best_s = fit.iteration_s;
        }
    }
    return LSPO_OK;
}

static lspo_status_t find_policy(const question_t *question, const lspo_policy_t **policy_out)
{
    lspo_status_t status = find_fastest(question, true, policy_out);
    return status == LSPO_OK && *policy_out == NULL ? find_fastest(question, false, policy_out) : status;
}

typedef struct {
    const lspo_policy_t *policy; /* NULL: none */
    const lspo_saver_t *saver;
    double iteration_s;
} saving_t;

/* Of the option and the policies that have it: the wanted policy if it fits, else the fastest that does. */
static lspo_status_t try_saver(const question_t *question, const lspo_saver_t *saver, uint32_t batch, saving_t *best)
{
    const lspo_policy_t *wanted = question->plan->policy;
    for (uint32_t i = 0; i < lspo_policy_count(); i++) {
        lspo_fit_question_t asked = ask(question, lspo_policy_at(i));
        void *slot = lspo_policy_slot(asked.policy, &asked.workload, saver->parameter);
        lspo_fit_t fit = {0};
        if (slot == NULL)
            continue;
        asked.workload.batch = batch;
        asked.workload.checkpointing |= batch == 1;
        lspo_parameter_store(saver->parameter, saver->value, slot);
        lspo_status_t status = try_to_fit(&asked, &fit);
        if (status != LSPO_OK)
            return status;
        bool is_wanted = asked.policy == wanted, has_wanted = best->policy == wanted;
        if (fit.fits && (best->policy == NULL || is_wanted > has_wanted ||
                         (is_wanted == has_wanted && fit.iteration_s < best->iteration_s)))
            *best = (saving_t){asked.policy, saver, fit.iteration_s};
    }
    return LSPO_OK;
}

/* Where no policy fits with its numbers as they are: what fits with fewer bits, with the batch asked for or with 1.
 * Empty if nothing does. */
static lspo_status_t find_fewer_bits(const question_t *question, size_t text_bytes, char *text)
{
    const uint32_t asked = question->plan->workload.batch, batches[] = {asked, 1};
    text[0] = '\0';
    for (uint32_t b = 0; b < sizeof batches / sizeof batches[0]; b++) {
        const lspo_saver_t *saver;
        saving_t best = {0};
        for (uint32_t i = 0; (saver = lspo_saver_at(i)) != NULL; i++) {
            lspo_status_t status = try_saver(question, saver, batches[b], &best);
            if (status != LSPO_OK)
                return status;
        }
        if (best.policy == NULL)
            continue;
        snprintf(text, text_bytes, "--policy %s --%s %s%s (%s) would fit", best.policy->name,
                 best.saver->parameter->key, best.saver->parameter->names[best.saver->value],
                 batches[b] == asked ? "" : " --checkpointing on --batch 1", best.saver->what);
        return LSPO_OK;
    }
    return LSPO_OK;
}

/* A policy with a batch of 1 and checkpointing, and the bytes that it lacks: at least, until it has been played. */
typedef struct {
    lspo_fit_question_t asked;
    uint64_t short_bytes;
    bool is_played;
} candidate_t;

/* The first of those that lack least. */
static candidate_t *least_short(candidate_t *candidates, uint32_t count)
{
    candidate_t *best = &candidates[0];
    for (uint32_t i = 1; i < count; i++)
        if (candidates[i].short_bytes < best->short_bytes)
            best = &candidates[i];
    return best;
}

static lspo_status_t play(candidate_t *candidate)
{
    const lspo_machine_t *machine = candidate->asked.machine;
    lspo_fit_t fit = {0};
    lspo_status_t status = lspo_fit_try(&candidate->asked, &fit);
    candidate->short_bytes =
        lspo_fit_gpu_excess(machine, fit.gpu_bytes) + lspo_fit_host_excess(machine, fit.host_bytes);
    candidate->is_played = true;
    return status;
}

/* The policy that comes nearest to fitting: plays the one that may lack least, until the one that lacks least has been
 * played. */
static lspo_status_t find_nearest(const question_t *question, candidate_t *nearest_out)
{
    const uint32_t count = lspo_policy_count();
    candidate_t *candidates = calloc(count, sizeof *candidates), *best = candidates;
    lspo_status_t status = candidates != NULL ? LSPO_OK : lspo_no_memory("%u policies", count);
    for (uint32_t i = 0; status == LSPO_OK && i < count; i++) {
        candidates[i].asked = ask(question, lspo_policy_at(i));
        candidates[i].asked.workload.batch = 1;
        candidates[i].asked.workload.checkpointing = true;
        status = lspo_fit_least_excess(&candidates[i].asked, &candidates[i].short_bytes);
    }
    while (status == LSPO_OK && !(best = least_short(candidates, count))->is_played)
        status = play(best);
    if (status == LSPO_OK)
        *nearest_out = *best;
    free(candidates);
    return status;
}

/* What the nearest policy lacks, and what would help. */
static lspo_status_t describe_nearest(const question_t *question, size_t text_bytes, char *text)
{
    candidate_t nearest;
    lspo_status_t status = find_nearest(question, &nearest);
    if (status != LSPO_OK)
        return status;
    const lspo_policy_t *policy = nearest.asked.policy;
    char excess[32];
    lspo_format_quantity((double)nearest.short_bytes, LSPO_UNIT_BYTES, excess, sizeof excess);
    if (nearest.short_bytes > 0) {
        status = find_fewer_bits(question, text_bytes, text);
        if (status != LSPO_OK || text[0] != '\0')
            return status;
        snprintf(text, text_bytes, "no policy fits at any batch size; the nearest is --policy %s --batch 1, %s short",
                 policy->name, excess);
    } else
        snprintf(text, text_bytes, "--policy %s (%s) --checkpointing on --batch 1 would fit", policy->name,
                 lspo_semantics_name(policy->semantics));
    return LSPO_OK;
}

/* ---- sentences ---- */

/* Which memory is insufficient, and by how much. */
static void describe_excess(const lspo_machine_t *machine, uint64_t gpu_bytes, uint64_t host_bytes, size_t text_bytes,
                            char *text)
{
    uint64_t gpu_excess_bytes = lspo_fit_gpu_excess(machine, gpu_bytes);
    bool gpu_short = gpu_excess_bytes > 0;
    double there_bytes = gpu_short ? lspo_fit_gpu_bytes(machine) : machine->cpu.memory_bytes;
    uint64_t excess_bytes = gpu_short ? gpu_excess_bytes : lspo_fit_host_excess(machine, host_bytes);
    char needed[32], excess[32], there[32], both[64] = "";
    lspo_format_quantity((double)(gpu_short ? gpu_bytes : host_bytes), LSPO_UNIT_BYTES, needed, sizeof needed);
    lspo_format_quantity((double)excess_bytes, LSPO_UNIT_BYTES, excess, sizeof excess);
    lspo_format_quantity(there_bytes, LSPO_UNIT_BYTES, there, sizeof there);
    if (gpu_short && lspo_fit_host_excess(machine, host_bytes) > 0) {
        char host[32];
        lspo_format_quantity((double)lspo_fit_host_excess(machine, host_bytes), LSPO_UNIT_BYTES, host, sizeof host);
        snprintf(both, sizeof both, ", and %s more host memory", host);
    }
    snprintf(text, text_bytes, "%s of %s memory, %s more than the %s available%s", needed, gpu_short ? "GPU" : "host",
             excess, there, both);
}

/* A change for the policy, another policy, or the distance to fitting. */
static lspo_status_t describe_remedy(const question_t *question, size_t text_bytes, char *text)
{
    char change[64];
    const lspo_policy_t *policy = NULL, *wanted = question->plan->policy;
    lspo_status_t status = find_change(question, sizeof change, change);
    if (status != LSPO_OK)
        return status;
    status = find_policy(question, &policy);
    if (status != LSPO_OK)
        return status;
    char other[96] = "";
    if (policy && policy->semantics == wanted->semantics)
        snprintf(other, sizeof other, "--policy %s (%s too)", policy->name, lspo_semantics_name(policy->semantics));
    else if (policy)
        snprintf(other, sizeof other, "--policy %s (%s, not %s)", policy->name, lspo_semantics_name(policy->semantics),
                 lspo_semantics_name(wanted->semantics));
    if (change[0] == '\0' && other[0] == '\0')
        return describe_nearest(question, text_bytes, text);
    snprintf(text, text_bytes, "%s%s%s would make it fit", change, change[0] && other[0] ? " or " : "", other);
    return LSPO_OK;
}

/* Of generation: the fastest policy that fits. */
static lspo_status_t describe_generation_remedy(const question_t *question, size_t text_bytes, char *text)
{
    const lspo_policy_t *best = NULL;
    double best_s = 0;
    for (uint32_t i = 0; i < lspo_generation_policy_count(); i++) {
        lspo_fit_question_t asked = ask(question, lspo_generation_policy_at(i));
        lspo_fit_t fit = {0};
        if (!lspo_policy_takes(asked.policy, &question->plan->model))
            continue;
        asked.workload.iterations = question->plan->workload.iterations;
        lspo_status_t status = try_to_fit(&asked, &fit);
        if (status != LSPO_OK)
            return status;
        if (fit.fits && (best == NULL || fit.iteration_s < best_s)) {
            best = asked.policy;
            best_s = fit.iteration_s;
        }
    }
    if (best != NULL)
        snprintf(text, text_bytes, "--policy %s would make it fit", best->name);
    else
        snprintf(text, text_bytes,
                 "no policy of generation fits; it takes fewer or shorter texts (--batch, "
                 "--accumulation, --sequence, --iterations)");
    return LSPO_OK;
}

/* Of peers that differ. */
static void describe_short_peer(const lspo_plan_t *plan, const lspo_short_peer_t *peer, size_t text_bytes, char *text)
{
    char needed[32], excess[32];
    if (peer->excess_bytes == 0)
        return;
    snprintf(text, text_bytes,
             "peer %u of the chain (%s) needs %s of GPU memory, %s more than it has; a --chain with fewer stages "
             "for it, --checkpointing on or a smaller --batch needs less",
             peer->peer, plan->network.kinds[plan->peer_kinds[peer->peer]].name,
             lspo_format_quantity((double)peer->needed_bytes, LSPO_UNIT_BYTES, needed, sizeof needed),
             lspo_format_quantity((double)peer->excess_bytes, LSPO_UNIT_BYTES, excess, sizeof excess));
}

lspo_status_t lspo_advise(const lspo_plan_t *plan, const lspo_machine_t *machine, const lspo_prediction_t *prediction,
                          size_t text_bytes, char *text_out)
{
    const question_t question = {plan, machine};
    char excess[192], remedy[256];
    text_out[0] = '\0';
    if (plan->network.kind_count > 0) {
        describe_short_peer(plan, &prediction->short_peer, text_bytes, text_out);
        return LSPO_OK;
    }
    if (prediction->fits) {
        if (lspo_fits(machine, prediction->peak_gpu_bound_bytes, prediction->peak_host_bound_bytes))
            return LSPO_OK;
        describe_excess(machine, prediction->peak_gpu_bound_bytes, prediction->peak_host_bound_bytes, sizeof excess,
                        excess);
        snprintf(text_out, text_bytes, "fits as predicted; if lanes run early or late%s it may need %s",
                 machine->software.allocator_most > 0.0 ? ", or its allocator leaves more unused," : "", excess);
        return LSPO_OK;
    }
    lspo_status_t status = plan->policy->task == LSPO_TASK_GENERATE
                               ? describe_generation_remedy(&question, sizeof remedy, remedy)
                               : describe_remedy(&question, sizeof remedy, remedy);
    if (status != LSPO_OK)
        return status;
    describe_excess(machine, prediction->peak_gpu_bytes, prediction->peak_host_bytes, sizeof excess, excess);
    snprintf(text_out, text_bytes, "needs %s; %s", excess, remedy);
    return LSPO_OK;
}
