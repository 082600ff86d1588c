/* memory.cc - a GPU's memory, copies and pinned memory on the CPU; see cuda_runtime.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <set>

#include "cuda_on_host.h"
#include "layout.h"
#include "stream.h"
#include "virtual.h"

namespace
{
enum { PAGE_BYTES = 4096, ALIGNMENT_BYTES = 64 };
enum { KEPT_BYTES = 256 << 20 }; /* freed and kept for another array of its size */
enum { NAN_FILE_BYTES = 4 << 20 };

size_t rounded(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

/* An array ends, but for less than 64 bytes that stay 0xff, where a page without access begins. */
struct array_t {
    char *memory;
    size_t size;
    cuda_on_host_layout_t::place_t place; /* in the pool's units; no segment: of cudaMalloc() */
};

struct freed_t {
    array_t array;
    std::shared_ptr<cuda_on_host_point_t> point; /* where it was freed */
};

std::mutex lock;
std::map<char *, array_t> arrays;
std::list<freed_t> freed; /* the last freed first */
cuda_on_host_layout_t pool;
std::mutex used_lock;               /* what streams take holds up no call */
size_t used_bytes, used_high_bytes; /* as streams come to what takes and gives back */
size_t malloc_bytes, code_bytes, kept_bytes, reserved_high_bytes, total_bytes = (size_t)64 << 30;
std::set<const void *> loaded; /* code */
struct pinned_range_t {
    size_t size;
    bool mapped;
};
std::map<char *, pinned_range_t> registered;
size_t registered_bytes, pinnable_at_once = SIZE_MAX, pinnable_total = SIZE_MAX, allocatable_bytes = SIZE_MAX;
std::map<char *, pinned_range_t> allocated; /* by cudaHostAlloc() */
size_t allocated_bytes;
bool reuse_is_broken;
std::mutex held_lock;
std::condition_variable released;
bool copies_are_held;

size_t mapped_bytes(size_t size)
{
    return rounded(size, PAGE_BYTES) + PAGE_BYTES;
}

char *mapping_of(const array_t &array)
{
    char *const end = array.memory + rounded(array.size, ALIGNMENT_BYTES);
    return end + PAGE_BYTES - mapped_bytes(array.size);
}

/* A file of 0xff: a mapping of its own of it takes a page only where it is written to.  -1 where there is none. */
int file_of_nan()
{
    const int file = memfd_create("nan", MFD_CLOEXEC);
    char block[PAGE_BYTES];
    memset(block, 0xff, sizeof block);
    for (size_t at = 0; file >= 0 && at < NAN_FILE_BYTES; at += sizeof block)
        if (write(file, block, sizeof block) != (ssize_t)sizeof block)
            abort();
    return file;
}

/* Most of what is large, workspaces, is never written to. */
void fill_with_nan(char *base, size_t bytes)
{
    static const int file = file_of_nan();
    size_t at = 0;
    for (; file >= 0 && bytes - at >= NAN_FILE_BYTES; at += NAN_FILE_BYTES)
        if (mmap(base + at, NAN_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0) == MAP_FAILED)
            abort();
    memset(base + at, 0xff, bytes - at);
}

bool map(size_t size, array_t *array)
{
    const size_t mapped = mapped_bytes(size);
    char *const base = (char *)mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return false;
    fill_with_nan(base, mapped - PAGE_BYTES);
    mprotect(base + mapped - PAGE_BYTES, PAGE_BYTES, PROT_NONE);
    array->memory = base + mapped - PAGE_BYTES - rounded(size, ALIGNMENT_BYTES);
    array->size = size;
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

/* Unmap what was freed first until `bytes` are kept. */
void trim(size_t bytes)
{
    while (!freed.empty() && kept_bytes > bytes) {
        if (!cuda_on_host_passed(*freed.back().point))
            return;
        kept_bytes -= freed.back().array.size;
        unmap(freed.back().array);
        freed.pop_back();
    }
}

size_t free_bytes()
{
    const size_t used = malloc_bytes + code_bytes + pool.reserved_bytes();
    return used < total_bytes ? total_bytes - used : 0;
}

bool release(void *memory, bool of_the_pool, array_t *array)
{
    const auto found = arrays.find((char *)memory);
    if (found == arrays.end() || (found->second.place.segment != nullptr) != of_the_pool)
        return false;
    *array = found->second;
    arrays.erase(found);
    return true;
}

bool on_device(const void *memory, size_t size)
{
    const std::lock_guard<std::mutex> hold(lock);
    auto next = arrays.upper_bound((char *)memory);
    if (next == arrays.begin())
        return cuda_on_host_virtual_is_accessible(memory, size);
    const array_t &array = (--next)->second;
    return (const char *)memory + size <= array.memory + array.size || cuda_on_host_virtual_is_accessible(memory, size);
}

enum pinned_t { PAGEABLE, PINNED, PARTLY };

pinned_t pinned(const void *memory, size_t size)
{
    const char *const from = (const char *)memory, *const to = from + size;
    const std::lock_guard<std::mutex> hold(lock);
    for (const auto *ranges : {&registered, &allocated})
        for (const auto &range : *ranges) {
            if (from >= range.first && to <= range.first + range.second.size)
                return PINNED;
            if (from < range.first + range.second.size && to > range.first)
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
    for (auto at = freed.begin(); at != freed.end(); ++at) {
        if (at->array.size != size)
            continue;
        array->memory = at->array.memory;
        array->size = size;
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
        freed.erase(at);
        return true;
    }
    return false;
}

/* What a copy engine does waits while copies are held. */
void pass_engine()
{
    std::unique_lock<std::mutex> hold(held_lock);
    released.wait(hold, [] { return !copies_are_held; });
}
} // namespace

cudaError_t cuda_on_host_load(const void *code, size_t bytes)
{
    const std::lock_guard<std::mutex> hold(lock);
    if (loaded.count(code) > 0)
        return cudaSuccess;
    if (bytes > free_bytes())
        return cudaErrorMemoryAllocation;
    loaded.insert(code);
    code_bytes += bytes;
    return cudaSuccess;
}

void cuda_on_host_hold_copies(bool held)
{
    const std::lock_guard<std::mutex> hold(held_lock);
    copies_are_held = held;
    released.notify_all();
}

void cuda_on_host_used(size_t *now_bytes, size_t *most_bytes)
{
    const std::lock_guard<std::mutex> hold(used_lock);
    *now_bytes = used_bytes;
    *most_bytes = used_high_bytes;
    used_high_bytes = used_bytes;
}

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
    *free = free_bytes();
    *total = total_bytes;
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaMalloc(void **memory, size_t size)
{
    array_t array = {};
    const std::lock_guard<std::mutex> hold(lock);
    if (size > free_bytes() || !map(size, &array))
        return cuda_on_host_report(cudaErrorMemoryAllocation);
    arrays[array.memory] = array;
    malloc_bytes += size;
    *memory = array.memory;
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaFree(void *memory)
{
    if (memory == nullptr)
        return cuda_on_host_report(cudaSuccess);
    cudaDeviceSynchronize();
    array_t array;
    const std::lock_guard<std::mutex> hold(lock);
    if (!release(memory, false, &array))
        return cuda_on_host_report(cudaErrorInvalidValue);
    expect_untouched(array);
    unmap(array);
    malloc_bytes -= array.size;
    return cuda_on_host_report(cudaSuccess);
}

/* ---- the pool ---- */

cudaError_t cudaMemPoolCreate(cudaMemPool_t *pool_out, const cudaMemPoolProps *)
{
    static char place;
    const std::lock_guard<std::mutex> hold(lock);
    reserved_high_bytes = pool.reserved_bytes();
    *pool_out = (cudaMemPool_t)&place;
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t least_bytes)
{
    const std::lock_guard<std::mutex> hold(lock);
    pool.trim(least_bytes);
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaMemPoolDestroy(cudaMemPool_t)
{
    cudaDeviceSynchronize();
    const std::lock_guard<std::mutex> hold(lock);
    trim(0);
    pool.trim(0);
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr attribute, void *)
{
    return cuda_on_host_report(attribute == cudaMemPoolAttrReleaseThreshold ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr attribute, void *value)
{
    const std::lock_guard<std::mutex> hold(lock);
    if (attribute == cudaMemPoolAttrReservedMemHigh)
        *(uint64_t *)value = reserved_high_bytes;
    else if (attribute == cudaMemPoolAttrReservedMemCurrent)
        *(uint64_t *)value = pool.reserved_bytes();
    else
        return cuda_on_host_report(cudaErrorInvalidValue);
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaMallocFromPoolAsync(void **memory, size_t size, cudaMemPool_t, cudaStream_t stream)
{
    array_t array = {};
    const std::lock_guard<std::mutex> hold(lock);
    if (!pool.take(size, free_bytes(), &array.place))
        return cuda_on_host_report(cudaErrorMemoryAllocation);
    if (!reuse(size, stream, &array) && !map(size, &array))
        abort(); /* the host's memory is short */
    arrays[array.memory] = array;
    if (pool.reserved_bytes() > reserved_high_bytes)
        reserved_high_bytes = pool.reserved_bytes();
    poison_later(array, true, stream);
    *memory = array.memory;
    return cuda_on_host_report(cudaSuccess);
}

cudaError_t cudaFreeAsync(void *memory, cudaStream_t stream)
{
    array_t array;
    const std::lock_guard<std::mutex> hold(lock);
    if (!release(memory, true, &array))
        return cuda_on_host_report(cudaErrorInvalidValue);
    poison_later(array, false, stream);
    const auto point = cuda_on_host_point(stream);
    pool.give_back(array.place, point);
    freed.push_front({array, point});
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
    const bool by_an_engine = stream != nullptr && to_device != from_device;
    const cudaError_t error = cuda_on_host_later(stream, [=] {
        if (by_an_engine)
            pass_engine();
        memmove(to, from, size);
        return cudaSuccess;
    });
    cuda_on_host_count_copy(stream);
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

cudaError_t cudaHostRegister(void *memory, size_t size, unsigned flags)
{
    if (size == 0)
        return cuda_on_host_report(cudaErrorInvalidValue);
    if (pinned(memory, size) != PAGEABLE)
        return cuda_on_host_report(cudaErrorHostMemoryAlreadyRegistered);
    const std::lock_guard<std::mutex> hold(lock);
    if (size > pinnable_at_once || registered_bytes > pinnable_total || size > pinnable_total - registered_bytes)
        return cuda_on_host_report(cudaErrorMemoryAllocation);
    registered[(char *)memory] = {size, (flags & cudaHostRegisterMapped) != 0};
    registered_bytes += size;
    return cuda_on_host_report(cudaSuccess);
}

/* Full of what no one should read before it is written. */
cudaError_t cudaHostAlloc(void **memory, size_t size, unsigned flags)
{
    const std::lock_guard<std::mutex> hold(lock);
    void *given = nullptr;
    if (allocated_bytes > allocatable_bytes || size > allocatable_bytes - allocated_bytes ||
        posix_memalign(&given, PAGE_BYTES, size) != 0)
        return cuda_on_host_report(cudaErrorMemoryAllocation);
    memset(given, 0xff, size);
    allocated[(char *)given] = {size, (flags & cudaHostAllocMapped) != 0};
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
    allocated_bytes -= found->second.size;
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
    registered_bytes -= found->second.size;
    registered.erase(found);
    return cuda_on_host_report(cudaSuccess);
}

/* Of the start of what was pinned with the flag for it. */
cudaError_t cudaHostGetDevicePointer(void **device, void *memory, unsigned)
{
    const std::lock_guard<std::mutex> hold(lock);
    for (const auto *ranges : {&registered, &allocated}) {
        const auto found = ranges->find((char *)memory);
        if (found == ranges->end() || !found->second.mapped)
            continue;
        *device = memory;
        return cuda_on_host_report(cudaSuccess);
    }
    return cuda_on_host_report(cudaErrorInvalidValue);
}
