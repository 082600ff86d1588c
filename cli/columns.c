/* columns.c - see columns.h. */
#include "cli/columns.h"

#include <assert.h>

size_t lspo_columns_of(const lspo_column_t *columns, size_t count, lspo_task_t task,
                       lspo_field_t fields_out[LSPO_COLUMNS_MOST])
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (columns[i].task == LSPO_EVERY_TASK || columns[i].task == (int)task) {
            assert(kept < LSPO_COLUMNS_MOST);
            fields_out[kept++] = columns[i].field;
        }
    return kept;
}
