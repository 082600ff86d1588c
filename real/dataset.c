/* dataset.c - see dataset.h. */
#include "real/dataset.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kernels/random.h"
#include "real/text.h"

enum { FILE_MAX_BYTES = 1 << 30, FEISTEL_ROUNDS = 4 };
enum { ORDER_STREAM = 0x6f726465, SPLIT_EPOCH_STREAM = 0x73706c69 }; /* apart from those of weights and projectors */

typedef struct {
    size_t first; /* of its tokens */
    uint32_t count, prompt_count;
    uint32_t label;
} row_t;

/* The rows of one file. */
typedef struct {
    lspo_tokens_t tokens;
    row_t *rows; /* not of a stream */
    size_t row_count, row_capacity;
    size_t cut, dropped;
    int form; /* form_t of the first record; -1: none seen */
} part_t;

struct lspo_dataset {
    part_t train, eval; /* eval is empty unless there is a second file */
    lspo_dataset_kind_t kind;
    lspo_encoder_t encoder;
    uint32_t sequence, class_count;
    uint64_t seed, train_rows, held_out_rows;
    bool own_eval;
    uint64_t hash;
    char source[512];
};

typedef enum { FORM_TEXT, FORM_PROMPT, FORM_ALPACA, FORM_LABEL } form_t;

static const char *const form_names[] = {"{\"text\"}", "{\"prompt\",\"completion\"}",
                                         "{\"instruction\",\"input\",\"output\"}", "{\"text\",\"label\"}"};

lspo_status_t lspo_tokens_append(lspo_tokens_t *tokens, uint32_t id)
{
    if (tokens->count == tokens->capacity) {
        size_t capacity = tokens->capacity ? 2 * tokens->capacity : 1024;
        uint32_t *ids = realloc(tokens->ids, capacity * sizeof *ids);
        if (!ids)
            return lspo_error(LSPO_ERR_MEMORY, "no memory for %zu tokens", capacity);
        tokens->ids = ids;
        tokens->capacity = capacity;
    }
    tokens->ids[tokens->count++] = id;
    return LSPO_OK;
}

lspo_encoder_t lspo_encoder_bytes(void)
{
    return (lspo_encoder_t){.name = "bytes", .begin = LSPO_NO_TOKEN, .vocabulary = LSPO_TEXT_VOCABULARY};
}

static lspo_status_t encode(const lspo_encoder_t *encoder, const char *text, size_t bytes, lspo_tokens_t *tokens)
{
    lspo_status_t status = LSPO_OK;
    if (encoder->encode)
        return encoder->encode(encoder->context, text, bytes, tokens);
    for (size_t i = 0; status == LSPO_OK && i < bytes; i++)
        status = lspo_tokens_append(tokens, (uint8_t)text[i]);
    return status;
}

static lspo_status_t append_special(uint32_t id, lspo_tokens_t *tokens)
{
    return id == LSPO_NO_TOKEN ? LSPO_OK : lspo_tokens_append(tokens, id);
}

static lspo_status_t add_row(part_t *part, const row_t *row)
{
    if (part->row_count == part->row_capacity) {
        size_t capacity = part->row_capacity ? 2 * part->row_capacity : 256;
        row_t *rows = realloc(part->rows, capacity * sizeof *rows);
        if (!rows)
            return lspo_error(LSPO_ERR_MEMORY, "no memory for %zu examples", capacity);
        part->rows = rows;
        part->row_capacity = capacity;
    }
    part->rows[part->row_count++] = *row;
    return LSPO_OK;
}

/* A string of a record; `where` is its file and line.  NULL after an error. */
static const char *text_of(const char *where, json_t *record, const char *key, size_t *bytes_out)
{
    json_t *value = json_object_get(record, key);
    if (!json_is_string(value)) {
        lspo_error(LSPO_ERR_INPUT, "%s: \"%s\" is not a string", where, key);
        return NULL;
    }
    *bytes_out = json_string_length(value);
    return json_string_value(value);
}

static lspo_status_t form_of(const char *where, json_t *record, uint32_t class_count, form_t *form_out)
{
    if (!json_is_object(record))
        return lspo_error(LSPO_ERR_INPUT, "%s: the record is not an object", where);
    if (class_count > 0) {
        if (!json_object_get(record, "text") || !json_object_get(record, "label"))
            return lspo_error(LSPO_ERR_INPUT, "%s: a model that classifies needs %s", where, form_names[FORM_LABEL]);
        *form_out = FORM_LABEL;
    } else if (json_object_get(record, "prompt") && json_object_get(record, "completion"))
        *form_out = FORM_PROMPT;
    else if (json_object_get(record, "instruction") && json_object_get(record, "output"))
        *form_out = FORM_ALPACA;
    else if (json_object_get(record, "text"))
        *form_out = FORM_TEXT;
    else
        return lspo_error(LSPO_ERR_INPUT, "%s: the record is none of %s, %s, %s", where, form_names[FORM_TEXT],
                          form_names[FORM_PROMPT], form_names[FORM_ALPACA]);
    return LSPO_OK;
}

static lspo_status_t add_stream_text(lspo_dataset_t *dataset, part_t *part, const char *where, json_t *record)
{
    size_t bytes;
    const char *text = text_of(where, record, "text", &bytes);
    if (!text)
        return LSPO_ERR_INPUT;
    lspo_status_t status = encode(&dataset->encoder, text, bytes, &part->tokens);
    return status == LSPO_OK ? append_special(dataset->encoder.end, &part->tokens) : status;
}

/* The tokens since `first` are one example whose first `prompt_count` are given: cut it to what a row holds, which is
 * one token more than a sequence, and leave it out when no token of the completion is left. */
static lspo_status_t finish_example(lspo_dataset_t *dataset, part_t *part, size_t first, size_t prompt_count)
{
    size_t count = part->tokens.count - first, room = (size_t)dataset->sequence + 1;
    bool cut = count > room;
    if (cut)
        count = room;
    if (prompt_count >= count || count < 2) {
        part->tokens.count = first;
        part->dropped++;
        return LSPO_OK;
    }
    part->cut += cut;
    part->tokens.count = first + count;
    row_t row = {.first = first, .count = (uint32_t)count, .prompt_count = (uint32_t)prompt_count};
    return add_row(part, &row);
}

static lspo_status_t add_pair(lspo_dataset_t *dataset, part_t *part, const char *prompt, size_t prompt_bytes,
                              const char *completion, size_t completion_bytes)
{
    size_t first = part->tokens.count, prompt_count = 0;
    lspo_status_t status = append_special(dataset->encoder.begin, &part->tokens);
    if (status == LSPO_OK)
        status = encode(&dataset->encoder, prompt, prompt_bytes, &part->tokens);
    prompt_count = part->tokens.count - first;
    if (status == LSPO_OK)
        status = encode(&dataset->encoder, completion, completion_bytes, &part->tokens);
    if (status == LSPO_OK)
        status = append_special(dataset->encoder.end, &part->tokens);
    return status == LSPO_OK ? finish_example(dataset, part, first, prompt_count) : status;
}

static lspo_status_t add_prompt(lspo_dataset_t *dataset, part_t *part, const char *where, json_t *record)
{
    size_t prompt_bytes, completion_bytes;
    const char *prompt = text_of(where, record, "prompt", &prompt_bytes);
    const char *completion = prompt ? text_of(where, record, "completion", &completion_bytes) : NULL;
    if (!completion)
        return LSPO_ERR_INPUT;
    return add_pair(dataset, part, prompt, prompt_bytes, completion, completion_bytes);
}

/* The template of Stanford Alpaca (train.py, PROMPT_DICT), to the letter: models were trained on it. */
static char *alpaca_prompt(const char *instruction, const char *input, size_t *bytes_out)
{
    char *prompt = NULL;
    int bytes;
    if (input[0] != '\0')
        bytes = asprintf(&prompt,
                         "Below is an instruction that describes a task, paired with an input that provides further "
                         "context. Write a response that appropriately completes the request.\n\n"
                         "### Instruction:\n%s\n\n### Input:\n%s\n\n### Response:",
                         instruction, input);
    else
        bytes = asprintf(&prompt,
                         "Below is an instruction that describes a task. Write a response that appropriately completes "
                         "the request.\n\n### Instruction:\n%s\n\n### Response:",
                         instruction);
    if (bytes < 0)
        return NULL;
    *bytes_out = (size_t)bytes;
    return prompt;
}

static lspo_status_t add_alpaca(lspo_dataset_t *dataset, part_t *part, const char *where, json_t *record)
{
    size_t bytes, output_bytes, prompt_bytes;
    const char *instruction = text_of(where, record, "instruction", &bytes);
    const char *input = "";
    if (instruction && json_object_get(record, "input"))
        input = text_of(where, record, "input", &bytes);
    const char *output = instruction && input ? text_of(where, record, "output", &output_bytes) : NULL;
    if (!output)
        return LSPO_ERR_INPUT;
    char *prompt = alpaca_prompt(instruction, input, &prompt_bytes);
    if (!prompt)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for a prompt");
    lspo_status_t status = add_pair(dataset, part, prompt, prompt_bytes, output, output_bytes);
    free(prompt);
    return status;
}

static lspo_status_t add_label(lspo_dataset_t *dataset, part_t *part, const char *where, json_t *record)
{
    size_t bytes, first = part->tokens.count;
    const char *text = text_of(where, record, "text", &bytes);
    json_t *label = json_object_get(record, "label");
    if (!text)
        return LSPO_ERR_INPUT;
    if (!json_is_integer(label) || json_integer_value(label) < 0 ||
        json_integer_value(label) >= (json_int_t)dataset->class_count)
        return lspo_error(LSPO_ERR_INPUT, "%s: \"label\" must be an integer from 0 to %" PRIu32, where,
                          dataset->class_count - 1);
    lspo_status_t status = append_special(dataset->encoder.begin, &part->tokens);
    if (status == LSPO_OK)
        status = encode(&dataset->encoder, text, bytes, &part->tokens);
    if (status == LSPO_OK)
        status = append_special(dataset->encoder.end, &part->tokens);
    if (status != LSPO_OK)
        return status;
    size_t count = part->tokens.count - first;
    if (count == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: \"text\" is empty", where);
    if (count > dataset->sequence) { /* the end token stays where one is */
        part->cut++;
        count = dataset->sequence;
        part->tokens.count = first + count;
        if (dataset->encoder.end != LSPO_NO_TOKEN)
            part->tokens.ids[first + count - 1] = dataset->encoder.end;
    }
    row_t row = {.first = first, .count = (uint32_t)count, .label = (uint32_t)json_integer_value(label)};
    return add_row(part, &row);
}

static lspo_status_t add_record(lspo_dataset_t *dataset, part_t *part, const char *where, json_t *record)
{
    static lspo_status_t (*const add[])(lspo_dataset_t *, part_t *, const char *,
                                        json_t *) = {[FORM_TEXT] = add_stream_text,
                                                     [FORM_PROMPT] = add_prompt,
                                                     [FORM_ALPACA] = add_alpaca,
                                                     [FORM_LABEL] = add_label};
    form_t form = FORM_TEXT;
    lspo_status_t status = form_of(where, record, dataset->class_count, &form);
    if (status != LSPO_OK)
        return status;
    if (part->form >= 0 && (form == FORM_TEXT) != (part->form == FORM_TEXT))
        return lspo_error(LSPO_ERR_INPUT, "%s: a record of the form %s among records of the form %s", where,
                          form_names[form], form_names[part->form]);
    part->form = (int)form;
    return add[form](dataset, part, where, record);
}

static bool blank(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (!isspace((unsigned char)text[i]))
            return false;
    return true;
}

static lspo_status_t add_lines(lspo_dataset_t *dataset, part_t *part, const char *path, const char *text, size_t bytes)
{
    lspo_status_t status = LSPO_OK;
    size_t number = 1;
    for (size_t at = 0; status == LSPO_OK && at < bytes; number++) {
        const char *end = memchr(text + at, '\n', bytes - at);
        size_t length = end ? (size_t)(end - text) - at : bytes - at;
        char where[512];
        snprintf(where, sizeof where, "%.480s:%zu", path, number);
        if (!blank(text + at, length)) {
            json_error_t error;
            json_t *record = json_loadb(text + at, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
            status = record ? add_record(dataset, part, where, record)
                            : lspo_error(LSPO_ERR_INPUT, "%s: not JSON: %s", where, error.text);
            json_decref(record);
        }
        at += length + 1;
    }
    return status;
}

static lspo_status_t add_array(lspo_dataset_t *dataset, part_t *part, const char *path, const char *text, size_t bytes)
{
    json_error_t error;
    lspo_status_t status = LSPO_OK;
    json_t *array = json_loadb(text, bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!array)
        return lspo_error(LSPO_ERR_INPUT, "%s:%d: not JSON: %s", path, error.line, error.text);
    for (size_t i = 0; status == LSPO_OK && i < json_array_size(array); i++) {
        char where[512];
        snprintf(where, sizeof where, "%.460s: record %zu", path, i + 1);
        status = add_record(dataset, part, where, json_array_get(array, i));
    }
    json_decref(array);
    return status;
}

static bool ends_with(const char *path, const char *suffix)
{
    size_t length = strlen(path), suffix_length = strlen(suffix);
    return length >= suffix_length && strcasecmp(path + length - suffix_length, suffix) == 0;
}

static size_t skip_blanks(const char *text, size_t bytes)
{
    size_t at = 0;
    while (at < bytes && isspace((unsigned char)text[at]))
        at++;
    return at;
}

static bool first_line_is_record(const char *text, size_t bytes)
{
    const char *end = memchr(text, '\n', bytes);
    json_t *record = json_loadb(text, end ? (size_t)(end - text) : bytes, 0, NULL);
    bool is_record = json_is_object(record);
    json_decref(record);
    return is_record;
}

typedef enum { FORMAT_TEXT, FORMAT_LINES, FORMAT_ARRAY } format_t;

/* The name decides where it says something, the content otherwise: prose may begin with a bracket, so a file of no
 * known name is JSON only if its first line is a whole object. */
static format_t format_of(const char *path, const char *text, size_t bytes)
{
    size_t at = skip_blanks(text, bytes);
    bool array = at < bytes && text[at] == '[';
    if (ends_with(path, ".txt") || ends_with(path, ".md"))
        return FORMAT_TEXT;
    if (ends_with(path, ".jsonl") || ends_with(path, ".ndjson"))
        return FORMAT_LINES;
    if (ends_with(path, ".json"))
        return array ? FORMAT_ARRAY : FORMAT_LINES;
    return first_line_is_record(text + at, bytes - at) ? FORMAT_LINES : FORMAT_TEXT;
}

static lspo_status_t read_file(const char *path, char **text_out, size_t *bytes_out)
{
    struct stat info;
    lspo_status_t status = LSPO_OK;
    FILE *file = fopen(path, "rb");
    if (!file)
        return lspo_error(LSPO_ERR_INPUT, "%s: cannot read: %s", path, strerror(errno));
    char *text = NULL;
    size_t bytes = 0;
    if (fstat(fileno(file), &info) != 0 || !S_ISREG(info.st_mode))
        status = lspo_error(LSPO_ERR_INPUT, "%s: not a regular file", path);
    else if (info.st_size > FILE_MAX_BYTES)
        status = lspo_error(LSPO_ERR_INPUT, "%s: the data are above 1 GiB; give a smaller file", path);
    else if (!(text = malloc((size_t)info.st_size + 1)))
        status = lspo_error(LSPO_ERR_MEMORY, "no memory for the %lld bytes of %s", (long long)info.st_size, path);
    if (status == LSPO_OK) {
        bytes = fread(text, 1, (size_t)info.st_size, file);
        if (ferror(file))
            status = lspo_error(LSPO_ERR_INPUT, "%s: cannot read: %s", path, strerror(errno));
        else if (blank(text, bytes))
            status = lspo_error(LSPO_ERR_INPUT, "%s: the file is empty", path);
    }
    fclose(file);
    if (status != LSPO_OK) {
        free(text);
        return status;
    }
    *text_out = text;
    *bytes_out = bytes;
    return LSPO_OK;
}

static lspo_status_t load_own_text(lspo_dataset_t *dataset, part_t *part)
{
    lspo_text_t *text;
    lspo_status_t status = lspo_text_open(NULL, &text);
    if (status != LSPO_OK)
        return status;
    status = encode(&dataset->encoder, (const char *)lspo_text_data(text), lspo_text_bytes(text), &part->tokens);
    lspo_text_close(text);
    return status;
}

static lspo_status_t check_tokens(const lspo_dataset_t *dataset, const part_t *part, const char *path)
{
    for (size_t i = 0; i < part->tokens.count; i++)
        if (part->tokens.ids[i] >= dataset->encoder.vocabulary)
            return lspo_error(LSPO_ERR_INPUT,
                              "%s: token %" PRIu32 " of the tokenizer is outside the model's vocabulary of %" PRIu32,
                              path, part->tokens.ids[i], dataset->encoder.vocabulary);
    return LSPO_OK;
}

static lspo_status_t load_file(lspo_dataset_t *dataset, part_t *part, const char *path)
{
    char *text = NULL;
    size_t bytes = 0;
    lspo_status_t status = read_file(path, &text, &bytes);
    if (status != LSPO_OK)
        return status;
    format_t format = format_of(path, text, bytes);
    if (format == FORMAT_LINES)
        status = add_lines(dataset, part, path, text, bytes);
    else if (format == FORMAT_ARRAY)
        status = add_array(dataset, part, path, text, bytes);
    else if (dataset->class_count > 0)
        status =
            lspo_error(LSPO_ERR_INPUT, "%s: a model that classifies needs JSONL of %s", path, form_names[FORM_LABEL]);
    else
        status = encode(&dataset->encoder, text, bytes, &part->tokens);
    free(text);
    return status;
}

static lspo_status_t load(lspo_dataset_t *dataset, part_t *part, const char *path)
{
    part->form = -1;
    if (!path && dataset->class_count > 0)
        return lspo_error(LSPO_ERR_INPUT, "a model that classifies needs --data FILE of %s", form_names[FORM_LABEL]);
    lspo_status_t status = path ? load_file(dataset, part, path) : load_own_text(dataset, part);
    if (status == LSPO_OK)
        status = check_tokens(dataset, part, path ? path : "the machine's own text");
    if (status == LSPO_OK && part->form > (int)FORM_TEXT && part->row_count == 0)
        status = lspo_error(LSPO_ERR_INPUT,
                            "%s: none of its %zu examples has a completion within %" PRIu32 " tokens; raise --sequence",
                            path, part->dropped, dataset->sequence);
    return status;
}

static lspo_dataset_kind_t kind_of(const part_t *part)
{
    if (part->form == FORM_LABEL)
        return LSPO_DATASET_LABELS;
    return part->form > (int)FORM_TEXT ? LSPO_DATASET_EXAMPLES : LSPO_DATASET_STREAM;
}

static uint64_t rows_of(const lspo_dataset_t *dataset, const part_t *part)
{
    if (kind_of(part) != LSPO_DATASET_STREAM)
        return part->row_count;
    return part->tokens.count > 0 ? (part->tokens.count - 1) / dataset->sequence : 0;
}

static lspo_status_t split(lspo_dataset_t *dataset, const lspo_dataset_options_t *options)
{
    uint64_t rows = rows_of(dataset, &dataset->train);
    dataset->own_eval = options->eval_path != NULL;
    if (dataset->own_eval) {
        dataset->train_rows = rows;
        dataset->held_out_rows = rows_of(dataset, &dataset->eval);
    } else if (options->held_out > 0) {
        uint64_t held_out = (uint64_t)((double)rows * options->held_out);
        dataset->held_out_rows = held_out > 0 ? held_out : 1;
        dataset->train_rows = rows > dataset->held_out_rows ? rows - dataset->held_out_rows : 0;
    } else
        dataset->train_rows = rows;
    if (dataset->train_rows > 0 && (dataset->held_out_rows > 0 || (!dataset->own_eval && options->held_out <= 0)))
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT,
                      "%s: too short: %zu tokens make %" PRIu64 " rows of %" PRIu32 " for training and %" PRIu64
                      " held out; use more data or a smaller --sequence",
                      options->path ? options->path : "the machine's own text", dataset->train.tokens.count,
                      dataset->train_rows, dataset->sequence, dataset->held_out_rows);
}

static uint64_t hash_words(uint64_t hash, const uint32_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ words[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t hash_part(uint64_t hash, const part_t *part)
{
    hash = hash_words(hash, part->tokens.ids, part->tokens.count);
    for (size_t i = 0; i < part->row_count; i++) {
        const uint32_t words[] = {part->rows[i].count, part->rows[i].prompt_count, part->rows[i].label};
        hash = hash_words(hash, words, 3);
    }
    return hash;
}

static void describe(lspo_dataset_t *dataset, const char *path)
{
    dataset->hash = hash_part(hash_part(UINT64_C(0xcbf29ce484222325), &dataset->train), &dataset->eval);
    snprintf(dataset->source, sizeof dataset->source,
             "%.380s, %s, %" PRIu64 " rows and %" PRIu64 " held out, fnv1a %016" PRIx64,
             path ? path : "the machine's own text", dataset->encoder.name, dataset->train_rows, dataset->held_out_rows,
             dataset->hash);
}

static lspo_status_t check_options(const lspo_dataset_options_t *options)
{
    if (options->sequence == 0)
        return lspo_error(LSPO_ERR_INPUT, "a row needs at least one token");
    if (options->class_count == 1)
        return lspo_error(LSPO_ERR_INPUT,
                          "the model has one class, that is, it predicts a number; labels need two or more");
    if (!(options->held_out >= 0 && options->held_out < 1))
        return lspo_error(LSPO_ERR_INPUT, "--held-out is %g; it must be from 0 to below 1", options->held_out);
    return LSPO_OK;
}

lspo_status_t lspo_dataset_open(const lspo_dataset_options_t *options, lspo_dataset_t **dataset_out)
{
    lspo_status_t status = check_options(options);
    if (status != LSPO_OK)
        return status;
    lspo_dataset_t *dataset = calloc(1, sizeof *dataset);
    if (!dataset)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for a dataset");
    dataset->encoder = options->encoder;
    dataset->sequence = options->sequence;
    dataset->class_count = options->class_count;
    dataset->seed = options->seed;
    status = load(dataset, &dataset->train, options->path);
    dataset->kind = kind_of(&dataset->train);
    if (status == LSPO_OK && options->eval_path) {
        status = load(dataset, &dataset->eval, options->eval_path);
        if (status == LSPO_OK && kind_of(&dataset->eval) != dataset->kind)
            status = lspo_error(LSPO_ERR_INPUT, "%s and %s hold records of different forms",
                                options->path ? options->path : "the machine's own text", options->eval_path);
    }
    if (status == LSPO_OK)
        status = split(dataset, options);
    if (status != LSPO_OK) {
        lspo_dataset_close(dataset);
        return status;
    }
    describe(dataset, options->path);
    *dataset_out = dataset;
    return LSPO_OK;
}

static void release_part(part_t *part)
{
    free(part->tokens.ids);
    free(part->rows);
}

void lspo_dataset_close(lspo_dataset_t *dataset)
{
    if (!dataset)
        return;
    release_part(&dataset->train);
    release_part(&dataset->eval);
    free(dataset);
}

lspo_dataset_kind_t lspo_dataset_kind(const lspo_dataset_t *dataset)
{
    return dataset->kind;
}

uint64_t lspo_dataset_train_rows(const lspo_dataset_t *dataset)
{
    return dataset->train_rows;
}

uint64_t lspo_dataset_held_out_rows(const lspo_dataset_t *dataset)
{
    return dataset->held_out_rows;
}

uint64_t lspo_dataset_tokens(const lspo_dataset_t *dataset)
{
    return dataset->train.tokens.count + dataset->eval.tokens.count;
}

uint64_t lspo_dataset_cut_rows(const lspo_dataset_t *dataset)
{
    return dataset->train.cut + dataset->eval.cut;
}

uint64_t lspo_dataset_dropped_rows(const lspo_dataset_t *dataset)
{
    return dataset->train.dropped + dataset->eval.dropped;
}

const char *lspo_dataset_source(const lspo_dataset_t *dataset)
{
    return dataset->source;
}

uint64_t lspo_dataset_hash(const lspo_dataset_t *dataset)
{
    return dataset->hash;
}

/* One pass of a Feistel network over 2 x `half_bits` bits; the round function is Philox of (round, right half). */
static uint64_t feistel(uint64_t seed, uint64_t stream, uint32_t half_bits, uint64_t value)
{
    uint64_t mask = (UINT64_C(1) << half_bits) - 1, left = value >> half_bits, right = value & mask;
    for (uint64_t round = 0; round < FEISTEL_ROUNDS; round++) {
        uint32_t words[4];
        lspo_random_block(seed, stream, round << 48 | right, words);
        uint64_t next = left ^ (words[0] & mask);
        left = right;
        right = next;
    }
    return left << half_bits | right;
}

/* A permutation of the next power of four, walked until it lands below `count`: four steps on average at most. */
uint64_t lspo_dataset_permute(uint64_t seed, uint64_t epoch, uint64_t count, uint64_t index)
{
    uint32_t half_bits = 1;
    while (UINT64_C(1) << (2 * half_bits) < count)
        half_bits++;
    do
        index = feistel(seed, (uint64_t)ORDER_STREAM << 32 ^ epoch, half_bits, index);
    while (index >= count);
    return index;
}

/* Number `place` of the training rows (or, from train_rows on, of those held out of the same file). */
static uint64_t row_at(const lspo_dataset_t *dataset, uint64_t place)
{
    if (dataset->kind == LSPO_DATASET_STREAM || dataset->own_eval)
        return place;
    return lspo_dataset_permute(dataset->seed, SPLIT_EPOCH_STREAM, dataset->train_rows + dataset->held_out_rows, place);
}

static void window(const lspo_dataset_t *dataset, const part_t *part, uint64_t row, uint32_t place, lspo_batch_t *batch)
{
    const uint32_t *at = part->tokens.ids + row * dataset->sequence;
    size_t first = (size_t)place * dataset->sequence, bytes = dataset->sequence * sizeof *at;
    memcpy(batch->tokens + first, at, bytes);
    memcpy(batch->targets + first, at + 1, bytes);
    batch->lengths[place] = dataset->sequence;
}

static void copy_padded(const lspo_dataset_t *dataset, const part_t *part, const row_t *row, uint32_t place,
                        lspo_batch_t *batch)
{
    uint32_t *tokens = batch->tokens + (size_t)place * dataset->sequence;
    for (uint32_t i = 0; i < dataset->sequence; i++)
        tokens[i] = i < row->count ? part->tokens.ids[row->first + i] : dataset->encoder.pad;
    batch->lengths[place] = row->count < dataset->sequence ? row->count : dataset->sequence;
}

static void example(const lspo_dataset_t *dataset, const part_t *part, const row_t *row, uint32_t place,
                    lspo_batch_t *batch)
{
    uint32_t *targets = batch->targets + (size_t)place * dataset->sequence;
    copy_padded(dataset, part, row, place, batch);
    for (uint32_t next = 1; next <= dataset->sequence; next++)
        targets[next - 1] =
            next >= row->prompt_count && next < row->count ? part->tokens.ids[row->first + next] : LSPO_TARGET_IGNORED;
}

static void fill_row(const lspo_dataset_t *dataset, const part_t *part, uint64_t row, uint32_t place,
                     lspo_batch_t *batch)
{
    switch (dataset->kind) {
    case LSPO_DATASET_STREAM:
        window(dataset, part, row, place, batch);
        break;
    case LSPO_DATASET_EXAMPLES:
        example(dataset, part, &part->rows[row], place, batch);
        break;
    case LSPO_DATASET_LABELS:
        copy_padded(dataset, part, &part->rows[row], place, batch);
        batch->targets[place] = part->rows[row].label;
        break;
    }
}

static void ignore_row(const lspo_dataset_t *dataset, uint32_t place, lspo_batch_t *batch)
{
    size_t count = dataset->kind == LSPO_DATASET_LABELS ? 1 : dataset->sequence;
    for (size_t i = 0; i < count; i++)
        batch->targets[place * count + i] = LSPO_TARGET_IGNORED;
}

void lspo_dataset_batch(const lspo_dataset_t *dataset, uint64_t step, uint32_t micro, uint32_t accumulation,
                        uint32_t batch, lspo_batch_t *batch_out)
{
    for (uint32_t b = 0; b < batch; b++) {
        uint64_t number = (step * accumulation + micro) * batch + b;
        uint64_t place = lspo_dataset_permute(dataset->seed, number / dataset->train_rows, dataset->train_rows,
                                              number % dataset->train_rows);
        fill_row(dataset, &dataset->train, row_at(dataset, place), b, batch_out);
    }
}

uint64_t lspo_dataset_held_out_batches(const lspo_dataset_t *dataset, uint32_t batch)
{
    return (dataset->held_out_rows + batch - 1) / batch;
}

void lspo_dataset_held_out(const lspo_dataset_t *dataset, uint32_t index, uint32_t index_count, uint32_t batch,
                           lspo_batch_t *batch_out)
{
    const part_t *part = dataset->own_eval ? &dataset->eval : &dataset->train;
    uint64_t wanted = (uint64_t)index_count * batch, rows = dataset->held_out_rows;
    for (uint32_t b = 0; b < batch; b++) {
        uint64_t number = (uint64_t)index * batch + b;
        /* As many as are wanted, evenly spread; or all of them in turn, and nothing behind. */
        uint64_t place = wanted < rows ? number * rows / wanted : number;
        bool repeated = place >= rows;
        if (repeated)
            place = rows - 1;
        fill_row(dataset, part, row_at(dataset, dataset->own_eval ? place : dataset->train_rows + place), b, batch_out);
        if (repeated)
            ignore_row(dataset, b, batch_out);
    }
}
