/* error_cuda.c - the first failure of a CUDA device. */
#if LSPO_HAVE_CUDA
#include "real/device/device_cuda.h"

bool lspo_device_cuda_good(lspo_device_cuda_t *d, cudaError_t error, const char *what)
{
    if (error == cudaSuccess)
        return true;
    if (!atomic_exchange(&d->failed, true))
        lspo_error(LSPO_ERR_DEVICE, "GPU %d: %s: %s", d->number, what, cudaGetErrorString(error));
    return false;
}
#endif
