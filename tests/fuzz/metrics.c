/* Metrics of a training: read, and continued. */
#include "real/train/metrics.h"

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file("metrics.csv", data, size);
    lspo_metrics_row_t *rows = NULL, row = lspo_metrics_row(3);
    lspo_metrics_t *metrics = NULL;
    size_t count = 0;
    if (lspo_metrics_read(path, &rows, &count) == LSPO_OK)
        free(rows);
    if (lspo_metrics_open(path, &metrics) == LSPO_OK) {
        if (lspo_metrics_begin(metrics, true, 2) == LSPO_OK)
            lspo_metrics_add(metrics, &row, 1);
        lspo_metrics_close(metrics);
    }
    return 0;
}
