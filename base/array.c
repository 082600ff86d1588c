/* array.c - make an array grow; see array.h. */
#include "base/array.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 16 };

lspo_status_t lspo_array_grow(void *array, size_t *capacity, size_t needed, size_t item_bytes, const char *items)
{
    void *memory;
    if (needed <= *capacity)
        return LSPO_OK;
    size_t larger = *capacity <= SIZE_MAX / 2 ? 2 * *capacity : SIZE_MAX;
    larger = larger > FIRST_CAPACITY ? larger : FIRST_CAPACITY;
    larger = larger > needed ? larger : needed;
    memcpy(&memory, array, sizeof memory); /* whatever it points to */
    memory = larger <= PTRDIFF_MAX / item_bytes ? realloc(memory, larger * item_bytes) : NULL;
    if (!memory)
        return items ? lspo_no_memory("%zu %s", larger, items) : LSPO_ERR_MEMORY;
    memcpy(array, &memory, sizeof memory);
    *capacity = larger;
    return LSPO_OK;
}
