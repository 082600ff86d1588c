/* estimators.c - the memory of a training by the formulas of others; see estimators.h. */
#include "sim/estimators.h"

#include <math.h>
#include <stddef.h>

enum { PAGE_BYTES = 2 << 20, CHUNK_LEAST = 32 << 20, CHUNK_RANGE = 32 << 20, CHUNK_STEP = 1024 };

static uint64_t pages(double bytes)
{
    return (uint64_t)ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
}

/* ---- the weights of a model ---- */

static uint64_t elements_of(const lspo_tensor_t *tensor)
{
    return (uint64_t)tensor->rows * tensor->cols;
}

static bool is_matrix(const lspo_tensor_t *tensor)
{
    return tensor->rows > 1 && tensor->cols > 1;
}

/* Blocks have the same weights: each kind of stage once, and how often it comes. */
enum { KINDS = 3 };
typedef struct {
    lspo_stage_t stages[KINDS]; /* embedding, block, head */
    uint32_t times[KINDS];
} kinds_t;

static kinds_t kinds_of(const lspo_model_t *model)
{
    kinds_t kinds = {.times = {1, model->block_count, 1}};
    lspo_model_stage(model, 0, &kinds.stages[0]);
    lspo_model_stage(model, 1, &kinds.stages[1]);
    lspo_model_stage(model, lspo_model_stage_count(model) - 1, &kinds.stages[2]);
    return kinds;
}

typedef struct {
    double elements, embedding_elements, squares, count, state_bytes, largest_elements;
    uint32_t embeddings;
} sums_t;

static void add(const lspo_tensor_t *tensor, bool embeds, double times, sums_t *sums)
{
    double elements = (double)elements_of(tensor);
    sums->elements += times * elements;
    sums->squares += times * elements * elements;
    sums->count += times;
    if (!is_matrix(tensor))
        return;
    sums->state_bytes += times * (double)pages(8 * elements);
    sums->largest_elements = fmax(sums->largest_elements, elements);
    if (embeds) {
        sums->embedding_elements += elements;
        sums->embeddings++;
    }
}

static sums_t sum(const kinds_t *kinds)
{
    sums_t sums = {0};
    for (int kind = 0; kind < KINDS; kind++)
        for (uint32_t i = 0; i < kinds->stages[kind].tensor_count; i++)
            add(&kinds->stages[kind].tensors[i], kind == 0, kinds->times[kind], &sums);
    return sums;
}

/* ---- Colossal-AI's chunks ---- */

typedef struct {
    double limit; /* larger weights are not in chunks */
    uint64_t chunk, left, unused;
} chunks_t;

static void put(const lspo_tensor_t *tensor, chunks_t *chunks)
{
    uint64_t elements = elements_of(tensor);
    if ((double)elements > chunks->limit)
        return;
    if (elements > chunks->left) {
        chunks->unused += chunks->left;
        chunks->left = chunks->chunk;
    }
    chunks->left -= elements;
}

/* Elements of chunks of this size that no weight uses. */
static uint64_t unused_of(const kinds_t *kinds, double limit, uint64_t chunk)
{
    chunks_t chunks = {.limit = limit, .chunk = chunk};
    for (int kind = 0; kind < KINDS; kind++)
        for (uint32_t time = 0; time < kinds->times[kind]; time++)
            for (uint32_t i = 0; i < kinds->stages[kind].tensor_count; i++)
                put(&kinds->stages[kind].tensors[i], &chunks);
    return chunks.unused + chunks.left;
}

static uint64_t largest_in_chunks(const kinds_t *kinds, double limit)
{
    uint64_t largest = 0;
    for (int kind = 0; kind < KINDS; kind++)
        for (uint32_t i = 0; i < kinds->stages[kind].tensor_count; i++) {
            uint64_t elements = elements_of(&kinds->stages[kind].tensors[i]);
            if ((double)elements <= limit && elements > largest)
                largest = elements;
        }
    return largest;
}

static uint64_t chunk_of(const kinds_t *kinds, const sums_t *sums)
{
    if (sums->elements < CHUNK_LEAST)
        return (uint64_t)sums->elements;
    double mean = sums->elements / sums->count;
    double limit = mean + 3 * sqrt(fmax(sums->squares / sums->count - mean * mean, 0));
    uint64_t largest = largest_in_chunks(kinds, limit), best = 0, least = UINT64_MAX;
    uint64_t first = ((largest > CHUNK_LEAST ? largest : CHUNK_LEAST) + CHUNK_STEP - 1) / CHUNK_STEP * CHUNK_STEP;
    for (uint64_t chunk = first; chunk <= first + CHUNK_RANGE; chunk += CHUNK_STEP) {
        uint64_t unused = unused_of(kinds, limit, chunk);
        if (unused < least) {
            least = unused;
            best = chunk;
        }
    }
    return best;
}

/* ---- LLMem ---- */

typedef struct {
    sums_t sums;
    double chunked; /* E + ceil((P - E) / c) c */
} states_t;

static states_t states_of(const lspo_model_t *model)
{
    kinds_t kinds = kinds_of(model);
    states_t states = {.sums = sum(&kinds)};
    double chunk = (double)chunk_of(&kinds, &states.sums);
    double others = states.sums.elements - states.sums.embedding_elements;
    states.chunked = states.sums.embedding_elements + ceil(others / chunk) * chunk;
    return states;
}

static void estimate(const lspo_model_t *model, const lspo_workload_t *workload, const states_t *states,
                     const lspo_parallel_t *layout, lspo_llmem_t *out)
{
    double n = (double)layout->tensor * layout->data, t = layout->tensor, w = model->width, v = model->vocabulary;
    double sequences = workload->batch, tokens = sequences * workload->sequence;
    bool sharded = layout->sharded, tensor = layout->tensor > 1;
    double half = (double)pages(2 * states->chunked), full = (double)pages(4 * states->chunked);
    double optimizer = states->sums.state_bytes;
    if (sharded)
        out->weights_bytes = (uint64_t)(half - (tensor ? half * t / n : 0) + full / n);
    else
        out->weights_bytes = (uint64_t)((double)pages(6 * states->chunked) / t);
    out->optimizer_bytes = (uint64_t)(optimizer / (sharded ? n : t));
    out->outputs_bytes = pages(2 * (states->sums.embeddings + (double)model->block_count) * tokens * w);
    out->head_bytes = pages(2 * tokens * v) + 2 * pages(2 * (tokens - sequences) * v) + pages(2 * w * v);
    out->backward_bytes = pages(2 * (double)model->block_count * tokens * w * (t - 1) / t);
    out->gpu_bytes = out->base_bytes + out->weights_bytes + out->optimizer_bytes + out->outputs_bytes +
                     out->head_bytes + out->backward_bytes;
}

void lspo_llmem(const lspo_model_t *model, const lspo_workload_t *workload, const lspo_parallel_t *layout,
                uint64_t base_bytes, lspo_llmem_t *estimate_out)
{
    states_t states = states_of(model);
    lspo_llmem_t result = {.base_bytes = base_bytes};
    estimate(model, workload, &states, layout, &result);
    *estimate_out = result;
}

uint32_t lspo_llmem_largest_batch(const lspo_model_t *model, const lspo_workload_t *workload,
                                  const lspo_parallel_t *layout, uint64_t base_bytes, uint64_t memory_bytes)
{
    states_t states = states_of(model);
    lspo_workload_t tried = *workload;
    uint32_t low = 0, high = lspo_workload_batch_most(workload, model) + 1;
    while (high - low > 1) {
        lspo_llmem_t result = {.base_bytes = base_bytes};
        tried.batch = low + (high - low) / 2;
        estimate(model, &tried, &states, layout, &result);
        *(result.gpu_bytes <= memory_bytes ? &low : &high) = tried.batch;
    }
    return low;
}

double lspo_llmem_score(const lspo_parallel_t *layout, uint32_t largest_batch)
{
    double more = largest_batch > 0 ? largest_batch - 1.0 : 0;
    if (layout->tensor > 1)
        return more * layout->data;
    return more * layout->data * (layout->sharded ? 1 : 1.5);
}

static bool is_both(const lspo_parallel_t *layout)
{
    return layout->tensor > 1 && layout->data > 1;
}

size_t lspo_llmem_choose(const lspo_parallel_t *layouts, const double *scores, size_t count)
{
    size_t best = count;
    for (size_t i = 0; i < count; i++) {
        double most = best < count ? scores[best] : 0;
        if (scores[i] > most || (best < count && scores[i] == most && is_both(&layouts[best]) && !is_both(&layouts[i])))
            best = i;
    }
    return best;
}

/* ---- DeepSpeed ---- */

static const lspo_deepspeed_setting_t settings[] = {
    {"ZeRO-2", 2, false, false},           {"ZeRO-2, optimizer on CPU", 2, true, false},
    {"ZeRO-3", 3, false, false},           {"ZeRO-3, optimizer on CPU", 3, true, false},
    {"ZeRO-3, all on CPU", 3, true, true},
};

const lspo_deepspeed_setting_t *lspo_deepspeed_setting(uint32_t index)
{
    return index < sizeof settings / sizeof settings[0] ? &settings[index] : NULL;
}

static void estimate_zero2(double elements, double gpus, bool offloads, double *gpu, double *cpu)
{
    *gpu = offloads ? 2 * elements : 4 * elements + floor(16 * elements / gpus);
    *cpu = 1.5 * elements * (offloads ? fmax(4 * gpus, 16) : 4 * gpus);
}

static void estimate_zero3(double elements, double largest, double gpus, const lspo_deepspeed_setting_t *setting,
                           double *gpu, double *cpu)
{
    *gpu = 4 * largest;
    if (!setting->offloads_optimizer) {
        *gpu += floor(18 * elements / gpus);
        *cpu = 1.5 * largest * 4 * gpus;
        return;
    }
    if (!setting->offloads_weights)
        *gpu += floor(2 * elements / gpus);
    *cpu = 1.5 * elements * (setting->offloads_weights ? 18 : 16);
}

void lspo_deepspeed_estimate(uint64_t elements, uint64_t largest_elements, uint32_t gpus,
                             const lspo_deepspeed_setting_t *setting, uint64_t *gpu_bytes_out, uint64_t *cpu_bytes_out)
{
    double gpu = 0, cpu = 0;
    if (setting->stage == 2)
        estimate_zero2((double)elements, gpus, setting->offloads_optimizer, &gpu, &cpu);
    else
        estimate_zero3((double)elements, (double)largest_elements, gpus, setting, &gpu, &cpu);
    *gpu_bytes_out = (uint64_t)gpu;
    *cpu_bytes_out = (uint64_t)cpu;
}

uint64_t lspo_deepspeed_largest(const lspo_model_t *model)
{
    kinds_t kinds = kinds_of(model);
    return (uint64_t)sum(&kinds).largest_elements;
}
