/* expect.h - where a measured step may lie, given its prediction: the evidence behind a machine's profile.
 *
 * Of published steps (validate/published.h) experiments/published/bands.csv has, compiled in (plan/presets.h), how
 * measured / predicted is spread: for all steps of a kind of policy, and for those of one framework or one machine.
 * `lspo validate --published FILE --leave-out --bands FILE` writes it: each step is predicted by frameworks that were
 * fitted without its source.  Columns:
 *
 *     kind                 native, peft (adapters), offload (something crosses the link in every step)
 *     framework, machine   empty: all
 *     rows                 steps
 *     mean_error           mean of |predicted / measured - 1|
 *     low, high            10th and 90th percentile of measured / predicted
 *
 * A calibrated profile of lspo's own kernels was compared with measurements by lspo: docs/validation.md.
 */
#ifndef LSPO_PLAN_EXPECT_H
#define LSPO_PLAN_EXPECT_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/plan.h"

/* Steps below this number say nothing about others of their kind. */
enum { LSPO_BAND_ROWS_LEAST = 5 };

typedef enum { LSPO_BAND_NATIVE, LSPO_BAND_PEFT, LSPO_BAND_OFFLOAD, LSPO_BAND_KIND_COUNT } lspo_band_kind_t;
extern const char *const lspo_band_kind_names[LSPO_BAND_KIND_COUNT + 1]; /* ends with NULL */

/* What a plan is compared with. */
lspo_band_kind_t lspo_band_kind(const lspo_plan_t *plan);

typedef enum {
    LSPO_EXPECT_CALIBRATED, /* a calibrated profile, lspo's own kernels */
    LSPO_EXPECT_STEPS,      /* published steps of its framework, and of its machine if there are enough */
    LSPO_EXPECT_KIND        /* too few of these: all published steps of the kind */
} lspo_expect_basis_t;
extern const char *const lspo_expect_basis_names[]; /* "calibrated", "framework", "kind" */

typedef struct {
    lspo_expect_basis_t basis;
    lspo_band_kind_t kind;
    double low, high;        /* measured / predicted */
    uint64_t rows;           /* published steps, or measured plans, behind the band */
    double mean_error;       /* of these; calibrated: their 95th percentile */
    uint64_t framework_rows; /* published steps of the framework and kind */
    uint64_t machine_rows;   /* of the machine and kind; below LSPO_BAND_ROWS_LEAST not used */
    double machine_error;    /* mean_error of these */
} lspo_expect_t;

/* Choose the band of a plan on a machine.  With both framework and machine the band covers both. */
lspo_status_t lspo_expect(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_expect_t *expect_out);

/* Say it in one or two sentences, without an end of line: "Expect 340 ms to 520 ms: ...". */
void lspo_expect_describe(const lspo_expect_t *expect, const lspo_machine_t *machine, double predicted_s,
                          size_t text_bytes, char *text_out);

/* The machine's name without its host: "rtx3090" of "rtx3090+server-ddr4". */
size_t lspo_expect_machine_length(const char *machine_name);

#endif
