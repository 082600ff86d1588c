/* weight_file.h - a temporary file of weights, which stands in for an SSD in runs of plans that read (READ).  Nobody
 * else can open it, and it is gone with the process.  Its reads are real, but may come from the system's memory. */
#ifndef LSPO_REAL_GENERATE_WEIGHT_FILE_H
#define LSPO_REAL_GENERATE_WEIGHT_FILE_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/status.h"

/* All zero: none yet; the first weights make it. */
typedef struct {
    FILE *file;
} lspo_weight_file_t;

/* Behind what it has; *offset_out is where.  LSPO_ERR_IO. */
lspo_status_t lspo_weight_file_append(lspo_weight_file_t *file, const void *weights, size_t bytes, off_t *offset_out);
lspo_status_t lspo_weight_file_read(const lspo_weight_file_t *file, off_t offset, size_t bytes, void *out);
void lspo_weight_file_close(lspo_weight_file_t *file);

#endif
