/* safetensors_write.c - write safetensors files: lspo_safetensors_write() in safetensors.h. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_file.h"
#include "base/output_file.h"
#include "kernels/pack.h"
#include "real/formats/safetensors.h"
#include "real/formats/tensor_view.h"

static void pack(lspo_dtype_t dtype, size_t count, const float *in, void *out)
{
    if (dtype == LSPO_DTYPE_F16)
        lspo_pack_fp16(count, in, out);
    else if (dtype == LSPO_DTYPE_BF16)
        lspo_pack_bf16(count, in, out);
    else
        memcpy(out, in, count * sizeof *in);
}

/* The widest types first, so that every tensor is aligned to its element size. */
static int compare_sources(const void *a, const void *b)
{
    const lspo_safetensor_source_t *x = *(const lspo_safetensor_source_t *const *)a;
    const lspo_safetensor_source_t *y = *(const lspo_safetensor_source_t *const *)b;
    size_t x_bytes = lspo_dtype_bytes(x->dtype), y_bytes = lspo_dtype_bytes(y->dtype);
    return x_bytes != y_bytes ? (x_bytes > y_bytes ? -1 : 1) : strcmp(x->name, y->name);
}

static uint64_t source_elements(const lspo_safetensor_source_t *source)
{
    uint64_t elements = 1;
    for (uint32_t i = 0; i < source->rank; i++)
        elements *= source->shape[i];
    return elements;
}

/* NULL if out of memory. */
static json_t *describe_source(const lspo_safetensor_source_t *source, uint64_t *offset_bytes)
{
    json_t *shape = json_array();
    for (uint32_t i = 0; i < source->rank; i++)
        if (json_array_append_new(shape, json_integer((json_int_t)source->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    uint64_t begin = *offset_bytes;
    *offset_bytes += source_elements(source) * lspo_dtype_bytes(source->dtype);
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", lspo_dtype_name(source->dtype), "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)*offset_bytes);
}

/* The header as JSON; *json_out is NULL if out of memory (or if a name in it is not UTF-8). */
static lspo_status_t describe_all(const char *path, const lspo_safetensor_source_t *const *sorted, size_t count,
                                  const lspo_safetensor_note_t *notes, size_t note_count, char **json_out)
{
    json_t *header = json_object(), *metadata = json_object();
    uint64_t offset_bytes = 0;
    lspo_status_t status = LSPO_OK;
    bool made = header && metadata;
    for (size_t i = 0; i < note_count && made; i++)
        made = json_object_set_new(metadata, notes[i].key, json_string(notes[i].value)) == 0;
    if (made && note_count > 0)
        made = json_object_set(header, "__metadata__", metadata) == 0;
    for (size_t i = 0; i < count && made; i++) {
        if (json_object_get(header, sorted[i]->name)) {
            status = lspo_error(LSPO_ERR_INPUT, "cannot write %s: two tensors are named '%s'", path, sorted[i]->name);
            goto cleanup;
        }
        made = json_object_set_new(header, sorted[i]->name, describe_source(sorted[i], &offset_bytes)) == 0;
    }
    *json_out = made ? lspo_json_print(header, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
cleanup:
    json_decref(metadata);
    json_decref(header);
    return status;
}

/* The header as text, owned by the caller, padded with blanks so that the data begins at a multiple of 8. */
static lspo_status_t make_header(const char *path, const lspo_safetensor_source_t *const *sorted, size_t count,
                                 const lspo_safetensor_note_t *notes, size_t note_count, char **text_out)
{
    char *json = NULL;
    lspo_status_t status = describe_all(path, sorted, count, notes, note_count, &json);
    if (status != LSPO_OK)
        return status;
    size_t used = json ? strlen(json) : 0, padded = (used + 7) / 8 * 8;
    char *text = json ? realloc(json, padded + 1) : NULL;
    if (!text) {
        free(json);
        return lspo_no_memory("the header of %s (or a name in it is not UTF-8)", path);
    }
    memset(text + used, ' ', padded - used);
    text[padded] = '\0';
    *text_out = text;
    return LSPO_OK;
}

static lspo_status_t write_filled(FILE *stream, const lspo_safetensor_source_t *source, size_t bytes, void *raw)
{
    const size_t part_max = LSPO_CHUNK_ELEMENTS * sizeof(float);
    for (size_t at = 0; at < bytes && !ferror(stream); at += part_max) {
        size_t part = bytes - at < part_max ? bytes - at : part_max;
        lspo_status_t status = source->fill(source->context, at, part, raw);
        if (status != LSPO_OK)
            return status;
        fwrite(raw, 1, part, stream);
    }
    return LSPO_OK;
}

/* The stream remembers write errors; lspo_output_finish() reports them. */
static lspo_status_t write_source(FILE *stream, const lspo_safetensor_source_t *source, float *line, void *raw)
{
    uint64_t elements = source_elements(source);
    size_t item_bytes = lspo_dtype_bytes(source->dtype);
    if (source->fill)
        return write_filled(stream, source, elements * item_bytes, raw);
    if (source->bytes) {
        fwrite(source->bytes, item_bytes, elements, stream);
        return LSPO_OK;
    }
    const lspo_tensor_view_t view = {.cols = source->rank > 1 && source->shape[0] > 0 ? elements / source->shape[0]
                                                                                      : elements,
                                     .row_stride = source->row_stride,
                                     .col_stride = source->col_stride};
    size_t chunk = lspo_tensor_view_chunk(&view);
    for (uint64_t first = 0; first < elements && !ferror(stream); first += chunk) {
        size_t count = elements - first < chunk ? (size_t)(elements - first) : chunk;
        lspo_tensor_view_gather(source->view, &view, first, count, line);
        pack(source->dtype, count, line, raw);
        fwrite(raw, item_bytes, count, stream);
    }
    return LSPO_OK;
}

static lspo_status_t write_content(FILE *file, const char *path, const char *header,
                                   const lspo_safetensor_source_t *const *sorted, size_t count)
{
    float *line = malloc(LSPO_CHUNK_ELEMENTS * sizeof *line), *raw = malloc(LSPO_CHUNK_ELEMENTS * sizeof *raw);
    lspo_status_t status = LSPO_OK;
    if (!line || !raw) {
        status = lspo_no_memory("writing %s", path);
        goto cleanup;
    }
    uint64_t header_bytes = strlen(header);
    for (int i = 0; i < LSPO_SAFETENSORS_LENGTH_BYTES; i++)
        fputc((int)(header_bytes >> (8 * i) & 0xff), file);
    fwrite(header, 1, header_bytes, file);
    for (size_t i = 0; i < count && !ferror(file); i++) {
        status = write_source(file, sorted[i], line, raw);
        if (status != LSPO_OK)
            goto cleanup;
    }
    if (ferror(file)) /* errno is from the write */
        status = lspo_error(LSPO_ERR_IO, "cannot write %s: %s", path, strerror(errno));
cleanup:
    free(raw);
    free(line);
    return status;
}

static lspo_status_t write_file(const char *path, const char *header, const lspo_safetensor_source_t *const *sorted,
                                size_t count)
{
    lspo_output_t output;
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        return status;
    return lspo_output_finish(&output, write_content(output.file, path, header, sorted, count));
}

lspo_status_t lspo_safetensors_write(const char *path, const lspo_safetensor_source_t *tensors, size_t count,
                                     const lspo_safetensor_note_t *notes, size_t note_count)
{
    const lspo_safetensor_source_t **sorted = malloc((count + 1) * sizeof *sorted);
    if (!sorted)
        return lspo_no_memory("writing %s", path);
    for (size_t i = 0; i < count; i++)
        sorted[i] = &tensors[i];
    if (count > 1)
        qsort(sorted, count, sizeof *sorted, compare_sources);
    char *header = NULL;
    lspo_status_t status = make_header(path, sorted, count, notes, note_count, &header);
    if (status != LSPO_OK)
        goto cleanup;
    status = write_file(path, header, sorted, count);
cleanup:
    free(header);
    free(sorted);
    return status;
}
