/* vtensor: as resident, but the cache has memory only where there are tokens.  Each text has ranges of addresses for as
 * many tokens as it may have, 2 L for K and V of L blocks, in which chunks are mapped (MAP, on the CPU) as it grows, so
 * that kernels see plain tensors.                                          [Xu et al., vTensor, arXiv 2407.15309]
 *
 *     chunks of t tokens    2 L ceil(t c / chunk),  c = kv width x bytes      waste: at most a chunk per range
 *     MAP of n chunks in each of r ranges:  r (n map + access),  access by chunk: r n (map + access);  and r n create
 *
 * A forward pass waits until all chunks of its tokens are mapped.  MAP of an iteration may begin as soon as there are
 * no more than --map-ahead tokens left to it, so it is hidden iff it takes no longer than these, of which more than
 * chunk / c are no help.  With --range text all blocks of a text share one range, in which its tokens follow each
 * other: then c is 2 L times as large, and a text wastes at most one chunk. */
#include "plan/policies/vtensor.h"

#include <math.h>
#include <stdlib.h>

#include "plan/build_generate.h"
#include "plan/policies.h"
#include "plan/stage_work.h"

static const lspo_vtensor_values_t *values_of(const lspo_builder_t *b)
{
    return lspo_vtensor_values_of(b->workload);
}

uint32_t lspo_vtensor_ranges(const lspo_vtensor_values_t *values, const lspo_model_t *model)
{
    return values->range == LSPO_RANGE_TEXT ? 1 : 2 * model->block_count;
}

uint64_t lspo_vtensor_token_bytes(const lspo_vtensor_values_t *values, const lspo_model_t *model,
                                  lspo_precision_t precision)
{
    const uint64_t all =
        (uint64_t)2 * model->block_count * lspo_model_kv_width(model) * lspo_precision_bytes(precision);
    return all / lspo_vtensor_ranges(values, model);
}

uint64_t lspo_vtensor_chunks_of(const lspo_vtensor_values_t *values, const lspo_model_t *model,
                                lspo_precision_t precision, uint64_t tokens)
{
    const uint64_t chunk = (uint64_t)values->chunk;
    return (tokens * lspo_vtensor_token_bytes(values, model, precision) + chunk - 1) / chunk;
}

lspo_status_t lspo_vtensor_check(const lspo_vtensor_values_t *values)
{
    char size[32];
    if (fmod(values->chunk, LSPO_VTENSOR_PAGE_BYTES) == 0)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "--chunk %s is no multiple of a page, 4 KiB",
                      lspo_format_quantity(values->chunk, LSPO_UNIT_BYTES, size, sizeof size));
}

/* ---- the plan ---- */

/* Chunks of a range in an iteration: with its tokens, and those that are new. */
static uint64_t chunks_in(const lspo_builder_t *b, uint32_t iteration)
{
    const lspo_workload_t *w = b->workload;
    return lspo_vtensor_chunks_of(values_of(b), b->model, w->precision,
                                  (uint64_t)lspo_generate_first(w, iteration) + lspo_generate_count(w, iteration));
}

static uint64_t new_chunks(const lspo_builder_t *b, uint32_t iteration)
{
    return chunks_in(b, iteration) - (iteration > 0 ? chunks_in(b, iteration - 1) : 0);
}

/* Of a micro-batch. */
static uint64_t ranges_of(const lspo_builder_t *b)
{
    return (uint64_t)b->workload->batch * lspo_vtensor_ranges(values_of(b), b->model);
}

/* Of the texts of a micro-batch at their end. */
static uint64_t all_bytes(const lspo_builder_t *b)
{
    return ranges_of(b) * chunks_in(b, b->workload->iterations - 1) * (uint64_t)values_of(b)->chunk;
}

static void memory(lspo_builder_t *b)
{
    const lspo_workload_t *w = b->workload;
    lspo_footprint_t *f = &b->plan->footprint;
    for (uint32_t s = 0; s < b->stage_count; s++)
        f->gpu_parameters_bytes += b->stages[s].parameter_bytes;
    f->gpu_workspace_bytes = lspo_generate_workspace_bytes(b->model, w);
    if (values_of(b)->chunks == LSPO_CHUNKS_START)
        f->gpu_cache_bytes = w->accumulation * all_bytes(b);
}

/* `ended`: the last FWD of the iteration that leaves --map-ahead tokens. */
static lspo_op_id_t map(lspo_builder_t *b, uint32_t iteration, uint32_t micro, lspo_op_id_t ended)
{
    const uint64_t bytes = ranges_of(b) * new_chunks(b, iteration) * (uint64_t)values_of(b)->chunk;
    if (bytes == 0)
        return LSPO_NO_OP;
    const lspo_op_id_t id = lspo_build_op(b, LSPO_OP_MAP, LSPO_VARIANT_NONE, 0, iteration);
    lspo_build_micro(b, micro);
    lspo_build_depend(b, ended);
    if (values_of(b)->chunks == LSPO_CHUNKS_GROW)
        lspo_build_gpu_memory(b, bytes, 0);
    return id;
}

/* Ops of an iteration up to its last FWD, of all micro-batches. */
static lspo_op_id_t last_forward(const lspo_builder_t *b, const lspo_op_id_t *ends, uint32_t iteration)
{
    const uint32_t ahead = values_of(b)->map_ahead;
    return iteration > ahead ? ends[iteration - ahead - 1] : LSPO_NO_OP;
}

static lspo_status_t build(lspo_builder_t *b)
{
    const lspo_workload_t *w = b->workload;
    lspo_status_t status = lspo_vtensor_check(values_of(b));
    if (status != LSPO_OK)
        return status;
    lspo_op_id_t *ends = calloc(w->iterations, sizeof *ends);
    if (ends == NULL)
        return lspo_no_memory("a plan of %u iterations", w->iterations);
    memory(b);
    for (uint32_t i = 0; i < w->iterations; i++) {
        lspo_build_generate_step(b, i);
        for (uint32_t micro = 0; micro < w->accumulation; micro++) {
            const lspo_op_id_t mapped = map(b, i, micro, last_forward(b, ends, i));
            for (uint32_t s = 0; s < b->stage_count; s++) {
                lspo_build_generate_forward(b, i, micro, s);
                lspo_build_depend(b, s == 0 ? mapped : LSPO_NO_OP);
            }
            if (i + 1 == w->iterations && values_of(b)->chunks == LSPO_CHUNKS_GROW)
                lspo_build_gpu_memory(b, 0, all_bytes(b));
        }
        ends[i] = b->last_compute;
    }
    free(ends);
    return b->status;
}

static bool describe_work(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t s,
                          lspo_work_t *work)
{
    if (kind != LSPO_OP_MAP)
        return lspo_build_generate_work(b, kind, variant, s, work);
    const uint64_t chunks = ranges_of(b) * new_chunks(b, b->generate_step);
    const bool by_chunk = values_of(b)->access == LSPO_ACCESS_CHUNK;
    lspo_work_append(work, &(lspo_kernel_t){.kernel_class = LSPO_KERNEL_MAP,
                                            .count = (uint32_t)(by_chunk ? chunks : ranges_of(b)),
                                            .elements = chunks,
                                            .of_elements = values_of(b)->chunks == LSPO_CHUNKS_GROW ? chunks : 0,
                                            .bytes = chunks * (uint64_t)values_of(b)->chunk});
    return true;
}

/* ---- parameters ---- */

static const lspo_parameter_t chunk = {
    .key = "chunk",
    .value = "SIZE",
    .help = "size of the pieces in which a cache gets memory; GPUs have 2 MiB",
    .kind = LSPO_RECORD_REAL,
    .quantity = LSPO_UNIT_BYTES,
    .preset = 2 << 20,
    .low = LSPO_VTENSOR_PAGE_BYTES,
    .high = 1 << 30,
    .affects = LSPO_AFFECTS_PLAN,
};

const char *const lspo_vtensor_range_names[] = {"tensor", "text", NULL};

static const lspo_parameter_t range = {
    .key = "range",
    .value = "tensor|text",
    .help = "a text's K and V of each block have addresses of their own; or all of a text share one range",
    .kind = LSPO_RECORD_NAMED,
    .names = lspo_vtensor_range_names,
    .preset = LSPO_RANGE_TENSOR,
    .affects = LSPO_AFFECTS_PLAN,
};

static const char *const chunks_names[] = {"grow", "start", NULL};

static const lspo_parameter_t chunks = {
    .key = "chunks",
    .value = "grow|start",
    .help = "chunks are made when they are mapped, so that memory grows; or all before the first token",
    .kind = LSPO_RECORD_NAMED,
    .names = chunks_names,
    .preset = LSPO_CHUNKS_GROW,
    .affects = LSPO_AFFECTS_PLAN,
};

static const char *const access_names[] = {"range", "chunk", NULL};

static const lspo_parameter_t access_parameter = {
    .key = "access",
    .value = "range|chunk",
    .help = "one call gives access to all new chunks of a range, or one to each",
    .kind = LSPO_RECORD_NAMED,
    .names = access_names,
    .preset = LSPO_ACCESS_RANGE,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_t map_ahead = {
    .key = "map-ahead",
    .value = "N",
    .unit = "tokens",
    .help = "chunks are mapped so long before their first token; 0: when it is their turn",
    .kind = LSPO_RECORD_U32,
    .preset = 100,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_use_t uses[] = {
    {&chunk, offsetof(lspo_vtensor_values_t, chunk), false, NULL},
    {&map_ahead, offsetof(lspo_vtensor_values_t, map_ahead), true, NULL},
    {&range, offsetof(lspo_vtensor_values_t, range), false, NULL},
    {&chunks, offsetof(lspo_vtensor_values_t, chunks), false, NULL},
    {&access_parameter, offsetof(lspo_vtensor_values_t, access), false, NULL},
};
const lspo_parameters_t lspo_vtensor_parameters = LSPO_PARAMETERS(uses, lspo_vtensor_values_t);

const lspo_policy_t lspo_policy_vtensor = {
    .name = "vtensor",
    .task = LSPO_TASK_GENERATE,
    .help = "generation with caches in reserved addresses, in which chunks of memory are mapped as texts grow",
    .citation = "Xu et al., vTensor, arXiv 2407.15309",
    .example = "lspo sim --policy vtensor --model llama-7b --machine a100-80gb-sxm --batch 8 --sequence 500 "
               "--iterations 300",
    .parameters = &lspo_vtensor_parameters,
    .semantics = LSPO_SEMANTICS_EXACT,
    .return_form = LSPO_RETURN_NOTHING,
    .build = build,
    .describe_work = describe_work,
};
