/* hf_int4.c - see hf_int4.h. */
#include "real/formats/hf_int4.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json_file.h"

enum { NAME_BYTES = 192, SHAPE_BYTES = 24 * LSPO_SAFETENSORS_RANK_MAX, PER_WORD = 8 };
enum { QWEIGHT, QZEROS, SCALES, G_IDX, PARTS };
static const char *const endings[PARTS] = {"qweight", "qzeros", "scales", "g_idx"};

/* Of the columns of a word in AWQ. */
static const unsigned awq_nibbles[PER_WORD] = {0, 4, 1, 5, 2, 6, 3, 7};

/* ---- config.json ---- */

static lspo_status_t refuse(const json_t *config, const char *path, const char *key, const char *wanted)
{
    char *value = lspo_json_print(json_object_get(config, key), JSON_ENCODE_ANY | JSON_COMPACT);
    lspo_status_t status = lspo_error(LSPO_ERR_INPUT, "%s: quantization_config: %s = %.80s is not %s", path, key,
                                      value ? value : "(missing)", wanted);
    free(value);
    return status;
}

static bool is(const json_t *config, const char *key, const char *text)
{
    const char *value = json_string_value(json_object_get(config, key));
    return value != NULL && strcmp(value, text) == 0;
}

/* AutoAWQ writes GEMM, transformers gemm; transformers takes a missing one for gemm. */
static bool is_gemm(const json_t *version)
{
    const char *text = json_string_value(version);
    return version == NULL || json_is_null(version) || (text != NULL && strcasecmp(text, "gemm") == 0);
}

static bool is_nothing(const json_t *value)
{
    return value == NULL || json_is_null(value) || json_is_false(value) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

/* The head is as in the file with all of these formats, so naming it changes nothing. */
static bool names_only_the_head(const json_t *modules)
{
    for (size_t i = 0; i < json_array_size(modules); i++) {
        const char *module = json_string_value(json_array_get(modules, i));
        if (!module || strcmp(module, "lm_head") != 0)
            return false;
    }
    return json_is_array(modules);
}

static lspo_status_t take_group(const json_t *config, const char *path, uint32_t *group_out)
{
    const json_int_t group = json_integer_value(json_object_get(config, "group_size"));
    if (group != 32 && group != 64 && group != 128 && group != -1)
        return refuse(config, path, "group_size", "32, 64, 128 or -1");
    *group_out = group > 0 ? (uint32_t)group : 0;
    return LSPO_OK;
}

lspo_status_t lspo_hf_int4_parse(const json_t *config, const char *path, lspo_hf_int4_t *int4_out)
{
    lspo_hf_int4_t int4 = {.form = {.on = true}, .awq = is(config, "quant_method", "awq")};
    if (!int4.awq && !is(config, "quant_method", "gptq"))
        return refuse(config, path, "quant_method", "gptq or awq");
    if (json_integer_value(json_object_get(config, "bits")) != 4)
        return refuse(config, path, "bits", "4");
    if (int4.awq && !is_gemm(json_object_get(config, "version")))
        return refuse(config, path, "version", "gemm");
    const json_t *kept = json_object_get(config, "modules_to_not_convert");
    if (!is_nothing(kept) && !names_only_the_head(kept))
        return refuse(config, path, "modules_to_not_convert", "empty or lm_head");
    if (!is_nothing(json_object_get(config, "lm_head")))
        return refuse(config, path, "lm_head", "false");
    const json_t *format = json_object_get(config, "checkpoint_format");
    if (!int4.awq && format != NULL && !json_is_null(format) && !is(config, "checkpoint_format", "gptq") &&
        !is(config, "checkpoint_format", "gptq_v2"))
        return refuse(config, path, "checkpoint_format", "gptq or gptq_v2");
    int4.sorted = !int4.awq && !is_nothing(json_object_get(config, "desc_act"));
    int4.zero_less = int4.awq || is(config, "checkpoint_format", "gptq_v2") ? 0 : 1;
    lspo_status_t status = take_group(config, path, &int4.form.group);
    if (status == LSPO_OK)
        *int4_out = int4;
    return status;
}

/* ---- tensors ---- */

static lspo_int4_shape_t shape_of(const lspo_hf_int4_t *int4, const lspo_hf_int4_weight_t *weight)
{
    return lspo_int4_shape(&int4->form, weight->m, weight->n);
}

/* "a.b.weight": "a.b.qweight"; NULL: there is none. */
static const lspo_safetensor_t *find(const lspo_hf_int4_weight_t *weight, int part, char *name, size_t *index)
{
    const size_t stem = strlen(weight->name) - strlen("weight");
    snprintf(name, NAME_BYTES, "%.*s%s", (int)stem, weight->name, endings[part]);
    return lspo_hf_tensors_index(weight->tensors, name, index) ? lspo_hf_tensors_at(weight->tensors, *index) : NULL;
}

/* "[8, 32]" */
static const char *write_shape(uint32_t rank, const uint64_t *shape, char text[SHAPE_BYTES])
{
    size_t end = (size_t)snprintf(text, SHAPE_BYTES, "[");
    for (uint32_t i = 0; i < rank; i++)
        end += (size_t)snprintf(text + end, SHAPE_BYTES - end, "%s%" PRIu64, i > 0 ? ", " : "", shape[i]);
    snprintf(text + end, SHAPE_BYTES - end, "]");
    return text;
}

static lspo_status_t refuse_missing(const lspo_hf_int4_weight_t *weight, int part, const char *name)
{
    return lspo_error(LSPO_ERR_INPUT, "%s: tensor '%s' of a weight in 4 bits is missing%s", weight->folder, name,
                      part == G_IDX ? "; with desc_act it says the order of rows" : "");
}

static lspo_status_t check_part(const lspo_hf_int4_t *int4, const lspo_hf_int4_weight_t *weight, int part, bool *used)
{
    const lspo_int4_shape_t shape = shape_of(int4, weight);
    const uint64_t groups = lspo_int4_groups(&shape), m = weight->m, n = weight->n;
    const uint64_t wanted[PARTS][2] = {
        {int4->awq ? m : m / PER_WORD, int4->awq ? n / PER_WORD : n}, {groups, n / PER_WORD}, {groups, n}, {m}};
    char name[NAME_BYTES];
    size_t index;
    const lspo_safetensor_t *tensor = find(weight, part, name, &index);
    if (tensor == NULL)
        return part == G_IDX && !int4->sorted ? LSPO_OK : refuse_missing(weight, part, name);
    const uint32_t rank = part == G_IDX ? 1 : 2;
    const lspo_dtype_t dtype = part == SCALES ? LSPO_DTYPE_F16 : LSPO_DTYPE_I32;
    if (tensor->dtype != dtype || tensor->rank != rank ||
        memcmp(tensor->shape, wanted[part], rank * sizeof *tensor->shape) != 0) {
        char shape_is[SHAPE_BYTES], shape_wanted[SHAPE_BYTES];
        return lspo_error(LSPO_ERR_INPUT, "%s: tensor '%s' is %s %s; it must be %s %s",
                          lspo_safetensors_path(weight->files, tensor), name, lspo_dtype_name(tensor->dtype),
                          write_shape(tensor->rank, tensor->shape, shape_is), lspo_dtype_name(dtype),
                          write_shape(rank, wanted[part], shape_wanted));
    }
    used[index] = true;
    return LSPO_OK;
}

/* A whole small tensor, which the caller frees. */
static lspo_status_t read_whole(const lspo_hf_int4_weight_t *weight, int part, void **data_out)
{
    char name[NAME_BYTES];
    size_t index;
    const lspo_safetensor_t *tensor = find(weight, part, name, &index);
    void *data = malloc(tensor->byte_count + 1);
    if (data == NULL)
        return lspo_no_memory("tensor %s", name);
    lspo_status_t status = lspo_safetensors_read_part(weight->files, tensor, 0, tensor->byte_count, data);
    if (status == LSPO_OK)
        *data_out = data;
    else
        free(data);
    return status;
}

static lspo_status_t check_order(const lspo_hf_int4_t *int4, const lspo_hf_int4_weight_t *weight)
{
    char name[NAME_BYTES];
    size_t index;
    void *groups = NULL;
    const lspo_safetensor_t *tensor = find(weight, G_IDX, name, &index);
    lspo_status_t status = tensor != NULL ? read_whole(weight, G_IDX, &groups) : LSPO_OK;
    for (uint64_t i = 0; status == LSPO_OK && tensor != NULL && i < weight->m; i++) {
        const int32_t group = ((const int32_t *)groups)[i];
        const uint64_t wanted = int4->form.group > 0 ? i / int4->form.group : 0;
        if (group < 0 || (uint64_t)group != wanted)
            status = lspo_error(LSPO_ERR_INPUT,
                                "%s: tensor '%s': row %" PRIu64 " is of group %" PRId32 ", not %" PRIu64
                                "; rows in another order (desc_act) are not supported",
                                lspo_safetensors_path(weight->files, tensor), name, i, group, wanted);
    }
    free(groups);
    return status;
}

/* Number `i` of a word; of a tensor whose words have columns. */
static unsigned nibble_of(const lspo_hf_int4_t *int4, uint32_t word, unsigned i)
{
    return word >> 4 * (int4->awq ? awq_nibbles[i] : i) & 15U;
}

static lspo_status_t check_zeros(lspo_hf_int4_t *int4, const lspo_hf_int4_weight_t *weight)
{
    const lspo_int4_shape_t shape = shape_of(int4, weight);
    void *words = NULL;
    lspo_status_t status = read_whole(weight, QZEROS, &words);
    if (status != LSPO_OK)
        return status;
    const uint32_t usual = 0x11111111U * (LSPO_INT4_ZERO - int4->zero_less);
    for (uint64_t i = 0; i < lspo_int4_groups(&shape) * weight->n / PER_WORD; i++)
        int4->form.zeros |= ((const uint32_t *)words)[i] != usual;
    free(words);
    return LSPO_OK;
}

lspo_status_t lspo_hf_int4_check(lspo_hf_int4_t *int4, const lspo_hf_int4_weight_t *weight, bool *used)
{
    if (weight->m % PER_WORD != 0 || weight->n % PER_WORD != 0)
        return lspo_error(LSPO_ERR_INPUT, "weight '%s' is %" PRIu64 " x %" PRIu64 ", which words of 8 do not hold",
                          weight->name, weight->m, weight->n);
    for (int part = 0; part < PARTS; part++) {
        lspo_status_t status = check_part(int4, weight, part, used);
        if (status != LSPO_OK)
            return status;
    }
    lspo_status_t status = check_order(int4, weight);
    return status == LSPO_OK ? check_zeros(int4, weight) : status;
}

lspo_status_t lspo_hf_int4_check_bias(const lspo_safetensors_t *files, const lspo_hf_tensors_t *tensors, size_t index,
                                      bool *is_bias_out)
{
    const lspo_safetensor_t *tensor = lspo_hf_tensors_at(tensors, index);
    const char *name = lspo_hf_tensors_name(tensors, index), *ending = strrchr(name, '.');
    char codes[NAME_BYTES];
    *is_bias_out = false;
    if (ending == NULL || strcmp(ending, ".bias") != 0 || tensor->rank != 1)
        return LSPO_OK;
    snprintf(codes, sizeof codes, "%.*s.%s", (int)(ending - name), name, endings[QWEIGHT]);
    if (lspo_hf_tensors_find(tensors, codes) == NULL)
        return LSPO_OK;
    const uint64_t count = tensor->shape[0];
    float *values = malloc(count * sizeof *values + 1);
    if (values == NULL)
        return lspo_no_memory("tensor %s", name);
    lspo_status_t status =
        lspo_safetensors_read(files, tensor, 1, &(lspo_tensor_view_t){count, count, 1}, LSPO_NUMBER_FP32, values);
    for (uint64_t i = 0; status == LSPO_OK && i < count; i++)
        if (!(values[i] == 0))
            status =
                lspo_error(LSPO_ERR_INPUT,
                           "%s: tensor '%s' has %g at [%" PRIu64 "]; this model has no such bias, and it must be zero",
                           lspo_safetensors_path(files, tensor), name, (double)values[i], i);
    free(values);
    *is_bias_out = status == LSPO_OK;
    return status;
}

/* ---- reading ---- */

/* Words of 8 rows (GPTQ) or of one (AWQ), and codes of one row. */
typedef struct {
    const lspo_safetensor_t *tensor;
    uint32_t *words;
    uint8_t *codes;
} buffers_t;

static lspo_status_t read_codes(const lspo_hf_int4_t *int4, const lspo_hf_int4_weight_t *weight, const buffers_t *b,
                                void *packed)
{
    const lspo_int4_shape_t shape = shape_of(int4, weight);
    const size_t line = (size_t)b->tensor->shape[1] * sizeof *b->words;
    const uint64_t rows = int4->awq ? 1 : PER_WORD;
    for (uint64_t i = 0; i < weight->m; i++) {
        if (i % rows == 0) {
            lspo_status_t status =
                lspo_safetensors_read_part(weight->files, b->tensor, i / rows * line, line, b->words);
            if (status != LSPO_OK)
                return status;
        }
        for (uint64_t j = 0; j < weight->n; j++)
            b->codes[j] = (uint8_t)(int4->awq ? nibble_of(int4, b->words[j / PER_WORD], j % PER_WORD)
                                              : b->words[j] >> 4 * (i % PER_WORD) & 15U);
        lspo_int4_store_codes(&shape, &(lspo_int4_part_t){i, 1, 0, weight->n}, b->codes, packed);
    }
    return LSPO_OK;
}

/* The line of group `g`. */
static lspo_status_t check_scales(const lspo_hf_int4_weight_t *weight, uint64_t g, const uint16_t *line)
{
    enum { EXPONENT = 0x7c00 };
    char name[NAME_BYTES];
    size_t index;
    for (uint64_t j = 0; j < weight->n; j++)
        if ((line[j] & EXPONENT) == EXPONENT) {
            const lspo_safetensor_t *tensor = find(weight, SCALES, name, &index);
            return lspo_error(LSPO_ERR_INPUT,
                              "%s: tensor '%s': the scale at [%" PRIu64 ", %" PRIu64 "] is not a finite number",
                              lspo_safetensors_path(weight->files, tensor), name, g, j);
        }
    return LSPO_OK;
}

static lspo_status_t read_scales(const lspo_hf_int4_t *int4, const lspo_hf_int4_weight_t *weight, const buffers_t *b,
                                 void *packed)
{
    const lspo_int4_shape_t shape = shape_of(int4, weight);
    const size_t rows = int4->form.group > 0 ? int4->form.group : weight->m;
    void *words = NULL, *scales = NULL;
    lspo_status_t status = read_whole(weight, QZEROS, &words);
    if (status == LSPO_OK)
        status = read_whole(weight, SCALES, &scales);
    for (uint64_t g = 0; status == LSPO_OK && g < lspo_int4_groups(&shape); g++) {
        const uint32_t *line = (const uint32_t *)words + g * weight->n / PER_WORD;
        for (uint64_t j = 0; j < weight->n; j++)
            b->codes[j] = (uint8_t)(nibble_of(int4, line[j / PER_WORD], j % PER_WORD) + int4->zero_less);
        status = check_scales(weight, g, (const uint16_t *)scales + g * weight->n);
        lspo_int4_store_scales(&shape, &(lspo_int4_part_t){g * rows, 1, 0, weight->n},
                               (const uint16_t *)scales + g * weight->n, b->codes, packed);
    }
    free(scales);
    free(words);
    return status;
}

lspo_status_t lspo_hf_int4_read(const lspo_hf_int4_t *int4, const lspo_hf_int4_weight_t *weight, void *packed)
{
    char name[NAME_BYTES];
    size_t index;
    buffers_t b = {.tensor = find(weight, QWEIGHT, name, &index)};
    b.words = malloc((size_t)b.tensor->shape[1] * sizeof *b.words + 1);
    b.codes = malloc(weight->n + 1);
    lspo_status_t status = b.words != NULL && b.codes != NULL ? LSPO_OK : lspo_no_memory("rows of tensor %s", name);
    if (status == LSPO_OK)
        status = read_scales(int4, weight, &b, packed);
    if (status == LSPO_OK)
        status = read_codes(int4, weight, &b, packed);
    free(b.words);
    free(b.codes);
    return status;
}
