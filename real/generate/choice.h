/* choice.h - choose the next token from logits: the most likely one, or at random.
 *
 *     p = softmax(logits / temperature), over the top_k most likely tokens, and of these over the fewest whose
 *     probabilities add up to top_p                       [Holtzman et al., arXiv 1904.09751, eq. 1 and Sec. 3.1]
 *
 * Of equally likely tokens the one with the lowest id comes first.  The random number depends on seed, sequence and
 * position only, so a text does not depend on threads or on how it was computed.
 */
#ifndef LSPO_REAL_GENERATE_CHOICE_H
#define LSPO_REAL_GENERATE_CHOICE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct {
    double temperature; /* 0: the most likely token */
    uint32_t top_k;     /* 0: all                   */
    double top_p;       /* above 0; 1: all          */
    uint64_t seed;
    uint64_t sequence; /* which of several texts   */
} lspo_choice_t;

/* A token and its logit; room for as many as the vocabulary has. */
typedef struct {
    float logit;
    uint32_t token;
} lspo_candidate_t;

/* LSPO_ERR_NUMERIC if the largest logit is not finite or any is NaN. */
lspo_status_t lspo_choose_token(const lspo_choice_t *choice, size_t vocabulary, const float *logits, uint64_t position,
                                lspo_candidate_t *scratch, uint32_t *token_out);

#endif
