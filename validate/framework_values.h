/* framework_values.h - the values of a framework's file (frameworks/NAME.ini) that are fitted to published steps.
 *
 * A value is one of these if its note begins with "fit, prior VALUE:"; VALUE is where the fit begins, with its reason
 * after the colon.  A fit writes the file again, with other values and a comment before [framework] that names the
 * rows; everything else stays.  All other values of a framework are counts or sources' own numbers.
 */
#ifndef LSPO_VALIDATE_FRAMEWORK_VALUES_H
#define LSPO_VALIDATE_FRAMEWORK_VALUES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/presets.h"

enum { LSPO_FRAMEWORK_FITTED_MAX = 8 };

typedef struct {
    size_t field; /* index in lspo_machine_fields */
    double prior;
} lspo_fitted_key_t;

typedef struct {
    const char *name, *path, *text;          /* of the preset */
    char base[LSPO_NAME_BYTES];              /* "": none */
    bool has_field[LSPO_MACHINE_FIELDS_MAX]; /* which values the file gives, fitted or not */
    lspo_fitted_key_t fitted[LSPO_FRAMEWORK_FITTED_MAX];
    uint32_t fitted_count;
} lspo_framework_file_t;

/* The file of a built-in framework.  LSPO_ERR_INPUT, with file and line, for a prior that is no value of its field. */
lspo_status_t lspo_framework_file_read(const char *name, lspo_framework_file_t *file_out);
/* The same of any text, which is not copied. */
lspo_status_t lspo_framework_file_take(const lspo_preset_t *preset, lspo_framework_file_t *file_out);

/* LSPO_ERR_INPUT if there is a FOLDER/NAME.ini that differs from the built-in file in more than fitted values and their
 * rows, because writing would lose its changes. */
lspo_status_t lspo_framework_file_check(const lspo_framework_file_t *file, const char *folder);

/* Write FOLDER/NAME.ini, completely or not at all: the framework's file with these values, one for each of
 * file->fitted, and a comment with the lines of `rows` (NULL: no rows). */
lspo_status_t lspo_framework_file_write(const lspo_framework_file_t *file, const double *values, const char *rows,
                                        const char *folder);

#endif
