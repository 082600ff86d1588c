/* driver_cuda.c - see driver_cuda.h. */
#if LSPO_HAVE_CUDA
#include "real/device/driver_cuda.h"

#include <cuda_runtime_api.h>
#include <string.h>

bool lspo_driver_find(const char *name, unsigned version, void *function_out)
{
    void *function = NULL;
    enum cudaDriverEntryPointQueryResult result;
#if CUDART_VERSION >= 12050
    cudaError_t error = cudaGetDriverEntryPointByVersion(name, &function, version, cudaEnableDefault, &result);
#else
    (void)version;
    cudaError_t error = cudaGetDriverEntryPoint(name, &function, cudaEnableDefault, &result);
#endif
    if (error != cudaSuccess || result != cudaDriverEntryPointSuccess || !function) {
        cudaGetLastError();
        return false;
    }
    memcpy(function_out, &function, sizeof function);
    return true;
}
#endif
