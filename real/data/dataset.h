/* dataset.h - training data: files of text, JSONL or JSON, converted to rows of tokens.
 *
 * A row is the data of one sequence of a batch:
 *     stream     plain text, or {"text"} records one after the other, each followed by the end token: row i is the
 * window of `sequence` tokens from i x sequence on; its targets are the next tokens
 *     examples   {"prompt","completion"} or Alpaca's {"instruction","input","output"}: one record per row, cut off at
 * `sequence`; the targets of the prompt and of the padding are LSPO_TARGET_IGNORED
 *     chats       {"messages": [{"role","content"}]} or {"conversations": [{"from","value"}]}, or a prompt and a
 * completion that are lists of messages: one record per row, written by a chat template (chat.h); only the assistant's
 * answers count.  A chat that is longer than a row ends after its last answer that fits; if none does, its first is cut
 * off.  Chats without an answer, with calls of tools, or which the template refuses, are left out and counted
 * With the name of a chat template, examples are chats of one question and its answer.
 *     labels      {"text","label"}, with or without a second text, "text_pair", or a .tsv file of GLUE
 * (dataset_glue.c), for classifiers: one record per row; its target is the label, the bits of a float if the model has
 * one class.  Of two texts that are too long the longer one is cut first.  A row without any text is left out
 *
 * A file is text, plain or compressed with gzip (data_file.h). null counts as absent; fields that would change a prompt
 * are refused, and a warning names other unused fields.
 *
 * Rows are visited in a seeded order without repetition: row number k of the training (k = (step x accumulation +
 * micro) x batch + place in the batch) is place k mod N of epoch k div N, and each epoch's order is a permutation that
 * is computed, not stored (a Feistel network over Philox).  So a batch depends only on (seed, step, micro), and a
 * resumed training needs only the step.
 *
 * A share of the rows is held out: the last ones of a stream, or the last ones of examples and labels in a seeded
 * order, or those of a second file.
 */
#ifndef LSPO_REAL_DATA_DATASET_H
#define LSPO_REAL_DATA_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "real/data/batch.h"
#include "real/data/chat.h"
#include "real/data/encoder.h"

typedef struct lspo_dataset lspo_dataset_t;

typedef struct {
    const char *path;      /* NULL: the machine's own text, see real/data/text.h          */
    const char *eval_path; /* NULL: rows of `path` are held out                      */
    double held_out;       /* share of the rows held out, in [0, 1); not with eval_path */
    uint32_t sequence;
    uint32_t class_count; /* 0: a language model; 1: labels are numbers; else they are below this */
    uint64_t seed;
    lspo_encoder_t encoder;
    const char *prompt_field, *answer_field; /* names of fields in place of "prompt" and "completion"; NULL: those */
    bool loss_all;                           /* prompts count, too */
    lspo_chat_source_t chat;                 /* the template of chats */
} lspo_dataset_options_t;

typedef enum { LSPO_DATASET_STREAM, LSPO_DATASET_EXAMPLES, LSPO_DATASET_LABELS } lspo_dataset_kind_t;

/* Read, parse and encode all of it.  LSPO_ERR_INPUT, with file and line (or record), for data that is missing, empty,
 * not text, not JSON, of unknown or mixed forms, or too short for one training row and, unless `held_out` is 0, one
 * held-out row. */
lspo_status_t lspo_dataset_open(const lspo_dataset_options_t *options, lspo_dataset_t **dataset_out);
void lspo_dataset_close(lspo_dataset_t *dataset);

lspo_dataset_kind_t lspo_dataset_kind(const lspo_dataset_t *dataset);
uint64_t lspo_dataset_train_rows(const lspo_dataset_t *dataset);
uint64_t lspo_dataset_held_out_rows(const lspo_dataset_t *dataset); /* 0: none */
uint64_t lspo_dataset_tokens(const lspo_dataset_t *dataset);        /* of all rows, without padding */
/* Number of examples that were cut off, and of those left out because nothing of the completion was left. */
uint64_t lspo_dataset_cut_rows(const lspo_dataset_t *dataset);
uint64_t lspo_dataset_dropped_rows(const lspo_dataset_t *dataset);
/* "alpaca.json, 52002 rows, fnv1a 0123456789abcdef": path, and a hash of all tokens and rows. */
const char *lspo_dataset_source(const lspo_dataset_t *dataset);
uint64_t lspo_dataset_hash(const lspo_dataset_t *dataset);

/* Training batch (step, micro): `batch` rows as lspo_batch_t describes them; targets of LSPO_DATASET_LABELS are `batch`
 * labels. */
void lspo_dataset_batch(const lspo_dataset_t *dataset, uint64_t step, uint32_t micro, uint32_t accumulation,
                        uint32_t batch, lspo_batch_t *batch_out);

/* Held-out batch `index` of `index_count`, spread evenly over the held-out rows.  Repeated rows, which fill the last
 * batches, have their targets ignored. */
void lspo_dataset_held_out(const lspo_dataset_t *dataset, uint32_t index, uint32_t index_count, uint32_t batch,
                           lspo_batch_t *batch_out);

/* Number of batches that contain every held-out row once. */
uint64_t lspo_dataset_held_out_batches(const lspo_dataset_t *dataset, uint32_t batch);

/* Place `index` < count of a seeded permutation of 0 .. count - 1. */
uint64_t lspo_dataset_permute(uint64_t seed, uint64_t epoch, uint64_t count, uint64_t index);

#endif
