/* where.h - constraints of a grid: comparisons that a cell must satisfy.
 *
 *     where = subspace < model.width and batch * sequence <= 8192 and policy != swap
 *
 * Words are separated by blanks.  A comparison has two sides and one of < <= > >= = !=; a side is a name or a constant,
 * or several with * between them.  Names are the keys of a grid.  A constant has the unit of its key (4GiB), and takes
 * it from the other names of the comparison.  Words are compared with = and !=, and must be values that the key takes;
 * policy = lsp holds for lsp:64:8, too, policy = lsp:64:8 only for what the grid writes so.
 * A comparison with an option that the cell's policy does not have holds.
 */
#ifndef LSPO_SWEEP_WHERE_H
#define LSPO_SWEEP_WHERE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/ini.h"
#include "base/status.h"
#include "sweep/language.h"

typedef struct lspo_where lspo_where_t;

/* LSPO_ERR_INPUT, with file, line and what is expected, for anything else. */
lspo_status_t lspo_where_read(const lspo_sweep_language_t *language, const lspo_ini_entry_t *entry,
                              lspo_where_t **where_out);
/* Accepts NULL. */
void lspo_where_destroy(lspo_where_t *where);

/* The value of a key, whose text is `name`, in a cell: a number, or else a text; neither (NaN, NULL): the cell has no
 * such option. */
typedef void (*lspo_where_value_t)(void *cell, const char *name, const lspo_sweep_key_t *key, double *number_out,
                                   const char **text_out);

/* A number with its unit, as constants and values of cells have it; it may be below 0. */
lspo_status_t lspo_where_number(const char *what, const char *text, lspo_unit_t unit, double *number_out);

/* Do all comparisons hold?  NULL holds. */
bool lspo_where_holds(const lspo_where_t *where, lspo_where_value_t value, void *cell);

#endif
