/* data_file.h - the bytes of a file of training data, as text.
 *
 * A file of data is UTF-8 text, as it is or packed by gzip.  What is something else would be trained as a text of its
 * bytes and look fine, so it is refused by the name of what it is: tables (Parquet, Arrow, ...), archives, other
 * packings, text in UTF-16 or UTF-32, weights, pictures, and whatever else has many control characters.  A byte-order
 * mark is cut off.
 *
 * Packed text unfolds to 1 GiB at most, and where it is above 64 MiB to 100 times the file: what people write packs
 * less well.
 */
#ifndef LSPO_REAL_DATA_DATA_FILE_H
#define LSPO_REAL_DATA_DATA_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct {
    char *name; /* the path without ".gz": its end says how the text is to be read */
    char *text;
    size_t bytes;
} lspo_data_file_t;

/* LSPO_ERR_INPUT for what cannot be read, is no text, is damaged, empty or too large. */
lspo_status_t lspo_data_file_read(const char *path, lspo_data_file_t *file_out);
void lspo_data_file_release(lspo_data_file_t *file);

/* Places count from 1; a column is a character's. */
typedef struct {
    size_t line, column;
    unsigned char byte;
    size_t count; /* bytes of the text that are no UTF-8 */
} lspo_not_utf8_t;

/* Whether all of the text is UTF-8; if not, *bad_out says where it is not first. */
bool lspo_data_is_utf8(const char *text, size_t bytes, lspo_not_utf8_t *bad_out);

#endif
