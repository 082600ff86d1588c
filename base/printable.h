/* printable.h - text from files and command lines, made harmless for a terminal.
 *
 * A byte that is not valid UTF-8, a control character (C0, DEL, C1) and a character that reorders or breaks the line
 * (U+2028, U+2029, U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069) become \xNN, byte by byte; newline, tab and
 * carriage return become \n, \t and \r.  All else stays as it is.
 */
#ifndef LSPO_BASE_PRINTABLE_H
#define LSPO_BASE_PRINTABLE_H

#include <stddef.h>

/* At most this many bytes come from one byte. */
enum { LSPO_PRINTABLE_MOST = 4 };

/* Writes `text` so into `buffer` and returns its length.  What does not fit is cut before a whole character or escape
 * and "..." stands there; the buffer always ends with a zero byte.  `capacity` is at least 4. */
size_t lspo_printable(const char *text, char *buffer, size_t capacity);

/* The same, with only what is not valid UTF-8 replaced: for formats that have escapes of their own. */
size_t lspo_valid_utf8(const char *text, char *buffer, size_t capacity);

#endif
