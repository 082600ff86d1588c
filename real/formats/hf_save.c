/* hf_save.c - save a model to a folder: weights, config.json, and the tokenizer files. */
#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json_file.h"
#include "base/output_file.h"
#include "real/formats/hf_config.h"
#include "real/formats/hf_model_state.h"
#include "real/tokenizer/files.h"

static bool same_values(const lspo_model_t *a, const lspo_model_t *b, const lspo_record_field_t *field)
{
    char x[64], y[64];
    lspo_record_format(field, a, x, sizeof x);
    lspo_record_format(field, b, y, sizeof y);
    return strcmp(x, y) == 0;
}

/* Is the field the same in the model that a config.json of `a` gives?  Reals are not compared: 0 is their default. */
static bool same_when_read(const lspo_model_t *a, const lspo_model_t *again, const lspo_record_field_t *field)
{
    if (field->kind == LSPO_RECORD_REAL)
        return true;
    if (field->offset_bytes == offsetof(lspo_model_t, head_width)) /* 0: the usual one */
        return lspo_model_head_width(a) == lspo_model_head_width(again);
    return same_values(a, again, field);
}

lspo_status_t lspo_hf_model_check_made(const lspo_model_t *shape)
{
    lspo_model_t again;
    lspo_status_t status = lspo_model_check_trains(shape);
    if (status != LSPO_OK)
        return status;
    json_t *config = lspo_hf_config_make(shape);
    if (!config)
        return lspo_no_memory("the config.json of %s", shape->name);
    status = lspo_hf_config_parse(config, shape->name, 0, &again);
    json_decref(config);
    if (status != LSPO_OK)
        return status;
    for (size_t i = 0; i < lspo_model_field_count; i++)
        if (!same_when_read(shape, &again, &lspo_model_fields[i]))
            return lspo_error(LSPO_ERR_INPUT, "cannot save model %s in Hugging Face's format: no model_type has its %s",
                              shape->name, lspo_model_fields[i].name);
    return LSPO_OK;
}

static lspo_status_t write_weights(const lspo_model_t *shape, const lspo_hf_model_t *origin, const float *const *stages,
                                   const char *path)
{
    const char *prefix = origin ? origin->prefix : lspo_hf_prefix(shape);
    const lspo_safetensor_note_t note = {"format", "pt"};
    uint32_t stage_count = lspo_model_stage_count(shape);
    lspo_hf_piece_t *pieces = calloc((size_t)stage_count * LSPO_HF_PIECES_MAX, sizeof *pieces);
    lspo_safetensor_source_t *sources = calloc((size_t)stage_count * LSPO_HF_PIECES_MAX, sizeof *sources);
    uint32_t count = 0;
    lspo_status_t status = LSPO_OK;
    if (!pieces || !sources) {
        status = lspo_no_memory("the tensors of %s", path);
        goto cleanup;
    }
    for (uint32_t stage = 0; stage < stage_count; stage++) {
        uint32_t first = count;
        count += lspo_hf_pieces(shape, prefix, stage, pieces + count);
        for (uint32_t i = first; i < count; i++) {
            const lspo_safetensor_t *old = origin ? lspo_hf_tensors_find(origin->tensors, pieces[i].name) : NULL;
            sources[i] = (lspo_safetensor_source_t){.name = pieces[i].name,
                                                    .dtype = old ? old->dtype : LSPO_DTYPE_F32,
                                                    .rank = pieces[i].rank,
                                                    .shape = {pieces[i].shape[0], pieces[i].shape[1]},
                                                    .view = stages[stage] + pieces[i].offset_elements,
                                                    .row_stride = pieces[i].row_stride,
                                                    .col_stride = pieces[i].col_stride};
        }
    }
    status = lspo_safetensors_write(path, sources, count, &note, 1);
cleanup:
    free(sources);
    free(pieces);
    return status;
}

static lspo_status_t write_config(const lspo_model_t *shape, const lspo_hf_model_t *origin, const char *path)
{
    json_t *config = origin ? lspo_json_copy(origin->config) : lspo_hf_config_make(shape);
    char *text = NULL;
    /* Mark the config of a classifier that was made from another model as that of a classifier. */
    if (config && origin && shape->class_count > 0 && !origin->has_head &&
        lspo_hf_config_set_classes(config, shape->class_count) != 0) {
        json_decref(config);
        config = NULL;
    }
    if (config)
        text = lspo_json_print(config, JSON_INDENT(2));
    json_decref(config);
    if (!text)
        return lspo_no_memory("%s", path);
    lspo_output_t output;
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        goto cleanup;
    fprintf(output.file, "%s\n", text);
    status = lspo_output_finish(&output, LSPO_OK);
cleanup:
    free(text);
    return status;
}

static lspo_status_t copy_stream(FILE *from, const char *from_path, const char *path)
{
    char chunk[65536];
    size_t got;
    lspo_output_t output;
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        return status;
    while ((got = fread(chunk, 1, sizeof chunk, from)) > 0)
        fwrite(chunk, 1, got, output.file);
    if (ferror(from))
        status = lspo_error(LSPO_ERR_IO, "cannot read %s: %s", from_path, strerror(errno));
    return lspo_output_finish(&output, status);
}

static lspo_status_t copy_companions(const char *from_folder, const char *folder, bool all);

/* Copy a regular file byte for byte, or a folder with all its contents; links are followed, other kinds skipped. */
static lspo_status_t copy_entry(const char *from_path, const char *path)
{
    struct stat info;
    lspo_status_t status = LSPO_OK;
    if (stat(from_path, &info) != 0)
        return lspo_error(LSPO_ERR_IO, "cannot read %s: %s", from_path, strerror(errno));
    if (S_ISDIR(info.st_mode)) {
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return lspo_error(LSPO_ERR_IO, "cannot make %s: %s", path, strerror(errno));
        return copy_companions(from_path, path, true);
    }
    FILE *from = S_ISREG(info.st_mode) ? fopen(from_path, "rb") : NULL;
    if (!from)
        return S_ISREG(info.st_mode) ? lspo_error(LSPO_ERR_IO, "cannot read %s: %s", from_path, strerror(errno))
                                     : LSPO_OK;
    status = copy_stream(from, from_path, path);
    fclose(from);
    return status;
}

/* Copy the files that belong to the weights or, inside such a folder, all. */
static lspo_status_t copy_companions(const char *from_folder, const char *folder, bool all)
{
    lspo_status_t status = LSPO_OK;
    DIR *list = opendir(from_folder);
    if (!list)
        return lspo_error(LSPO_ERR_IO, "cannot read %s: %s", from_folder, strerror(errno));
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        if (entry->d_name[0] == '.' || !(all || lspo_tokenizer_is_companion(entry->d_name)))
            continue;
        char *from_path = lspo_hf_path(from_folder, entry->d_name), *path = lspo_hf_path(folder, entry->d_name);
        status = from_path && path ? copy_entry(from_path, path) : lspo_no_memory("the name of %s", entry->d_name);
        free(path);
        free(from_path);
        if (status != LSPO_OK)
            break;
    }
    closedir(list);
    return status;
}

static lspo_status_t copy_tokenizer(const lspo_hf_model_t *origin, const char *folder)
{
    struct stat from, to;
    /* If a model is saved over itself, the files are already there. */
    if (stat(origin->folder, &from) == 0 && stat(folder, &to) == 0 && from.st_dev == to.st_dev &&
        from.st_ino == to.st_ino)
        return LSPO_OK;
    return copy_companions(origin->folder, folder, false);
}

lspo_status_t lspo_hf_model_save(const lspo_model_t *shape, const lspo_hf_model_t *origin, const float *const *stages,
                                 const char *folder)
{
    char *config = NULL, *weights = NULL;
    lspo_status_t status = origin ? lspo_hf_model_check_shape(origin, shape) : lspo_hf_model_check_made(shape);
    if (status != LSPO_OK)
        return status;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return lspo_error(LSPO_ERR_IO, "cannot make %s: %s", folder, strerror(errno));
    config = lspo_hf_path(folder, "config.json");
    weights = lspo_hf_path(folder, "model.safetensors");
    if (!config || !weights) {
        status = lspo_no_memory("the name of %s", folder);
        goto cleanup;
    }
    if (origin)
        status = copy_tokenizer(origin, folder);
    if (status != LSPO_OK)
        goto cleanup;
    status = write_config(shape, origin, config);
    if (status != LSPO_OK)
        goto cleanup;
    status = write_weights(shape, origin, stages, weights);
cleanup:
    free(weights);
    free(config);
    return status;
}
