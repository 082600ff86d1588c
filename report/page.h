/* page.h - the report: one HTML page about a folder of results, complete in itself. */
#ifndef LSPO_REPORT_PAGE_H
#define LSPO_REPORT_PAGE_H

#include <stddef.h>

#include "base/status.h"
#include "report/results.h"

/* The page is smaller. */
enum { LSPO_PAGE_MOST_BYTES = 5000000 };

typedef struct {
    const char *data_folder; /* where report/page.css, page.js and frame.js are */
    const char *beside;      /* URL of the folder of results from the page, ending in /; "": the page is there */
} lspo_page_options_t;

/* The page; the caller frees *text_out.  Everything is inside while it stays below LSPO_PAGE_MOST_BYTES; else the
 * largest CSV, and then pictures, are only named.  From four fifths of that on, smaller files are compressed, too.
 * LSPO_ERR_INPUT if it is too large even so, and for files that cannot be read. */
lspo_status_t lspo_page_make(const lspo_results_t *results, const lspo_page_options_t *options, char **text_out,
                             size_t *bytes_out);

#endif
