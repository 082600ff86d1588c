/* generate_result.c - see generate_result.h. */
#include "cli/generate_result.h"

#include <stddef.h>
#include <stdio.h>

#include "base/table.h"

#define TEXT(field)                                                                                                    \
    {                                                                                                                  \
#field, LSPO_FIELD_TEXT, LSPO_UNIT_NONE, offsetof(lspo_generate_result_t, field)                               \
    }
#define REAL(field, unit)                                                                                              \
    {                                                                                                                  \
#field, LSPO_FIELD_REAL, unit, offsetof(lspo_generate_result_t, field)                                         \
    }
#define INTEGER(field, unit)                                                                                           \
    {                                                                                                                  \
#field, LSPO_FIELD_INTEGER, unit, offsetof(lspo_generate_result_t, field)                                      \
    }

/* The text comes last: it is left out where it was written before. */
static const lspo_field_t result_fields[] = {
    TEXT(model),
    TEXT(weights),
    TEXT(quantizer),
    TEXT(group),
    TEXT(pruning),
    REAL(sparsity, LSPO_UNIT_NONE),
    REAL(expert_zeros, LSPO_UNIT_NONE),
    REAL(expert_bits, LSPO_UNIT_NONE),
    TEXT(cache),
    INTEGER(threads, LSPO_UNIT_NONE),
    INTEGER(seed, LSPO_UNIT_NONE),
    INTEGER(prompt_tokens, LSPO_UNIT_NONE),
    INTEGER(tokens, LSPO_UNIT_NONE),
    TEXT(ended),
    REAL(load_s, LSPO_UNIT_SECONDS),
    REAL(time_to_first_token_s, LSPO_UNIT_SECONDS),
    REAL(token_s, LSPO_UNIT_SECONDS),
    REAL(tokens_per_s, LSPO_UNIT_NONE),
    REAL(perplexity, LSPO_UNIT_NONE),
    INTEGER(weights_bytes, LSPO_UNIT_BYTES),
    INTEGER(peak_bytes, LSPO_UNIT_BYTES),
    TEXT(version),
    {"text", LSPO_FIELD_STRING, LSPO_UNIT_NONE, offsetof(lspo_generate_result_t, text)},
};

lspo_status_t lspo_generate_result_write(const lspo_generate_result_t *result, bool json)
{
    const lspo_table_t table = {.fields = result_fields,
                                .field_count = sizeof result_fields / sizeof result_fields[0],
                                .records = result,
                                .record_bytes = sizeof *result,
                                .record_count = 1};
    return lspo_table_write_record(&table, json ? LSPO_FORMAT_JSON : LSPO_FORMAT_TABLE, json ? stdout : stderr);
}
