/* cuda_on_host.h - what a test tells and asks the CPU that stands in for a GPU (cuda_runtime.h). */
#ifndef LSPO_TESTS_CUDA_ON_HOST_H
#define LSPO_TESTS_CUDA_ON_HOST_H

/* The order in which threads and blocks run from now on: 0 ascending, 1 descending, others drawn from this seed. */
void cuda_on_host_order(unsigned seed);

/* What was wrong with the launch that last failed; "" if none did. */
const char *cuda_on_host_failure();

#endif
