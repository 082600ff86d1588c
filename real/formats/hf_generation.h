/* hf_generation.h - what a Hugging Face folder says about the end of generated texts. */
#ifndef LSPO_REAL_FORMATS_HF_GENERATION_H
#define LSPO_REAL_FORMATS_HF_GENERATION_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { LSPO_HF_ENDS_MAX = 16 };

typedef struct {
    uint32_t ids[LSPO_HF_ENDS_MAX];
    size_t count;
} lspo_hf_ends_t;

/* eos_token_id, a number or a list, of generation_config.json, or without it of config.json; none if neither names it.
 * Ids outside the vocabulary, which never come, are left out with a warning.  LSPO_ERR_INPUT, naming the file, if it is
 * anything else. */
lspo_status_t lspo_hf_ends_read(const char *folder, uint32_t vocabulary, lspo_hf_ends_t *ends_out);

#endif
