/* Files as people have them: each is read as what it is, or refused with its name, its place and a remedy.  The files
 * of tests/data/cases/data stand for kinds that users reported. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "real/data/data_file.h"
#include "real/data/dataset.h"
#include "tests/own_folder.h"
#include "tests/said.h"

static uint32_t sequence = 192;

TestSuite(data_file, .init = make_folder, .fini = remove_folder);

static lspo_status_t encode_bytes(void *context, const char *text, size_t bytes, lspo_tokens_t *tokens)
{
    (void)context;
    for (size_t i = 0; i < bytes; i++)
        cr_assert_eq(lspo_tokens_append(tokens, (uint8_t)text[i]), LSPO_OK);
    return LSPO_OK;
}

/* The hash of what is trained on, 0 when the file is refused; what was written to stderr is in `said`. */
static uint64_t hash_of(const char *path, bool tokenizer)
{
    lspo_dataset_options_t options = {
        .path = path, .sequence = sequence, .held_out = 0.25, .seed = 7, .encoder = lspo_encoder_bytes()};
    if (tokenizer)
        options.encoder.encode = encode_bytes;
    lspo_dataset_t *dataset = NULL;
    listen_begin();
    lspo_status_t status = lspo_dataset_open(&options, &dataset);
    listen_end();
    cr_assert(status == LSPO_OK || status == LSPO_ERR_INPUT, "%s: %d", path, status);
    cr_assert(status == LSPO_OK || said[0], "%s is refused without a word", path);
    uint64_t hash = status == LSPO_OK ? lspo_dataset_hash(dataset) : 0;
    lspo_dataset_close(dataset);
    return hash;
}

static const char *path_of_case(const char *name)
{
    static char path[512];
    const char *source = getenv("LSPO_SOURCE");
    snprintf(path, sizeof path, "%s/tests/data/cases/data/%s", source ? source : "..", name);
    return path;
}

static const char *write_bytes(const char *name, const char *text, size_t bytes)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(text, 1, bytes, file), bytes);
    cr_assert_eq(fclose(file), 0);
    return path;
}

static void expect_refused(const char *path, const char *part)
{
    cr_expect_eq(hash_of(path, false), 0, "%s is trained on", path);
    expect_said(path, part);
}

static void expect_text_refused(const char *name, const char *text, const char *part)
{
    expect_refused(write_bytes(name, text, strlen(text)), part);
}

static char *read_case(const char *name, size_t *bytes_out)
{
    FILE *file = fopen(path_of_case(name), "rb");
    char *text = malloc(1 << 16);
    cr_assert(file && text);
    *bytes_out = fread(text, 1, 1 << 16, file);
    fclose(file);
    return text;
}

/* ---- the reported files ---- */

Test(data_file, the_same_records_are_the_same_rows)
{
    static const char *const same[] = {"ok.json", "crlf.jsonl", "nolast.jsonl", "input_null.jsonl",
                                       "packed/ok.jsonl.gz"};
    uint64_t hash = hash_of(path_of_case("ok.jsonl"), false);
    cr_assert_neq(hash, 0);
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        cr_expect_eq(hash_of(path_of_case(same[i]), false), hash, "%s: %s", same[i], said);
        cr_expect_str_eq(said, "", "%s", same[i]);
    }
}

Test(data_file, other_records_are_other_rows)
{
    static const char *const files[] = {"ok.jsonl",           "mixed.jsonl",      "nul_instruction.jsonl",
                                        "nul_cut.jsonl",      "varlen.jsonl",     "varlen_eval.jsonl",
                                        "output_empty.jsonl", "text_empty.jsonl", "plain.txt"};
    enum { COUNT = sizeof files / sizeof files[0] };
    uint64_t hashes[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        hashes[i] = hash_of(path_of_case(files[i]), false);
        cr_expect_neq(hashes[i], 0, "%s: %s", files[i], said);
        cr_expect_str_eq(said, "", "%s", files[i]);
        for (size_t j = 0; j < i; j++)
            cr_expect_neq(hashes[i], hashes[j], "%s is trained as %s", files[i], files[j]);
    }
}

Test(data_file, what_a_reported_file_is_and_what_to_do_is_said)
{
    static const char *const refused[][2] = {
        {"array.jsonl", "array.jsonl:1: found an array where a record should be"},
        {"array.jsonl", "rename it to .json"},
        {"cr.jsonl", "carriage returns only"},
        {"dup_key.jsonl", "dup_key.jsonl:1: column 52: not JSON: duplicate object key"},
        {"history.jsonl", "history.jsonl:1: \"system\" has no place"},
        {"latin1.jsonl", "latin1.jsonl:13: column 21: the byte 0xe9 is not UTF-8"},
        {"latin1.jsonl", "iconv"},
        {"pretty.jsonl", "pretty.jsonl:1: a record spans several lines; JSONL has one record per line"},
        {"surrogate.jsonl", "surrogate.jsonl:12: column 72: not JSON: invalid Unicode"},
        {"surrogate.jsonl", "half of a surrogate pair"},
        {"wrapped.json", "the records are in \"data\""},
        {"prompt_response.jsonl", "to train on them: --prompt-field prompt --answer-field response"},
        {"question_answer.jsonl", "to train on them: --prompt-field question --answer-field answer"},
        {"packed/book.xlsx", "an Excel workbook"},
        {"packed/small.tar.gz", "a tar archive"},
        {"packed/small.txt.bz2", "packed by bzip2"},
        {"packed/small.txt.lzma", "packed by lzma"},
        {"packed/small.txt.xz", "packed by xz"},
        {"packed/small.txt.zst", "packed by zstd"},
        {"packed/small.zip", "a zip archive, but"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        expect_refused(path_of_case(refused[i][0]), refused[i][1]);
}

Test(data_file, what_is_trained_as_text_though_it_is_more_is_told)
{
    cr_expect_neq(hash_of(path_of_case("alpaca_in_txt.txt"), false), 0);
    expect_said("alpaca_in_txt.txt", "contains JSON");
    expect_said("alpaca_in_txt.txt", "rename it to .json");
    cr_expect_neq(hash_of(path_of_case("ok.csv"), false), 0);
    expect_said("ok.csv", "looks like a table and is trained on as plain text");
}

/* ---- records ---- */

static const char alpaca[] =
    "{\"instruction\":\"Add.\",\"output\":\"3\"%s}\n{\"instruction\":\"Add.\",\"output\":\"4\"}\n";

static uint64_t hash_with(const char *field)
{
    char text[512];
    snprintf(text, sizeof text, alpaca, field);
    return hash_of(write_bytes("field.jsonl", text, strlen(text)), false);
}

Test(data_file, fields_that_change_the_prompt_are_refused_by_name)
{
    static const char *const fields[] = {"system", "history", "context", "messages", "chat_history", "system_prompt"};
    uint64_t plain = hash_with("");
    cr_assert_neq(plain, 0);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        char field[64], name[64];
        snprintf(field, sizeof field, ",\"%s\":\"Be brief.\"", fields[i]);
        snprintf(name, sizeof name, "field.jsonl:1: \"%s\" has no place", fields[i]);
        cr_expect_eq(hash_with(field), 0, "%s", fields[i]);
        expect_said(fields[i], name);
        static const char *const nothing[] = {"null", "\"\"", "[]", "{}"};
        for (size_t n = 0; n < 4; n++) {
            snprintf(field, sizeof field, ",\"%s\":%s", fields[i], nothing[n]);
            cr_expect_eq(hash_with(field), plain, "%s: %s", field, said);
        }
    }
    expect_text_refused("p.jsonl", "{\"prompt\":\"a\",\"completion\":\"b\",\"history\":[[\"c\",\"d\"]]}\n",
                        "\"history\"");
}

Test(data_file, fields_that_say_nothing_to_a_model_are_told_once)
{
    uint64_t plain = hash_with("");
    cr_expect_eq(hash_with(",\"id\":7,\"category\":\"sums\",\"id2\":null"), plain);
    expect_said("id", "not trained on: \"id\", \"category\"\n");
    cr_expect_null(strstr(said, "id2"));
    cr_expect_eq(hash_with(",\"id\":340282366920938463463374607431768211455"), plain, "a UUID: %s", said);
}

Test(data_file, null_is_as_absent)
{
    static const char text[] =
        "{\"prompt\":null,\"completion\":null,\"instruction\":null,\"text\":\"0123456789 0123456789 "
        "0123456789\"}\n";
    char long_text[64 * sizeof text] = "";
    for (int i = 0; i < 40; i++)
        strcat(long_text, text);
    cr_expect_neq(hash_of(write_bytes("a.jsonl", long_text, strlen(long_text)), false), 0, "%s", said);
    expect_text_refused("b.jsonl", "{\"prompt\":\"a\",\"completion\":null}\n", "must be one of");
    expect_text_refused("c.jsonl", "{\"prompt\":\"a\",\"completion\":[\"b\"]}\n",
                        "\"completion\" is an array, not a string");
}

Test(data_file, zero_characters_of_any_field_are_kept)
{
    static const char *const pairs[][2] = {
        {"{\"instruction\":\"a\\u0000b\",\"output\":\"c\"}", "{\"instruction\":\"a\",\"output\":\"c\"}"},
        {"{\"instruction\":\"a\",\"input\":\"b\\u0000c\",\"output\":\"d\"}",
         "{\"instruction\":\"a\",\"input\":\"b\",\"output\":\"d\"}"},
        {"{\"instruction\":\"a\",\"input\":\"\\u0000\",\"output\":\"d\"}", "{\"instruction\":\"a\",\"output\":\"d\"}"},
        {"{\"instruction\":\"a\",\"output\":\"c\\u0000d\"}", "{\"instruction\":\"a\",\"output\":\"c\"}"},
        {"{\"prompt\":\"a\\u0000b\",\"completion\":\"c\"}", "{\"prompt\":\"a\",\"completion\":\"c\"}"},
        {"{\"prompt\":\"a\",\"completion\":\"c\\u0000d\"}", "{\"prompt\":\"a\",\"completion\":\"c\"}"},
    };
    sequence = 256;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        uint64_t hashes[2];
        for (int k = 0; k < 2; k++) {
            char text[512];
            snprintf(text, sizeof text, "%s\n%s\n", pairs[i][k], pairs[i][k]);
            hashes[k] = hash_of(write_bytes("nul.jsonl", text, strlen(text)), false);
            cr_assert_neq(hashes[k], 0, "%s", said);
        }
        cr_expect_neq(hashes[0], hashes[1], "%s is trained as %s", pairs[i][0], pairs[i][1]);
    }
}

/* ---- wrappers ---- */

Test(data_file, wrappers_that_are_not_the_names_are_told)
{
    static const char record[] = "{\"instruction\":\"a\",\"output\":\"b\"}";
    char text[512];
    snprintf(text, sizeof text, "[\n %s,\n %s\n]\n", record, record);
    expect_text_refused("a.jsonl", text, "a.jsonl:1: found an array where a record should be");
    cr_expect_neq(hash_of(write_bytes("array", text, strlen(text)), false), 0);
    cr_expect_str_eq(said, "", "an array of records is read as one where no name says otherwise");
    snprintf(text, sizeof text, "{\n \"train\": [\n %s\n]}\n", record);
    expect_text_refused("w.json", text, "w.json:1: the records are in \"train\"");
    expect_text_refused("w.jsonl", text, "w.jsonl:1: the records are in \"train\"");
    expect_text_refused("p.json", "{\n\"instruction\":\"a\",\n\"output\":\"b\"\n}\n",
                        "a .json file is one array of records");
    expect_text_refused("t.jsonl", "Once upon a time\n", "t.jsonl:1: not JSON");
    expect_text_refused("t.jsonl", "Once upon a time\n", "if it is plain text, rename it to .txt");
    expect_text_refused("n.jsonl", "[\"a\"]\n", "found an array where a record should be");
    expect_text_refused("empty.json", "[]\n", "the file has no records");
    expect_text_refused("column.json", "{\"text\":{\"0\":\"a\",\"1\":\"b\"}}\n",
                        "is an object, not a string; if it is a column");
    expect_text_refused("column.json", "{\"text\":[\"a\",\"b\"]}\n", "is an array, not a string; if it is a column");
    expect_text_refused("python.jsonl", "{'text': 'a'}\n", "column 2: not JSON");
    expect_text_refused("python.jsonl", "{'text': 'a'}\n", "need double quotes");
    expect_text_refused("nan.jsonl", "{\"instruction\":\"a\",\"input\":NaN,\"output\":\"b\"}\n", "write null");
    expect_text_refused("comma.jsonl", "{\"text\":\"a\"},\n{\"text\":\"b\"}\n", "nothing may follow a record");
    expect_text_refused("two.jsonl", "{\"text\":\"a\"}{\"text\":\"b\"}\n", "a line may have only one record");
    expect_text_refused("cut.jsonl", "{\"instruction\":\"a\",\"output\":\"b\"}\n{\"instruction\":\"a\",\n",
                        "cut.jsonl:2: column 19: not JSON");
}

Test(data_file, byte_order_marks_are_cut_off_wherever_a_file_began)
{
    static const char record[] = "{\"instruction\":\"a\",\"output\":\"b\"}\n", mark[] = "\xef\xbb\xbf";
    char plain[256], marked[256];
    snprintf(plain, sizeof plain, "%s%s", record, record);
    snprintf(marked, sizeof marked, "%s%s%s%s", mark, record, mark, record);
    uint64_t hash = hash_of(write_bytes("a.jsonl", plain, strlen(plain)), false);
    cr_expect_eq(hash_of(write_bytes("a.jsonl", marked, strlen(marked)), false), hash, "%s", said);
    snprintf(marked, sizeof marked, "%s[%s,%s]", mark, record, record);
    cr_expect_eq(hash_of(write_bytes("a.json", marked, strlen(marked)), false), hash, "%s", said);
    size_t bytes;
    char *text = read_case("plain.txt", &bytes), *with = malloc(bytes + 3);
    memcpy(with, mark, 3);
    memcpy(with + 3, text, bytes);
    cr_expect_eq(hash_of(write_bytes("a.txt", with, bytes + 3), false), hash_of(path_of_case("plain.txt"), false));
    free(with);
    free(text);
}

/* ---- characters ---- */

Test(data_file, bytes_that_are_no_characters_have_a_place)
{
    lspo_not_utf8_t bad = {0};
    static const char *const good[] = {"", "abc", "caf\xc3\xa9\n", "\xf0\x9f\x98\x80", "\xef\xbf\xbd"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_expect(lspo_data_is_utf8(good[i], strlen(good[i]), &bad), "%s", good[i]);
    cr_expect_not(lspo_data_is_utf8("\xc3\xa9\n\xc3\xa9 caf\xe9!\n\xff", 13, &bad)); /* the cafe is the second line's */
    cr_expect_eq(bad.line, 2);
    cr_expect_eq(bad.column, 6);
    cr_expect_eq(bad.byte, 0xe9);
    cr_expect_eq(bad.count, 2);
    cr_expect_not(lspo_data_is_utf8("\xed\xa0\xbd", 3, &bad), "a surrogate");
    cr_expect_not(lspo_data_is_utf8("\xc0\x80", 2, &bad), "longer than it need be");
    cr_expect_not(lspo_data_is_utf8("a\xe2\x82", 3, &bad), "cut");
    cr_expect_eq(bad.column, 2);
}

/* A model of bytes learns any; a tokenizer has no token for one, and where many are wrong the text is no UTF-8. */
Test(data_file, a_text_with_a_wrong_byte_is_told_or_refused)
{
    char text[1024];
    memset(text, 'a', sizeof text);
    memcpy(text + 500, "\ncaf\xe9\n", 6);
    const char *path = write_bytes("latin.txt", text, sizeof text);
    cr_expect_neq(hash_of(path, false), 0);
    expect_said("latin.txt", "bytes that are not UTF-8: 1, the first 0xe9 in line 2, column 4");
    cr_expect_eq(hash_of(path, true), 0);
    expect_said("latin.txt", "latin.txt:2: column 4: the byte 0xe9 is not UTF-8");
    for (size_t i = 0; i < sizeof text; i += 3)
        text[i] = (char)0xe9;
    expect_refused(write_bytes("cyrillic.txt", text, sizeof text), "iconv");
}

/* ---- what is no text ---- */

static void expect_named(const char *begin, size_t begin_bytes, const char *what)
{
    char bytes[2048];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 37 % 251);
    memcpy(bytes, begin, begin_bytes);
    static const char *const names[] = {"x", "x.txt", "x.json", "x.jsonl"};
    for (size_t i = 0; i < 4; i++)
        expect_refused(write_bytes(names[i], bytes, sizeof bytes), what);
}

Test(data_file, tables_and_packed_files_are_refused_by_name)
{
#define NAMED(begin, what) expect_named(begin, sizeof(begin) - 1, what)
    NAMED("PAR1", "a Parquet table");
    NAMED("ARROW1\0\0", "an Arrow table");
    NAMED("\xff\xff\xff\xff", "a stream of Arrow tables");
    NAMED("FEA1", "a Feather table");
    NAMED("Obj\x01", "an Avro file");
    NAMED("SQLite format 3\0", "an SQLite database");
    NAMED("\x89HDF\r\n\x1a\n", "an HDF5 file");
    NAMED("PK\x03\x04", "a zip archive");
    NAMED("\xfd"
          "7zXZ\0",
          "packed by xz");
    NAMED("\x28\xb5\x2f\xfd", "packed by zstd");
    NAMED("7z\xbc\xaf\x27\x1c", "a 7-Zip archive");
    NAMED("%PDF-1.7\n", "a PDF document");
    NAMED("\x80\x04\x95", "a Python pickle");
    NAMED("\x93NUMPY", "a NumPy array");
    NAMED("GGUF", "a GGUF model");
    NAMED("\x40\x01\0\0\0\0\0\0{\"", "a safetensors file");
    NAMED("\x89PNG\r\n\x1a\n", "a PNG picture");
    NAMED("version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer");
    NAMED("nothing known", "binary data");
}

Test(data_file, wide_text_is_refused_by_name)
{
    static const struct {
        const char *mark;
        size_t mark_bytes, width, place;
        const char *what;
    } wide[] = {{"\xff\xfe", 2, 2, 0, "text in UTF-16"},     {"\xfe\xff", 2, 2, 1, "text in UTF-16"},
                {"", 0, 2, 0, "text in UTF-16LE"},           {"", 0, 2, 1, "text in UTF-16BE"},
                {"\xff\xfe\0\0", 4, 4, 0, "text in UTF-32"}, {"\0\0\xfe\xff", 4, 4, 3, "text in UTF-32"},
                {"", 0, 4, 0, "text in UTF-32 without"},     {"", 0, 4, 3, "text in UTF-32 without"}};
    for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++) {
        char text[1028] = {0};
        memcpy(text, wide[i].mark, wide[i].mark_bytes);
        for (size_t at = wide[i].mark_bytes; at + wide[i].width <= sizeof text; at += wide[i].width)
            text[at + wide[i].place] = (char)('a' + at % 23);
        expect_refused(write_bytes("wide.txt", text, sizeof text), wide[i].what);
    }
}

Test(data_file, prose_may_begin_with_the_letters_of_a_table)
{
    static const char *const begins[] = {"PAR1 and PAR2", "ORC is a format", "BZh", "PK is a pub", "GGUF", "ARROW1"};
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++) {
        char text[1024];
        memset(text, 'x', sizeof text);
        memcpy(text, begins[i], strlen(begins[i]));
        text[700] = '\0'; /* a slip */
        cr_expect_neq(hash_of(write_bytes("prose.txt", text, sizeof text), false), 0, "%s: %s", begins[i], said);
    }
}

Test(data_file, what_is_no_file_is_refused_at_once)
{
    char path[256];
    snprintf(path, sizeof path, "%s/pipe.jsonl", folder);
    cr_assert_eq(mkfifo(path, 0600), 0);
    expect_refused(path, "not a regular file, but a named pipe");
    expect_refused("/dev/zero", "not a regular file, but a device");
    expect_refused(folder, "not a regular file, but a folder");
}

/* ---- gzip ---- */

static const char *write_gzip(const char *name, const char *text, size_t bytes, size_t copies)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    gzFile file = gzopen(path, "wb9");
    cr_assert_not_null(file);
    for (size_t i = 0; i < copies; i++)
        cr_assert_eq(gzwrite(file, text, (unsigned)bytes), (int)bytes);
    cr_assert_eq(gzclose(file), Z_OK);
    return path;
}

static void append(const char *path, const char *text, size_t bytes)
{
    FILE *file = fopen(path, "ab");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(text, 1, bytes, file), bytes);
    fclose(file);
}

Test(data_file, the_name_within_that_of_a_gzip_file_decides)
{
    static const char *const names[] = {"ok.json", "ok.jsonl", "plain.txt"};
    for (size_t i = 0; i < 3; i++) {
        size_t bytes;
        char name[64], *text = read_case(names[i], &bytes);
        uint64_t hash = hash_of(path_of_case(names[i]), false);
        snprintf(name, sizeof name, "%s.gz", names[i]);
        cr_expect_eq(hash_of(write_gzip(name, text, bytes, 1), false), hash, "%s: %s", name, said);
        snprintf(name, sizeof name, "%s.GZ", names[i]);
        cr_expect_eq(hash_of(write_gzip(name, text, bytes, 1), false), hash, "%s: %s", name, said);
        cr_expect_eq(hash_of(write_gzip(names[i], text, bytes, 1), false), hash, "packed without a word in its name");
        free(text);
    }
}

/* Two members: the bytes of the first file, then those of the second; zeros of a tape behind them. */
Test(data_file, members_of_a_gzip_file_are_one_text)
{
    size_t bytes;
    char *text = read_case("plain.txt", &bytes), packed[8192];
    write_gzip("b.txt.gz", text + 100, bytes - 100, 1);
    FILE *second = fopen(write_gzip("c.txt.gz", text + 100, bytes - 100, 1), "rb");
    size_t packed_bytes = fread(packed, 1, sizeof packed, second);
    fclose(second);
    const char *path = write_gzip("a.txt.gz", text, 100, 1);
    append(path, packed, packed_bytes);
    cr_expect_eq(hash_of(path, false), hash_of(path_of_case("plain.txt"), false));
    append(path, "\0\0\0\0", 4);
    cr_expect_eq(hash_of(path, false), hash_of(path_of_case("plain.txt"), false));
    append(path, "more", 4);
    expect_refused(path, "extra bytes after the end of the gzip file");
    free(text);
}

Test(data_file, broken_gzip_files_are_refused_wherever_they_break)
{
    size_t bytes;
    char *text = read_case("plain.txt", &bytes), packed[8192];
    FILE *file = fopen(write_gzip("a.txt.gz", text, bytes, 1), "rb");
    size_t packed_bytes = fread(packed, 1, sizeof packed, file);
    fclose(file);
    for (size_t cut = 3; cut < packed_bytes; cut += 7)
        expect_refused(write_bytes("cut.txt.gz", packed, cut), "cut short");
    packed[packed_bytes - 6] ^= 1; /* the checksum */
    expect_refused(write_bytes("sum.txt.gz", packed, packed_bytes), "damaged");
    expect_text_refused("name.txt.gz", "plain text", "not a gzip file, although its name ends in .gz");
    expect_text_refused("name.gz", "PK\x03\x04", "a zip archive");
    expect_refused(write_gzip("empty.txt.gz", "", 0, 1), "empty");
    free(text);
}

/* 200 MB of one letter are 200 KB. */
Test(data_file, a_gzip_file_does_not_unfold_without_end)
{
    enum { CHUNK = 1 << 20 };
    char *text = malloc(CHUNK);
    memset(text, 'a', CHUNK);
    expect_refused(write_gzip("bomb.txt.gz", text, CHUNK, 200), "unfolds to more than 64 MiB");
    memset(text, 0, CHUNK);
    expect_refused(write_gzip("zeros.txt.gz", text, CHUNK, 20), "binary data");
    free(text);
}
