/* record.h - a table of the fields of a plain struct, for code that must write or compare all of them.
 *
 * tests/real/train/test_settings asserts of each table that no field is missing. */
#ifndef LSPO_PLAN_RECORD_H
#define LSPO_PLAN_RECORD_H

#include <stdbool.h>
#include <stddef.h>

/* NAMED: an enum, whose values are indices of `names`.  TEXT: the number of a text (base/texts.h), or 0 for names[0].
 * SCALE: a loss scale (plan/workload.h). */
typedef enum {
    LSPO_RECORD_U32,
    LSPO_RECORD_I32,
    LSPO_RECORD_U64,
    LSPO_RECORD_REAL,
    LSPO_RECORD_BOOL,
    LSPO_RECORD_NAMED,
    LSPO_RECORD_TEXT,
    LSPO_RECORD_SCALE
} lspo_record_kind_t;

typedef struct {
    const char *name; /* of the flag, without dashes */
    size_t offset_bytes;
    lspo_record_kind_t kind;
    const char *const *names; /* NAMED, TEXT */
    bool free;                /* does not affect the numbers of a training, only order, place and speed */
    bool hidden;              /* has no flag */
} lspo_record_field_t;

/* Of a value. */
size_t lspo_record_bytes(lspo_record_kind_t kind);

/* Format the value at `slot`, or the field's value in `record`; different values have different texts. */
void lspo_record_format_value(lspo_record_kind_t kind, const char *const *names, const void *slot, char *text,
                              size_t capacity);
void lspo_record_format(const lspo_record_field_t *field, const void *record, char *text, size_t capacity);

#endif
