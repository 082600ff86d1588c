/* dataset.h - what a model is fine-tuned on: files of text, JSONL or JSON turned into rows of tokens.
 *
 * A row is what one sequence of a batch is made of:
 *     stream      plain text, or {"text"} records one behind the other with the end token between: row i is the window
 *                 of `sequence` tokens that starts at i x sequence, its targets are the tokens that follow
 *     examples    {"prompt","completion"} or Alpaca's {"instruction","input","output"}: one record a row, cut at
 *                 `sequence`; the targets of the prompt and of the padding are LSPO_TARGET_IGNORED
 *     labels      {"text","label"}, for models that classify: one record a row; its target is the label
 *
 * A file is text or packed by gzip (data_file.h); null counts as absent; fields that would change a prompt are refused,
 * others named in a warning.
 *
 * Rows are visited in a seeded order without repetition: row number k of the training (k = (step x accumulation +
 * micro) x batch + place in the batch) is place k mod N of epoch k div N, and each epoch's order is a permutation that
 * is computed, not stored (a Feistel network over Philox).  So a batch is a function of (seed, step, micro) and nothing
 * else, and a training that resumes needs to be told the step only.
 *
 * Held out are a share of the rows: the last ones of a stream, the last ones of a seeded order of examples and labels,
 * or those of a second file.
 */
#ifndef LSPO_REAL_DATA_DATASET_H
#define LSPO_REAL_DATA_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "real/data/batch.h"
#include "real/data/encoder.h"

typedef struct lspo_dataset lspo_dataset_t;

typedef struct {
    const char *path;      /* NULL: the machine's own text, see real/data/text.h          */
    const char *eval_path; /* NULL: rows of `path` are held out                      */
    double held_out;       /* share of the rows held out, in [0, 1); not with eval_path */
    uint32_t sequence;
    uint32_t class_count; /* 0: a language model; else what labels are below        */
    uint64_t seed;
    lspo_encoder_t encoder;
} lspo_dataset_options_t;

typedef enum { LSPO_DATASET_STREAM, LSPO_DATASET_EXAMPLES, LSPO_DATASET_LABELS } lspo_dataset_kind_t;

/* Read, parse and encode all of it.  LSPO_ERR_INPUT, with file and line (or record), for what is missing, empty, no
 * text, no JSON, of no known form, of mixed forms, or too short for one row in the training and, unless `held_out` is
 * 0, one in the held-out part. */
lspo_status_t lspo_dataset_open(const lspo_dataset_options_t *options, lspo_dataset_t **dataset_out);
void lspo_dataset_close(lspo_dataset_t *dataset);

lspo_dataset_kind_t lspo_dataset_kind(const lspo_dataset_t *dataset);
uint64_t lspo_dataset_train_rows(const lspo_dataset_t *dataset);
uint64_t lspo_dataset_held_out_rows(const lspo_dataset_t *dataset); /* 0: none */
uint64_t lspo_dataset_tokens(const lspo_dataset_t *dataset);        /* of all rows, without padding */
/* Examples whose end was cut, and those left out because nothing of the completion was left. */
uint64_t lspo_dataset_cut_rows(const lspo_dataset_t *dataset);
uint64_t lspo_dataset_dropped_rows(const lspo_dataset_t *dataset);
/* "alpaca.json, 52002 rows, fnv1a 0123456789abcdef": path, and a hash of all tokens and rows. */
const char *lspo_dataset_source(const lspo_dataset_t *dataset);
uint64_t lspo_dataset_hash(const lspo_dataset_t *dataset);

/* Training batch (step, micro): `batch` rows as lspo_batch_t describes them; targets of LSPO_DATASET_LABELS are `batch`
 * labels. */
void lspo_dataset_batch(const lspo_dataset_t *dataset, uint64_t step, uint32_t micro, uint32_t accumulation,
                        uint32_t batch, lspo_batch_t *batch_out);

/* Held-out batch `index` of `index_count`, spread evenly over the held-out rows.  A row that would be a repetition is
 * there with its targets ignored. */
void lspo_dataset_held_out(const lspo_dataset_t *dataset, uint32_t index, uint32_t index_count, uint32_t batch,
                           lspo_batch_t *batch_out);

/* Batches that it takes to see every held-out row once. */
uint64_t lspo_dataset_held_out_batches(const lspo_dataset_t *dataset, uint32_t batch);

/* Place `index` < count of a seeded permutation of 0 .. count - 1. */
uint64_t lspo_dataset_permute(uint64_t seed, uint64_t epoch, uint64_t count, uint64_t index);

#endif
