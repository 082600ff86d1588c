/* The training text: what is in it, what is held out, and that batches depend on their number alone. */
#include "real/data/text.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Number i of 211 bytes that may stand in a text: from ! up, without 127. */
static uint32_t letter(uint32_t i)
{
    i %= 211;
    return i + '!' + (i + '!' >= 127);
}

static uint32_t place_of(uint32_t byte)
{
    return byte - '!' - (byte > 127);
}

/* A file of `count` letters in turn, so that a window tells where it came from. */
static void make_file(size_t count, char *path)
{
    strcpy(path, "/tmp/lspo-test-text-XXXXXX");
    int descriptor = mkstemp(path);
    cr_assert_geq(descriptor, 0);
    FILE *file = fdopen(descriptor, "wb");
    cr_assert_not_null(file);
    for (size_t i = 0; i < count; i++)
        fputc((int)letter((uint32_t)i), file);
    cr_assert_eq(fclose(file), 0);
}

static lspo_text_t *open_file(size_t count)
{
    char path[64];
    make_file(count, path);
    lspo_text_t *text = NULL;
    cr_assert_eq(lspo_text_open(path, &text), LSPO_OK);
    unlink(path);
    return text;
}

Test(text, machine_has_four_megabytes_of_its_own)
{
    lspo_text_t *text = NULL;
    cr_assert_eq(lspo_text_open(NULL, &text), LSPO_OK);
    cr_assert_geq(lspo_text_bytes(text), 4000000u);
    /* Text, not data: nearly all bytes are printable. */
    size_t printable = 0;
    for (size_t i = 0; i < lspo_text_bytes(text); i++) {
        uint8_t c = lspo_text_data(text)[i];
        printable += (c >= 32 && c < 127) || c == '\n' || c == '\t';
    }
    cr_assert_gt((double)printable, 0.99 * (double)lspo_text_bytes(text));
    lspo_text_close(text);
}

Test(text, last_twentieth_is_held_out)
{
    lspo_text_t *text = open_file(10000);
    cr_assert_eq(lspo_text_bytes(text), 10000u);
    cr_assert_eq(lspo_text_train_bytes(text), 9500u);
    cr_assert_not_null(strstr(lspo_text_source(text), "10000 bytes"));
    lspo_text_close(text);
}

/* FNV-1a of a single !: (0xcbf29ce484222325 ^ 33) * 0x100000001b3 = af639c4c86017fcc. */
Test(text, source_names_the_hash)
{
    lspo_text_t *text = open_file(1);
    cr_assert_not_null(strstr(lspo_text_source(text), "af639c4c86017fcc"), "%s", lspo_text_source(text));
    lspo_text_close(text);
}

Test(text, bad_files_are_refused)
{
    lspo_text_t *text = NULL;
    cr_assert_eq(lspo_text_open("/nonexistent/file", &text), LSPO_ERR_INPUT);
    cr_assert_eq(lspo_text_open("/tmp", &text), LSPO_ERR_INPUT);
    cr_assert_eq(lspo_text_open("/dev/null", &text), LSPO_ERR_INPUT);
    char path[64];
    make_file(0, path);
    cr_assert_eq(lspo_text_open(path, &text), LSPO_ERR_INPUT);
    unlink(path);
    cr_assert_null(text);
}

/* 2000 bytes: 100 held out.  Sequence 99 needs 100 bytes, sequence 100 needs 101. */
Test(text, short_text_is_refused)
{
    lspo_text_t *text = open_file(2000);
    cr_assert_eq(lspo_text_check(text, 99), LSPO_OK);
    cr_assert_eq(lspo_text_check(text, 100), LSPO_ERR_INPUT);
    lspo_text_close(text);
}

enum { BATCH = 4, SEQUENCE = 50, TOKENS = BATCH * SEQUENCE };

Test(text, targets_are_the_next_bytes_of_the_training_part)
{
    lspo_text_t *text = open_file(1100); /* 1045 train, 55 held out */
    uint32_t tokens[TOKENS], targets[TOKENS];
    uint32_t least = UINT32_MAX, most = 0;
    for (uint32_t iteration = 0; iteration < 500; iteration++) {
        lspo_text_batch(text, 7, iteration, 0, &(lspo_text_windows_t){BATCH, SEQUENCE, tokens, targets});
        for (uint32_t b = 0; b < BATCH; b++) {
            const uint32_t *row = tokens + (size_t)b * SEQUENCE;
            const uint8_t *data = lspo_text_data(text);
            /* Find the window: bytes repeat every 211, so compare against every start of the training part. */
            uint32_t found = UINT32_MAX;
            for (uint32_t start = 0; start + SEQUENCE < 1045; start++) {
                if (data[start] == row[0]) {
                    found = start;
                    break;
                }
            }
            cr_assert_neq(found, UINT32_MAX);
            for (uint32_t i = 0; i < SEQUENCE; i++) {
                cr_assert_eq(row[i], letter(place_of(row[0]) + i));
                cr_assert_eq(targets[(size_t)b * SEQUENCE + i], letter(place_of(row[0]) + i + 1));
            }
            least = found < least ? found : least;
            most = found > most ? found : most;
        }
    }
    cr_assert_lt(least, 10u, "2000 draws over 211 letters reach both ends");
    cr_assert_gt(most, 200u);
    lspo_text_close(text);
}

/* With a held-out part of another byte value, a training batch that touches it would show. */
Test(text, training_never_sees_the_held_out_part)
{
    char path[64];
    strcpy(path, "/tmp/lspo-test-text-XXXXXX");
    int descriptor = mkstemp(path);
    FILE *file = fdopen(descriptor, "wb");
    cr_assert_not_null(file);
    for (int i = 0; i < 2000; i++)
        fputc(i < 1900 ? 'a' : 'b', file);
    fclose(file);
    lspo_text_t *text = NULL;
    cr_assert_eq(lspo_text_open(path, &text), LSPO_OK);
    unlink(path);
    uint32_t tokens[TOKENS], targets[TOKENS];
    for (uint32_t iteration = 0; iteration < 2000; iteration++) {
        lspo_text_batch(text, 1, iteration, 0, &(lspo_text_windows_t){BATCH, SEQUENCE, tokens, targets});
        for (uint32_t i = 0; i < TOKENS; i++) {
            cr_assert_eq(tokens[i], (uint32_t)'a');
            cr_assert_eq(targets[i], (uint32_t)'a');
        }
    }
    for (uint32_t index = 0; index < 5; index++) {
        lspo_text_held_out(text, index, 5, &(lspo_text_windows_t){BATCH, SEQUENCE, tokens, targets});
        for (uint32_t i = 0; i < TOKENS; i++) {
            cr_assert_eq(tokens[i], (uint32_t)'b');
            cr_assert_eq(targets[i], (uint32_t)'b');
        }
    }
    lspo_text_close(text);
}

Test(text, batches_depend_on_seed_iteration_and_micro)
{
    lspo_text_t *text = open_file(100000);
    uint32_t a[TOKENS], b[TOKENS], targets[TOKENS];
    lspo_text_batch(text, 1, 3, 0, &(lspo_text_windows_t){BATCH, SEQUENCE, a, targets});
    lspo_text_batch(text, 1, 3, 0, &(lspo_text_windows_t){BATCH, SEQUENCE, b, targets});
    cr_assert_eq(memcmp(a, b, sizeof a), 0);
    const uint64_t others[][3] = {{2, 3, 0}, {1, 4, 0}, {1, 3, 1}};
    for (int i = 0; i < 3; i++) {
        lspo_text_batch(text, others[i][0], (uint32_t)others[i][1], (uint32_t)others[i][2],
                        &(lspo_text_windows_t){BATCH, SEQUENCE, b, targets});
        cr_assert_neq(memcmp(a, b, sizeof a), 0);
    }
    lspo_text_close(text);
}
