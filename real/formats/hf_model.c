/* hf_model.c - a model in a Hugging Face folder: config.json, safetensors, tokenizer files; see hf_model.h. */
#include "real/formats/hf_model.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json_file.h"
#include "real/formats/hf_config.h"
#include "real/formats/hf_folder.h"
#include "real/formats/hf_model_state.h"

enum { FOR_TEXT = UINT32_MAX }; /* in place of a number of classes */

char *lspo_hf_path(const char *folder, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

static bool is_in(const char *folder, const char *name, int mode)
{
    char path[PATH_MAX]; /* not allocated: lack of memory is no answer */
    return snprintf(path, sizeof path, "%s/%s", folder, name) < PATH_MAX && access(path, mode) == 0;
}

bool lspo_hf_model_exists(const char *folder)
{
    return is_in(folder, "config.json", R_OK);
}

/* The last part of a path, without its last `ending`. */
static void name_after(const char *path, const char *ending, lspo_model_t *model)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    if (end - begin > strlen(ending) && memcmp(path + end - strlen(ending), ending, strlen(ending)) == 0)
        end -= strlen(ending);
    snprintf(model->name, sizeof model->name, "%.*s", (int)(end - begin), path + begin);
}

static void name_model(lspo_hf_model_t *model)
{
    name_after(model->folder, "", &model->shape);
    snprintf(model->shape.source, sizeof model->shape.source, "%s/config.json", model->folder);
}

/* class_count: FOR_TEXT: weights may be in 4 bits. */
static lspo_status_t load_config(lspo_hf_model_t *model, const char *folder, uint32_t class_count)
{
    char *path = lspo_hf_path(folder, "config.json");
    if (!path)
        return lspo_no_memory("the name of %s", folder);
    lspo_status_t status = lspo_json_file_read(path, &model->config);
    if (status != LSPO_OK)
        goto cleanup;
    status = class_count == FOR_TEXT ? lspo_hf_config_parse_int4(model->config, path, &model->shape, &model->int4)
                                     : lspo_hf_config_parse(model->config, path, class_count, &model->shape);
    if (status != LSPO_OK)
        goto cleanup;
    name_model(model);
    status = lspo_model_check_named(path, &model->shape);
cleanup:
    free(path);
    return status;
}

static lspo_status_t refuse_missing(const lspo_hf_model_t *model, const char *name)
{
    char nearest[512];
    lspo_hf_tensors_nearest(model->tensors, name, nearest, sizeof nearest);
    const char *hint = strcmp(name, "lm_head.weight") == 0
                           ? "; if the head is the embedding's weight, config.json must say tie_word_embeddings = true"
                           : "";
    return lspo_error(LSPO_ERR_INPUT, "%s: tensor '%s' is missing; the nearest of %zu names are %s%s", model->folder,
                      name, lspo_hf_tensors_count(model->tensors), nearest, hint);
}

static lspo_status_t check_piece(const lspo_hf_model_t *model, const lspo_hf_piece_t *piece)
{
    const lspo_safetensor_t *tensor = lspo_hf_tensors_find(model->tensors, piece->name);
    if (!tensor)
        return refuse_missing(model, piece->name);
    bool same = tensor->rank == piece->rank && tensor->dtype <= LSPO_DTYPE_BF16;
    for (uint32_t i = 0; i < piece->rank && same; i++)
        same = tensor->shape[i] == piece->shape[i];
    if (same)
        return LSPO_OK;
    char wanted[64];
    snprintf(wanted, sizeof wanted, piece->rank == 1 ? "[%" PRIu64 "]" : "[%" PRIu64 ", %" PRIu64 "]", piece->shape[0],
             piece->shape[1]);
    return lspo_error(LSPO_ERR_INPUT,
                      "%s: tensor '%s' is %s of rank %" PRIu32 ", first dimension %" PRIu64
                      "; config.json makes it %s in F32, F16 or BF16",
                      lspo_safetensors_path(model->weights, tensor), piece->name, lspo_dtype_name(tensor->dtype),
                      tensor->rank, tensor->rank > 0 ? tensor->shape[0] : 0, wanted);
}

/* Tensors in the files that the model does not use are errors unless they are known to be harmless.  `used`: by
 * index. */
static lspo_status_t check_unused(const lspo_hf_model_t *model, const bool *used)
{
    for (size_t i = 0; i < lspo_hf_tensors_count(model->tensors); i++) {
        const lspo_safetensor_t *tensor = lspo_hf_tensors_at(model->tensors, i);
        bool is_zero_bias = false;
        const char *name = lspo_hf_tensors_name(model->tensors, i);
        if (used[i] || lspo_hf_is_ignored(&model->shape, model->has_head, name))
            continue;
        if (model->int4.form.on) {
            lspo_status_t status = lspo_hf_int4_check_bias(model->weights, model->tensors, i, &is_zero_bias);
            if (status != LSPO_OK)
                return status;
        }
        if (!is_zero_bias)
            return lspo_error(LSPO_ERR_INPUT, "%s: tensor '%s' does not belong to a %s model of these shapes",
                              lspo_safetensors_path(model->weights, tensor), tensor->name,
                              lspo_family_name(model->shape.family));
    }
    return LSPO_OK;
}

/* Is piece `i` of a stage a linear tensor in 4 bits? */
static bool is_packed(const lspo_hf_model_t *model, uint32_t stage, uint32_t i)
{
    lspo_stage_t shape;
    lspo_model_stage(&model->shape, stage, &shape);
    return model->int4.form.on && shape.kind == LSPO_STAGE_BLOCK && i < shape.linear_count;
}

static lspo_hf_int4_weight_t packed_weight(const lspo_hf_model_t *model, const lspo_hf_piece_t *piece)
{
    const bool turned = piece->row_stride == 1;
    return (lspo_hf_int4_weight_t){.files = model->weights,
                                   .tensors = model->tensors,
                                   .folder = model->folder,
                                   .name = piece->name,
                                   .m = piece->shape[turned ? 1 : 0],
                                   .n = piece->shape[turned ? 0 : 1]};
}

/* Is the head to be made: the folder has none, or that of another number of classes than asked for? */
static bool has_new_head(const lspo_hf_model_t *model, const lspo_hf_piece_t *pieces, uint32_t count)
{
    bool missing = !lspo_hf_tensors_find(model->tensors, pieces[0].name), differs = false;
    for (uint32_t i = 0; i < count && model->classes_asked; i++) {
        const lspo_safetensor_t *tensor = lspo_hf_tensors_find(model->tensors, pieces[i].name);
        differs |= tensor && tensor->rank == pieces[i].rank && tensor->shape[0] != pieces[i].shape[0];
    }
    return missing || differs;
}

static lspo_status_t check_stage(lspo_hf_model_t *model, uint32_t stage, bool *used)
{
    lspo_hf_piece_t pieces[LSPO_HF_PIECES_MAX];
    const bool last = stage + 1 == lspo_model_stage_count(&model->shape);
    uint32_t count = lspo_hf_pieces(&model->shape, model->prefix, stage, pieces);
    size_t index;
    if (last && model->shape.class_count > 0 && has_new_head(model, pieces, count))
        return LSPO_OK;
    for (uint32_t i = 0; i < count; i++) {
        const bool packed = is_packed(model, stage, i);
        const lspo_hf_int4_weight_t weight = packed_weight(model, &pieces[i]);
        lspo_status_t status =
            packed ? lspo_hf_int4_check(&model->int4, &weight, used) : check_piece(model, &pieces[i]);
        if (status != LSPO_OK)
            return status;
        if (!packed && lspo_hf_tensors_index(model->tensors, pieces[i].name, &index))
            used[index] = true;
    }
    model->has_head |= last;
    return LSPO_OK;
}

static lspo_status_t check_tensors(lspo_hf_model_t *model)
{
    bool *used = calloc(lspo_hf_tensors_count(model->tensors) + 1, sizeof *used);
    lspo_status_t status = LSPO_OK;
    if (!used)
        return lspo_no_memory("the tensors of %s", model->folder);
    for (uint32_t stage = 0; stage < lspo_model_stage_count(&model->shape); stage++) {
        status = check_stage(model, stage, used);
        if (status != LSPO_OK)
            goto cleanup;
    }
    status = check_unused(model, used);
cleanup:
    free(used);
    return status;
}

static bool has_weights(const char *folder)
{
    return is_in(folder, "model.safetensors", F_OK) || is_in(folder, "model.safetensors.index.json", F_OK);
}

static lspo_status_t open_weights(lspo_hf_model_t *model)
{
    if (!has_weights(model->folder))
        return lspo_hf_folder_refuse(model->folder);
    lspo_status_t status = lspo_safetensors_open_folder(model->folder, &model->weights);
    if (status != LSPO_OK)
        return status;
    return lspo_hf_tensors_open(model->weights, lspo_hf_prefix(&model->shape), lspo_hf_anchor(&model->shape),
                                &model->tensors);
}

static lspo_status_t load(lspo_hf_model_t *model, const char *folder, uint32_t class_count)
{
    model->folder = strdup(folder);
    model->classes_asked = class_count > 0 && class_count != FOR_TEXT;
    if (!model->folder)
        return lspo_no_memory("the name of %s", folder);
    lspo_status_t status = load_config(model, folder, class_count);
    if (status != LSPO_OK)
        return status;
    if (model->shape.expert_count > LSPO_HF_EXPERTS_MAX)
        return lspo_error(LSPO_ERR_INPUT, "%s: weights of at most %d experts per block are read, not %" PRIu32, folder,
                          LSPO_HF_EXPERTS_MAX, model->shape.expert_count);
    status = open_weights(model);
    if (status != LSPO_OK)
        return status;
    lspo_hf_piece_t pieces[LSPO_HF_PIECES_MAX];
    model->prefix = lspo_hf_prefix(&model->shape);
    lspo_hf_pieces(&model->shape, model->prefix, 0, pieces);
    if (!lspo_hf_tensors_find(model->tensors, pieces[0].name) &&
        lspo_hf_tensors_find(model->tensors, pieces[0].name + strlen(model->prefix)))
        model->prefix = "";
    return check_tensors(model);
}

lspo_status_t lspo_hf_model_open(const char *folder, uint32_t class_count, lspo_hf_model_t **model_out)
{
    lspo_hf_model_t *model = calloc(1, sizeof *model);
    if (!model)
        return lspo_no_memory("the model of %s", folder);
    lspo_status_t status = load(model, folder, class_count);
    if (status != LSPO_OK) {
        lspo_hf_model_close(model);
        return status;
    }
    *model_out = model;
    return LSPO_OK;
}

lspo_status_t lspo_hf_model_check_shape(const lspo_hf_model_t *model, const lspo_model_t *shape)
{
    for (size_t i = 0; i < lspo_model_field_count; i++) {
        const lspo_record_field_t *field = &lspo_model_fields[i];
        char own[64], other[64];
        lspo_record_format(field, &model->shape, own, sizeof own);
        lspo_record_format(field, shape, other, sizeof other);
        if (strcmp(own, other) != 0)
            return lspo_error(LSPO_ERR_INPUT, "%s: its weights are of a model with %s %s, not %s", model->folder,
                              field->name, own, other);
    }
    return LSPO_OK;
}

lspo_status_t lspo_hf_model_open_text(const char *folder, lspo_hf_model_t **model_out)
{
    return lspo_hf_model_open(folder, FOR_TEXT, model_out);
}

void lspo_hf_model_close(lspo_hf_model_t *model)
{
    if (!model)
        return;
    lspo_hf_tensors_close(model->tensors);
    lspo_safetensors_close(model->weights);
    json_decref(model->config);
    free(model->folder);
    free(model);
}

bool lspo_hf_is_config(const char *path)
{
    struct stat info;
    FILE *file = stat(path, &info) == 0 && S_ISREG(info.st_mode) ? fopen(path, "rb") : NULL;
    if (!file)
        return false;
    int c = fgetc(file);
    while (c == ' ' || c == '\t' || c == '\n' || c == '\r')
        c = fgetc(file);
    fclose(file);
    return c == '{';
}

/* The shapes of config.json at `path`; `name_of`: what they are named after. */
static lspo_status_t read_shapes(const char *path, const char *name_of, lspo_model_t *model, bool *trains_out)
{
    json_t *config = NULL;
    lspo_status_t status = lspo_json_file_read(path, &config);
    if (status != LSPO_OK)
        return status;
    status = lspo_hf_config_shapes(config, path, model, trains_out);
    json_decref(config);
    if (status != LSPO_OK)
        return status;
    name_after(name_of, name_of == path ? ".json" : "", model);
    snprintf(model->source, sizeof model->source, "%s", path);
    return lspo_model_check_named(path, model);
}

/* The shapes of a folder whose weights pass the checks of a training. */
static lspo_status_t read_checked(const char *folder, lspo_model_t *model_out)
{
    lspo_hf_model_t *model;
    lspo_status_t status = lspo_hf_model_open(folder, 0, &model);
    if (status != LSPO_OK)
        return status;
    *model_out = *lspo_hf_model_shape(model);
    lspo_hf_model_close(model);
    return LSPO_OK;
}

lspo_status_t lspo_hf_shapes_read(const char *path, lspo_model_t *model_out)
{
    struct stat info;
    bool trains = false;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return read_shapes(path, path, model_out, &trains);
    char *config = lspo_hf_path(path, "config.json");
    if (!config)
        return lspo_no_memory("the name of %s", path);
    lspo_status_t status = read_shapes(config, path, model_out, &trains);
    free(config);
    if (status != LSPO_OK)
        return status;
    return trains && has_weights(path) ? read_checked(path, model_out) : LSPO_OK;
}

const lspo_model_t *lspo_hf_model_shape(const lspo_hf_model_t *model)
{
    return &model->shape;
}

/* Codes, zero points and scales of weights in 4 bits. */
static bool is_of_int4(const lspo_hf_model_t *model, size_t index)
{
    const char *name = lspo_hf_tensors_name(model->tensors, index), *ending = strrchr(name, '.');
    return model->int4.form.on && (lspo_hf_tensors_at(model->tensors, index)->dtype == LSPO_DTYPE_I32 ||
                                   (ending != NULL && strcmp(ending, ".scales") == 0));
}

static bool all_are(const lspo_hf_model_t *model, lspo_dtype_t dtype)
{
    for (size_t i = 0; i < lspo_hf_tensors_count(model->tensors); i++)
        if (!lspo_hf_is_ignored(&model->shape, model->has_head, lspo_hf_tensors_name(model->tensors, i)) &&
            !is_of_int4(model, i) && lspo_hf_tensors_at(model->tensors, i)->dtype != dtype)
            return false;
    return true;
}

const lspo_int4_form_t *lspo_hf_model_int4(const lspo_hf_model_t *model)
{
    return &model->int4.form;
}

lspo_number_t lspo_hf_model_number(const lspo_hf_model_t *model)
{
    if (all_are(model, LSPO_DTYPE_BF16))
        return LSPO_NUMBER_BF16;
    return all_are(model, LSPO_DTYPE_F16) ? LSPO_NUMBER_FP16 : LSPO_NUMBER_FP32;
}

bool lspo_hf_model_has_stage(const lspo_hf_model_t *model, uint32_t stage)
{
    return stage + 1 < lspo_model_stage_count(&model->shape) || model->has_head;
}

lspo_status_t lspo_hf_model_read(const lspo_hf_model_t *model, uint32_t stage, float *weights)
{
    return lspo_hf_model_read_as(model, stage, LSPO_NUMBER_FP32, weights);
}

static lspo_status_t read_piece(const lspo_hf_model_t *model, const lspo_hf_piece_t *piece, lspo_number_t number,
                                char *to)
{
    const lspo_safetensor_t *tensor = lspo_hf_tensors_find(model->tensors, piece->name);
    const uint64_t rows = piece->rank == 1 ? 1 : piece->shape[0], cols = piece->shape[piece->rank - 1];
    const lspo_tensor_view_t view = {cols, piece->row_stride, piece->col_stride};
    return lspo_safetensors_read(model->weights, tensor, rows, &view, number, to);
}

lspo_status_t lspo_hf_model_read_as(const lspo_hf_model_t *model, uint32_t stage, lspo_number_t number, void *weights)
{
    lspo_hf_piece_t pieces[LSPO_HF_PIECES_MAX];
    if (!lspo_hf_model_has_stage(model, stage))
        return lspo_error(LSPO_ERR_INPUT, "%s: has no classifier", model->folder);
    uint32_t count = lspo_hf_pieces(&model->shape, model->prefix, stage, pieces);
    for (uint32_t i = 0; i < count; i++) {
        char *to = (char *)weights + pieces[i].offset_elements * lspo_number_bytes(number);
        lspo_status_t status = read_piece(model, &pieces[i], number, to);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

lspo_status_t lspo_hf_model_read_int4(const lspo_hf_model_t *model, uint32_t stage, lspo_number_t number, void *weights)
{
    lspo_hf_piece_t pieces[LSPO_HF_PIECES_MAX];
    lspo_stage_t shape;
    char *at = weights;
    lspo_model_stage(&model->shape, stage, &shape);
    if (shape.kind != LSPO_STAGE_BLOCK)
        return lspo_hf_model_read_as(model, stage, number, weights);
    const uint32_t count = lspo_hf_pieces(&model->shape, model->prefix, stage, pieces);
    const uint64_t linear = shape.tensors[shape.linear_count].offset_elements;
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < shape.linear_count; i++) {
        const lspo_hf_int4_weight_t weight = packed_weight(model, &pieces[i]);
        const lspo_int4_shape_t packed = lspo_int4_shape(&model->int4.form, weight.m, weight.n);
        status = lspo_hf_int4_read(&model->int4, &weight, at);
        at += lspo_int4_bytes(&packed);
    }
    for (uint32_t i = shape.linear_count; status == LSPO_OK && i < count; i++)
        status = read_piece(model, &pieces[i], number,
                            at + (pieces[i].offset_elements - linear) * lspo_number_bytes(number));
    return status;
}
