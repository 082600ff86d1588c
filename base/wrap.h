/* wrap.h - wrap text to the width of a terminal. */
#ifndef LSPO_BASE_WRAP_H
#define LSPO_BASE_WRAP_H

#include <stddef.h>
#include <stdio.h>

/* Width of the terminal in columns: $COLUMNS, or the terminal's own value.  0 if `file` is not a terminal. */
size_t lspo_terminal_width(FILE *file);

/* Number of bytes of `text` that fit into a line of `width` columns: up to a blank or line end, or the whole word if it
 * is longer. */
size_t lspo_wrap_line(const char *text, size_t width);

/* Print `left`, then `text` wrapped from column `indent` on, or on the next line if `left` is longer.  Ends the
 * line. */
void lspo_wrap_item(FILE *file, const char *left, const char *text, size_t indent, size_t width);

/* Print paragraphs wrapped; lines that begin with a blank are unchanged.  Ends with a line end. */
void lspo_wrap_text(FILE *file, const char *text, size_t width);

/* Print what `print` writes, wrapped if `file` is a terminal. */
void lspo_wrap_print(FILE *file, void (*print)(FILE *file, const void *context), const void *context);

#endif
