/* wrap.h - text that fits the width of a terminal. */
#ifndef LSPO_BASE_WRAP_H
#define LSPO_BASE_WRAP_H

#include <stddef.h>
#include <stdio.h>

/* Columns of the terminal that `file` is: $COLUMNS, or what the terminal says.  0: it is none. */
size_t lspo_terminal_width(FILE *file);

/* How many bytes of `text` go into a line of `width` columns: up to a blank or line end, or all of a word that is
 * longer. */
size_t lspo_wrap_line(const char *text, size_t width);

/* `left`, then `text` from column `indent` on, wrapped; on a line of its own when `left` is longer.  Ends the line. */
void lspo_wrap_item(FILE *file, const char *left, const char *text, size_t indent, size_t width);

/* Paragraphs as in command.h: wrapped, but lines that begin with a blank stay as they are.  Ends with a line end. */
void lspo_wrap_text(FILE *file, const char *text, size_t width);

/* What `print` writes: as it is, or, where `file` is a terminal, wrapped like a text. */
void lspo_wrap_print(FILE *file, void (*print)(FILE *file, const void *context), const void *context);

#endif
