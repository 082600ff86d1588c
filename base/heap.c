/* heap.c - see heap.h. */
#include "base/heap.h"

#include <stdlib.h> /* __GLIBC__ */
#ifdef __GLIBC__
#include <malloc.h>
#endif

void lspo_heap_keep(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 32 << 20); /* the largest that is allowed */
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}
