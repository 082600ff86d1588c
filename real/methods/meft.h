/* meft.h - a part of the method meft: choose the rows of an adapter that the tokens of a batch use, on the CPU
 * (kernels/keys.h has the equations). */
#ifndef LSPO_REAL_METHODS_MEFT_H
#define LSPO_REAL_METHODS_MEFT_H

#include <stddef.h>
#include <stdint.h>

#include "base/workers.h"
#include "plan/policies/meft.h"

/* A choice for T tokens of width d.  The caller owns all arrays. */
typedef struct {
    lspo_meft_shape_t shape;
    size_t tokens, width;
    const float *rows;   /* r x 2 d: keys and values                                            */
    const float *h;      /* T x d                                                               */
    uint32_t *experts;   /* T x probes, each below E and once per token; sorted, with their gates */
    float *gates;        /* T x probes                                                          */
    uint32_t *place;     /* scratch: r                                                          */
    uint32_t *first_of;  /* scratch: E + 1                                                      */
    uint32_t *tokens_of; /* scratch: T probes                                                  */
    float *scores;       /* scratch: T probes r / E                                             */
    float *scratch;      /* lspo_meft_choose_scratch() floats for each worker                   */
} lspo_meft_choice_t;

/* The lists of kernels/keys.h, and the numbers of the chosen rows, ascending: room for min(r, T K). */
typedef struct {
    uint32_t *slots, *entries, *first, *chosen;
    uint32_t count; /* U */
} lspo_meft_chosen_t;

size_t lspo_meft_choose_scratch(const lspo_meft_shape_t *shape, size_t width);
/* Of each token the K rows with the largest |g_e| (h . k) among its experts' rows; on ties the lowest row first.  NaN
 * counts as the least score.  Does not depend on the number of workers. */
void lspo_meft_choose(const lspo_meft_choice_t *choice, lspo_workers_t *workers, lspo_meft_chosen_t *chosen);

/* The mean cosine of two tokens; 0 for a single one.  Uses the scratch. */
double lspo_meft_alike(const lspo_meft_choice_t *choice);

#endif
