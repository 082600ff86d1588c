/* sweep_explain.c - see sweep_explain.h. */
#include "cli/sweep_explain.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_DIGITS = 16 };

/* The state that workers share. */
typedef struct {
    const lspo_sweep_grid_t *grid;
    lspo_sweep_cells_t *cells;
    uint64_t wanted;
    atomic_uint_fast64_t found; /* the lowest cell with that key; UINT64_MAX: none yet */
    atomic_int status;
} search_t;

static void try_cell(void *context, uint32_t worker, size_t index)
{
    search_t *search = context;
    lspo_sweep_cell_t cell;
    uint64_t key = 0;
    const char *flags;
    if (atomic_load(&search->found) < index || atomic_load(&search->status) != LSPO_OK ||
        !lspo_sweep_grid_cell(search->grid, index, &cell))
        return;
    lspo_status_t status = lspo_sweep_cells_key(search->cells, worker, &cell, &key, &flags);
    if (status != LSPO_OK)
        atomic_store(&search->status, status);
    uint_fast64_t found = atomic_load(&search->found);
    while (key == search->wanted && index < found && !atomic_compare_exchange_weak(&search->found, &found, index)) {
    }
}

static lspo_status_t find_key(const lspo_sweep_grid_t *grid, lspo_sweep_cells_t *cells, lspo_workers_t *workers,
                              const char *text, uint64_t *index_out)
{
    search_t search = {.grid = grid, .cells = cells, .wanted = strtoull(text, NULL, 16), .found = UINT64_MAX};
    lspo_workers_run(workers, (size_t)grid->cell_count, try_cell, &search);
    if (search.status != LSPO_OK)
        return (lspo_status_t)search.status;
    if (search.found == UINT64_MAX)
        return lspo_error(
            LSPO_ERR_INPUT,
            "no cell of %s has the key %s; keys change with the profiles of machines, the shapes of "
            "models and the version of lspo, and rows of --run have those of its device: --run --device NAME",
            grid->path, text);
    *index_out = search.found;
    return LSPO_OK;
}

static lspo_status_t find_cell(const lspo_sweep_grid_t *grid, lspo_sweep_cells_t *cells, lspo_workers_t *workers,
                               const char *text, uint64_t *index_out)
{
    int64_t index;
    if (strlen(text) == KEY_DIGITS && strspn(text, "0123456789abcdef") == KEY_DIGITS)
        return find_key(grid, cells, workers, text, index_out);
    lspo_status_t status = lspo_parse_integer("--explain", text, 0, (int64_t)grid->cell_count - 1, &index);
    if (status == LSPO_OK)
        *index_out = (uint64_t)index;
    return status;
}

lspo_status_t lspo_sweep_explain(const lspo_sweep_grid_t *grid, lspo_sweep_cells_t *cells, lspo_workers_t *workers,
                                 const char *text)
{
    uint64_t index = 0, key = 0;
    lspo_sweep_cell_t cell;
    const char *flags = NULL;
    lspo_status_t status = find_cell(grid, cells, workers, text, &index);
    if (status != LSPO_OK)
        return status;
    if (!lspo_sweep_grid_cell(grid, index, &cell))
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: cell %" PRIu64 " is left out: %s has none of the options that vary there", grid->path,
                          index, cell.policy->name);
    status = lspo_sweep_cells_key(cells, 0, &cell, &key, &flags);
    if (status != LSPO_OK)
        return status;
    if (flags == NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s: a constraint leaves cell %" PRIu64 " out, or it is wrong", grid->path,
                          index);
    printf("lspo sim %s\n", flags);
    return LSPO_OK;
}
