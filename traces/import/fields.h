/* fields.h - the fields of an event of a profile that an import needs, as they are in the file. */
#ifndef LSPO_TRACES_IMPORT_FIELDS_H
#define LSPO_TRACES_IMPORT_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "traces/import/rules.h"
#include "traces/import/scan.h"

/* A number or an identifier; useful ones are short. */
typedef struct {
    char text[48];
    bool is_string, present;
} lspo_import_value_t;

typedef struct {
    lspo_scan_word_t name; /* owned */
    lspo_import_value_t phase, category, process, thread, start, duration;
    lspo_import_value_t correlation, bytes, size, device, stream; /* of "args" */
    uint8_t event_class;                                          /* 0 without a category that is needed */
    bool has_name, needless;
    lspo_scan_word_t key, word; /* owned: room */
} lspo_import_fields_t;

/* Read one event, from after its '{' to after its '}'.  Once it is clear that the event is not needed, the other fields
 * may be left out. */
lspo_scan_status_t lspo_import_fields_read(lspo_scan_t *scan, lspo_import_fields_t *fields);
void lspo_import_fields_release(lspo_import_fields_t *fields);

/* 0: an event that an import does not need. */
uint8_t lspo_import_event_class(const char *category);

/* A finite number that is not a string; false for everything else. */
bool lspo_import_value_number(const lspo_import_value_t *value, double *number_out);
/* An integer, also as text and in hexadecimal ("0x1f"); 64-bit ones wrap around.  `missing` for everything else. */
int64_t lspo_import_value_whole(const lspo_import_value_t *value, int64_t missing);
/* A number that identifies this value, of any kind; 0 without a value. */
uint64_t lspo_import_value_identity(const lspo_import_value_t *value);

#endif
