/* cmd_generate.c - `lspo generate`: continue a text, or answer a question, with a model. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/request.h"
#include "ask/version.h"
#include "base/interrupt.h"
#include "cli/command.h"
#include "cli/generate_prompt.h"
#include "cli/generate_request.h"
#include "cli/generate_result.h"
#include "cli/generate_text.h"
#include "cli/generate_weights.h"
#include "cli/generate_windows.h"
#include "plan/precision.h"
#include "real/formats/hf_folder.h"
#include "real/formats/hf_model.h"
#include "real/generate/generator.h"
#include "real/generate/weights.h"
#include "real/machine/host_memory.h"
#include "real/train/checkpoint_weights.h"

enum { TOKENS_USUAL = 128 };

/* Windows of a text whose perplexity is measured, and their tokens. */
enum { SCORED_MOST = 64, SCORED_LENGTH = 256 };

/* ---- what a text needs ---- */

typedef struct {
    const lspo_generate_request_t *request;
    lspo_hf_model_t *hf;                   /* NULL: no folder */
    lspo_checkpoint_weights_t *checkpoint; /* NULL: the weights are those of the folder */
    lspo_model_t own_model;
    const lspo_model_t *model;
    lspo_tokenizer_t *tokenizer; /* NULL: bytes */
    lspo_prompt_t prompt;
    uint32_t most; /* new tokens */
    lspo_number_t weights_number;
    lspo_int4_form_t int4;
    bool ternary; /* experts */
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
    const lspo_generate_request_t *request = writer->request;
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

static lspo_generate_weights_t weights_of(const writer_t *writer)
{
    const lspo_generate_request_t *request = writer->request;
    return (lspo_generate_weights_t){.model = writer->model,
                                     .hf = writer->hf,
                                     .checkpoint = writer->checkpoint,
                                     .number = writer->weights_number,
                                     .int4 = writer->int4,
                                     .ternary = writer->ternary,
                                     .pruned = request->prune != LSPO_NOT_GIVEN,
                                     .sparsity = request->sparsity,
                                     .calibration = request->calibration,
                                     .tokenizer = writer->tokenizer,
                                     .seed = request->seed,
                                     .workers = writer->workers};
}

static bool are_packed(const writer_t *writer)
{
    const lspo_generate_weights_t from = weights_of(writer);
    return lspo_generate_weights_are_packed(&from);
}

static lspo_status_t open_weights(writer_t *writer)
{
    const lspo_generate_request_t *request = writer->request;
    writer->ternary = request->weights == LSPO_WEIGHTS_TERNARY;
    if (writer->ternary && writer->model->expert_count == 0)
        return lspo_error(LSPO_ERR_INPUT, "--weights ternary is of experts, and the blocks of %s have none",
                          writer->model->name);
    lspo_status_t status =
        lspo_generation_check(writer->model, &(lspo_generation_shape_t){.batch = 1, .tokens = 1, .positions = 1});
    if (status != LSPO_OK)
        return status;
    if (request->checkpoint != NULL)
        status = lspo_checkpoint_weights_open(request->checkpoint, writer->model, &writer->checkpoint);
    if (status != LSPO_OK)
        return status;
    if (are_packed(writer)) {
        if (request->weights < LSPO_WEIGHTS_OF_FILE || request->calibration != NULL ||
            request->group != LSPO_NOT_GIVEN || request->quantizer != LSPO_NOT_GIVEN ||
            request->prune != LSPO_NOT_GIVEN)
            return lspo_error(LSPO_ERR_INPUT,
                              "the weights of %s are in 4 bits, in groups of their own: leave out --weights, --group, "
                              "--quantizer, --prune and --calibration",
                              request->model_name);
        writer->int4 = *lspo_hf_model_int4(writer->hf);
    } else
        writer->int4 = lspo_generate_request_int4(request);
    if (request->weights < LSPO_WEIGHTS_OF_FILE)
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

static lspo_generator_options_t generator_options(const writer_t *writer)
{
    return (lspo_generator_options_t){.model = writer->model,
                                      .stages = (const void *const *)writer->weights.stages,
                                      .batch = 1,
                                      .positions = writer->positions,
                                      .weights = writer->weights_number,
                                      .int4 = writer->int4,
                                      .experts = writer->weights.experts,
                                      .cache = lspo_compute_number_of((lspo_precision_t)writer->request->cache),
                                      .workers = writer->workers,
                                      .device = writer->device};
}

/* What needs less memory, as "; try A or B"; rest_is_text: not a block that is quantized or pruned. */
static void advise(const writer_t *writer, bool rest_is_text, size_t bytes, char *text)
{
    const lspo_generate_request_t *request = writer->request;
    const bool calibrates = request->calibration != NULL, prunes = request->prune != LSPO_NOT_GIVEN;
    const bool quantizes = writer->int4.on || writer->ternary, has_experts = writer->model->expert_count > 0;
    const struct {
        bool helps;
        const char *what;
    } all[] = {{!quantizes && writer->weights_number == LSPO_NUMBER_FP32, "16-bit --weights"},
               {!quantizes && !prunes && !has_experts, "--weights int4"},
               {!quantizes && !prunes && has_experts, "--weights ternary"},
               {!rest_is_text && calibrates && !prunes, "--quantizer rtn without --calibration"},
               {!rest_is_text && calibrates && prunes, "--prune magnitude without --calibration"},
               {rest_is_text && request->cache == LSPO_FP32, "16-bit --cache"},
               {rest_is_text && request->perplexity == NULL, "fewer --tokens"}};
    size_t end = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof all / sizeof *all && end < bytes; i++)
        if (all[i].helps)
            end += (size_t)snprintf(text + end, bytes - end, "%s%s", end > 0 ? " or " : "; try ", all[i].what);
}

/* Before anything is read. */
static lspo_status_t check_room(const writer_t *writer)
{
    const lspo_generator_options_t options = generator_options(writer);
    const lspo_generate_weights_t from = weights_of(writer);
    const lspo_generate_request_t *request = writer->request;
    const uint64_t weights_bytes = lspo_generate_weights_bytes(&from), cap = request->memory_bytes;
    const uint64_t text_bytes = lspo_generator_bytes(&options), scratch_bytes = lspo_generate_weights_scratch(&from);
    const uint64_t rest_bytes = text_bytes > scratch_bytes ? text_bytes : scratch_bytes;
    const uint64_t there_bytes = lspo_host_memory_available("");
    const uint64_t room = cap > 0 && cap < there_bytes ? cap : there_bytes;
    if (weights_bytes + rest_bytes <= room)
        return LSPO_OK;
    char needed[32], weights[32], rest[32], available[32], advice[128];
    advise(writer, text_bytes >= scratch_bytes, sizeof advice, advice);
    lspo_format_quantity((double)(weights_bytes + rest_bytes), LSPO_UNIT_BYTES, needed, sizeof needed);
    lspo_format_quantity((double)weights_bytes, LSPO_UNIT_BYTES, weights, sizeof weights);
    lspo_format_quantity((double)rest_bytes, LSPO_UNIT_BYTES, rest, sizeof rest);
    lspo_format_quantity((double)room, LSPO_UNIT_BYTES, available, sizeof available);
    return lspo_error(LSPO_ERR_FIT,
                      "%s does not fit: a text of %" PRIu32 " tokens needs %s (weights %s, %s %s), and %s %s%s",
                      writer->model->name, options.positions, needed, weights,
                      text_bytes >= scratch_bytes        ? "cache and activations"
                      : request->prune != LSPO_NOT_GIVEN ? "a block to prune"
                                                         : "a block to quantize",
                      rest, available, room == cap ? "are allowed" : "are available", advice);
}

static lspo_status_t open_memory(writer_t *writer)
{
    const lspo_generate_request_t *request = writer->request;
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
    const lspo_generate_weights_t from = weights_of(writer);
    status = lspo_generate_weights_load(&from, writer->device, &writer->weights);
    if (status != LSPO_OK)
        return status;
    options = generator_options(writer);
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

/* Without packed experts: how many bytes those take, only they know. */
static uint64_t weights_bytes(const writer_t *writer)
{
    const lspo_weights_source_t source = {
        .model = writer->model, .number = writer->weights_number, .int4 = writer->int4, .ternary = writer->ternary};
    return lspo_generation_weights_bytes(&source);
}

/* What is known of every run. */
static lspo_generate_result_t result_of(const writer_t *writer)
{
    const lspo_generate_request_t *request = writer->request;
    const bool calibrates = request->calibration != NULL,
               quantizes = writer->ternary || (writer->int4.on && !are_packed(writer));
    const lspo_ternary_total_t experts =
        writer->ternary ? lspo_ternary_experts_total(writer->weights.experts) : (lspo_ternary_total_t){0};
    return (lspo_generate_result_t){
        .model = writer->model->name,
        .weights = writer->int4.on   ? "int4"
                   : writer->ternary ? "ternary"
                                     : lspo_precision_name((lspo_precision_t)writer->weights_number),
        .quantizer = !quantizes   ? NULL
                     : calibrates ? "gptq"
                                  : "rtn",
        .group = lspo_generate_group_name(&writer->int4),
        .pruning = lspo_generate_request_pruning(request),
        .sparsity = request->sparsity,
        .cache = lspo_precision_name((lspo_precision_t)request->cache),
        .threads = lspo_workers_count(writer->workers),
        .seed = calibrates ? request->seed : LSPO_MISSING,
        .prompt_tokens = LSPO_MISSING,
        .time_to_first_token_s = (double)NAN,
        .token_s = (double)NAN,
        .tokens_per_s = (double)NAN,
        .perplexity = (double)NAN,
        .weights_bytes = weights_bytes(writer) + experts.bytes,
        .expert_zeros = writer->ternary ? 1 - (double)experts.nonzeros / (double)experts.weights : (double)NAN,
        .expert_bits = writer->ternary ? 8 * (double)experts.bytes / (double)experts.weights : (double)NAN,
        .load_s = writer->load_s,
        .peak_bytes = lspo_device_peak_bytes(writer->device),
        .version = lspo_version,
    };
}

static lspo_status_t report(const writer_t *writer, const lspo_text_result_t *written, const char *text)
{
    const lspo_generate_request_t *request = writer->request;
    const double others = (double)written->count - 1;
    lspo_generate_result_t result = result_of(writer);
    if (request->temperature > 0)
        result.seed = request->seed;
    result.prompt_tokens = writer->prompt.tokens.count;
    result.tokens = written->count;
    result.ended = end_name(written->end);
    result.text = request->format == LSPO_ANSWER_JSON ? text : NULL;
    if (written->count > 0)
        result.time_to_first_token_s = written->first_s;
    if (others > 0) {
        result.token_s = written->rest_s / others;
        result.tokens_per_s = others / written->rest_s;
    }
    return lspo_generate_result_write(&result, request->format == LSPO_ANSWER_JSON);
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
    const lspo_generate_request_t *request = writer->request;
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
    const lspo_generate_request_t *request = writer->request;
    lspo_text_result_t written;
    uint32_t *tokens = NULL;
    lspo_status_t status = extend(writer, &tokens);
    if (status != LSPO_OK)
        return status;
    lspo_answer_text_t text = {.tokenizer = writer->tokenizer,
                               .tokens = tokens,
                               .count = writer->prompt.tokens.count,
                               .file = request->format == LSPO_ANSWER_TEXT ? stdout : NULL};
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
    return lspo_generate_result_write(&result, writer->request->format == LSPO_ANSWER_JSON);
}

static lspo_status_t generate(int argc, char **argv)
{
    lspo_generate_request_t request = lspo_generate_nothing;
    writer_t writer = {.request = &request};
    lspo_positionals_t positionals;
    lspo_status_t status = lspo_command_parse(&lspo_command_generate, argc, argv, &request, &positionals);
    if (status != LSPO_OK)
        return status;
    const uint64_t start_ns = lspo_now_ns();
    status = lspo_generate_request_settle(&request);
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

const lspo_command_t lspo_command_generate = {
    .name = "generate",
    .summary = "continue a text, or answer a question, with a model",
    .usage = "--model FOLDER --prompt TEXT [options]",
    .about = "Generate text with a model's weights, on the CPUs of this machine. The text goes to stdout as it comes; "
             "the time to the first token, the time per token and the memory follow on stderr.",
    .examples = "lspo generate --model ./gpt2 --prompt \"The meaning of life is\" --tokens 40\n"
                "printf \"Once upon a time\" | lspo generate --model ./gpt2 --prompt - --temperature 0.8 --top-p 0.95\n"
                "lspo generate --model ./gpt2 --chat --prompt \"Count to three.\" --format json\n"
                "lspo generate --model ./gpt2 --prune wanda --calibration notes.txt --perplexity notes.txt\n"
                "lspo generate --model ./mixtral --weights ternary --quantizer gptq --calibration notes.txt "
                "--perplexity notes.txt",
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
    .groups = (const lspo_arg_group_t *const[]){&lspo_generate_group, NULL},
    .run = generate,
};
