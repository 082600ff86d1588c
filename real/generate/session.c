/* session.c - see session.h. */
#include "real/generate/session.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/random.h"
#include "plan/build_generate.h"
#include "plan/policies/endor.h"
#include "plan/policy.h"
#include "real/generate/choice.h"
#include "real/generate/drawn.h"
#include "real/generate/mapped.h"
#include "real/generate/packed.h"
#include "real/generate/weight_file.h"
#include "real/transformer/generation.h"

/* Streams of random numbers. */
enum { PROMPT_STREAM = 77 };

typedef struct {
    size_t bytes;
    size_t stored;             /* bytes on the host or in the file, packed or not                          */
    void *weights;             /* on the device; NULL while they are only on the host or in the file       */
    void *arrived;             /* packed, on the device, on the way to `weights`; NULL: none               */
    void *home;                /* on the host; NULL: always on the device; of one in the file: where it landed */
    off_t offset;              /* in the file                                                              */
    bool swaps, reads, packed; /* the plan has such ops of it                                     */
} stage_t;

/* Of a micro-batch. */
typedef struct {
    float *x; /* input of its next stage */
    float *logits;
    uint32_t *reads; /* tokens of the next pass, and behind them the rows of the last ones */
    uint32_t *prompt, *chosen;
    void **caches;  /* by stage: on the device, NULL while they are only on the host */
    void **at_home; /* by stage: on the host; NULL: always on the device             */
    /* Inputs of blocks, by stage, where their keys and values are rebuilt: on the host; on the device, on the way to
     * the rebuilding and to the host. */
    void **inputs_at_home, **arriving, **leaving;
} micro_t;

struct lspo_generation_session {
    const lspo_plan_t *plan;
    lspo_device_t *device;
    lspo_compute_t *compute;
    lspo_transformer_t *transformer;
    lspo_number_t number;
    lspo_int4_form_t int4; /* of the linear weights of blocks */
    lspo_generate_sizes_t sizes;
    size_t cache_bytes, input_bytes; /* of a block for one position */
    void *pass;
    float *spare; /* the output of a stage */
    stage_t *stages;
    micro_t *micros;
    bool streams_caches;
    lspo_mapped_t *mapped;            /* the caches of all micro-batches, if they are mapped as texts grow; NULL */
    const lspo_endor_values_t *endor; /* NULL: weights are neither pruned nor packed */
    lspo_expert_cache_t *experts;     /* NULL: those of a block are in its array */
    lspo_weight_file_t file;          /* in place of an SSD */
    void **landings;                  /* of what is read, on the host, used in turn */
    uint32_t landing_count, landed;
};

static const lspo_workload_t *workload_of(const lspo_generation_session_t *s)
{
    return &s->plan->workload;
}

/* ---- memory ---- */

/* What the plan's ops say of caches and stages. */
static void read_plan(lspo_generation_session_t *s)
{
    for (uint32_t i = 0; i < s->plan->op_count; i++) {
        const lspo_op_t *op = &s->plan->ops[i];
        stage_t *stage = &s->stages[op->layer];
        s->streams_caches |= op->variant == LSPO_VARIANT_CACHE;
        if (op->variant != LSPO_VARIANT_PARAMETERS)
            continue;
        stage->swaps |= op->kind == LSPO_OP_SWAP_IN;
        stage->reads |= op->kind == LSPO_OP_READ;
        stage->packed |= op->kind == LSPO_OP_APPLY;
    }
}

static bool is_streamed(const lspo_generation_session_t *s, uint32_t stage)
{
    return s->stages[stage].swaps || s->stages[stage].reads;
}

static bool is_block(const lspo_generation_session_t *s, uint32_t stage)
{
    return stage > 0 && stage + 1 < s->plan->stage_count;
}

static lspo_drawn_t drawn_of(const lspo_generation_session_t *s)
{
    return (lspo_drawn_t){s->plan, s->number, s->int4, s->endor, s->experts};
}

/* The weights of a stage as they are stored. */
static lspo_status_t draw(const lspo_generation_session_t *s, uint32_t stage, void *out)
{
    const lspo_drawn_t drawn = drawn_of(s);
    return lspo_drawn_store(&drawn, stage, s->stages[stage].packed, out);
}

static lspo_status_t draw_into_file(lspo_generation_session_t *s, uint32_t stage)
{
    stage_t *of = &s->stages[stage];
    void *stored = malloc(of->stored);
    lspo_status_t status = stored != NULL ? draw(s, stage, stored) : lspo_no_memory("the weights of a stage");
    if (status == LSPO_OK)
        status = lspo_weight_file_append(&s->file, stored, of->stored, &of->offset);
    free(stored);
    return status;
}

static lspo_status_t reserve_host(lspo_generation_session_t *s)
{
    const lspo_footprint_t *f = &s->plan->footprint;
    const lspo_device_host_item_t items[] = {{"weights", f->host_parameters_bytes},
                                             {"keys and values", f->host_cache_bytes},
                                             {"inputs of blocks", f->host_inputs_bytes}};
    const uint64_t pieces =
        (uint64_t)s->plan->stage_count * (1 + 2 * workload_of(s)->accumulation + s->plan->model.expert_count);
    const uint64_t bytes = f->host_parameters_bytes + f->host_cache_bytes + f->host_inputs_bytes;
    const size_t count = sizeof items / sizeof items[0];
    return bytes == 0 ? LSPO_OK : lspo_device_host_reserve(s->device, bytes + 64 * pieces, items, count);
}

static lspo_status_t take_stage(lspo_generation_session_t *s, uint32_t i)
{
    stage_t *stage = &s->stages[i];
    const lspo_drawn_t drawn = drawn_of(s);
    lspo_status_t status = LSPO_OK;
    stage->bytes = lspo_drawn_bytes(&drawn, i);
    stage->stored = lspo_drawn_stored_bytes(&drawn, i, stage->packed);
    if (!is_streamed(s, i)) {
        status = lspo_device_alloc(s->device, stage->bytes, &stage->weights);
        return status == LSPO_OK ? draw(s, i, stage->weights) : status;
    }
    if (!stage->reads) {
        status = lspo_device_host_alloc(s->device, stage->stored, &stage->home);
        return status == LSPO_OK ? draw(s, i, stage->home) : status;
    }
    /* As many as may be on their way have a place on the host; all are blocks, and of one size. */
    if (stage->swaps && s->landing_count < lspo_endor_slots(s->endor, s->plan->stage_count)) {
        status = lspo_device_host_alloc(s->device, stage->stored, &s->landings[s->landing_count]);
        s->landing_count += status == LSPO_OK;
    }
    return status == LSPO_OK ? draw_into_file(s, i) : status;
}

static lspo_status_t take_weights(lspo_generation_session_t *s)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < s->plan->stage_count; i++)
        status = take_stage(s, i);
    return status;
}

static lspo_status_t take_caches(lspo_generation_session_t *s, micro_t *micro)
{
    const size_t bytes = s->cache_bytes * lspo_generate_positions(workload_of(s));
    const size_t inputs_bytes = s->input_bytes * lspo_generate_rebuilt_most(s->plan);
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < s->plan->stage_count; i++) {
        if (!is_block(s, i) || s->mapped != NULL)
            continue;
        status = s->streams_caches ? lspo_device_host_alloc(s->device, bytes, &micro->at_home[i])
                                   : lspo_device_alloc(s->device, bytes, &micro->caches[i]);
        if (status == LSPO_OK && inputs_bytes > 0)
            status = lspo_device_host_alloc(s->device, inputs_bytes, &micro->inputs_at_home[i]);
    }
    return status;
}

/* One pointer per stage, each NULL. */
static bool make_places(const lspo_generation_session_t *s, void ***const *places, size_t count)
{
    bool all = true;
    for (size_t i = 0; i < count; i++) {
        *places[i] = calloc(s->plan->stage_count, sizeof **places[i]);
        all = all && *places[i] != NULL;
    }
    return all;
}

static lspo_status_t take_micro(lspo_generation_session_t *s, micro_t *micro)
{
    const lspo_workload_t *w = workload_of(s);
    void ***const places[] = {&micro->caches, &micro->at_home, &micro->inputs_at_home, &micro->arriving,
                              &micro->leaving};
    const bool has_places = make_places(s, places, sizeof places / sizeof places[0]);
    micro->prompt = calloc((size_t)w->batch * w->sequence, sizeof *micro->prompt);
    micro->chosen = calloc((size_t)w->batch * w->iterations, sizeof *micro->chosen);
    if (!has_places || micro->prompt == NULL || micro->chosen == NULL)
        return lspo_no_memory("a micro-batch of texts");
    lspo_status_t status = lspo_device_alloc(s->device, s->sizes.input, (void **)&micro->x);
    if (status == LSPO_OK)
        status = lspo_device_alloc(s->device, s->sizes.logits, (void **)&micro->logits);
    if (status == LSPO_OK)
        status = lspo_device_alloc(s->device, s->sizes.tokens, (void **)&micro->reads);
    return status == LSPO_OK ? take_caches(s, micro) : status;
}

static lspo_status_t take_memory(lspo_generation_session_t *s)
{
    lspo_status_t status = reserve_host(s);
    if (status == LSPO_OK)
        status = lspo_device_alloc(s->device, s->sizes.pass, &s->pass);
    if (status == LSPO_OK)
        status = lspo_device_alloc(s->device, s->sizes.input, (void **)&s->spare);
    if (status == LSPO_OK)
        status = take_weights(s);
    if (status == LSPO_OK)
        status = lspo_mapped_create(s->plan, s->device, &s->mapped);
    for (uint32_t m = 0; status == LSPO_OK && m < workload_of(s)->accumulation; m++)
        status = take_micro(s, &s->micros[m]);
    return status;
}

static void release_micro(lspo_generation_session_t *s, micro_t *micro)
{
    void **const on_device[] = {micro->caches, micro->arriving, micro->leaving};
    void **const on_host[] = {micro->at_home, micro->inputs_at_home};
    for (size_t k = 0; k < sizeof on_device / sizeof on_device[0]; k++)
        for (uint32_t i = 0; on_device[k] != NULL && i < s->plan->stage_count; i++)
            lspo_device_free(s->device, on_device[k][i]);
    for (size_t k = 0; k < sizeof on_host / sizeof on_host[0]; k++)
        for (uint32_t i = 0; on_host[k] != NULL && i < s->plan->stage_count; i++)
            lspo_device_host_free(s->device, on_host[k][i]);
    lspo_device_free(s->device, micro->x);
    lspo_device_free(s->device, micro->logits);
    lspo_device_free(s->device, micro->reads);
    void *const arrays[] = {micro->caches,         micro->arriving, micro->leaving, micro->at_home,
                            micro->inputs_at_home, micro->prompt,   micro->chosen};
    for (size_t k = 0; k < sizeof arrays / sizeof arrays[0]; k++)
        free(arrays[k]);
}

/* ---- the session ---- */

static void draw_prompts(lspo_generation_session_t *s)
{
    const lspo_workload_t *w = workload_of(s);
    const size_t tokens = (size_t)w->batch * w->sequence;
    for (uint32_t m = 0; m < w->accumulation; m++)
        for (size_t i = 0; i < tokens; i++)
            s->micros[m].prompt[i] =
                lspo_random_below(w->seed, PROMPT_STREAM, m * tokens + i, s->plan->model.vocabulary);
}

void lspo_generation_session_reset(lspo_generation_session_t *session)
{
    const lspo_workload_t *w = workload_of(session);
    lspo_mapped_reset(session->mapped);
    for (uint32_t m = 0; m < w->accumulation; m++)
        memcpy(session->micros[m].reads, session->micros[m].prompt, (size_t)w->batch * w->sequence * sizeof(uint32_t));
}

static lspo_status_t open_session(lspo_generation_session_t *s)
{
    const lspo_workload_t *w = workload_of(s);
    const lspo_model_t *model = &s->plan->model;
    read_plan(s);
    lspo_status_t status = lspo_expert_cache_create(s->plan, s->device, &s->experts);
    if (status != LSPO_OK)
        return status;
    const lspo_generation_shape_t shape = {.batch = w->batch,
                                           .tokens = w->sequence,
                                           .positions = lspo_generate_positions(w),
                                           .weights = s->number,
                                           .cache = s->number,
                                           .int4 = s->int4,
                                           .experts_apart = s->experts != NULL};
    if (lspo_device_is_asynchronous(s->device))
        return lspo_error(LSPO_ERR_INPUT, "generation is computed on the host only (--device host)");
    status = lspo_generation_check(model, &shape);
    if (status != LSPO_OK)
        return status;
    if (lspo_generation_workspace_bytes(model, &shape, 1) > s->sizes.pass)
        return lspo_error(LSPO_ERR_INTERNAL, "a pass computes with more memory than the plan has for it");
    status = lspo_compute_create_generation(NULL, &s->compute);
    if (status == LSPO_OK)
        status = take_memory(s);
    if (status == LSPO_OK)
        status = lspo_generation_create(model, &shape, s->compute, s->pass, &s->transformer);
    if (status != LSPO_OK)
        return status;
    draw_prompts(s);
    lspo_generation_session_reset(s);
    return LSPO_OK;
}

lspo_status_t lspo_generation_session_create(const lspo_plan_t *plan, lspo_device_t *device,
                                             lspo_generation_session_t **session_out)
{
    lspo_generation_session_t *s = calloc(1, sizeof *s);
    if (s == NULL)
        return lspo_no_memory("a session of generation");
    s->plan = plan;
    s->device = device;
    s->number = lspo_compute_number_of(plan->workload.precision);
    s->int4.on = lspo_generate_weight_group(plan, &s->int4.group);
    s->cache_bytes = lspo_generate_cache_bytes(&plan->model, &plan->workload);
    s->input_bytes = lspo_generate_input_bytes(&plan->model, &plan->workload);
    if (lspo_policy_use(plan->policy, &lspo_parameter_sparsity) != NULL)
        s->endor = lspo_endor_values_of(&plan->workload);
    lspo_generate_sizes(&plan->model, &plan->workload, &s->sizes);
    s->stages = calloc(plan->stage_count, sizeof *s->stages);
    s->micros = calloc(plan->workload.accumulation, sizeof *s->micros);
    s->landings = calloc(plan->stage_count, sizeof *s->landings);
    lspo_status_t status = s->stages != NULL && s->micros != NULL && s->landings != NULL
                               ? open_session(s)
                               : lspo_no_memory("a session of generation");
    if (status != LSPO_OK) {
        lspo_generation_session_destroy(s);
        return status;
    }
    *session_out = s;
    return LSPO_OK;
}

void lspo_generation_session_destroy(lspo_generation_session_t *session)
{
    lspo_generation_session_t *s = session;
    if (s == NULL)
        return;
    lspo_transformer_destroy(s->transformer);
    for (uint32_t m = 0; s->micros != NULL && m < workload_of(s)->accumulation; m++)
        release_micro(s, &s->micros[m]);
    for (uint32_t i = 0; s->stages != NULL && i < s->plan->stage_count; i++) {
        lspo_device_free(s->device, s->stages[i].weights);
        lspo_device_free(s->device, s->stages[i].arrived);
        if (!s->stages[i].reads)
            lspo_device_host_free(s->device, s->stages[i].home);
    }
    for (uint32_t i = 0; i < s->landing_count; i++)
        lspo_device_host_free(s->device, s->landings[i]);
    free(s->landings);
    lspo_expert_cache_destroy(s->experts);
    lspo_mapped_destroy(s->mapped);
    lspo_weight_file_close(&s->file);
    lspo_device_free(s->device, s->pass);
    lspo_device_free(s->device, s->spare);
    lspo_compute_destroy(s->compute);
    free(s->stages);
    free(s->micros);
    free(s);
}

uint64_t lspo_generation_session_expert_loads(const lspo_generation_session_t *session)
{
    return lspo_expert_cache_loads(session->experts);
}

const uint32_t *lspo_generation_session_tokens(const lspo_generation_session_t *session, uint32_t micro)
{
    return session->micros[micro].chosen;
}

/* ---- ops ---- */

static lspo_status_t head(lspo_generation_session_t *s, micro_t *micro, uint32_t iteration)
{
    const lspo_workload_t *w = workload_of(s);
    const size_t count = lspo_generate_count(w, iteration), vocabulary = s->plan->model.vocabulary;
    const lspo_choice_t greedy = {.top_p = 1};
    const lspo_head_parameters_t from = {s->stages[s->plan->stage_count - 1].weights, s->stages[0].weights};
    uint32_t *rows = micro->reads + (size_t)w->batch * w->sequence;
    for (uint32_t b = 0; b < w->batch; b++)
        rows[b] = (uint32_t)((b + 1) * count - 1);
    lspo_transformer_logits(s->transformer, &from, micro->x, w->batch, rows, micro->logits);
    for (uint32_t b = 0; b < w->batch; b++) {
        uint32_t *chosen = &micro->chosen[(size_t)b * w->iterations + iteration];
        lspo_status_t status =
            lspo_choose_token(&greedy, vocabulary, micro->logits + b * vocabulary, iteration, NULL, chosen);
        if (status != LSPO_OK)
            return status;
        micro->reads[b] = *chosen;
    }
    return LSPO_OK;
}

/* The output of a block is the input of the next stage. */
static void put_out(lspo_generation_session_t *s, micro_t *micro)
{
    float *x = micro->x;
    micro->x = s->spare;
    s->spare = x;
}

static lspo_status_t compute_experts(lspo_generation_session_t *s, const lspo_op_t *op)
{
    lspo_generation_block_experts(s->transformer, s->stages[op->layer].weights,
                                  lspo_expert_cache_of(s->experts, op->layer), s->spare);
    put_out(s, &s->micros[op->micro]);
    lspo_expert_cache_drop(s->experts, op->layer);
    return LSPO_OK;
}

static lspo_status_t take_cache(lspo_generation_session_t *s, const lspo_op_t *op)
{
    return lspo_device_alloc(s->device, s->cache_bytes * lspo_generate_room(workload_of(s), op->iteration),
                             &s->micros[op->micro].caches[op->layer]);
}

static lspo_status_t block(lspo_generation_session_t *s, const lspo_op_t *op, micro_t *micro)
{
    void **cache = &micro->caches[op->layer], **leaving = &micro->leaving[op->layer];
    const size_t kept = lspo_generate_kept(s->plan, op->iteration);
    lspo_status_t status = LSPO_OK;
    if (*cache == NULL && s->mapped == NULL)
        status = take_cache(s, op);
    if (status == LSPO_OK && kept > 0)
        status = lspo_device_alloc(s->device, s->input_bytes * kept, leaving);
    if (status != LSPO_OK)
        return status;
    lspo_generation_keep_inputs(s->transformer, micro->x, kept, *leaving);
    const void *weights = s->stages[op->layer].weights;
    if (s->experts != NULL) {
        lspo_expert_cache_choose(s->experts, lspo_generation_block_begin(s->transformer, weights, *cache, micro->x));
        return lspo_expert_cache_streams(s->experts) ? LSPO_OK : compute_experts(s, op);
    }
    if (s->mapped != NULL)
        lspo_mapped_block_forward(s->mapped, op, s->transformer, weights, micro->x, s->spare);
    else
        lspo_generation_block_forward(s->transformer, weights, *cache, micro->x, s->spare);
    put_out(s, micro);
    return LSPO_OK;
}

static lspo_status_t forward(lspo_generation_session_t *s, const lspo_op_t *op)
{
    const lspo_workload_t *w = workload_of(s);
    micro_t *micro = &s->micros[op->micro];
    stage_t *stage = &s->stages[op->layer];
    lspo_status_t status = LSPO_OK;
    if (s->mapped != NULL)
        lspo_mapped_begin(s->mapped, op->iteration, s->transformer);
    else
        lspo_generation_begin(s->transformer, lspo_generate_first(w, op->iteration),
                              lspo_generate_count(w, op->iteration));
    if (op->layer == 0)
        lspo_transformer_embed_forward(s->transformer, micro->reads, stage->weights, micro->x);
    else if (is_block(s, op->layer))
        status = block(s, op, micro);
    else
        status = head(s, micro, op->iteration);
    if (is_streamed(s, op->layer) && op->gpu_free_bytes > 0) {
        lspo_device_free(s->device, stage->weights);
        stage->weights = NULL;
    }
    return status;
}

/* Device memory for a stage as it is stored. */
static lspo_status_t take_arrival(lspo_generation_session_t *s, stage_t *stage, void **memory_out)
{
    lspo_status_t status = lspo_device_alloc(s->device, stage->stored, memory_out);
    if (status == LSPO_OK)
        *(stage->packed ? &stage->arrived : &stage->weights) = *memory_out;
    return status;
}

static lspo_status_t bring_weights(lspo_generation_session_t *s, stage_t *stage)
{
    void *memory = NULL;
    lspo_status_t status = take_arrival(s, stage, &memory);
    if (status == LSPO_OK)
        lspo_device_copy(s->device, LSPO_COPY_H2D, memory, stage->home, stage->stored);
    return status;
}

/* Into the host's memory, or the device's if no copy follows. */
static lspo_status_t read_weights(lspo_generation_session_t *s, stage_t *stage)
{
    void *memory = NULL;
    lspo_status_t status = LSPO_OK;
    if (stage->swaps)
        memory = stage->home = s->landings[s->landed++ % s->landing_count];
    else
        status = take_arrival(s, stage, &memory);
    return status == LSPO_OK ? lspo_weight_file_read(&s->file, stage->offset, stage->stored, memory) : status;
}

static lspo_status_t expand_weights(lspo_generation_session_t *s, const lspo_op_t *op)
{
    stage_t *stage = &s->stages[op->layer];
    lspo_stage_t shape;
    lspo_status_t status = lspo_device_alloc(s->device, stage->bytes, &stage->weights);
    if (status != LSPO_OK)
        return status;
    lspo_model_stage(&s->plan->model, op->layer, &shape);
    lspo_packed_expand(&(lspo_packed_t){s->endor, &shape, s->number}, s->compute, stage->arrived, stage->weights);
    lspo_device_free(s->device, stage->arrived);
    stage->arrived = NULL;
    return LSPO_OK;
}

/* Of the tokens before, those that are not rebuilt arrive. */
static lspo_status_t bring_cache(lspo_generation_session_t *s, const lspo_op_t *op)
{
    micro_t *micro = &s->micros[op->micro];
    const size_t first = lspo_generate_first(workload_of(s), op->iteration);
    const size_t rebuilt = lspo_generate_rebuilt(s->plan, op->iteration), at = s->cache_bytes * rebuilt;
    lspo_status_t status = LSPO_OK;
    if (rebuilt == 0)
        status = take_cache(s, op);
    if (status != LSPO_OK)
        return status;
    lspo_device_copy(s->device, LSPO_COPY_H2D, (char *)micro->caches[op->layer] + at,
                     (const char *)micro->at_home[op->layer] + at, s->cache_bytes * (first - rebuilt));
    return LSPO_OK;
}

static lspo_status_t bring_inputs(lspo_generation_session_t *s, const lspo_op_t *op)
{
    micro_t *micro = &s->micros[op->micro];
    const size_t bytes = s->input_bytes * lspo_generate_rebuilt(s->plan, op->iteration);
    lspo_status_t status = take_cache(s, op);
    if (status == LSPO_OK)
        status = lspo_device_alloc(s->device, s->input_bytes * lspo_generate_rebuilt_most(s->plan),
                                   &micro->arriving[op->layer]);
    if (status != LSPO_OK)
        return status;
    lspo_device_copy(s->device, LSPO_COPY_H2D, micro->arriving[op->layer], micro->inputs_at_home[op->layer], bytes);
    return LSPO_OK;
}

static void rebuild(lspo_generation_session_t *s, const lspo_op_t *op)
{
    micro_t *micro = &s->micros[op->micro];
    lspo_generation_block_rebuild(s->transformer, s->stages[op->layer].weights, micro->arriving[op->layer],
                                  lspo_generate_rebuilt(s->plan, op->iteration), s->spare, micro->caches[op->layer]);
    lspo_device_free(s->device, micro->arriving[op->layer]);
    micro->arriving[op->layer] = NULL;
}

static void store_inputs(lspo_generation_session_t *s, const lspo_op_t *op)
{
    micro_t *micro = &s->micros[op->micro];
    const size_t first = lspo_generate_first(workload_of(s), op->iteration) * s->input_bytes;
    lspo_device_copy(s->device, LSPO_COPY_D2H, (char *)micro->inputs_at_home[op->layer] + first,
                     micro->leaving[op->layer], lspo_generate_kept(s->plan, op->iteration) * s->input_bytes);
    lspo_device_free(s->device, micro->leaving[op->layer]);
    micro->leaving[op->layer] = NULL;
}

static void store_cache(lspo_generation_session_t *s, const lspo_op_t *op)
{
    micro_t *micro = &s->micros[op->micro];
    const size_t first = lspo_generate_first(workload_of(s), op->iteration) * s->cache_bytes;
    const size_t count = lspo_generate_count(workload_of(s), op->iteration) * s->cache_bytes;
    lspo_device_copy(s->device, LSPO_COPY_D2H, (char *)micro->at_home[op->layer] + first,
                     (const char *)micro->caches[op->layer] + first, count);
    lspo_device_free(s->device, micro->caches[op->layer]);
    micro->caches[op->layer] = NULL;
}

lspo_status_t lspo_generation_session_run_op(void *session, const lspo_op_t *op)
{
    lspo_generation_session_t *s = session;
    switch ((lspo_op_kind_t)op->kind) {
    case LSPO_OP_FWD:
        return op->variant == LSPO_VARIANT_EXPERTS ? compute_experts(s, op) : forward(s, op);
    case LSPO_OP_D2H:
        lspo_expert_cache_read(s->experts);
        return LSPO_OK;
    case LSPO_OP_SWAP_IN:
        if (op->variant == LSPO_VARIANT_EXPERTS)
            return lspo_expert_cache_bring(s->experts, op->layer);
        return op->variant == LSPO_VARIANT_CACHE    ? bring_cache(s, op)
               : op->variant == LSPO_VARIANT_INPUTS ? bring_inputs(s, op)
                                                    : bring_weights(s, &s->stages[op->layer]);
    case LSPO_OP_READ:
        return read_weights(s, &s->stages[op->layer]);
    case LSPO_OP_APPLY:
        return expand_weights(s, op);
    case LSPO_OP_MAP:
        return lspo_mapped_map(s->mapped, op);
    case LSPO_OP_RECOMPUTE:
        rebuild(s, op);
        return LSPO_OK;
    case LSPO_OP_SWAP_OUT:
        (op->variant == LSPO_VARIANT_CACHE ? store_cache : store_inputs)(s, op);
        return LSPO_OK;
    default:
        return lspo_error(LSPO_ERR_INTERNAL, "a plan of generation has a %s op",
                          lspo_op_kind_name((lspo_op_kind_t)op->kind));
    }
}
