/* dataset.c - see dataset.h. */
#include "real/data/dataset.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/random.h"
#include "real/data/dataset_state.h"
#include "real/data/text.h"

enum { FEISTEL_ROUNDS = 4 };
/* Random streams, different from those of weights and projectors. */
enum { ORDER_STREAM = 0x6f726465, SPLIT_EPOCH_STREAM = 0x73706c69 };

static lspo_status_t load_own_text(lspo_dataset_t *dataset, lspo_part_t *part)
{
    lspo_text_t *text;
    lspo_status_t status = lspo_text_open(NULL, &text);
    if (status != LSPO_OK)
        return status;
    status = lspo_encoder_encode(&dataset->encoder, (const char *)lspo_text_data(text), lspo_text_bytes(text),
                                 &part->tokens);
    lspo_text_close(text);
    return status;
}

static lspo_status_t check_tokens(const lspo_dataset_t *dataset, const lspo_part_t *part, const char *path)
{
    for (size_t i = 0; i < part->tokens.count; i++)
        if (part->tokens.ids[i] >= dataset->encoder.vocabulary)
            return lspo_error(LSPO_ERR_INPUT,
                              "%s: token %" PRIu32 " of the tokenizer is outside the model's vocabulary of %" PRIu32,
                              path, part->tokens.ids[i], dataset->encoder.vocabulary);
    return LSPO_OK;
}

static lspo_status_t load(lspo_dataset_t *dataset, lspo_part_t *part, const char *path)
{
    part->form = -1;
    if (!path && dataset->mapped)
        return lspo_error(LSPO_ERR_INPUT, "--prompt-field and --answer-field need --data FILE of records");
    if (!path && dataset->class_count > 0)
        return lspo_error(LSPO_ERR_INPUT, "a classifier needs --data FILE of %s", lspo_form_name(LSPO_FORM_LABEL));
    lspo_status_t status = path ? lspo_dataset_load_file(dataset, part, path) : load_own_text(dataset, part);
    if (status != LSPO_OK)
        return status;
    status = check_tokens(dataset, part, path ? path : "the machine's own text");
    if (status != LSPO_OK)
        return status;
    if (part->skipped > 0 && part->row_count + part->dropped == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: none of its %zu records can be trained on; the first is %s: %s", path,
                          part->skipped, part->skipped_where, part->skipped_why);
    if (part->form > (int)LSPO_FORM_TEXT && part->row_count == 0)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: none of its %zu examples has a completion within %" PRIu32 " tokens; raise --sequence",
                          path, part->dropped, dataset->sequence);
    return LSPO_OK;
}

static lspo_dataset_kind_t kind_of(const lspo_part_t *part)
{
    if (part->form == LSPO_FORM_LABEL)
        return LSPO_DATASET_LABELS;
    return part->form > (int)LSPO_FORM_TEXT ? LSPO_DATASET_EXAMPLES : LSPO_DATASET_STREAM;
}

static uint64_t rows_of(const lspo_dataset_t *dataset, const lspo_part_t *part)
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

static uint64_t hash_part(uint64_t hash, const lspo_part_t *part)
{
    hash = hash_words(hash, part->tokens.ids, part->tokens.count);
    for (size_t i = 0; i < part->row_count; i++) {
        const uint32_t words[] = {part->rows[i].count, part->rows[i].prompt_count, part->rows[i].label};
        hash = hash_words(hash, words, 3);
    }
    for (size_t i = 0; i < part->answer_count; i++)
        hash = hash_words(hash, (const uint32_t[]){part->answers[i].begin, part->answers[i].end}, 2);
    return hash;
}

static void describe(lspo_dataset_t *dataset, const char *path)
{
    char chat_name[32] = "";
    if (dataset->chat)
        snprintf(chat_name, sizeof chat_name, "%s, ", lspo_chat_name(dataset->chat));
    dataset->hash = hash_part(hash_part(UINT64_C(0xcbf29ce484222325), &dataset->train), &dataset->eval);
    snprintf(dataset->source, sizeof dataset->source,
             "%.360s, %s, %s%s%" PRIu64 " rows and %" PRIu64 " held out, fnv1a %016" PRIx64,
             path ? path : "the machine's own text", dataset->encoder.name, dataset->chat ? "chat template " : "",
             dataset->chat ? chat_name : "", dataset->train_rows, dataset->held_out_rows, dataset->hash);
}

static lspo_status_t check_options(const lspo_dataset_options_t *options)
{
    if (options->sequence == 0)
        return lspo_error(LSPO_ERR_INPUT, "a row needs at least one token");
    if (!(options->held_out >= 0 && options->held_out < 1))
        return lspo_error(LSPO_ERR_INPUT, "--held-out is %g; it must be from 0 to below 1", options->held_out);
    if (options->class_count > 0 && (options->prompt_field || options->answer_field))
        return lspo_error(LSPO_ERR_INPUT,
                          "--prompt-field and --answer-field name the fields of prompts and answers; a classifier's "
                          "records are %s",
                          lspo_form_name(LSPO_FORM_LABEL));
    if (options->class_count > 0 && options->loss_all)
        return lspo_error(LSPO_ERR_INPUT, "--loss all is for prompts and answers; the loss of a classifier is that of "
                                          "its labels");
    return LSPO_OK;
}

/* What is asked for chats needs chats. */
static lspo_status_t check_use(const lspo_dataset_t *dataset, const lspo_dataset_options_t *options)
{
    if (!options->chat.name || dataset->chat)
        return LSPO_OK;
    return lspo_error(
        LSPO_ERR_INPUT, "--chat-template %s is for chats and instructions, and %s has none (%s, %s or %s)",
        options->chat.name, options->path ? options->path : "the machine's own text", lspo_form_name(LSPO_FORM_CHAT),
        lspo_form_name(LSPO_FORM_PROMPT), lspo_form_name(LSPO_FORM_ALPACA));
}

static lspo_status_t open_parts(lspo_dataset_t *dataset, const lspo_dataset_options_t *options)
{
    lspo_status_t status = load(dataset, &dataset->train, options->path);
    dataset->kind = kind_of(&dataset->train);
    if (status != LSPO_OK || !options->eval_path)
        return status;
    status = load(dataset, &dataset->eval, options->eval_path);
    if (status != LSPO_OK || kind_of(&dataset->eval) == dataset->kind)
        return status;
    return lspo_error(LSPO_ERR_INPUT, "%s and %s have records of different forms",
                      options->path ? options->path : "the machine's own text", options->eval_path);
}

lspo_status_t lspo_dataset_open(const lspo_dataset_options_t *options, lspo_dataset_t **dataset_out)
{
    lspo_status_t status = check_options(options);
    if (status != LSPO_OK)
        return status;
    lspo_dataset_t *dataset = calloc(1, sizeof *dataset);
    if (!dataset)
        return lspo_no_memory("a dataset");
    dataset->encoder = options->encoder;
    dataset->sequence = options->sequence;
    dataset->class_count = options->class_count;
    dataset->seed = options->seed;
    dataset->loss_all = options->loss_all;
    dataset->mapped = options->prompt_field || options->answer_field;
    dataset->prompt_field = options->prompt_field ? options->prompt_field : "prompt";
    dataset->answer_field = options->answer_field ? options->answer_field : "completion";
    dataset->chat_source = options->chat;
    status = open_parts(dataset, options);
    if (status != LSPO_OK)
        goto failed;
    status = check_use(dataset, options);
    if (status != LSPO_OK)
        goto failed;
    status = split(dataset, options);
    if (status != LSPO_OK)
        goto failed;
    describe(dataset, options->path);
    *dataset_out = dataset;
    return LSPO_OK;
failed:
    lspo_dataset_close(dataset);
    return status;
}

static void release_part(lspo_part_t *part)
{
    free(part->tokens.ids);
    free(part->rows);
    free(part->answers);
}

void lspo_dataset_close(lspo_dataset_t *dataset)
{
    if (!dataset)
        return;
    release_part(&dataset->train);
    release_part(&dataset->eval);
    lspo_chat_close(dataset->chat);
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

/* One pass of a Feistel network on 2 x `half_bits` bits; the round function is Philox of (round, right half). */
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

/* A permutation of the next power of four, repeated until the result is below `count`: at most four steps on
 * average. */
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

/* Row number `place` of the training rows or, from train_rows on, of the rows of the same file that are held out. */
static uint64_t row_at(const lspo_dataset_t *dataset, uint64_t place)
{
    if (dataset->kind == LSPO_DATASET_STREAM || dataset->own_eval)
        return place;
    return lspo_dataset_permute(dataset->seed, SPLIT_EPOCH_STREAM, dataset->train_rows + dataset->held_out_rows, place);
}

static void window(const lspo_dataset_t *dataset, const lspo_part_t *part, uint64_t row, uint32_t place,
                   lspo_batch_t *batch)
{
    const uint32_t *at = part->tokens.ids + row * dataset->sequence;
    size_t first = (size_t)place * dataset->sequence, bytes = dataset->sequence * sizeof *at;
    memcpy(batch->tokens + first, at, bytes);
    memcpy(batch->targets + first, at + 1, bytes);
    batch->lengths[place] = dataset->sequence;
}

static void copy_padded(const lspo_dataset_t *dataset, const lspo_part_t *part, const lspo_row_t *row, uint32_t place,
                        lspo_batch_t *batch)
{
    uint32_t *tokens = batch->tokens + (size_t)place * dataset->sequence;
    for (uint32_t i = 0; i < dataset->sequence; i++)
        tokens[i] = i < row->count ? part->tokens.ids[row->first + i] : dataset->encoder.pad;
    batch->lengths[place] = row->count < dataset->sequence ? row->count : dataset->sequence;
}

/* Whether a token of an example is in the loss. */
static bool counts(const lspo_part_t *part, const lspo_row_t *row, uint32_t place)
{
    if (row->answer_count == 0)
        return place >= row->prompt_count;
    const lspo_answer_t *first = part->answers + row->first_answer, *answer = first + row->answer_count - 1;
    while (answer > first && answer->begin > place)
        answer--;
    return place >= answer->begin && place < answer->end;
}

static void example(const lspo_dataset_t *dataset, const lspo_part_t *part, const lspo_row_t *row, uint32_t place,
                    lspo_batch_t *batch)
{
    uint32_t *targets = batch->targets + (size_t)place * dataset->sequence;
    copy_padded(dataset, part, row, place, batch);
    for (uint32_t next = 1; next <= dataset->sequence; next++)
        targets[next - 1] =
            next < row->count && counts(part, row, next) ? part->tokens.ids[row->first + next] : LSPO_TARGET_IGNORED;
}

static void fill_row(const lspo_dataset_t *dataset, const lspo_part_t *part, uint64_t row, uint32_t place,
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
    const lspo_part_t *part = dataset->own_eval ? &dataset->eval : &dataset->train;
    uint64_t wanted = (uint64_t)index_count * batch, rows = dataset->held_out_rows;
    for (uint32_t b = 0; b < batch; b++) {
        uint64_t number = (uint64_t)index * batch + b;
        /* As many as requested, evenly spread; or all of them in turn, then none. */
        uint64_t place = wanted < rows ? number * rows / wanted : number;
        bool repeated = place >= rows;
        if (repeated)
            place = rows - 1;
        fill_row(dataset, part, row_at(dataset, dataset->own_eval ? place : dataset->train_rows + place), b, batch_out);
        if (repeated)
            ignore_row(dataset, b, batch_out);
    }
}
