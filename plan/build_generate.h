/* build_generate.h - plans of generation: texts of equal length that grow by a token per iteration.
 *
 * --batch sequences in each of --accumulation micro-batches have prompts of S = --sequence tokens.  Iteration 0 reads
 * the prompts and chooses their first new tokens; iteration i > 0 reads the token chosen before, at position S + i - 1,
 * and chooses the next.  So --iterations is the number of new tokens, and a text has P = S + iterations - 1 positions
 * whose keys and values are kept.  Every pass is FWD of all stages, of a micro-batch.
 *
 *     parameters   --precision, the whole array of a stage.  The embedding's always stay on the GPU, since a token
 *                  needs few of its rows, and a tied head all of them.
 *     cache        --precision; of a block and micro-batch 2 batch kv numbers per position: K of each sequence, then V
 *     inputs       --precision; where a policy keeps those of blocks, batch w numbers per position: of each sequence
 *     experts      a pass is counted as if each token chose its experts by itself and each were chosen as often
 *     workspace    activations are fp32: of all stages together, once, and inputs of stages for each micro-batch
 *
 * The sizes are those of real/generate/session.c, and the kernels those of real/transformer/generation.h: up to
 * LSPO_GENERATE_FEW_ROWS tokens a product is LSPO_KERNEL_FEW_ROWS, which reads its weight once, in 4 bits, too; up to
 * LSPO_GENERATE_FEW_QUERIES new tokens of a text attention reads its cache once (LSPO_KERNEL_CACHE).
 */
#ifndef LSPO_PLAN_BUILD_GENERATE_H
#define LSPO_PLAN_BUILD_GENERATE_H

#include "plan/build.h"

enum { LSPO_GENERATE_FEW_ROWS = 16, LSPO_GENERATE_FEW_QUERIES = 4 };

/* Positions of a text; tokens of a sequence that are cached before, and read in, an iteration. */
uint32_t lspo_generate_positions(const lspo_workload_t *workload);
uint32_t lspo_generate_first(const lspo_workload_t *workload, uint32_t iteration);
uint32_t lspo_generate_count(const lspo_workload_t *workload, uint32_t iteration);
/* Positions for which a cache that comes and goes has room on the GPU: those of the prompt, then at once all that will
 * be, so that what one gives back is large enough for the next. */
uint32_t lspo_generate_room(const lspo_workload_t *workload, uint32_t iteration);

/* Bytes of a block's cache for one position, of a micro-batch. */
uint64_t lspo_generate_cache_bytes(const lspo_model_t *model, const lspo_workload_t *workload);

/* The same of a block's inputs. */
uint64_t lspo_generate_input_bytes(const lspo_model_t *model, const lspo_workload_t *workload);

/* How many of the tokens that are cached before an iteration it rebuilds; the most of any iteration; and of how many of
 * the new tokens of an iteration the inputs are kept for that.  0 unless the policy has --recompute-share. */
uint32_t lspo_generate_rebuilt(const lspo_plan_t *plan, uint32_t iteration);
uint32_t lspo_generate_rebuilt_most(const lspo_plan_t *plan);
uint32_t lspo_generate_kept(const lspo_plan_t *plan, uint32_t iteration);

/* Whether the linear weights of blocks are in 4 bits (kernels/int4.h), and in which groups of rows; 0: all. */
bool lspo_generate_weight_group(const lspo_plan_t *plan, uint32_t *group_out);

/* How many different experts of a block are used by so many tokens, on average: E (1 - (1 - k / E)^tokens) if each
 * token chooses k of E, all alike. */
double lspo_generate_experts_used(const lspo_model_t *model, uint64_t tokens);

/* The parts of the workspace, each a multiple of 64 bytes. */
typedef struct {
    uint64_t pass;   /* what a stage computes with                                            */
    uint64_t input;  /* of a stage, of a micro-batch; there is one more than micro-batches   */
    uint64_t logits; /* of a micro-batch                                                      */
    uint64_t tokens; /* of a micro-batch: the next ones to read, and the rows of the last ones */
} lspo_generate_sizes_t;
void lspo_generate_sizes(const lspo_model_t *model, const lspo_workload_t *workload, lspo_generate_sizes_t *sizes_out);
uint64_t lspo_generate_workspace_bytes(const lspo_model_t *model, const lspo_workload_t *workload);

/* LSPO_ERR_INPUT for a model that does not continue texts, for texts longer than its positions, and for settings that
 * only a training has. */
lspo_status_t lspo_generate_check(const lspo_model_t *model, const lspo_workload_t *workload);

/* The kernels of a stage's FWD for texts of their own lengths, `count` new tokens each, which have `cached` tokens
 * together before; weights and caches are in the precision.  `work`: to append to. */
typedef struct {
    const lspo_model_t *model;
    lspo_precision_t precision;
    uint64_t texts, cached, count;
} lspo_generate_pass_t;
void lspo_generate_pass_work(const lspo_generate_pass_t *pass, uint32_t stage, lspo_work_t *work);

/* ---- for policies ---- */

/* build of a policy whose weights and caches are on the GPU. */
lspo_status_t lspo_build_generate_resident(lspo_builder_t *b);
/* Before the ops of an iteration. */
void lspo_build_generate_step(lspo_builder_t *b, uint32_t iteration);
/* FWD behind the one before; of a micro-batch. */
lspo_op_id_t lspo_build_generate_forward(lspo_builder_t *b, uint32_t iteration, uint32_t micro, uint32_t stage);
/* The kernels of a block up to its experts, which chooses these. */
void lspo_build_generate_before_experts(const lspo_builder_t *b, lspo_work_t *work);
/* Those around the products of experts: rows are gathered, activated and added up. */
void lspo_build_generate_around_experts(const lspo_builder_t *b, lspo_work_t *work);
/* describe_work of a policy of generation. */
bool lspo_build_generate_work(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t stage,
                              lspo_work_t *work);

#endif
