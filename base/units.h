/* units.h - parse and format quantities with units: "4GiB", "12GB/s", "60ms", "82.6TFLOP/s".
 *
 * Decimal prefixes are k M G T P (10^3...), binary ones Ki Mi Gi Ti Pi Ei (2^10...).  A value without its
 * unit is refused: "4" bytes and "4" GiB must never be confused.  All return LSPO_ERR_INPUT after
 * logging `what` (for example "--link" or "machine.ini:12: [link] h2d_Bps"), the text and an example;
 * overflow, NaN, negative values and trailing text are errors too.
 */
#ifndef LSPO_BASE_UNITS_H
#define LSPO_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef enum {
    LSPO_UNIT_NONE,    /* a plain number: 0.27, 128                    */
    LSPO_UNIT_BYTES,   /* B, kB to PB, KiB to EiB                        */
    LSPO_UNIT_BPS,     /* bytes per second: GB/s, GiB/s; also Gbit/s */
    LSPO_UNIT_SECONDS, /* s, ms, us, ns; min and h also                 */
    LSPO_UNIT_FLOPS,   /* FLOP/s with prefix: TFLOP/s, GFLOP/s          */
    LSPO_UNIT_PPS      /* parameters per second: 100M/s, 3.4G/s       */
} lspo_unit_t;

/* Parse `text` as a non-negative finite quantity of `unit`, in base units (B, B/s, s, FLOP/s, 1/s). */
lspo_status_t lspo_parse_quantity(const char *what, const char *text, lspo_unit_t unit, double *value_out);

/* The same; `range` ("above 0") is what a message about a negative or infinite number says is allowed. */
lspo_status_t lspo_parse_quantity_in(const char *what, const char *text, lspo_unit_t unit, const char *range,
                                     double *value_out);

/* As above for whole bytes; refuses values above INT64_MAX. */
lspo_status_t lspo_parse_bytes(const char *what, const char *text, uint64_t *bytes_out);

/* Parse a decimal integer in [low, high]; the message names the allowed range. */
lspo_status_t lspo_parse_integer(const char *what, const char *text, int64_t low, int64_t high, int64_t *value_out);

/* The same; the message ends in `range`: "is not an integer from 1 to the number of blocks". */
lspo_status_t lspo_parse_integer_in(const char *what, const char *text, int64_t low, int64_t high, const char *range,
                                    int64_t *value_out);

/* Write `value` of `unit` into `buffer`, for people ("7.46 GiB", "12.0 GB/s", "28.1 ms"); lspo_parse_quantity
 * reads it back to the digits shown.  Returns `buffer`. */
const char *lspo_format_quantity(double value, lspo_unit_t unit, char *buffer, size_t buffer_bytes);

/* As above for files: the shortest decimal that lspo_parse_quantity reads back as exactly `value` (finite, >= 0).
 * `buffer` has at least 48 bytes. */
const char *lspo_format_quantity_exact(double value, lspo_unit_t unit, char *buffer, size_t buffer_bytes);

#endif
