/* printable.h - make text from files and command lines safe to print on a terminal.
 *
 * A byte that is not valid UTF-8, a control character (C0, DEL, C1) and a character that reorders or breaks the line
 * (U+2028, U+2029, U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069) become \xNN, byte by byte; newline, tab and
 * carriage return become \n, \t and \r.  Everything else is unchanged.
 */
#ifndef LSPO_BASE_PRINTABLE_H
#define LSPO_BASE_PRINTABLE_H

#include <stddef.h>

/* One input byte becomes at most so many bytes. */
enum { LSPO_PRINTABLE_MOST = 4 };

/* Writes the printable form of `text` to `buffer` and returns its length.  If it does not fit, it is cut off before a
 * whole character or escape and ends with "...".  The buffer always ends with a NUL byte.  `capacity` is at least 4. */
size_t lspo_printable(const char *text, char *buffer, size_t capacity);

/* The same, but replaces only what is not valid UTF-8, for formats that have their own escapes. */
size_t lspo_valid_utf8(const char *text, char *buffer, size_t capacity);

#endif
