/* lsp.h - own parameters of lsp and lsp-paper. */
#ifndef LSPO_PLAN_POLICIES_LSP_H
#define LSPO_PLAN_POLICIES_LSP_H

#include "plan/parameter.h"

typedef enum {
    LSPO_PROJECTOR_NORMAL, /* N(0, 1) / sqrt(r)      */
    LSPO_PROJECTOR_SIGN    /* +1 or -1, over sqrt(r) */
} lspo_projector_values_t;

typedef enum {
    LSPO_PROJECTORS_WEIGHT, /* a pair (P, Q) for each weight of each block           */
    LSPO_PROJECTORS_SHAPE   /* one pair for all weights of all blocks of equal shape */
} lspo_projectors_t;

/* How COMPRESS or APPLY multiplies by projectors. */
typedef enum {
    LSPO_PRODUCTS_AUTO,   /* dense where the machine's profile says so (sim/tune.h), else as the policy has it */
    LSPO_PRODUCTS_SPARSE, /* kernels/projector.h */
    LSPO_PRODUCTS_DENSE   /* kernels/sketch.h */
} lspo_products_by_t;

typedef struct LSPO_VALUES_BLOCK {
    uint32_t subspace;     /* d                                                                           */
    uint32_t nnz;          /* r: nonzeros per row of P and Q                                              */
    uint32_t compress_by;  /* lspo_products_by_t */
    uint32_t apply_by;     /* lspo_products_by_t */
    uint32_t first_check;  /* optimizer steps before the first check */
    uint32_t check_every;  /* optimizer steps between checks of the projectors' bias; 0: they stay random */
    uint32_t fit_steps;    /* Adam steps of one fit; with a shared pair, so many for each weight                  */
    uint32_t fit_batches;  /* micro-batches of a calibration pass: one checks, one decides, the rest fit */
    int32_t transition;    /* stages <= transition are served last in, first out; LSPO_TRANSITION_AUTO: chosen by
                              simulation                                                                  */
    double bias_threshold; /* a projector whose bias is above this is fitted again                        */
    double fit_beta;       /* weight of ||P||_F + ||Q||_F in the loss of a fit                       */
    lspo_projectors_t projectors;             /* which weights share a pair */
    lspo_projector_values_t projector_values; /* initial values of projectors */
    uint32_t adam_basis;                      /* lspo_adam_basis_t */
    uint32_t basis_every;                     /* steps between renewals of a stage's eigenbases */
    uint32_t basis_lane;                      /* lspo_basis_lane_t */
    uint32_t native_layers;                   /* stages, from the first, that are updated in full on the GPU */
    double chunk_bytes;                       /* of a part of a message; 0: whole */
} lspo_lsp_values_t;
extern const lspo_parameters_t lspo_lsp_parameters;
extern const lspo_parameter_t lspo_parameter_compress_by, lspo_parameter_apply_by, lspo_parameter_basis_lane;
LSPO_VALUES(lsp);

#endif
