/* measure.h - measure a plan: `lspo run` in a process of its own, which may crash. */
#ifndef LSPO_CLI_MEASURE_H
#define LSPO_CLI_MEASURE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/table.h"

typedef struct {
    const char *device; /* NULL: the flags name it, or it is the default */
    char *output, *log; /* owned: files for what a run writes */
    const atomic_int *stop;
} lspo_bench_t;

/* Name the files, beside `path`, before the first measurement; release removes them.  So the caller must own `path`. */
lspo_status_t lspo_bench_open(const char *path, lspo_bench_t *bench);
void lspo_bench_release(lspo_bench_t *bench);

/* What a run measured, and predicted / measured - 1 of it; NaN and LSPO_MISSING: unknown. */
typedef struct {
    double iteration_s, low_s, high_s;
    uint64_t sample_count, peak_gpu_bytes, peak_host_bytes, peak_total_bytes, card_bytes;
    double time_error, peak_gpu_error, peak_total_error;
} lspo_run_measured_t;

/* The fields above without card_bytes, of the record at `offset_bytes` of a larger one. */
enum { LSPO_MEASURED_FIELDS = 10 };
void lspo_run_measured_fields(size_t offset_bytes, lspo_field_t fields_out[LSPO_MEASURED_FIELDS]);

/* All unknown. */
void lspo_run_measured_clear(lspo_run_measured_t *measured_out);

/* Run `lspo run` with these options, without the errors.  LSPO_ERR_CHECK, with the run's last message, if it fails in
 * any way; LSPO_ERR_INTERRUPTED if it was interrupted. */
lspo_status_t lspo_bench_measure(const lspo_bench_t *bench, const char *flags, lspo_run_measured_t *measured_out);

#endif
