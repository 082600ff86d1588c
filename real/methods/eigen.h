/* eigen.h - a building block of methods: Adam in the eigenbases of a stage's compressed weights, kernels/eigen_adam.h,
 * on the CPU.  With --adam-basis plain there are none: then memory is NULL, and host_adam.h does the whole update. */
#ifndef LSPO_REAL_METHODS_EIGEN_H
#define LSPO_REAL_METHODS_EIGEN_H

#include "kernels/eigen_adam.h"
#include "real/methods/host_adam.h"

/* The bases of a stage's compressed weights, one after the other. */
typedef struct {
    void *memory; /* host; NULL: none */
} lspo_eigen_t;

/* The scratch of a session, which updates one stage after the other. */
typedef struct {
    float *memory; /* host: x, y, e_m, e_n of a stage's weights; NULL: no stage has bases */
} lspo_eigen_scratch_t;

/* Before any memory is taken: the scratch of each worker. */
void lspo_eigen_describe(lspo_session_t *session);
/* Take the host memory of a stage's bases; give_back releases it. */
lspo_status_t lspo_eigen_take(lspo_session_t *session, uint32_t stage, lspo_eigen_t *eigen, lspo_host_count_t *count);
void lspo_eigen_give_back(lspo_session_t *session, lspo_eigen_t *eigen);
/* Take the scratch; give_back_scratch releases it. */
lspo_status_t lspo_eigen_take_scratch(lspo_session_t *session, lspo_eigen_scratch_t *scratch);
void lspo_eigen_give_back_scratch(lspo_session_t *session, lspo_eigen_scratch_t *scratch);

/* Weight i of a stage, which must be compressed, in the scratch; without gradient, moments and delta. */
lspo_eigen_weight_t lspo_eigen_weight(const lspo_session_t *session, uint32_t stage, uint32_t i,
                                      const lspo_eigen_t *eigen, const lspo_eigen_scratch_t *scratch);

/* UPD of a stage that has bases, shared among the workers: of its compressed weights in their bases, of all others as
 * by lspo_host_adam_update().  Returns the nanoseconds that the former took. */
uint64_t lspo_eigen_update(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host,
                           const lspo_eigen_t *eigen, const lspo_eigen_scratch_t *scratch);

/* Visit the array NAME.bases. */
void lspo_eigen_visit(const lspo_session_t *session, uint32_t stage, const lspo_eigen_t *eigen, const char *name,
                      lspo_state_walk_t *walk);

#endif
