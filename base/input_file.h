/* input_file.h - read a file that the user names.
 *
 * Only regular files are opened, so that opening never waits: a folder, named pipe, socket or device is refused at
 * once.  Only /dev/stdin and /dev/fd/N, which a shell opens, may be a pipe.  A UTF-8 byte-order mark at the beginning
 * is skipped.  Lines end with "\n" or "\r\n"; the last line may lack it.  Lack of memory, a disk error and a file above
 * its limit are errors, never an early end of the file.  A clone without git lfs has small texts, pointers, in place of
 * large files: those are refused as such.
 */
#ifndef LSPO_BASE_INPUT_FILE_H
#define LSPO_BASE_INPUT_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct lspo_input lspo_input_t;

/* LSPO_ERR_INPUT if the file is missing, cannot be read, is not a file, or has more than `bytes_max` bytes. */
lspo_status_t lspo_input_open(const char *path, uint64_t bytes_max, lspo_input_t **input_out);
void lspo_input_close(lspo_input_t *input);

/* The next line, without its end; it lives until the next call.  A line may contain NUL bytes, and one more follows it.
 * At the end of the file *line_out is NULL. */
lspo_status_t lspo_input_line(lspo_input_t *input, char **line_out, size_t *length_out);
/* The number of the line that lspo_input_line() returned last, counted from 1. */
uint64_t lspo_input_line_number(const lspo_input_t *input);

/* Everything that has not been read yet, followed by a NUL byte; the caller frees it. */
lspo_status_t lspo_input_read_all(lspo_input_t *input, char **text_out, size_t *length_out);
/* The whole file at `path`, as the functions above read it: at most `bytes_max` bytes, followed by a NUL byte; the
 * caller frees it. */
lspo_status_t lspo_input_read_file(const char *path, uint64_t bytes_max, char **text_out, size_t *length_out);

/* LSPO_ERR_INPUT, for a file in which nothing is written. */
lspo_status_t lspo_input_refuse_empty(const char *path);

/* Only open the file, to map or decompress it; the caller closes the descriptor. */
lspo_status_t lspo_input_descriptor(const char *path, int *descriptor_out);

/* LSPO_ERR_INPUT if the file at `path` begins as a pointer of Git LFS; the functions above that read ask this. */
lspo_status_t lspo_input_refuse_pointer(const char *path, const char *text, size_t length);

/* N of /dev/fd/N or /proc/self/fd/N, 0 to 2 of /dev/stdin, /dev/stdout and /dev/stderr; -1 for any other path. */
int lspo_descriptor_of_path(const char *path);

#endif
