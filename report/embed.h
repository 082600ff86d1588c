/* embed.h - which files of the results are inside the page, in which form, and how the others are named.
 *
 * Small pictures and CSV are in the page as they are.  Larger ones are in an attribute, as base64 of zlib's format,
 * which is a tenth as long; page.js opens it, and without JavaScript they are the files in the folder of results.
 */
#ifndef LSPO_REPORT_EMBED_H
#define LSPO_REPORT_EMBED_H

#include <stddef.h>
#include <stdio.h>

#include "base/status.h"
#include "report/figure.h"

typedef struct {
    size_t plain_most;   /* files that are larger, in bytes, are inside compressed */
    size_t data_most;    /* CSV that are larger compressed stay outside */
    size_t picture_most; /* and pictures */
    const char *beside;  /* URL of the folder of results from the page, ending in /; "": the page is there */
} lspo_embed_t;

/* An attribute ` NAME="..."` with these bytes compressed, or none if they take more than `most` so. */
lspo_status_t lspo_embed_write_packed(FILE *page, const char *name, const char *data, size_t bytes, size_t most,
                                      bool *written_out);

/* The address of a file beside the page, as a part of an attribute. */
void lspo_embed_write_address(FILE *page, const lspo_figure_t *figure, const lspo_figure_file_t *file,
                              const lspo_embed_t *embed);

#endif
