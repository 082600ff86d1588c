/* vtensor.h - own parameters of vtensor, and the chunks of its caches. */
#ifndef LSPO_PLAN_POLICIES_VTENSOR_H
#define LSPO_PLAN_POLICIES_VTENSOR_H

#include "plan/parameter.h"

/* In the order of --range's, --chunks' and --access's words. */
typedef enum { LSPO_RANGE_TENSOR, LSPO_RANGE_TEXT } lspo_vtensor_range_t;
extern const char *const lspo_vtensor_range_names[]; /* ends with NULL */
enum { LSPO_VTENSOR_PAGE_BYTES = 4096 };             /* chunks are multiples of it */
typedef enum { LSPO_CHUNKS_GROW, LSPO_CHUNKS_START } lspo_vtensor_chunks_t;
typedef enum { LSPO_ACCESS_RANGE, LSPO_ACCESS_CHUNK } lspo_vtensor_access_t;

typedef struct LSPO_VALUES_BLOCK {
    double chunk;       /* bytes                                                  */
    uint32_t map_ahead; /* tokens of a text for which chunks are mapped before    */
    uint32_t range;     /* lspo_vtensor_range_t: of what a range of addresses is  */
    uint32_t chunks;    /* lspo_vtensor_chunks_t: when chunks are made            */
    uint32_t access;    /* lspo_vtensor_access_t: of what a call gives access     */
} lspo_vtensor_values_t;
extern const lspo_parameters_t lspo_vtensor_parameters;
LSPO_VALUES(vtensor);

/* Ranges of a text, and bytes of a token in each. */
uint32_t lspo_vtensor_ranges(const lspo_vtensor_values_t *values, const lspo_model_t *model);
uint64_t lspo_vtensor_token_bytes(const lspo_vtensor_values_t *values, const lspo_model_t *model,
                                  lspo_precision_t precision);
/* Chunks that so many tokens need in a range. */
uint64_t lspo_vtensor_chunks_of(const lspo_vtensor_values_t *values, const lspo_model_t *model,
                                lspo_precision_t precision, uint64_t tokens);

/* LSPO_ERR_INPUT unless chunks are whole pages. */
lspo_status_t lspo_vtensor_check(const lspo_vtensor_values_t *values);

#endif
