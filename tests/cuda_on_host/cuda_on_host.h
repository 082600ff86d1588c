/* cuda_on_host.h - functions by which a test controls and queries the CPU that stands in for a GPU (cuda_runtime.h).
 *
 * The same suites run on a GPU (tests/test_real_device), where these functions do and tell nothing
 * (tests/cuda_device_control.c).  A test that needs more than delays begins with ONLY_ON_HOST(). */
#ifndef LSPO_TESTS_CUDA_ON_HOST_H
#define LSPO_TESTS_CUDA_ON_HOST_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* False: on a GPU. */
bool cuda_on_host(void);
#define ONLY_ON_HOST()                                                                                                 \
    do {                                                                                                               \
        if (!cuda_on_host())                                                                                           \
            cr_skip_test("a GPU cannot be made to do this");                                                           \
    } while (0)

/* Whether the first GPU computes in bf16, here or there. */
bool cuda_has_bf16(void);
#define ONLY_WITH_BF16()                                                                                               \
    do {                                                                                                               \
        if (!cuda_has_bf16())                                                                                          \
            cr_skip_test("this GPU has no bf16");                                                                      \
    } while (0)

/* The order in which threads and blocks run from now on: 0 ascending, 1 descending, others drawn from this seed. */
void cuda_on_host_order(unsigned seed);

/* From now on streams stop at random for up to 300 us before what they do; 0: never. */
void cuda_on_host_delays(unsigned seed);

/* What was wrong with the launch that last failed; "" if none did. */
const char *cuda_on_host_failure(void);

/* How fast the clock of events runs against the host's; 1 from the start.  Before it is used. */
void cuda_on_host_clock(double rate);

/* The next thing queued on a stream other than the default one fails with this cudaError_t, and so does all after
 * it. */
void cuda_on_host_fail_next(int error);

/* What the device is: from the start 1 of compute capability 9.0 with 64 GiB and 132 multiprocessors.  Before it is
 * used. */
void cuda_on_host_device(int count, int major, int minor, size_t memory_bytes);

/* The newest CUDA that the driver supports, as 12040; 0: there is no driver.  From the start that of the headers. */
void cuda_on_host_driver(int version);

/* Its compute capability from now on: how much shared memory a kernel may ask for. */
void cuda_on_host_capability(int major, int minor);

/* False: a driver without green contexts.  From the start it has them, in steps of 8 multiprocessors. */
void cuda_on_host_green_contexts(bool present);

/* A request for more multiprocessors than this succeeds without giving any; unlimited from the start. */
void cuda_on_host_green_most(unsigned most);

/* From now on cuBLASLt fails with this cublasStatus_t to run the algorithms that it offers; 0: it runs them. */
void cuda_on_host_fail_fused(int status);

/* cudaHostRegister() refuses more than this at once, and more than this in all. */
void cuda_on_host_pinnable(size_t at_once_bytes, size_t total_bytes);

/* cudaHostAlloc() refuses more than this in all; nothing from the start. */
void cuda_on_host_allocatable(size_t all_bytes);

/* True: copies between host and GPU on streams other than the default one wait, and what is queued behind them. */
void cuda_on_host_hold_copies(bool held);

/* Waits for events since the last call, and how many of them had no copy queued in the event's stream behind it. */
void cuda_on_host_waits(unsigned *count, unsigned *idle_count);

/* Chunks of the driver's virtual memory, reserved ranges of addresses, and mappings of chunks that there are now. */
void cuda_on_host_virtual(size_t *chunks, size_t *ranges, size_t *mappings);
/* From now on no more than so many chunks can be made; no limit from the start. */
void cuda_on_host_chunks_most(size_t most);

/* Bytes of pools that streams have come to take and not to give back: now, and at most since the last call. */
void cuda_on_host_used(size_t *now_bytes, size_t *most_bytes);

/* True: freed memory is handed out again without waiting for what still uses it, as no GPU does. */
void cuda_on_host_break_reuse(bool broken);

#ifdef __cplusplus
}
#endif
#endif
