/* virtual.h - the driver's calls that map chunks of memory into reserved addresses; see cuda_runtime.h. */
#ifndef LSPO_TESTS_VIRTUAL_H
#define LSPO_TESTS_VIRTUAL_H

#include <stddef.h>

/* Is all of this memory mapped, with access? */
bool cuda_on_host_virtual_is_accessible(const void *memory, size_t size);

/* The function of that name; NULL: it is none of these. */
void *cuda_on_host_virtual_call(const char *symbol);

#endif
