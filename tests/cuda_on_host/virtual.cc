/* virtual.cc - the driver's virtual memory management on the CPU: a chunk is a memfd, a range is reserved addresses.
 * What a GPU's driver refuses is refused: sizes and addresses that are no multiples of 2 MiB, addresses that are not
 * reserved, mapped already or not mapped, access to a chunk that is not there.  Without access there is none. */
#include "virtual.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <set>

#include "cuda.h"
#include "cuda_on_host.h"

namespace
{
const size_t UNIT_BYTES = (size_t)2 << 20;

struct chunk_t {
    int file;
    size_t bytes, mappings;
    bool released;
};

std::mutex lock;
std::map<CUmemGenericAllocationHandle, chunk_t> chunks;
std::map<CUdeviceptr, size_t> ranges;
std::map<CUdeviceptr, CUmemGenericAllocationHandle> mappings; /* where a chunk begins */
std::set<CUdeviceptr> accessible;                             /* of these */
CUmemGenericAllocationHandle last_handle;
size_t chunks_most = SIZE_MAX;

/* Once nobody has it, neither its owner nor a mapping. */
void drop(CUmemGenericAllocationHandle handle)
{
    const chunk_t &chunk = chunks[handle];
    if (!chunk.released || chunk.mappings > 0)
        return;
    close(chunk.file);
    chunks.erase(handle);
}

bool are_reserved(CUdeviceptr at, size_t bytes)
{
    auto range = ranges.upper_bound(at);
    return range != ranges.begin() && (--range, at + bytes <= range->first + range->second);
}

/* Is all of it mapped, by whole chunks (or none of it)? */
bool are_mapped(CUdeviceptr at, size_t bytes)
{
    CUdeviceptr next = at;
    for (auto m = mappings.lower_bound(at); m != mappings.end() && m->first == next && next < at + bytes; m++)
        next += chunks[m->second].bytes;
    return next == at + bytes;
}

CUresult granularity(size_t *bytes, const CUmemAllocationProp *, CUmemAllocationGranularity_flags)
{
    *bytes = UNIT_BYTES;
    return CUDA_SUCCESS;
}

CUresult create(CUmemGenericAllocationHandle *handle, size_t bytes, const CUmemAllocationProp *properties,
                unsigned long long)
{
    std::lock_guard<std::mutex> guard(lock);
    if (bytes == 0 || bytes % UNIT_BYTES != 0 || properties->type != CU_MEM_ALLOCATION_TYPE_PINNED)
        return CUDA_ERROR_INVALID_VALUE;
    const int file = chunks.size() < chunks_most ? memfd_create("chunk", MFD_CLOEXEC) : -1;
    if (file < 0 || ftruncate(file, (off_t)bytes) != 0)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *handle = ++last_handle;
    chunks[*handle] = {file, bytes, 0, false};
    return CUDA_SUCCESS;
}

CUresult release(CUmemGenericAllocationHandle handle)
{
    std::lock_guard<std::mutex> guard(lock);
    if (chunks.count(handle) == 0 || chunks[handle].released)
        return CUDA_ERROR_INVALID_VALUE;
    chunks[handle].released = true;
    drop(handle);
    return CUDA_SUCCESS;
}

CUresult reserve(CUdeviceptr *at, size_t bytes, size_t, CUdeviceptr, unsigned long long)
{
    std::lock_guard<std::mutex> guard(lock);
    if (bytes == 0 || bytes % UNIT_BYTES != 0)
        return CUDA_ERROR_INVALID_VALUE;
    char *const all =
        (char *)mmap(nullptr, bytes + UNIT_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    const size_t before = (UNIT_BYTES - (uintptr_t)all % UNIT_BYTES) % UNIT_BYTES;
    if (before > 0)
        munmap(all, before);
    munmap(all + before + bytes, UNIT_BYTES - before);
    *at = (CUdeviceptr)(uintptr_t)(all + before);
    ranges[*at] = bytes;
    return CUDA_SUCCESS;
}

CUresult give_back(CUdeviceptr at, size_t bytes)
{
    std::lock_guard<std::mutex> guard(lock);
    const auto mapped = mappings.lower_bound(at);
    if (ranges.count(at) == 0 || ranges[at] != bytes || (mapped != mappings.end() && mapped->first < at + bytes))
        return CUDA_ERROR_INVALID_VALUE;
    munmap((void *)(uintptr_t)at, bytes);
    ranges.erase(at);
    return CUDA_SUCCESS;
}

CUresult map(CUdeviceptr at, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle, unsigned long long)
{
    std::lock_guard<std::mutex> guard(lock);
    const auto above = mappings.lower_bound(at);
    if (at % UNIT_BYTES != 0 || offset != 0 || chunks.count(handle) == 0 || chunks[handle].bytes != bytes ||
        !are_reserved(at, bytes) || (above != mappings.end() && above->first < at + bytes))
        return CUDA_ERROR_INVALID_VALUE;
    if (mmap((void *)(uintptr_t)at, bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, chunks[handle].file, 0) == MAP_FAILED)
        return CUDA_ERROR_OUT_OF_MEMORY;
    chunks[handle].mappings++;
    mappings[at] = handle;
    return CUDA_SUCCESS;
}

CUresult unmap(CUdeviceptr at, size_t bytes)
{
    std::lock_guard<std::mutex> guard(lock);
    if (!are_mapped(at, bytes))
        return CUDA_ERROR_INVALID_VALUE;
    mmap((void *)(uintptr_t)at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    for (auto m = mappings.lower_bound(at); m != mappings.end() && m->first < at + bytes;) {
        const CUmemGenericAllocationHandle handle = m->second;
        chunks[handle].mappings--;
        accessible.erase(m->first);
        m = mappings.erase(m);
        drop(handle);
    }
    return CUDA_SUCCESS;
}

CUresult set_access(CUdeviceptr at, size_t bytes, const CUmemAccessDesc *description, size_t count)
{
    std::lock_guard<std::mutex> guard(lock);
    if (count != 1 || description->flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE || !are_mapped(at, bytes))
        return CUDA_ERROR_INVALID_VALUE;
    mprotect((void *)(uintptr_t)at, bytes, PROT_READ | PROT_WRITE);
    for (auto m = mappings.lower_bound(at); m != mappings.end() && m->first < at + bytes; m++)
        accessible.insert(m->first);
    return CUDA_SUCCESS;
}
} // namespace

bool cuda_on_host_virtual_is_accessible(const void *memory, size_t size)
{
    std::lock_guard<std::mutex> guard(lock);
    const CUdeviceptr end = (CUdeviceptr)(uintptr_t)memory + size;
    CUdeviceptr at = (CUdeviceptr)(uintptr_t)memory;
    while (at < end) {
        auto chunk = accessible.upper_bound(at);
        if (chunk == accessible.begin() || *--chunk + chunks[mappings[*chunk]].bytes <= at)
            return false;
        at = *chunk + chunks[mappings[*chunk]].bytes;
    }
    return true;
}

void *cuda_on_host_virtual_call(const char *symbol)
{
    static const struct {
        const char *symbol;
        void *function;
    } functions[] = {{"cuMemGetAllocationGranularity", (void *)granularity},
                     {"cuMemCreate", (void *)create},
                     {"cuMemRelease", (void *)release},
                     {"cuMemAddressReserve", (void *)reserve},
                     {"cuMemAddressFree", (void *)give_back},
                     {"cuMemMap", (void *)map},
                     {"cuMemUnmap", (void *)unmap},
                     {"cuMemSetAccess", (void *)set_access}};
    for (const auto &known : functions)
        if (strcmp(known.symbol, symbol) == 0)
            return known.function;
    return nullptr;
}

void cuda_on_host_virtual(size_t *chunk_count, size_t *range_count, size_t *mapping_count)
{
    std::lock_guard<std::mutex> guard(lock);
    *chunk_count = chunks.size();
    *range_count = ranges.size();
    *mapping_count = mappings.size();
}

void cuda_on_host_chunks_most(size_t most)
{
    std::lock_guard<std::mutex> guard(lock);
    chunks_most = most;
}
