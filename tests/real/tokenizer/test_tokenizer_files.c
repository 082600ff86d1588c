/* The files that a tokenizer is read from: roles of tokens, older forms, what is refused, mutated files. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/input_file.h"
#include "kernels/random.h"
#include "real/tokenizer/files.h"
#include "real/tokenizer/tokenizer.h"
#include "tests/tokenizer_fixture.h"

TestSuite(tokenizer_files, .init = make_folder, .fini = remove_folder);

Test(tokenizer_files, roles_are_found)
{
    lspo_tokenizer_t *t = open_peer("gpt2-files");
    cr_assert_eq(lspo_tokenizer_end(t), 0u);
    cr_assert_eq(lspo_tokenizer_begin(t), LSPO_TOKEN_NONE);
    cr_assert_eq(lspo_tokenizer_pad(t), LSPO_TOKEN_NONE);
    lspo_tokenizer_close(t);
    t = open_peer("roberta");
    cr_assert_eq(lspo_tokenizer_begin(t), 0u);
    cr_assert_eq(lspo_tokenizer_pad(t), 1u);
    cr_assert_eq(lspo_tokenizer_end(t), 2u);
    lspo_tokenizer_close(t);
    static const char config[] = "{\"eos_token\":{\"content\":\"bc\"},\"pad_token\":\"c\"}";
    write_text("tokenizer_config.json", config, sizeof config - 1);
    cr_assert_eq(open_json("{" SMALL_MODEL "}", &t), LSPO_OK);
    cr_assert_eq(lspo_tokenizer_end(t), 3u);
    cr_assert_eq(lspo_tokenizer_pad(t), 2u);
    lspo_tokenizer_close(t);
}

static void expect_between(lspo_tokenizer_t *t, uint32_t count, uint32_t id)
{
    const uint32_t *ids;
    cr_expect_eq(lspo_tokenizer_between(t, &ids), count);
    for (uint32_t i = 0; i < count && count != UINT32_MAX; i++)
        cr_expect_eq(ids[i], id);
    lspo_tokenizer_close(t);
}

#define PROCESSED(text) "{" SMALL_MODEL ",\"post_processor\":" text "}"
#define SPECIAL(name) "{\"SpecialToken\":{\"id\":\"" name "\",\"type_id\":0}}"
#define TEXT(name) "{\"Sequence\":{\"id\":\"" name "\",\"type_id\":0}}"
#define TEMPLATE(pair)                                                                                                 \
    PROCESSED("{\"type\":\"TemplateProcessing\",\"single\":[" SPECIAL("a") "," TEXT("A") "," SPECIAL(                  \
        "b") "],\"pair\":[" pair "],\"special_tokens\":{\"a\":{\"ids\":[0]},\"b\":{\"ids\":[1]}}}")

/* What stands between the texts of a pair; UINT32_MAX: the template has no pair, or one that is not two texts within
 * what one text has. */
Test(tokenizer_files, a_pair_has_tokens_between_its_texts)
{
    lspo_tokenizer_t *t;
    expect_between(open_peer("roberta"), 2, 2);
    expect_between(open_peer("gpt2-files"), UINT32_MAX, 0);
    cr_assert_eq(open_json(PROCESSED("{\"type\":\"BertProcessing\",\"cls\":[\"a\",0],\"sep\":[\"b\",1]}"), &t),
                 LSPO_OK);
    expect_between(t, 1, 1);
    cr_assert_eq(open_json(PROCESSED("{\"type\":\"RobertaProcessing\",\"cls\":[\"a\",0],\"sep\":[\"b\",1]}"), &t),
                 LSPO_OK);
    expect_between(t, 2, 1);
    cr_assert_eq(open_json(TEMPLATE(SPECIAL("a") "," TEXT("A") "," SPECIAL("b") "," TEXT("B") "," SPECIAL("b")), &t),
                 LSPO_OK);
    expect_between(t, 1, 1);
    cr_assert_eq(open_json(TEMPLATE(SPECIAL("a") "," TEXT("A") "," TEXT("B") "," SPECIAL("b")), &t), LSPO_OK);
    expect_between(t, 0, 0);
    cr_assert_eq(open_json(TEMPLATE(TEXT("A") "," TEXT("B") "," SPECIAL("b")), &t), LSPO_OK);
    expect_between(t, UINT32_MAX, 0);
    cr_assert_eq(open_json(TEMPLATE(SPECIAL("a") "," TEXT("B") "," TEXT("A") "," SPECIAL("b")), &t), LSPO_OK);
    expect_between(t, UINT32_MAX, 0);
    cr_assert_eq(open_json(TEMPLATE(""), &t), LSPO_OK);
    expect_between(t, UINT32_MAX, 0);
}

static void expect_refused(const char *text, const char *words)
{
    char message[1024] = "";
    lspo_tokenizer_t *t = NULL;
    fflush(stderr);
    FILE *log = tmpfile();
    int saved = dup(STDERR_FILENO);
    dup2(fileno(log), STDERR_FILENO);
    lspo_status_t status = open_json(text, &t);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t got = pread(fileno(log), message, sizeof message - 1, 0);
    fclose(log);
    cr_assert_eq(status, LSPO_ERR_INPUT, "%s", text);
    cr_assert_null(t);
    cr_assert_gt(got, 0);
    cr_assert_not_null(strstr(message, "tokenizer.json"), "no file in: %s", message);
    cr_assert_not_null(strstr(message, words), "'%s' not in: %s", words, message);
}

#define MODEL(vocab, merges) "{\"model\":{\"type\":\"BPE\",\"vocab\":{" vocab "},\"merges\":[" merges "]}}"

Test(tokenizer_files, refuses_what_is_broken_or_unknown)
{
    expect_refused("{", ":1: ");
    expect_refused("[]", "not a JSON object");
    expect_refused("{}", "no vocabulary");
    expect_refused(MODEL("", ""), "0 tokens");
    expect_refused(MODEL("\"a\":0,\"a\":1", ""), "duplicate");
    expect_refused(MODEL("\"a\":0,\"b\":0", ""), "same id");
    expect_refused(MODEL("\"a\":-1", ""), "'a'");
    expect_refused(MODEL("\"a\":\"0\"", ""), "'a'");
    expect_refused(MODEL("\"a\":99999999999", ""), "'a'");
    expect_refused(MODEL("\"a\":9999999", ""), "ids up to 9999999");
    expect_refused(MODEL("\"a\":0", "\"a b\""), "not in the vocabulary");
    expect_refused(MODEL("\"a\":0", "\"a\""), "not a pair");
    expect_refused(MODEL("\"a\":0", "\"a a a\""), "not a pair");
    expect_refused(MODEL("\"a\":0", "[\"a\"]"), "not a pair");
    expect_refused(MODEL("\"a\":0", "1"), "not a pair");
    expect_refused("{\"model\":{\"type\":\"Unigram\",\"vocab\":{\"a\":0}}}", "Unigram");
    expect_refused("{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", "token 0");
    expect_refused("{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0],[\"a\",1]]}}", "twice");
    expect_refused("{\"model\":{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",0]]}}", "unk_id");
    expect_refused("{\"model\":{\"type\":\"Other\",\"vocab\":{\"a\":0}}}", "Other");
    expect_refused("{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"x\",\"vocab\":{\"a\":0}}}", "'x'");
    expect_refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}", "no merges");
    expect_refused("{\"model\":{\"type\":\"BPE\",\"dropout\":0.1,\"vocab\":{\"a\":0},\"merges\":[]}}", "dropout");
    expect_refused("{\"model\":{\"type\":\"BPE\",\"unk_token\":\"x\",\"vocab\":{\"a\":0},\"merges\":[]}}", "'x'");
    expect_refused("{\"normalizer\":{\"type\":\"Other\"}," SMALL_MODEL "}", "Other");
    expect_refused("{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAA\"}," SMALL_MODEL "}",
                   "broken");
    expect_refused("{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Replace\"}]}," SMALL_MODEL "}",
                   "Replace");
    expect_refused("{\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}," SMALL_MODEL "}", "UnicodeScripts");
    expect_refused("{\"pre_tokenizer\":" SPLIT("\"Regex\":\"x*\"", BY("Isolated")) "," SMALL_MODEL "}", "'x*'");
    expect_refused("{\"pre_tokenizer\":" SPLIT("\"Regex\":\"(?~x)\"", BY("Isolated")) "," SMALL_MODEL "}", "'(?~x)'");
    expect_refused("{\"pre_tokenizer\":" SPLIT("\"Regex\":\"(x\"", BY("Isolated")) "," SMALL_MODEL "}", "'(x'");
    expect_refused("{\"pre_tokenizer\":" SPLIT("\"String\":\"x\"", BY("Other")) "," SMALL_MODEL "}", "Other");
    expect_refused(
        "{\"post_processor\":{\"type\":\"RobertaProcessing\",\"cls\":[\"<s>\",77],\"sep\":[\"</s>\",1]}," SMALL_MODEL
        "}",
        "no token 77");
    expect_refused("{\"added_tokens\":[{\"id\":1,\"content\":\"x\"}]," SMALL_MODEL "}", "has the id of");
    expect_refused("{\"added_tokens\":[{\"id\":7}]," SMALL_MODEL "}", "content");
    expect_refused("{\"added_tokens\":[1]," SMALL_MODEL "}", "id");
}

/* Mutated files either open, and then encode and decode, or are refused. */
Test(tokenizer_files, mutated_files_never_crash, .timeout = 120)
{
    static const char sample[] =
        "{\"added_tokens\":[{\"id\":7,\"content\":\"<s>\",\"special\":true,\"lstrip\":true}],"
        "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"a\"},"
        "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"c\"}]},"
        "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}},"
        "{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"<s>\":{\"ids\":[7]}}},"
        "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},"
        "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]}," SMALL_MODEL "}";
    char text[sizeof sample];
    unsigned opened = 0, refused = 0;
    cr_assert_not_null(freopen("/dev/null", "w", stderr));
    for (uint64_t round = 0; round < 4000; round++) {
        memcpy(text, sample, sizeof sample);
        size_t bytes = sizeof sample - 1;
        for (uint32_t i = 0; i <= lspo_random_below(3, round, 0, 3); i++) {
            uint32_t where = lspo_random_below(3, round, 3 * i + 1, (uint32_t)bytes);
            uint32_t value = lspo_random_below(3, round, 3 * i + 2, 128);
            if (value < 16) {
                memmove(text + where, text + where + 1, bytes - where - 1);
                bytes--;
            } else if (value < 20) {
                bytes = where + 1;
            } else {
                text[where] = (char)value;
            }
        }
        lspo_tokenizer_t *t = NULL;
        write_text("tokenizer.json", text, bytes);
        if (lspo_tokenizer_open(folder, &t) != LSPO_OK) {
            refused++;
            continue;
        }
        opened++;
        uint32_t *ids = NULL;
        char *decoded = NULL;
        size_t count = 0, decoded_bytes = 0;
        cr_assert_eq(lspo_tokenizer_encode(t, "ab c <s>\xff abcab", 15, true, &ids, &count), LSPO_OK);
        /* A decoder that is not known is no reason to refuse ids. */
        if (lspo_tokenizer_decode(t, ids, count, true, &decoded, &decoded_bytes) == LSPO_OK)
            free(decoded);
        free(ids);
        lspo_tokenizer_close(t);
    }
    cr_assert_gt(opened, 40u);
    cr_assert_gt(refused, 400u);
}

/* A file of the recorded kinds with a few bytes changed. */
static size_t mutate(char *text, size_t bytes, uint64_t round)
{
    static const char *const words[] = {"true", "null", "[", "\"", "-1", "1e300", "\\u0000", "99999999", "\\\\p{L}"};
    const uint32_t changes = 1 + lspo_random_below(21, round, 0, 2);
    for (uint32_t i = 0; i < changes; i++) {
        /* What says how, not the vocabulary, stands in front. */
        const uint32_t reach = (uint32_t)(bytes > 3000 && i % 2 == 0 ? 3000 : bytes);
        const uint32_t at = lspo_random_below(21, round, 8 * i + 1, reach);
        const char *word = words[lspo_random_below(21, round, 8 * i + 2, sizeof words / sizeof words[0])];
        switch (lspo_random_below(21, round, 8 * i + 3, 4)) {
        case 0:
            if (text[at] >= '0' && text[at] <= '9')
                text[at] = (char)('0' + lspo_random_below(21, round, 8 * i + 4, 10));
            else
                text[at] = (char)(32 + lspo_random_below(21, round, 8 * i + 4, 95));
            break;
        case 1:
            memmove(text + at, text + at + 1, bytes-- - at - 1);
            break;
        case 2:
            if (at + strlen(word) < bytes)
                memcpy(text + at, word, strlen(word));
            break;
        default:
            if (text[at] >= 'a' && text[at] <= 'z')
                text[at] = (char)('a' + lspo_random_below(21, round, 8 * i + 4, 26));
            break;
        }
    }
    return bytes;
}

static bool encodes(uint64_t round)
{
    static const char pieces[] = "the God's .,12  \n\xc3\xa9\xe4\xbd\xa0\xff<s>";
    lspo_tokenizer_t *t = NULL;
    if (lspo_tokenizer_open(folder, &t) != LSPO_OK)
        return false;
    for (uint64_t k = 0; k < 3; k++) {
        char text[200];
        uint32_t *ids = NULL;
        size_t count = 0;
        for (size_t i = 0; i < sizeof text; i++)
            text[i] = pieces[lspo_random_below(22, round, 1000 * k + i, sizeof pieces - 1)];
        if (lspo_tokenizer_encode(t, text, sizeof text, true, &ids, &count) == LSPO_OK)
            free(ids); /* else it has no unknown token */
    }
    lspo_tokenizer_close(t);
    return true;
}

Test(tokenizer_files, mutated_files_of_every_kind_never_crash, .timeout = 200)
{
    enum { ROUNDS = 40 };
    DIR *list = opendir(peers_folder());
    unsigned opened = 0, refused = 0;
    cr_assert_not_null(list);
    cr_assert_not_null(freopen("/dev/null", "w", stderr));
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        char path[1024];
        lspo_input_t *input = NULL;
        char *text = NULL;
        size_t bytes = 0;
        snprintf(path, sizeof path, "%s/%s/tokenizer.json", peers_folder(), entry->d_name);
        if (entry->d_name[0] == '.' || access(path, R_OK) != 0)
            continue;
        cr_assert_eq(lspo_input_open(path, UINT64_C(1) << 30, &input), LSPO_OK);
        cr_assert_eq(lspo_input_read_all(input, &text, &bytes), LSPO_OK);
        lspo_input_close(input);
        char *changed = malloc(bytes + 1);
        for (uint64_t round = 0; round < ROUNDS; round++) {
            memcpy(changed, text, bytes + 1);
            write_text("tokenizer.json", changed, mutate(changed, bytes, 100000 * opened + 100 * refused + round));
            if (encodes(round))
                opened++;
            else
                refused++;
        }
        free(changed);
        free(text);
    }
    closedir(list);
    cr_assert_gt(opened, 100u, "%u opened, %u refused", opened, refused);
    cr_assert_gt(refused, 200u);
}

Test(tokenizer_files, folders_without_one_are_refused)
{
    lspo_tokenizer_t *t = NULL;
    cr_assert_eq(lspo_tokenizer_open(folder, &t), LSPO_ERR_INPUT);
    write_text("vocab.json", "{\"a\":0,\"b\":1,\"ab\":2}", 20);
    cr_assert_eq(lspo_tokenizer_open(folder, &t), LSPO_ERR_INPUT);
    write_text("merges.txt", "#version: 0.2\na b\n", 18);
    cr_assert_eq(lspo_tokenizer_open(folder, &t), LSPO_OK);
    const uint32_t wanted[] = {2, 1};
    expect_ids(t, "abb", 3, true, wanted, 2);
    lspo_tokenizer_close(t);
    write_text("merges.txt", "a b\0\n", 5);
    t = NULL;
    cr_assert_eq(lspo_tokenizer_open(folder, &t), LSPO_ERR_INPUT);
    write_text("merges.txt", "a b c\n", 6);
    cr_assert_eq(lspo_tokenizer_open(folder, &t), LSPO_ERR_INPUT);
    cr_assert_null(t);
}

/* Names of tokenizers that are not read: each alone is refused by name; with tokenizer.json beside it it is not. */
Test(tokenizer_files, what_cannot_be_read_is_not_taken_for_bytes)
{
    static const char *const names[] = {
        "tokenizer.model", "tokenizer.model.v3", "vocab.json", "merges.txt", "qwen.tiktoken", "tekken.json",
        "spiece.model", "sentencepiece.bpe.model", "vocab.txt", "encoder.json", "tokenizer_config.json",
        "special_tokens_map.json", "added_tokens.json",
        /* what else lies in folders of Hugging Face's hub */
        "tiktoken.model", "ice_text.model", "cl100k_base.tiktoken", "model.v11-tekken.json", "source.spm", "target.spm",
        "spm.model", "spm_char.model", "sentencepiece.model", "bpe.codes", "dict.txt", "dict.en.txt", "vocab.bpe",
        "vocab-src.json", "target_vocab.json", "entity_vocab.json", "emoji_vocab.txt", "bpe.model", "m.bpe",
        "src.vocab", "rwkv_vocab_v20230424.txt", "tokenization_qwen.py", "tokenizer.py", "prophetnet.tokenizer",
        "Tokenizer.json", "tokenizer.bin", "TOKENIZER.MODEL", "mistral.model.v7", "my-merges.txt"};
    lspo_tokenizer_t *t = NULL;
    cr_assert_eq(lspo_tokenizer_open_model(folder, 256, &t), LSPO_OK);
    cr_assert_null(t);
    cr_assert_eq(lspo_tokenizer_open_model(folder, 384, &t), LSPO_OK);
    cr_assert_eq(lspo_tokenizer_open_model(folder, 385, &t), LSPO_ERR_INPUT);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[256];
        bool found = false;
        write_text(names[i], "{}", 2);
        cr_assert_eq(lspo_tokenizer_find(folder, &found), LSPO_ERR_INPUT, "%s", names[i]);
        cr_assert_eq(lspo_tokenizer_open_model(folder, 256, &t), LSPO_ERR_INPUT, "%s", names[i]);
        write_text("tokenizer.json", "{}", 2);
        cr_assert_eq(lspo_tokenizer_find(folder, &found), LSPO_OK, "%s", names[i]);
        cr_assert(found);
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        cr_assert_eq(unlink(path), 0);
        snprintf(path, sizeof path, "%s/tokenizer.json", folder);
        cr_assert_eq(unlink(path), 0);
    }
    /* A folder that holds one; what else lies beside weights is none. */
    static const char *const others[] = {"README.md", "tokenizer_notes.md", "config.json", "model.safetensors",
                                         "LICENSE"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        write_text(others[i], "{}", 2);
    cr_assert_eq(lspo_tokenizer_open_model(folder, 256, &t), LSPO_OK);
    cr_assert_null(t);
    write_string("config.json", "{\"tokenizer_class\":\"ByT5Tokenizer\"}");
    cr_assert_eq(lspo_tokenizer_open_model(folder, 256, &t), LSPO_ERR_INPUT);
    write_string("config.json", "{}");
    char path[256];
    snprintf(path, sizeof path, "%s/tokenizer", folder);
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_eq(lspo_tokenizer_open_model(folder, 256, &t), LSPO_ERR_INPUT);
    cr_assert_eq(rmdir(path), 0);
}

static void expect_begin_and_end(const char *config, const char *rest, uint32_t begin, uint32_t end)
{
    char text[1024];
    lspo_tokenizer_t *t = NULL;
    write_text("tokenizer_config.json", config, strlen(config));
    snprintf(text, sizeof text, "{%s" SMALL_MODEL "}", rest);
    cr_assert_eq(open_json(text, &t), LSPO_OK);
    cr_assert_eq(lspo_tokenizer_begin(t), begin, "%s %s: %u", config, rest, lspo_tokenizer_begin(t));
    cr_assert_eq(lspo_tokenizer_end(t), end, "%s %s: %u", config, rest, lspo_tokenizer_end(t));
    lspo_tokenizer_close(t);
}

#define POST_PROCESSOR                                                                                                 \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"c\"}},"               \
    "{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"c\":{\"ids\":[2]}}},"

/* bc is 3, ab is 4, c is 2. */
Test(tokenizer_files, older_folders_name_roles_in_special_tokens_map)
{
    lspo_tokenizer_t *t = NULL;
    write_string("special_tokens_map.json", "{\"eos_token\":{\"content\":\"ab\"},\"pad_token\":\"c\"}");
    cr_assert_eq(open_json("{" SMALL_MODEL "}", &t), LSPO_OK);
    cr_assert_eq(lspo_tokenizer_end(t), 4u);
    cr_assert_eq(lspo_tokenizer_pad(t), 2u);
    lspo_tokenizer_close(t);
    /* As in transformers: the map has the last word, but where the config lists the added tokens, too. */
    write_string("tokenizer_config.json", "{\"eos_token\":\"bc\",\"pad_token\":\"b\"}");
    cr_assert_eq(open_json("{" SMALL_MODEL "}", &t), LSPO_OK);
    cr_assert_eq(lspo_tokenizer_end(t), 4u);
    cr_assert_eq(lspo_tokenizer_pad(t), 2u);
    lspo_tokenizer_close(t);
    write_string("tokenizer_config.json",
                 "{\"eos_token\":\"bc\",\"pad_token\":\"b\",\"added_tokens_decoder\":{\"4\":{\"content\":\"ab\"}}}");
    cr_assert_eq(open_json("{" SMALL_MODEL "}", &t), LSPO_OK);
    cr_assert_eq(lspo_tokenizer_end(t), 3u);
    cr_assert_eq(lspo_tokenizer_pad(t), 1u);
    lspo_tokenizer_close(t);
}

Test(tokenizer_files, its_own_word_decides_what_begins_a_text)
{
    const char named[] = "{\"bos_token\":\"bc\",\"eos_token\":\"ab\"}";
    expect_begin_and_end(named, "", LSPO_TOKEN_NONE, 4);
    expect_begin_and_end(named, POST_PROCESSOR, 2, 4);
    expect_begin_and_end("{\"add_bos_token\":false,\"bos_token\":\"bc\",\"eos_token\":\"ab\"}", POST_PROCESSOR,
                         LSPO_TOKEN_NONE, 4);
    expect_begin_and_end("{\"add_bos_token\":true,\"bos_token\":\"bc\",\"eos_token\":\"ab\"}", "", 3, 4);
    expect_begin_and_end("{\"tokenizer_class\":\"LlamaTokenizerFast\",\"bos_token\":\"bc\",\"eos_token\":\"ab\"}", "",
                         3, 4);
    expect_begin_and_end("{\"tokenizer_class\":\"LlamaTokenizer\",\"add_bos_token\":false,\"bos_token\":\"bc\","
                         "\"eos_token\":\"ab\"}",
                         "", LSPO_TOKEN_NONE, 4);
}

Test(tokenizer_files, a_byte_order_mark_is_skipped)
{
    lspo_tokenizer_t *t = NULL;
    cr_assert_eq(open_json("\xef\xbb\xbf", &t), LSPO_ERR_INPUT);
    cr_assert_eq(open_json("\xef\xbb\xbf{" SMALL_MODEL "}", &t), LSPO_OK);
    expect_ids(t, "abc", 3, true, (const uint32_t[]){6}, 1);
    lspo_tokenizer_close(t);
}

Test(tokenizer_files, what_is_no_file_is_refused_at_once, .timeout = 10)
{
    lspo_tokenizer_t *t = NULL;
    char path[256];
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(lspo_tokenizer_open(folder, &t), LSPO_ERR_INPUT);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_eq(lspo_tokenizer_open(folder, &t), LSPO_ERR_INPUT);
}

/* The same tokenizer in the two forms: here the two files must give what tokenizer.json gives. */
Test(tokenizer_files, two_files_are_short_for_tokenizer_json)
{
    const char *config = "{\"tokenizer_class\":\"GPT2Tokenizer\",\"add_bos_token\":true,\"bos_token\":\"x\"}";
    lspo_tokenizer_t *t = NULL;
    write_string("vocab.json", "{\"a\":0,\"b\":1,\"ab\":2,\"<|endoftext|>\":3}");
    write_string("merges.txt", "a b"); /* a last line without its end */
    write_string("added_tokens.json", "{\"x\":4}");
    write_string("tokenizer_config.json", config);
    cr_assert_eq(lspo_tokenizer_open(folder, &t), LSPO_OK);
    expect_ids(t, "abxb<|endoftext|>", 17, false, (const uint32_t[]){2, 4, 1, 3}, 4);
    cr_assert_eq(lspo_tokenizer_begin(t), 4u);
    cr_assert_eq(lspo_tokenizer_end(t), 3u);
    lspo_tokenizer_close(t);
    t = NULL;
    write_string("tokenizer_config.json", "{\"tokenizer_class\":\"CLIPTokenizer\"}");
    cr_assert_eq(lspo_tokenizer_open(folder, &t), LSPO_ERR_INPUT);
}

/* What two files give, with these beside them: ids of the text; begin, which is LSPO_TOKEN_NONE for none. */
static void expect_two_files(const char *model, const char *config, const char *map, const uint32_t *ids, size_t count,
                             uint32_t begin)
{
    static const char text[] = "<s>ab</s><|endoftext|>";
    lspo_tokenizer_t *t = NULL;
    write_string("config.json", model);
    write_string("tokenizer_config.json", config);
    write_string("special_tokens_map.json", map);
    cr_assert_eq(lspo_tokenizer_open(folder, &t), LSPO_OK, "%s %s %s", model, config, map);
    expect_ids(t, text, strlen(text), true, ids, count);
    cr_expect_eq(lspo_tokenizer_begin(t), begin, "%s %s %s: %u", model, config, map, lspo_tokenizer_begin(t));
    lspo_tokenizer_close(t);
}

#define IDS(...) (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)

/* Expected are the ids of transformers 5.24: special is what the kind of tokenizer or the config says, not what looks
 * so.  The vocabulary lacks "|" and "o", which byte-level BPE without an unknown token drops. */
Test(tokenizer_files, in_two_files_special_is_what_is_said_to_be)
{
    static const char none[] = "{}", gpt2[] = "{\"model_type\":\"gpt2\"}", roberta[] = "{\"model_type\":\"roberta\"}";
    write_string("vocab.json",
                 "{\"<\":0,\"s\":1,\">\":2,\"/\":3,\"a\":4,\"b\":5,\"ab\":6,\"<s>\":7,\"</s>\":8,\"<mask>\":9}");
    write_string("merges.txt", "#version: 0.2\na b\n");
    /* GPT-2's: <s> is text, and the end token is new: 10. */
    expect_two_files(gpt2, none, none, IDS(0, 1, 2, 6, 0, 3, 1, 2, 10), LSPO_TOKEN_NONE);
    expect_two_files(gpt2, "{\"bos_token\":\"<s>\"}", none, IDS(7, 6, 0, 3, 1, 2, 10), LSPO_TOKEN_NONE);
    expect_two_files(gpt2, "{\"bos_token\":\"<s>\",\"add_bos_token\":true}", none, IDS(7, 7, 6, 0, 3, 1, 2, 10), 7);
    expect_two_files(gpt2, "{\"add_bos_token\":true}", none, IDS(10, 0, 1, 2, 6, 0, 3, 1, 2, 10), 10);
    expect_two_files(gpt2, "{\"add_bos_token\":true,\"bos_token\":null}", none, IDS(0, 1, 2, 6, 0, 3, 1, 2, 10),
                     LSPO_TOKEN_NONE);
    expect_two_files(gpt2, "{\"add_eos_token\":true}", none, IDS(0, 1, 2, 6, 0, 3, 1, 2, 10, 10), LSPO_TOKEN_NONE);
    expect_two_files(gpt2, "{\"bos_token\":\"ab\"}", "{\"bos_token\":{\"content\":\"<s>\"},\"pad_token\":\"</s>\"}",
                     IDS(7, 6, 8, 10), LSPO_TOKEN_NONE);
    expect_two_files(gpt2, none, "{\"additional_special_tokens\":[\"<s>\",\"zz\"]}", IDS(7, 6, 0, 3, 1, 2, 10),
                     LSPO_TOKEN_NONE);
    expect_two_files(gpt2, "{\"extra_special_tokens\":{\"image_token\":\"</s>\"}}", none, IDS(0, 1, 2, 6, 8, 10),
                     LSPO_TOKEN_NONE);
    expect_two_files(gpt2, "{\"added_tokens_decoder\":{\"8\":{\"content\":\"</s>\"}}}", none, IDS(0, 1, 2, 6, 8, 10),
                     LSPO_TOKEN_NONE);
    /* RoBERTa's: <s> and </s> are around every text, whatever the flags; <unk> and <pad> are new, the end is text. */
    expect_two_files(roberta, none, none, IDS(7, 7, 6, 8, 0, 2, 8), 7);
    expect_two_files(roberta, "{\"add_bos_token\":false,\"add_eos_token\":false}", none, IDS(7, 7, 6, 8, 0, 2, 8), 7);
    expect_two_files(roberta, "{\"cls_token\":\"a\",\"sep_token\":\"b\"}", none, IDS(4, 7, 4, 5, 8, 0, 2, 5), 4);
    expect_two_files(gpt2, "{\"tokenizer_class\":\"RobertaTokenizerFast\"}", none, IDS(7, 7, 6, 8, 0, 2, 8), 7);
    expect_two_files("{\"model_type\":\"llama\",\"tokenizer_class\":\"GPT2Tokenizer\"}", none, none,
                     IDS(0, 1, 2, 6, 0, 3, 1, 2, 10), LSPO_TOKEN_NONE);
    lspo_tokenizer_t *t = NULL;
    write_string("config.json", "{\"model_type\":\"llama\"}");
    cr_assert_eq(lspo_tokenizer_open(folder, &t), LSPO_ERR_INPUT);
    write_string("config.json", gpt2);
    write_string("tokenizer_config.json", "{\"added_tokens_decoder\":{\"77\":{\"content\":\"</s>\"}}}");
    cr_assert_eq(lspo_tokenizer_open(folder, &t), LSPO_ERR_INPUT);
}

/* Beside tokenizer.json, too, roles are cut out of the text; one that is not in the vocabulary is new. */
Test(tokenizer_files, roles_are_special_though_tokenizer_json_does_not_list_them)
{
    lspo_tokenizer_t *t = NULL;
    write_string("tokenizer_config.json", "{\"bos_token\":\"b\",\"pad_token\":\"zz\",\"add_bos_token\":true}");
    cr_assert_eq(open_json("{" SMALL_MODEL "}", &t), LSPO_OK);
    expect_ids(t, "abczzab", 7, false, (const uint32_t[]){0, 1, 2, 7, 0, 1}, 6);
    cr_assert_eq(lspo_tokenizer_begin(t), 1u);
    cr_assert_eq(lspo_tokenizer_pad(t), 7u);
    lspo_tokenizer_close(t);
    t = NULL;
    /* A begin that is null is not looked for under the usual names. */
    write_string("tokenizer_config.json", "{\"bos_token\":null,\"add_bos_token\":true}");
    cr_assert_eq(open_json("{\"added_tokens\":[{\"id\":7,\"content\":\"<s>\",\"special\":true}]," SMALL_MODEL "}", &t),
                 LSPO_OK);
    cr_assert_eq(lspo_tokenizer_begin(t), LSPO_TOKEN_NONE);
    lspo_tokenizer_close(t);
    t = NULL;
    cr_assert_eq(open_json("{" POST_PROCESSOR SMALL_MODEL "}", &t), LSPO_OK);
    cr_assert_eq(lspo_tokenizer_begin(t), 2u);
    lspo_tokenizer_close(t);
}
