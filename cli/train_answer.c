/* train_answer.c - see train_answer.h. */
#include "cli/train_answer.h"

#include <stddef.h>
#include <stdio.h>

#define TEXT(field)                                                                                                    \
    {                                                                                                                  \
#field, LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(lspo_train_answer_t, field)                                  \
    }
#define REAL(field, unit)                                                                                              \
    {                                                                                                                  \
#field, LSPO_FIELD_REAL, unit, offsetof(lspo_train_answer_t, field)                                            \
    }
#define SCORE(name, field)                                                                                             \
    {                                                                                                                  \
        name, LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(lspo_train_answer_t, field)                                    \
    }
#define INTEGER(field, unit)                                                                                           \
    {                                                                                                                  \
#field, LSPO_FIELD_INTEGER, unit, offsetof(lspo_train_answer_t, field)                                         \
    }

static const lspo_field_t result_fields[] = {
    TEXT(model),
    TEXT(policy),
    TEXT(device),
    TEXT(data),
    TEXT(tokenizer),
    INTEGER(seed, LSPO_UNIT_NONE),
    INTEGER(steps, LSPO_UNIT_NONE),
    INTEGER(steps_run, LSPO_UNIT_NONE),
    INTEGER(resumed_from, LSPO_UNIT_NONE),
    REAL(epochs, LSPO_UNIT_NONE),
    TEXT(ended),
    REAL(load_s, LSPO_UNIT_SECONDS),
    REAL(train_s, LSPO_UNIT_SECONDS),
    REAL(step_s, LSPO_UNIT_SECONDS),
    REAL(predicted_step_s, LSPO_UNIT_SECONDS),
    REAL(fit_s, LSPO_UNIT_SECONDS),
    REAL(checkpoint_s, LSPO_UNIT_SECONDS),
    REAL(tokens_per_s, LSPO_UNIT_NONE),
    REAL(loss_first, LSPO_UNIT_NONE),
    REAL(loss_last, LSPO_UNIT_NONE),
    INTEGER(evaluated_rows, LSPO_UNIT_NONE),
    REAL(held_out_before, LSPO_UNIT_NONE),
    REAL(held_out_after, LSPO_UNIT_NONE),
    REAL(perplexity_before, LSPO_UNIT_NONE),
    REAL(perplexity_after, LSPO_UNIT_NONE),
    SCORE("accuracy_before", before.accuracy),
    SCORE("f1_before", before.f1),
    SCORE("matthews_before", before.matthews),
    SCORE("pearson_before", before.pearson),
    SCORE("spearman_before", before.spearman),
    SCORE("accuracy_after", after.accuracy),
    SCORE("f1_after", after.f1),
    SCORE("matthews_after", after.matthews),
    SCORE("pearson_after", after.pearson),
    SCORE("spearman_after", after.spearman),
    REAL(best_loss, LSPO_UNIT_NONE),
    SCORE("best_accuracy", best.accuracy),
    SCORE("best_f1", best.f1),
    SCORE("best_matthews", best.matthews),
    SCORE("best_pearson", best.pearson),
    SCORE("best_spearman", best.spearman),
    INTEGER(best_step, LSPO_UNIT_NONE),
    INTEGER(refits, LSPO_UNIT_NONE),
    INTEGER(cut_rows, LSPO_UNIT_NONE),
    INTEGER(dropped_rows, LSPO_UNIT_NONE),
    INTEGER(peak_gpu_bytes, LSPO_UNIT_BYTES),
    INTEGER(checkpoint_copy_bytes, LSPO_UNIT_BYTES),
    TEXT(output),
    {"export", LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(lspo_train_answer_t, export_path)},
    TEXT(sample),
    TEXT(version),
};

lspo_status_t lspo_train_answer_write(const lspo_train_answer_t *answer, lspo_format_t format)
{
    const lspo_table_t table = {.fields = result_fields,
                                .field_count = sizeof result_fields / sizeof result_fields[0],
                                .records = answer,
                                .record_bytes = sizeof *answer,
                                .record_count = 1};
    return lspo_table_write_record(&table, lspo_format_resolve(format), stdout);
}
