/* tokenizer_fixture.h - code shared by the suites of tokenizers: a small model, files of the test's own folder, ids and
 * texts that are expected, and the recorded tokenizers. */
#ifndef LSPO_TESTS_TOKENIZER_FIXTURE_H
#define LSPO_TESTS_TOKENIZER_FIXTURE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "real/tokenizer/tokenizer.h"
#include "tests/own_folder.h"

/* Of the tokens a 0, b 1, c 2, bc 3, ab 4, ? 5 (unknown) and abc 6. */
#define SMALL_MODEL                                                                                                    \
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"bc\":3,\"ab\":4,\"?\":5,"    \
    "\"abc\":6},\"merges\":[\"b c\",\"a b\",[\"a\",\"bc\"]]}"

/* A pre-tokenizer of type Split, and what it does with what it finds. */
#define SPLIT(pattern, rest) "{\"type\":\"Split\",\"pattern\":{" pattern "}," rest "}"
#define BY(name) "\"behavior\":\"" name "\""

static inline void write_text(const char *name, const char *text, size_t bytes)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(text, 1, bytes, file), bytes);
    cr_assert_eq(fclose(file), 0);
}

static inline void write_string(const char *name, const char *text)
{
    write_text(name, text, strlen(text));
}

static inline lspo_status_t open_json(const char *text, lspo_tokenizer_t **tokenizer_out)
{
    write_text("tokenizer.json", text, strlen(text));
    return lspo_tokenizer_open(folder, tokenizer_out);
}

static inline void expect_ids(lspo_tokenizer_t *t, const char *text, size_t bytes, bool specials,
                              const uint32_t *wanted, size_t wanted_count)
{
    uint32_t *ids = NULL;
    size_t count = 0;
    cr_assert_eq(lspo_tokenizer_encode(t, text, bytes, specials, &ids, &count), LSPO_OK);
    cr_assert_eq(count, wanted_count, "'%s': %zu ids, not %zu", text, count, wanted_count);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(ids[i], wanted[i], "'%s': id %zu is %u, not %u", text, i, ids[i], wanted[i]);
    free(ids);
}

static inline void expect_text(lspo_tokenizer_t *t, const uint32_t *ids, size_t count, bool skip, const char *wanted,
                               size_t wanted_bytes)
{
    char *text = NULL;
    size_t bytes = 0;
    cr_assert_eq(lspo_tokenizer_decode(t, ids, count, skip, &text, &bytes), LSPO_OK);
    cr_assert(bytes == wanted_bytes && memcmp(text, wanted, bytes) == 0, "'%s' is not '%s'", text, wanted);
    free(text);
    /* One after the other. */
    lspo_tokenizer_stream_t stream = {0};
    lspo_buffer_t pieces = {0};
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(lspo_tokenizer_decode_next(t, &stream, ids + i, 1, skip, &pieces), LSPO_OK);
    cr_assert(pieces.bytes == wanted_bytes && (count == 0 || memcmp(pieces.text, wanted, wanted_bytes) == 0),
              "'%s', one token after the other, is not '%s'", pieces.text, wanted);
    free(pieces.text);
}

static inline char *peers_folder(void)
{
    static char path[512];
    const char *peers = getenv("LSPO_PEERS"), *source = getenv("LSPO_SOURCE");
    if (peers)
        snprintf(path, sizeof path, "%s/tokenizers", peers);
    else
        snprintf(path, sizeof path, "%s/tests/data/peers/tokenizers", source ? source : ".");
    return path;
}

static inline lspo_tokenizer_t *open_peer(const char *kind)
{
    char path[1024];
    lspo_tokenizer_t *t = NULL;
    snprintf(path, sizeof path, "%s/%s", peers_folder(), kind);
    cr_assert_eq(lspo_tokenizer_open(path, &t), LSPO_OK);
    return t;
}

#endif
