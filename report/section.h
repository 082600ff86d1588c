/* section.h - the part of the page on one figure or table. */
#ifndef LSPO_REPORT_SECTION_H
#define LSPO_REPORT_SECTION_H

#include <stdio.h>

#include "base/status.h"
#include "report/embed.h"
#include "report/figure.h"

/* Verdict, what it is, pictures with their data, claims, what was printed, how it was made.  `newest_run` is that of
 * the results: a figure of an earlier one is labelled so.  LSPO_ERR_INPUT for a picture or CSV that cannot be read; of
 * a figure that did not end, the page says so instead. */
lspo_status_t lspo_section_write(FILE *page, const lspo_figure_t *figure, const char *newest_run,
                                 const lspo_embed_t *embed);

/* The title in its README, or else its name. */
void lspo_section_write_title(FILE *page, const lspo_figure_t *figure);

/* "holds: 12 of 12 claims" and the like, in a <span> of the state's class. */
void lspo_section_write_verdict(FILE *page, const lspo_figure_t *figure);

/* The claim and its interval, without the verdict. */
void lspo_section_write_claim(FILE *page, const lspo_claim_t *claim);

/* Rows <dt><dd> on program and machine. */
void lspo_section_write_versions(FILE *page, const lspo_figure_run_t *run);

#endif
