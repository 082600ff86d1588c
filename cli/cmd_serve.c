/* cmd_serve.c - `lspo serve`: requests as they come, computed together, with caches of three kinds. */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "ask/args.h"
#include "ask/request.h"
#include "ask/version.h"
#include "base/interrupt.h"
#include "cli/command.h"
#include "cli/machine_named.h"
#include "cli/serve_arrivals.h"
#include "cli/serve_result.h"
#include "plan/build_generate.h"
#include "plan/policies/vtensor.h"
#include "plan/precision.h"
#include "real/generate/server.h"
#include "real/machine/host_memory.h"
#include "sim/serve.h"

enum { CACHE_ALL = LSPO_SERVING_RESERVED + 1, BATCH_MOST = 4096, THREADS_MAX = 1024 };

static const char *const cache_names[] = {"vtensor", "paged", "reserved", "all", NULL};

typedef struct {
    const char *model_name, *machine_name, *arrivals;
    double rate, spread; /* rate NaN, and the next three 0: not given */
    uint32_t requests, prompt, tokens;
    uint64_t seed;
    int cache, range, precision;       /* range and precision -1: not given */
    uint64_t cache_bytes, chunk_bytes; /* 0: not given */
    uint32_t block, positions;         /* 0: not given */
    uint32_t map_ahead;                /* UINT32_MAX: not given */
    uint32_t batch;
    bool run;
    uint32_t threads; /* 0: not given */
    lspo_overrides_t overrides;
    int format;
} serve_request_t;

static lspo_status_t store_rate(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    double value = 0;
    (void)arg;
    lspo_status_t status = lspo_parse_quantity(what, text, LSPO_UNIT_NONE, &value);
    if (status != LSPO_OK)
        return status;
    if (!(value > 0))
        return lspo_error(LSPO_ERR_INPUT, "%s %s is not above 0", what, text);
    *(double *)slot = value;
    return LSPO_OK;
}

static lspo_status_t store_spread(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    double value = 0;
    (void)arg;
    lspo_status_t status = lspo_parse_quantity(what, text, LSPO_UNIT_NONE, &value);
    if (status != LSPO_OK)
        return status;
    if (!(value >= 0 && value <= 1))
        return lspo_error(LSPO_ERR_INPUT, "%s %s is not from 0 to 1", what, text);
    *(double *)slot = value;
    return LSPO_OK;
}

#define SERVE(field) .offset_bytes = offsetof(serve_request_t, field)
#define COUNT(field, least, most) .store = lspo_arg_u32, .low = (least), .high = (most), SERVE(field)

static const lspo_arg_t serve_args[] = {
    {.name = "model",
     .value = "NAME|FILE|FOLDER",
     .list = "models",
     .help = "model whose shapes count (llama-7b; with --run gpt-tiny); help: list models",
     .store = lspo_arg_text,
     SERVE(model_name)},
    {.name = "machine",
     .value = "NAME|FILE|auto",
     .list = "machines",
     .help = "machine to predict (a100-80gb-sxm); help: list machines",
     .store = lspo_arg_text,
     SERVE(machine_name)},
    {.name = "arrivals",
     .value = "FILE",
     .help = "requests as CSV: time_s,prompt,tokens and, if wanted, cancelled,group,prefix",
     .store = lspo_arg_text,
     SERVE(arrivals)},
    {.name = "rate",
     .value = "N",
     .help = "without --arrivals: requests per second, at random times (4)",
     .store = store_rate,
     SERVE(rate)},
    {.name = "requests", .value = "N", .help = "how many (200)", COUNT(requests, 1, 1 << 20)},
    {.name = "prompt",
     .value = "N",
     .help = "tokens of a prompt, on average (512; at most about 3/8 of the positions)",
     COUNT(prompt, 1, 1 << 24)},
    {.name = "tokens",
     .value = "N",
     .help = "new tokens, on average (128; at most about 1/8 of the positions)",
     COUNT(tokens, 1, 1 << 24)},
    {.name = "spread",
     .value = "SHARE",
     .help = "lengths are uniform within this share of their averages (0.5)",
     .store = store_spread,
     SERVE(spread)},
    {.name = "seed",
     .value = "N",
     .help = "seed of times, lengths, weights and prompts (1)",
     .store = lspo_arg_u64,
     .high = INT64_MAX,
     SERVE(seed)},
    {.name = "cache",
     .value = "vtensor|paged|reserved|all",
     .help = "chunks mapped as texts grow, blocks of tokens, or places for whole texts (all)",
     .store = lspo_arg_choice,
     .names = cache_names,
     SERVE(cache)},
    {.name = "cache-memory",
     .value = "SIZE",
     .help = "memory for caches (what weights and activations leave of the GPU's; with --run 256MiB)",
     .store = lspo_arg_bytes,
     SERVE(cache_bytes)},
    {.name = "chunk",
     .value = "SIZE",
     .help = "vtensor: of a chunk, in pages of 4 KiB (2MiB)",
     .store = lspo_arg_bytes,
     SERVE(chunk_bytes)},
    {.name = "range",
     .value = "tensor|text",
     .help = "vtensor: a range of addresses for each tensor of a text, or one for all (tensor)",
     .store = lspo_arg_choice,
     .names = lspo_vtensor_range_names,
     SERVE(range)},
    {.name = "map-ahead",
     .value = "N",
     .help = "vtensor: tokens of a text that have chunks in advance (100)",
     COUNT(map_ahead, 0, 1 << 24)},
    {.name = "block", .value = "N", .help = "paged: tokens of a block (16)", COUNT(block, 1, 1 << 16)},
    {.name = "positions",
     .value = "N",
     .help = "tokens of a text at most, which reserved places have (the model's)",
     COUNT(positions, 2, 1 << 24)},
    {.name = "batch", .value = "N", .help = "texts at once at most (64)", COUNT(batch, 1, BATCH_MOST)},
    {.name = "precision",
     .value = "fp32|bf16|fp16",
     .help = "of weights and caches (fp16; with --run fp32)",
     .store = lspo_arg_choice,
     .names = lspo_precision_names,
     SERVE(precision)},
    {.name = "set",
     .value = "KEY=VALUE",
     .help = "a field of the machine, by its name in `lspo show machine`, or of the model (model.blocks=64); may be "
             "repeated",
     .store = lspo_request_store_set,
     SERVE(overrides)},
    {.name = "run",
     .help = "serve on this host with real passes, random weights and prompts",
     .store = lspo_arg_switch,
     SERVE(run)},
    {.name = "threads",
     .value = "N",
     .help = "with --run: threads that compute (one per CPU of the process)",
     COUNT(threads, 1, THREADS_MAX)},
    LSPO_FORMAT_ARG("result", offsetof(serve_request_t, format)),
};

static const lspo_arg_group_t serve_group = LSPO_ARG_GROUP("options", serve_args);

/* ---- what is asked ---- */

typedef struct {
    const serve_request_t *request;
    lspo_model_t model;
    lspo_machine_t machine;
    lspo_serving_request_t *requests;
    uint32_t count;
    lspo_serving_options_t options; /* of all kinds of caches */
    lspo_workers_t *workers;
} question_t;

/* A flag of a kind of cache that is not asked for. */
static const char *find_flag_of_another(const serve_request_t *r)
{
    const bool all = r->cache == CACHE_ALL;
    const bool mapped = r->chunk_bytes > 0 || r->range >= 0 || r->map_ahead != UINT32_MAX;
    if (!all && r->cache != LSPO_SERVING_VTENSOR && mapped)
        return "--chunk, --range and --map-ahead are of --cache vtensor";
    return !all && r->cache != LSPO_SERVING_PAGED && r->block > 0 ? "--block is of --cache paged" : NULL;
}

static lspo_status_t check_request(const serve_request_t *r)
{
    const char *wrong = find_flag_of_another(r);
    if (wrong)
        return lspo_error(LSPO_ERR_INPUT, "%s", wrong);
    if (r->arrivals != NULL &&
        (!isnan(r->rate) || r->requests > 0 || r->prompt > 0 || r->tokens > 0 || !isnan(r->spread)))
        return lspo_error(LSPO_ERR_INPUT,
                          "--arrivals FILE has times and lengths: leave out --rate, --requests, --prompt, --tokens and "
                          "--spread");
    if (r->run && (r->machine_name != NULL || r->overrides.set_count > 0))
        return lspo_error(LSPO_ERR_INPUT, "--run is on this host: leave out --machine and --set");
    if (!r->run && r->threads > 0)
        return lspo_error(LSPO_ERR_INPUT, "--threads is of --run");
    if (r->chunk_bytes % LSPO_VTENSOR_PAGE_BYTES != 0)
        return lspo_error(LSPO_ERR_INPUT, "--chunk %llu: bytes of a chunk are a multiple of 4096",
                          (unsigned long long)r->chunk_bytes);
    return LSPO_OK;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static lspo_status_t find_requests(question_t *q)
{
    const serve_request_t *r = q->request;
    const uint32_t eighth = q->options.positions / 8 + 1;
    if (r->arrivals != NULL)
        return lspo_serve_arrivals_read(r->arrivals, &q->requests, &q->count);
    const lspo_arrivals_t arrivals = {.seed = r->seed,
                                      .rate = isnan(r->rate) ? 4 : r->rate,
                                      .prompt = r->prompt > 0 ? r->prompt : smaller(512, 3 * eighth),
                                      .tokens = r->tokens > 0 ? r->tokens : smaller(128, eighth),
                                      .spread = isnan(r->spread) ? 0.5 : r->spread};
    q->count = r->requests > 0 ? r->requests : 200;
    q->requests = calloc(q->count, sizeof *q->requests);
    if (q->requests == NULL)
        return lspo_no_memory("%u requests", q->count);
    return lspo_arrivals_draw(&arrivals, q->count, q->requests);
}

/* Activations of the longest prompt, or of a token of all texts. */
static uint64_t workspace_bytes(const question_t *q)
{
    lspo_workload_t w;
    lspo_workload_default(&w);
    w.precision = q->options.precision;
    w.accumulation = 1;
    w.batch = 1;
    w.sequence = 1;
    for (uint32_t i = 0; i < q->count; i++)
        if (q->requests[i].prompt > w.sequence && q->requests[i].prompt <= q->options.positions)
            w.sequence = q->requests[i].prompt;
    w.iterations = q->options.positions - w.sequence + 1;
    const uint64_t reading = lspo_generate_workspace_bytes(&q->model, &w);
    w.batch = q->options.batch;
    w.sequence = 1;
    w.iterations = q->options.positions;
    const uint64_t decoding = lspo_generate_workspace_bytes(&q->model, &w);
    return reading > decoding ? reading : decoding;
}

static uint64_t weight_bytes(const question_t *q)
{
    uint64_t bytes = 0;
    for (uint32_t s = 0; s < lspo_model_stage_count(&q->model); s++) {
        lspo_stage_t stage;
        lspo_model_stage(&q->model, s, &stage);
        bytes += stage.element_count * lspo_precision_bytes(q->options.precision);
    }
    return bytes;
}

/* The cache's memory: as asked, but no more than there is. */
static lspo_status_t find_memory(question_t *q)
{
    const uint64_t asked = q->request->cache_bytes, others = weight_bytes(q) + workspace_bytes(q);
    const double all = q->request->run ? (double)lspo_host_memory_available("")
                                       : q->machine.gpu.memory_bytes - q->machine.gpu.context_bytes;
    const double left = all - (double)others;
    q->options.cache_bytes = asked > 0 ? asked : q->request->run ? UINT64_C(256) << 20 : left > 0 ? (uint64_t)left : 0;
    if (left > 0 && (double)q->options.cache_bytes <= left)
        return LSPO_OK;
    char there[32], needed[32], cache[32];
    if (q->options.cache_bytes == 0)
        return lspo_error(LSPO_ERR_FIT,
                          "%s has %s of memory: weights and activations of %s take %s, and leave nothing for caches",
                          q->machine.name, lspo_format_quantity(all, LSPO_UNIT_BYTES, there, sizeof there),
                          q->model.name, lspo_format_quantity((double)others, LSPO_UNIT_BYTES, needed, sizeof needed));
    return lspo_error(LSPO_ERR_FIT, "%s has %s of memory: weights and activations of %s take %s, caches %s",
                      q->request->run ? "this host" : q->machine.name,
                      lspo_format_quantity(all, LSPO_UNIT_BYTES, there, sizeof there), q->model.name,
                      lspo_format_quantity((double)others, LSPO_UNIT_BYTES, needed, sizeof needed),
                      lspo_format_quantity((double)q->options.cache_bytes, LSPO_UNIT_BYTES, cache, sizeof cache));
}

static lspo_status_t find_models(question_t *q)
{
    const serve_request_t *r = q->request;
    lspo_status_t status = lspo_request_find_model(r->model_name != NULL ? r->model_name
                                                   : r->run              ? "gpt-tiny"
                                                                         : "llama-7b",
                                                   &q->model);
    if (status == LSPO_OK)
        status = lspo_overrides_model(&r->overrides, &q->model);
    if (status == LSPO_OK && !r->run)
        status = lspo_machine_named(r->machine_name != NULL ? r->machine_name : "a100-80gb-sxm", &q->machine);
    if (status == LSPO_OK && !r->run)
        status = lspo_overrides_machine(&r->overrides, &q->machine);
    return status;
}

static lspo_status_t prepare(question_t *q)
{
    const serve_request_t *r = q->request;
    lspo_status_t status = check_request(r);
    if (status == LSPO_OK)
        status = find_models(q);
    if (status != LSPO_OK)
        return status;
    if (r->positions > q->model.max_sequence)
        return lspo_error(LSPO_ERR_INPUT, "--positions %u: model %s has %u", r->positions, q->model.name,
                          q->model.max_sequence);
    q->options = (lspo_serving_options_t){.model = &q->model,
                                          .precision = r->precision >= 0 ? (lspo_precision_t)r->precision
                                                       : r->run          ? LSPO_FP32
                                                                         : LSPO_FP16,
                                          .chunk_bytes = r->chunk_bytes > 0 ? r->chunk_bytes : 2 << 20,
                                          .one_range = r->range == 1,
                                          .block_tokens = r->block > 0 ? r->block : 16,
                                          .positions = r->positions > 0 ? r->positions : q->model.max_sequence,
                                          .map_ahead = r->map_ahead != UINT32_MAX ? r->map_ahead : 100,
                                          .batch = r->batch};
    lspo_workload_t w;
    lspo_workload_default(&w);
    w.sequence = w.iterations = 1;
    status = lspo_generate_check(&q->model, &w);
    if (status == LSPO_OK)
        status = find_requests(q);
    return status == LSPO_OK ? find_memory(q) : status;
}

/* ---- the answer ---- */

static lspo_status_t run(const question_t *q, const lspo_serving_options_t *options, lspo_served_t *served,
                         lspo_serving_report_t *report)
{
    lspo_server_options_t server_options = {
        .serving = *options, .seed = q->request->seed, .workers = q->workers, .stop = lspo_interrupt_catch()};
    lspo_server_t *server = NULL;
    lspo_status_t status = lspo_device_open("host", &(lspo_device_caps_t){0}, &server_options.device);
    if (status == LSPO_OK)
        status = lspo_server_create(&server_options, q->requests, q->count, &server);
    if (status == LSPO_OK)
        status = lspo_server_run(server, served, report);
    lspo_server_destroy(server);
    lspo_device_close(server_options.device);
    lspo_interrupt_release();
    return status;
}

static lspo_status_t answer_one(const question_t *q, lspo_serving_cache_t cache, lspo_served_t *served,
                                lspo_serve_result_t *result)
{
    lspo_serving_options_t options = q->options;
    lspo_serving_report_t report;
    options.cache = cache;
    lspo_status_t status = q->request->run
                               ? run(q, &options, served, &report)
                               : lspo_serve_simulate(&q->machine, &options, q->requests, q->count, served, &report);
    if (status == LSPO_OK)
        status = lspo_serve_result_fill(&options, q->requests, q->count, served, &report, result);
    if (status != LSPO_OK)
        return status;
    result->origin = q->request->run ? "run" : "sim";
    result->model = q->model.name;
    result->machine = q->request->run ? NULL : q->machine.name;
    result->cache = cache_names[cache];
    result->version = lspo_version;
    if (report.refused == q->count)
        return lspo_error(LSPO_ERR_FIT, "%s: no request fits into the memory of caches or into --positions %u",
                          result->cache, options.positions);
    if (report.refused > 0)
        lspo_warn("%s: %llu of %u requests were refused: alone they need more than the memory of caches, or more than "
                  "--positions %u",
                  result->cache, (unsigned long long)report.refused, q->count, options.positions);
    return LSPO_OK;
}

static lspo_status_t answer(question_t *q)
{
    lspo_serve_result_t results[CACHE_ALL];
    size_t count = 0;
    lspo_status_t status = LSPO_OK;
    lspo_served_t *served = calloc(q->count, sizeof *served);
    if (served == NULL)
        return lspo_no_memory("%u requests", q->count);
    if (q->request->run)
        status =
            lspo_workers_create(q->request->threads > 0 ? q->request->threads : lspo_workers_cpus(), NULL, &q->workers);
    for (int cache = 0; status == LSPO_OK && cache < CACHE_ALL; cache++)
        if (q->request->cache == CACHE_ALL || q->request->cache == cache)
            status = answer_one(q, (lspo_serving_cache_t)cache, served, &results[count++]);
    if (status == LSPO_OK)
        status = lspo_serve_results_write(results, count, q->request->format);
    lspo_workers_destroy(q->workers);
    free(served);
    return status;
}

static lspo_status_t serve(int argc, char **argv)
{
    serve_request_t request = {.rate = (double)NAN,
                               .spread = (double)NAN,
                               .seed = 1,
                               .cache = CACHE_ALL,
                               .precision = -1,
                               .range = -1,
                               .map_ahead = UINT32_MAX,
                               .batch = 64,
                               .format = LSPO_FORMAT_AUTO};
    question_t question = {.request = &request};
    lspo_positionals_t positionals;
    lspo_status_t status = lspo_command_parse(&lspo_command_serve, argc, argv, &request, &positionals);
    if (status == LSPO_OK)
        status = prepare(&question);
    if (status == LSPO_OK)
        status = answer(&question);
    free(question.requests);
    return status;
}

const lspo_command_t lspo_command_serve = {
    .name = "serve",
    .summary = "serve requests as they come: caches mapped, paged or reserved",
    .usage = "[options]",
    .about = "How many requests can a machine serve, and what memory do their caches take? Requests are read as soon "
             "as there is memory for them, and all that run get their next tokens together. Their keys and values are "
             "in chunks of memory that are mapped as texts grow (vtensor), in blocks of tokens, or in places reserved "
             "for the longest text.",
    .examples = "lspo serve --model llama-7b --machine a100-80gb-sxm --rate 4 --requests 100\n"
                "lspo serve --model llama-7b --machine rtx4090 --cache vtensor --range text --rate 2 --requests 50\n"
                "lspo serve --run --model gpt-tiny --requests 20 --rate 100 --chunk 16KiB --format csv",
    .common = "model machine arrivals rate requests cache cache-memory run",
    .details =
        "There is one row per kind of cache: requests that were served, cancelled by their clients, refused "
        "because "
        "they could never fit, that waited for a step or for memory, and how often a text lost its memory and was read "
        "again; tokens per second; the mean and 95th percentile of the time to the first token, and the mean time per "
        "token after it; the memory of caches, of which texts had peak_bytes at most; what was never taken of it "
        "(freed); the share of what texts held that had no tokens (waste_share); what sharing of prefixes saved; "
        "chunks "
        "mapped, the time of these calls, and the part of it for which passes waited (exposed_s).\n\n"
        "Blocks and places take all the memory at the start. With --run, times are those of real passes, and between "
        "requests nobody waits.",
    .groups = (const lspo_arg_group_t *const[]){&serve_group, NULL},
    .runs_bare = true,
    .run = serve,
};
