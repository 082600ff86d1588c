/* data_file.h - read a file of training data as text.
 *
 * Training data must be UTF-8 text, plain or compressed with gzip.  Other data could be trained on as bytes without
 * anybody noticing, so it is refused with a message that names it: tables (Parquet, Arrow, ...), archives, other
 * compression, UTF-16 or UTF-32, weights, pictures, and anything else with many control characters.  A byte-order mark
 * is skipped.
 *
 * Compressed text may expand to at most 1 GiB and, above 64 MiB, to at most 100 times the size of the file; real text
 * compresses less well.
 */
#ifndef LSPO_REAL_DATA_DATA_FILE_H
#define LSPO_REAL_DATA_DATA_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct {
    char *name; /* the path without ".gz"; its extension gives the form of the text */
    char *text;
    size_t bytes;
} lspo_data_file_t;

/* LSPO_ERR_INPUT if the file cannot be read, is not text, or is damaged, empty or too large. */
lspo_status_t lspo_data_file_read(const char *path, lspo_data_file_t *file_out);
void lspo_data_file_release(lspo_data_file_t *file);

/* Lines and columns are counted from 1; columns are characters. */
typedef struct {
    size_t line, column;
    unsigned char byte;
    size_t count; /* bytes of the text that are not UTF-8 */
} lspo_not_utf8_t;

/* Is all of the text UTF-8?  If not, *bad_out is the first place where it is not. */
bool lspo_data_is_utf8(const char *text, size_t bytes, lspo_not_utf8_t *bad_out);

#endif
