/* output_file.h - write a file completely or not at all.
 *
 * The data goes to a temporary file in the same folder, which is flushed to disk and renamed at the end.  So a reader
 * sees either the old file or the complete new one, whatever happens in between.
 *   - The temporary file is created with O_EXCL, so no existing link is followed.
 *   - An existing file keeps its mode and, if permitted, its owner; a file without write permission is refused.
 *   - A symbolic link stays; the file that it points to is replaced.
 *   - The next lspo that writes to the folder removes temporary files of killed programs; a running program holds a
 * lock on its own. /dev/stdout, /dev/stderr and /dev/fd/N are written through the descriptor itself, at its current
 * position.  Any other existing path that is not a regular file (a pipe, /dev/null) is written in place.  A named pipe
 * without a reader is refused at once.
 */
#ifndef LSPO_BASE_OUTPUT_FILE_H
#define LSPO_BASE_OUTPUT_FILE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/status.h"

/* Prefix of the names of all temporary files. */
#define LSPO_TEMPORARY_PREFIX ".lspo-temporary-"

typedef struct {
    FILE *file;           /* write here                                                 */
    char *path;           /* owned; as given, for messages                              */
    char *target_path;    /* owned; what is replaced; NULL when written in place        */
    char *temporary_path; /* owned; NULL when written in place                          */
} lspo_output_t;

/* LSPO_ERR_IO if the file cannot be written. */
lspo_status_t lspo_output_open(const char *path, lspo_output_t *output_out);

/* Are both paths there, and the same file or folder? */
bool lspo_same_file(const char *a, const char *b);

/* Close the file.  If `status` is LSPO_OK, the file appears at its path, or an error is logged and returned.  With any
 * other status the data is discarded and `status` is returned. */
lspo_status_t lspo_output_finish(lspo_output_t *output, lspo_status_t status);

#endif
