/* cuda_harness.h - the device on which a suite runs the CUDA kernels: the CPU (tests/cuda_on_host/), or a GPU where the
 * suites are linked with the CUDA runtime instead (tests/test_cuda_device). */
#ifndef LSPO_TESTS_CUDA_HARNESS_H
#define LSPO_TESTS_CUDA_HARNESS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

bool device_present(void);

/* An array of this size, full of NaN or copied from the host; the process ends if there is no memory. */
void *device_array(size_t size_bytes);
void *device_copy(const void *from_host, size_t size_bytes);
void device_read(const void *from_device, size_t size_bytes, void *to_host);
void device_free_all(void);

/* A cublasHandle_t. */
void *device_cublas(void);
/* Scratch of sums of columns. */
float *device_column_sums(void);

/* NULL when the launch went well and all work is done without an error; else what is wrong. */
const char *device_complaint(int launch_error);

/* Orders in which the threads of a kernel can be made to run; order 0 to device_orders() - 1 from now on. */
unsigned device_orders(void);
void device_order(unsigned order);

#ifdef __cplusplus
}
#endif
#endif
