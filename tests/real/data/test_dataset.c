/* Rows against sequences written out by hand, the order against what a permutation is, and refusals. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "real/data/dataset.h"
#include "tests/own_folder.h"

enum { ROWS_MAX = 8, SEQUENCE_MAX = 128 };

typedef struct {
    uint32_t tokens[ROWS_MAX * SEQUENCE_MAX], targets[ROWS_MAX * SEQUENCE_MAX], lengths[ROWS_MAX];
} store_t;

TestSuite(dataset, .init = make_folder, .fini = remove_folder);

static lspo_dataset_options_t options_for(const char *path, uint32_t sequence)
{
    return (lspo_dataset_options_t){.path = path, .sequence = sequence, .seed = 7, .encoder = lspo_encoder_bytes()};
}

static lspo_dataset_t *open_text(const char *name, const char *text, uint32_t sequence)
{
    lspo_dataset_options_t options = options_for(own_file(name, text), sequence);
    lspo_dataset_t *dataset;
    cr_assert_eq(lspo_dataset_open(&options, &dataset), LSPO_OK);
    return dataset;
}

static void expect_refusal(const char *name, const char *text, uint32_t sequence, uint32_t class_count)
{
    lspo_dataset_options_t options = options_for(own_file(name, text), sequence);
    options.class_count = class_count;
    lspo_dataset_t *dataset = NULL;
    cr_expect_eq(lspo_dataset_open(&options, &dataset), LSPO_ERR_INPUT, "%s: %s", name, text);
    cr_expect_null(dataset);
}

static lspo_batch_t batch_of(store_t *store)
{
    return (lspo_batch_t){store->tokens, store->targets, store->lengths};
}

static void expect_text(const uint32_t *tokens, const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(tokens[i], (uint32_t)(uint8_t)text[i], "place %zu of '%s' is %u", i, text, tokens[i]);
}

Test(dataset, permutations_visit_each_place_once_in_an_order_of_their_own)
{
    for (uint64_t count = 1; count < 200; count += 13) {
        uint8_t seen[200] = {0};
        uint64_t fixed = 0;
        for (uint64_t i = 0; i < count; i++) {
            uint64_t place = lspo_dataset_permute(3, 5, count, i);
            cr_assert_lt(place, count);
            cr_assert_eq(seen[place]++, 0);
            fixed += place == i;
        }
        /* One place of a random permutation stays where it was, on average. */
        if (count > 20)
            cr_expect_lt(fixed, 8);
    }
    uint32_t same = 0;
    for (uint64_t i = 0; i < 1000; i++)
        same += lspo_dataset_permute(3, 5, 1000, i) == lspo_dataset_permute(3, 6, 1000, i);
    cr_expect_lt(same, 12, "epochs have orders of their own");
}

Test(dataset, an_epoch_of_a_stream_is_each_window_once)
{
    /* 26 letters in windows of 5 whose targets are one further: 0-4, 5-9, ..., 20-24, so that five fit. */
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz";
    lspo_dataset_t *dataset = open_text("letters.txt", alphabet, 5);
    cr_assert_eq(lspo_dataset_kind(dataset), LSPO_DATASET_STREAM);
    cr_assert_eq(lspo_dataset_train_rows(dataset), 5);
    cr_assert_eq(lspo_dataset_held_out_rows(dataset), 0);
    uint32_t seen[2][5] = {{0}};
    store_t store;
    lspo_batch_t batch = batch_of(&store);
    for (uint64_t step = 0; step < 5; step++) { /* 5 steps x 2 rows: two epochs */
        lspo_dataset_batch(dataset, step, 0, 1, 2, &batch);
        for (uint32_t b = 0; b < 2; b++) {
            uint32_t row = (store.tokens[b * 5] - 'a') / 5;
            seen[(step * 2 + b) / 5][row]++;
            expect_text(store.tokens + b * 5, alphabet + row * 5, 5);
            expect_text(store.targets + b * 5, alphabet + row * 5 + 1, 5);
            cr_expect_eq(store.lengths[b], 5);
        }
    }
    for (int epoch = 0; epoch < 2; epoch++)
        for (int row = 0; row < 5; row++)
            cr_expect_eq(seen[epoch][row], 1);
    lspo_dataset_close(dataset);
}

Test(dataset, micro_batches_are_the_rows_of_one_larger_batch)
{
    lspo_dataset_t *dataset = open_text("letters.txt", "abcdefghijklmnopqrstuvwxyz", 3);
    store_t whole, part;
    lspo_batch_t batch = batch_of(&whole), micro = batch_of(&part);
    lspo_dataset_batch(dataset, 3, 0, 1, 4, &batch);
    for (uint32_t m = 0; m < 2; m++) {
        lspo_dataset_batch(dataset, 3, m, 2, 2, &micro);
        cr_expect_arr_eq(part.tokens, whole.tokens + m * 6, 6 * sizeof(uint32_t));
    }
    lspo_dataset_close(dataset);
}

Test(dataset, documents_of_a_stream_end_with_the_end_token)
{
    lspo_dataset_t *dataset = open_text("a.jsonl", "{\"text\":\"ab\"}\n\n{\"text\":\"c\\u0000d\"}\n", 6);
    /* a b 0 c 0 d 0: seven tokens, one row of six. */
    static const uint32_t tokens[] = {'a', 'b', 0, 'c', 0, 'd'}, targets[] = {'b', 0, 'c', 0, 'd', 0};
    store_t store;
    lspo_batch_t batch = batch_of(&store);
    lspo_dataset_batch(dataset, 0, 0, 1, 1, &batch);
    cr_expect_arr_eq(store.tokens, tokens, sizeof tokens);
    cr_expect_arr_eq(store.targets, targets, sizeof targets);
    lspo_dataset_close(dataset);
}

Test(dataset, the_prompt_and_the_padding_do_not_count)
{
    lspo_dataset_t *dataset = open_text("p.jsonl", "{\"prompt\":\"ab\",\"completion\":\"cd\"}\n", 8);
    cr_assert_eq(lspo_dataset_kind(dataset), LSPO_DATASET_EXAMPLES);
    /* a b c d end: b, the target at a, is prompt; c, d and the end count. */
    static const uint32_t tokens[] = {'a', 'b', 'c', 'd', 0, 0, 0, 0};
    static const uint32_t targets[] = {UINT32_MAX, 'c', 'd', 0, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    store_t store;
    lspo_batch_t batch = batch_of(&store);
    lspo_dataset_batch(dataset, 0, 0, 1, 1, &batch);
    cr_expect_arr_eq(store.tokens, tokens, sizeof tokens);
    cr_expect_arr_eq(store.targets, targets, sizeof targets);
    cr_expect_eq(store.lengths[0], 5);
    lspo_dataset_close(dataset);
}

Test(dataset, long_examples_are_cut_and_those_without_completion_left_out)
{
    lspo_dataset_t *dataset = open_text("p.jsonl",
                                        "{\"prompt\":\"ab\",\"completion\":\"cdefgh\"}\n"
                                        "{\"prompt\":\"abcdefgh\",\"completion\":\"i\"}\n",
                                        4);
    cr_expect_eq(lspo_dataset_train_rows(dataset), 1);
    cr_expect_eq(lspo_dataset_cut_rows(dataset), 1);
    cr_expect_eq(lspo_dataset_dropped_rows(dataset), 1);
    static const uint32_t targets[] = {UINT32_MAX, 'c', 'd', 'e'};
    store_t store;
    lspo_batch_t batch = batch_of(&store);
    lspo_dataset_batch(dataset, 0, 0, 1, 1, &batch);
    expect_text(store.tokens, "abcd", 4);
    cr_expect_arr_eq(store.targets, targets, sizeof targets);
    lspo_dataset_close(dataset);
}

Test(dataset, alpaca_uses_the_template_of_its_authors)
{
    static const char with_input[] =
        "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
        "response that appropriately completes the request.\n\n### Instruction:\nAdd\n\n### Input:\n1 2\n\n### "
        "Response:3";
    static const char without[] = "Below is an instruction that describes a task. Write a response that appropriately "
                                  "completes the request.\n\n### Instruction:\nSay hi\n\n### Response:hi";
    lspo_dataset_t *dataset = open_text("alpaca.json",
                                        "[{\"instruction\":\"Add\",\"input\":\"1 2\",\"output\":\"3\"},\n"
                                        " {\"instruction\":\"Say hi\",\"input\":\"\",\"output\":\"hi\"}]",
                                        SEQUENCE_MAX * 2);
    static uint32_t tokens[4 * SEQUENCE_MAX], targets[4 * SEQUENCE_MAX], lengths[2];
    lspo_batch_t batch = {tokens, targets, lengths};
    lspo_dataset_batch(dataset, 0, 0, 1, 2, &batch);
    for (uint32_t b = 0; b < 2; b++) {
        uint32_t *row = tokens + b * SEQUENCE_MAX * 2, *target = targets + b * SEQUENCE_MAX * 2;
        const char *expected = lengths[b] == sizeof with_input ? with_input : without;
        size_t length = strlen(expected), counted = expected == with_input ? 2 : 3; /* with the end token */
        cr_expect_eq(lengths[b], length + 1);
        expect_text(row, expected, length);
        size_t found = 0;
        for (size_t i = 0; i < SEQUENCE_MAX * 2; i++)
            found += target[i] != LSPO_TARGET_IGNORED;
        cr_expect_eq(found, counted);
        cr_expect_eq(target[length - counted], (uint32_t)(uint8_t)expected[length - counted + 1]);
    }
    cr_expect_neq(lengths[0], lengths[1]);
    lspo_dataset_close(dataset);
}

Test(dataset, labels_are_one_target_a_row)
{
    lspo_dataset_options_t options =
        options_for(own_file("l.jsonl", "{\"text\":\"abc\",\"label\":2.0}\n{\"text\":\"abcdefgh\",\"label\":0}\n"), 4);
    options.class_count = 3;
    options.encoder.begin = 1;
    options.encoder.end = 2;
    lspo_dataset_t *dataset;
    cr_assert_eq(lspo_dataset_open(&options, &dataset), LSPO_OK);
    store_t store;
    lspo_batch_t batch = batch_of(&store);
    lspo_dataset_batch(dataset, 0, 0, 1, 2, &batch);
    static const uint32_t tokens[] = {1, 'a', 'b', 2}; /* both, cut to four with the end kept */
    for (uint32_t b = 0; b < 2; b++) {
        cr_expect_arr_eq(store.tokens + b * 4, tokens, sizeof tokens);
        cr_expect_eq(store.lengths[b], 4);
    }
    cr_expect_eq(store.targets[0] + store.targets[1], 2);
    lspo_dataset_close(dataset);
}

Test(dataset, held_out_rows_are_never_trained_on)
{
    char text[4096] = "";
    for (int i = 0; i < 40; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "{\"prompt\":\"p\",\"completion\":\"%c\"}\n",
                 '0' + i);
    lspo_dataset_options_t options = options_for(own_file("p.jsonl", text), 4);
    options.held_out = 0.25;
    lspo_dataset_t *dataset;
    cr_assert_eq(lspo_dataset_open(&options, &dataset), LSPO_OK);
    cr_assert_eq(lspo_dataset_train_rows(dataset), 30);
    cr_assert_eq(lspo_dataset_held_out_rows(dataset), 10);
    uint32_t trained[128] = {0}, held[128] = {0};
    store_t store;
    lspo_batch_t batch = batch_of(&store);
    for (uint64_t step = 0; step < 30; step++) {
        lspo_dataset_batch(dataset, step, 0, 1, 1, &batch);
        trained[store.tokens[1]]++;
    }
    cr_assert_eq(lspo_dataset_held_out_batches(dataset, 4), 3);
    uint32_t ignored = 0;
    for (uint32_t index = 0; index < 3; index++) {
        lspo_dataset_held_out(dataset, index, 3, 4, &batch);
        for (uint32_t b = 0; b < 4; b++)
            if (store.targets[b * 4] == LSPO_TARGET_IGNORED)
                ignored++;
            else
                held[store.tokens[b * 4 + 1]]++;
    }
    cr_expect_eq(ignored, 2, "3 x 4 places for 10 rows");
    uint32_t last_are_held = 0;
    for (int i = 0; i < 40; i++) {
        cr_expect_eq(trained['0' + i] + held['0' + i], 1, "record %d", i);
        last_are_held += i >= 30 && held['0' + i];
    }
    cr_expect_lt(last_are_held, 10, "a file sorted by label would hold out one label only");
    lspo_dataset_close(dataset);
}

Test(dataset, a_second_file_is_held_out)
{
    lspo_dataset_options_t options = options_for(own_file("a.txt", "abcdefghi"), 4);
    options.eval_path = own_file("b.txt", "ABCDEFGHI");
    lspo_dataset_t *dataset;
    cr_assert_eq(lspo_dataset_open(&options, &dataset), LSPO_OK);
    store_t store;
    lspo_batch_t batch = batch_of(&store);
    lspo_dataset_held_out(dataset, 0, 1, 2, &batch);
    expect_text(store.tokens, "ABCDEFGH", 8);
    expect_text(store.targets, "BCDEFGHI", 8);
    lspo_dataset_close(dataset);
}

Test(dataset, the_name_or_the_first_line_says_what_a_file_is)
{
    lspo_dataset_t *dataset = open_text("prose", "[sic] not JSON at all, but prose", 8);
    cr_expect_eq(lspo_dataset_tokens(dataset), 32);
    lspo_dataset_close(dataset);
    dataset = open_text("records", "{\"text\":\"0123456789\"}\n", 8);
    cr_expect_eq(lspo_dataset_tokens(dataset), 11);
    lspo_dataset_close(dataset);
    dataset = open_text("records.txt", "{\"text\":\"0123456789\"}\n", 8);
    cr_expect_eq(lspo_dataset_tokens(dataset), 22);
    lspo_dataset_close(dataset);
}

/* Each byte in turn becomes another: rows or a refusal, never a crash, and no token beyond the vocabulary. */
static void mutate(const char *name, const char *text, uint32_t sequence, uint32_t class_count)
{
    char mutated[512];
    size_t length = strlen(text);
    cr_assert_lt(length, sizeof mutated);
    for (size_t i = 0; i < length * 4; i++) {
        static const char others[] = {'"', '{', '\\', (char)0xff};
        strcpy(mutated, text);
        mutated[i / 4] = others[i % 4];
        lspo_dataset_options_t options = options_for(own_file(name, mutated), sequence);
        options.class_count = class_count;
        lspo_dataset_t *dataset;
        lspo_status_t status = lspo_dataset_open(&options, &dataset);
        cr_assert(status == LSPO_OK || status == LSPO_ERR_INPUT);
        if (status != LSPO_OK)
            continue;
        store_t store;
        lspo_batch_t batch = batch_of(&store);
        lspo_dataset_batch(dataset, i, 0, 1, 4, &batch);
        for (size_t t = 0; t < (size_t)4 * sequence; t++)
            cr_assert_lt(store.tokens[t], 256);
        lspo_dataset_close(dataset);
    }
}

Test(dataset, broken_files_are_refused_whatever_breaks_them)
{
    mutate("m.jsonl", "{\"prompt\":\"a\",\"completion\":\"bc\"}\n{\"prompt\":\"d\",\"completion\":\"\\u00e9\"}\n", 8,
           0);
    mutate("m.json", "[{\"instruction\":\"a\",\"output\":\"b\"}]", 200, 0);
    mutate("l.jsonl", "{\"text\":\"abc\",\"label\":1}\n{\"text\":\"d\",\"label\":0}\n", 8, 2);
    mutate("t.txt", "some text that goes on", 8, 0);
}

Test(dataset, what_is_wrong_is_refused)
{
    expect_refusal("empty.txt", "", 4, 0);
    expect_refusal("blank.txt", " \n\n", 4, 0);
    expect_refusal("short.txt", "abc", 4, 0);
    expect_refusal("broken.jsonl", "{\"text\":\"a\"}\n{\"text\":", 4, 0);
    expect_refusal("broken.json", "[{\"instruction\":\"a\",\n\"output\" \"b\"}]", 4, 0);
    expect_refusal("number.jsonl", "{\"text\":5}\n", 4, 0);
    expect_refusal("null.jsonl", "null\n", 4, 0);
    expect_refusal("unknown.jsonl", "{\"content\":\"abcdefgh\"}\n", 4, 0);
    expect_refusal("twice.jsonl", "{\"text\":\"abcdefgh\",\"text\":\"b\"}\n", 4, 0);
    expect_refusal("mixed.jsonl", "{\"text\":\"abcdefgh\"}\n{\"prompt\":\"a\",\"completion\":\"b\"}\n", 4, 0);
    expect_refusal("bytes.jsonl", "{\"text\":\"\xff\xfe\"}\n", 4, 0);
    expect_refusal("cut.jsonl", "{\"prompt\":\"abcdefgh\",\"completion\":\"b\"}\n", 4, 0);
    expect_refusal("nolabel.jsonl", "{\"text\":\"abc\"}\n", 4, 2);
    expect_refusal("label.jsonl", "{\"text\":\"abc\",\"label\":2}\n", 4, 2);
    expect_refusal("label.jsonl", "{\"text\":\"abc\",\"label\":0.5}\n", 4, 2);
    expect_refusal("label.jsonl", "{\"text\":\"abc\",\"label\":-1}\n", 4, 2);
    expect_refusal("label.jsonl", "{\"text\":\"abc\",\"label\":\"x\"}\n", 4, 2);
    expect_refusal("number.jsonl", "{\"text\":\"abc\",\"label\":\"good\"}\n", 4, 1);
    expect_refusal("prose.txt", "a model that classifies cannot read prose", 4, 2);
    lspo_dataset_options_t options = options_for("/nonexistent/file", 4);
    lspo_dataset_t *dataset;
    cr_expect_eq(lspo_dataset_open(&options, &dataset), LSPO_ERR_INPUT);
    options.path = "/tmp";
    cr_expect_eq(lspo_dataset_open(&options, &dataset), LSPO_ERR_INPUT);
    options = options_for(own_file("one.txt", "abcdefghijkl"), 4);
    options.held_out = 1;
    cr_expect_eq(lspo_dataset_open(&options, &dataset), LSPO_ERR_INPUT);
    options.held_out = 0.1;
    options.encoder.vocabulary = 'c';
    cr_expect_eq(lspo_dataset_open(&options, &dataset), LSPO_ERR_INPUT);
}
