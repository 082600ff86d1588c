/* memory.cc - a GPU's memory, copies and pinned memory on the CPU; see cuda_runtime.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <list>
#include <map>
#include <mutex>

#include "cuda_on_host.h"
#include "stream.h"

namespace
{
enum { PAGE_BYTES = 4096, ALIGNMENT_BYTES = 64 };
enum { KEPT_BYTES = 256 << 20 }; /* freed and kept by the pool */

size_t rounded(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

/* An array ends, but for less than 64 bytes that stay 0xff, where a page without access begins. */
struct array_t {
    char *memory;
    size_t size;
};

struct freed_t {
    array_t array;
    std::shared_ptr<cuda_on_host_point_t> point; /* where it was freed */
};

std::mutex lock;
std::map<char *, array_t> arrays;
std::list<freed_t> pool;            /* the last freed first */
std::mutex used_lock;               /* what streams take holds up no call */
size_t used_bytes, used_high_bytes; /* as streams come to what takes and gives back */
size_t in_use_bytes, kept_bytes, reserved_high_bytes, total_bytes = (size_t)64 << 30;
std::map<char *, size_t> registered;
size_t registered_bytes, pinnable_at_once = SIZE_MAX, pinnable_total = SIZE_MAX, allocatable_bytes = SIZE_MAX;
std::map<char *, size_t> allocated; /* by cudaHostAlloc() */
size_t allocated_bytes;
bool reuse_is_broken;

size_t mapped_bytes(size_t size)
{
    return rounded(size, PAGE_BYTES) + PAGE_BYTES;
}

char *mapping_of(const array_t &array)
{
    char *const end = array.memory + rounded(array.size, ALIGNMENT_BYTES);
    return end + PAGE_BYTES - mapped_bytes(array.size);
}

bool map(size_t size, array_t *array)
{
    const size_t mapped = mapped_bytes(size);
    char *const base = (char *)mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return false;
    memset(base, 0xff, mapped - PAGE_BYTES);
    mprotect(base + mapped - PAGE_BYTES, PAGE_BYTES, PROT_NONE);
    *array = {base + mapped - PAGE_BYTES - rounded(size, ALIGNMENT_BYTES), size};
    return true;
}

void unmap(const array_t &array)
{
    munmap(mapping_of(array), mapped_bytes(array.size));
}

/* What lies between an array and its page's end was not written to. */
void expect_untouched(const array_t &array)
{
    for (size_t i = array.size; i < rounded(array.size, ALIGNMENT_BYTES); i++)
        if (array.memory[i] != (char)0xff) {
            fprintf(stderr, "cuda_on_host: written beyond the end of an array of %zu bytes\n", array.size);
            abort();
        }
}

/* Give back what was freed first until `bytes` fit. */
void trim(size_t bytes)
{
    while (!pool.empty() && kept_bytes > bytes) {
        if (!cuda_on_host_passed(*pool.back().point))
            return;
        kept_bytes -= pool.back().array.size;
        unmap(pool.back().array);
        pool.pop_back();
    }
}

void count(const array_t &array)
{
    arrays[array.memory] = array;
    in_use_bytes += array.size;
    if (in_use_bytes + kept_bytes > reserved_high_bytes)
        reserved_high_bytes = in_use_bytes + kept_bytes;
}

cudaError_t take(size_t size, array_t *array)
{
    if (size > total_bytes || in_use_bytes > total_bytes - size)
        return cudaErrorMemoryAllocation;
    trim(total_bytes - size - in_use_bytes);
    if (!map(size, array))
        return cudaErrorMemoryAllocation;
    count(*array);
    return cudaSuccess;
}

bool release(void *memory, array_t *array)
{
    const auto found = arrays.find((char *)memory);
    if (found == arrays.end())
        return false;
    *array = found->second;
    in_use_bytes -= array->size;
    arrays.erase(found);
    return true;
}

bool on_device(const void *memory, size_t size)
{
    const std::lock_guard<std::mutex> hold(lock);
    auto next = arrays.upper_bound((char *)memory);
    if (next == arrays.begin())
        return false;
    const array_t &array = (--next)->second;
    return (const char *)memory + size <= array.memory + array.size;
}

enum pinned_t { PAGEABLE, PINNED, PARTLY };

pinned_t pinned(const void *memory, size_t size)
{
    const char *const from = (const char *)memory, *const to = from + size;
    const std::lock_guard<std::mutex> hold(lock);
    for (const auto *ranges : {&registered, &allocated})
        for (const auto &range : *ranges) {
            if (from >= range.first && to <= range.first + range.second)
                return PINNED;
            if (from < range.first + range.second && to > range.first)
                return PARTLY;
        }
    return PAGEABLE;
}

void use(const array_t &array, bool taken)
{
    const std::lock_guard<std::mutex> hold(used_lock);
    used_bytes += taken ? array.size : 0 - array.size;
    if (used_bytes > used_high_bytes)
        used_high_bytes = used_bytes;
}

/* From where it is queued on, the array is `array`'s; what it held is lost. */
void poison_later(const array_t &array, bool taken, cudaStream_t stream)
{
    cuda_on_host_later(
        stream,
        [array, taken] {
            expect_untouched(array);
            memset(array.memory, 0xff, array.size);
            use(array, taken);
            return cudaSuccess;
        },
        true);
}

/* Memory of the size that was freed last, for use behind the point where it was. */
bool reuse(size_t size, cudaStream_t stream, array_t *array)
{
    for (auto at = pool.begin(); at != pool.end(); ++at) {
        if (at->array.size != size)
            continue;
        *array = at->array;
        const auto point = at->point;
        if (!reuse_is_broken)
            cuda_on_host_later(
                stream,
                [point] {
                    cuda_on_host_wait(*point);
                    return cudaSuccess;
                },
                true);
        kept_bytes -= size;
        pool.erase(at);
        count(*array);
        return true;
    }
    return false;
}
} // namespace

void cuda_on_host_pinnable(size_t at_once_bytes, size_t all_bytes)
{
    pinnable_at_once = at_once_bytes;
    pinnable_total = all_bytes;
}

void cuda_on_host_allocatable(size_t all_bytes)
{
    allocatable_bytes = all_bytes;
}

void cuda_on_host_break_reuse(bool broken)
{
    reuse_is_broken = broken;
}

void cuda_on_host_memory(size_t bytes)
{
    total_bytes = bytes;
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total)
{
    const std::lock_guard<std::mutex> hold(lock);
    *free = total_bytes - in_use_bytes - kept_bytes;
    *total = total_bytes;
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaMalloc(void **memory, size_t size)
{
    array_t array;
    const std::lock_guard<std::mutex> hold(lock);
    const cudaError_t error = take(size, &array);
    if (error == cudaSuccess)
        *memory = array.memory;
    return cuda_on_host_report(error);
}

cudaError_t cudaFree(void *memory)
{
    if (memory == nullptr)
        return cuda_on_host_report(cudaSuccess);
    cudaDeviceSynchronize();
    array_t array;
    const std::lock_guard<std::mutex> hold(lock);
    if (!release(memory, &array))
        return cuda_on_host_report(cudaErrorInvalidValue);
    expect_untouched(array);
    unmap(array);
    return cuda_on_host_report(cudaSuccess);
}

/* ---- the pool ---- */

cudaError_t cudaMemPoolCreate(cudaMemPool_t *pool_out, const cudaMemPoolProps *)
{
    static char place;
    *pool_out = (cudaMemPool_t)&place;
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaMemPoolDestroy(cudaMemPool_t)
{
    cudaDeviceSynchronize();
    const std::lock_guard<std::mutex> hold(lock);
    trim(0);
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr attribute, void *)
{
    if (attribute == cudaMemPoolAttrUsedMemHigh) { /* to 0 is all that is allowed, and means from now on */
        const std::lock_guard<std::mutex> hold(used_lock);
        used_high_bytes = used_bytes;
        return cuda_on_host_report(cudaSuccess);
    }
    return cuda_on_host_report(attribute == cudaMemPoolAttrReleaseThreshold ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr attribute, void *value)
{
    const std::lock_guard<std::mutex> hold(lock), hold_used(used_lock);
    if (attribute == cudaMemPoolAttrReservedMemHigh)
        *(uint64_t *)value = reserved_high_bytes;
    else if (attribute == cudaMemPoolAttrUsedMemCurrent)
        *(uint64_t *)value = used_bytes;
    else if (attribute == cudaMemPoolAttrUsedMemHigh)
        *(uint64_t *)value = used_high_bytes;
    else
        return cuda_on_host_report(cudaErrorInvalidValue);
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaMallocFromPoolAsync(void **memory, size_t size, cudaMemPool_t, cudaStream_t stream)
{
    array_t array;
    const std::lock_guard<std::mutex> hold(lock);
    const cudaError_t error = reuse(size, stream, &array) ? cudaSuccess : take(size, &array);
    if (error != cudaSuccess)
        return cuda_on_host_report(error);
    poison_later(array, true, stream);
    *memory = array.memory;
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaMallocAsync(void **memory, size_t size, cudaStream_t stream)
{
    return cudaMallocFromPoolAsync(memory, size, nullptr, stream);
}

cudaError_t cudaFreeAsync(void *memory, cudaStream_t stream)
{
    array_t array;
    const std::lock_guard<std::mutex> hold(lock);
    if (!release(memory, &array))
        return cuda_on_host_report(cudaErrorInvalidValue);
    poison_later(array, false, stream);
    pool.push_front({array, cuda_on_host_point(stream)});
    kept_bytes += array.size;
    trim(KEPT_BYTES);
    return cuda_on_host_report(cudaSuccess);
}

/* ---- copies ---- */

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, cudaMemcpyKind kind, cudaStream_t stream)
{
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (size == 0)
        return cuda_on_host_report(cudaSuccess);
    if ((to_device && !on_device(to, size)) || (from_device && !on_device(from, size)))
        return cuda_on_host_report(cudaErrorInvalidValue);
    const pinned_t sides[] = {to_device ? PINNED : pinned(to, size), from_device ? PINNED : pinned(from, size)};
    if (sides[0] == PARTLY || sides[1] == PARTLY)
        return cuda_on_host_report(cudaErrorInvalidValue);
    const cudaError_t error = cuda_on_host_later(stream, [=] {
        memmove(to, from, size);
        return cudaSuccess;
    });
    if (error == cudaSuccess && (sides[0] == PAGEABLE || sides[1] == PAGEABLE))
        return cudaStreamSynchronize(stream);
    return error;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t size, cudaMemcpyKind kind)
{
    return cudaMemcpyAsync(to, from, size, kind, nullptr);
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t size, cudaStream_t stream)
{
    if (size > 0 && !on_device(memory, size))
        return cuda_on_host_report(cudaErrorInvalidValue);
    return cuda_on_host_later(stream, [=] {
        memset(memory, value, size);
        return cudaSuccess;
    });
}

cudaError_t cudaMemset(void *memory, int value, size_t size)
{
    return cudaMemsetAsync(memory, value, size, nullptr);
}

cudaError_t cudaHostRegister(void *memory, size_t size, unsigned)
{
    if (size == 0)
        return cuda_on_host_report(cudaErrorInvalidValue);
    if (pinned(memory, size) != PAGEABLE)
        return cuda_on_host_report(cudaErrorHostMemoryAlreadyRegistered);
    const std::lock_guard<std::mutex> hold(lock);
    if (size > pinnable_at_once || registered_bytes > pinnable_total || size > pinnable_total - registered_bytes)
        return cuda_on_host_report(cudaErrorMemoryAllocation);
    registered[(char *)memory] = size;
    registered_bytes += size;
    return cuda_on_host_report(cudaSuccess);
}

/* Full of what no one should read before it is written. */
cudaError_t cudaHostAlloc(void **memory, size_t size, unsigned)
{
    const std::lock_guard<std::mutex> hold(lock);
    void *given = nullptr;
    if (allocated_bytes > allocatable_bytes || size > allocatable_bytes - allocated_bytes ||
        posix_memalign(&given, PAGE_BYTES, size) != 0)
        return cuda_on_host_report(cudaErrorMemoryAllocation);
    memset(given, 0xff, size);
    allocated[(char *)given] = size;
    allocated_bytes += size;
    *memory = given;
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaFreeHost(void *memory)
{
    cudaDeviceSynchronize();
    const std::lock_guard<std::mutex> hold(lock);
    const auto found = allocated.find((char *)memory);
    if (found == allocated.end())
        return cuda_on_host_report(cudaErrorInvalidValue);
    allocated_bytes -= found->second;
    allocated.erase(found);
    free(memory);
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaHostUnregister(void *memory)
{
    const std::lock_guard<std::mutex> hold(lock);
    const auto found = registered.find((char *)memory);
    if (found == registered.end())
        return cuda_on_host_report(cudaErrorHostMemoryNotRegistered);
    registered_bytes -= found->second;
    registered.erase(found);
    return cuda_on_host_report(cudaSuccess);
}
