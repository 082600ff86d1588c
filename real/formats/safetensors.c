/* safetensors.c - read safetensors files; see safetensors.h. */
#include "real/formats/safetensors.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/input_file.h"
#include "base/json_file.h"
#include "kernels/pack.h"
#include "real/formats/tensor_view.h"

/* The limit of the format's own library; a header of 100 MB would describe a million tensors. */
enum { HEADER_MAX_BYTES = 100000000, SHARDS_MAX = 4096 };

static const struct {
    const char *name;
    size_t bytes;
} dtypes[LSPO_DTYPE_COUNT] = {
    [LSPO_DTYPE_F32] = {"F32", 4},   [LSPO_DTYPE_F16] = {"F16", 2}, [LSPO_DTYPE_BF16] = {"BF16", 2},
    [LSPO_DTYPE_F64] = {"F64", 8},   [LSPO_DTYPE_I64] = {"I64", 8}, [LSPO_DTYPE_I32] = {"I32", 4},
    [LSPO_DTYPE_I16] = {"I16", 2},   [LSPO_DTYPE_I8] = {"I8", 1},   [LSPO_DTYPE_U64] = {"U64", 8},
    [LSPO_DTYPE_U32] = {"U32", 4},   [LSPO_DTYPE_U16] = {"U16", 2}, [LSPO_DTYPE_U8] = {"U8", 1},
    [LSPO_DTYPE_BOOL] = {"BOOL", 1},
};

typedef struct {
    char *path;
    int descriptor;
    json_t *header; /* owns the names of its tensors */
} shard_t;

struct lspo_safetensors {
    shard_t *shards;
    uint32_t shard_count;
    lspo_safetensor_t *tensors;
    size_t tensor_count;
};

const char *lspo_dtype_name(lspo_dtype_t dtype)
{
    return dtypes[dtype].name;
}

size_t lspo_dtype_bytes(lspo_dtype_t dtype)
{
    return dtypes[dtype].bytes;
}

static lspo_status_t read_at(const shard_t *shard, uint64_t offset_bytes, size_t count, void *out)
{
    for (size_t done = 0; done < count;) {
        ssize_t got = pread(shard->descriptor, (char *)out + done, count - done, (off_t)(offset_bytes + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return lspo_error(lspo_status_of_errno(errno), "cannot read %s: %s", shard->path, strerror(errno));
        if (got == 0)
            return lspo_error(LSPO_ERR_INPUT, "%s: truncated at byte %" PRIu64 ", %zu bytes too early", shard->path,
                              offset_bytes + done, count - done);
        done += (size_t)got;
    }
    return LSPO_OK;
}

static lspo_status_t parse_dtype(const shard_t *shard, const char *name, const json_t *value, lspo_dtype_t *dtype_out)
{
    const char *text = json_string_value(value);
    for (int i = 0; text && i < LSPO_DTYPE_COUNT; i++)
        if (strcmp(text, dtypes[i].name) == 0) {
            *dtype_out = (lspo_dtype_t)i;
            return LSPO_OK;
        }
    return lspo_error(LSPO_ERR_INPUT, "%s: tensor '%s': dtype %s is not supported", shard->path, name,
                      text ? text : "(missing)");
}

static lspo_status_t parse_shape(const shard_t *shard, const char *name, const json_t *value, lspo_safetensor_t *tensor)
{
    if (!json_is_array(value))
        return lspo_error(LSPO_ERR_INPUT, "%s: tensor '%s': shape is missing", shard->path, name);
    if (json_array_size(value) > LSPO_SAFETENSORS_RANK_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: tensor '%s': more than %d dimensions", shard->path, name,
                          LSPO_SAFETENSORS_RANK_MAX);
    tensor->rank = (uint32_t)json_array_size(value);
    tensor->element_count = 1;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        const json_t *dimension = json_array_get(value, i);
        if (!json_is_integer(dimension) || json_integer_value(dimension) < 0)
            return lspo_error(LSPO_ERR_INPUT, "%s: tensor '%s': dimension %u of its shape is not a size", shard->path,
                              name, i);
        tensor->shape[i] = (uint64_t)json_integer_value(dimension);
        if (__builtin_mul_overflow(tensor->element_count, tensor->shape[i], &tensor->element_count))
            return lspo_error(LSPO_ERR_INPUT, "%s: tensor '%s': its shape overflows 64 bits", shard->path, name);
    }
    if (__builtin_mul_overflow(tensor->element_count, (uint64_t)lspo_dtype_bytes(tensor->dtype), &tensor->byte_count))
        return lspo_error(LSPO_ERR_INPUT, "%s: tensor '%s': its shape overflows 64 bits", shard->path, name);
    return LSPO_OK;
}

static lspo_status_t parse_span(const shard_t *shard, const char *name, const json_t *value, uint64_t data_bytes,
                                uint64_t data_offset_bytes, lspo_safetensor_t *tensor)
{
    const json_t *first = json_array_get(value, 0), *last = json_array_get(value, 1);
    if (json_array_size(value) != 2 || !json_is_integer(first) || !json_is_integer(last))
        return lspo_error(LSPO_ERR_INPUT, "%s: tensor '%s': data_offsets is not a pair of integers", shard->path, name);
    json_int_t begin = json_integer_value(first), end = json_integer_value(last);
    if (begin < 0 || end < begin || (uint64_t)end > data_bytes)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: tensor '%s': data_offsets [%lld, %lld] lie outside the file's %" PRIu64 " bytes of data",
                          shard->path, name, (long long)begin, (long long)end, data_bytes);
    if ((uint64_t)(end - begin) != tensor->byte_count)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: tensor '%s': its shape needs %" PRIu64 " bytes, its data_offsets hold %lld", shard->path,
                          name, tensor->byte_count, (long long)(end - begin));
    tensor->offset_bytes = data_offset_bytes + (uint64_t)begin;
    return LSPO_OK;
}

static lspo_status_t parse_tensor(const shard_t *shard, const char *name, const json_t *value, uint64_t data_bytes,
                                  uint64_t data_offset_bytes, lspo_safetensor_t *tensor)
{
    if (!json_is_object(value))
        return lspo_error(LSPO_ERR_INPUT, "%s: tensor '%s' is not a JSON object", shard->path, name);
    tensor->name = name;
    lspo_status_t status = parse_dtype(shard, name, json_object_get(value, "dtype"), &tensor->dtype);
    if (status != LSPO_OK)
        return status;
    status = parse_shape(shard, name, json_object_get(value, "shape"), tensor);
    if (status != LSPO_OK)
        return status;
    return parse_span(shard, name, json_object_get(value, "data_offsets"), data_bytes, data_offset_bytes, tensor);
}

static int compare_offsets(const void *a, const void *b)
{
    const lspo_safetensor_t *x = a, *y = b;
    if (x->offset_bytes != y->offset_bytes)
        return x->offset_bytes < y->offset_bytes ? -1 : 1;
    return (x->byte_count > y->byte_count) - (x->byte_count < y->byte_count);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const lspo_safetensor_t *)a)->name, ((const lspo_safetensor_t *)b)->name);
}

/* The tensors of one shard fill its data without overlap or gap. */
static lspo_status_t check_spans(const shard_t *shard, lspo_safetensor_t *tensors, size_t count, uint64_t begin_bytes,
                                 uint64_t end_bytes)
{
    if (count > 1)
        qsort(tensors, count, sizeof *tensors, compare_offsets);
    uint64_t expected = begin_bytes;
    for (size_t i = 0; i < count; i++) {
        if (tensors[i].offset_bytes != expected)
            return lspo_error(LSPO_ERR_INPUT, "%s: tensor '%s' %s", shard->path, tensors[i].name,
                              tensors[i].offset_bytes < expected ? "overlaps another" : "leaves a gap before it");
        expected += tensors[i].byte_count;
    }
    if (expected != end_bytes)
        return lspo_error(LSPO_ERR_INPUT, "%s: %" PRIu64 " bytes at its end belong to no tensor", shard->path,
                          end_bytes - expected);
    return LSPO_OK;
}

static lspo_status_t parse_header(shard_t *shard, char *text, uint64_t bytes)
{
    json_error_t error;
    bool no_memory;
    lspo_status_t status = read_at(shard, LSPO_SAFETENSORS_LENGTH_BYTES, bytes, text);
    if (status != LSPO_OK)
        return status;
    shard->header = lspo_json_parse(text, bytes, JSON_REJECT_DUPLICATES, &error, &no_memory);
    if (no_memory)
        return lspo_no_memory("the header of %s", shard->path);
    if (!shard->header)
        return lspo_error(LSPO_ERR_INPUT, "%s: its header is not JSON: %s at byte %d", shard->path, error.text,
                          error.position);
    if (!json_is_object(shard->header))
        return lspo_error(LSPO_ERR_INPUT, "%s: its header is not a JSON object", shard->path);
    return LSPO_OK;
}

/* Read and parse the JSON; sets where the data begins and ends. */
static lspo_status_t read_header(shard_t *shard, uint64_t *begin_bytes_out, uint64_t *end_bytes_out)
{
    struct stat info;
    if (fstat(shard->descriptor, &info) != 0)
        return lspo_error(lspo_status_of_errno(errno), "%s: %s", shard->path, strerror(errno));
    uint64_t file_bytes = (uint64_t)info.st_size, header_bytes = 0;
    uint8_t length[LSPO_SAFETENSORS_LENGTH_BYTES];
    if (file_bytes < LSPO_SAFETENSORS_LENGTH_BYTES)
        return lspo_error(LSPO_ERR_INPUT, "%s: %" PRIu64 " bytes are too few for a safetensors file", shard->path,
                          file_bytes);
    lspo_status_t status = read_at(shard, 0, sizeof length, length);
    if (status != LSPO_OK)
        return status;
    for (int i = LSPO_SAFETENSORS_LENGTH_BYTES - 1; i >= 0; i--)
        header_bytes = header_bytes << 8 | length[i];
    if (memcmp(length, "version ", sizeof length) == 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: a Git LFS pointer, not the weights; fetch them with git lfs pull",
                          shard->path);
    if (header_bytes > HEADER_MAX_BYTES || header_bytes > file_bytes - LSPO_SAFETENSORS_LENGTH_BYTES)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: a header of %" PRIu64 " bytes is larger than the file of %" PRIu64
                          " bytes or than the limit",
                          shard->path, header_bytes, file_bytes);
    char *text = malloc(header_bytes + 1);
    if (!text)
        return lspo_no_memory("the header of %s", shard->path);
    status = parse_header(shard, text, header_bytes);
    free(text);
    *begin_bytes_out = LSPO_SAFETENSORS_LENGTH_BYTES + header_bytes;
    *end_bytes_out = file_bytes;
    return status;
}

static lspo_status_t check_metadata(const shard_t *shard)
{
    json_t *notes = json_object_get(shard->header, "__metadata__"), *value;
    const char *key;
    if (notes && !json_is_object(notes))
        return lspo_error(LSPO_ERR_INPUT, "%s: __metadata__ is not a JSON object", shard->path);
    json_object_foreach(notes, key, value)
    {
        if (!json_is_string(value))
            return lspo_error(LSPO_ERR_INPUT, "%s: __metadata__ '%s' is not a string", shard->path, key);
    }
    return LSPO_OK;
}

/* Append the tensors of shard `index`, whose path is already set. */
static lspo_status_t load_shard(lspo_safetensors_t *file, uint32_t index)
{
    shard_t *shard = &file->shards[index];
    uint64_t begin_bytes = 0, end_bytes = 0;
    lspo_status_t status = lspo_input_descriptor(shard->path, &shard->descriptor);
    if (status != LSPO_OK)
        return status;
    status = read_header(shard, &begin_bytes, &end_bytes);
    if (status != LSPO_OK)
        return status;
    status = check_metadata(shard);
    if (status != LSPO_OK)
        return status;

    size_t room = file->tensor_count + json_object_size(shard->header) + 1;
    lspo_safetensor_t *grown = realloc(file->tensors, room * sizeof *grown);
    if (!grown)
        return lspo_no_memory("the tensors of %s", shard->path);
    file->tensors = grown;
    lspo_safetensor_t *first = &grown[file->tensor_count];
    size_t count = 0;
    const char *name;
    json_t *value;
    json_object_foreach(shard->header, name, value)
    {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        first[count] = (lspo_safetensor_t){.file = index};
        status = parse_tensor(shard, name, value, end_bytes - begin_bytes, begin_bytes, &first[count]);
        if (status != LSPO_OK)
            return status;
        count++;
    }
    file->tensor_count += count;
    return check_spans(shard, first, count, begin_bytes, end_bytes);
}

static lspo_status_t sort_tensors(lspo_safetensors_t *file)
{
    if (file->tensor_count > 1)
        qsort(file->tensors, file->tensor_count, sizeof *file->tensors, compare_names);
    for (size_t i = 1; i < file->tensor_count; i++) {
        const lspo_safetensor_t *tensor = &file->tensors[i];
        if (compare_names(tensor - 1, tensor) == 0)
            return lspo_error(LSPO_ERR_INPUT, "tensor '%s' is in both %s and %s", tensor->name,
                              lspo_safetensors_path(file, tensor - 1), lspo_safetensors_path(file, tensor));
    }
    return LSPO_OK;
}

/* Takes ownership of the `count` paths and their strings. */
static lspo_status_t open_shards(char **paths, uint32_t count, lspo_safetensors_t **file_out)
{
    lspo_safetensors_t *file = calloc(1, sizeof *file);
    if (file)
        file->shards = calloc(count, sizeof *file->shards);
    if (!file || !file->shards) {
        for (uint32_t i = 0; i < count; i++)
            free(paths[i]);
        free(file);
        return lspo_no_memory("%u safetensors files", count);
    }
    file->shard_count = count;
    for (uint32_t i = 0; i < count; i++)
        file->shards[i] = (shard_t){.path = paths[i], .descriptor = -1};
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; i < count; i++) {
        status = load_shard(file, i);
        if (status != LSPO_OK)
            goto failed;
    }
    status = sort_tensors(file);
    if (status != LSPO_OK)
        goto failed;
    *file_out = file;
    return LSPO_OK;
failed:
    lspo_safetensors_close(file);
    return status;
}

lspo_status_t lspo_safetensors_open(const char *path, lspo_safetensors_t **file_out)
{
    char *copy = strdup(path);
    if (!copy)
        return lspo_no_memory("the name of %s", path);
    return open_shards(&copy, 1, file_out);
}

/* A shard must be a plain file name: an index must not point outside its folder. */
static bool is_plain_name(const char *name)
{
    return name && *name != '\0' && *name != '.' && strchr(name, '/') == NULL;
}

/* The distinct file names of a weight map as paths, owned by the caller; *count_out of them. */
static lspo_status_t list_shards(const char *index_path, const char *folder, json_t *map, json_t *seen, char **paths,
                                 uint32_t *count)
{
    json_t *value;
    const char *name;
    json_object_foreach(map, name, value)
    {
        const char *shard = json_string_value(value);
        if (!is_plain_name(shard))
            return lspo_error(LSPO_ERR_INPUT, "%s: the file of tensor '%s' is not a plain file name", index_path, name);
        if (json_object_get(seen, shard))
            continue;
        if (*count == SHARDS_MAX)
            return lspo_error(LSPO_ERR_INPUT, "%s: more than %d files", index_path, SHARDS_MAX);
        if (json_object_set_new(seen, shard, json_true()) != 0 || asprintf(&paths[*count], "%s/%s", folder, shard) < 0)
            return lspo_no_memory("the shards of %s", index_path);
        ++*count;
    }
    return *count > 0 ? LSPO_OK : lspo_error(LSPO_ERR_INPUT, "%s: lists no tensors", index_path);
}

/* Check that every tensor of the index is in the shard that it names. */
static lspo_status_t check_map(const char *index_path, json_t *map, const lspo_safetensors_t *file)
{
    json_t *value;
    const char *name;
    json_object_foreach(map, name, value)
    {
        const lspo_safetensor_t *tensor = lspo_safetensors_find(file, name);
        const char *path = tensor ? lspo_safetensors_path(file, tensor) : "";
        if (!tensor || strcmp(strrchr(path, '/') + 1, json_string_value(value)) != 0)
            return lspo_error(LSPO_ERR_INPUT, "%s: tensor '%s' is not in %s", index_path, name,
                              json_string_value(value));
    }
    return LSPO_OK;
}

static lspo_status_t open_listed(const char *index_path, const char *folder, json_t *map, lspo_safetensors_t **file_out)
{
    json_t *seen = json_object();
    char **paths = calloc(SHARDS_MAX, sizeof *paths);
    uint32_t count = 0;
    lspo_status_t status = seen && paths ? list_shards(index_path, folder, map, seen, paths, &count)
                                         : lspo_no_memory("the shards of %s", index_path);
    if (status != LSPO_OK)
        goto cleanup;
    status = open_shards(paths, count, file_out);
    count = 0; /* owned by the file now, or freed */
cleanup:
    for (uint32_t i = 0; i < count; i++)
        free(paths[i]);
    free(paths);
    json_decref(seen);
    return status;
}

static lspo_status_t open_index(const char *index_path, const char *folder, lspo_safetensors_t **file_out)
{
    json_t *index;
    lspo_safetensors_t *file = NULL;
    lspo_status_t status = lspo_json_file_read(index_path, &index);
    if (status != LSPO_OK)
        return status;
    json_t *map = json_object_get(index, "weight_map");
    status = json_is_object(map) ? open_listed(index_path, folder, map, &file)
                                 : lspo_error(LSPO_ERR_INPUT, "%s: weight_map is missing", index_path);
    if (status != LSPO_OK)
        goto cleanup;
    status = check_map(index_path, map, file);
    if (status != LSPO_OK) {
        lspo_safetensors_close(file);
        goto cleanup;
    }
    *file_out = file;
cleanup:
    json_decref(index);
    return status;
}

lspo_status_t lspo_safetensors_open_folder(const char *folder, lspo_safetensors_t **file_out)
{
    char *single = NULL, *index = NULL;
    lspo_status_t status = LSPO_OK;
    if (asprintf(&single, "%s/model.safetensors", folder) < 0)
        single = NULL;
    if (asprintf(&index, "%s/model.safetensors.index.json", folder) < 0)
        index = NULL;
    if (!single || !index)
        status = lspo_no_memory("the name of %s", folder);
    else if (access(single, F_OK) == 0)
        status = lspo_safetensors_open(single, file_out);
    else if (access(index, F_OK) == 0)
        status = open_index(index, folder, file_out);
    else
        status =
            lspo_error(LSPO_ERR_INPUT, "%s has neither model.safetensors nor model.safetensors.index.json", folder);
    free(single);
    free(index);
    return status;
}

void lspo_safetensors_close(lspo_safetensors_t *file)
{
    if (!file)
        return;
    for (uint32_t i = 0; i < file->shard_count; i++) {
        if (file->shards[i].descriptor >= 0)
            close(file->shards[i].descriptor);
        json_decref(file->shards[i].header);
        free(file->shards[i].path);
    }
    free(file->shards);
    free(file->tensors);
    free(file);
}

size_t lspo_safetensors_count(const lspo_safetensors_t *file)
{
    return file->tensor_count;
}

const lspo_safetensor_t *lspo_safetensors_at(const lspo_safetensors_t *file, size_t index)
{
    return &file->tensors[index];
}

const lspo_safetensor_t *lspo_safetensors_find(const lspo_safetensors_t *file, const char *name)
{
    const lspo_safetensor_t key = {.name = name};
    if (file->tensor_count == 0)
        return NULL;
    return bsearch(&key, file->tensors, file->tensor_count, sizeof key, compare_names);
}

const char *lspo_safetensors_metadata(const lspo_safetensors_t *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->shards[0].header, "__metadata__"), key));
}

const char *lspo_safetensors_path(const lspo_safetensors_t *file, const lspo_safetensor_t *tensor)
{
    return file->shards[tensor->file].path;
}

static lspo_number_t number_of(lspo_dtype_t dtype)
{
    switch (dtype) {
    case LSPO_DTYPE_F16:
        return LSPO_NUMBER_FP16;
    case LSPO_DTYPE_BF16:
        return LSPO_NUMBER_BF16;
    default:
        return LSPO_NUMBER_FP32;
    }
}

static lspo_status_t check_elements(const shard_t *shard, const lspo_safetensor_t *tensor, uint64_t rows, uint64_t cols)
{
    uint64_t elements = 0;
    if (tensor->dtype > LSPO_DTYPE_BF16)
        return lspo_error(LSPO_ERR_INPUT, "%s: tensor '%s' has dtype %s; weights are F32, F16 or BF16", shard->path,
                          tensor->name, lspo_dtype_name(tensor->dtype));
    if (__builtin_mul_overflow(rows, cols, &elements) || elements != tensor->element_count)
        return lspo_error(LSPO_ERR_INPUT, "%s: tensor '%s' has %" PRIu64 " elements, not %" PRIu64 " x %" PRIu64,
                          shard->path, tensor->name, tensor->element_count, rows, cols);
    return LSPO_OK;
}

lspo_status_t lspo_safetensors_read(const lspo_safetensors_t *file, const lspo_safetensor_t *tensor, uint64_t rows,
                                    const lspo_tensor_view_t *view, lspo_number_t number, void *out)
{
    const shard_t *shard = &file->shards[tensor->file];
    lspo_status_t status = check_elements(shard, tensor, rows, view->cols);
    if (status != LSPO_OK)
        return status;
    const lspo_number_t from = number_of(tensor->dtype);
    const size_t item_bytes = lspo_number_bytes(from), chunk = lspo_tensor_view_chunk(view);
    void *raw = malloc(LSPO_CHUNK_ELEMENTS * item_bytes);
    void *line = malloc(LSPO_CHUNK_ELEMENTS * lspo_number_bytes(number));
    if (!raw || !line) {
        status = lspo_no_memory("reading %s", shard->path);
        goto cleanup;
    }
    for (uint64_t first = 0; first < tensor->element_count; first += chunk) {
        const uint64_t left = tensor->element_count - first;
        const size_t count = left < chunk ? (size_t)left : chunk;
        status = read_at(shard, tensor->offset_bytes + first * item_bytes, count * item_bytes, raw);
        if (status != LSPO_OK)
            goto cleanup;
        lspo_convert(count, from, raw, number, line);
        lspo_tensor_view_scatter(line, view, first, count, lspo_number_bytes(number), out);
    }
cleanup:
    free(line);
    free(raw);
    return status;
}

lspo_status_t lspo_safetensors_read_part(const lspo_safetensors_t *file, const lspo_safetensor_t *tensor,
                                         uint64_t offset_bytes, size_t bytes, void *out)
{
    assert(offset_bytes <= tensor->byte_count && bytes <= tensor->byte_count - offset_bytes);
    return read_at(&file->shards[tensor->file], tensor->offset_bytes + offset_bytes, bytes, out);
}
