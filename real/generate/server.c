/* server.c - see server.h. */
#include "real/generate/server.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/random.h"
#include "real/generate/block_pool.h"
#include "real/generate/choice.h"
#include "real/generate/text_cache.h"
#include "real/generate/weights.h"
#include "real/transformer/generation.h"

/* Tokens of a prompt that are read at a time; streams of random numbers. */
enum { READ_MOST = 256, PROMPT_STREAM = 78, PREFIX_STREAM = 79 };

struct lspo_server {
    lspo_server_options_t options;
    const lspo_serving_request_t *requests;
    uint32_t count, slot_count;
    uint32_t **texts; /* tokens of each request, prompt and new ones */
    lspo_number_t number;
    lspo_generation_weights_t weights;
    lspo_compute_t *compute;
    lspo_transformer_t *reader, *decoder; /* of one text, many tokens; of many texts, one token */
    void *reader_memory, *decoder_memory;
    float *x, *y, *logits;
    uint32_t *rows, *tokens;
    /* vtensor */
    lspo_chunks_t *chunks;
    lspo_text_cache_t **caches; /* by slot */
    /* paged, reserved */
    lspo_block_pool_t *blocks;
    size_t unit_tokens;
    /* Of a pass. */
    uint32_t *requests_of; /* by slot: the one that has it */
    size_t *firsts;
    void **k, **v;
    const uint32_t **tables;
    double before_s; /* calls since the last pass */
};

static double seconds_since(uint64_t start_ns)
{
    return 1e-9 * (double)(lspo_now_ns() - start_ns);
}

/* ---- caches ---- */

static lspo_status_t grow(void *context, uint32_t slot, uint64_t tokens, const lspo_serving_calls_t *calls,
                          double now_s)
{
    lspo_server_t *s = context;
    (void)calls, (void)now_s;
    if (s->blocks != NULL)
        return lspo_block_pool_grow(s->blocks, slot, tokens);
    lspo_text_cache_grow_later(s->caches[slot], tokens);
    return LSPO_OK;
}

static void release(void *context, uint32_t slot, const lspo_serving_calls_t *calls, double now_s)
{
    lspo_server_t *s = context;
    const uint64_t start_ns = lspo_now_ns();
    (void)calls, (void)now_s;
    if (s->blocks != NULL)
        lspo_block_pool_release(s->blocks, slot);
    else
        lspo_text_cache_shrink(s->caches[slot], 0);
    s->before_s += seconds_since(start_ns);
}

static lspo_status_t share(void *context, uint32_t slot, uint32_t from, uint64_t tokens,
                           const lspo_serving_calls_t *calls, double now_s)
{
    lspo_server_t *s = context;
    const uint64_t start_ns = lspo_now_ns();
    (void)calls, (void)now_s;
    lspo_status_t status = s->blocks != NULL ? lspo_block_pool_share(s->blocks, slot, from, tokens)
                                             : lspo_text_cache_share(s->caches[slot], s->caches[from], tokens);
    s->before_s += seconds_since(start_ns);
    return status;
}

/* Wait for the memory of a slot's tokens, or map it now. */
static lspo_status_t wait_for(lspo_server_t *s, uint32_t slot, size_t tokens)
{
    return s->blocks != NULL ? LSPO_OK : lspo_text_cache_grow(s->caches[slot], tokens);
}

static void *block_tensor(const lspo_server_t *s, uint32_t slot, uint32_t index)
{
    const size_t row = lspo_model_kv_width(s->options.serving.model) * lspo_number_bytes(s->number);
    char *memory = (char *)lspo_block_pool_memory(s->blocks) + index * row;
    if (s->options.serving.cache == LSPO_SERVING_PAGED)
        return memory;
    const size_t unit = s->unit_tokens * 2 * s->options.serving.model->block_count * row;
    return memory + lspo_block_pool_units(s->blocks, slot)[0] * unit;
}

/* Those of a pass in a block of the model. */
static lspo_generation_caches_t caches_of(lspo_server_t *s, const uint32_t *slots, size_t count, uint32_t block)
{
    const lspo_model_t *model = s->options.serving.model;
    for (size_t i = 0; i < count; i++) {
        if (s->blocks == NULL) {
            s->k[i] = lspo_text_cache_k(s->caches[slots[i]], block);
            s->v[i] = lspo_text_cache_v(s->caches[slots[i]], block);
            continue;
        }
        s->k[i] = block_tensor(s, slots[i], 2 * block);
        s->v[i] = block_tensor(s, slots[i], 2 * block + 1);
        s->tables[i] = lspo_block_pool_units(s->blocks, slots[i]);
    }
    const bool paged = s->options.serving.cache == LSPO_SERVING_PAGED;
    return (lspo_generation_caches_t){.k = s->k,
                                      .v = s->v,
                                      .token_stride = s->blocks != NULL
                                                          ? (size_t)2 * model->block_count * lspo_model_kv_width(model)
                                                          : lspo_text_cache_stride(s->caches[0]),
                                      .blocks = paged ? s->tables : NULL,
                                      .block_tokens = s->unit_tokens};
}

/* ---- passes ---- */

/* `count` tokens of each of `texts`, which are in s->tokens, behind s->firsts. */
static void pass(lspo_server_t *s, lspo_transformer_t *t, const uint32_t *slots, size_t texts, size_t count)
{
    const uint32_t head = lspo_model_stage_count(s->options.serving.model) - 1;
    lspo_generation_begin_each(t, texts, s->firsts, count);
    lspo_transformer_embed_forward(t, s->tokens, s->weights.stages[0], s->x);
    for (uint32_t stage = 1; stage < head; stage++) {
        const lspo_generation_caches_t caches = caches_of(s, slots, texts, stage - 1);
        float *from = s->x;
        lspo_generation_block_forward_each(t, s->weights.stages[stage], &caches, from, s->y);
        s->x = s->y;
        s->y = from;
    }
}

/* The next token of each of these texts, the last of `count` rows each. */
static lspo_status_t choose(lspo_server_t *s, lspo_transformer_t *t, const uint32_t *slots, size_t texts, size_t count)
{
    const size_t vocabulary = s->options.serving.model->vocabulary;
    const uint32_t head = lspo_model_stage_count(s->options.serving.model) - 1;
    const lspo_choice_t greedy = {.top_p = 1};
    for (size_t i = 0; i < texts; i++)
        s->rows[i] = (uint32_t)((i + 1) * count - 1);
    lspo_transformer_logits(t, &(lspo_head_parameters_t){s->weights.stages[head], s->weights.stages[0]}, s->x, texts,
                            s->rows, s->logits);
    lspo_status_t status = lspo_compute_status(s->compute);
    for (size_t i = 0; status == LSPO_OK && i < texts; i++) {
        const uint32_t request = s->requests_of[slots[i]];
        status = lspo_choose_token(&greedy, vocabulary, s->logits + i * vocabulary, s->firsts[i] + count, NULL,
                                   &s->texts[request][s->firsts[i] + count]);
    }
    return status;
}

static lspo_status_t read_prompt(void *context, const lspo_serving_read_t *read, double now_s,
                                 lspo_serving_step_t *step_out)
{
    lspo_server_t *s = context;
    uint64_t start_ns = lspo_now_ns();
    size_t some = 0;
    (void)now_s;
    s->requests_of[read->slot] = read->request;
    lspo_status_t status = wait_for(s, read->slot, read->count);
    step_out->exposed_s = s->before_s + seconds_since(start_ns);
    s->before_s = 0;
    if (status != LSPO_OK)
        return status;
    start_ns = lspo_now_ns();
    for (size_t done = read->first; done < read->count; done += some) {
        some = read->count - done < READ_MOST ? read->count - done : READ_MOST;
        s->firsts[0] = done;
        memcpy(s->tokens, s->texts[read->request] + done, some * sizeof *s->tokens);
        pass(s, s->reader, &read->slot, 1, some);
    }
    status = choose(s, s->reader, &read->slot, 1, some);
    step_out->computed_s = seconds_since(start_ns);
    return status;
}

static lspo_status_t decode(void *context, const uint32_t *slots, const uint32_t *lengths, uint32_t count, double now_s,
                            lspo_serving_step_t *step_out)
{
    lspo_server_t *s = context;
    uint64_t start_ns = lspo_now_ns();
    lspo_status_t status = LSPO_OK;
    (void)now_s;
    for (uint32_t i = 0; status == LSPO_OK && i < count; i++) {
        s->firsts[i] = lengths[i] - 1;
        s->tokens[i] = s->texts[s->requests_of[slots[i]]][lengths[i] - 1];
        status = wait_for(s, slots[i], lengths[i]);
    }
    step_out->exposed_s = s->before_s + seconds_since(start_ns);
    s->before_s = 0;
    if (status != LSPO_OK)
        return status;
    start_ns = lspo_now_ns();
    pass(s, s->decoder, slots, count, 1);
    status = choose(s, s->decoder, slots, count, 1);
    step_out->computed_s = seconds_since(start_ns);
    return status;
}

static bool stopped(void *context)
{
    const lspo_server_t *s = context;
    return s->options.stop != NULL && atomic_load(s->options.stop) != 0;
}

/* ---- memory ---- */

static lspo_status_t load_stage(void *context, uint32_t stage, lspo_number_t number, void *weights)
{
    const lspo_server_t *s = context;
    lspo_transformer_init_as(s->options.serving.model, &(lspo_init_t){stage, s->options.seed, number}, weights);
    return LSPO_OK;
}

static lspo_status_t draw_texts(lspo_server_t *s)
{
    const uint32_t vocabulary = s->options.serving.model->vocabulary;
    const uint64_t seed = s->options.seed;
    s->texts = calloc(s->count + 1U, sizeof *s->texts);
    if (s->texts == NULL)
        return lspo_no_memory("%u requests", s->count);
    for (uint32_t r = 0; r < s->count; r++) {
        const lspo_serving_request_t *request = &s->requests[r];
        if ((uint64_t)request->prompt + request->tokens - 1 > s->options.serving.positions)
            continue; /* it is refused */
        s->texts[r] = calloc((size_t)request->prompt + request->tokens, sizeof **s->texts);
        if (s->texts[r] == NULL)
            return lspo_no_memory("%u requests", s->count);
        for (uint32_t i = 0; i < request->prompt; i++) {
            const bool of_group = i < request->prefix;
            s->texts[r][i] = lspo_random_below(seed, of_group ? PREFIX_STREAM : PROMPT_STREAM,
                                               ((uint64_t)(of_group ? request->group : r) << 32) + i, vocabulary);
        }
    }
    return LSPO_OK;
}

static lspo_status_t make_transformer(lspo_server_t *s, uint32_t batch, uint32_t tokens, void **memory_out,
                                      lspo_transformer_t **transformer_out)
{
    const lspo_serving_options_t *o = &s->options.serving;
    const lspo_generation_shape_t shape = {.batch = batch,
                                           .tokens = tokens < o->positions ? tokens : o->positions,
                                           .positions = o->positions,
                                           .weights = s->number,
                                           .cache = s->number,
                                           .paged = o->cache == LSPO_SERVING_PAGED};
    lspo_status_t status = lspo_generation_check(o->model, &shape);
    if (status != LSPO_OK)
        return status;
    status = lspo_device_alloc(
        s->options.device, lspo_generation_workspace_bytes(o->model, &shape, lspo_workers_count(s->options.workers)),
        memory_out);
    return status == LSPO_OK ? lspo_generation_create(o->model, &shape, s->compute, *memory_out, transformer_out)
                             : status;
}

static lspo_status_t make_chunks(lspo_server_t *s)
{
    const lspo_serving_options_t *o = &s->options.serving;
    lspo_status_t status = lspo_chunks_create(&(lspo_chunks_options_t){.device = s->options.device,
                                                                       .chunk_bytes = o->chunk_bytes,
                                                                       .most = o->cache_bytes / o->chunk_bytes,
                                                                       .maps_ahead = true},
                                              &s->chunks);
    const lspo_text_cache_options_t cache = {.model = o->model,
                                             .number = s->number,
                                             .one_range = o->one_range,
                                             .positions = o->positions,
                                             .pool = s->chunks};
    s->caches = calloc(s->slot_count, sizeof(lspo_text_cache_t *));
    if (status == LSPO_OK && s->caches == NULL)
        status = lspo_no_memory("%u caches", s->slot_count);
    for (uint32_t i = 0; status == LSPO_OK && i < s->slot_count; i++)
        status = lspo_text_cache_create(&cache, &s->caches[i]);
    return status;
}

static lspo_status_t make_blocks(lspo_server_t *s)
{
    const lspo_serving_options_t *o = &s->options.serving;
    lspo_serving_units_t units;
    lspo_serving_units(o, &units);
    s->unit_tokens = o->cache == LSPO_SERVING_PAGED ? o->block_tokens : o->positions;
    return lspo_block_pool_create(&(lspo_block_pool_options_t){.device = s->options.device,
                                                               .units = units.units,
                                                               .unit_tokens = s->unit_tokens,
                                                               .token_bytes = units.token_bytes,
                                                               .slots = s->slot_count,
                                                               .positions = o->positions},
                                  &s->blocks);
}

static lspo_status_t make_arrays(lspo_server_t *s)
{
    const lspo_serving_options_t *o = &s->options.serving;
    const size_t rows = o->batch > READ_MOST ? o->batch : READ_MOST;
    s->requests_of = calloc(s->slot_count, sizeof *s->requests_of);
    s->firsts = calloc(o->batch, sizeof *s->firsts);
    s->k = calloc(o->batch, sizeof *s->k);
    s->v = calloc(o->batch, sizeof *s->v);
    s->tables = calloc(o->batch, sizeof *s->tables);
    s->rows = calloc(o->batch, sizeof *s->rows);
    s->tokens = calloc(rows, sizeof *s->tokens);
    if (!s->requests_of || !s->firsts || !s->k || !s->v || !s->tables || !s->rows || !s->tokens)
        return lspo_no_memory("a server");
    const size_t activations = rows * o->model->width * sizeof(float);
    lspo_status_t status = lspo_device_alloc(s->options.device, activations, (void **)&s->x);
    if (status == LSPO_OK)
        status = lspo_device_alloc(s->options.device, activations, (void **)&s->y);
    if (status == LSPO_OK)
        status = lspo_device_alloc(s->options.device, (size_t)o->batch * o->model->vocabulary * sizeof(float),
                                   (void **)&s->logits);
    return status;
}

static lspo_status_t open_server(lspo_server_t *s)
{
    const lspo_serving_options_t *o = &s->options.serving;
    const lspo_weights_source_t source = {.model = o->model, .number = s->number, .load = load_stage, .context = s};
    lspo_status_t status = lspo_compute_create_generation(s->options.workers, &s->compute);
    if (status == LSPO_OK)
        status = make_transformer(s, 1, READ_MOST, &s->reader_memory, &s->reader);
    if (status == LSPO_OK)
        status = make_transformer(s, o->batch, 1, &s->decoder_memory, &s->decoder);
    if (status == LSPO_OK)
        status = make_arrays(s);
    if (status == LSPO_OK)
        status = lspo_generation_weights_load(&source, s->options.device, &s->weights);
    if (status == LSPO_OK)
        status = draw_texts(s);
    if (status == LSPO_OK)
        status = o->cache == LSPO_SERVING_VTENSOR ? make_chunks(s) : make_blocks(s);
    return status;
}

lspo_status_t lspo_server_create(const lspo_server_options_t *options, const lspo_serving_request_t *requests,
                                 uint32_t count, lspo_server_t **server_out)
{
    lspo_server_t *s = calloc(1, sizeof *s);
    if (s == NULL)
        return lspo_no_memory("a server");
    s->options = *options;
    s->requests = requests;
    s->count = count;
    s->number = lspo_compute_number_of(options->serving.precision);
    s->slot_count = lspo_serving_slots(&options->serving, lspo_serving_groups(requests, count));
    lspo_status_t status = open_server(s);
    if (status != LSPO_OK) {
        lspo_server_destroy(s);
        return status;
    }
    *server_out = s;
    return LSPO_OK;
}

void lspo_server_destroy(lspo_server_t *server)
{
    lspo_server_t *s = server;
    if (s == NULL)
        return;
    for (uint32_t i = 0; s->caches != NULL && i < s->slot_count; i++)
        lspo_text_cache_destroy(s->caches[i]);
    free(s->caches);
    lspo_chunks_destroy(s->chunks);
    lspo_block_pool_destroy(s->blocks);
    for (uint32_t r = 0; s->texts != NULL && r < s->count; r++)
        free(s->texts[r]);
    free(s->texts);
    lspo_transformer_destroy(s->reader);
    lspo_transformer_destroy(s->decoder);
    lspo_generation_weights_release(&s->weights);
    void *const device[] = {s->reader_memory, s->decoder_memory, s->x, s->y, s->logits};
    for (size_t i = 0; i < sizeof device / sizeof *device; i++)
        lspo_device_free(s->options.device, device[i]);
    void *const host[] = {s->requests_of, s->firsts, s->k, s->v, s->tables, s->rows, s->tokens};
    for (size_t i = 0; i < sizeof host / sizeof *host; i++)
        free(host[i]);
    lspo_compute_destroy(s->compute);
    free(s);
}

/* ---- serving ---- */

/* All that was given out has come back. */
static lspo_status_t check_returned(lspo_server_t *s, lspo_serving_report_t *report)
{
    lspo_chunks_counts_t counts = {0};
    if (s->chunks != NULL)
        lspo_chunks_count(s->chunks, &counts);
    report->map_s = 1e-9 * (double)(counts.make_ns + counts.map_ns + counts.access_ns + counts.unmap_ns);
    lspo_serving_units_t units;
    lspo_serving_units(&s->options.serving, &units);
    if (counts.mapped > 0 || (s->blocks != NULL && lspo_block_pool_free(s->blocks) != units.units))
        return lspo_error(LSPO_ERR_INTERNAL, "memory of caches was not given back");
    return LSPO_OK;
}

lspo_status_t lspo_server_run(lspo_server_t *server, lspo_served_t *served_out, lspo_serving_report_t *report_out)
{
    const lspo_serving_engine_t engine = {.context = server,
                                          .grow = grow,
                                          .release = release,
                                          .share = share,
                                          .read = read_prompt,
                                          .decode = decode,
                                          .stopped = stopped};
    lspo_status_t status =
        lspo_serving_run(&server->options.serving, server->requests, server->count, &engine, served_out, report_out);
    return status == LSPO_OK ? check_returned(server, report_out) : status;
}

const uint32_t *lspo_server_tokens(const lspo_server_t *server, uint32_t request)
{
    return server->texts[request];
}
