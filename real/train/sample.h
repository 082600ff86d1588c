/* sample.h - generate tokens that continue a text with given weights.
 *
 * Greedy: each next token is the most likely one (the lowest id of equally likely ones), so the same weights give the
 * same text.  Everything is computed on the host in fp32, with a cache (real/generate/generator.h).
 */
#ifndef LSPO_REAL_TRAIN_SAMPLE_H
#define LSPO_REAL_TRAIN_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/model.h"
#include "real/data/encoder.h"

/* Append ids to a text of at least one token until its capacity is reached, or until the next token is `end`, which is
 * not appended (UINT32_MAX: no such token).  stages: weights of each stage (plan/model.h).  The capacity must be at
 * most the model's max_sequence, and each id below its vocabulary.  LSPO_ERR_INPUT for a BERT, LSPO_ERR_NUMERIC if the
 * logits are not finite; the text's count is then unchanged. */
lspo_status_t lspo_sample(const lspo_model_t *model, const float *const *stages, uint32_t end, lspo_tokens_t *text);

#endif
