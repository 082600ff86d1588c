/* markdown.h - the part of Markdown that the README files of the experiments use, as HTML.
 *
 * Blocks: headings with #, paragraphs, lists with - * or numbers, tables with |, code between ``` or indented by four
 * blanks.  In a line: `code`, **strong**, *emphasis*, [links](https://...), and \ before punctuation.  A link to
 * another figure, (../NAME/README.md), leads to its place in the page; any other target is left out and its text stays.
 * All else, HTML included, is text.
 */
#ifndef LSPO_REPORT_MARKDOWN_H
#define LSPO_REPORT_MARKDOWN_H

#include <stddef.h>
#include <stdio.h>

#include "base/status.h"

/* A first heading is the title and is left out; the others are written as <h4> and below. */
lspo_status_t lspo_markdown_write(FILE *page, const char *text, size_t bytes);

/* The text of the first line if it is a heading; *bytes_out is 0 if it is none. */
const char *lspo_markdown_title(const char *text, size_t bytes, size_t *bytes_out);

/* One line or paragraph: what may stand within a line. */
void lspo_markdown_write_line(FILE *page, const char *text, size_t bytes);

#endif
