/* data.h - a CSV of the results in the page: its first rows as a table, and all of it as a link. */
#ifndef LSPO_REPORT_DATA_H
#define LSPO_REPORT_DATA_H

#include <stdio.h>

#include "base/status.h"
#include "report/embed.h"
#include "report/figure.h"

/* Folded: the name, the table, the link, in whose attribute `data-csv` a large file is (report/embed.h).
 * LSPO_ERR_INPUT for a file that cannot be read or is malformed (base/csv_file.h); nothing is written then. */
lspo_status_t lspo_data_write(FILE *page, const lspo_figure_t *figure, const lspo_figure_file_t *file,
                              const lspo_embed_t *embed);

/* All rows of the CSV at `path` as a table. */
lspo_status_t lspo_data_write_table(FILE *page, const char *path);

/* A link to a file beside the page. */
void lspo_data_write_link(FILE *page, const lspo_figure_t *figure, const lspo_figure_file_t *file,
                          const lspo_embed_t *embed);

#endif
