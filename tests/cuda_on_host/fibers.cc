/* fibers.cc - the threads of a block; see cuda_runtime.h. */
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <atomic>
#include <mutex>
#include <vector>

#include "cuda_on_host.h"
#include "cuda_runtime.h"
#include "stream.h"
#include "switch.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define ASAN_POISON_MEMORY_REGION(memory, size) ((void)(memory), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(memory, size) ((void)(memory), (void)(size))
#endif

enum {
    BLOCK_THREADS_MAX = 1024,
    LANES = 32,
    PAGE_BYTES = 4096,
    /* The lowest page without access.  An odd number of pages, else the pages in use would share few places of the
     * TLB. */
    STACK_BYTES = 17 * PAGE_BYTES,
    /* Stacks begin at as many places of a page as it has lines, else all would lie in the same few lines of a cache. */
    STACK_SHIFTS = 64,
    STACK_SHIFT_BYTES = 9 * 64,
    MODULE_BYTES = 4 << 20, /* of the GPU's memory, with the first kernel */
    KERNEL_BYTES = 64 << 10,
    SHARED_BYTES = 48 * 1024,
    SHARED_BYTES_MAX = 227 * 1024 /* of sm_90, for a kernel that asks for it */
};

__thread uint3 threadIdx, blockIdx;
__thread dim3 blockDim, gridDim;
size_t cuda_on_host_shared_bytes(); /* of the device that this is, at most SHARED_BYTES_MAX */
/* Every kernel's `extern __shared__`: kernels/launch.cuh. */
thread_local float4 lspo_shared[SHARED_BYTES_MAX / sizeof(float4)];

static const unsigned all_lanes = 0xffffffffu;
/* Up to RUNS: may go on. */
enum wait_t { TO_START, RUNS, AT_BARRIER, AT_EXCHANGE, LEFT };
static const unsigned none = ~0u;

struct call_t { /* of a kernel, with its arguments */
    void (*run)(const void *values);
    std::vector<char> values;
};

struct bounds_t { /* what AddressSanitizer must know of a switch */
    const void *bottom;
    size_t size;
    void *fake;
};

namespace
{
struct fiber_t {
    context_t context;
    bounds_t stack;
    uint3 index;
    const char *file; /* where it waits */
    int line;
    uint16_t stack_number;
    bool left;
};

/* An exchange of a warp that some of its lanes wait at.  Lanes of one mask are at one exchange at a time, so a warp has
 * at most one for each lane. */
struct exchange_t {
    unsigned mask, arrived; /* lanes; none: free */
    const char *file;
    int line;
};

/* The lanes side by side: an exchange touches all of them. */
struct warp_t {
    uint64_t given[LANES], received[LANES];
    unsigned source[LANES];
    unsigned open; /* exchanges that are not free */
    exchange_t exchanges[LANES];
};

struct multiprocessor_t { /* runs the kernels of a stream, whose thread's it is, one at a time */
    fiber_t fibers[BLOCK_THREADS_MAX], launcher;
    warp_t warps[BLOCK_THREADS_MAX / LANES];
    uint8_t waits[BLOCK_THREADS_MAX];   /* a wait_t */
    uint16_t ranked[BLOCK_THREADS_MAX]; /* threads, the one that goes first first */
    uint16_t rank_of[BLOCK_THREADS_MAX], first_rank[BLOCK_THREADS_MAX / LANES]; /* of a thread, of a warp */
    unsigned first_ready;                                                       /* ranks before it wait or have left */
    unsigned current, thread_count, at_barrier;
    unsigned free_stacks;                   /* stacks that no thread has */
    uint16_t free_stack[BLOCK_THREADS_MAX]; /* numbers, the next one to be taken last */
    unsigned seed, told;                    /* the last call of cuda_on_host_order() that it has heard of */
    uint64_t random_state;
    const call_t *call;
    bool failed;
    char failure[512];
    char *stacks;
};

__thread multiprocessor_t *sm;
std::atomic<unsigned> new_seed, told;
std::vector<char *> *const free_stacks = new std::vector<char *>; /* never destroyed: some stream may still run */
std::mutex free_lock, failure_lock;
char last_failure[sizeof multiprocessor_t::failure];

unsigned random_below(unsigned bound)
{
    sm->random_state = sm->random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((sm->random_state >> 32) * bound >> 32);
}

void shuffle(unsigned count, unsigned *values)
{
    for (unsigned i = count; i > 1; i--) {
        const unsigned other = random_below(i), held = values[i - 1];
        values[i - 1] = values[other];
        values[other] = held;
    }
}

/* 0 .. count - 1 in the order of the seed. */
void draw_order(unsigned count, unsigned *values)
{
    for (unsigned i = 0; i < count; i++)
        values[i] = sm->seed == 1 ? count - 1 - i : i;
    if (sm->seed > 1)
        shuffle(count, values);
}

/* Warps in an order, and in each its lanes, so that one warp runs ahead as far as barriers allow. */
void rank_threads()
{
    unsigned warps[BLOCK_THREADS_MAX / LANES], lanes[LANES], at = 0;
    const unsigned warp_count = (sm->thread_count + LANES - 1) / LANES;
    draw_order(warp_count, warps);
    for (unsigned w = 0; w < warp_count; w++) {
        draw_order(LANES, lanes);
        sm->first_rank[warps[w]] = (uint16_t)at;
        for (unsigned i = 0; i < LANES; i++)
            if (warps[w] * LANES + lanes[i] < sm->thread_count)
                sm->ranked[at++] = warps[w] * LANES + lanes[i];
    }
    for (unsigned i = 0; i < sm->thread_count; i++)
        sm->rank_of[sm->ranked[i]] = i;
    sm->first_ready = 0;
}

void make_ready(unsigned thread)
{
    sm->waits[thread] = RUNS;
    if (sm->rank_of[thread] < sm->first_ready)
        sm->first_ready = sm->rank_of[thread];
}

/* The lanes of the mask. */
void make_lanes_ready(unsigned warp, unsigned mask)
{
    if (mask != all_lanes) {
        for (unsigned rest = mask; rest != 0; rest &= rest - 1)
            make_ready(warp * LANES + (unsigned)__builtin_ctz(rest));
        return;
    }
    memset(sm->waits + warp * LANES, RUNS, LANES);
    if (sm->first_rank[warp] < sm->first_ready)
        sm->first_ready = sm->first_rank[warp];
}

void switch_to(fiber_t *from, fiber_t *to)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(from->left ? nullptr : &from->stack.fake, to->stack.bottom, to->stack.size);
#endif
    context_switch(&from->context, &to->context);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(from->stack.fake, nullptr, nullptr);
#endif
}

__attribute__((format(printf, 1, 2))) void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *const text = sm->failure;
    const int length = snprintf(text, sizeof sm->failure, "block (%u, %u, %u): ", blockIdx.x, blockIdx.y, blockIdx.z);
    vsnprintf(text + length, sizeof sm->failure - (size_t)length, format, arguments);
    va_end(arguments);
    sm->failed = true;
}

/* The first thread, and the first that stands elsewhere. */
void fail_apart()
{
    static const char *const doing[] = {"is to start", "runs", "waits at the barrier", "waits for its warp",
                                        "has left"};
    unsigned other = 0;
    while (other + 1 < sm->thread_count && sm->waits[other] == sm->waits[0] &&
           sm->fibers[other].line == sm->fibers[0].line)
        other++;
    fail("thread 0 %s (%s:%d), thread %u %s (%s:%d)", doing[sm->waits[0]], sm->fibers[0].file, sm->fibers[0].line,
         other, doing[sm->waits[other]], sm->fibers[other].file, sm->fibers[other].line);
}

void place_thread(unsigned thread)
{
    sm->current = thread;
    threadIdx = sm->fibers[thread].index;
}

/* The next thread that may go on; none if there is none or something failed. */
unsigned next_thread()
{
    while (sm->first_ready < sm->thread_count && sm->waits[sm->ranked[sm->first_ready]] > RUNS)
        sm->first_ready++;
    return sm->failed || sm->first_ready == sm->thread_count ? none : sm->ranked[sm->first_ready];
}

void start_thread(unsigned thread)
{
    fiber_t *const f = &sm->fibers[thread];
    f->left = false;
    f->file = "its end";
    f->line = 0;
    sm->waits[thread] = RUNS;
}

void fiber_main();

/* A thread has a stack from when it starts to when it leaves. */
void give_stack(fiber_t *f)
{
    f->stack_number = sm->free_stack[--sm->free_stacks];
    char *const stack = sm->stacks + (size_t)f->stack_number * STACK_BYTES + PAGE_BYTES;
    const size_t size = STACK_BYTES - PAGE_BYTES - f->stack_number % STACK_SHIFTS * STACK_SHIFT_BYTES;
    ASAN_UNPOISON_MEMORY_REGION(stack, size);
    context_prepare(&f->context, stack, size, fiber_main);
    f->stack = {stack, size, nullptr};
}

/* From the current thread to the next one; to the launcher if there is none. */
void run_next()
{
    fiber_t *const from = &sm->fibers[sm->current];
    const unsigned next = next_thread();
    if (next == none) {
        switch_to(from, &sm->launcher);
        return;
    }
    fiber_t *const to = &sm->fibers[next];
    if (sm->waits[next] == TO_START) {
        give_stack(to);
        start_thread(next);
    }
    place_thread(next);
    if (to != from)
        switch_to(from, to);
}

/* A thread, and on its stack those that start next as long as each leaves without having waited: of a kernel without
 * barriers and exchanges all. */
void fiber_main()
{
#ifdef __SANITIZE_ADDRESS__
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
    if (sm->launcher.stack.bottom == nullptr) { /* only the launcher starts a block's first fiber */
        sm->launcher.stack.bottom = bottom;
        sm->launcher.stack.size = size;
    }
#endif
    for (;;) {
        sm->call->run(sm->call->values.data());
        sm->waits[sm->current] = LEFT;
        const unsigned next = next_thread();
        if (next == none || sm->waits[next] != TO_START)
            break;
        const fiber_t &left = sm->fibers[sm->current];
        sm->fibers[next].stack_number = left.stack_number;
        sm->fibers[next].stack = left.stack;
        start_thread(next);
        place_thread(next);
    }
    sm->fibers[sm->current].left = true;
    sm->free_stack[sm->free_stacks++] = sm->fibers[sm->current].stack_number;
    run_next();
    abort(); /* nobody goes back to a thread that has left */
}

char *map_stacks()
{
    const size_t size = (size_t)BLOCK_THREADS_MAX * STACK_BYTES;
    void *const mapped =
        mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED)
        abort();
    char *const memory = (char *)mapped;
    for (size_t i = 0; i < BLOCK_THREADS_MAX; i++)
        mprotect(memory + i * STACK_BYTES, PAGE_BYTES, PROT_NONE);
    return memory;
}

/* Stacks that no stream uses; to map 1024 of them takes longer than most kernels do. */
char *take_stacks()
{
    const std::lock_guard<std::mutex> hold(free_lock);
    if (free_stacks->empty())
        return map_stacks();
    char *const stacks = free_stacks->back();
    free_stacks->pop_back();
    return stacks;
}

/* This thread's, with the order that was last told. */
void find_multiprocessor()
{
    if (sm == nullptr) {
        sm = new multiprocessor_t();
        sm->stacks = take_stacks();
    }
    const unsigned now = told.load();
    if (sm->told == now)
        return;
    sm->told = now;
    sm->seed = new_seed.load();
    sm->random_state = sm->seed;
}

/* Shared memory is the thread-local memory of this program: what a kernel reads before it has written is NaN.  Of the
 * memory whose size the launch tells, only what it asks for. */
int fill_shared(struct dl_phdr_info *info, size_t, void *dynamic_bytes)
{
    char *const dynamic = (char *)lspo_shared;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_TLS)
            continue;
        char *const first = (char *)info->dlpi_tls_data, *const end = first + info->dlpi_phdr[i].p_memsz;
        char *const rest = dynamic + sizeof lspo_shared;
        memset(first, 0xff, (size_t)(dynamic - first));
        memset(dynamic, 0xff, *(const size_t *)dynamic_bytes);
        memset(rest, 0xff, (size_t)(end - rest));
    }
    return 1; /* the program is the first object; its libraries' memory is not ours */
}

void prepare_shared(size_t dynamic_bytes)
{
    ASAN_UNPOISON_MEMORY_REGION(lspo_shared, sizeof lspo_shared);
    multiprocessor_t *const kept = sm;
    dl_iterate_phdr(fill_shared, &dynamic_bytes);
    sm = kept;
    ASAN_POISON_MEMORY_REGION((char *)lspo_shared + dynamic_bytes, sizeof lspo_shared - dynamic_bytes);
}

void prepare_threads(const dim3 &block)
{
    sm->thread_count = block.x * block.y * block.z;
    sm->free_stacks = sm->thread_count;
    for (unsigned thread = 0; thread < sm->thread_count; thread++) {
        sm->fibers[thread].index = {thread % block.x, thread / block.x % block.y, thread / block.x / block.y};
        sm->free_stack[thread] = (uint16_t)(sm->thread_count - 1 - thread);
    }
}

void run_block(const cudaLaunchConfig_t &config, unsigned index)
{
    prepare_shared(config.dynamicSmemBytes);
    gridDim = config.gridDim;
    blockDim = config.blockDim;
    blockIdx.x = index % gridDim.x;
    blockIdx.y = index / gridDim.x % gridDim.y;
    blockIdx.z = index / gridDim.x / gridDim.y;
    memset(sm->waits, TO_START, sm->thread_count);
    for (unsigned warp = 0; warp * LANES < sm->thread_count; warp++) {
        sm->warps[warp].open = 0;
        for (exchange_t &exchange : sm->warps[warp].exchanges)
            exchange.arrived = 0;
    }
    rank_threads();
    sm->at_barrier = 0;
    fiber_t *const first = &sm->fibers[sm->ranked[0]];
    give_stack(first);
    start_thread(sm->ranked[0]);
    place_thread(sm->ranked[0]);
    switch_to(&sm->launcher, first);
    ASAN_UNPOISON_MEMORY_REGION(lspo_shared, sizeof lspo_shared);
    for (unsigned thread = 0; thread < sm->thread_count && !sm->failed; thread++)
        if (sm->waits[thread] != LEFT)
            fail_apart();
}

struct allowance_t {
    const void *kernel;
    size_t shared_bytes;
} allowances[512];
std::mutex allowance_lock;

/* The kernel's place in the list; a free one if it has none. */
allowance_t *allowance(const void *kernel)
{
    allowance_t *at = allowances;
    while (at->kernel != nullptr && at->kernel != kernel)
        if (++at == allowances + sizeof allowances / sizeof *allowances)
            abort();
    return at;
}

bool valid(const cudaLaunchConfig_t &config, const void *kernel)
{
    const dim3 g = config.gridDim, b = config.blockDim;
    const std::lock_guard<std::mutex> hold(allowance_lock);
    const allowance_t *const allowed = allowance(kernel);
    const size_t shared_bytes = allowed->kernel != nullptr ? allowed->shared_bytes : (size_t)SHARED_BYTES;
    return g.x >= 1 && g.y >= 1 && g.z >= 1 && g.x <= INT32_MAX && g.y <= UINT16_MAX && g.z <= UINT16_MAX && b.x >= 1 &&
           b.y >= 1 && b.z >= 1 && b.z <= 64 && (uint64_t)b.x * b.y * b.z <= BLOCK_THREADS_MAX &&
           config.dynamicSmemBytes <= shared_bytes;
}

/* All threads are there, and all at the same one. */
void open_barrier()
{
    for (unsigned thread = 0; thread < sm->thread_count; thread++)
        if (sm->fibers[thread].line != sm->fibers[0].line || sm->fibers[thread].file != sm->fibers[0].file)
            return; /* and never opens: fail_apart() */
    sm->at_barrier = 0;
    memset(sm->waits, RUNS, sm->thread_count);
    sm->first_ready = 0;
}

/* The one of the warp that lanes of the mask wait at there; a free one if none does.  Mostly it is the first. */
inline exchange_t *exchange_at(warp_t *warp, unsigned mask, const char *file, int line)
{
    exchange_t *const first = warp->exchanges;
    if (first->arrived != 0 && first->mask == mask && first->line == line && first->file == file)
        return first;
    exchange_t *unused = nullptr;
    for (exchange_t *e = warp->exchanges; e < warp->exchanges + LANES; e++) {
        if (e->arrived == 0)
            unused = unused == nullptr ? e : unused;
        else if (e->mask == mask && e->line == line && e->file == file)
            return e;
        if (unused == warp->exchanges && warp->open == 0)
            break;
    }
    *unused = {mask, 0, file, line};
    warp->open++;
    return unused;
}

/* The current thread waits until all lanes of the mask have come to the same place.  The last one does what is to be
 * done for them; if one does not come, none goes on: fail_apart(). */
template <typename Complete> void meet(unsigned mask, const char *file, int line, Complete complete)
{
    fiber_t *const self = &sm->fibers[sm->current];
    warp_t *const warp = &sm->warps[sm->current / LANES];
    const unsigned lane = sm->current % LANES;
    sm->waits[sm->current] = AT_EXCHANGE;
    self->file = file;
    self->line = line;
    if (!(mask >> lane & 1)) {
        fail("thread %u is not in its own mask %08x (%s:%d)", sm->current, mask, file, line);
        run_next();
        return;
    }
    exchange_t *const exchange = exchange_at(warp, mask, file, line);
    exchange->arrived |= 1u << lane;
    if (exchange->arrived == mask) {
        exchange->arrived = 0;
        warp->open--;
        complete();
        make_lanes_ready(sm->current / LANES, mask);
    }
    run_next();
}

/* On a stream's own thread, whose thread-local memory is a block's shared memory. */
cudaError_t run_kernel(const cudaLaunchConfig_t &config, const call_t &call)
{
    find_multiprocessor();
    prepare_threads(config.blockDim);
    sm->call = &call;
    sm->failed = false;
    const unsigned blocks = config.gridDim.x * config.gridDim.y * config.gridDim.z;
    unsigned *const order = (unsigned *)malloc(blocks * sizeof *order);
    if (order == nullptr)
        return cudaErrorMemoryAllocation;
    draw_order(blocks, order);
    for (unsigned i = 0; i < blocks && !sm->failed; i++)
        run_block(config, order[i]);
    sm->call = nullptr;
    free(order);
    if (!sm->failed)
        return cudaSuccess;
    const std::lock_guard<std::mutex> hold(failure_lock);
    memcpy(last_failure, sm->failure, sizeof last_failure);
    return cudaErrorLaunchFailure;
}
} // namespace

void cuda_on_host_order(unsigned seed)
{
    new_seed.store(seed);
    told.fetch_add(1);
}

const char *cuda_on_host_failure()
{
    return last_failure;
}

void cuda_on_host_leave_thread()
{
    if (sm == nullptr)
        return;
    /* Of frames that were left and never returned from; other memory may come to lie here. */
    ASAN_UNPOISON_MEMORY_REGION(sm->stacks, (size_t)BLOCK_THREADS_MAX * STACK_BYTES);
    const std::lock_guard<std::mutex> hold(free_lock);
    free_stacks->push_back(sm->stacks);
    delete sm;
    sm = nullptr;
}

unsigned cuda_on_host_lane()
{
    return sm->current % LANES;
}

void cuda_on_host_barrier(const char *file, int line)
{
    fiber_t *const self = &sm->fibers[sm->current];
    sm->waits[sm->current] = AT_BARRIER;
    self->file = file;
    self->line = line;
    if (++sm->at_barrier == sm->thread_count && !sm->failed)
        open_barrier();
    run_next();
}

uint64_t cuda_on_host_exchange(unsigned mask, uint64_t value, unsigned source, const char *file, int line)
{
    const unsigned thread = sm->current, lane = thread % LANES;
    warp_t *const warp = &sm->warps[thread / LANES];
    warp->given[lane] = value;
    warp->source[lane] = source < LANES ? source : lane;
    meet(mask, file, line, [=] {
        for (unsigned rest = mask; rest != 0; rest &= rest - 1) {
            const unsigned to = (unsigned)__builtin_ctz(rest), from = warp->source[to];
            if (!(mask >> from & 1))
                fail("thread %u reads lane %u, which is not in the mask %08x (%s:%d)", thread - lane + to, from, mask,
                     file, line);
            warp->received[to] = warp->given[from];
        }
    });
    return warp->received[lane];
}

void cuda_on_host_together(void *mine, void (*work)(void *const *of_lanes), const char *file, int line)
{
    warp_t *const warp = &sm->warps[sm->current / LANES];
    warp->given[sm->current % LANES] = (uint64_t)mine;
    meet(all_lanes, file, line, [=] {
        void *of_lanes[LANES];
        for (unsigned lane = 0; lane < LANES; lane++)
            of_lanes[lane] = (void *)warp->given[lane];
        work(of_lanes);
    });
}

unsigned cuda_on_host_ballot(unsigned mask, bool flag, const char *file, int line)
{
    const unsigned lane = sm->current % LANES;
    warp_t *const warp = &sm->warps[sm->current / LANES];
    warp->given[lane] = flag;
    meet(mask, file, line, [=] {
        unsigned ballot = 0;
        for (unsigned rest = mask; rest != 0; rest &= rest - 1)
            ballot |= (unsigned)warp->given[__builtin_ctz(rest)] << __builtin_ctz(rest);
        for (unsigned rest = mask; rest != 0; rest &= rest - 1)
            warp->received[__builtin_ctz(rest)] = ballot;
    });
    return (unsigned)warp->received[lane];
}

cudaError_t cuda_on_host_launch(const cudaLaunchConfig_t &config, const void *kernel, const void *call, size_t bytes,
                                void (*run)(const void *call))
{
    static const char module = 0;
    if (!valid(config, kernel))
        return cuda_on_host_report(cudaErrorInvalidConfiguration);
    if (cuda_on_host_load(&module, MODULE_BYTES) != cudaSuccess ||
        cuda_on_host_load(kernel, KERNEL_BYTES) != cudaSuccess)
        return cuda_on_host_report(cudaErrorMemoryAllocation);
    const call_t copy = {run, {(const char *)call, (const char *)call + bytes}};
    return cuda_on_host_later(config.stream, [config, copy] { return run_kernel(config, copy); });
}

/* ---- alignment.  Kernels are compiled with -fsanitize=alignment, which calls this where an address is not a multiple
 * of what the type needs: there a GPU's access fails. ---- */

void cuda_on_host_trap(const char *what, const char *file, int line)
{
    if (sm == nullptr || sm->call == nullptr) {
        fprintf(stderr, "cuda_on_host: the host %s (%s:%d)\n", what, file, line);
        abort();
    }
    fail("thread %u %s (%s:%d)", sm->current, what, file, line);
    run_next();
}

struct wrong_access_t { /* as the compiler lays it out */
    const char *file;
    uint32_t line, column;
    const struct {
        uint16_t kind, info;
        char name[1];
    } * type;
    unsigned char log_alignment, kind;
};

void cuda_on_host_fail_unaligned(const void *at, size_t bytes, const char *file, int line)
{
    char what[96];
    snprintf(what, sizeof what, "accesses %zu bytes at %p, which is no multiple of them", bytes, at);
    cuda_on_host_trap(what, file, line);
}

extern "C" __attribute__((weak, noreturn)) void __ubsan_handle_type_mismatch_v1_abort(const wrong_access_t *access,
                                                                                      const void *at)
{
    cuda_on_host_need_aligned(at, (size_t)1 << access->log_alignment, access->file, (int)access->line);
    fprintf(stderr, "cuda_on_host: wrong access to %s at %p (%s:%u)\n", access->type->name, at, access->file,
            access->line);
    abort();
}

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value)
{
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        (size_t)value > cuda_on_host_shared_bytes())
        return cudaErrorInvalidValue;
    const std::lock_guard<std::mutex> hold(allowance_lock);
    *allowance(kernel) = {kernel, (size_t)value};
    return cudaSuccess;
}
