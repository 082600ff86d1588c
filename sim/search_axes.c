/* search_axes.c - the settings that a search tries; see search_axes.h. */
#include "sim/search_axes.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

typedef enum { AS_IS, OF_ONE, OF_BLOCKS, OF_LAYERS, OF_EXPERTS, OF_HOST, OF_DRIVE } scale_t;

/* The values of a policy's own parameter: as they are, as shares of one, of the model's blocks, layers or experts or of
 * the host's memory, or only where the machine has an SSD. */
typedef struct {
    const char *key;
    scale_t scale;
    uint32_t count; /* 0: candidates have the value that they begin with */
    double values[9];
} axis_t;

static const axis_t axes[] = {
    {"cpu-share", OF_ONE, 9, {1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0}},
    {"resident-blocks", OF_BLOCKS, 9, {0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1}},
    {"native-layers", OF_LAYERS, 0, {0}},
    {"swap-slots", AS_IS, 3, {2, 3, 4}},
    {"window", AS_IS, 4, {2, 3, 4, 8}},
    {"gradient-buffers", AS_IS, 4, {1, 2, 4, 0}},
    {"update", AS_IS, 2, {0, 1}}, /* backward, after */
    /* Of generation. */
    {"schedule", AS_IS, 2, {0, 1}}, /* latency, throughput */
    {"recompute-share", OF_ONE, 9, {0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1}},
    {"cache-slots", AS_IS, 3, {2, 3, 4}},
    {"weight-format", AS_IS, 3, {2, 1, 0}}, /* bitmap, csr, dense */
    {"gpu-blocks", OF_BLOCKS, 9, {0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1}},
    {"host-weights", OF_HOST, 5, {0, 0.25, 0.5, 0.75, 1}},
    {"weight-slots", AS_IS, 3, {2, 3, 1}},
    {"direct", OF_DRIVE, 2, {0, 1}},
    {"cached-experts", OF_EXPERTS, 5, {1, 0.75, 0.5, 0.25, 0}},
    {"map-ahead", AS_IS, 3, {100, 1, 0}},
    {"range", AS_IS, 2, {0, 1}},  /* tensor, text */
    {"chunks", AS_IS, 2, {0, 1}}, /* grow, start */
};
static_assert(sizeof axes / sizeof axes[0] == LSPO_SEARCH_AXES, "so many splits a policy has at most");

static const char *const raised[] = {"subspace", "nnz", "rank"};

static const lspo_parameter_t *parameter_named(const lspo_policy_t *policy, const char *key)
{
    const lspo_parameter_use_t *use = lspo_policy_named_use(policy, key, strlen(key));
    return use != NULL ? use->parameter : NULL;
}

const lspo_parameter_t *lspo_search_raised(const lspo_policy_t *policy, size_t index)
{
    for (size_t i = 0; i < sizeof raised / sizeof raised[0]; i++) {
        const lspo_parameter_t *parameter = parameter_named(policy, raised[i]);
        if (parameter != NULL && index-- == 0)
            return parameter;
    }
    return NULL;
}

bool lspo_search_allows(const lspo_search_options_t *options, const lspo_candidate_t *candidate,
                        const lspo_parameter_t *parameter, double value)
{
    const lspo_parameter_context_t context = {
        .policy = candidate->policy, .model = options->model, .workload = &candidate->workload};
    double high = parameter->high > 0 ? parameter->high : (double)INFINITY;
    if (lspo_parameter_is_word(parameter))
        return true;
    if (parameter->high_of != NULL)
        high = fmin(high, parameter->high_of(&context));
    return value >= parameter->low && value <= high;
}

/* The value at this place; NaN: the machine has nothing for it. */
static double value_at(const lspo_search_options_t *options, const axis_t *axis, uint32_t place)
{
    const lspo_machine_t *machine = options->machine;
    const double value = axis->values[place];
    switch (axis->scale) {
    case AS_IS:
    case OF_ONE:
        break;
    case OF_BLOCKS:
        return floor(value * options->model->block_count);
    case OF_LAYERS:
        return floor(value * lspo_model_stage_count(options->model));
    case OF_EXPERTS:
        return floor(value * options->model->expert_count);
    case OF_HOST:
        return place == 0 || machine->ssd.read_Bps > 0 ? floor(value * machine->cpu.memory_bytes) : (double)NAN;
    case OF_DRIVE:
        return place == 0 || machine->ssd.read_Bps > 0 ? value : (double)NAN;
    }
    return value;
}

/* How fine shares are at last. */
static const double finest_share = 1.0 / 256;

/* Whole numbers remain whole. */
double lspo_search_halve(const lspo_split_t *split, double step)
{
    const double half = split->least_step < 1 ? step / 2 : floor(step / 2);
    return fmax(half, split->least_step);
}

/* Of the axes that divide something, the parameter, its highest value, and its steps; NULL: the axis does not. */
static lspo_split_t split_of(const lspo_search_options_t *options, const axis_t *axis,
                             const lspo_parameter_t *parameter)
{
    const uint32_t intervals = axis->count > 1 ? axis->count - 1 : LSPO_SEARCH_SHARES;
    lspo_split_t split = {.parameter = parameter, .least_step = 1};
    switch (axis->scale) {
    case OF_ONE:
        split.high = 1;
        split.least_step = finest_share;
        break;
    case OF_BLOCKS:
        split.high = options->model->block_count;
        break;
    case OF_LAYERS:
        split.high = lspo_model_stage_count(options->model);
        break;
    case OF_EXPERTS:
        split.high = options->model->expert_count;
        break;
    case OF_HOST:
        split.high = options->machine->ssd.read_Bps > 0 ? floor(options->machine->cpu.memory_bytes) : 0;
        split.least_step = floor(finest_share * split.high);
        break;
    case AS_IS:
    case OF_DRIVE:
        break;
    }
    split.step = lspo_search_halve(&split, split.high / intervals);
    if (split.high <= 0)
        split.parameter = NULL;
    return split;
}

lspo_split_t lspo_search_split(const lspo_search_options_t *options, const lspo_policy_t *policy, size_t index)
{
    for (size_t a = 0; a < sizeof axes / sizeof axes[0]; a++) {
        const lspo_parameter_t *parameter = parameter_named(policy, axes[a].key);
        const lspo_split_t split = split_of(options, &axes[a], parameter);
        if (split.parameter != NULL && index-- == 0)
            return split;
    }
    return (lspo_split_t){0};
}

lspo_choice_t lspo_search_choice(const lspo_search_options_t *options, const lspo_policy_t *policy, size_t index)
{
    for (size_t a = 0; a < sizeof axes / sizeof axes[0]; a++) {
        const lspo_parameter_t *parameter = parameter_named(policy, axes[a].key);
        if (parameter == NULL || (axes[a].scale != AS_IS && axes[a].scale != OF_DRIVE))
            continue;
        if (index < axes[a].count)
            return (lspo_choice_t){parameter, value_at(options, &axes[a], (uint32_t)index)};
        index -= axes[a].count;
    }
    return (lspo_choice_t){0};
}

static lspo_status_t add(lspo_candidates_t *candidates, const lspo_candidate_t *candidate)
{
    lspo_status_t status = lspo_array_grow(&candidates->list, &candidates->capacity, candidates->count + 1,
                                           sizeof *candidates->list, "candidates");
    if (status == LSPO_OK)
        candidates->list[candidates->count++] = *candidate;
    return status;
}

/* The candidate with each value of axis `a` and of all behind it. */
static lspo_status_t vary_own(const lspo_search_options_t *options, size_t a, const lspo_candidate_t *candidate,
                              lspo_candidates_t *candidates)
{
    const lspo_parameter_t *parameter = NULL;
    for (; a < sizeof axes / sizeof axes[0] && parameter == NULL; a++)
        parameter = axes[a].count > 0 ? parameter_named(candidate->policy, axes[a].key) : NULL;
    if (parameter == NULL)
        return add(candidates, candidate);
    const axis_t *axis = &axes[a - 1];
    bool held = options->holds != NULL && options->holds(options->context, parameter);
    lspo_status_t status = LSPO_OK;
    double last = NAN;
    for (uint32_t i = 0; i < (held ? 1 : axis->count) && status == LSPO_OK; i++) {
        lspo_candidate_t next = *candidate;
        const double value = value_at(options, axis, i);
        if (!held && (isnan(value) || value == last || !lspo_search_allows(options, candidate, parameter, value)))
            continue;
        if (!held)
            lspo_parameter_store(parameter, value, lspo_policy_slot(candidate->policy, &next.workload, parameter));
        last = value;
        status = vary_own(options, a, &next, candidates);
    }
    return status;
}

static lspo_status_t vary_transfer(const lspo_search_options_t *options, const lspo_candidate_t *candidate,
                                   lspo_candidates_t *candidates)
{
    lspo_status_t status = vary_own(options, 0, candidate, candidates);
    if (options->holds_transfer || candidate->policy->semantics == LSPO_SEMANTICS_EXACT ||
        candidate->workload.transfer != LSPO_FP32 || candidate->policy->return_form == LSPO_RETURN_NOTHING)
        return status;
    lspo_candidate_t narrow = *candidate;
    narrow.workload.transfer = LSPO_BF16;
    return status == LSPO_OK ? vary_own(options, 0, &narrow, candidates) : status;
}

static lspo_status_t vary_checkpointing(const lspo_search_options_t *options, const lspo_candidate_t *candidate,
                                        lspo_candidates_t *candidates)
{
    lspo_status_t status = vary_transfer(options, candidate, candidates);
    if (options->holds_checkpointing || options->task == LSPO_TASK_GENERATE)
        return status;
    lspo_candidate_t other = *candidate;
    other.workload.checkpointing = !candidate->workload.checkpointing;
    return status == LSPO_OK ? vary_transfer(options, &other, candidates) : status;
}

static uint32_t micros_most(const lspo_search_options_t *options)
{
    return options->objective == LSPO_OBJECTIVE_THROUGHPUT && !options->holds_accumulation ? LSPO_SEARCH_MICROS_MOST
                                                                                           : LSPO_MICROS_MAX;
}

/* So many sequences in a step. */
static lspo_status_t vary_batch(const lspo_search_options_t *options, uint32_t sequences,
                                const lspo_candidate_t *candidate, lspo_candidates_t *candidates)
{
    lspo_status_t status = LSPO_OK;
    uint32_t most = lspo_workload_batch_most(&candidate->workload, options->model);
    for (uint32_t batch = 1; batch <= sequences && batch <= most && status == LSPO_OK; batch++) {
        lspo_candidate_t next = *candidate;
        next.workload.batch = batch;
        next.workload.accumulation = sequences / batch;
        if (sequences % batch != 0 || next.workload.accumulation > micros_most(options) ||
            (options->holds_batch && batch != options->workload.batch) ||
            (options->holds_accumulation && next.workload.accumulation != options->workload.accumulation))
            continue;
        status = vary_checkpointing(options, &next, candidates);
    }
    return status;
}

static lspo_status_t vary_sequences(const lspo_search_options_t *options, const lspo_candidate_t *candidate,
                                    lspo_candidates_t *candidates)
{
    uint64_t held = (uint64_t)(options->holds_batch ? options->workload.batch : 1) *
                    (options->holds_accumulation ? options->workload.accumulation : 1);
    bool is_all = options->holds_batch && options->holds_accumulation;
    lspo_status_t status = LSPO_OK;
    if (options->objective != LSPO_OBJECTIVE_THROUGHPUT)
        return vary_batch(options, options->sequences, candidate, candidates);
    for (uint64_t sequences = held; sequences <= (is_all ? held : options->sequences) && status == LSPO_OK;
         sequences *= 2)
        status = vary_batch(options, (uint32_t)sequences, candidate, candidates);
    return status;
}

static lspo_status_t vary_policy(const lspo_search_options_t *options, const lspo_policy_t *policy,
                                 lspo_candidates_t *candidates)
{
    lspo_candidate_t candidate = {.policy = policy, .workload = options->workload};
    lspo_status_t status = LSPO_OK;
    if (options->prepare != NULL)
        status = options->prepare(options->context, policy, &candidate.workload);
    else
        lspo_policy_set_defaults(policy, options->model, false, &candidate.workload);
    if (status != LSPO_OK)
        return status;
    if (candidate.workload.iterations == 0)
        candidate.workload.iterations = lspo_policy_iterations(policy, &candidate.workload);
    return vary_sequences(options, &candidate, candidates);
}

/* One of the task, for one machine, that takes the model. */
static bool is_compared(const lspo_search_options_t *options, const lspo_policy_t *policy)
{
    return policy->task == options->task && !policy->of_peers &&
           (policy->task == LSPO_TASK_TRAIN || lspo_policy_takes(policy, options->model));
}

bool lspo_search_wants(const lspo_search_options_t *options, const lspo_policy_t *policy)
{
    return (options->policy == NULL ? is_compared(options, policy) : options->policy == policy) &&
           (!options->exact_only || policy->semantics == LSPO_SEMANTICS_EXACT);
}

lspo_status_t lspo_search_candidates(const lspo_search_options_t *options, lspo_candidates_t *candidates_out)
{
    lspo_candidates_t candidates = {0};
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; i < lspo_any_policy_count() && status == LSPO_OK; i++) {
        const lspo_policy_t *policy = lspo_any_policy_at(i);
        if (lspo_search_wants(options, policy) &&
            (options->admits == NULL || options->admits(options->context, policy)))
            status = vary_policy(options, policy, &candidates);
    }
    if (status == LSPO_OK)
        *candidates_out = candidates;
    else
        lspo_search_candidates_release(&candidates);
    return status;
}

void lspo_search_candidates_release(lspo_candidates_t *candidates)
{
    free(candidates->list);
    *candidates = (lspo_candidates_t){0};
}
