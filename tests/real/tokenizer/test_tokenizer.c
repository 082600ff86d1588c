/* Tokenizers: merges worked out by hand, recorded answers of the tokenizers library, round trips, broken files. */
#include "real/tokenizer/tokenizer.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/input_file.h"
#include "kernels/random.h"
#include "real/tokenizer/files.h"
#include "real/tokenizer/regex.h"
#include "real/tokenizer/split.h"
#include "tests/own_folder.h"

TestSuite(tokenizer, .init = make_folder, .fini = remove_folder);

static void write_text(const char *name, const char *text, size_t bytes)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(text, 1, bytes, file), bytes);
    cr_assert_eq(fclose(file), 0);
}

static void write_string(const char *name, const char *text)
{
    write_text(name, text, strlen(text));
}

static lspo_status_t open_json(const char *text, lspo_tokenizer_t **tokenizer_out)
{
    write_text("tokenizer.json", text, strlen(text));
    return lspo_tokenizer_open(folder, tokenizer_out);
}

static void expect_ids(lspo_tokenizer_t *t, const char *text, size_t bytes, bool specials, const uint32_t *wanted,
                       size_t wanted_count)
{
    uint32_t *ids = NULL;
    size_t count = 0;
    cr_assert_eq(lspo_tokenizer_encode(t, text, bytes, specials, &ids, &count), LSPO_OK);
    cr_assert_eq(count, wanted_count, "'%s': %zu ids, not %zu", text, count, wanted_count);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(ids[i], wanted[i], "'%s': id %zu is %u, not %u", text, i, ids[i], wanted[i]);
    free(ids);
}

static void expect_text(lspo_tokenizer_t *t, const uint32_t *ids, size_t count, bool skip, const char *wanted,
                        size_t wanted_bytes)
{
    char *text = NULL;
    size_t bytes = 0;
    cr_assert_eq(lspo_tokenizer_decode(t, ids, count, skip, &text, &bytes), LSPO_OK);
    cr_assert(bytes == wanted_bytes && memcmp(text, wanted, bytes) == 0, "'%s' is not '%s'", text, wanted);
    free(text);
}

/* Merges by rank, leftmost first.  "abcab": ranks bc 0, ab 1, abc 2 (a + bc).
 *     a b c a b -> a bc a b (bc is the lowest rank) -> a bc ab (ab) -> abc ab (a + bc)           = 6 4
 * "aaa" with no merge of a + a: three times a. */
#define SMALL_MODEL                                                                                                    \
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"bc\":3,\"ab\":4,\"?\":5,"    \
    "\"abc\":6},\"merges\":[\"b c\",\"a b\",[\"a\",\"bc\"]]}"

Test(tokenizer, merges_by_rank)
{
    lspo_tokenizer_t *t = NULL;
    cr_assert_eq(open_json("{" SMALL_MODEL "}", &t), LSPO_OK);
    cr_assert_eq(lspo_tokenizer_vocabulary(t), 7u);
    cr_assert_eq(lspo_tokenizer_id(t, "abc"), 6u);
    cr_assert_eq(lspo_tokenizer_id(t, "abcd"), LSPO_TOKEN_NONE);
    expect_ids(t, "abcab", 5, true, (const uint32_t[]){6, 4}, 2);
    expect_ids(t, "aaa", 3, true, (const uint32_t[]){0, 0, 0}, 3);
    /* Two unknown characters, one of them of two bytes: not fused. */
    expect_ids(t, "axéb", 5, true, (const uint32_t[]){0, 5, 5, 1}, 4);
    expect_ids(t, "", 0, true, NULL, 0);
    lspo_tokenizer_close(t);
}

/* The text as one word, joined by scanning for the lowest rank again and again: the definition, in O(n^2). */
static size_t merge_naively(uint32_t *ids, size_t count)
{
    static const uint32_t merges[][3] = {{1, 2, 3}, {0, 1, 4}, {0, 3, 6}};
    for (;;) {
        size_t best = count, best_rank = 3;
        for (size_t i = 0; i + 1 < count; i++)
            for (size_t r = 0; r < best_rank; r++)
                if (ids[i] == merges[r][0] && ids[i + 1] == merges[r][1]) {
                    best = i;
                    best_rank = r;
                }
        if (best == count)
            return count;
        ids[best] = merges[best_rank][2];
        memmove(&ids[best + 1], &ids[best + 2], (count - best - 2) * sizeof *ids);
        count--;
    }
}

Test(tokenizer, long_words_are_merged_as_short_ones)
{
    lspo_tokenizer_t *t = NULL;
    cr_assert_eq(open_json("{" SMALL_MODEL "}", &t), LSPO_OK);
    for (uint64_t round = 0; round < 300; round++) {
        char text[400];
        uint32_t wanted[400];
        size_t bytes = 1 + lspo_random_below(5, round, 0, 399);
        for (size_t i = 0; i < bytes; i++) {
            wanted[i] = lspo_random_below(5, round, 1 + i, 3);
            text[i] = (char)('a' + wanted[i]);
        }
        size_t count = merge_naively(wanted, bytes);
        expect_ids(t, text, bytes, false, wanted, count);
    }
    lspo_tokenizer_close(t);
}

static double seconds_to_encode(lspo_tokenizer_t *t, const char *text, size_t bytes)
{
    struct timespec begin, end;
    uint32_t *ids = NULL;
    size_t count = 0;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    cr_assert_eq(lspo_tokenizer_encode(t, text, bytes, false, &ids, &count), LSPO_OK);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    free(ids);
    return (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
}

/* A word 16 times as long takes about 16 times as long (n log n), not 256 times. */
Test(tokenizer, long_words_take_their_length)
{
    enum { SHORT = 1 << 15, LONG = 16 * SHORT };
    lspo_tokenizer_t *t = NULL;
    char *text = malloc(LONG);
    double least = 1e9;
    for (size_t i = 0; i < LONG; i++)
        text[i] = (char)('a' + lspo_random_below(6, 0, i, 3));
    cr_assert_eq(open_json("{" SMALL_MODEL "}", &t), LSPO_OK);
    for (int repeat = 0; repeat < 3; repeat++)
        least = fmin(least, seconds_to_encode(t, text, LONG) / seconds_to_encode(t, text, SHORT));
    cr_assert_lt(least, 64.0);
    lspo_tokenizer_close(t);
    free(text);
}

static lspo_status_t add_word(void *context, const char *word, size_t bytes)
{
    strncat(context, word, bytes);
    strcat(context, "|");
    return LSPO_OK;
}

/* The words of `text` as a pre_tokenizer's object cuts it, each followed by "|". */
static void expect_words(const char *object, const char *text, const char *wanted)
{
    char found[256] = "";
    lspo_splitter_t *splitter = NULL;
    json_error_t error;
    json_t *json = json_loads(object, 0, &error);
    cr_assert_not_null(json, "%s: %s", object, error.text);
    cr_assert_eq(lspo_splitter_create("test", json, &splitter), LSPO_OK, "%s", object);
    cr_assert_eq(lspo_splitter_apply(splitter, text, strlen(text), true, add_word, found), LSPO_OK);
    cr_assert_str_eq(found, wanted, "%s: '%s', not '%s'", object, found, wanted);
    lspo_splitter_destroy(splitter);
    json_decref(json);
}

#define SPLIT(pattern, rest) "{\"type\":\"Split\",\"pattern\":{" pattern "}," rest "}"
#define BY(name) "\"behavior\":\"" name "\""

/* By hand. */
Test(tokenizer, words_end_where_the_patterns_say)
{
    static const char gpt2[] = SPLIT("\"Regex\":\"'s|'t|'re|'ve|'m|'ll|'d| ?\\\\p{L}+| ?\\\\p{N}+| "
                                     "?[^\\\\s\\\\p{L}\\\\p{N}]+|\\\\s+(?!\\\\S)|\\\\s+\"",
                                     BY("Isolated"));
    expect_words(gpt2, "I'm  here, we'LL 42x", "I|'m| | here|,| we|'|LL| 42|x|");
    expect_words(gpt2, "a\n\nb  ", "a|\n|\n|b|  |");
    expect_words(gpt2, "é2½ 你好。", "é|2½| 你好|。|");
    expect_words(SPLIT("\"String\":\"-\"", BY("Removed")), "-a--b-", "a|b|");
    expect_words(SPLIT("\"String\":\"-\"", BY("Isolated")), "-a--b-", "-|a|-|-|b|-|");
    expect_words(SPLIT("\"String\":\"-\"", BY("MergedWithPrevious")), "-a--b-", "-|a-|-|b-|");
    expect_words(SPLIT("\"String\":\"-\"", BY("MergedWithNext")), "-a--b-", "-a|-|-b|-|");
    expect_words(SPLIT("\"String\":\"-\"", BY("Contiguous")), "-a--b-", "-|a|--|b|-|");
    expect_words(SPLIT("\"Regex\":\"[a-z]+\"", BY("Removed") ",\"invert\":true"), "ab1c 2", "ab|c|");
    expect_words("{\"type\":\"Digits\",\"individual_digits\":true}", "a12b", "a|1|2|b|");
    expect_words("{\"type\":\"Digits\"}", "a12b", "a|12|b|");
    expect_words("{\"type\":\"Punctuation\"}", "a.,b$", "a|.|,|b|$|");
    expect_words("{\"type\":\"Whitespace\"}", "a_1 b-c\xc2\xa0", "a_1|b|-|c|");
    expect_words("{\"type\":\"WhitespaceSplit\"}", " a b-c\n", "a|b-c|");
    expect_words("{\"type\":\"BertPreTokenizer\"}", "a b-c\n", "a|b|-|c|");
    expect_words("{\"type\":\"Metaspace\",\"prepend_scheme\":\"first\"}", "a  b", "▁a|▁|▁b|");
    expect_words("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"WhitespaceSplit\"},{\"type\":\"Metaspace\"}]}",
                 " a b", "▁a|▁b|");
    /* Alone, \w has Latin-1's fractions, in a class it has not; an atomic group behind a character that does not match. */
    expect_words(SPLIT("\"Regex\":\"\\\\w\"", BY("Isolated")), "-½-", "-|½|-|");
    expect_words(SPLIT("\"Regex\":\"[\\\\w]\"", BY("Isolated")), "-½-", "-½-|");
    expect_words(SPLIT("\"Regex\":\".(?>.+?)!\"", BY("Isolated")), "ab'!x", "a|b'!|x|");
    /* A byte that is no UTF-8 stands between matches. */
    expect_words(SPLIT("\"Regex\":\"[a-z]+\"", BY("Isolated")),
                 "ab\xff\xfe"
                 "c",
                 "ab|\xff\xfe|c|");
}

static void expect_translation(const char *pattern, const char *wanted)
{
    lspo_buffer_t ours = {0};
    const char *why = NULL;
    lspo_status_t status = lspo_regex_translate(pattern, &ours, &why);
    if (wanted) {
        cr_assert_eq(status, LSPO_OK, "%s: %s", pattern, why);
        cr_assert_str_eq(ours.text, wanted);
    } else {
        cr_assert_eq(status, LSPO_ERR_INPUT, "%s became %s", pattern, ours.text);
        cr_assert_not_null(why);
    }
    free(ours.text);
}

Test(tokenizer, expressions_are_rewritten_for_pcre2)
{
    expect_translation("a|(?:b)+?", "a|(?:b)+?");
    expect_translation("\\h{,3}", "[0-9A-Fa-f]{0,3}");
    expect_translation("[a[bc]]", "(?:[\\x{62}\\x{63}]|[\\x{61}])");
    expect_translation("[^a-c&&[b]]", "(?:(?!(?=[\\x{61}-\\x{63}])(?:[\\x{62}]))(?s:.))");
    expect_translation("(?m:.)\\u0041", "(?s:.)A");
    expect_translation("(?i:'s)", "(?i:'s)");
    expect_translation("(?i:ss)", NULL);
    expect_translation("a{2}+", NULL);
    expect_translation("(?~a)", NULL);
    expect_translation("\\X", NULL);
    expect_translation("[a", NULL);
    expect_translation("a)", NULL);
    expect_translation("\\p{Qq}", NULL);
}

/* Where the library's Unicode is newer than PCRE2's, or says otherwise of a character. */
Test(tokenizer, sets_of_characters_are_those_of_the_library)
{
    static const struct {
        const char *pattern, *character;
        bool matches;
    } cases[] = {
        {"\\p{Han}", "\U0002b73a", false},   {"\\p{Han}", "\U00031350", true},
        {"\\p{Han}", "\U00033479", false},   {"\\p{Han}", "\U0002ebf0", true},
        {"[[:alpha:]]", "\u0363", true},     {"[[:alnum:]]", "\u1de5", true},
        {"\\p{Lowercase}", "\u10fc", true},  {"[[:lower:]]", "\U0001e030", true},
        {"\\p{Cyrillic}", "\u1c89", true},   {"\\p{Lao}", "\u0ece", true},
        {"\\p{Arabic}", "\u0897", true},     {"\\p{Common}", "\u2427", true},
        {"\\p{Latin}", "\ua7cb", true},      {"\\p{Hiragana}", "\U0001b132", true},
        {"\\p{Mc}", "\U0001171e", true},     {"\\p{Mn}", "\U0001171e", false},
        {"[\\p{Mn}]", "\U0001171e", false},  {"\\P{Mn}", "\U0001171e", true},
        {"[^\\p{Mn}]", "\U0001171e", true},  {"[\\P{Mn}]", "\U0001171e", true},
        {"[^\\P{Mn}]", "\U0001171e", false}, {"\\p{Mn}", "\u0301", true},
        {"\\P{Mn}", "\u0301", false},        {"[a\\p{Mn}]", "\u0301", true},
        {"[^a\\p{Mn}]", "\u0301", false},    {"\\p{Mn}", "a", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_regex_t *regex = NULL;
        size_t begin = 0, end = 0;
        const size_t bytes = strlen(cases[i].character);
        cr_assert_eq(lspo_regex_create("test", cases[i].pattern, &regex), LSPO_OK, "%s", cases[i].pattern);
        cr_assert_eq(lspo_regex_next(regex, cases[i].character, bytes, 0, &begin, &end), LSPO_OK);
        cr_expect_eq(begin == 0 && end == bytes, cases[i].matches, "%s on %s", cases[i].pattern, cases[i].character);
        lspo_regex_destroy(regex);
    }
    expect_translation("\\p{Emoji}", NULL);
    expect_translation("(?i:[^\\p{L}])", NULL);
    expect_translation("(?i:[^a[\\p{L}]])", NULL);
    expect_translation("(?i:\\W)", NULL);
    expect_translation("(?i:[^a-z])", "(?i:[^\\x{61}-\\x{7a}])");
}

static char *peers_folder(void)
{
    static char path[512];
    const char *peers = getenv("LSPO_PEERS"), *source = getenv("LSPO_SOURCE");
    if (peers)
        snprintf(path, sizeof path, "%s/tokenizers", peers);
    else
        snprintf(path, sizeof path, "%s/tests/data/peers/tokenizers", source ? source : ".");
    return path;
}

static size_t get_ids(const json_t *list, uint32_t *ids)
{
    size_t index;
    json_t *value;
    json_array_foreach(list, index, value) ids[index] = (uint32_t)json_integer_value(value);
    return json_array_size(list);
}

enum { IDS_MAX = 4096 };

/* What a case leaves out is the same as what it is made from; one of ids only is text and ids. */
static void replay_case(lspo_tokenizer_t *t, const json_t *item, bool ids_only)
{
    static uint32_t ids[IDS_MAX];
    const json_t *text = json_object_get(item, "text"), *specials = json_object_get(item, "ids");
    const json_t *plain = json_object_get(item, "plain"), *decoded = json_object_get(item, "decoded");
    const json_t *skipped = json_object_get(item, "skipped");
    plain = plain ? plain : specials;
    decoded = decoded ? decoded : text;
    skipped = skipped ? skipped : text;
    cr_assert_lt(json_array_size(specials), (size_t)IDS_MAX);
    size_t count = get_ids(specials, ids);
    if (ids_only) {
        expect_ids(t, json_string_value(text), json_string_length(text), true, ids, count);
        return;
    }
    count = get_ids(plain, ids);
    expect_ids(t, json_string_value(text), json_string_length(text), false, ids, count);
    expect_text(t, ids, count, false, json_string_value(decoded), json_string_length(decoded));
    count = get_ids(specials, ids);
    expect_ids(t, json_string_value(text), json_string_length(text), true, ids, count);
    expect_text(t, ids, count, true, json_string_value(skipped), json_string_length(skipped));
}

/* An accent is replaced together with its letter, but not where a mark follows that makes the whole longer: one of
 * Unicode 17, too. */
Test(tokenizer, graphemes_are_those_of_the_library)
{
    static const struct {
        const char *text;
        bool replaced;
    } cases[] = {{"e\u0301", true},
                 {"e\u0301\u1ae1", false},
                 {"e\u0301\u0897", false},
                 {"e\u0301\U000113e1", false},
                 {"e\u0301\u0300", true},
                 {"e\u0301\u20dd", false},
                 {"e\u0301z", true},
                 {"\U000113d1"
                  "e\u0301",
                  false},
                 {"\U00011a3a"
                  "e\u0301",
                  true}};
    char path[1024];
    lspo_tokenizer_t *t = NULL;
    snprintf(path, sizeof path, "%s/ids-xlm-roberta", peers_folder());
    cr_assert_eq(lspo_tokenizer_open(path, &t), LSPO_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static const uint32_t accent[] = {339, 264}; /* <0xCC> <0x81>: it was kept */
        uint32_t *ids = NULL;
        size_t count = 0;
        bool kept = false;
        cr_assert_eq(lspo_tokenizer_encode(t, cases[i].text, strlen(cases[i].text), false, &ids, &count), LSPO_OK);
        for (size_t k = 0; k + 2 <= count; k++)
            kept |= memcmp(ids + k, accent, sizeof accent) == 0;
        cr_expect_neq(kept, cases[i].replaced, "%s", cases[i].text);
        free(ids);
    }
    lspo_tokenizer_close(t);
}

/* Ids and texts as the tokenizers library gave them (tests/peers/tokenizers_peer.py). */
Test(tokenizer, agrees_with_recorded_answers, .timeout = 300)
{
    DIR *list = opendir(peers_folder());
    cr_assert_not_null(list, "no %s", peers_folder());
    unsigned kinds = 0, cases = 0;
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        char path[1024];
        if (entry->d_name[0] == '.')
            continue;
        lspo_tokenizer_t *t = NULL;
        snprintf(path, sizeof path, "%s/%s", peers_folder(), entry->d_name);
        cr_assert_eq(lspo_tokenizer_open(path, &t), LSPO_OK, "%s", path);
        strcat(path, "/cases.json");
        json_error_t error;
        json_t *items = json_load_file(path, JSON_ALLOW_NUL, &error), *item;
        cr_assert_not_null(items, "%s: %s", path, error.text);
        size_t index;
        json_array_foreach(items, index, item)
        {
            replay_case(t, item, strncmp(entry->d_name, "ids-", 4) == 0);
            cases++;
        }
        json_decref(items);
        lspo_tokenizer_close(t);
        kinds++;
    }
    closedir(list);
    cr_assert_geq(kinds, 40u);
    cr_assert_geq(cases, 40u * 50);
    if (getenv("LSPO_PEERS"))
        fprintf(stderr, "tokenizers: %u texts by %u tokenizers: ids, and decoded texts, equal\n", cases, kinds);
}

static lspo_tokenizer_t *open_peer(const char *kind)
{
    char path[1024];
    lspo_tokenizer_t *t = NULL;
    snprintf(path, sizeof path, "%s/%s", peers_folder(), kind);
    cr_assert_eq(lspo_tokenizer_open(path, &t), LSPO_OK);
    return t;
}

static void expect_round_trip(lspo_tokenizer_t *t, const char *text, size_t bytes)
{
    uint32_t *ids = NULL;
    size_t count = 0;
    cr_assert_eq(lspo_tokenizer_encode(t, text, bytes, false, &ids, &count), LSPO_OK);
    expect_text(t, ids, count, false, text, bytes);
    free(ids);
}

static size_t put_utf8(uint32_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* Valid UTF-8 for all that promise it; any bytes at all for the byte-level one.  RoBERTa's adds a blank, "unknown" and
 * U+2581 lose something by definition. */
Test(tokenizer, decoding_undoes_encoding)
{
    static const char *const kinds[] = {"gpt2", "llama3", "qwen2", "llama", "llama-first"};
    static const uint32_t highest[] = {0x80, 0x250, 0x3000, 0x110000};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        lspo_tokenizer_t *t = open_peer(kinds[k]);
        for (uint64_t round = 0; round < 300; round++) {
            char text[512];
            size_t bytes = 0, length = 1 + lspo_random_below(7, round, 0, 100);
            if (k > 2) /* Llama's takes a blank in front for its own */
                text[bytes++] = 'x';
            for (size_t i = 0; i < length; i++) {
                uint32_t limit = highest[lspo_random_below(8, round, i, 4)];
                uint32_t code = lspo_random_below(9, round, i, limit);
                if (code != 0x2581 && (code < 0xd800 || code >= 0xe000))
                    bytes += put_utf8(code, text + bytes);
            }
            expect_round_trip(t, text, bytes);
        }
        lspo_tokenizer_close(t);
    }
    lspo_tokenizer_t *t = open_peer("gpt2");
    for (uint64_t round = 0; round < 300; round++) {
        char text[200];
        for (size_t i = 0; i < sizeof text; i++)
            text[i] = (char)lspo_random_below(10, round, i, 256);
        expect_round_trip(t, text, sizeof text);
    }
    lspo_tokenizer_close(t);
}

Test(tokenizer, roles_are_found)
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

Test(tokenizer, refuses_what_is_broken_or_unknown)
{
    expect_refused("{", "line 1");
    expect_refused("[]", "no JSON object");
    expect_refused("{}", "no vocabulary");
    expect_refused(MODEL("", ""), "0 tokens");
    expect_refused(MODEL("\"a\":0,\"a\":1", ""), "duplicate");
    expect_refused(MODEL("\"a\":0,\"b\":0", ""), "same id");
    expect_refused(MODEL("\"a\":-1", ""), "'a'");
    expect_refused(MODEL("\"a\":\"0\"", ""), "'a'");
    expect_refused(MODEL("\"a\":99999999999", ""), "'a'");
    expect_refused(MODEL("\"a\":9999999", ""), "ids up to 9999999");
    expect_refused(MODEL("\"a\":0", "\"a b\""), "not in the vocabulary");
    expect_refused(MODEL("\"a\":0", "\"a\""), "no pair");
    expect_refused(MODEL("\"a\":0", "\"a a a\""), "no pair");
    expect_refused(MODEL("\"a\":0", "[\"a\"]"), "no pair");
    expect_refused(MODEL("\"a\":0", "1"), "no pair");
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
Test(tokenizer, mutated_files_never_crash, .timeout = 120)
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

Test(tokenizer, mutated_files_of_every_kind_never_crash, .timeout = 200)
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

Test(tokenizer, folders_without_one_are_refused)
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
Test(tokenizer, what_cannot_be_read_is_not_taken_for_bytes)
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
Test(tokenizer, older_folders_name_roles_in_special_tokens_map)
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

Test(tokenizer, its_own_word_decides_what_begins_a_text)
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

Test(tokenizer, a_byte_order_mark_is_skipped)
{
    lspo_tokenizer_t *t = NULL;
    cr_assert_eq(open_json("\xef\xbb\xbf", &t), LSPO_ERR_INPUT);
    cr_assert_eq(open_json("\xef\xbb\xbf{" SMALL_MODEL "}", &t), LSPO_OK);
    expect_ids(t, "abc", 3, true, (const uint32_t[]){6}, 1);
    lspo_tokenizer_close(t);
}

Test(tokenizer, what_is_no_file_is_refused_at_once, .timeout = 10)
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
Test(tokenizer, two_files_are_short_for_tokenizer_json)
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
Test(tokenizer, in_two_files_special_is_what_is_said_to_be)
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
Test(tokenizer, roles_are_special_though_tokenizer_json_does_not_list_them)
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

/* Texts and ids as tokenizers 0.23 has them. */
Test(tokenizer, added_tokens_that_share_blanks)
{
    static const char model[] =
        "\"added_tokens\":[{\"id\":1,\"content\":\"a\",\"rstrip\":true},{\"id\":2,\"content\":\"  \"},"
        "{\"id\":3,\"content\":\"x\",\"lstrip\":true},{\"id\":4,\"content\":\"====\",\"lstrip\":true,\"rstrip\":true},"
        "{\"id\":5,\"content\":\"\\t\\t\",\"lstrip\":true,\"rstrip\":true}],"
        "\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"?\",\"vocab\":{\"?\":0}}";
    char text[1024];
    lspo_tokenizer_t *t = NULL;
    snprintf(text, sizeof text, "{%s}", model);
    cr_assert_eq(open_json(text, &t), LSPO_OK);
    expect_ids(t, "a  c", 4, false, (const uint32_t[]){1, 2, 0}, 3);
    expect_ids(t, "a   c", 5, false, (const uint32_t[]){1, 2, 0}, 3);
    expect_ids(t, "a x", 3, false, (const uint32_t[]){1, 3}, 2);
    expect_ids(t, "\t\t\t\t\t\tc", 7, false, (const uint32_t[]){5, 0}, 2); /* the second has nothing left */
    lspo_tokenizer_close(t);
    t = NULL;
    snprintf(text, sizeof text, "{\"normalizer\":{\"type\":\"Strip\"},%s}", model);
    cr_assert_eq(open_json(text, &t), LSPO_ERR_INPUT); /* "  " is empty then */
}

/* prepend_scheme "first" asks whether the text's own first character is there. */
Test(tokenizer, a_text_whose_front_is_taken_off_does_not_begin_with_a_blank)
{
    static const struct {
        const char *normalizer, *text;
        bool blank;
    } cases[] = {
        {"{\"type\":\"Strip\"}", "ab", true},
        {"{\"type\":\"Strip\"}", " ab", false},
        {"{\"type\":\"Strip\",\"strip_left\":false}", "ab ", true},
        {"{\"type\":\"StripAccents\"}",
         "\xcc\x81"
         "ab",
         false},
        {"{\"type\":\"BertNormalizer\"}",
         "\x01"
         "ab",
         false},
        {"{\"type\":\"Nmt\"}",
         "\x01"
         "ab",
         false},
        {"{\"type\":\"Replace\",\"pattern\":{\"String\":\"xy\"},\"content\":\"a\"}", "xyb", false},
        {"{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"x+\"},\"content\":\"a\"}", "xxb", false},
        {"{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"x+\"},\"content\":\"a\"}", "xb", true},
        {"{\"type\":\"Replace\",\"pattern\":{\"String\":\"x\"},\"content\":\"ab\"}", "x", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        lspo_tokenizer_t *t = NULL;
        snprintf(
            text, sizeof text,
            "{\"normalizer\":%s,\"pre_tokenizer\":{\"type\":\"Metaspace\",\"prepend_scheme\":\"first\"},\"model\":{"
            "\"type\":\"WordLevel\",\"unk_token\":\"?\",\"vocab\":{\"?\":0,\"ab\":1,\"" LSPO_METASPACE "ab\":2}}}",
            cases[i].normalizer);
        cr_assert_eq(open_json(text, &t), LSPO_OK, "case %zu", i);
        expect_ids(t, cases[i].text, strlen(cases[i].text), false, (const uint32_t[]){cases[i].blank ? 2 : 1}, 1);
        lspo_tokenizer_close(t);
    }
}
