/* sweep_language.h - the keys of a sweep's grid: the options of `lspo sim`, fields of machine and model, columns.
 *
 *     subspace, batch, link, framework, ...   options without dashes
 *     link.h2d_Bps                            a field of the machine (`lspo show machine`); x2: twice the profile's
 *     model.blocks                            a field of the model, by its key in a model's file
 *     rates, link-over-gpu, cpu-over-gpu            rates as shares of a policy's GPU time (validate/grid.h)
 *     column.NAME                             a column of your own, on which nothing depends
 */
#ifndef LSPO_CLI_SWEEP_LANGUAGE_H
#define LSPO_CLI_SWEEP_LANGUAGE_H

#include "ask/request.h"
#include "sweep/grid.h"

/* What a key is: lspo_sweep_key_t.source.  .meaning is the lspo_arg_t, machine or model field. */
enum {
    LSPO_SOURCE_OPTION,
    LSPO_SOURCE_OWN,
    LSPO_SOURCE_MACHINE,
    LSPO_SOURCE_MODEL,
    LSPO_SOURCE_COLUMN,
    LSPO_SOURCE_PACE
};

typedef struct lspo_sweep_words lspo_sweep_words_t;

/* The table for lspo_sweep_grid_read().  It owns the models and machines that the grid names, which are read once, and
 * must outlive the grid. */
lspo_status_t lspo_sweep_words_create(lspo_sweep_words_t **words_out);
void lspo_sweep_words_destroy(lspo_sweep_words_t *words);
lspo_sweep_language_t lspo_sweep_words_language(lspo_sweep_words_t *words);

/* A hash of all models and machines that the grid names. */
uint64_t lspo_sweep_words_hash(const lspo_sweep_words_t *words);

/* A number of a machine's field: "2GB/s", or "x2", twice `own`. */
lspo_status_t lspo_sweep_field_value(const char *what, const lspo_machine_field_t *field, const char *text, double own,
                                     double *value_out);

/* Store the values of "lsp:64:8", as it is in the grid, in a request.  The texts point into `scratch`, which lives as
 * long as they are used.  LSPO_ERR_INPUT if the policy does not take them. */
enum { LSPO_SWEEP_COLON_BYTES = 256 };
lspo_status_t lspo_sweep_colons(const char *what, const lspo_policy_t *policy, const char *text, char *scratch,
                                lspo_request_t *request);

#endif
