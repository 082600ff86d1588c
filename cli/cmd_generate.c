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
#include "base/table.h"
#include "cli/command.h"
#include "cli/generate_prompt.h"
#include "cli/generate_text.h"
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
static const char *const weight_names[] = {"fp32", "bf16", "fp16", "file", NULL};
static const char *const cache_names[] = {"fp32", "bf16", "fp16", NULL};
enum { WEIGHTS_OF_FILE = LSPO_PRECISION_COUNT };

enum { FORMAT_TEXT, FORMAT_JSON };
static const char *const format_names[] = {"text", "json", NULL};

typedef struct {
    const char *model_name, *checkpoint;
    lspo_prompt_source_t prompt;
    uint32_t tokens; /* 0: TOKENS_USUAL, or fewer where the model has no more positions */
    uint32_t top_k, threads;
    double temperature, top_p;
    uint64_t seed, memory_bytes;
    int weights, cache, format;
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
     .value = "fp32|bf16|fp16|file",
     .help = "format of the weights in memory; file: that of the folder or checkpoint (file)",
     .store = lspo_arg_choice,
     .names = weight_names,
     GENERATE(weights)},
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

typedef struct {
    const char *model, *weights, *cache, *ended, *text, *version;
    uint64_t threads, seed, prompt_tokens, tokens, peak_bytes;
    double load_s, time_to_first_token_s, token_s, tokens_per_s;
} generate_result_t;

#define TEXT(field)                                                                                                    \
    {                                                                                                                  \
#field, LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(generate_result_t, field)                                    \
    }
#define REAL(field, unit)                                                                                              \
    {                                                                                                                  \
#field, LSPO_FIELD_REAL, unit, offsetof(generate_result_t, field)                                              \
    }
#define INTEGER(field, unit)                                                                                           \
    {                                                                                                                  \
#field, LSPO_FIELD_INTEGER, unit, offsetof(generate_result_t, field)                                           \
    }

/* The text comes last: it is left out where it was written before. */
static const lspo_field_t result_fields[] = {
    TEXT(model),
    TEXT(weights),
    TEXT(cache),
    INTEGER(threads, LSPO_UNIT_NONE),
    INTEGER(seed, LSPO_UNIT_NONE),
    INTEGER(prompt_tokens, LSPO_UNIT_NONE),
    INTEGER(tokens, LSPO_UNIT_NONE),
    TEXT(ended),
    REAL(load_s, LSPO_UNIT_SECONDS),
    REAL(time_to_first_token_s, LSPO_UNIT_SECONDS),
    REAL(token_s, LSPO_UNIT_SECONDS),
    REAL(tokens_per_s, LSPO_UNIT_NONE),
    INTEGER(peak_bytes, LSPO_UNIT_BYTES),
    TEXT(version),
    {"text", LSPO_FIELD_STRING, LSPO_UNIT_NONE, offsetof(generate_result_t, text)},
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
    lspo_workers_t *workers;
    lspo_device_t *device;
    lspo_generation_weights_t weights;
    lspo_generator_t *generator;
    double load_s;
} writer_t;

static lspo_status_t load_stage(void *context, uint32_t stage, lspo_number_t number, void *weights)
{
    const writer_t *writer = context;
    return writer->checkpoint != NULL ? lspo_checkpoint_weights_read(writer->checkpoint, stage, number, weights)
                                      : lspo_hf_model_read_as(writer->hf, stage, number, weights);
}

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
        lspo_hf_model_exists(name) ? lspo_hf_model_open(name, 0, &writer->hf) : lspo_hf_folder_refuse(name);
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
    if (request->weights != WEIGHTS_OF_FILE)
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

static lspo_generator_options_t generator_options(const writer_t *writer)
{
    return (lspo_generator_options_t){.model = writer->model,
                                      .stages = (const void *const *)writer->weights.stages,
                                      .batch = 1,
                                      .positions = (uint32_t)writer->prompt.tokens.count + writer->most,
                                      .weights = writer->weights_number,
                                      .cache = lspo_compute_number_of((lspo_precision_t)writer->request->cache),
                                      .workers = writer->workers,
                                      .device = writer->device};
}

/* Before anything is read. */
static lspo_status_t check_room(const writer_t *writer)
{
    const lspo_generator_options_t options = generator_options(writer);
    const uint64_t weights_bytes = lspo_generation_weights_bytes(writer->model, writer->weights_number);
    const uint64_t rest_bytes = lspo_generator_bytes(&options), cap = writer->request->memory_bytes;
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
                      " tokens needs %s (weights %s, cache and activations %s), and %s %s; try 16-bit --weights or "
                      "--cache, or fewer --tokens",
                      writer->model->name, options.positions, needed, weights, rest, available,
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
    status = lspo_generation_weights_load(writer->model, writer->weights_number, writer->device, load_stage, writer,
                                          &writer->weights);
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

static lspo_status_t report(const writer_t *writer, const lspo_text_result_t *written, const char *text)
{
    const generate_request_t *request = writer->request;
    const double others = (double)written->count - 1;
    const bool json = request->format == FORMAT_JSON;
    generate_result_t result = {
        .model = writer->model->name,
        .weights = lspo_precision_name((lspo_precision_t)writer->weights_number),
        .cache = cache_names[request->cache],
        .threads = lspo_workers_count(writer->workers),
        .seed = request->temperature > 0 ? request->seed : LSPO_MISSING,
        .prompt_tokens = writer->prompt.tokens.count,
        .tokens = written->count,
        .ended = end_name(written->end),
        .load_s = writer->load_s,
        .time_to_first_token_s = written->count > 0 ? written->first_s : (double)NAN,
        .token_s = others > 0 ? written->rest_s / others : (double)NAN,
        .tokens_per_s = others > 0 ? others / written->rest_s : (double)NAN,
        .peak_bytes = lspo_device_peak_bytes(writer->device),
        .text = json ? text : NULL,
        .version = lspo_version,
    };
    lspo_table_t table = {.fields = result_fields,
                          .field_count = sizeof result_fields / sizeof result_fields[0],
                          .records = &result,
                          .record_bytes = sizeof result,
                          .record_count = 1};
    return lspo_table_write_record(&table, json ? LSPO_FORMAT_JSON : LSPO_FORMAT_TABLE, json ? stdout : stderr);
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

static lspo_status_t generate(int argc, char **argv)
{
    generate_request_t request = {.top_p = 1, .seed = 1, .weights = WEIGHTS_OF_FILE};
    writer_t writer = {.request = &request};
    lspo_positionals_t positionals;
    lspo_status_t status = lspo_command_parse(&lspo_command_generate, argc, argv, &request, &positionals);
    if (status != LSPO_OK)
        return status;
    const uint64_t start_ns = lspo_now_ns();
    status = open_model(&writer);
    if (status == LSPO_OK)
        status = open_weights(&writer);
    if (status == LSPO_OK)
        status = open_prompt(&writer);
    if (status == LSPO_OK)
        status = open_memory(&writer);
    writer.load_s = 1e-9 * (double)(lspo_now_ns() - start_ns);
    if (status == LSPO_OK)
        status = write_all(&writer);
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
        "Computation is in fp32, whatever the formats of weights and cache; smaller formats save memory and, since a "
        "token reads all weights once, time. Ctrl-C ends the text, with statistics and exit code 130; a second one "
        "ends the program at once.",
    .groups = (const lspo_arg_group_t *const[]){&generate_group, NULL},
    .run = generate,
};
