/* Records of chats: rows and targets written out by hand, long ones, and what is refused or left out. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "real/data/dataset.h"
#include "tests/own_folder.h"
#include "tests/said.h"

enum { SEQUENCE_MAX = 256 };

#define USER(text) "{\"role\":\"user\",\"content\":\"" text "\"}"
#define ANSWER(text) "{\"role\":\"assistant\",\"content\":\"" text "\"}"
#define SYSTEM(text) "{\"role\":\"system\",\"content\":\"" text "\"}"
#define CHAT(messages) "{\"messages\":[" messages "]}\n"

TestSuite(dataset_chat, .init = make_folder, .fini = remove_folder);

static lspo_dataset_options_t options_for(const char *text, uint32_t sequence)
{
    return (lspo_dataset_options_t){
        .path = own_file("chat.jsonl", text), .sequence = sequence, .seed = 7, .encoder = lspo_encoder_bytes()};
}

static lspo_dataset_t *open_with(const lspo_dataset_options_t *options)
{
    lspo_dataset_t *dataset = NULL;
    listen_begin();
    lspo_status_t status = lspo_dataset_open(options, &dataset);
    listen_end();
    cr_assert_eq(status, LSPO_OK, "%s", said);
    return dataset;
}

static lspo_dataset_t *open_text(const char *text, uint32_t sequence)
{
    lspo_dataset_options_t options = options_for(text, sequence);
    return open_with(&options);
}

static uint64_t hash_of(const char *text)
{
    lspo_dataset_t *dataset = open_text(text, SEQUENCE_MAX);
    uint64_t hash = lspo_dataset_hash(dataset);
    cr_expect_str_eq(said, "", "%s", text);
    lspo_dataset_close(dataset);
    return hash;
}

static void expect_refused(const lspo_dataset_options_t *options, const char *what, const char *part)
{
    lspo_dataset_t *dataset = NULL;
    listen_begin();
    lspo_status_t status = lspo_dataset_open(options, &dataset);
    listen_end();
    cr_expect_eq(status, LSPO_ERR_INPUT, "%s", what);
    expect_said(what, part);
    lspo_dataset_close(dataset);
}

/* The only row is `text`, and the marked bytes of it ('x', of any length) are its targets, one place before. */
static void expect_row(const lspo_dataset_t *dataset, uint32_t sequence, const char *text, size_t bytes,
                       const char *marks)
{
    uint32_t tokens[SEQUENCE_MAX], targets[SEQUENCE_MAX], length;
    lspo_batch_t batch = {tokens, targets, &length};
    cr_assert_eq(lspo_dataset_train_rows(dataset), 1);
    cr_assert_eq(strlen(marks), bytes, "the marks of the test");
    lspo_dataset_batch(dataset, 0, 0, 1, 1, &batch);
    cr_expect_eq(length, bytes < sequence ? bytes : sequence, "%u", length);
    for (size_t i = 0; i < sequence; i++) {
        const uint32_t token = i < bytes ? (uint8_t)text[i] : 0;
        const bool counts = i + 1 < bytes && marks[i + 1] == 'x';
        cr_expect_eq(tokens[i], token, "token %zu is %u", i, tokens[i]);
        cr_expect_eq(targets[i], counts ? (uint8_t)text[i + 1] : LSPO_TARGET_IGNORED, "target %zu is %u", i,
                     targets[i]);
    }
}

/* A literal has one more byte than its text. */
#define EXPECT_ROW(dataset, sequence, text, marks) expect_row(dataset, sequence, text, sizeof(text) - 1, marks)

static const char two_turns[] = CHAT(SYSTEM("S") "," USER("a") "," ANSWER("bc") "," USER("d") "," ANSWER("e"));

Test(dataset_chat, answers_and_their_end_count)
{
    lspo_dataset_t *dataset = open_text(two_turns, 80);
    cr_assert_eq(lspo_dataset_kind(dataset), LSPO_DATASET_EXAMPLES);
    EXPECT_ROW(dataset, 80, "System: S\nUser: a\nAssistant: bc\0\nUser: d\nAssistant: e\0\n",
               "------------------"
               "-----------"
               "xxx"
               "-"
               "--------"
               "-----------"
               "xx"
               "-");
    cr_expect_not_null(strstr(lspo_dataset_source(dataset), "chat template plain"), "%s", lspo_dataset_source(dataset));
    lspo_dataset_close(dataset);
}

/* Instructions and prompts become chats of one question. */
Test(dataset_chat, instructions_are_written_by_a_template_if_asked)
{
    lspo_dataset_options_t options = options_for("{\"instruction\":\"I\",\"input\":\"n\",\"output\":\"ab\"}\n", 80);
    options.chat.name = "deepseek-coder";
    lspo_dataset_t *dataset = open_with(&options);
    EXPECT_ROW(dataset, 80, "### Instruction:\nI\n\nn\n### Response:\nab\n<|EOT|>\n",
               "---------------------"
               "-"
               "--------------"
               "xxxxxxxxxx"
               "-");
    lspo_dataset_close(dataset);
    options.path = own_file("p.jsonl", "{\"prompt\":\"p\",\"completion\":\"ab\"}\n");
    dataset = open_with(&options);
    EXPECT_ROW(dataset, 80, "### Instruction:\np\n### Response:\nab\n<|EOT|>\n",
               "------------------"
               "-"
               "--------------"
               "xxxxxxxxxx"
               "-");
    lspo_dataset_close(dataset);
    options.chat.name = "folder";
    expect_refused(&options, "no folder", "has no chat template");
}

Test(dataset_chat, all_tokens_count_if_asked)
{
    lspo_dataset_options_t options = options_for(CHAT(USER("a") "," ANSWER("b")), 40);
    options.loss_all = true;
    lspo_dataset_t *dataset = open_with(&options);
    EXPECT_ROW(dataset, 40, "User: a\nAssistant: b\0\n", "xxxxxxxxxxxxxxxxxxxxxx");
    lspo_dataset_close(dataset);
    options.path = own_file("p.jsonl", "{\"prompt\":\"ab\",\"completion\":\"cd\"}\n");
    dataset = open_with(&options);
    EXPECT_ROW(dataset, 40, "abcd\0", "xxxxx");
    lspo_dataset_close(dataset);
}

Test(dataset_chat, a_long_chat_ends_after_its_last_answer_that_fits)
{
    /* The first answer ends with byte 32 and the second with 54; a row has one token more than a sequence. */
    static const struct {
        uint32_t sequence;
        size_t bytes, cut;
    } cases[] = {{54, 55, 0}, {53, 54, 1}, {52, 32, 1}, {40, 32, 1}, {31, 32, 1}, {30, 31, 1}, {29, 30, 1}};
    static const char text[] = "System: S\nUser: a\nAssistant: bc\0\nUser: d\nAssistant: e\0\n";
    static const char marks[] = "-----------------------------xxx--------------------xx-";
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char some[sizeof marks];
        snprintf(some, cases[i].bytes + 1, "%s", marks);
        lspo_dataset_t *dataset = open_text(two_turns, cases[i].sequence);
        expect_row(dataset, cases[i].sequence, text, cases[i].bytes, some);
        cr_expect_eq(lspo_dataset_cut_rows(dataset), cases[i].cut, "%u", cases[i].sequence);
        lspo_dataset_close(dataset);
    }
    lspo_dataset_options_t options = options_for(two_turns, 28);
    expect_refused(&options, "a prompt that fills the row", "none of its 1 examples has a completion");
}

Test(dataset_chat, other_notations_are_the_same_rows)
{
    static const char *const same[] = {
        "{\"conversations\":[{\"from\":\"system\",\"value\":\"S\"},{\"from\":\"human\",\"value\":\"a\"},"
        "{\"from\":\"gpt\",\"value\":\"bc\"},{\"from\":\"human\",\"value\":\"d\"},{\"from\":\"gpt\",\"value\":\"e\"}]}"
        "\n",
        "{\"system\":\"S\",\"tools\":[],\"conversations\":[{\"from\":\"human\",\"value\":\"a\",\"weight\":null},"
        "{\"from\":\"gpt\",\"value\":\"bc\",\"weight\":1},{\"from\":\"human\",\"value\":\"d\"},"
        "{\"from\":\"gpt\",\"value\":\"e\",\"tool_calls\":null}]}\n",
        "{\"messages\":[{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":\"S\"}]}," USER(
            "a") ","
                 "{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"b\"},{\"type\":\"text\",\"text\":"
                 "\"c\"}]}," USER("d") "," ANSWER("e") "]}\n",
        "{\"prompt\":[" SYSTEM("S") "," USER("a") "],\"completion\":[" ANSWER("bc") "," USER("d") "," ANSWER(
            "e") "]}\n",
        CHAT(USER("no answer")) CHAT(SYSTEM("S") "," USER("a") "," ANSWER("bc") "," USER("d") "," ANSWER("e")),
    };
    uint64_t hash = hash_of(two_turns);
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        lspo_dataset_t *dataset = open_text(same[i], SEQUENCE_MAX);
        cr_expect_eq(lspo_dataset_hash(dataset), hash, "%s", same[i]);
        lspo_dataset_close(dataset);
    }
}

Test(dataset_chat, answers_of_the_prompt_and_of_weight_0_do_not_count)
{
    static const char text[] = "User: a\nAssistant: b\0\nUser: c\nAssistant: d\0\n";
    static const char *const records[] = {
        "{\"prompt\":[" USER("a") "," ANSWER("b") "," USER("c") "],\"completion\":[" ANSWER("d") "]}\n",
        CHAT(USER("a") ",{\"role\":\"assistant\",\"content\":\"b\",\"weight\":0}," USER("c") "," ANSWER("d"))};
    for (size_t i = 0; i < 2; i++) {
        lspo_dataset_t *dataset = open_text(records[i], 60);
        EXPECT_ROW(dataset, 60, "User: a\nAssistant: b\0\nUser: c\nAssistant: d\0\n",
                   "----------------------"
                   "-------------------xx-");
        lspo_dataset_close(dataset);
    }
    cr_assert_eq(sizeof text, 45);
}

Test(dataset_chat, records_that_cannot_be_trained_on_are_left_out_and_counted)
{
    static const char *const out[][2] = {
        {CHAT(USER("a")), "it has no answer"},
        {CHAT(USER("a") "," ANSWER("")), "it has no answer"},
        {"{\"messages\":[]}\n", "it has no answer"},
        {"{\"messages\":[" USER("a") "," ANSWER("b") "],\"tools\":[{\"name\":\"f\"}]}\n", "it calls tools"},
        {CHAT(USER("a") ",{\"role\":\"tool\",\"content\":\"b\"}," ANSWER("c")), "it calls tools"},
        {CHAT(USER("a") ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{}]}," ANSWER("c")),
         "it calls tools"},
        {CHAT(USER("a\\u0000") "," ANSWER("b")), "it contains U+0000"},
        {"{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"function_call\",\"value\":\"{}\"}]}\n",
         "it calls tools"},
    };
    for (size_t i = 0; i < sizeof out / sizeof out[0]; i++) {
        char text[1024], part[128];
        snprintf(text, sizeof text, "%s%s%s%s", two_turns, out[i][0], two_turns, out[i][0]);
        lspo_dataset_t *dataset = open_text(text, SEQUENCE_MAX);
        cr_expect_eq(lspo_dataset_train_rows(dataset), 2, "%s", out[i][0]);
        snprintf(part, sizeof part, "records left out: 2; the first is %s/chat.jsonl:2: %s", folder, out[i][1]);
        expect_said(out[i][0], part);
        lspo_dataset_close(dataset);
        lspo_dataset_options_t options = options_for(out[i][0], SEQUENCE_MAX);
        expect_refused(&options, out[i][0], "none of its 1 records can be trained on");
    }
}

Test(dataset_chat, turns_out_of_order_are_left_out_where_the_template_refuses_them)
{
    static const char twice[] = CHAT(USER("a") "," USER("b") "," ANSWER("c"));
    char text[1024];
    snprintf(text, sizeof text, "%s%s", two_turns, twice);
    lspo_dataset_options_t options = options_for(text, SEQUENCE_MAX);
    options.chat.name = "chatml";
    lspo_dataset_t *dataset = open_with(&options);
    cr_expect_eq(lspo_dataset_train_rows(dataset), 2);
    expect_said("bytes", "no token <|im_start|>");
    lspo_dataset_close(dataset);
    options.chat.name = "llama-2";
    dataset = open_with(&options);
    cr_expect_eq(lspo_dataset_train_rows(dataset), 1);
    expect_said(twice, ":2: its turns do not alternate");
    lspo_dataset_close(dataset);
}

Test(dataset_chat, malformed_messages_are_refused_by_line_and_place)
{
    static const char *const bad[][2] = {
        {"{\"messages\":\"a\"}\n", "chat.jsonl:1: \"messages\" is a string, not a list"},
        {"{\"messages\":{\"role\":\"user\"}}\n", "\"messages\" is an object, not a list"},
        {"{\"conversations\":3}\n", "\"conversations\" is a number"},
        {CHAT("\"hello\""), "message 1 is a string, not an object"},
        {CHAT("null," USER("a")), "message 1 is null, not an object"},
        {CHAT(USER("a") ",[]"), "message 2 is an array, not an object"},
        {CHAT("{\"content\":\"a\"}"), "message 1: \"role\" is absent"},
        {CHAT("{\"role\":null,\"content\":\"a\"}"), "message 1: \"role\" is null"},
        {CHAT("{\"role\":7,\"content\":\"a\"}"), "message 1: \"role\" is a number"},
        {CHAT(USER("a") ",{\"role\":\"narrator\",\"content\":\"b\"}"),
         "message 2: \"role\" is \"narrator\", which is none"},
        {CHAT("{\"role\":\"User\",\"content\":\"b\"}"), "message 1: \"role\" is \"User\", which is none"},
        {CHAT(USER("a") ",{\"role\":\"assistant\"}"), "message 2: \"content\" is absent"},
        {CHAT(USER("a") ",{\"role\":\"assistant\",\"content\":null}"), "message 2: \"content\" is null"},
        {CHAT("{\"role\":\"user\",\"content\":{\"text\":\"a\"}}"), "message 1: \"content\" is an object"},
        {CHAT("{\"role\":\"user\",\"content\":[\"a\"]}"), "message 1: \"content\" is an array, not a string or a list"},
        {CHAT("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":null}]}"),
         "message 1: \"content\" is an array"},
        {CHAT("{\"role\":\"user\",\"content\":[{\"type\":\"image\"}]}"),
         "a part of type \"image\"; only text is known"},
        {CHAT(USER("a") ",{\"role\":\"assistant\",\"content\":\"b\",\"weight\":2}"),
         "message 2: \"weight\" must be 0 or 1"},
        {"{\"system\":\"S\",\"messages\":[" SYSTEM("T") "," USER("a") "," ANSWER("b") "]}\n",
         "it has \"system\" and a"},
        {"{\"system\":[1],\"messages\":[" USER("a") "," ANSWER("b") "]}\n", "\"system\" is an array, not a string"},
        {"{\"context\":\"C\",\"messages\":[" USER("a") "," ANSWER("b") "]}\n", "\"context\" has no place"},
        {"{\"images\":[\"C\"],\"messages\":[" USER("a") "," ANSWER("b") "]}\n", "\"images\" has no place"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lspo_dataset_options_t options = options_for(bad[i][0], SEQUENCE_MAX);
        expect_refused(&options, bad[i][0], bad[i][1]);
    }
}

Test(dataset_chat, unused_fields_of_messages_are_told)
{
    lspo_dataset_t *dataset = open_text("{\"id\":1,\"prompt\":\"a\",\"messages\":[{\"role\":\"user\",\"content\":\"a\","
                                        "\"name\":\"Ann\"}," ANSWER("b") "]}\n",
                                        SEQUENCE_MAX);
    expect_said("fields", "\"id\", \"prompt\", \"name\"");
    lspo_dataset_close(dataset);
}

Test(dataset_chat, named_fields_are_the_prompt_and_the_answer)
{
    lspo_dataset_options_t options = options_for("{\"question\":\"ab\",\"answer\":\"cd\"}\n", 40);
    options.prompt_field = "question";
    options.answer_field = "answer";
    lspo_dataset_t *dataset = open_with(&options);
    EXPECT_ROW(dataset, 40, "abcd\0", "--xxx");
    lspo_dataset_close(dataset);
    options = options_for("{\"prompt\":\"x\",\"response\":null}\n{\"prompt\":\"ab\",\"response\":\"cd\"}\n"
                          "{\"prompt\":\"x\"}\n{\"prompt\":\"x\",\"response\":\"\"}\n",
                          40);
    options.answer_field = "response";
    dataset = open_with(&options);
    EXPECT_ROW(dataset, 40, "abcd\0", "--xxx");
    expect_said("no answer", "records left out: 3; the first is ");
    expect_said("no answer", "chat.jsonl:1: it has no answer");
    lspo_dataset_close(dataset);
    options.prompt_field = "question";
    expect_refused(&options, "no such field", "chat.jsonl:1: \"question\" is absent, not a string");
    options.path = own_file("plain.txt", "some plain text");
    expect_refused(&options, "text", "is plain text, which has no fields");
    options.path = NULL;
    expect_refused(&options, "own text", "need --data");
}

Test(dataset_chat, templates_that_are_not_known_or_not_used_are_refused)
{
    lspo_dataset_options_t options = options_for(two_turns, SEQUENCE_MAX);
    options.chat.name = "alpaca";
    expect_refused(&options, "alpaca", "--chat-template 'alpaca' is none of folder, chatml, deepseek-coder");
    options.chat = (lspo_chat_source_t){.folder = folder};
    lspo_dataset_t *dataset = open_with(&options);
    expect_said("no template", "has no chat template");
    lspo_dataset_close(dataset);
    own_file("tokenizer_config.json", "{\"chat_template\":\"{{ messages | tojson }}\"}");
    options.path = own_file("chat.jsonl", two_turns);
    expect_refused(&options, "unknown", "tokenizer_config.json: this chat template is none of those that lspo knows");
    own_file("tokenizer_config.json", "{\"chat_template\":[{\"name\":\"tools\",\"template\":\"x\"}]}");
    options.path = own_file("chat.jsonl", two_turns);
    expect_refused(&options, "no default", "chat_template is neither a text nor a list with one named default");
    options.chat.name = "plain";
    lspo_dataset_close(open_with(&options));
    cr_expect_str_eq(said, "");
    options.path = own_file("plain.txt", "some plain text that is long enough for a row");
    options.sequence = 8;
    expect_refused(&options, "no chats", "--chat-template plain is for chats and instructions, and ");
    expect_said("no chats", "({\"messages\"}, {\"prompt\",\"completion\"} or {\"instruction\",\"input\",\"output\"})");
}
