/* serve_result.h - what `lspo serve` reports of one kind of cache. */
#ifndef LSPO_CLI_SERVE_RESULT_H
#define LSPO_CLI_SERVE_RESULT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/serving.h"

typedef struct {
    const char *origin, *model, *machine, *cache, *version;
    uint64_t requests, served, cancelled, refused, waited, preempted, tokens, texts_peak;
    double time_s, tokens_per_s, first_token_s, first_token_p95_s, token_s, texts_mean;
    uint64_t cache_bytes, peak_bytes, mean_bytes, freed_bytes, shared_bytes;
    double freed_share, freed_mean_share, waste_share;
    uint64_t maps;
    double map_s, exposed_s;
} lspo_serve_result_t;

/* Fill in all but the texts.  LSPO_ERR_MEMORY. */
lspo_status_t lspo_serve_result_fill(const lspo_serving_options_t *options, const lspo_serving_request_t *requests,
                                     uint32_t count, const lspo_served_t *served, const lspo_serving_report_t *report,
                                     lspo_serve_result_t *result_out);

lspo_status_t lspo_serve_results_write(const lspo_serve_result_t *results, size_t count, int format);

#endif
