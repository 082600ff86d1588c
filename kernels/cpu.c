/* cpu.c - find the vector instructions of this machine. */
#include "kernels/cpu.h"

#include <stdatomic.h>
#include <stdbool.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

static atomic_int level_limit = LSPO_CPU_AVX512;

#if defined(__x86_64__)
/* Clang 14's __builtin_cpu_supports() does not know it, and the instruction is slow in a virtual machine. */
static bool has_f16c(void)
{
    static atomic_int known = -1;
    int has = atomic_load_explicit(&known, memory_order_relaxed);
    if (has < 0) {
        unsigned a, b, c = 0, d;
        has = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
        atomic_store_explicit(&known, has, memory_order_relaxed);
    }
    return has;
}
#endif

static lspo_cpu_level_t machine_level(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c())
        return LSPO_CPU_PORTABLE;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        return LSPO_CPU_AVX512;
    return LSPO_CPU_AVX2;
#else
    return LSPO_CPU_PORTABLE;
#endif
}

lspo_cpu_level_t lspo_cpu_level(void)
{
    int limit = atomic_load_explicit(&level_limit, memory_order_relaxed);
    int level = (int)machine_level();
    return (lspo_cpu_level_t)(level < limit ? level : limit);
}

void lspo_cpu_limit(lspo_cpu_level_t limit)
{
    atomic_store_explicit(&level_limit, (int)limit, memory_order_relaxed);
}

const char *lspo_cpu_level_name(lspo_cpu_level_t level)
{
    static const char *const names[LSPO_CPU_LEVEL_COUNT] = {"portable", "avx2", "avx512"};
    return (unsigned)level < LSPO_CPU_LEVEL_COUNT ? names[level] : "?";
}
