/* picture.h - an SVG of the results in the page.
 *
 * It is an <img> whose source is the SVG itself, so that ids of two pictures cannot collide, nothing in it runs, and
 * it shows without JavaScript; of a large one the SVG is in its attribute `data-svg` (report/embed.h).  page.js opens
 * those that gnuplot made with `mouse` in a frame of their own.
 */
#ifndef LSPO_REPORT_PICTURE_H
#define LSPO_REPORT_PICTURE_H

#include <stdio.h>

#include "base/status.h"
#include "report/embed.h"
#include "report/figure.h"

/* LSPO_ERR_INPUT for a file that cannot be read or is no SVG; nothing is written then. */
lspo_status_t lspo_picture_write(FILE *page, const lspo_figure_t *figure, const lspo_figure_file_t *file,
                                 const lspo_embed_t *embed);

/* The path of gnuplot's script that the SVG at `path` names; the caller frees it.  NULL if it names none. */
lspo_status_t lspo_picture_script(const char *path, char **script_out);

#endif
