/* qmoe.h - own parameters of qmoe, and the bytes of its packed experts. */
#ifndef LSPO_PLAN_POLICIES_QMOE_H
#define LSPO_PLAN_POLICIES_QMOE_H

#include "plan/parameter.h"

enum { LSPO_QMOE_ALL_CACHED = -1, LSPO_QMOE_MATRICES_MAX = 3 };

typedef struct LSPO_VALUES_BLOCK {
    double expert_zeros;    /* share of each matrix of an expert that is zero              */
    int32_t cached_experts; /* of each block on the GPU; LSPO_QMOE_ALL_CACHED: all of them */
} lspo_qmoe_values_t;
extern const lspo_parameters_t lspo_qmoe_parameters;
LSPO_VALUES(qmoe);

extern const lspo_parameter_t lspo_parameter_cached_experts; /* policies whose experts are packed */

/* Experts of each block that are always on the GPU, and how many of those that so many tokens use are not there: on
 * average, if each token chooses its experts by itself and all alike; and at most.
 *     E (1 - (1 - k / E)^tokens) (E - N) / E           of E experts N cached, k per token
 * Whatever the N are that a cache keeps, they are not chosen by what the next tokens will need. */
uint32_t lspo_qmoe_cached(const lspo_qmoe_values_t *values, const lspo_model_t *model);
double lspo_qmoe_missing(const lspo_qmoe_values_t *values, const lspo_model_t *model, uint64_t tokens);
uint32_t lspo_qmoe_missing_most(const lspo_qmoe_values_t *values, const lspo_model_t *model, uint64_t tokens);

/* Bits per weight that long rows of random weights take as codes of kernels/ternary.h, with this share of zeros and
 * low and high alike.  The encoder is a chain of codes, of which each begins with the pair that the one before could
 * not take; so their mean length follows from the kinds of pairs (none, one or two of its weights are not zero). */
double lspo_qmoe_bits(double zeros);

/* Codes for which a matrix of m inputs and n outputs has room: those expected, one more per row since its last is
 * short, and ten standard deviations; and bytes of an expert with such matrices, each a multiple of 8. */
uint64_t lspo_qmoe_room_codes(const lspo_qmoe_values_t *values, uint64_t m, uint64_t n);
uint64_t lspo_qmoe_expert_bytes(const lspo_qmoe_values_t *values, const lspo_model_t *model);

/* The matrices of an expert: their inputs and outputs; returns how many there are. */
uint32_t lspo_qmoe_matrices(const lspo_model_t *model, uint32_t m_out[LSPO_QMOE_MATRICES_MAX],
                            uint32_t n_out[LSPO_QMOE_MATRICES_MAX]);

#endif
