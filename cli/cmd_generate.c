/* cmd_generate.c - `lspo generate`: continue a text, or answer a question, with a model. */
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/args.h"
#include "ask/request.h"
#include "ask/version.h"
#include "base/interrupt.h"
#include "cli/command.h"
#include "cli/generate_prompt.h"
#include "cli/generate_result.h"
#include "cli/generate_text.h"
#include "cli/generate_weights.h"
#include "cli/generate_windows.h"
#include "plan/precision.h"
#include "real/data/chat_template.h"
#include "real/formats/hf_folder.h"
#include "real/formats/hf_model.h"
#include "real/generate/generator.h"
#include "real/generate/weights.h"
#include "real/machine/host_memory.h"
#include "real/train/checkpoint_weights.h"

enum { TOKENS_USUAL = 128, THREADS_MAX = 1024 };

/* The formats of weights: "file" is what the folder has. */
static const char *const weight_names[] = {"fp32", "bf16", "fp16", "file", "int4", NULL};
static const char *const cache_names[] = {"fp32", "bf16", "fp16", NULL};
enum { WEIGHTS_OF_FILE = LSPO_PRECISION_COUNT, WEIGHTS_INT4 };

enum { QUANTIZER_RTN, QUANTIZER_GPTQ };
static const char *const quantizer_names[] = {"rtn", "gptq", NULL};
static const char *const group_names[] = {"32", "64", "128", "column", NULL};
static const uint32_t groups[] = {32, 64, 128, 0};
enum { GROUP_USUAL = 2 };

/* Windows of a text whose perplexity is measured, and their tokens. */
enum { SCORED_MOST = 64, SCORED_LENGTH = 256 };

enum { FORMAT_TEXT, FORMAT_JSON };
static const char *const format_names[] = {"text", "json", NULL};

typedef struct {
    const char *model_name, *checkpoint, *calibration, *perplexity;
    lspo_prompt_source_t prompt;
    uint32_t tokens; /* 0: TOKENS_USUAL, or fewer where the model has no more positions */
    uint32_t top_k, threads;
    double temperature, top_p;
    uint64_t seed, memory_bytes;
    int weights, cache, format, quantizer, group;
} generate_request_t;

static lspo_status_t store_temperature(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    (void)arg;
    return lspo_parse_quantity(what, text, LSPO_UNIT_NONE, slot);
}

static lspo_status_t store_share(const lspo_arg_t *arg, const char *what, const char *text, void *slot)
{
    double value = 0;
    (void)arg;
    lspo_status_t status = lspo_parse_quantity(what, text, LSPO_UNIT_NONE, &value);
    if (status != LSPO_OK)
        return status;
    if (!(value > 0 && value <= 1))
        return lspo_error(LSPO_ERR_INPUT, "%s %s is not above 0 and at most 1", what, text);
    *(double *)slot = value;
    return LSPO_OK;
}

#define GENERATE(field) .offset_bytes = offsetof(generate_request_t, field)
#define COUNT(field, least, most) .store = lspo_arg_u32, .low = (least), .high = (most), GENERATE(field)

static const lspo_arg_t generate_args[] = {
    {.name = "model",
     .value = "FOLDER",
     .help = "Hugging Face folder of a GPT-2 or Llama (Mistral, Qwen2, Qwen3), or of lspo train --export; with "
             "--checkpoint any model that was trained",
     .store = lspo_arg_text,
     GENERATE(model_name)},
    {.name = "checkpoint",
     .value = "FOLDER",
     .help = "weights of the newest checkpoint in this folder of lspo train --output",
     .store = lspo_arg_text,
     GENERATE(checkpoint)},
    {.name = "prompt",
     .value = "TEXT|-",
     .help = "text to continue, or question with --chat; -: read from standard input",
     .store = lspo_arg_text,
     GENERATE(prompt.text)},
    {.name = "chat",
     .help = "the prompt is a question to an assistant, written by the folder's chat template",
     .store = lspo_arg_switch,
     GENERATE(prompt.chat)},
    {.name = "system",
     .value = "TEXT",
     .help = "system message before the question",
     .store = lspo_arg_text,
     GENERATE(prompt.system)},
    {.name = "chat-template",
     .value = "NAME",
     .help = "how chats are written (as the model's folder says, else plain): " LSPO_CHAT_TEMPLATES,
     .store = lspo_arg_text,
     GENERATE(prompt.chat_template)},
    {.name = "tokens",
     .value = "N",
     .help = "most tokens to add (128, or what the model's positions leave)",
     COUNT(tokens, 1, INT32_MAX)},
    {.name = "temperature",
     .value = "T",
     .help = "choose at random, by the softmax of logits / T; 0: always the most likely token (0)",
     .store = store_temperature,
     GENERATE(temperature)},
    {.name = "top-k",
     .value = "N",
     .help = "at random among the N most likely tokens; 0: among all (0)",
     COUNT(top_k, 0, INT32_MAX)},
    {.name = "top-p",
     .value = "P",
     .help = "at random among the fewest tokens whose probabilities add up to P (1)",
     .store = store_share,
     GENERATE(top_p)},
    {.name = "seed",
     .value = "N",
     .help = "seed of the random choice (1)",
     .store = lspo_arg_u64,
     .high = INT64_MAX,
     GENERATE(seed)},
    {.name = "weights",
     .value = "fp32|bf16|fp16|file|int4",
     .help = "format of the weights in memory; file: that of the folder or checkpoint; int4: the blocks' linear "
             "weights in 4 bits, the others as in the file (file)",
     .store = lspo_arg_choice,
     .names = weight_names,
     GENERATE(weights)},
    {.name = "quantizer",
     .value = "rtn|gptq",
     .help = "how int4 weights are found: each rounded to nearest, or by GPTQ with a --calibration (rtn)",
     .store = lspo_arg_choice,
     .names = quantizer_names,
     GENERATE(quantizer)},
    {.name = "group",
     .value = "32|64|128|column",
     .help = "inputs of an output whose int4 weights share a scale (128)",
     .store = lspo_arg_choice,
     .names = group_names,
     GENERATE(group)},
    {.name = "calibration",
     .value = "FILE",
     .help = "text for GPTQ, of whose first 95 % windows of 256 tokens are read",
     .store = lspo_arg_text,
     GENERATE(calibration)},
    {.name = "perplexity",
     .value = "FILE",
     .help = "no prompt and no answer: the perplexity of the last 5 % of this text, in windows of 256 tokens",
     .store = lspo_arg_text,
     GENERATE(perplexity)},
    {.name = "cache",
     .value = "fp32|bf16|fp16",
     .help = "format of the keys and values of earlier tokens (fp32)",
     .store = lspo_arg_choice,
     .names = cache_names,
     GENERATE(cache)},
    {.name = "memory",
     .value = "SIZE",
     .help = "most memory for weights, cache and activations (what the machine has), e.g. 8GiB",
     .store = lspo_arg_bytes,
     GENERATE(memory_bytes)},
    {.name = "threads",
     .value = "N",
     .help = "threads that compute (one per CPU of the process); the text is the same for any number",
     COUNT(threads, 1, THREADS_MAX)},
    {.name = "format",
     .value = "text|json",
     .help = "the text as it comes and statistics on stderr, or all in one JSON object in the end (text)",
     .store = lspo_arg_choice,
     .names = format_names,
     GENERATE(format)},
};

/* ---- what a text needs ---- */

typedef struct {
    const generate_request_t *request;
    lspo_hf_model_t *hf;                   /* NULL: no folder */
    lspo_checkpoint_weights_t *checkpoint; /* NULL: the weights are those of the folder */
    lspo_model_t own_model;
    const lspo_model_t *model;
    lspo_tokenizer_t *tokenizer; /* NULL: bytes */
    lspo_prompt_t prompt;
    uint32_t most; /* new tokens */
    lspo_number_t weights_number;
    lspo_int4_form_t int4;
    lspo_workers_t *workers;
    lspo_device_t *device;
    lspo_windows_t windows; /* of a text to score */
    uint32_t positions;
    lspo_generation_weights_t weights;
    lspo_generator_t *generator;
    double load_s;
} writer_t;

/* Its prompt's positions and those of new tokens. */
static lspo_status_t count_tokens(writer_t *writer)
{
    const uint32_t count = (uint32_t)writer->prompt.tokens.count, most = lspo_generation_positions(writer->model);
    const uint32_t asked = writer->request->tokens;
    if (asked > most - count)
        return lspo_error(LSPO_ERR_INPUT,
                          "--tokens %" PRIu32 ": the prompt has %" PRIu32
                          " tokens, and with this model a text has at most %" PRIu32 ", so that %" PRIu32
                          " can be added",
                          asked, count, most, most - count);
    writer->most = asked > 0 ? asked : TOKENS_USUAL < most - count ? TOKENS_USUAL : most - count;
    return LSPO_OK;
}

/* A folder with weights and tokenizer, or with --checkpoint also a model by its shapes. */
static lspo_status_t open_model(writer_t *writer)
{
    const generate_request_t *request = writer->request;
    const char *name = request->model_name;
    if (name == NULL)
        return lspo_error(LSPO_ERR_INPUT, "--model FOLDER is missing: the folder of a model with its weights");
    if (!lspo_request_is_folder(name) && request->checkpoint == NULL)
        return lspo_error(LSPO_ERR_INPUT,
                          "--model %s is no folder; a text needs trained weights: those of a Hugging Face folder, of "
                          "`lspo train --export FOLDER`, or of `lspo train --output FOLDER` with --checkpoint FOLDER",
                          name);
    if (!lspo_request_is_folder(name)) {
        writer->model = &writer->own_model;
        return lspo_request_find_model(name, &writer->own_model);
    }
    lspo_status_t status =
        lspo_hf_model_exists(name) ? lspo_hf_model_open_text(name, &writer->hf) : lspo_hf_folder_refuse(name);
    if (status != LSPO_OK)
        return status;
    writer->model = lspo_hf_model_shape(writer->hf);
    return lspo_tokenizer_open_model(name, writer->model->vocabulary, &writer->tokenizer);
}

static lspo_status_t open_weights(writer_t *writer)
{
    const generate_request_t *request = writer->request;
    lspo_status_t status =
        lspo_generation_check(writer->model, &(lspo_generation_shape_t){.batch = 1, .tokens = 1, .positions = 1});
    if (status != LSPO_OK)
        return status;
    if (request->checkpoint != NULL)
        status = lspo_checkpoint_weights_open(request->checkpoint, writer->model, &writer->checkpoint);
    if (status != LSPO_OK)
        return status;
    if (request->checkpoint == NULL && writer->hf != NULL && lspo_hf_model_int4(writer->hf)->on) {
        if (request->weights < WEIGHTS_OF_FILE || request->calibration != NULL || request->group != GROUP_USUAL)
            return lspo_error(LSPO_ERR_INPUT,
                              "the weights of %s are in 4 bits, in groups of their own: leave out --weights, --group "
                              "and --calibration",
                              request->model_name);
        writer->int4 = *lspo_hf_model_int4(writer->hf);
    } else if (request->weights == WEIGHTS_INT4)
        writer->int4 = (lspo_int4_form_t){.on = true, .group = groups[request->group]};
    if (request->weights < WEIGHTS_OF_FILE)
        writer->weights_number = lspo_compute_number_of((lspo_precision_t)request->weights);
    else
        writer->weights_number = writer->checkpoint != NULL ? lspo_checkpoint_weights_number(writer->checkpoint)
                                                            : lspo_hf_model_number(writer->hf);
    return LSPO_OK;
}

static lspo_status_t open_prompt(writer_t *writer)
{
    lspo_prompt_source_t source = writer->request->prompt;
    source.folder = writer->hf != NULL ? writer->request->model_name : NULL;
    source.model = writer->model;
    source.positions = lspo_generation_positions(writer->model);
    source.tokenizer = writer->tokenizer;
    lspo_status_t status = lspo_prompt_read(&source, &writer->prompt);
    return status == LSPO_OK ? count_tokens(writer) : status;
}

/* A text to continue, or one to score. */
static lspo_status_t open_text(writer_t *writer)
{
    const char *path = writer->request->perplexity;
    uint32_t length = SCORED_LENGTH;
    if (path == NULL) {
        lspo_status_t status = open_prompt(writer);
        writer->positions = (uint32_t)writer->prompt.tokens.count + writer->most;
        return status;
    }
    if (lspo_generation_positions(writer->model) < length)
        length = lspo_generation_positions(writer->model);
    lspo_status_t status = lspo_windows_open(path, writer->tokenizer, writer->model->vocabulary, &writer->windows);
    if (status == LSPO_OK)
        status = lspo_windows_hold_out(&writer->windows, SCORED_MOST, &length);
    writer->positions = length;
    return status;
}

static lspo_generate_weights_t weights_of(const writer_t *writer)
{
    const generate_request_t *request = writer->request;
    return (lspo_generate_weights_t){.model = writer->model,
                                     .hf = writer->hf,
                                     .checkpoint = writer->checkpoint,
                                     .number = writer->weights_number,
                                     .int4 = writer->int4,
                                     .calibration = request->calibration,
                                     .tokenizer = writer->tokenizer,
                                     .seed = request->seed,
                                     .workers = writer->workers};
}

static lspo_generator_options_t generator_options(const writer_t *writer)
{
    return (lspo_generator_options_t){.model = writer->model,
                                      .stages = (const void *const *)writer->weights.stages,
                                      .batch = 1,
                                      .positions = writer->positions,
                                      .weights = writer->weights_number,
                                      .int4 = writer->int4,
                                      .cache = lspo_compute_number_of((lspo_precision_t)writer->request->cache),
                                      .workers = writer->workers,
                                      .device = writer->device};
}

/* Before anything is read. */
static lspo_status_t check_room(const writer_t *writer)
{
    const lspo_generator_options_t options = generator_options(writer);
    const lspo_generate_weights_t from = weights_of(writer);
    const uint64_t weights_bytes = lspo_generate_weights_bytes(&from), cap = writer->request->memory_bytes;
    const uint64_t text_bytes = lspo_generator_bytes(&options), scratch_bytes = lspo_generate_weights_scratch(&from);
    const uint64_t rest_bytes = text_bytes > scratch_bytes ? text_bytes : scratch_bytes;
    const uint64_t there_bytes = lspo_host_memory_available("");
    const uint64_t room = cap > 0 && cap < there_bytes ? cap : there_bytes;
    if (weights_bytes + rest_bytes <= room)
        return LSPO_OK;
    char needed[32], weights[32], rest[32], available[32];
    lspo_format_quantity((double)(weights_bytes + rest_bytes), LSPO_UNIT_BYTES, needed, sizeof needed);
    lspo_format_quantity((double)weights_bytes, LSPO_UNIT_BYTES, weights, sizeof weights);
    lspo_format_quantity((double)rest_bytes, LSPO_UNIT_BYTES, rest, sizeof rest);
    lspo_format_quantity((double)room, LSPO_UNIT_BYTES, available, sizeof available);
    return lspo_error(LSPO_ERR_FIT,
                      "%s does not fit: a text of %" PRIu32
                      " tokens needs %s (weights %s, %s %s), and %s %s; try 16-bit --weights or "
                      "--cache, or fewer --tokens",
                      writer->model->name, options.positions, needed, weights,
                      text_bytes >= scratch_bytes ? "cache and activations" : "a block to quantize", rest, available,
                      room == cap ? "are allowed" : "are available");
}

static lspo_status_t open_memory(writer_t *writer)
{
    const generate_request_t *request = writer->request;
    const uint32_t threads = request->threads > 0 ? request->threads : lspo_workers_cpus();
    lspo_status_t status = lspo_workers_create(threads, NULL, &writer->workers);
    if (status != LSPO_OK)
        return status;
    lspo_generator_options_t options = generator_options(writer);
    status = lspo_generator_check(&options);
    if (status != LSPO_OK)
        return status;
    status = check_room(writer);
    if (status != LSPO_OK)
        return status;
    status = lspo_device_open("host", &(lspo_device_caps_t){.memory_bytes = request->memory_bytes}, &writer->device);
    if (status != LSPO_OK)
        return status;
    options.device = writer->device;
    const lspo_generate_weights_t from = weights_of(writer);
    status = lspo_generate_weights_load(&from, writer->device, &writer->weights);
    if (status != LSPO_OK)
        return status;
    options.stages = (const void *const *)writer->weights.stages;
    return lspo_generator_create(&options, &writer->generator);
}

static void close_writer(writer_t *writer)
{
    lspo_generator_destroy(writer->generator);
    lspo_generation_weights_release(&writer->weights);
    lspo_device_close(writer->device);
    lspo_workers_destroy(writer->workers);
    lspo_prompt_release(&writer->prompt);
    lspo_windows_close(&writer->windows);
    lspo_tokenizer_close(writer->tokenizer);
    lspo_checkpoint_weights_close(writer->checkpoint);
    lspo_hf_model_close(writer->hf);
}

/* ---- the text ---- */

static const char *end_name(lspo_text_end_t end)
{
    switch (end) {
    case LSPO_END_TOKEN:
        return "end token";
    case LSPO_END_STOPPED:
        return "interrupted";
    case LSPO_END_TOKENS:
        break;
    }
    return "all tokens added";
}

/* What is known of every run. */
static lspo_generate_result_t result_of(const writer_t *writer)
{
    const generate_request_t *request = writer->request;
    return (lspo_generate_result_t){
        .model = writer->model->name,
        .weights = writer->int4.on ? "int4" : lspo_precision_name((lspo_precision_t)writer->weights_number),
        .cache = cache_names[request->cache],
        .threads = lspo_workers_count(writer->workers),
        .seed = LSPO_MISSING,
        .prompt_tokens = LSPO_MISSING,
        .time_to_first_token_s = (double)NAN,
        .token_s = (double)NAN,
        .tokens_per_s = (double)NAN,
        .perplexity = (double)NAN,
        .load_s = writer->load_s,
        .peak_bytes = lspo_device_peak_bytes(writer->device),
        .version = lspo_version,
    };
}

static lspo_status_t report(const writer_t *writer, const lspo_text_result_t *written, const char *text)
{
    const generate_request_t *request = writer->request;
    const double others = (double)written->count - 1;
    lspo_generate_result_t result = result_of(writer);
    result.seed = request->temperature > 0 ? request->seed : LSPO_MISSING;
    result.prompt_tokens = writer->prompt.tokens.count;
    result.tokens = written->count;
    result.ended = end_name(written->end);
    result.text = request->format == FORMAT_JSON ? text : NULL;
    if (written->count > 0)
        result.time_to_first_token_s = written->first_s;
    if (others > 0) {
        result.token_s = written->rest_s / others;
        result.tokens_per_s = others / written->rest_s;
    }
    return lspo_generate_result_write(&result, request->format == FORMAT_JSON);
}

/* Room for the new tokens behind those of the prompt. */
static lspo_status_t extend(writer_t *writer, uint32_t **tokens_out)
{
    lspo_tokens_t *tokens = &writer->prompt.tokens;
    uint32_t *ids = realloc(tokens->ids, (tokens->count + writer->most) * sizeof *ids);
    if (ids == NULL)
        return lspo_no_memory("a text of %zu tokens", tokens->count + writer->most);
    tokens->ids = ids;
    *tokens_out = ids;
    return LSPO_OK;
}

static lspo_status_t write_text(writer_t *writer, lspo_answer_text_t *text, lspo_text_result_t *written)
{
    const generate_request_t *request = writer->request;
    const lspo_text_options_t options = {.choice = {.temperature = request->temperature,
                                                    .top_k = request->top_k,
                                                    .top_p = request->top_p,
                                                    .seed = request->seed},
                                         .most = writer->most,
                                         .ends = writer->prompt.ends.ids,
                                         .end_count = writer->prompt.ends.count,
                                         .stop = lspo_interrupt_catch(),
                                         .token = lspo_answer_text_token,
                                         .context = text};
    lspo_status_t status = lspo_answer_text_begin(text);
    if (status != LSPO_OK)
        return status;
    status = lspo_generator_continue(writer->generator, &options, writer->prompt.tokens.ids,
                                     writer->prompt.tokens.count, written);
    if (status != LSPO_OK)
        return status;
    status = lspo_answer_text_end(text);
    if (status == LSPO_OK && text->file != NULL && text->answer.bytes > 0 &&
        text->answer.text[text->answer.bytes - 1] != '\n' && fputc('\n', text->file) == EOF)
        return lspo_error(LSPO_ERR_IO, "cannot write the text");
    return status;
}

static lspo_status_t write_all(writer_t *writer)
{
    const generate_request_t *request = writer->request;
    lspo_text_result_t written;
    uint32_t *tokens = NULL;
    lspo_status_t status = extend(writer, &tokens);
    if (status != LSPO_OK)
        return status;
    lspo_answer_text_t text = {.tokenizer = writer->tokenizer,
                               .tokens = tokens,
                               .count = writer->prompt.tokens.count,
                               .file = request->format == FORMAT_TEXT ? stdout : NULL};
    status = write_text(writer, &text, &written);
    if (status == LSPO_OK)
        status = report(writer, &written, text.answer.text);
    lspo_answer_text_release(&text);
    if (status == LSPO_OK && written.end == LSPO_END_STOPPED)
        return LSPO_ERR_INTERRUPTED;
    return status;
}

/* ---- perplexity ---- */

/* e to the mean of -ln p of a token. */
static lspo_status_t score_all(writer_t *writer)
{
    const lspo_windows_t *windows = &writer->windows;
    const atomic_int *stop = lspo_interrupt_catch();
    const uint64_t start_ns = lspo_now_ns();
    double sum = 0;
    for (uint32_t i = 0; i < windows->count; i++) {
        double one = 0;
        if (atomic_load(stop) != 0)
            return LSPO_ERR_INTERRUPTED;
        lspo_status_t status = lspo_generator_score(writer->generator, windows->tokens + (size_t)i * windows->length,
                                                    windows->length, &one);
        if (status != LSPO_OK)
            return status;
        sum += one;
    }
    lspo_generate_result_t result = result_of(writer);
    result.tokens = (uint64_t)windows->count * (windows->length - 1);
    result.tokens_per_s = (double)result.tokens / (1e-9 * (double)(lspo_now_ns() - start_ns));
    result.perplexity = exp(sum / (double)result.tokens);
    return lspo_generate_result_write(&result, writer->request->format == FORMAT_JSON);
}

static lspo_status_t check_request(const generate_request_t *request)
{
    const bool int4 = request->weights == WEIGHTS_INT4, gptq = request->quantizer == QUANTIZER_GPTQ;
    if (!int4 && (gptq || request->group != GROUP_USUAL || request->calibration != NULL))
        return lspo_error(LSPO_ERR_INPUT, "--quantizer, --group and --calibration are of --weights int4");
    if (gptq != (request->calibration != NULL))
        return lspo_error(LSPO_ERR_INPUT, "--quantizer gptq and --calibration FILE go together");
    if (request->perplexity != NULL && (request->prompt.text != NULL || request->prompt.chat))
        return lspo_error(LSPO_ERR_INPUT, "--perplexity reads a text and writes none: leave out --prompt and --chat");
    return LSPO_OK;
}

static lspo_status_t generate(int argc, char **argv)
{
    generate_request_t request = {.top_p = 1, .seed = 1, .weights = WEIGHTS_OF_FILE, .group = GROUP_USUAL};
    writer_t writer = {.request = &request};
    lspo_positionals_t positionals;
    lspo_status_t status = lspo_command_parse(&lspo_command_generate, argc, argv, &request, &positionals);
    if (status != LSPO_OK)
        return status;
    const uint64_t start_ns = lspo_now_ns();
    status = check_request(&request);
    if (status == LSPO_OK)
        status = open_model(&writer);
    if (status == LSPO_OK)
        status = open_weights(&writer);
    if (status == LSPO_OK)
        status = open_text(&writer);
    if (status == LSPO_OK)
        status = open_memory(&writer);
    writer.load_s = 1e-9 * (double)(lspo_now_ns() - start_ns);
    if (status == LSPO_OK)
        status = request.perplexity != NULL ? score_all(&writer) : write_all(&writer);
    close_writer(&writer);
    return status;
}

static const lspo_arg_group_t generate_group = LSPO_ARG_GROUP("options", generate_args);

const lspo_command_t lspo_command_generate = {
    .name = "generate",
    .summary = "continue a text, or answer a question, with a model",
    .usage = "--model FOLDER --prompt TEXT [options]",
    .about = "Generate text with a model's weights, on the CPUs of this machine. The text goes to stdout as it comes; "
             "the time to the first token, the time per token and the memory follow on stderr.",
    .examples = "lspo generate --model ./gpt2 --prompt \"The meaning of life is\" --tokens 40\n"
                "printf \"Once upon a time\" | lspo generate --model ./gpt2 --prompt - --temperature 0.8 --top-p 0.95\n"
                "lspo generate --model ./gpt2 --chat --prompt \"Count to three.\" --format json",
    .common = "model prompt chat tokens temperature top-p weights format",
    .details =
        "The answer ends with --tokens, or before with a token that ends texts: those that eos_token_id in "
        "generation_config.json or config.json names, else the tokenizer's, and with --chat also the one that ends an "
        "answer in the chat template. A folder without a tokenizer whose vocabulary is that of bytes has one token per "
        "byte.\n\n"
        "Computation is in fp32, whatever the formats of weights and cache, but for weights in 4 bits, for which "
        "activations are rounded to 16 bits; smaller formats save memory and, since a "
        "token reads all weights once, time. Ctrl-C ends the text, with statistics and exit code 130; a second one "
        "ends the program at once.",
    .groups = (const lspo_arg_group_t *const[]){&generate_group, NULL},
    .run = generate,
};
