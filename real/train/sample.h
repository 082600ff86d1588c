/* sample.h - tokens that continue a text, as trained weights would have it.
 *
 * Greedy: each next token is the most likely one, the lowest of equals, so that the same weights give the same text.
 * All is computed on the host in fp32, the whole text anew for each token (T tokens: T^2 work; meant for some dozens).
 */
#ifndef LSPO_REAL_TRAIN_SAMPLE_H
#define LSPO_REAL_TRAIN_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/model.h"
#include "real/data/encoder.h"

/* Append ids to a text of at least one until its capacity is used, but none from `end` on, the token that ends a text
 * (UINT32_MAX: none does).  stages: weights of each stage (plan/model.h).  The capacity is at most the model's
 * max_sequence, and each id below its vocabulary.  LSPO_ERR_INPUT for a BERT, LSPO_ERR_NUMERIC for weights that make no
 * number; the text's count is then as it was. */
lspo_status_t lspo_sample(const lspo_model_t *model, const float *const *stages, uint32_t end, lspo_tokens_t *text);

#endif
