/* parameter.h - a policy's own parameters: one table per policy, from which everything that names parameters is made.
 *
 * A policy file declares a struct of its values (its block), a description of each parameter, and a table that lists
 * these with their offsets in the block.  Flags, checks, help, man pages, results, trace headers, grids, the settings
 * that a resumed training must keep, completion and documents are made only from these tables.  A parameter of several
 * policies is declared once (plan/policies/shared.h). */
#ifndef LSPO_PLAN_PARAMETER_H
#define LSPO_PLAN_PARAMETER_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "base/units.h"
#include "plan/model.h"
#include "plan/record.h"
#include "plan/workload.h"

struct lspo_policy;

/* What depends on the value: the ops of the plan, the numbers that a training computes, or both. */
typedef enum { LSPO_AFFECTS_PLAN = 1, LSPO_AFFECTS_NUMBERS = 2, LSPO_AFFECTS_BOTH = 3 } lspo_affects_t;

/* Do the arrays of a training depend on the value, or only on whether it is above 0? */
typedef enum { LSPO_ARRAYS_SAME, LSPO_ARRAYS_BY_VALUE, LSPO_ARRAYS_BY_USE } lspo_arrays_t;

/* What defaults and ranges may depend on. */
typedef struct {
    const struct lspo_policy *policy;
    const lspo_model_t *model;       /* NULL in lspo_workload_default(): the default of a large model */
    const lspo_workload_t *workload; /* while defaults are set: has the values of the rows above    */
    bool training;                   /* for `lspo train`, which runs for long */
} lspo_parameter_context_t;

typedef struct {
    const char *key;          /* the flag without dashes; in results with _ for - */
    const char *value;        /* placeholder of the value in help; its words in lower case are values */
    const char *unit;         /* of the value, for people: "steps"; NULL: a plain number or a word */
    const char *help;         /* one line, without the default */
    lspo_record_kind_t kind;  /* "auto" is -1: I32, and REAL whose preset it is */
    lspo_unit_t quantity;     /* REAL: how the value is written */
    const char *const *names; /* NAMED: NULL-terminated; TEXT: names[0] is the value 0, the default */
    double preset;            /* default */
    double (*preset_of)(const lspo_parameter_context_t *context); /* default that depends on model and workload, and */
    const char *preset_is;                                        /* its text in help                                */
    const char *unnamed; /* the value of a training whose checkpoint is older than the parameter; NULL: the default */
    double low, high;    /* allowed, both inclusive; high 0: no limit      */
    bool above_low;      /* REAL: low itself is not allowed                */
    double (*high_of)(const lspo_parameter_context_t *context); /* a stricter upper limit, and                     */
    const char *high_is;                                        /* its text                                        */
    lspo_affects_t affects;
    lspo_arrays_t arrays;
    uint32_t column; /* place among the first columns of results, from 1; 0: after all others */
} lspo_parameter_t;

/* A row of a policy's table. */
typedef struct {
    const lspo_parameter_t *parameter;
    size_t offset_bytes; /* of the value in the policy's block */
    bool in_grid;        /* its value may follow the policy's name in a grid: "lsp:64:8" (validate/grid.h) */
    const char *brings;  /* NULL, or a flag that such a value in a grid implies */
} lspo_parameter_use_t;

typedef struct {
    const lspo_parameter_use_t *uses;
    size_t count;
    size_t block_bytes;
} lspo_parameters_t;

/* The values of the policies with this table in a workload.  The table must belong to a policy in
 * plan/policy_table.c. */
const void *lspo_values_of(const lspo_workload_t *workload, const lspo_parameters_t *table);
void *lspo_values_edit(lspo_workload_t *workload, const lspo_parameters_t *table);

/* After a policy's `typedef struct LSPO_VALUES_BLOCK {...} lspo_NAME_values_t` and `lspo_NAME_parameters`:
 * lspo_NAME_values_of(workload) reads its struct, lspo_NAME_values_edit(workload) changes it. */
#define LSPO_VALUES(name)                                                                                              \
    static_assert(sizeof(lspo_##name##_values_t) <= LSPO_VALUES_BYTES / 4, "a policy's struct is small");              \
    static inline const lspo_##name##_values_t *lspo_##name##_values_of(const lspo_workload_t *workload)               \
    {                                                                                                                  \
        return lspo_values_of(workload, &lspo_##name##_parameters);                                                    \
    }                                                                                                                  \
    static inline lspo_##name##_values_t *lspo_##name##_values_edit(lspo_workload_t *workload)                         \
    {                                                                                                                  \
        return lspo_values_edit(workload, &lspo_##name##_parameters);                                                  \
    }                                                                                                                  \
    static_assert(sizeof(lspo_##name##_values_t) > 0, "")

#define LSPO_PARAMETERS(uses, block)                                                                                   \
    {                                                                                                                  \
        uses, sizeof(uses) / sizeof(uses)[0], sizeof(block)                                                            \
    }

/* Parse `text` into *slot; `what` names it in messages ("--rank").  Limits that depend on the model are checked
 * later. */
lspo_status_t lspo_parameter_parse(const lspo_parameter_t *parameter, const char *what, const char *text, void *slot);

/* Format the value at `slot`; lspo_parameter_parse() reads back exactly the same value. */
void lspo_parameter_format(const lspo_parameter_t *parameter, const void *slot, char *text, size_t capacity);

/* The default and the range as texts: "512", "auto"; "at least 1, at most 1000", "above 0, at most 1". */
void lspo_parameter_default_text(const lspo_parameter_t *parameter, char *text, size_t capacity);
void lspo_parameter_range_text(const lspo_parameter_t *parameter, char *text, size_t capacity);
const char *lspo_affects_name(lspo_affects_t affects); /* "plan", "numbers", "plan and numbers" */

/* Write the default to *slot. */
void lspo_parameter_set_default(const lspo_parameter_t *parameter, const lspo_parameter_context_t *context, void *slot);
/* Is the value at `slot` within its limits?  The message names flag, value and allowed range. */
lspo_status_t lspo_parameter_check(const lspo_parameter_t *parameter, const lspo_parameter_context_t *context,
                                   const void *slot);

/* Is the value a word, NAMED or TEXT?  And the word of its number. */
static inline bool lspo_parameter_is_word(const lspo_parameter_t *parameter)
{
    return parameter->kind == LSPO_RECORD_NAMED || parameter->kind == LSPO_RECORD_TEXT;
}
const char *lspo_parameter_word(const lspo_parameter_t *parameter, uint32_t number);

/* Store a number at `slot`, or read it; of words see plan/record.h. */
void lspo_parameter_store(const lspo_parameter_t *parameter, double value, void *slot);
double lspo_parameter_number(const lspo_parameter_t *parameter, const void *slot);

#endif
