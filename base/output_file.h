/* output_file.h - write a whole file or none.
 *
 * What is written goes into a temporary beside the file, is flushed to the disk and renamed at the end, so that a
 * reader sees the old file or the new one, whole, whatever happens between.
 *   - The temporary is made anew (O_EXCL): no link that lies there is followed.
 *   - A file that exists keeps its mode, and its owner where that is allowed; one that may not be written is refused.
 *   - A symbolic link stays: the file that it names is replaced.
 *   - A temporary of a program that was killed is removed by the next lspo that writes into its folder: a program that
 *     lives holds a lock on its own.
 * /dev/stdout, /dev/stderr and /dev/fd/N are the descriptor itself, written where it stands; any other path that exists
 * and is no regular file (a pipe, /dev/null) is written in place; a named pipe that nobody reads is refused at once.
 */
#ifndef LSPO_BASE_OUTPUT_FILE_H
#define LSPO_BASE_OUTPUT_FILE_H

#include <stdio.h>

#include "base/status.h"

/* How the name of every temporary begins. */
#define LSPO_TEMPORARY_PREFIX ".lspo-temporary-"

typedef struct {
    FILE *file;           /* write here                                                 */
    char *path;           /* owned; as given, for messages                              */
    char *target_path;    /* owned; what is replaced; NULL when written in place        */
    char *temporary_path; /* owned; NULL when written in place                          */
} lspo_output_t;

/* LSPO_ERR_IO when the file cannot be written there. */
lspo_status_t lspo_output_open(const char *path, lspo_output_t *output_out);

/* Close.  With LSPO_OK the file appears at its path, or the error that prevented it is logged and returned; with any
 * other status what was written is dropped and that status returned. */
lspo_status_t lspo_output_finish(lspo_output_t *output, lspo_status_t status);

#endif
