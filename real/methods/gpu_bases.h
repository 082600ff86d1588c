/* gpu_bases.h - a building block of lsp: Adam's bases on the GPU, which turns gradients into them and directions out of
 * them (plan/adam_basis.h, kernels/turn.h).  The CPU has T in fp32 (eigen.h) and sends what it has renewed.  In plans
 * whose CPU turns, all of this does nothing. */
#ifndef LSPO_REAL_METHODS_GPU_BASES_H
#define LSPO_REAL_METHODS_GPU_BASES_H

#include "real/methods/eigen.h"

/* Of a stage: T_m and T_n of its matrices, one after the other, in the device's format. */
typedef struct {
    void *device;   /* NULL: the GPU turns nothing */
    void *outgoing; /* host: for the link          */
    bool unsent;    /* outgoing is newer, and the plan does not send it: of a first gradient in a later step */
} lspo_gpu_bases_t;

/* Of the GPU lane, which turns one stage after the other. */
typedef struct {
    void *product;    /* between two products                                              */
    void *directions; /* a stage's, in the device's format; NULL if that is the link's, too */
} lspo_gpu_bases_scratch_t;

/* Take the memory of a stage, or of the lane; give_back releases it. */
lspo_status_t lspo_gpu_bases_take_host(lspo_session_t *session, uint32_t stage, lspo_gpu_bases_t *bases,
                                       lspo_host_count_t *count);
lspo_status_t lspo_gpu_bases_take_device(lspo_session_t *session, uint32_t stage, lspo_gpu_bases_t *bases);
lspo_status_t lspo_gpu_bases_take_scratch(lspo_session_t *session, lspo_gpu_bases_scratch_t *scratch);
void lspo_gpu_bases_give_back(lspo_session_t *session, lspo_gpu_bases_t *bases);
void lspo_gpu_bases_give_back_scratch(lspo_session_t *session, lspo_gpu_bases_scratch_t *scratch);

/* CPU: convert the T that it has for the link.  H2D: copy them.  Between steps: both, complete on return. */
void lspo_gpu_bases_pack(const lspo_session_t *session, uint32_t stage, const lspo_eigen_t *eigen,
                         const lspo_gpu_bases_t *bases);
void lspo_gpu_bases_send(lspo_session_t *session, uint32_t stage, lspo_gpu_bases_t *bases);
lspo_status_t lspo_gpu_bases_write(lspo_session_t *session, uint32_t stage, const lspo_eigen_t *eigen,
                                   lspo_gpu_bases_t *bases);

/* GPU: the gradient of the op's stage becomes X = T_m^T G^ T_n. */
void lspo_gpu_bases_turn_gradient(lspo_session_t *session, const lspo_op_t *op, const lspo_gpu_bases_t *bases,
                                  const lspo_gpu_bases_scratch_t *scratch);
/* GPU: the directions T_m D T_n^T of the stage's linear weights, in the device's format, from the message that came
 * back; they replace its D if its format is that of the device. */
void *lspo_gpu_bases_turn_directions(lspo_session_t *session, const lspo_op_t *op, const lspo_gpu_bases_t *bases,
                                     const lspo_gpu_bases_scratch_t *scratch, void *message);

#endif
