/* train_data.c - see train_data.h. */
#include "cli/train_data.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

static lspo_status_t append(lspo_train_encoding_t *encoding, size_t bytes, uint32_t *ids, size_t count,
                            lspo_tokens_t *tokens)
{
    lspo_status_t status = LSPO_OK;
    encoding->encoded += bytes;
    lspo_train_view_phase(encoding->view, "MB of text into tokens", (uint32_t)(encoding->encoded >> 20),
                          (uint32_t)(encoding->text_bytes >> 20));
    for (size_t i = 0; status == LSPO_OK && i < count; i++)
        status = lspo_tokens_append(tokens, ids[i]);
    free(ids);
    return status;
}

static lspo_status_t encode(void *context, const char *text, size_t bytes, lspo_tokens_t *tokens)
{
    lspo_train_encoding_t *encoding = context;
    uint32_t *ids;
    size_t count;
    lspo_status_t status = lspo_tokenizer_encode(encoding->tokenizer, text, bytes, false, &ids, &count);
    if (status != LSPO_OK)
        return status;
    return append(encoding, bytes, ids, count, tokens);
}

static lspo_status_t encode_parts(void *context, const lspo_tokenizer_parts_t *parts, lspo_tokens_t *tokens)
{
    lspo_train_encoding_t *encoding = context;
    uint32_t *ids;
    size_t count;
    lspo_status_t status = lspo_tokenizer_encode_parts(encoding->tokenizer, parts, &ids, &count);
    if (status != LSPO_OK)
        return status;
    return append(encoding, parts->bytes, ids, count, tokens);
}

lspo_encoder_t lspo_train_encoder(lspo_train_encoding_t *encoding)
{
    if (!encoding->tokenizer)
        return lspo_encoder_bytes();
    uint32_t end = lspo_tokenizer_end(encoding->tokenizer), pad = lspo_tokenizer_pad(encoding->tokenizer);
    const uint32_t *between;
    const uint32_t between_count = lspo_tokenizer_between(encoding->tokenizer, &between);
    return (lspo_encoder_t){.name = lspo_tokenizer_kind(encoding->tokenizer),
                            .encode = encode,
                            .encode_parts = encode_parts,
                            .context = encoding,
                            .begin = lspo_tokenizer_begin(encoding->tokenizer),
                            .end = end,
                            .pad = pad != LSPO_TOKEN_NONE   ? pad
                                   : end != LSPO_TOKEN_NONE ? end
                                                            : 0,
                            .vocabulary = encoding->vocabulary,
                            .pairs = between_count != UINT32_MAX,
                            .between = between,
                            .between_count = between_count};
}

static uint64_t file_bytes(const char *path)
{
    struct stat info;
    return path && stat(path, &info) == 0 && S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0;
}

lspo_status_t lspo_train_data_open(const lspo_train_data_t *given, const lspo_request_t *request,
                                   lspo_train_encoding_t *encoding, lspo_dataset_t **data_out)
{
    encoding->text_bytes = file_bytes(given->path) + file_bytes(given->eval_path);
    lspo_dataset_options_t options = {
        .path = given->path,
        .eval_path = given->eval_path,
        .held_out = given->eval_path ? 0 : given->held_out,
        .sequence = request->workload.sequence,
        .class_count = request->model.class_count,
        .seed = request->workload.seed,
        .encoder = lspo_train_encoder(encoding),
        .prompt_field = given->prompt_field,
        .answer_field = given->answer_field,
        .loss_all = given->loss_all,
        .chat = {.folder = given->folder, .name = given->chat_template, .tokenizer = encoding->tokenizer}};
    lspo_status_t status = lspo_dataset_open(&options, data_out);
    if (status != LSPO_OK)
        return status;
    if (lspo_dataset_dropped_rows(*data_out) > 0)
        lspo_warn("%" PRIu64 " examples are left out: their prompts fill the %" PRIu32 " tokens of --sequence",
                  lspo_dataset_dropped_rows(*data_out), options.sequence);
    return LSPO_OK;
}
