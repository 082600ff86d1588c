/* safetensors: tensors are read as stored, inconsistent files are refused, written files are read back. */
#include "real/formats/safetensors.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernels/random.h"
#include "tests/own_folder.h"

TestSuite(safetensors, .init = make_folder, .fini = remove_folder);

static const char *path_of(const char *name)
{
    static char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_bytes(const char *path, const void *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(bytes, 1, count, file), count);
    cr_assert_eq(fclose(file), 0);
}

/* Header length, header, data: `data_bytes` bytes 0, 1, 2, ... */
static size_t compose(const char *header, size_t data_bytes, uint8_t *out)
{
    size_t length = strlen(header);
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(length >> (8 * i));
    memcpy(out + 8, header, length);
    for (size_t i = 0; i < data_bytes; i++)
        out[8 + length + i] = (uint8_t)i;
    return 8 + length + data_bytes;
}

static lspo_status_t open_text(const char *header, size_t data_bytes, lspo_safetensors_t **file_out)
{
    uint8_t bytes[4096];
    size_t count = compose(header, data_bytes, bytes);
    write_bytes(path_of("model.safetensors"), bytes, count);
    return lspo_safetensors_open(path_of("model.safetensors"), file_out);
}

/* What an error message says: stderr while `header` is opened, which must be refused. */
static void expect_refused(const char *header, size_t data_bytes, const char *words)
{
    char message[512] = "", log[160];
    strcpy(log, path_of("log"));
    int saved = dup(STDERR_FILENO), target = open(log, O_RDWR | O_CREAT | O_TRUNC, 0600);
    fflush(stderr);
    dup2(target, STDERR_FILENO);
    lspo_safetensors_t *file = NULL;
    lspo_status_t status = open_text(header, data_bytes, &file);
    fflush(stderr);
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t got = pread(target, message, sizeof message - 1, 0);
    close(target);
    cr_assert_gt(got, 0, "no message for %s", header);
    cr_assert_eq(status, LSPO_ERR_INPUT, "%s", header);
    cr_assert_null(file);
    cr_assert_not_null(strstr(message, "model.safetensors"), "no file name in: %s", message);
    cr_assert_not_null(strstr(message, words), "'%s' not in: %s", words, message);
}

Test(safetensors, reads_what_the_bytes_say)
{
    /* 1.0 and -2.0 as F32, BF16 and F16: 3f800000 c0000000, 3f80 c000, 3c00 c000, little-endian. */
    const char *header = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                         "\"b\":{\"dtype\":\"BF16\",\"shape\":[1,2],\"data_offsets\":[8,12]},"
                         "\"c\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[12,16]},"
                         "\"n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[16,24]},"
                         "\"__metadata__\":{\"format\":\"pt\"}}  ";
    const uint8_t data[] = {0, 0,    0x80, 0x3f, 0, 0,    0, 0xc0, 0x80, 0x3f, 0, 0xc0,
                            0, 0x3c, 0,    0xc0, 7, 0x01, 0, 0,    0,    0,    0, 0};
    uint8_t bytes[1024];
    size_t count = compose(header, 0, bytes);
    memcpy(bytes + count, data, sizeof data);
    write_bytes(path_of("model.safetensors"), bytes, count + sizeof data);

    lspo_safetensors_t *file = NULL;
    cr_assert_eq(lspo_safetensors_open(path_of("model.safetensors"), &file), LSPO_OK);
    cr_assert_eq(lspo_safetensors_count(file), 4u);
    cr_assert_str_eq(lspo_safetensors_metadata(file, "format"), "pt");
    cr_assert_null(lspo_safetensors_metadata(file, "other"));
    cr_assert_null(lspo_safetensors_find(file, "z"));
    const lspo_dtype_t dtypes[] = {LSPO_DTYPE_F32, LSPO_DTYPE_BF16, LSPO_DTYPE_F16};
    for (int i = 0; i < 3; i++) {
        const char name[2] = {(char)('a' + i), 0};
        const lspo_safetensor_t *tensor = lspo_safetensors_find(file, name);
        float values[2] = {0, 0};
        cr_assert_eq(tensor->dtype, dtypes[i]);
        cr_assert_eq(lspo_safetensors_read(file, tensor, 1, &(lspo_tensor_view_t){2, 2, 1}, LSPO_NUMBER_FP32, values),
                     LSPO_OK);
        cr_assert_eq(values[0], 1.0F);
        cr_assert_eq(values[1], -2.0F);
    }
    const lspo_safetensor_t *number = lspo_safetensors_find(file, "n");
    int64_t value = 0;
    float refused;
    cr_assert_eq(number->rank, 0u);
    cr_assert_eq(lspo_safetensors_read_part(file, number, 0, number->byte_count, &value), LSPO_OK);
    cr_assert_eq(value, 263);
    cr_assert_eq(lspo_safetensors_read(file, number, 1, &(lspo_tensor_view_t){1, 1, 1}, LSPO_NUMBER_FP32, &refused),
                 LSPO_ERR_INPUT);
    cr_assert_eq(lspo_safetensors_read(file, lspo_safetensors_find(file, "a"), 1, &(lspo_tensor_view_t){3, 3, 1},
                                       LSPO_NUMBER_FP32, &refused),
                 LSPO_ERR_INPUT);
    lspo_safetensors_close(file);
}

#define TENSOR(name, dtype, shape, begin, end)                                                                         \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" begin "," end "]}"

Test(safetensors, refuses_what_lies)
{
    expect_refused("", 0, "not JSON");
    expect_refused("{", 0, "not JSON");
    expect_refused("[]", 0, "not a JSON object");
    expect_refused("{\"a\":1}", 0, "'a'");
    expect_refused("{" TENSOR("a", "F32", "2", "0", "8") "} x", 8, "not JSON");
    expect_refused("{" TENSOR("a", "Q4", "2", "0", "8") "}", 8, "Q4");
    expect_refused("{" TENSOR("a", "F32", "2", "0", "8") "}", 7, "'a'");
    expect_refused("{" TENSOR("a", "F32", "2", "0", "8") "}", 9, "1 bytes at its end");
    expect_refused("{" TENSOR("a", "F32", "3", "0", "8") "}", 8, "needs 12 bytes");
    expect_refused("{" TENSOR("a", "F32", "2", "8", "0") "}", 8, "'a'");
    expect_refused("{" TENSOR("a", "F32", "-2", "0", "8") "}", 8, "'a'");
    expect_refused("{" TENSOR("a", "F32", "2.0", "0", "8") "}", 8, "'a'");
    expect_refused("{" TENSOR("a", "F32", "\"2\"", "0", "8") "}", 8, "'a'");
    expect_refused("{" TENSOR("a", "F32", "2", "-8", "0") "}", 8, "outside");
    expect_refused("{" TENSOR("a", "F32", "2", "0", "8.0") "}", 8, "integers");
    expect_refused("{" TENSOR("a", "F32", "1,1,1,1,1,1,1,1,1", "0", "4") "}", 4, "dimensions");
    /* 2^32 2^32 = 2^64, which is 0 in 64 bits; 2^62 elements of 4 bytes as well. */
    expect_refused("{" TENSOR("a", "F32", "4294967296,4294967296", "0", "0") "}", 0, "overflows");
    expect_refused("{" TENSOR("a", "F32", "4611686018427387904", "0", "0") "}", 0, "overflows");
    expect_refused("{" TENSOR("a", "F32", "99999999999999999999", "0", "8") "}", 8, "not JSON");
    expect_refused("{" TENSOR("a", "F32", "2", "0", "8") "," TENSOR("b", "F32", "2", "4", "12") "}", 12, "overlaps");
    expect_refused("{" TENSOR("a", "F32", "2", "0", "8") "," TENSOR("b", "F32", "2", "0", "8") "}", 8, "overlaps");
    expect_refused("{" TENSOR("a", "F32", "2", "0", "8") "," TENSOR("b", "F32", "1", "12", "16") "}", 16, "gap");
    expect_refused("{" TENSOR("a", "F32", "2", "0", "8") "," TENSOR("a", "F32", "2", "8", "16") "}", 16, "duplicate");
    expect_refused("{\"__metadata__\":{\"a\":1}}", 0, "metadata");
    expect_refused("{\"__metadata__\":[]}", 0, "metadata");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "shape");
    expect_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "data_offsets");
}

Test(safetensors, what_is_no_file_of_weights_is_refused_at_once)
{
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 134217728\n";
    const char *path = path_of("model.safetensors");
    lspo_safetensors_t *file;
    cr_redirect_stderr();
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_expect_eq(lspo_safetensors_open(path, &file), LSPO_ERR_INPUT, "and not waited for");
    unlink(path);
    write_bytes(path, pointer, sizeof pointer - 1);
    cr_expect_eq(lspo_safetensors_open(path, &file), LSPO_ERR_INPUT);
    fflush(stderr);
    char said[1024] = "";
    cr_expect_gt(fread(said, 1, sizeof said - 1, cr_get_redirected_stderr()), 0);
    cr_expect(strstr(said, "a named pipe") && strstr(said, "git lfs pull"), "%s", said);
}

Test(safetensors, refuses_lengths_beyond_the_file)
{
    lspo_safetensors_t *file = NULL;
    const uint8_t huge[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, '{', '}'};
    const uint8_t longer[10] = {3, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    write_bytes(path_of("a"), huge, sizeof huge);
    cr_assert_eq(lspo_safetensors_open(path_of("a"), &file), LSPO_ERR_INPUT);
    write_bytes(path_of("a"), longer, sizeof longer);
    cr_assert_eq(lspo_safetensors_open(path_of("a"), &file), LSPO_ERR_INPUT);
    write_bytes(path_of("a"), longer, 7);
    cr_assert_eq(lspo_safetensors_open(path_of("a"), &file), LSPO_ERR_INPUT);
    cr_assert_eq(lspo_safetensors_open(folder, &file), LSPO_ERR_INPUT);
    cr_assert_eq(lspo_safetensors_open(path_of("missing"), &file), LSPO_ERR_INPUT);
    cr_assert_null(file);
    /* A sparse file of 200 MB whose header would fill it: above the limit of 100 MB. */
    const uint8_t large[8] = {0xf8, 0xc1, 0xeb, 0x0b};
    write_bytes(path_of("a"), large, sizeof large);
    cr_assert_eq(truncate(path_of("a"), 200000000), 0);
    cr_assert_eq(lspo_safetensors_open(path_of("a"), &file), LSPO_ERR_INPUT);
}

Test(safetensors, truncation_after_opening_is_an_error_not_a_signal)
{
    lspo_safetensors_t *file = NULL;
    float values[2];
    cr_assert_eq(open_text("{" TENSOR("a", "F32", "2", "0", "8") "}", 8, &file), LSPO_OK);
    cr_assert_eq(truncate(path_of("model.safetensors"), 60), 0);
    cr_assert_eq(lspo_safetensors_read(file, lspo_safetensors_at(file, 0), 1, &(lspo_tensor_view_t){2, 2, 1},
                                       LSPO_NUMBER_FP32, values),
                 LSPO_ERR_INPUT);
    lspo_safetensors_close(file);
}

static void write_sample(const char *path, float *values /* 24 */)
{
    for (int i = 0; i < 24; i++)
        values[i] = (float)i - 3.5F;
    static const int64_t step = 77;
    const lspo_safetensor_source_t tensors[] = {
        {.name = "w",
         .dtype = LSPO_DTYPE_F32,
         .rank = 2,
         .shape = {4, 6},
         .view = values,
         .row_stride = 1,
         .col_stride = 4},
        {.name = "half", .dtype = LSPO_DTYPE_BF16, .rank = 1, .shape = {3}, .view = values, .col_stride = 2},
        {.name = "step", .dtype = LSPO_DTYPE_I64, .bytes = &step},
        {.name = "empty", .dtype = LSPO_DTYPE_F32, .rank = 2, .shape = {0, 6}, .view = values, .row_stride = 6},
    };
    const lspo_safetensor_note_t notes[] = {{"format", "pt"}, {"by", "a \"test\""}};
    cr_assert_eq(lspo_safetensors_write(path, tensors, 4, notes, 2), LSPO_OK);
}

Test(safetensors, what_is_written_is_read_again)
{
    float values[24], back[24];
    write_sample(path_of("a"), values);
    lspo_safetensors_t *file = NULL;
    cr_assert_eq(lspo_safetensors_open(path_of("a"), &file), LSPO_OK);
    cr_assert_str_eq(lspo_safetensors_metadata(file, "by"), "a \"test\"");
    const lspo_safetensor_t *w = lspo_safetensors_find(file, "w");
    cr_assert_eq(w->offset_bytes % 8, 0u);
    cr_assert_eq(lspo_safetensors_find(file, "step")->offset_bytes % 8, 0u);
    /* As it lies in the file: element (i, j) of w is values[i + 4 j]. */
    cr_assert_eq(lspo_safetensors_read(file, w, 4, &(lspo_tensor_view_t){6, 6, 1}, LSPO_NUMBER_FP32, back), LSPO_OK);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 6; j++)
            cr_assert_eq(back[6 * i + j], values[i + 4 * j]);
    /* Through the same view it is what was written. */
    cr_assert_eq(lspo_safetensors_read(file, w, 4, &(lspo_tensor_view_t){6, 1, 4}, LSPO_NUMBER_FP32, back), LSPO_OK);
    cr_assert_eq(memcmp(back, values, sizeof values), 0);
    cr_assert_eq(lspo_safetensors_read(file, lspo_safetensors_find(file, "half"), 1, &(lspo_tensor_view_t){3, 3, 1},
                                       LSPO_NUMBER_FP32, back),
                 LSPO_OK);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(back[i], values[2 * i]);
    lspo_safetensors_close(file);

    const lspo_safetensor_source_t twice[] = {{.name = "x", .bytes = values}, {.name = "x", .bytes = values}};
    cr_assert_eq(lspo_safetensors_write(path_of("b"), twice, 2, NULL, 0), LSPO_ERR_INPUT);
    cr_assert_neq(access(path_of("b"), F_OK), 0);
    cr_assert_eq(lspo_safetensors_write(path_of("none/b"), twice, 1, NULL, 0), LSPO_ERR_IO);
}

/* Longer than one chunk, transposed. */
Test(safetensors, large_tensors_are_read_whole)
{
    enum { ROWS = 300, COLS = 701 };
    float *values = malloc(ROWS * COLS * sizeof *values), *back = malloc(ROWS * COLS * sizeof *back);
    for (int i = 0; i < ROWS * COLS; i++)
        values[i] = (float)i;
    const lspo_safetensor_source_t tensor = {
        .name = "t", .rank = 2, .shape = {ROWS, COLS}, .view = values, .row_stride = 1, .col_stride = ROWS};
    cr_assert_eq(lspo_safetensors_write(path_of("a"), &tensor, 1, NULL, 0), LSPO_OK);
    lspo_safetensors_t *file = NULL;
    cr_assert_eq(lspo_safetensors_open(path_of("a"), &file), LSPO_OK);
    cr_assert_eq(lspo_safetensors_read(file, lspo_safetensors_at(file, 0), ROWS, &(lspo_tensor_view_t){COLS, COLS, 1},
                                       LSPO_NUMBER_FP32, back),
                 LSPO_OK);
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLS; j++)
            cr_assert_eq(back[i * COLS + j], (float)(j * ROWS + i));
    lspo_safetensors_close(file);
    free(back);
    free(values);
}

static void write_index(const char *text)
{
    write_bytes(path_of("model.safetensors.index.json"), text, strlen(text));
}

Test(safetensors, shards_are_one_model)
{
    const float one = 1.0F, two = 2.0F;
    const lspo_safetensor_source_t a = {.name = "a", .view = &one}, b = {.name = "b", .view = &two};
    lspo_safetensors_t *file = NULL;
    cr_assert_eq(lspo_safetensors_open_folder(folder, &file), LSPO_ERR_INPUT);
    cr_assert_eq(lspo_safetensors_write(path_of("m-1.safetensors"), &a, 1, NULL, 0), LSPO_OK);
    cr_assert_eq(lspo_safetensors_write(path_of("m-2.safetensors"), &b, 1, NULL, 0), LSPO_OK);
    write_index("{\"weight_map\":{\"b\":\"m-2.safetensors\",\"a\":\"m-1.safetensors\"}}");
    cr_assert_eq(lspo_safetensors_open_folder(folder, &file), LSPO_OK);
    float value = 0;
    cr_assert_eq(lspo_safetensors_count(file), 2u);
    cr_assert_eq(lspo_safetensors_read(file, lspo_safetensors_find(file, "b"), 1, &(lspo_tensor_view_t){1, 1, 1},
                                       LSPO_NUMBER_FP32, &value),
                 LSPO_OK);
    cr_assert_eq(value, 2.0F);
    lspo_safetensors_close(file);
    file = NULL;

    const char *const wrong[] = {"{",
                                 "{}",
                                 "{\"weight_map\":[]}",
                                 "{\"weight_map\":{}}",
                                 "{\"weight_map\":{\"a\":1}}",
                                 "{\"weight_map\":{\"a\":\"../m-1.safetensors\"}}",
                                 "{\"weight_map\":{\"a\":\"m-3.safetensors\"}}",
                                 "{\"weight_map\":{\"a\":\"m-2.safetensors\",\"b\":\"m-1.safetensors\"}}",
                                 "{\"weight_map\":{\"a\":\"m-1.safetensors\",\"c\":\"m-2.safetensors\"}}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        write_index(wrong[i]);
        cr_assert_eq(lspo_safetensors_open_folder(folder, &file), LSPO_ERR_INPUT, "%s", wrong[i]);
    }
    /* The same tensor in two shards. */
    const lspo_safetensor_source_t both[] = {a, b};
    cr_assert_eq(lspo_safetensors_write(path_of("m-2.safetensors"), both, 2, NULL, 0), LSPO_OK);
    write_index("{\"weight_map\":{\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\"}}");
    cr_assert_eq(lspo_safetensors_open_folder(folder, &file), LSPO_ERR_INPUT);
    cr_assert_null(file);
}

/* Mutations of a valid file: flipped, replaced, inserted and removed bytes, cut tails, digits changed.  Whatever opens
 * must also be readable. */
enum { MUTATIONS = 6000, SAMPLE_MAX = 2048 };

static size_t mutate(uint64_t round, const uint8_t *sample, size_t count, uint8_t *out)
{
    uint64_t at = 0;
    memcpy(out, sample, count);
    uint32_t edits = 1 + lspo_random_below(1, round, at++, 4);
    for (uint32_t i = 0; i < edits && count > 0; i++) {
        uint32_t where = lspo_random_below(1, round, at++, (uint32_t)count);
        uint32_t value = lspo_random_below(1, round, at++, 256);
        switch (lspo_random_below(1, round, at++, 6)) {
        case 0:
            out[where] ^= (uint8_t)(1U << (value % 8));
            break;
        case 1:
            out[where] = (uint8_t)value;
            break;
        case 2: /* into the header length */
            out[value % 8] = (uint8_t)where;
            break;
        case 3:
            for (size_t j = where; j < count; j++)
                if (out[j] >= '0' && out[j] <= '9') {
                    out[j] = (uint8_t)('0' + value % 10);
                    break;
                }
            break;
        case 4:
            count = where;
            break;
        default:
            memmove(out + where, out + where + 1, count - where - 1);
            count--;
        }
    }
    return count;
}

Test(safetensors, mutated_files_never_crash, .timeout = 120)
{
    float values[24];
    uint8_t sample[SAMPLE_MAX], bytes[SAMPLE_MAX];
    write_sample(path_of("a"), values);
    FILE *stream = fopen(path_of("a"), "rb");
    size_t count = fread(sample, 1, sizeof sample, stream);
    fclose(stream);
    cr_assert(count > 100 && count < sizeof sample);
    cr_assert_not_null(freopen("/dev/null", "w", stderr));
    unsigned opened = 0, refused = 0;
    for (uint64_t round = 0; round < MUTATIONS; round++) {
        write_bytes(path_of("m"), bytes, mutate(round, sample, count, bytes));
        lspo_safetensors_t *file = NULL;
        lspo_status_t status = lspo_safetensors_open(path_of("m"), &file);
        cr_assert(status == LSPO_OK || status == LSPO_ERR_INPUT);
        if (status != LSPO_OK) {
            refused++;
            continue;
        }
        opened++;
        for (size_t i = 0; i < lspo_safetensors_count(file); i++) {
            const lspo_safetensor_t *tensor = lspo_safetensors_at(file, i);
            void *copy = malloc(tensor->byte_count + 1);
            cr_assert_eq(lspo_safetensors_read_part(file, tensor, 0, tensor->byte_count, copy), LSPO_OK);
            free(copy);
        }
        lspo_safetensors_close(file);
    }
    /* Both happen: data bytes may change freely, header bytes may not. */
    cr_assert_gt(opened, MUTATIONS / 100);
    cr_assert_gt(refused, MUTATIONS / 2);
}
