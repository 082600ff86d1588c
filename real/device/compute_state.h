/* compute_state.h - the state of a device's kernels, and the dispatch of calls; private to real/device/compute*.c. */
#ifndef LSPO_REAL_DEVICE_COMPUTE_STATE_H
#define LSPO_REAL_DEVICE_COMPUTE_STATE_H

#include "kernels/cuda.h"
#include "real/device/compute.h"

struct lspo_compute {
    bool is_cuda, generates;
    lspo_workers_t *workers; /* of generation; NULL: none */
    lspo_cuda_t on;
    void *scratch; /* device: losses of rows, their dot products in attention, parts of sums: each for one call only */
    size_t scratch_bytes;
    int error; /* the first since status was asked for */
    const char *failed;
};

/* compute_generation.c: linear layers with W in its own format. */
void lspo_compute_few_rows_linear(lspo_compute_t *c, const lspo_linear_t *layer, const void *x, const void *residual,
                                  void *out);
void lspo_compute_few_rows_linear_gelu(lspo_compute_t *c, const lspo_linear_t *layer, const void *x, void *pre_out,
                                       void *out);

#if LSPO_HAVE_CUDA
static inline void lspo_compute_note(lspo_compute_t *c, const char *call, int error)
{
    if (error == 0 || c->error != 0)
        return;
    c->error = error;
    c->failed = call;
}

/* The call for the device that c is. */
#define LSPO_ON(c, host_call, cuda_call)                                                                               \
    do {                                                                                                               \
        if ((c)->is_cuda)                                                                                              \
            lspo_compute_note((c), __func__, (cuda_call));                                                             \
        else                                                                                                           \
            host_call;                                                                                                 \
    } while (0)
#else
/* sizeof: the GPU's call is not made, and there is none to link, but its arguments are checked. */
#define LSPO_ON(c, host_call, cuda_call)                                                                               \
    do {                                                                                                               \
        (void)sizeof((c)->is_cuda ? (cuda_call) : 0);                                                                  \
        host_call;                                                                                                     \
    } while (0)
#endif

#endif
