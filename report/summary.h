/* summary.h - the page's first screen: what holds, what does not, what this machine can train, how all was made. */
#ifndef LSPO_REPORT_SUMMARY_H
#define LSPO_REPORT_SUMMARY_H

#include <stdio.h>

#include "base/status.h"
#include "report/results.h"

lspo_status_t lspo_summary_write(FILE *page, const lspo_results_t *results);

#endif
