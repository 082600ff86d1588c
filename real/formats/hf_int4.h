/* hf_int4.h - folders whose blocks have linear weights in 4 bits, in the common layouts of GPTQ and AWQ.
 *
 * In place of NAME.weight (m inputs, n outputs) a file has, of 4-bit numbers 8 in a 32-bit word,
 *     NAME.qweight   GPTQ: m / 8 x n, the rows of a word from its lowest nibble; AWQ: m x n / 8, a word's nibbles are
 *                    columns 0 2 4 6 1 3 5 7 of the 8
 *     NAME.qzeros    groups x n / 8: zero points, in GPTQ less 1, unless its format is gptq_v2; columns in order, in
 *                    AWQ as above
 *     NAME.scales    groups x n, F16
 *     NAME.g_idx     GPTQ, may be missing unless desc_act is true: the group of each row, which must be row / group
 *     NAME.bias      only as the model has it, else zeros
 * w = scale (code - zero point), as in kernels/int4.h.  Other bits, groups, methods and orders of rows are refused.
 */
#ifndef LSPO_REAL_FORMATS_HF_INT4_H
#define LSPO_REAL_FORMATS_HF_INT4_H

#include <jansson.h>

#include "base/status.h"
#include "kernels/int4.h"
#include "real/formats/hf_tensors.h"

typedef struct {
    lspo_int4_form_t form; /* off: the folder has none */
    bool awq;
    bool sorted;        /* desc_act: rows may be in another order */
    uint32_t zero_less; /* by so much a stored zero point is less */
} lspo_hf_int4_t;

/* A linear weight, NAME.weight. */
typedef struct {
    const lspo_safetensors_t *files;
    const lspo_hf_tensors_t *tensors;
    const char *folder, *name;
    uint64_t m, n;
} lspo_hf_int4_weight_t;

/* config: its quantization_config.  form.zeros is not known yet. */
lspo_status_t lspo_hf_int4_parse(const json_t *config, const char *path, lspo_hf_int4_t *int4_out);

/* Check types and shapes of a weight's tensors, whose indices become `used`, and the order of its rows; sets form.zeros
 * if a zero point is not 8. */
lspo_status_t lspo_hf_int4_check(lspo_hf_int4_t *int4, const lspo_hf_int4_weight_t *weight, bool *used);

/* Tensor `index`, which the model has not: is it a bias beside codes?  LSPO_ERR_INPUT if it is one and not all zero. */
lspo_status_t lspo_hf_int4_check_bias(const lspo_safetensors_t *files, const lspo_hf_tensors_t *tensors, size_t index,
                                      bool *is_bias_out);

/* packed: lspo_int4_bytes() of its shape in this form.  LSPO_ERR_INPUT for a scale that is not finite. */
lspo_status_t lspo_hf_int4_read(const lspo_hf_int4_t *int4, const lspo_hf_int4_weight_t *weight, void *packed);

#endif
