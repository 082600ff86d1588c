/* driver_cuda.h - functions of the CUDA driver, looked up by name, because nothing here is linked with it. */
#ifndef LSPO_REAL_DEVICE_DRIVER_CUDA_H
#define LSPO_REAL_DEVICE_DRIVER_CUDA_H

#include <stdbool.h>

/* Store the function of that name, in its form of CUDA `version` (12050 is 12.5), in the pointer at `function_out`.
 * False if the driver has none. */
bool lspo_driver_find(const char *name, unsigned version, void *function_out);

#endif
