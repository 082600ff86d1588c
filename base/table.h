/* table.h - write records as a table for people, as CSV or as JSON, from one description of their fields.
 *
 * A record is a plain struct.  A field describes one value: its offset, its name in CSV and JSON, and its unit.
 * Missing values are empty in CSV, null in JSON and "-" in tables, never 0: NaN for reals, NULL or "" for texts,
 * LSPO_MISSING for integers, a negative int for yes/no.  Numbers are printed to nine digits in base units in CSV and
 * JSON, and with a unit ("28.1 ms") in tables.  Control characters in texts are written as \xNN in tables, and in CSV
 * on a terminal; what is not UTF-8 in tables and in JSON (base/printable.h).
 */
#ifndef LSPO_BASE_TABLE_H
#define LSPO_BASE_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "base/units.h"

typedef enum { LSPO_FORMAT_AUTO = -1, LSPO_FORMAT_TABLE, LSPO_FORMAT_CSV, LSPO_FORMAT_JSON } lspo_format_t;

/* "table", "csv", "json"; ends with NULL. */
extern const char *const lspo_format_names[];

/* AUTO: a table on a terminal, CSV otherwise. */
lspo_format_t lspo_format_resolve(int format);

#define LSPO_MISSING UINT64_MAX

typedef enum {
    LSPO_FIELD_TEXT,    /* const char * */
    LSPO_FIELD_REAL,    /* double       */
    LSPO_FIELD_INTEGER, /* uint64_t     */
    LSPO_FIELD_YES_NO,  /* int: 1, 0, negative */
    LSPO_FIELD_STRING   /* as TEXT, but missing only if NULL: "" is a value */
} lspo_field_kind_t;

typedef struct {
    const char *name; /* in CSV and JSON, with its unit */
    lspo_field_kind_t kind;
    lspo_unit_t unit; /* for tables */
    size_t offset_bytes;
} lspo_field_t;

typedef struct {
    const lspo_field_t *fields;
    size_t field_count;
    const void *records; /* record_count structs of record_bytes each */
    size_t record_bytes;
    size_t record_count;
} lspo_table_t;

/* Make the field of a record a missing value. */
void lspo_field_clear(const lspo_field_t *field, void *record);

/* Many records: one line each; JSON is an array of objects. */
lspo_status_t lspo_table_write(const lspo_table_t *table, lspo_format_t format, FILE *file);
/* One record as a line without its end, for files of many records: CSV, or JSON, of which each line is an object.  The
 * names of the columns as a line of CSV. */
lspo_status_t lspo_table_write_line(const lspo_table_t *table, size_t record, lspo_format_t format, FILE *file);
void lspo_table_write_names(const lspo_table_t *table, FILE *file);
/* A text as a cell of CSV, in quotes if it needs them. */
void lspo_table_write_text(const char *text, FILE *file);
/* One record: the table has one line per field and omits missing values; JSON is one object. */
lspo_status_t lspo_table_write_record(const lspo_table_t *table, lspo_format_t format, FILE *file);

#endif
