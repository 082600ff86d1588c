/* serve_arrivals.h - the requests of `lspo serve --arrivals FILE`. */
#ifndef LSPO_CLI_SERVE_ARRIVALS_H
#define LSPO_CLI_SERVE_ARRIVALS_H

#include <stdint.h>

#include "base/status.h"
#include "plan/serving.h"

/* A CSV with the columns time_s, prompt and tokens, and if wanted cancelled, group and prefix (plan/serving.h); an
 * empty cell of these is 0.  LSPO_ERR_INPUT, with file and line, for a row that is not possible or comes before the one
 * above.  The caller frees the requests. */
lspo_status_t lspo_serve_arrivals_read(const char *path, lspo_serving_request_t **requests_out, uint32_t *count_out);

#endif
