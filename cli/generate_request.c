/* generate_request.c - see generate_request.h. */
#include "cli/generate_request.h"

#include <math.h>
#include <stddef.h>

#include "real/data/chat_template.h"

enum { THREADS_MAX = 1024 };

/* The formats of weights: "file" is what the folder has. */
static const char *const weight_names[] = {"fp32", "bf16", "fp16", "file", "int4", "ternary", NULL};
static const char *const cache_names[] = {"fp32", "bf16", "fp16", NULL};

enum { QUANTIZER_RTN, QUANTIZER_GPTQ };
static const char *const quantizer_names[] = {"rtn", "gptq", NULL};
enum { PRUNE_WANDA = 1 };
static const char *const prune_names[] = {"magnitude", "wanda", NULL};
static const double sparsity_usual = 0.5;

static const char *const group_names[] = {"32", "64", "128", "column", NULL};
static const uint32_t groups[] = {32, 64, 128, 0};
enum { GROUP_USUAL = 2 };

static const char *const format_names[] = {"text", "json", NULL};

const lspo_generate_request_t lspo_generate_nothing = {.top_k = UINT32_MAX,
                                                       .temperature = (double)NAN,
                                                       .top_p = (double)NAN,
                                                       .sparsity = (double)NAN,
                                                       .seed = LSPO_MISSING,
                                                       .weights = LSPO_WEIGHTS_OF_FILE,
                                                       .quantizer = LSPO_NOT_GIVEN,
                                                       .group = LSPO_NOT_GIVEN,
                                                       .prune = LSPO_NOT_GIVEN};

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

#define GENERATE(field) .offset_bytes = offsetof(lspo_generate_request_t, field)
#define COUNT(field, least, most) .store = lspo_arg_u32, .low = (least), .high = (most), GENERATE(field)

static const lspo_arg_t generate_args[] = {
    {.name = "model",
     .value = "FOLDER",
     .help =
         "Hugging Face folder of a GPT-2 or Llama (Mistral, Mixtral, Qwen2, Qwen3), or of lspo train --export; with "
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
     .help = "how chats are written (as the model's folder says, else plain): " LSPO_CHAT_OF_FOLDER
             " (as its folder says), " LSPO_CHAT_TEMPLATES,
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
     .help = "seed of the random choice, and of the places in a --calibration's text (1)",
     .store = lspo_arg_u64,
     .high = INT64_MAX,
     GENERATE(seed)},
    {.name = "weights",
     .value = "fp32|bf16|fp16|file|int4|ternary",
     .help = "format of the weights in memory; file: that of the folder or checkpoint; int4: the blocks' linear "
             "weights in 4 bits; ternary: the experts of a model as three numbers per output, packed; the others as in "
             "the file (file)",
     .store = lspo_arg_choice,
     .names = weight_names,
     GENERATE(weights)},
    {.name = "quantizer",
     .value = "rtn|gptq",
     .help = "how int4 and ternary weights are found: each rounded to nearest, or by GPTQ with a --calibration (rtn)",
     .store = lspo_arg_choice,
     .names = quantizer_names,
     GENERATE(quantizer)},
    {.name = "group",
     .value = "32|64|128|column",
     .help = "inputs of an output whose int4 weights share a scale (128)",
     .store = lspo_arg_choice,
     .names = group_names,
     GENERATE(group)},
    {.name = "prune",
     .value = "magnitude|wanda",
     .help = "set a --sparsity of each linear weight of a block, and of each expert, to 0, but not of routers: those "
             "of least magnitude; or of each output those of least magnitude times the norm of their input in a "
             "--calibration (none)",
     .store = lspo_arg_choice,
     .names = prune_names,
     GENERATE(prune)},
    {.name = "sparsity",
     .value = "SHARE",
     .help = "share that --prune sets to 0, above 0 and at most 1 (0.5)",
     .store = store_share,
     GENERATE(sparsity)},
    {.name = "calibration",
     .value = "FILE",
     .help = "text for GPTQ and Wanda: windows of 256 tokens from its first 95 %, at places that depend on --seed",
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

const lspo_arg_group_t lspo_generate_group = LSPO_ARG_GROUP("options", generate_args);

/* ---- what goes together ---- */

/* A given option that says nothing of a perplexity; NULL: there is none. */
static const char *find_unscored(const lspo_generate_request_t *request)
{
    const struct {
        bool given;
        const char *name;
    } all[] = {{request->prompt.text != NULL, "prompt"},
               {request->prompt.chat, "chat"},
               {request->prompt.system != NULL, "system"},
               {request->prompt.chat_template != NULL, "chat-template"},
               {request->tokens > 0, "tokens"},
               {!isnan(request->temperature), "temperature"},
               {request->top_k != UINT32_MAX, "top-k"},
               {!isnan(request->top_p), "top-p"},
               {request->seed != LSPO_MISSING && request->calibration == NULL, "seed"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].given)
            return all[i].name;
    return NULL;
}

static lspo_status_t check_weights(const lspo_generate_request_t *request)
{
    const bool int4 = request->weights == LSPO_WEIGHTS_INT4, pruned = request->prune != LSPO_NOT_GIVEN;
    const bool quantized = int4 || request->weights == LSPO_WEIGHTS_TERNARY;
    const bool gptq = request->quantizer == QUANTIZER_GPTQ, wanda = request->prune == PRUNE_WANDA;
    const bool calibrated = request->calibration != NULL;
    if (pruned && quantized)
        return lspo_error(LSPO_ERR_INPUT, "--prune and --weights %s do not go together", int4 ? "int4" : "ternary");
    if (!pruned && !isnan(request->sparsity))
        return lspo_error(LSPO_ERR_INPUT, "--sparsity is of --prune");
    if (!int4 && request->group != LSPO_NOT_GIVEN)
        return lspo_error(LSPO_ERR_INPUT, "--group is of --weights int4");
    if (!quantized && request->quantizer != LSPO_NOT_GIVEN)
        return lspo_error(LSPO_ERR_INPUT, "--quantizer is of --weights int4 and ternary");
    if (!quantized && !pruned && calibrated)
        return lspo_error(LSPO_ERR_INPUT, "--calibration is of --weights int4 and ternary, and of --prune wanda");
    if (pruned && wanda != calibrated)
        return lspo_error(LSPO_ERR_INPUT, "--prune wanda and --calibration FILE go together");
    if (quantized && gptq != calibrated)
        return lspo_error(LSPO_ERR_INPUT, "--quantizer gptq and --calibration FILE go together");
    return LSPO_OK;
}

static lspo_status_t check_request(const lspo_generate_request_t *request)
{
    const char *unscored = find_unscored(request);
    lspo_status_t status = check_weights(request);
    if (status != LSPO_OK)
        return status;
    if (request->perplexity != NULL && unscored != NULL)
        return lspo_error(LSPO_ERR_INPUT, "--perplexity reads a text and writes none: leave out --%s", unscored);
    const bool greedy = isnan(request->temperature) || request->temperature == 0;
    if (greedy && (request->top_k != UINT32_MAX || !isnan(request->top_p)))
        return lspo_error(LSPO_ERR_INPUT, "--top-k and --top-p choose at random, and need --temperature above 0");
    return LSPO_OK;
}

lspo_status_t lspo_generate_request_settle(lspo_generate_request_t *request)
{
    lspo_status_t status = check_request(request);
    request->top_k = request->top_k != UINT32_MAX ? request->top_k : 0;
    request->temperature = isnan(request->temperature) ? 0 : request->temperature;
    request->top_p = isnan(request->top_p) ? 1 : request->top_p;
    request->seed = request->seed != LSPO_MISSING ? request->seed : 1;
    if (request->prune != LSPO_NOT_GIVEN && isnan(request->sparsity))
        request->sparsity = sparsity_usual;
    return status;
}

const char *lspo_generate_request_pruning(const lspo_generate_request_t *request)
{
    return request->prune != LSPO_NOT_GIVEN ? prune_names[request->prune] : NULL;
}

lspo_int4_form_t lspo_generate_request_int4(const lspo_generate_request_t *request)
{
    const int group = request->group != LSPO_NOT_GIVEN ? request->group : GROUP_USUAL;
    return request->weights == LSPO_WEIGHTS_INT4 ? (lspo_int4_form_t){.on = true, .group = groups[group]}
                                                 : (lspo_int4_form_t){0};
}

const char *lspo_generate_group_name(const lspo_int4_form_t *int4)
{
    for (size_t i = 0; int4->on && group_names[i] != NULL; i++)
        if (groups[i] == int4->group)
            return group_names[i];
    return NULL;
}
