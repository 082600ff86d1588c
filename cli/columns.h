/* columns.h - the columns of a table for people, of which some are for one task only. */
#ifndef LSPO_CLI_COLUMNS_H
#define LSPO_CLI_COLUMNS_H

#include <stddef.h>

#include "base/table.h"
#include "plan/policy.h"

enum { LSPO_COLUMNS_MOST = 16, LSPO_EVERY_TASK = LSPO_TASK_COUNT };

typedef struct {
    int task; /* lspo_task_t, or LSPO_EVERY_TASK */
    lspo_field_t field;
} lspo_column_t;

/* The fields of the columns for this task; returns their number. */
size_t lspo_columns_of(const lspo_column_t *columns, size_t count, lspo_task_t task,
                       lspo_field_t fields_out[LSPO_COLUMNS_MOST]);

#endif
