/* text.c - see text.h. */
#include "real/data/text.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "kernels/random.h"
#include "real/data/data_file.h"

enum { OWN_TEXT_MIN_BYTES = 4000000, OWN_TEXT_ENOUGH_BYTES = 8 << 20, TEXT_MAX_BYTES = 1 << 30, DEPTH_MAX = 8 };
enum { BATCH_STREAM = 0x74657874 }; /* different from the streams of weights and projectors */

struct lspo_text {
    uint8_t *data;
    size_t bytes, capacity, train_bytes;
    uint32_t *tokens; /* NULL: the bytes */
    size_t count, train_count;
    uint32_t vocabulary;
    char source[512];
};

static lspo_status_t reserve(lspo_text_t *text, size_t more_bytes)
{
    if (text->bytes + more_bytes > TEXT_MAX_BYTES)
        return lspo_error(LSPO_ERR_INPUT, "the training text is above 1 GiB; give a smaller file");
    return lspo_array_grow(&text->data, &text->capacity, text->bytes + more_bytes, 1, "bytes of training text");
}

/* `name` could not be opened.  If memory ran out, that is an error, because the training text would differ.  Missing
 * and unreadable files are skipped. */
static lspo_status_t lack_of_memory(const char *name)
{
    return errno == ENOMEM ? lspo_no_memory("reading %s as training text", name) : LSPO_OK;
}

static lspo_status_t append_stream(lspo_text_t *text, FILE *file, const char *name)
{
    enum { PART_BYTES = 1 << 16 };
    for (;;) {
        lspo_status_t status = reserve(text, PART_BYTES);
        if (status != LSPO_OK)
            return status;
        size_t count = fread(text->data + text->bytes, 1, PART_BYTES, file);
        text->bytes += count;
        if (count < PART_BYTES)
            return ferror(file) ? lspo_error(lspo_status_of_errno(errno), "%s: cannot read: %s", name, strerror(errno))
                                : LSPO_OK;
    }
}

static lspo_status_t read_file(lspo_text_t *text, const char *path)
{
    lspo_data_file_t file;
    lspo_status_t status = lspo_data_file_read(path, &file);
    if (status != LSPO_OK)
        return status;
    text->data = (uint8_t *)file.text;
    text->bytes = text->capacity = file.bytes;
    file.text = NULL;
    lspo_data_file_release(&file);
    return LSPO_OK;
}

/* *complete_out: false (and no text) if the program is missing or prints less than the whole book. */
static lspo_status_t read_bible(lspo_text_t *text, bool *complete_out)
{
    *complete_out = false;
    FILE *program = popen("bible -f gen1:1-rev22:21 2>/dev/null </dev/null", "r");
    if (!program)
        return lack_of_memory("bible-kjv");
    lspo_status_t status = append_stream(text, program, "bible");
    *complete_out = pclose(program) == 0 && status == LSPO_OK && text->bytes >= OWN_TEXT_MIN_BYTES;
    if (!*complete_out)
        text->bytes = 0;
    return status;
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t length = strlen(name), suffix_length = strlen(suffix);
    return length >= suffix_length && strcmp(name + length - suffix_length, suffix) == 0;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Unreadable files are skipped: this is the machine's own text, whatever it has. */
static lspo_status_t append_path(lspo_text_t *text, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return lack_of_memory(path);
    lspo_status_t status = append_stream(text, file, path);
    fclose(file);
    return status;
}

static lspo_status_t append_tree(lspo_text_t *text, const char *folder, const char *suffix, int depth);

static lspo_status_t append_entry(lspo_text_t *text, const char *folder, const char *name, const char *suffix,
                                  int depth)
{
    char path[4096];
    struct stat info;
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    if ((size_t)length >= sizeof path || lstat(path, &info) != 0)
        return LSPO_OK;
    if (S_ISDIR(info.st_mode) && depth < DEPTH_MAX)
        return append_tree(text, path, suffix, depth + 1);
    if (S_ISREG(info.st_mode) && ends_with(path, suffix))
        return append_path(text, path);
    return LSPO_OK;
}

/* All files of a folder whose names end with `suffix`, sorted by bytes, so that the order does not depend on the
 * locale. */
static lspo_status_t append_tree(lspo_text_t *text, const char *folder, const char *suffix, int depth)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_visible, by_bytes);
    if (count < 0)
        return lack_of_memory(folder);
    lspo_status_t status = LSPO_OK;
    for (int i = 0; i < count && text->bytes < OWN_TEXT_ENOUGH_BYTES; i++) {
        status = append_entry(text, folder, entries[i]->d_name, suffix, depth);
        if (status != LSPO_OK)
            break;
    }
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return status;
}

static lspo_status_t read_own(lspo_text_t *text, const char **name_out)
{
    bool complete;
    *name_out = "bible-kjv";
    lspo_status_t status = read_bible(text, &complete);
    if (status != LSPO_OK)
        return status;
    if (complete)
        return LSPO_OK;
    *name_out = "/usr/share/common-licenses and /usr/include";
    status = append_tree(text, "/usr/share/common-licenses", "", 0);
    if (status != LSPO_OK)
        return status;
    status = append_tree(text, "/usr/include", ".h", 0);
    if (status != LSPO_OK)
        return status;
    if (text->bytes < OWN_TEXT_MIN_BYTES)
        return lspo_error(
            LSPO_ERR_IO,
            "this machine has only %zu bytes of text, %d are needed: install bible-kjv or give a file with --text",
            text->bytes, OWN_TEXT_MIN_BYTES);
    return LSPO_OK;
}

static uint64_t fnv1a(const uint8_t *data, size_t bytes)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ data[i]) * UINT64_C(0x100000001b3);
    return hash;
}

lspo_status_t lspo_text_open(const char *path, lspo_text_t **text_out)
{
    lspo_text_t *text = calloc(1, sizeof *text);
    if (!text)
        return lspo_no_memory("the training text");
    const char *name = path;
    lspo_status_t status = path ? read_file(text, path) : read_own(text, &name);
    if (status != LSPO_OK) {
        lspo_text_close(text);
        return status;
    }
    text->train_bytes = text->bytes - text->bytes / 20;
    text->count = text->bytes;
    text->train_count = text->train_bytes;
    text->vocabulary = LSPO_TEXT_VOCABULARY;
    snprintf(text->source, sizeof text->source, "%.400s, %zu bytes, fnv1a %016" PRIx64, name, text->bytes,
             fnv1a(text->data, text->bytes));
    *text_out = text;
    return LSPO_OK;
}

void lspo_text_close(lspo_text_t *text)
{
    if (!text)
        return;
    free(text->tokens);
    free(text->data);
    free(text);
}

size_t lspo_text_count(const lspo_text_t *text)
{
    return text->count;
}

size_t lspo_text_held_out_count(const lspo_text_t *text)
{
    return text->count - text->train_count;
}

size_t lspo_text_bytes(const lspo_text_t *text)
{
    return text->bytes;
}

size_t lspo_text_train_bytes(const lspo_text_t *text)
{
    return text->train_bytes;
}

const uint8_t *lspo_text_data(const lspo_text_t *text)
{
    return text->data;
}

const char *lspo_text_source(const lspo_text_t *text)
{
    return text->source;
}

lspo_status_t lspo_text_tokenize(lspo_text_t *text, lspo_tokenizer_t *tokenizer, uint32_t vocabulary)
{
    uint32_t *tokens = NULL;
    size_t count = 0;
    lspo_status_t status =
        lspo_tokenizer_encode(tokenizer, (const char *)text->data, text->bytes, false, &tokens, &count);
    if (status != LSPO_OK)
        goto failed;
    for (size_t i = 0; i < count; i++) {
        if (tokens[i] >= vocabulary) {
            status = lspo_error(LSPO_ERR_INPUT,
                                "token %" PRIu32 " of the tokenizer is outside the model's vocabulary of %" PRIu32,
                                tokens[i], vocabulary);
            goto failed;
        }
    }
    free(text->tokens);
    text->tokens = tokens;
    text->count = count;
    text->train_count = count - count / 20;
    text->vocabulary = vocabulary;
    return LSPO_OK;
failed:
    free(tokens);
    return status;
}

uint32_t lspo_text_vocabulary(const lspo_text_t *text)
{
    return text->vocabulary;
}

lspo_status_t lspo_text_check(const lspo_text_t *text, uint32_t sequence)
{
    const size_t held_out = text->count - text->train_count, needed = (size_t)sequence + 1;
    if (held_out >= needed && text->train_count >= needed)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT,
                      "the text (%s) is too short: its held-out part has %zu %s and a sequence "
                      "needs %zu; use a longer text or a smaller --sequence",
                      text->source, held_out, text->tokens ? "tokens" : "bytes", needed);
}

/* Window `b` of the batch. */
static void fill_window(const lspo_text_t *text, size_t start, const lspo_text_windows_t *windows, uint32_t b)
{
    uint32_t *tokens = windows->tokens + (size_t)b * windows->sequence;
    uint32_t *targets = windows->targets + (size_t)b * windows->sequence;
    for (uint32_t i = 0; i < windows->sequence; i++) {
        tokens[i] = text->tokens ? text->tokens[start + i] : text->data[start + i];
        targets[i] = text->tokens ? text->tokens[start + i + 1] : text->data[start + i + 1];
    }
}

void lspo_text_batch(const lspo_text_t *text, uint64_t seed, uint32_t iteration, uint32_t micro,
                     const lspo_text_windows_t *windows)
{
    uint32_t starts = (uint32_t)(text->train_count - windows->sequence);
    uint64_t stream = (uint64_t)BATCH_STREAM << 32 | iteration;
    for (uint32_t b = 0; b < windows->batch; b++) {
        uint64_t index = (uint64_t)micro << 32 | b;
        fill_window(text, lspo_random_below(seed, stream, index, starts), windows, b);
    }
}

void lspo_text_held_out(const lspo_text_t *text, uint32_t index, uint32_t index_count,
                        const lspo_text_windows_t *windows)
{
    uint64_t last_start = text->count - text->train_count - windows->sequence - 1;
    uint64_t count = (uint64_t)index_count * windows->batch;
    for (uint32_t b = 0; b < windows->batch; b++) {
        uint64_t number = (uint64_t)index * windows->batch + b;
        uint64_t start = count > 1 ? last_start * number / (count - 1) : 0;
        fill_window(text, text->train_count + start, windows, b);
    }
}
