/* published.h - predict steps that others measured on GPUs and published, and say how far off the predictions are.
 *
 * A file of published steps is CSV (base/csv_file.h), one step a row, with columns found by their names:
 *
 *     id source kind framework gpu machine model batch sequence accumulation precision checkpointing policy flags
 *     measured_s                                    must be there
 *     address system gpus published uncertainty note     may be there; others are not used
 *
 * kind is native, peft, offload, or micro: measured_s is then the time of one more micro-batch, the slope of the time
 * per step over the accumulation, and the column accumulation is not used.  machine and model are presets, or files
 * beside the CSV.  flags are flags of `lspo sim`, split like a shell (base/words.h).
 *
 * If a row's machine is a file there, and lspo has a card or machine of the same name, that one's [gpu] and [products]
 * replace the file's: the file's are a stand-in from a data sheet.  Host and link stay the file's.
 *
 * A row of zero whose note says "policy approximated" (parameters were offloaded, too) is predicted by
 * stream --update after; predicted_policy says so.
 *
 * The error of a row is predicted / measured - 1.  A step that does not fit is predicted, too: times do not depend on
 * memory.
 */
#ifndef LSPO_VALIDATE_PUBLISHED_H
#define LSPO_VALIDATE_PUBLISHED_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/csv_file.h"
#include "plan/machine.h"
#include "plan/plan.h"
#include "validate/predict.h"

/* A row with its prediction.  Texts point into the files read.  Unknown reals are NaN, unknown integers and yes/no as
 * in base/table.h. */
typedef struct {
    const char *id, *source, *address, *kind, *system, *framework, *gpu, *machine, *model, *precision, *checkpointing,
        *policy, *flags, *published, *uncertainty, *note;
    uint64_t gpus, batch, sequence, accumulation;
    double measured_s;
    /* Set by lspo_published_predict(). */
    double predicted_s, error;
    int fits;
    const char *card; /* "project": lspo's own [gpu] in a file's place; "file", "preset" */
    /* Set by lspo_published_leave_out(): with frameworks that were fitted without the row's source. */
    double left_out_s, left_out_error;
    /* Set by lspo_published_read(): policy, or stream. */
    const char *predicted_policy;
    /* Set by lspo_published_read_memory(): the published peak, and whether it counts only what is allocated. */
    double published_peak_gpu_bytes;
    bool counts_allocated;
    /* Set by lspo_published_predict(): of the whole process, with the driver's context; only what is allocated; the
     * error of the one that the published peak counts. */
    uint64_t peak_gpu_bytes, gpu_tensor_bytes, peak_gpu_bound_bytes;
    double peak_error;
    int above_bound;
    /* Of no table. */
    uint64_t line;
    uint32_t profile; /* index */
    char *model_path; /* owned: a preset's name or a path */
} lspo_published_row_t;

/* A machine that rows name. */
typedef struct {
    const char *name; /* as in the file */
    lspo_machine_t machine;
    const char *card; /* see above */
} lspo_published_profile_t;

typedef struct {
    const char *path; /* as given */
    lspo_csv_t csv, memory_csv;
    lspo_published_row_t *rows;         /* owned */
    lspo_published_profile_t *profiles; /* owned */
    uint32_t row_count, profile_count;
} lspo_published_t;

/* Read a file of published steps.  LSPO_ERR_INPUT, with file, line, column, value and allowed values in the message,
 * for the first fault.  The caller releases it. */
lspo_status_t lspo_published_read(const char *path, lspo_published_t *published_out);
/* Read published peaks, CSV with the columns id and peak_gpu_GiB, of rows that have been read.  The column `counts`
 * says what a peak is of: "device", as without it, the whole process; "allocated", what its allocator had handed out
 * (torch.cuda.max_memory_allocated()).  An id that no row has is an error, unless `filtered`: rows have been removed.
 */
lspo_status_t lspo_published_read_memory(const char *path, bool filtered, lspo_published_t *published);
/* Keep the rows whose column has this value ("kind=micro"); before lspo_published_read_memory() and _predict().
 * LSPO_ERR_INPUT if there is no such column, or no such row. */
lspo_status_t lspo_published_keep(const char *condition, lspo_published_t *published);
void lspo_published_release(lspo_published_t *published);

/* Read flags like `lspo sim`: --link, --cpu and --set change `machine`. */
typedef lspo_status_t (*lspo_read_words_t)(int argc, char **argv, lspo_machine_t *machine, lspo_asked_t *asked_out);

typedef struct {
    lspo_read_words_t read_words;
    uint32_t threads; /* that predict */
    void (*progress)(void *context, const char *label, uint32_t done, uint32_t of);
    void *progress_context;
} lspo_published_options_t;

/* Predict all rows.  A row with a fault is an error that names its line; all rows are checked before the first is
 * predicted. */
lspo_status_t lspo_published_predict(const lspo_published_options_t *options, lspo_published_t *published);

/* The time of one more micro-batch is the slope between these two. */
enum { LSPO_PUBLISHED_MICROS_FEW = 4, LSPO_PUBLISHED_MICROS_MANY = 12 };

/* The plan of a row with this many micro-batches, and its machine with the row's flags; after
 * lspo_published_predict(). */
lspo_status_t lspo_published_plan(const lspo_published_t *published, const lspo_published_options_t *options,
                                  uint64_t accumulation, const lspo_published_row_t *row, lspo_machine_t *machine_out,
                                  lspo_plan_t **plan_out);

/* Scores.  Errors are fractions. */

/* The errors of some rows. */
typedef struct {
    const char *name;
    uint64_t rows;
    double mape, bias, worst; /* mean of |error|, mean error, largest |error| with its sign */
    const char *worst_id;
} lspo_published_group_t;

typedef enum {
    LSPO_PUBLISHED_BY_SOURCE,
    LSPO_PUBLISHED_BY_KIND,
    LSPO_PUBLISHED_BY_FRAMEWORK,
    LSPO_PUBLISHED_BY_CARD, /* the column gpu, blanks and case aside */
    LSPO_PUBLISHED_GROUPINGS
} lspo_published_grouping_t;

/* Pairs of rows whose measured times differ by more than a tenth: how many of them are predicted in that order?
 * tau = (right - wrong) / pairs; a pair with equal predictions is neither. */
typedef struct {
    uint64_t pairs, right, wrong;
    double tau; /* NaN without pairs */
} lspo_published_order_t;

typedef struct {
    lspo_published_group_t all;
    double mean_of_sources;                                   /* mean of the sources' mape */
    lspo_published_group_t *groups[LSPO_PUBLISHED_GROUPINGS]; /* owned, in the order of the rows */
    uint32_t group_counts[LSPO_PUBLISHED_GROUPINGS];
    lspo_published_order_t policies; /* same run and machine, policy or its flags differ; the framework may */
    lspo_published_order_t cards;    /* same run and source, another machine */
    uint64_t memory_rows, memory_bound_exceeded; /* published peaks; how many are above the bound */
    double memory_mape, memory_bias;
} lspo_published_scores_t;

/* Does the pair count as one of `scores->policies` or of `scores->cards`? */
bool lspo_published_is_policy_pair(const lspo_published_row_t *a, const lspo_published_row_t *b);
bool lspo_published_is_card_pair(const lspo_published_row_t *a, const lspo_published_row_t *b);
/* Is the pair predicted in the measured order? 1, -1, or 0 if the predictions are equal. */
int lspo_published_pair_order(const lspo_published_row_t *a, const lspo_published_row_t *b);

/* Names of sources are the same whatever their blanks and case. */
bool lspo_published_is_same_source(const lspo_published_row_t *a, const lspo_published_row_t *b);

/* Scores of rows that have been predicted; the caller releases them.  Names point into `published`. */
lspo_status_t lspo_published_score(const lspo_published_t *published, lspo_published_scores_t *scores_out);
/* The same of left_out_s, after lspo_published_leave_out(). */
lspo_status_t lspo_published_score_left_out(const lspo_published_t *published, lspo_published_scores_t *scores_out);
void lspo_published_scores_release(lspo_published_scores_t *scores);

/* A value of a framework that has been fitted (published_fit.h). */
typedef struct {
    const char *framework, *key; /* the key's name says the unit */
    lspo_unit_t unit;
    double prior, value;
    uint64_t rows; /* that depend on it; below 2: it stays at the prior */
} lspo_published_value_t;

/* What a report says. */
typedef struct {
    const lspo_published_t *published;
    const lspo_published_scores_t *scores;
    const lspo_published_scores_t *left_out; /* NULL: no source was left out */
    const lspo_published_value_t *values;    /* that were fitted */
    uint32_t value_count;
} lspo_published_result_t;

/* A report for people; all rows as CSV; or all as one JSON object. */
void lspo_published_write_report(const lspo_published_result_t *result, FILE *file);
lspo_status_t lspo_published_write_csv(const lspo_published_t *published, FILE *file);
lspo_status_t lspo_published_write_json(const lspo_published_result_t *result, FILE *file);
/* How measured / predicted is spread, by kind, framework and machine, as CSV: plan/expect.h has the columns.  With
 * `left_out` predicted is left_out_s, which lspo_published_leave_out() has set. */
lspo_status_t lspo_published_write_bands(const lspo_published_t *published, bool left_out, FILE *file);

#endif
