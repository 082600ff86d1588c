/* html.h - text in an HTML page.
 *
 * What is written here can neither end an element or attribute nor begin one: & < > " ' are written as references.
 * Bytes that are not UTF-8 and control characters become \xNN (base/printable.h); line ends and tabs stay.
 */
#ifndef LSPO_REPORT_HTML_H
#define LSPO_REPORT_HTML_H

#include <stddef.h>
#include <stdio.h>

#include "base/status.h"

/* Text of an element or, in double quotes, of an attribute. */
void lspo_html_text(FILE *page, const char *text, size_t bytes);
void lspo_html_print(FILE *page, const char *text);

/* `bytes` as "12 kB", in powers of 1000. */
void lspo_html_size(FILE *page, size_t bytes);

/* Bytes as a part of a URL in an attribute. */
void lspo_html_url_data(FILE *page, const char *data, size_t bytes);

/* Close a stream of open_memstream() with this text.  LSPO_ERR_MEMORY, logged, if something was lost; glibc then leaves
 * NULL or a part, which the caller frees in any case. */
lspo_status_t lspo_html_close(FILE *page, char *const *text);

#endif
