/* Rows of classifiers against sequences written out by hand: GLUE's columns, pairs of texts, numbers, broken rows. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "real/data/dataset.h"
#include "tests/own_folder.h"
#include "tests/said.h"

enum { ROWS_MAX = 8, SEQUENCE = 16 };

typedef struct {
    uint32_t tokens[ROWS_MAX * SEQUENCE], targets[ROWS_MAX], lengths[ROWS_MAX];
    uint32_t sequence;
} rows_t;

TestSuite(dataset_labels, .init = make_folder, .fini = remove_folder);

static lspo_dataset_options_t options_for(const char *name, const char *text, uint32_t class_count)
{
    return (lspo_dataset_options_t){.path = own_file(name, text),
                                    .sequence = SEQUENCE,
                                    .seed = 7,
                                    .encoder = lspo_encoder_bytes(),
                                    .class_count = class_count};
}

/* All rows of a file in its order: they are held out of a training on another one. */
static lspo_dataset_t *open_rows(const char *name, const char *text, uint32_t class_count, rows_t *rows)
{
    lspo_dataset_options_t options = options_for(name, text, class_count);
    lspo_dataset_t *dataset = NULL;
    options.eval_path = options.path;
    options.sequence = rows->sequence ? rows->sequence : SEQUENCE;
    cr_assert_eq(lspo_dataset_open(&options, &dataset), LSPO_OK, "%s", text);
    cr_assert_eq(lspo_dataset_kind(dataset), LSPO_DATASET_LABELS);
    lspo_batch_t batch = {rows->tokens, rows->targets, rows->lengths};
    lspo_dataset_held_out(dataset, 0, 1, ROWS_MAX, &batch);
    return dataset;
}

/* Zeros of `text` are written as |: ends, and what is between the texts of a pair. */
static void expect_row(const rows_t *rows, uint32_t row, const char *text, uint32_t target)
{
    const uint32_t sequence = rows->sequence ? rows->sequence : SEQUENCE;
    cr_expect_eq(rows->targets[row], target, "row %u has target %u", row, rows->targets[row]);
    cr_expect_eq(rows->lengths[row], strlen(text), "row %u has %u tokens", row, rows->lengths[row]);
    for (uint32_t i = 0; text[i] != '\0'; i++) {
        const uint32_t token = rows->tokens[row * sequence + i];
        cr_expect_eq(token, text[i] == '|' ? 0 : (uint32_t)(uint8_t)text[i], "row %u, place %u is %u", row, i, token);
    }
}

static uint32_t bits(float value)
{
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

/* Each task as its download has it, cut to two rows. */
static const struct {
    const char *task, *text;
    uint32_t class_count;
    const char *rows[2];
    double targets[2];
} tasks[] = {
    {"CoLA", "gj04\t1\t\tWe go.\r\ngj04\t0\t*\tGo \"we\r\n", 2, {"We go.|", "Go \"we|"}, {1, 0}},
    {"SST-2", "sentence\tlabel\nhide new \t0\nfun \"x\t1\n", 2, {"hide new |", "fun \"x|"}, {0, 1}},
    {"MRPC",
     "\xef\xbb\xbfQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t70\t73\tA b\tA, b\r\n0\t7\t8\tC\t\"D\r\n",
     2,
     {"A b||A, b|", "C||\"D|"},
     {1, 0}},
    {"QQP",
     "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tWhy?\tHow?\t0\n4\t5\t6\tWho\tWho?\t1",
     2,
     {"Why?||How?|", "Who||Who?|"},
     {0, 1}},
    {"STS-B",
     "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
     "0\tm\tf\t2012\t1\tn\tn\tA p.\tAn a.\t5.000\n1\tm\tf\t2012\t4\tn\tn\tB.\tC.\t3.8\n",
     1,
     {"A p.||An a.|", "B.||C.|"},
     {5, 3.8}},
    {"MNLI",
     "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\t"
     "sentence2_parse\tsentence1\tsentence2\tlabel1\tgold_label\n"
     "0\t1\t1n\tg\t( a )\t( b )\t(R a)\t(R b)\tA\tB\tentailment\tneutral\n"
     "1\t2\t2c\tg\t( a )\t( b )\t(R a)\t(R b)\tC\tD\tneutral\tcontradiction\n",
     3,
     {"A||B|", "C||D|"},
     {1, 2}},
    {"QNLI",
     "index\tquestion\tsentence\tlabel\n0\tWhen?\tIn may\tentailment\n1\tQ\tS\tnot_entailment\n",
     2,
     {"When?||In may|", "Q||S|"},
     {0, 1}},
    {"RTE",
     "index\tsentence1\tsentence2\tlabel\n0\tA\tB\tnot_entailment\n1\tC\tD\tentailment\n",
     2,
     {"A||B|", "C||D|"},
     {1, 0}},
    {"WNLI", "index\tsentence1\tsentence2\tlabel\n0\tA\tB\t1\n1\tC\tD\t0\n", 2, {"A||B|", "C||D|"}, {1, 0}},
};

Test(dataset_labels, glue_is_read_as_its_download_has_it)
{
    for (size_t i = 0; i < sizeof tasks / sizeof tasks[0]; i++) {
        rows_t rows = {0};
        lspo_dataset_t *dataset = open_rows("dev.tsv", tasks[i].text, tasks[i].class_count, &rows);
        cr_expect_eq(lspo_dataset_held_out_rows(dataset), 2, "%s", tasks[i].task);
        for (uint32_t row = 0; row < 2; row++)
            expect_row(&rows, row, tasks[i].rows[row],
                       tasks[i].class_count == 1 ? bits((float)tasks[i].targets[row])
                                                 : (uint32_t)tasks[i].targets[row]);
        lspo_dataset_close(dataset);
    }
}

Test(dataset_labels, broken_rows_are_left_out)
{
    rows_t rows = {0};
    lspo_dataset_t *dataset =
        open_rows("dev.tsv", "sentence\tlabel\na\t0\nno label\nb\t2\nc\t\nd\tx\ne\t1\t1\n\xff\t1\n\nf\t1\n", 2, &rows);
    cr_expect_eq(lspo_dataset_held_out_rows(dataset), 2);
    expect_row(&rows, 0, "a|", 0);
    expect_row(&rows, 1, "f|", 1);
    lspo_dataset_close(dataset);
    rows = (rows_t){0};
    dataset = open_rows("dev.tsv",
                        "sentence1\tsentence2\tscore\na\tb\tnan\na\tb\t1e99\na\tb\t-0.5\na\tb\t99\na\tb\t5.01\n"
                        "a\tb\t 1\na\tb\t0x1\na\tb\t1e0\na\tb\t1.\na\tb\t.5\na\tb\t5.000\n\tb\t0\n",
                        1, &rows);
    cr_expect_eq(lspo_dataset_held_out_rows(dataset), 2);
    expect_row(&rows, 0, "a||b|", bits(5.0F));
    expect_row(&rows, 1, "||b|", bits(0.0F));
    lspo_dataset_close(dataset);
}

/* What strtod() takes for 1 is no class. */
Test(dataset_labels, a_class_is_one_digit)
{
    rows_t rows = {0};
    lspo_dataset_t *dataset = open_rows("dev.tsv",
                                        "sentence\tlabel\na\t 1\nb\t0x1\nc\t1e0\nd\t1.0\ne\t01\nf\t+1\n"
                                        "g\t1 \nh\t-0\ni\t1\n",
                                        2, &rows);
    cr_expect_eq(lspo_dataset_held_out_rows(dataset), 1);
    expect_row(&rows, 0, "i|", 1);
    lspo_dataset_close(dataset);
}

Test(dataset_labels, rows_without_text_are_left_out_and_named)
{
    static const char *const files[][3] = {
        {"dev.tsv", "sentence\tlabel\na\t0\n\t1\n\t0\n", "dev.tsv:3: it has no text"},
        {"dev.jsonl",
         "{\"text\":\"a\",\"label\":0}\n{\"text\":\"\",\"label\":1}\n"
         "{\"text\":\"\",\"text_pair\":\"\",\"label\":1}\n",
         "dev.jsonl:2: it has no text"}};
    for (size_t i = 0; i < 2; i++) {
        rows_t rows = {0};
        listen_begin();
        lspo_dataset_t *dataset = open_rows(files[i][0], files[i][1], 2, &rows);
        listen_end();
        cr_expect_eq(lspo_dataset_held_out_rows(dataset), 1);
        expect_row(&rows, 0, "a|", 0);
        expect_said(files[i][0], "records left out: 2; the first is ");
        expect_said(files[i][0], files[i][2]);
        lspo_dataset_close(dataset);
    }
}

/* By hand, of 12 tokens three are between and behind the texts, and nine remain: of 8 and 3 the longer one loses two,
 * of 8 and 7 both are cut, to 5 and 4. */
Test(dataset_labels, the_longer_text_of_a_pair_is_cut_first)
{
    rows_t rows = {.sequence = 12};
    lspo_dataset_t *dataset = open_rows("p.jsonl",
                                        "{\"text\":\"abcdefgh\",\"text_pair\":\"123\",\"label\":0}\n"
                                        "{\"text\":\"123\",\"text_pair\":\"abcdefgh\",\"label\":1}\n"
                                        "{\"text\":\"abcdefgh\",\"text_pair\":\"1234567\",\"label\":1}\n"
                                        "{\"text\":\"abc\",\"text_pair\":\"\",\"label\":1}\n",
                                        2, &rows);
    expect_row(&rows, 0, "abcdef||123|", 0);
    expect_row(&rows, 1, "123||abcdef|", 1);
    expect_row(&rows, 2, "abcde||1234|", 1);
    expect_row(&rows, 3, "abc|||", 1); /* an empty text, not none */
    cr_expect_eq(lspo_dataset_cut_rows(dataset), 6, "three of each file");
    lspo_dataset_close(dataset);
}

Test(dataset_labels, a_model_of_one_class_has_numbers)
{
    rows_t rows = {0};
    lspo_dataset_t *dataset =
        open_rows("n.jsonl", "{\"text\":\"a\",\"label\":-1.25}\n{\"text\":\"b\",\"label\":7}\n", 1, &rows);
    expect_row(&rows, 0, "a|", bits(-1.25F));
    expect_row(&rows, 1, "b|", bits(7.0F));
    lspo_dataset_close(dataset);
}

static void expect_refusal(const char *text, uint32_t class_count)
{
    lspo_dataset_options_t options = options_for("train.tsv", text, class_count);
    lspo_dataset_t *dataset = NULL;
    cr_expect_eq(lspo_dataset_open(&options, &dataset), LSPO_ERR_INPUT, "%s", text);
    cr_expect_null(dataset);
}

Test(dataset_labels, what_is_not_a_task_is_refused)
{
    static const char two[] = "sentence\tlabel\na\t0\nb\t1\n";
    expect_refusal(two, 3);
    expect_refusal(two, 1);
    expect_refusal("sentence\tlabel\n", 2);
    expect_refusal("sentence\tlabel\na\t7\nb\n", 2);
    expect_refusal("index\tsentence\n0\ta\n", 2);
    expect_refusal("index\tsentence1\tsentence2\n0\ta\tb\n", 2);
    expect_refusal("text\tstars\na\t5\n", 2);
    lspo_dataset_options_t options = options_for("train.tsv", two, 2);
    lspo_dataset_t *dataset = NULL;
    options.eval_path = own_file("dev.tsv", "question\tsentence\tlabel\na\tb\tentailment\n");
    cr_expect_eq(lspo_dataset_open(&options, &dataset), LSPO_ERR_INPUT, "another task");
    options.eval_path = options.path;
    options.encoder.pairs = false;
    options.path = options.eval_path = own_file("q.tsv", "question\tsentence\tlabel\na\tb\tentailment\n");
    cr_expect_eq(lspo_dataset_open(&options, &dataset), LSPO_ERR_INPUT, "no template of pairs");
    options = options_for("train.tsv", two, 2);
    options.sequence = 1;
    cr_expect_eq(lspo_dataset_open(&options, &dataset), LSPO_ERR_INPUT, "no room");
}

static void expect_reason(const lspo_dataset_options_t *options, const char *reason)
{
    lspo_dataset_t *dataset = NULL;
    listen_begin();
    cr_expect_eq(lspo_dataset_open(options, &dataset), LSPO_ERR_INPUT, "%s", reason);
    listen_end();
    expect_said(options->path, reason);
}

Test(dataset_labels, refusals_name_the_cause)
{
    static const char two[] = "sentence\tlabel\na\t0\nb\t1\n";
    lspo_dataset_options_t options = options_for("sst.txt", two, 2);
    expect_reason(&options, "or a .tsv file of GLUE; if this is one, rename it to .tsv");
    options = options_for("cr.tsv", "sentence\tlabel\ra\t0\rb\t1\r", 2);
    expect_reason(&options, "cr.tsv:1: lines end with carriage returns only; convert them: tr");
    options = options_for("dev.tsv", two, 2);
    options.loss_all = true;
    expect_reason(&options, "--loss all is for prompts and answers");
    options = options_for("dev.tsv", two, 2);
    options.prompt_field = "sentence";
    expect_reason(&options, "--prompt-field and --answer-field name the fields of prompts and answers");
    options = options_for("dev.jsonl", "{\"text\":\"a\",\"label\":0}\n", 2);
    options.answer_field = "label";
    expect_reason(&options, "a classifier's records are {\"text\",\"label\"}");
}

/* Without classes a .tsv file is a text, as ever. */
Test(dataset_labels, a_language_model_reads_a_table_as_text)
{
    lspo_dataset_options_t options = options_for("train.tsv", "sentence\tlabel\nabcdefgh\t0\n", 0);
    lspo_dataset_t *dataset = NULL;
    cr_assert_eq(lspo_dataset_open(&options, &dataset), LSPO_OK);
    cr_expect_eq(lspo_dataset_kind(dataset), LSPO_DATASET_STREAM);
    lspo_dataset_close(dataset);
}
