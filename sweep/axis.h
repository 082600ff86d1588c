/* axis.h - an axis of a grid: a key and the values that it takes.
 *
 * Values are words, separated by blanks; a word may be quoted.  Of a number with its unit, a word may be a range:
 *     linear(FROM, TO)          FROM, FROM + 1, ... up to TO; linear(FROM, TO, STEP): in steps of STEP
 *     log2(FROM, TO)            FROM, 2 FROM, 4 FROM, ... up to TO; log2(FROM, TO, N): N values per doubling, which are
 *                               rounded, each once, if the key takes integers
 * `policy = all` stands for the names of all policies.
 */
#ifndef LSPO_SWEEP_AXIS_H
#define LSPO_SWEEP_AXIS_H

#include <stdint.h>

#include "base/ini.h"
#include "base/status.h"
#include "sweep/language.h"

enum { LSPO_SWEEP_VALUES_MAX = 1000000 };

typedef struct {
    char *key;   /* owned */
    char *where; /* owned: "FILE:LINE" */
    lspo_sweep_key_t info;
    char **values;         /* owned, and each of them */
    const void **resolved; /* owned: what each value stands for */
    uint32_t count;
    uint32_t capacity;
} lspo_axis_t;

/* Read an axis.  LSPO_ERR_INPUT, with file, line, value and allowed values in the message, for an unknown key, a value
 * or range that the key does not take, and an axis without values. */
lspo_status_t lspo_axis_read(const lspo_sweep_language_t *language, const lspo_ini_entry_t *entry,
                             lspo_axis_t *axis_out);
void lspo_axis_release(lspo_axis_t *axis);

#endif
