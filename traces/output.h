/* output.h - write a whole file or none: into a temporary beside the path, flushed to disk, renamed at the end.
 *
 * A path that exists and is no regular file (/dev/stdout, a pipe) is written in place.
 */
#ifndef LSPO_TRACES_OUTPUT_H
#define LSPO_TRACES_OUTPUT_H

#include <stdio.h>

#include "plan/status.h"

typedef struct {
    FILE *file;           /* write here                              */
    char *path;           /* owned                                   */
    char *temporary_path; /* owned; NULL when `path` is written in place */
} lspo_output_t;

lspo_status_t lspo_output_open(const char *path, lspo_output_t *output_out);

/* Close.  With LSPO_OK the file appears at its path, or the error that prevented it is logged and returned; with any
 * other status what was written is dropped and that status returned. */
lspo_status_t lspo_output_finish(lspo_output_t *output, lspo_status_t status);

#endif
