/* serve_result.c - see serve_result.h. */
#include "cli/serve_result.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/table.h"

#define TEXT(field)                                                                                                    \
    {                                                                                                                  \
#field, LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(lspo_serve_result_t, field)                                  \
    }
#define REAL(field, unit)                                                                                              \
    {                                                                                                                  \
#field, LSPO_FIELD_REAL, unit, offsetof(lspo_serve_result_t, field)                                            \
    }
#define INTEGER(field, unit)                                                                                           \
    {                                                                                                                  \
#field, LSPO_FIELD_INTEGER, unit, offsetof(lspo_serve_result_t, field)                                         \
    }

static const lspo_field_t fields[] = {
    TEXT(origin),
    TEXT(model),
    TEXT(machine),
    TEXT(cache),
    INTEGER(requests, LSPO_UNIT_NONE),
    INTEGER(served, LSPO_UNIT_NONE),
    INTEGER(cancelled, LSPO_UNIT_NONE),
    INTEGER(refused, LSPO_UNIT_NONE),
    INTEGER(waited, LSPO_UNIT_NONE),
    INTEGER(preempted, LSPO_UNIT_NONE),
    REAL(time_s, LSPO_UNIT_SECONDS),
    INTEGER(tokens, LSPO_UNIT_NONE),
    REAL(tokens_per_s, LSPO_UNIT_NONE),
    REAL(first_token_s, LSPO_UNIT_SECONDS),
    REAL(first_token_p95_s, LSPO_UNIT_SECONDS),
    REAL(token_s, LSPO_UNIT_SECONDS),
    INTEGER(texts_peak, LSPO_UNIT_NONE),
    REAL(texts_mean, LSPO_UNIT_NONE),
    INTEGER(cache_bytes, LSPO_UNIT_BYTES),
    INTEGER(peak_bytes, LSPO_UNIT_BYTES),
    INTEGER(mean_bytes, LSPO_UNIT_BYTES),
    INTEGER(freed_bytes, LSPO_UNIT_BYTES),
    REAL(freed_share, LSPO_UNIT_NONE),
    REAL(freed_mean_share, LSPO_UNIT_NONE),
    REAL(waste_share, LSPO_UNIT_NONE),
    INTEGER(shared_bytes, LSPO_UNIT_BYTES),
    INTEGER(maps, LSPO_UNIT_NONE),
    REAL(map_s, LSPO_UNIT_SECONDS),
    REAL(exposed_s, LSPO_UNIT_SECONDS),
    TEXT(version),
};

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Times to the first token, and per token after it, of the requests that had some. */
static lspo_status_t fill_times(const lspo_serving_request_t *requests, uint32_t count, const lspo_served_t *served,
                                lspo_serve_result_t *result)
{
    double *first_s = malloc((count + 1U) * sizeof *first_s), sum_s = 0, rest_s = 0;
    uint64_t begun = 0, rest = 0;
    if (first_s == NULL)
        return lspo_no_memory("%u times", count);
    for (uint32_t i = 0; i < count; i++) {
        if (served[i].tokens == 0)
            continue;
        first_s[begun] = served[i].first_s - requests[i].arrival_s;
        sum_s += first_s[begun++];
        rest_s += served[i].end_s - served[i].first_s;
        rest += served[i].tokens - 1;
    }
    qsort(first_s, begun, sizeof *first_s, compare);
    result->first_token_s = begun > 0 ? sum_s / (double)begun : (double)NAN;
    result->first_token_p95_s = begun > 0 ? first_s[(size_t)(0.95 * (double)(begun - 1) + 0.5)] : (double)NAN;
    result->token_s = rest > 0 ? rest_s / (double)rest : (double)NAN;
    free(first_s);
    return LSPO_OK;
}

lspo_status_t lspo_serve_result_fill(const lspo_serving_options_t *options, const lspo_serving_request_t *requests,
                                     uint32_t count, const lspo_served_t *served, const lspo_serving_report_t *report,
                                     lspo_serve_result_t *result_out)
{
    const bool mapped = options->cache == LSPO_SERVING_VTENSOR;
    const double all = (double)options->cache_bytes;
    lspo_serve_result_t result = {
        .requests = count,
        .served = report->served,
        .cancelled = report->cancelled,
        .refused = report->refused,
        .waited = report->waited,
        .preempted = report->preempted,
        .time_s = report->end_s,
        .tokens = report->tokens,
        .tokens_per_s = report->end_s > 0 ? (double)report->tokens / report->end_s : (double)NAN,
        .texts_peak = report->texts_peak,
        .texts_mean = report->texts_mean,
        .cache_bytes = options->cache_bytes,
        .peak_bytes = report->peak_bytes,
        .mean_bytes = (uint64_t)report->mean_bytes,
        /* Blocks and places are all taken at the start. */
        .freed_bytes = mapped ? options->cache_bytes - report->peak_bytes : 0,
        .freed_share = mapped ? 1 - (double)report->peak_bytes / all : 0,
        .freed_mean_share = mapped ? 1 - report->mean_bytes / all : 0,
        .waste_share =
            report->held_mean_bytes > 0 ? 1 - report->stored_mean_bytes / report->held_mean_bytes : (double)NAN,
        .shared_bytes = report->shared_peak_bytes,
        .maps = mapped ? report->calls.maps : LSPO_MISSING,
        .map_s = mapped ? report->map_s : (double)NAN,
        .exposed_s = mapped ? report->exposed_s : (double)NAN,
    };
    lspo_status_t status = fill_times(requests, count, served, &result);
    if (status == LSPO_OK)
        *result_out = result;
    return status;
}

lspo_status_t lspo_serve_results_write(const lspo_serve_result_t *results, size_t count, int format)
{
    const lspo_table_t table = {.fields = fields,
                                .field_count = sizeof fields / sizeof fields[0],
                                .records = results,
                                .record_bytes = sizeof *results,
                                .record_count = count};
    const lspo_format_t how = lspo_format_resolve(format);
    if (how != LSPO_FORMAT_TABLE)
        return lspo_table_write(&table, how, stdout);
    /* One below the other: there are too many columns for a row. */
    for (size_t i = 0; i < count; i++) {
        const lspo_table_t one = {.fields = fields,
                                  .field_count = table.field_count,
                                  .records = &results[i],
                                  .record_bytes = sizeof *results,
                                  .record_count = 1};
        if (i > 0)
            putchar('\n');
        lspo_status_t status = lspo_table_write_record(&one, how, stdout);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}
