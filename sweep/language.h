/* language.h - what the keys of a grid mean.  Only the command line knows all flags, so it passes this table. */
#ifndef LSPO_SWEEP_LANGUAGE_H
#define LSPO_SWEEP_LANGUAGE_H

#include <stdbool.h>

#include "base/status.h"
#include "base/units.h"
#include "plan/parameter.h"

typedef enum { LSPO_SWEEP_TEXT, LSPO_SWEEP_INTEGER, LSPO_SWEEP_QUANTITY } lspo_sweep_kind_t;

/* A key: an option without dashes ("subspace"), "section.key" of the machine, "model.key", or "column.NAME". */
typedef struct {
    lspo_sweep_kind_t kind;
    lspo_unit_t unit;                  /* of a quantity */
    bool has_colons;                   /* a text may have values behind colons: lsp:64:8 is also lsp */
    const lspo_parameter_t *parameter; /* of a policy's own option; NULL: it is none */
    int source;                        /* these two are the owner's of the table */
    const void *meaning;
} lspo_sweep_key_t;

typedef struct {
    void *context;
    /* Find a key; `what` (FILE:LINE) names it in messages.  LSPO_ERR_INPUT if there is none. */
    lspo_status_t (*find)(void *context, const char *what, const char *key, lspo_sweep_key_t *key_out);
    /* Check a value of the key; *resolved_out is what it stands for (the policy, model or machine of that name), or
     * NULL.  It lives as long as the table. */
    lspo_status_t (*check)(void *context, const char *what, const lspo_sweep_key_t *key, const char *value,
                           const void **resolved_out);
} lspo_sweep_language_t;

#endif
