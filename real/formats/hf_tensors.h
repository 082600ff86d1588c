/* hf_tensors.h - the tensors of a model's files by name, without the prefixes that wrappers add.
 *
 * Tools that wrap a module add parts to the names: torch.compile "_orig_mod.", DistributedDataParallel "module.", FSDP
 * and activation checkpointing theirs, a training script the name of its attribute ("model.").  Those of torch are
 * removed anywhere in a name; any other prefix is removed if all tensors share it.
 */
#ifndef LSPO_REAL_FORMATS_HF_TENSORS_H
#define LSPO_REAL_FORMATS_HF_TENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "real/formats/safetensors.h"

typedef struct lspo_hf_tensors lspo_hf_tensors_t;

/* `anchor`: the end of a name that each model of the family has ("wte.weight"); `prefix`: what may stand before it in
 * an unwrapped file ("transformer.").  The caller keeps `files`, which must outlive the list.  LSPO_ERR_INPUT if two
 * tensors have the same name without wrappers. */
lspo_status_t lspo_hf_tensors_open(const lspo_safetensors_t *files, const char *prefix, const char *anchor,
                                   lspo_hf_tensors_t **tensors_out);
void lspo_hf_tensors_close(lspo_hf_tensors_t *tensors);

size_t lspo_hf_tensors_count(const lspo_hf_tensors_t *tensors);
/* A name without wrappers, and its tensor; sorted by name. */
const char *lspo_hf_tensors_name(const lspo_hf_tensors_t *tensors, size_t index);
const lspo_safetensor_t *lspo_hf_tensors_at(const lspo_hf_tensors_t *tensors, size_t index);
bool lspo_hf_tensors_index(const lspo_hf_tensors_t *tensors, const char *name, size_t *index_out);
/* NULL if there is none of this name. */
const lspo_safetensor_t *lspo_hf_tensors_find(const lspo_hf_tensors_t *tensors, const char *name);

/* Up to three tensor names that are most similar to `name`, as "'a', 'b'"; truncated to `bytes`. */
void lspo_hf_tensors_nearest(const lspo_hf_tensors_t *tensors, const char *name, char *text, size_t bytes);

#endif
