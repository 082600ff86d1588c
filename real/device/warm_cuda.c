/* warm_cuda.c - start a GPU's kernels and measure the memory that is left.  The driver loads the code of a kernel, and
 * cuBLAS its own memory, when it is first used: tens of MiB that would otherwise be taken from what a training was
 * promised. */
#if LSPO_HAVE_CUDA
#include "base/units.h"
#include "real/device/device_cuda.h"

/* Of square matrices.  Larger ones would start other kernels of cuBLAS, but no one knows which. */
enum { SIDE = 32, MATRICES = 4 };

/* One product of each layout, one of cuBLASLt and one kernel of ours, all of zeros. */
static void run_each(lspo_compute_t *compute, float *const matrices[MATRICES])
{
    const lspo_gemm_t product = {.m = SIDE,
                                 .n = SIDE,
                                 .k = SIDE,
                                 .alpha = 1,
                                 .a = matrices[0],
                                 .a_stride = SIDE,
                                 .b = matrices[1],
                                 .b_stride = SIDE,
                                 .c = matrices[3],
                                 .c_stride = SIDE};
    const lspo_linear_t layer = {.tokens = SIDE, .m = SIDE, .n = SIDE, .w = matrices[1], .bias = matrices[2]};
    lspo_compute_gemm_nn(compute, &product);
    lspo_compute_gemm_nt(compute, &product);
    lspo_compute_gemm_tn(compute, &product);
    lspo_compute_linear_forward(compute, &layer, matrices[0], NULL, matrices[3]);
    lspo_compute_add(compute, (size_t)SIDE * SIDE, matrices[0], matrices[3]);
}

static lspo_status_t run_on_zeros(lspo_device_cuda_t *d)
{
    const size_t elements = (size_t)SIDE * SIDE, bytes = MATRICES * elements * sizeof(float);
    cudaStream_t stream = d->streams[LSPO_LANE_GPU];
    float *memory = NULL, *matrices[MATRICES];
    if (!lspo_device_cuda_good(d, cudaMalloc((void **)&memory, bytes), "memory to start with"))
        return LSPO_ERR_DEVICE;
    for (int i = 0; i < MATRICES; i++)
        matrices[i] = memory + i * elements;
    lspo_compute_zero(d->compute, bytes, memory);
    run_each(d->compute, matrices);
    lspo_status_t status = lspo_compute_status(d->compute);
    if (!lspo_device_cuda_good(d, cudaStreamSynchronize(stream), "the first kernels") && status == LSPO_OK)
        status = LSPO_ERR_DEVICE;
    cudaFree(memory);
    return status;
}

static lspo_status_t measure(lspo_device_cuda_t *d)
{
    uint64_t room_bytes = 0;
    if (!lspo_device_cuda_good(d, lspo_gpu_pool_room(d->pool, &room_bytes), "does not tell its memory"))
        return LSPO_ERR_DEVICE;
    if (room_bytes == 0)
        return lspo_error(LSPO_ERR_FIT, "GPU %d: too little of its memory is free for any training", d->number);
    pthread_mutex_lock(&d->device.lock);
    d->device.free_bytes = room_bytes;
    pthread_mutex_unlock(&d->device.lock);
    return LSPO_OK;
}

lspo_status_t lspo_device_cuda_warm(lspo_device_cuda_t *d)
{
    const unsigned format = 1U << lspo_compute_number(d->compute);
    if (d->warm_formats & format)
        return LSPO_OK;
    lspo_status_t status = run_on_zeros(d);
    if (status != LSPO_OK)
        return status;
    d->warm_formats |= format;
    return measure(d);
}
#endif
