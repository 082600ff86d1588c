/* stream.h - helpers for library functions that work on a stream; for tests/cuda_on_host/ only. */
#ifndef LSPO_TESTS_STREAM_H
#define LSPO_TESTS_STREAM_H

#include <functional>
#include <memory>

#include "cuda_runtime_api.h"

/* Queue `work` on the stream; on the default stream (NULL) it is done on return, and what it returned is returned.  It
 * must hold copies of all that it needs.  `always`: also after an error, as freeing is. */
cudaError_t cuda_on_host_later(cudaStream_t stream, std::function<cudaError_t()> work, bool always = false);

/* The first error that stays, or `error`; remembered for cudaGetLastError(). */
cudaError_t cuda_on_host_report(cudaError_t error);

/* A point in a stream, passed when what was queued before it is done. */
struct cuda_on_host_point_t;
std::shared_ptr<cuda_on_host_point_t> cuda_on_host_point(cudaStream_t stream);
bool cuda_on_host_passed(cuda_on_host_point_t &point);
void cuda_on_host_wait(cuda_on_host_point_t &point);

/* One more copy was queued on the stream; NULL: on the default one, which does not count. */
void cuda_on_host_count_copy(cudaStream_t stream);

/* Code that is used for the first time takes this much of the GPU's memory; cudaErrorMemoryAllocation if it is not
 * there. */
cudaError_t cuda_on_host_load(const void *code, size_t bytes);

/* Of the kernels on this thread, which ends. */
void cuda_on_host_leave_thread();

#endif
