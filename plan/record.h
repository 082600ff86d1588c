/* record.h - a plain struct as a table of its fields: what must say or compare all of them walks the table.
 *
 * tests/real/train/test_settings asserts of each table that no field is missing. */
#ifndef LSPO_PLAN_RECORD_H
#define LSPO_PLAN_RECORD_H

#include <stdbool.h>
#include <stddef.h>

/* NAMED: an enum, whose values are indices of `names`.  SCALE: a loss scale (plan/workload.h). */
typedef enum {
    LSPO_RECORD_U32,
    LSPO_RECORD_I32,
    LSPO_RECORD_U64,
    LSPO_RECORD_REAL,
    LSPO_RECORD_BOOL,
    LSPO_RECORD_NAMED,
    LSPO_RECORD_SCALE
} lspo_record_kind_t;

typedef struct {
    const char *name; /* as the flag is called, without dashes */
    size_t offset_bytes;
    lspo_record_kind_t kind;
    const char *const *names; /* NAMED */
    bool free;                /* changes no number of a training: order, place and pace only */
    bool hidden;              /* no flag gives it */
} lspo_record_field_t;

/* The field's value in `record` as text that another value does not have; the same of a value at `slot`. */
void lspo_record_format_value(lspo_record_kind_t kind, const char *const *names, const void *slot, char *text,
                              size_t capacity);
void lspo_record_format(const lspo_record_field_t *field, const void *record, char *text, size_t capacity);

#endif
