/* Chats: ids and answers against what transformers made of the same conversations (recorded, tests/peers/chat_peer.py;
 * LSPO_PEERS: other records), and against sequences written out by hand. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_file.h"
#include "real/data/chat.h"
#include "tests/own_folder.h"
#include "tests/said.h"

enum { MESSAGES_MAX = 16 };

TestSuite(chat, .init = make_folder, .fini = remove_folder);

typedef struct {
    lspo_chat_t *chat;
    lspo_tokenizer_t *tokenizer;
    lspo_encoder_t encoder;
} opened_t;

static lspo_status_t encode_parts(void *context, const lspo_tokenizer_parts_t *parts, lspo_tokens_t *tokens)
{
    uint32_t *ids = NULL;
    size_t count = 0;
    lspo_status_t status = lspo_tokenizer_encode_parts(context, parts, &ids, &count);
    for (size_t i = 0; status == LSPO_OK && i < count; i++)
        status = lspo_tokens_append(tokens, ids[i]);
    free(ids);
    return status;
}

static opened_t open_chat(const char *path, const char *name)
{
    opened_t opened = {0};
    cr_assert_eq(lspo_tokenizer_open(path, &opened.tokenizer), LSPO_OK);
    opened.encoder = (lspo_encoder_t){.name = "bpe", .encode_parts = encode_parts, .context = opened.tokenizer};
    const lspo_chat_source_t source = {path, name, opened.tokenizer};
    cr_assert_eq(lspo_chat_open(&source, &opened.chat), LSPO_OK, "%s", path);
    return opened;
}

static void close_chat(opened_t *opened)
{
    lspo_chat_close(opened->chat);
    lspo_tokenizer_close(opened->tokenizer);
}

/* ---- transformers' answers ---- */

static size_t read_messages(const json_t *list, lspo_chat_message_t *out)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    size_t index;
    json_t *message;
    cr_assert_leq(json_array_size(list), MESSAGES_MAX);
    json_array_foreach(list, index, message)
    {
        const json_t *content = json_object_get(message, "content");
        const char *role = json_string_value(json_object_get(message, "role"));
        out[index] = (lspo_chat_message_t){
            .text = json_string_value(content), .bytes = json_string_length(content), .counts = true};
        while (strcmp(roles[out[index].role], role) != 0)
            out[index].role++;
    }
    return json_array_size(list);
}

static bool is_answer(const lspo_chat_tokens_t *tokens, size_t place)
{
    bool found = false;
    for (size_t i = 0; i < tokens->answer_count; i++)
        found |= place >= tokens->answers[i].begin && place < tokens->answers[i].end;
    return found;
}

static void expect_case(const opened_t *opened, const char *kind, size_t number, const json_t *item)
{
    lspo_chat_message_t messages[MESSAGES_MAX];
    lspo_chat_tokens_t tokens = {0};
    const size_t count = read_messages(json_object_get(item, "messages"), messages);
    const char *why = lspo_chat_refusal(opened->chat, messages, count);
    cr_assert_eq(why != NULL, json_is_true(json_object_get(item, "refused")), "%s, chat %zu: %s", kind, number, why);
    if (why)
        return;
    cr_assert_eq(lspo_chat_encode(opened->chat, &opened->encoder, messages, count, &tokens), LSPO_OK);
    const json_t *ids = json_object_get(item, "ids");
    const char *mask = json_string_value(json_object_get(item, "mask"));
    for (size_t i = 0; i < tokens.tokens.count && i < json_array_size(ids); i++) {
        const json_int_t id = json_integer_value(json_array_get(ids, i));
        cr_assert_eq(tokens.tokens.ids[i], id, "%s, chat %zu: id %zu is %u, not %lld", kind, number, i,
                     tokens.tokens.ids[i], (long long)id);
        cr_assert_eq(is_answer(&tokens, i), mask[i] == '1', "%s, chat %zu: token %zu (%u)", kind, number, i,
                     tokens.tokens.ids[i]);
    }
    cr_assert_eq(tokens.tokens.count, json_array_size(ids), "%s, chat %zu", kind, number);
    lspo_chat_tokens_release(&tokens);
}

/* A conversation up to where its next answer begins. */
static void expect_question(const opened_t *opened, const char *kind, size_t number, const json_t *item)
{
    lspo_chat_message_t messages[MESSAGES_MAX];
    lspo_chat_tokens_t tokens = {0};
    const size_t count = read_messages(json_object_get(item, "messages"), messages);
    const json_t *ids = json_object_get(item, "ids");
    cr_assert_eq(lspo_chat_encode_question(opened->chat, &opened->encoder, messages, count, &tokens), LSPO_OK);
    for (size_t i = 0; i < tokens.tokens.count && i < json_array_size(ids); i++)
        cr_assert_eq(tokens.tokens.ids[i], json_integer_value(json_array_get(ids, i)),
                     "%s, question %zu: id %zu is %u, not %lld", kind, number, i, tokens.tokens.ids[i],
                     (long long)json_integer_value(json_array_get(ids, i)));
    cr_assert_eq(tokens.tokens.count, json_array_size(ids), "%s, question %zu", kind, number);
    lspo_chat_tokens_release(&tokens);
}

/* The token that ends an answer is the last one of an answer; only one tokenizer lacks its template's mark. */
static void expect_answer_end(const opened_t *opened, const char *kind)
{
    const lspo_chat_message_t messages[] = {{.role = LSPO_ROLE_USER, .text = "a", .bytes = 1},
                                            {.role = LSPO_ROLE_ASSISTANT, .text = "b", .bytes = 1, .counts = true}};
    lspo_chat_tokens_t tokens = {0};
    cr_assert_eq(lspo_chat_encode(opened->chat, &opened->encoder, messages, 2, &tokens), LSPO_OK);
    cr_assert_eq(tokens.answer_count, 1);
    const uint32_t last = tokens.tokens.ids[tokens.answers[0].end - 1];
    cr_expect_eq(lspo_chat_answer_end(opened->chat), strcmp(kind, "chatml-begin") != 0 ? last : LSPO_NO_TOKEN, "%s",
                 kind);
    lspo_chat_tokens_release(&tokens);
}

static void expect_kind(const char *peers, const char *kind)
{
    char path[1024];
    json_t *cases = NULL, *item;
    size_t index, refused = 0;
    snprintf(path, sizeof path, "%s/%s/cases.json", peers, kind);
    cr_assert_eq(lspo_json_file_read(path, &cases), LSPO_OK);
    snprintf(path, sizeof path, "%s/%s", peers, kind);
    opened_t opened = open_chat(path, NULL);
    cr_expect_str_eq(lspo_chat_name(opened.chat), json_string_value(json_object_get(cases, "template")), "%s", kind);
    json_t *chats = json_object_get(cases, "chats");
    json_array_foreach(chats, index, item)
    {
        expect_case(&opened, kind, index, item);
        refused += json_is_true(json_object_get(item, "refused"));
    }
    json_t *questions = json_object_get(cases, "questions");
    json_array_foreach(questions, index, item) expect_question(&opened, kind, index, item);
    cr_expect_gt(json_array_size(questions), 5, "%s", kind);
    expect_answer_end(&opened, kind);
    cr_expect_gt(json_array_size(chats), 10);
    cr_expect_lt(2 * refused, json_array_size(chats) + 8);
    json_decref(cases);
    close_chat(&opened);
}

Test(chat, ids_and_answers_are_those_of_transformers)
{
    char peers[512];
    const char *given = getenv("LSPO_PEERS"), *source = getenv("LSPO_SOURCE");
    size_t count = 0;
    snprintf(peers, sizeof peers, "%s%s/chat", given ? given : source ? source : ".", given ? "" : "/tests/data/peers");
    DIR *list = opendir(peers);
    cr_assert_not_null(list, "%s", peers);
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        expect_kind(peers, entry->d_name);
        count++;
    }
    closedir(list);
    cr_expect_eq(count, 19);
}

/* ---- by hand ---- */

/* a 0, b 1, ab 2, any other character 3; the added tokens <s> 4, </s> 5, [INST] 6 (special) and <x> 7 (not). */
static void write_small_tokenizer(void)
{
    own_file("tokenizer.json",
             "{\"added_tokens\":[{\"id\":4,\"content\":\"<s>\",\"special\":true,\"normalized\":false},"
             "{\"id\":5,\"content\":\"</s>\",\"special\":true,\"normalized\":false},"
             "{\"id\":6,\"content\":\"[INST]\",\"special\":true,\"normalized\":false},"
             "{\"id\":7,\"content\":\"<x>\",\"special\":false,\"normalized\":false}],"
             "\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"?\":3},"
             "\"merges\":[\"a b\"]}}");
    own_file("tokenizer_config.json", "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\"}");
}

typedef struct {
    const uint32_t *ids;
    size_t count;
    lspo_answer_t answer;
} wanted_t;

static void expect_small(const char *user, const char *assistant, wanted_t wanted)
{
    opened_t opened = open_chat(folder, "mistral");
    const lspo_chat_message_t messages[] = {
        {.role = LSPO_ROLE_USER, .text = user, .bytes = strlen(user), .counts = true},
        {.role = LSPO_ROLE_ASSISTANT, .text = assistant, .bytes = strlen(assistant), .counts = true}};
    lspo_chat_tokens_t tokens = {0};
    cr_assert_null(lspo_chat_refusal(opened.chat, messages, 2));
    cr_assert_eq(lspo_chat_encode(opened.chat, &opened.encoder, messages, 2, &tokens), LSPO_OK);
    cr_assert_eq(tokens.tokens.count, wanted.count, "%s: %zu", user, tokens.tokens.count);
    cr_expect_arr_eq(tokens.tokens.ids, wanted.ids, wanted.count * sizeof *wanted.ids);
    cr_assert_eq(tokens.answer_count, 1);
    cr_expect_eq(tokens.answers[0].begin, wanted.answer.begin, "%u", tokens.answers[0].begin);
    cr_expect_eq(tokens.answers[0].end, wanted.answer.end, "%u", tokens.answers[0].end);
    lspo_chat_tokens_release(&tokens);
    close_chat(&opened);
}

#define WANT(begin, end, ...)                                                                                          \
    (wanted_t)                                                                                                         \
    {                                                                                                                  \
        (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t),                   \
        {                                                                                                              \
            begin, end                                                                                                 \
        }                                                                                                              \
    }

Test(chat, what_messages_say_is_never_a_special_token)
{
    write_small_tokenizer();
    /* <s> [INST] blank, the question, " [/INST]" of eight characters, the answer, </s>. */
    expect_small("ab", "ba", WANT(12, 15, 4, 6, 3, 2, 3, 3, 3, 3, 3, 3, 3, 3, 1, 0, 5));
    /* Three and six characters, not 4 and 6; <x> is an ordinary added token. */
    expect_small("<s>", "[INST]", WANT(14, 21, 4, 6, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 5));
    expect_small("<x>", "b", WANT(12, 14, 4, 6, 3, 7, 3, 3, 3, 3, 3, 3, 3, 3, 1, 5));
    /* Neither do the template's last and a message's first characters form one. */
    expect_small("", "", WANT(11, 12, 4, 6, 3, 3, 3, 3, 3, 3, 3, 3, 3, 5));
}

Test(chat, a_template_needs_the_tokens_that_it_writes)
{
    write_small_tokenizer();
    own_file("tokenizer_config.json", "{}");
    own_file("tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"vocab\":{\"a\":0,\"?\":1},"
                               "\"merges\":[]}}");
    lspo_tokenizer_t *tokenizer = NULL;
    lspo_chat_t *chat = NULL;
    cr_assert_eq(lspo_tokenizer_open(folder, &tokenizer), LSPO_OK);
    listen_begin();
    const lspo_status_t status = lspo_chat_open(&(lspo_chat_source_t){folder, "zephyr", tokenizer}, &chat);
    listen_end();
    cr_expect_eq(status, LSPO_ERR_INPUT);
    cr_expect_null(chat);
    expect_said("zephyr", "the chat template zephyr needs a token that ends a text");
    lspo_tokenizer_close(tokenizer);
}

/* ---- what is not one of them ---- */

#define CHATML_TURN "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"

Test(chat, templates_that_write_something_else_are_not_taken_for_known_ones)
{
    static const char *const known[] = {
        "{% for message in messages %}" CHATML_TURN "{% endfor %}",
        "{%- for message in messages -%}\n  {# a turn #}\n  {%- set x = 1 %}\n    "
        "{{- \"<|im_start|>\" + message.role + \"\\n\" + message.content + \"<|im_end|>\\n\" -}}\n{% endfor %}\n",
    };
    static const char *const others[] = {
        "",
        "{{ messages }}",
        "{% for message in messages[1:] %}" CHATML_TURN "{% endfor %}",
        "{% for message in messages[::-1] %}" CHATML_TURN "{% endfor %}",
        "{% for message in messages if message['role'] != 'system' %}" CHATML_TURN "{% endfor %}",
        "{% for message in messages | selectattr('role', 'equalto', 'user') %}" CHATML_TURN "{% endfor %}",
        "{% set messages = messages[-4:] %}{% for message in messages %}" CHATML_TURN "{% endfor %}",
        "{% set loop_messages = messages[1:] %}{% for message in loop_messages %}" CHATML_TURN "{% endfor %}",
        "{% for message in messages %}{% set message = messages[0] %}" CHATML_TURN "{% endfor %}",
        "{% for message in messages %}" CHATML_TURN "\n{% endfor %}",
        "Chat:\n{% for message in messages %}" CHATML_TURN "{% endfor %}",
        "{% for message in messages %}" CHATML_TURN "{{ eos_token }}{% endfor %}",
        "{% for message in messages %}{% set content = message['content'].split('</think>')[-1] %}" CHATML_TURN
        "{% endfor %}",
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] }}"
        "{% if not loop.last %}{{ '<|im_end|>\\n' }}{% endif %}{% endfor %}",
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '<|im_sep|>' + message['content'] + "
        "'<|im_end|>'}}{% endfor %}",
        "{{ '[INST] ' + message['content'] + ' [/INST]' }}",
        "{{ '[INST] <<SYS>>' }}",
        "{{ '<start_of_turn>user\\n' }}",
        "{{ '<|start_header_id|>' + message['role'] }}",
        "{{ '<|user|>\\n' + message['content'] + '<|end|>\\n' }}",
        "{% for",
        "{{ '",
        "{{ 'a\\",
        "{{ \\'a' }}{{ 'b' }}{",
        "{{ \\'a }}{{ 'b' }}",
        "{#",
        "{{ \"<|im_start|>",
        "}}{{",
    };
    lspo_chat_template_t form;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        cr_assert_eq(lspo_chat_template_recognise("known", known[i], &form), LSPO_OK, "%s", known[i]);
        cr_expect_str_eq(form.name, "chatml");
        lspo_chat_template_release(&form);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        listen_begin();
        const lspo_status_t status = lspo_chat_template_recognise("other", others[i], &form);
        listen_end();
        cr_expect_eq(status, LSPO_ERR_INPUT, "%s", others[i]);
        expect_said(others[i], "--chat-template NAME");
    }
}

Test(chat, a_default_system_prompt_may_have_quotes)
{
    lspo_chat_template_t form;
    const char *jinja =
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
        "{{ '<|im_start|>system\\nYou\\'re a \"friend\" \\\\o/\\\\.<|im_end|>\\n' }}{% endif %}" CHATML_TURN
        "{% endfor %}";
    cr_assert_eq(lspo_chat_template_recognise("quotes", jinja, &form), LSPO_OK);
    cr_expect_str_eq(form.system, "You're a \"friend\" \\o/\\.");
    lspo_chat_template_release(&form);
}
