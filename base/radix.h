/* radix.h - the order of items by an integer key, in time that grows linearly with their number. */
#ifndef LSPO_BASE_RADIX_H
#define LSPO_BASE_RADIX_H

#include <stdint.h>

#include "base/status.h"

/* The indices 0 to count - 1 in the order of their keys; equal keys keep the order of their indices.  malloc'd.  Only
 * LSPO_ERR_MEMORY is possible. */
lspo_status_t lspo_radix_order(const uint64_t *keys, uint32_t count, uint32_t **order_out);

#endif
