/* memory_rows.h - the rows of `lspo memory`: what a training needs, by policy, by layout on several GPUs, and by the
 * formulas of others. */
#ifndef LSPO_CLI_MEMORY_ROWS_H
#define LSPO_CLI_MEMORY_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/table.h"
#include "cli/command_line.h"
#include "plan/machine.h"
#include "plan/model.h"
#include "plan/policy.h"
#include "plan/workload.h"
#include "sim/needs.h"

/* Whose figures a row has: lspo's replay of a policy's plan, or of native's on several GPUs; LLMem's formulas;
 * DeepSpeed's estimator. */
typedef enum { LSPO_MEMORY_POLICY, LSPO_MEMORY_LAYOUT, LSPO_MEMORY_LLMEM, LSPO_MEMORY_DEEPSPEED } lspo_memory_by_t;

typedef struct {
    lspo_memory_by_t by;
    const char *by_name, *method, *semantics, *largest_model, *verdict, *choice;
    char method_text[64], verdict_text[96], largest_model_text[LSPO_NAME_BYTES];
    uint64_t devices, batch, sequence, largest_batch;
    lspo_needs_t needs;        /* of one GPU, and of the host; LSPO_MISSING: not told */
    uint64_t runtime_bytes;    /* driver, framework, libraries, what the allocator leaves unused */
    uint64_t host_other_bytes; /* buffers, activations, framework */
    double score;              /* of LLMem */
    int fits;
    uint64_t measured_gpu_bytes, measured_total_bytes;
    double measured_error;        /* predicted / measured - 1 of GPU and host together */
    uint64_t measured_card_bytes; /* in use on the GPU, of all programs */
    double measured_card_error;   /* needs.gpu_bytes / that - 1 */
} lspo_memory_row_t;

typedef struct {
    const lspo_model_t *model;
    const lspo_machine_t *machine;
    lspo_workload_t workload;
    const lspo_policy_t *only; /* NULL: every policy */
    uint32_t devices;
    bool largest_batch, largest_model;
    /* Sets the policy's own values in the workload, for any model. */
    lspo_status_t (*prepare)(void *context, const lspo_policy_t *policy, lspo_workload_t *workload);
    void *prepare_context;
    /* Called before each policy and layout; may be NULL. */
    void (*progress)(void *context, const char *label, uint32_t done, uint32_t of);
    void *progress_context;
} lspo_memory_question_t;

enum { LSPO_MEMORY_ROWS_MAX = 256 };

/* Every row of the question, in the order of lspo_memory_by_t; at most LSPO_MEMORY_ROWS_MAX.  A row's texts point into
 * it: do not move it. */
lspo_status_t lspo_memory_rows(const lspo_memory_question_t *question, lspo_memory_row_t *rows, size_t *count_out);

/* Columns: all for programs, for people those of a kind of rows that this question fills; `measured`: with what runs
 * measured, `card`: also on a GPU. */
extern const lspo_field_t lspo_memory_fields[];
extern const size_t lspo_memory_field_count;
enum { LSPO_MEMORY_COLUMNS_MAX = 24 };
size_t lspo_memory_columns(const lspo_memory_question_t *question, lspo_memory_by_t by, bool measured, bool card,
                           lspo_field_t columns_out[LSPO_MEMORY_COLUMNS_MAX]);

#endif
