/* meft.h - meft's own parameters, and the numbers of rows that follow from them. */
#ifndef LSPO_PLAN_POLICIES_MEFT_H
#define LSPO_PLAN_POLICIES_MEFT_H

#include "plan/parameter.h"

enum { LSPO_MEFT_AUTO = -1 };

typedef struct LSPO_VALUES_BLOCK {
    uint32_t adapter_width; /* r: rows of each block's adapter */
    int32_t experts;        /* E, or LSPO_MEFT_AUTO */
    int32_t probes;         /* experts that a token keeps, or LSPO_MEFT_AUTO */
    int32_t keys;           /* K: rows that a token uses, or LSPO_MEFT_AUTO */
    double alike;           /* rho: mean cosine of two tokens of a batch */
} lspo_meft_values_t;
extern const lspo_parameters_t lspo_meft_parameters;
LSPO_VALUES(meft);

/* The same without `auto`. */
typedef struct {
    uint32_t width;   /* r */
    uint32_t experts; /* E */
    uint32_t each;    /* r / E: rows of an expert */
    uint32_t probes;
    uint32_t chosen; /* K */
} lspo_meft_shape_t;
lspo_meft_shape_t lspo_meft_shape(const lspo_meft_values_t *values);

/* The most rows that `tokens` tokens can use: min(r, tokens K). */
uint64_t lspo_meft_rows_most(const lspo_meft_shape_t *shape, uint64_t tokens);
/* How many they use, on average.  Each token uses a share K / r of the rows: those for which a normal number is above
 * z, P(z) = 1 - K / r.  Of two tokens these numbers have the correlation rho of the tokens themselves, as if each was
 * sqrt(rho) x, which is the row's, + sqrt(1 - rho) times one of its own:
 *     r times the mean over x of 1 - P((z - sqrt(rho) x) / sqrt(1 - rho))^tokens
 * For rho = 0 that is r (1 - (1 - K / r)^tokens).  All saturate to r. */
double lspo_meft_rows_expected(const lspo_meft_shape_t *shape, uint64_t tokens, double alike);
/* The rho with which so many rows are expected: what --alike takes.  Unlike the mean cosine it knows of tokens that
 * come in groups, and of rows that are chosen more often than others. */
double lspo_meft_alike_by_rows(const lspo_meft_shape_t *shape, uint64_t tokens, double rows);
#define LSPO_MEFT_ALIKE_MAX 0.999

/* Bytes of what comes with `rows` rows to the GPU: for each token its rows; for each row its tokens (kernels/keys.h).
 * And of what goes with a token to the CPU: its experts and their gates. */
uint64_t lspo_meft_list_bytes(const lspo_meft_shape_t *shape, uint64_t tokens, uint64_t rows);
uint64_t lspo_meft_route_bytes(const lspo_meft_shape_t *shape, uint64_t tokens);

/* Host memory for choosing rows: per row its place among those chosen; per token and probe an entry of a list and the
 * scores of an expert's rows; with a link of 16 bits the tokens in fp32. */
uint64_t lspo_meft_choice_bytes(const lspo_meft_shape_t *shape, uint64_t tokens);

#endif
