/* generate_windows.c - see generate_windows.h. */
#include "cli/generate_windows.h"

#include <stdlib.h>
#include <string.h>

lspo_status_t lspo_windows_open(const char *path, lspo_tokenizer_t *tokenizer, uint32_t vocabulary,
                                lspo_windows_t *windows_out)
{
    lspo_windows_t windows = {.path = path};
    lspo_status_t status = lspo_text_open(path, &windows.text);
    if (status != LSPO_OK)
        return status;
    if (tokenizer != NULL)
        status = lspo_text_tokenize(windows.text, tokenizer, vocabulary);
    else if (vocabulary < LSPO_TEXT_VOCABULARY)
        status = lspo_error(LSPO_ERR_INPUT, "%s: bytes are tokens of a vocabulary of %d, and the model's has %u", path,
                            LSPO_TEXT_VOCABULARY, vocabulary);
    if (status == LSPO_OK)
        *windows_out = windows;
    else
        lspo_windows_close(&windows);
    return status;
}

void lspo_windows_close(lspo_windows_t *windows)
{
    lspo_text_close(windows->text);
    free(windows->tokens);
}

static lspo_status_t make_room(lspo_windows_t *windows, uint32_t count, uint32_t length)
{
    windows->count = count;
    windows->length = length;
    windows->tokens = calloc((size_t)count * length, sizeof *windows->tokens);
    return windows->tokens != NULL ? LSPO_OK : lspo_no_memory("%u windows of %u tokens", count, length);
}

static lspo_status_t refuse_short(const lspo_windows_t *windows)
{
    return lspo_error(LSPO_ERR_INPUT,
                      "%s has %zu tokens, of which the last 5 %% are held out; at least 2 of these are needed",
                      windows->path, lspo_text_count(windows->text));
}

lspo_status_t lspo_windows_draw(lspo_windows_t *windows, uint64_t seed, uint32_t count, uint32_t least, const char *why,
                                uint32_t *length)
{
    const size_t there = lspo_text_count(windows->text) - lspo_text_held_out_count(windows->text);
    if (there < 2)
        return refuse_short(windows);
    if (there < least)
        return lspo_error(LSPO_ERR_INPUT, "%s has %zu tokens beside the last 5 %%; a calibration needs at least %u, %s",
                          windows->path, there, least, why);
    const uint32_t some = there - 1 < *length ? (uint32_t)(there - 1) : *length;
    lspo_status_t status = make_room(windows, count, some);
    uint32_t *targets = status == LSPO_OK ? malloc((size_t)count * some * sizeof *targets) : NULL;
    if (status == LSPO_OK && targets == NULL)
        status = lspo_no_memory("%u windows of %u tokens", count, some);
    if (status != LSPO_OK)
        return status;
    lspo_text_batch(windows->text, seed, 0, 0, &(lspo_text_windows_t){count, some, windows->tokens, targets});
    free(targets);
    *length = some;
    return LSPO_OK;
}

lspo_status_t lspo_windows_hold_out(lspo_windows_t *windows, uint32_t most, uint32_t *length)
{
    const size_t there = lspo_text_held_out_count(windows->text);
    if (there < 2)
        return refuse_short(windows);
    const uint32_t some = there - 1 < *length ? (uint32_t)(there - 1) : *length;
    const size_t side_by_side = (there - 1) / some;
    const uint32_t count = side_by_side < most ? (uint32_t)side_by_side : most;
    lspo_status_t status = make_room(windows, count, some + 1);
    uint32_t *line = status == LSPO_OK ? malloc(2 * (size_t)some * sizeof *line) : NULL;
    if (status == LSPO_OK && line == NULL)
        status = lspo_no_memory("a window of %u tokens", some);
    if (status != LSPO_OK)
        return status;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t *tokens = windows->tokens + (size_t)i * (some + 1);
        lspo_text_held_out(windows->text, i, count, &(lspo_text_windows_t){1, some, line, line + some});
        memcpy(tokens, line, some * sizeof *tokens);
        tokens[some] = line[2 * some - 1];
    }
    free(line);
    *length = some;
    return LSPO_OK;
}
