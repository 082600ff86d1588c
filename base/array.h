/* array.h - make an array grow. */
#ifndef LSPO_BASE_ARRAY_H
#define LSPO_BASE_ARRAY_H

#include <stddef.h>

#include "base/status.h"

/* Make room for `needed` items of `item_bytes` in an array from malloc(); if the array has to move, its capacity at
 * least doubles:
 *
 *     lspo_status_t status = lspo_array_grow(&list->rows, &list->capacity, list->count + 1,
 *                                            sizeof *list->rows, "rows");
 *
 * `array` is the address of the pointer, which is NULL for an array of capacity 0; *capacity counts items.
 * LSPO_ERR_MEMORY, logged as "no memory for N ITEMS" unless `items` is NULL; the array is then unchanged. */
lspo_status_t lspo_array_grow(void *array, size_t *capacity, size_t needed, size_t item_bytes, const char *items);

#endif
