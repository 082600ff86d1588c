/* own_cells.h - the parameters of policies as columns of results: one column per parameter, empty if the policy does
 * not have it. */
#ifndef LSPO_PLAN_OWN_CELLS_H
#define LSPO_PLAN_OWN_CELLS_H

#include <stddef.h>
#include <stdint.h>

#include "base/table.h"
#include "plan/plan.h"

enum { LSPO_OWN_CELLS_MAX = 128 };

typedef union {
    uint64_t integer;
    double real;
    const char *text;
    int yes;
} lspo_own_cell_t;

typedef struct {
    char name[48]; /* the parameter's key with _ for - */
    lspo_field_t field;
} lspo_own_field_t;

/* The values of the plan's policy; all others missing.  `cells` has LSPO_OWN_CELLS_MAX, one for each
 * lspo_policies_parameter(). */
void lspo_own_cells_fill(const lspo_plan_t *plan, lspo_own_cell_t *cells);

/* The fields of these cells, which are at `offset_bytes` of a record: first those that are among a result's first
 * columns, *first_out of them, then the others.  Names point into `fields`. */
size_t lspo_own_fields(size_t offset_bytes, lspo_own_field_t fields[LSPO_OWN_CELLS_MAX], size_t *first_out);

#endif
