/* generate_weights.h - the weights of `lspo generate`: from a folder or a checkpoint, as they are, with
 * weights in 4 bits, ternary experts, or pruned. */
#ifndef LSPO_CLI_GENERATE_WEIGHTS_H
#define LSPO_CLI_GENERATE_WEIGHTS_H

#include "base/status.h"
#include "real/formats/hf_model.h"
#include "real/generate/quantizer.h"
#include "real/generate/weights.h"
#include "real/tokenizer/tokenizer.h"
#include "real/train/checkpoint_weights.h"

typedef struct {
    const lspo_model_t *model;
    const lspo_hf_model_t *hf;
    const lspo_checkpoint_weights_t *checkpoint; /* NULL: the weights are the folder's */
    lspo_number_t number;
    lspo_int4_form_t int4;
    bool ternary; /* experts */
    bool pruned;  /* linear weights of blocks, a share `sparsity` of each matrix */
    double sparsity;
    const char *calibration;     /* the path of a text: GPTQ, Wanda; NULL: round to nearest, prune by magnitude */
    lspo_tokenizer_t *tokenizer; /* NULL: bytes */
    uint64_t seed;               /* of the calibration's places in its text */
    lspo_workers_t *workers;
} lspo_generate_weights_t;

/* Are the linear weights of blocks in 4 bits in the folder, and used? */
bool lspo_generate_weights_are_packed(const lspo_generate_weights_t *weights);

/* Bytes of the weights, of ternary experts with as many zeros as the authors of QMoE had; and of what is needed beside
 * them while they are loaded. */
uint64_t lspo_generate_weights_bytes(const lspo_generate_weights_t *weights);
uint64_t lspo_generate_weights_scratch(const lspo_generate_weights_t *weights);

lspo_status_t lspo_generate_weights_load(const lspo_generate_weights_t *weights, lspo_device_t *device,
                                         lspo_generation_weights_t *loaded_out);

#endif
