/* safetensors.h - read and write safetensors files: named tensors, the format of Hugging Face models.
 *
 * File: 8 bytes N (little-endian), N bytes of JSON, the data.  The JSON maps each name to
 * {"dtype": "F32", "shape": [m, n], "data_offsets": [begin, end]}, with offsets relative to the data and row-major
 * elements, and may have "__metadata__", a map of strings to strings [github.com/huggingface/safetensors, README,
 * "Format"].
 *
 * Everything in a file is checked.  A header that is longer than the file or than 100 MB, malformed JSON, duplicate
 * names, unknown types, shapes whose size overflows or differs from the span, and spans that overlap, leave a gap or do
 * not end at the end of the file are errors that name file and tensor.  Tensors are read from the file on demand, so
 * that a model is never in memory twice.
 *
 * A *view* describes where a tensor's elements are in memory: element (i, j) is at data[i row_stride + j col_stride].
 * So a transposed matrix, or a part of a larger one, needs no copy.
 */
#ifndef LSPO_REAL_FORMATS_SAFETENSORS_H
#define LSPO_REAL_FORMATS_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/number.h"
#include "real/formats/tensor_view.h"

enum { LSPO_SAFETENSORS_LENGTH_BYTES = 8 }; /* of N, at the file's beginning */

typedef enum {
    LSPO_DTYPE_F32,
    LSPO_DTYPE_F16,
    LSPO_DTYPE_BF16,
    LSPO_DTYPE_F64, /* from here on: copied as bytes, not converted */
    LSPO_DTYPE_I64,
    LSPO_DTYPE_I32,
    LSPO_DTYPE_I16,
    LSPO_DTYPE_I8,
    LSPO_DTYPE_U64,
    LSPO_DTYPE_U32,
    LSPO_DTYPE_U16,
    LSPO_DTYPE_U8,
    LSPO_DTYPE_BOOL,
    LSPO_DTYPE_COUNT
} lspo_dtype_t;

const char *lspo_dtype_name(lspo_dtype_t dtype); /* "F32" */
size_t lspo_dtype_bytes(lspo_dtype_t dtype);     /* of an element */

enum { LSPO_SAFETENSORS_RANK_MAX = 8 };

typedef struct {
    const char *name; /* owned by the reader */
    lspo_dtype_t dtype;
    uint32_t rank;
    uint64_t shape[LSPO_SAFETENSORS_RANK_MAX];
    uint64_t element_count; /* 1 for rank 0 */
    uint64_t byte_count;
    uint32_t file;         /* which shard                           */
    uint64_t offset_bytes; /* of its data from the start of that file */
} lspo_safetensor_t;

typedef struct lspo_safetensors lspo_safetensors_t;

/* Open one file.  LSPO_ERR_INPUT if it cannot be read or is malformed. */
lspo_status_t lspo_safetensors_open(const char *path, lspo_safetensors_t **file_out);
/* Open the weights of a model's folder: model.safetensors, or the shards named in model.safetensors.index.json. */
lspo_status_t lspo_safetensors_open_folder(const char *folder, lspo_safetensors_t **file_out);
void lspo_safetensors_close(lspo_safetensors_t *file);

/* Tensors sorted by name. */
size_t lspo_safetensors_count(const lspo_safetensors_t *file);
const lspo_safetensor_t *lspo_safetensors_at(const lspo_safetensors_t *file, size_t index);
const lspo_safetensor_t *lspo_safetensors_find(const lspo_safetensors_t *file, const char *name); /* NULL: absent */
/* Value of a "__metadata__" key of the first file; NULL if absent. */
const char *lspo_safetensors_metadata(const lspo_safetensors_t *file, const char *key);
/* The path of the file that holds `tensor`, for messages. */
const char *lspo_safetensors_path(const lspo_safetensors_t *file, const lspo_safetensor_t *tensor);

/* Read a tensor, in any format, into a view of `rows` rows with as many elements as the tensor; the shape is not
 * checked.  LSPO_ERR_INPUT for a type other than F32, F16 or BF16, or if the file has become shorter. */
lspo_status_t lspo_safetensors_read(const lspo_safetensors_t *file, const lspo_safetensor_t *tensor, uint64_t rows,
                                    const lspo_tensor_view_t *view, lspo_number_t number, void *out);
/* Read `bytes` of a tensor's byte_count bytes, from `offset_bytes` on, without conversion. */
lspo_status_t lspo_safetensors_read_part(const lspo_safetensors_t *file, const lspo_safetensor_t *tensor,
                                         uint64_t offset_bytes, size_t bytes, void *out);

/* One tensor to write. */
typedef struct {
    const char *name;
    lspo_dtype_t dtype; /* in the file */
    uint32_t rank;
    uint64_t shape[LSPO_SAFETENSORS_RANK_MAX];
    const float *view; /* fp32, rounded to dtype (F32, F16 or BF16); rows = shape[0], cols = the other dimensions'
                          product (rank 0 and 1: one row)                                                       */
    size_t row_stride, col_stride;
    const void *bytes; /* instead of view: little-endian elements of dtype, row-major */
    /* Instead of both: gives `bytes` bytes of these elements from `offset_bytes` on; called for one part after the
     * other. */
    lspo_status_t (*fill)(void *context, uint64_t offset_bytes, size_t bytes, void *out);
    void *context;
} lspo_safetensor_source_t;

typedef struct {
    const char *key, *value;
} lspo_safetensor_note_t;

/* Write a complete file or none (base/output_file.h).  The data is aligned to 8 bytes, and tensors are sorted by
 * element size and name, so equal input gives equal bytes.  LSPO_ERR_INPUT for duplicate names, LSPO_ERR_IO. */
lspo_status_t lspo_safetensors_write(const char *path, const lspo_safetensor_source_t *tensors, size_t count,
                                     const lspo_safetensor_note_t *notes, size_t note_count);

#endif
