/* cuda_device_control.c - what suites ask of the CPU that stands in for a GPU (tests/cuda_on_host/cuda_on_host.h),
 * where they run on a GPU: it takes its own time and order, and does not fail when it is told to. */
#include <cuda_runtime_api.h>

#include "tests/cuda_on_host/cuda_on_host.h"

bool cuda_on_host(void)
{
    return false;
}

bool cuda_has_bf16(void)
{
    int major = 0;
    return cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) == cudaSuccess && major >= 8;
}

void cuda_on_host_order(unsigned seed)
{
    (void)seed;
}

void cuda_on_host_delays(unsigned seed)
{
    (void)seed;
}

const char *cuda_on_host_failure(void)
{
    return "";
}

void cuda_on_host_clock(double rate)
{
    (void)rate;
}

void cuda_on_host_fail_next(int error)
{
    (void)error;
}

void cuda_on_host_device(int count, int major, int minor, size_t memory_bytes)
{
    (void)count;
    (void)major;
    (void)minor;
    (void)memory_bytes;
}

void cuda_on_host_driver(int version)
{
    (void)version;
}

void cuda_on_host_green_contexts(bool present)
{
    (void)present;
}

void cuda_on_host_green_most(unsigned most)
{
    (void)most;
}

void cuda_on_host_capability(int major, int minor)
{
    (void)major;
    (void)minor;
}

void cuda_on_host_fail_fused(int status)
{
    (void)status;
}

void cuda_on_host_pinnable(size_t at_once_bytes, size_t total_bytes)
{
    (void)at_once_bytes;
    (void)total_bytes;
}

void cuda_on_host_allocatable(size_t all_bytes)
{
    (void)all_bytes;
}

void cuda_on_host_hold_copies(bool held)
{
    (void)held;
}

void cuda_on_host_waits(unsigned *count, unsigned *idle_count)
{
    *count = *idle_count = 0;
}

void cuda_on_host_virtual(size_t *chunks, size_t *ranges, size_t *mappings)
{
    *chunks = *ranges = *mappings = 0;
}

void cuda_on_host_chunks_most(size_t most)
{
    (void)most;
}

void cuda_on_host_used(size_t *now_bytes, size_t *most_bytes)
{
    *now_bytes = *most_bytes = 0;
}

void cuda_on_host_break_reuse(bool broken)
{
    (void)broken;
}
