/* eigen.h - a building block of methods: Adam in the eigenbases of a stage's linear weights, kernels/eigen_adam.h, on
 * the CPU or in the memory of a device that the host sees.  With --adam-basis plain there are none: host and device are
 * NULL, and host_adam.h or gpu_adam.h do the whole update.
 *
 * The matrices that have a basis (plan/adam_basis.h) are the first elements of a message; the rest of it is updated
 * plainly. */
#ifndef LSPO_REAL_METHODS_EIGEN_H
#define LSPO_REAL_METHODS_EIGEN_H

#include "kernels/eigen_adam.h"
#include "real/methods/gpu_adam.h"
#include "real/methods/host_adam.h"

/* The bases of a stage's matrices, one after the other. */
typedef struct {
    void *host, *device; /* where the stage is updated; NULL: not there, or plain */
} lspo_eigen_t;

/* Scratch of a lane, which updates one stage after the other. */
typedef struct {
    void *memory;   /* x, y, e_m and e_n of a stage's matrices, then LAPACK's; NULL: no stage has bases */
    float *message; /* CPU lane: the matrices in fp32; NULL if the link has them so                     */
} lspo_eigen_scratch_t;

/* Before any memory is taken: the scratch of each worker. */
void lspo_eigen_describe(lspo_session_t *session);

/* Take the memory of a stage's bases where the plan updates it; give_back releases it.  LSPO_ERR_DEVICE on a device
 * whose memory the host does not see. */
lspo_status_t lspo_eigen_take_host(lspo_session_t *session, uint32_t stage, lspo_eigen_t *eigen,
                                   lspo_host_count_t *count);
lspo_status_t lspo_eigen_take_device(lspo_session_t *session, uint32_t stage, lspo_eigen_t *eigen);
void lspo_eigen_give_back(lspo_session_t *session, lspo_eigen_t *eigen);
/* The same of the scratch of a lane. */
lspo_status_t lspo_eigen_take_host_scratch(lspo_session_t *session, lspo_eigen_scratch_t *scratch);
lspo_status_t lspo_eigen_take_device_scratch(lspo_session_t *session, lspo_eigen_scratch_t *scratch);
void lspo_eigen_give_back_scratch(lspo_session_t *session, lspo_eigen_scratch_t *host, lspo_eigen_scratch_t *device);

/* Before the first gradient: T = I, L = R = 0. */
void lspo_eigen_begin(const lspo_session_t *session, uint32_t stage, const lspo_eigen_t *eigen);

/* Matrix i of a stage in the scratch (NULL: none), without gradient, moments and delta. */
lspo_eigen_weight_t lspo_eigen_weight(const lspo_session_t *session, uint32_t stage, uint32_t i,
                                      const lspo_eigen_t *eigen, const lspo_eigen_scratch_t *scratch);

/* UPD of a stage with bases, shared among the workers: as lspo_host_adam_update().  Returns the nanoseconds that the
 * matrices took.  Where the GPU turns (plan/adam_basis.h) of X and to D; renew_host() is then the renewal, and
 * *begins_out says that this UPD has made bases of a first gradient, without one. */
uint64_t lspo_eigen_update_host(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host,
                                const lspo_eigen_t *eigen, const lspo_eigen_scratch_t *scratch, bool *begins_out);
void lspo_eigen_renew_host(lspo_session_t *session, const lspo_op_t *op, const lspo_host_adam_t *host,
                           const lspo_eigen_t *eigen, const lspo_eigen_scratch_t *scratch);
/* UPD_GPU: the directions of the matrices replace their gradients.  Returns the number of their elements; the caller
 * updates what follows them. */
size_t lspo_eigen_update_device(lspo_session_t *session, const lspo_op_t *op, const lspo_gpu_adam_t *gpu,
                                const lspo_eigen_t *eigen, const lspo_eigen_scratch_t *scratch);

/* UPD_GPU of a stage whose whole gradient is on the device, with bases or without: `weights` step, and the gradient's
 * memory is given back.  A skipped step changes nothing. */
void lspo_eigen_update_stage(lspo_session_t *session, const lspo_op_t *op, const lspo_gpu_adam_t *gpu,
                             const lspo_eigen_t *eigen, const lspo_eigen_scratch_t *scratch, void *weights);

/* Visit the array NAME.bases. */
void lspo_eigen_visit(const lspo_session_t *session, uint32_t stage, const lspo_eigen_t *eigen, const char *name,
                      lspo_state_walk_t *walk);

/* The matrices of a stage whose moments are in bases of their own, and the number of their elements together. */
typedef struct {
    uint32_t count;
    lspo_basis_matrix_t of[LSPO_BASIS_MATRICES_MAX];
} lspo_basis_matrices_t;
lspo_basis_matrices_t lspo_eigen_matrices(const lspo_session_t *session, uint32_t s);
size_t lspo_eigen_elements(const lspo_basis_matrices_t *matrices);

#endif
