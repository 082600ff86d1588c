/* estimators.h - the memory of a training by the formulas of others, beside lspo's replay.
 *
 * LLMem (Kim et al., IJCAI 2024, arXiv 2404.10933): mixed precision with Adam under Colossal-AI's Gemini, activations
 * checkpointed at each block.  Symbols: P elements of all weights, of which E are embeddings and the rest lies in
 * chunks of c elements; n GPUs, of which t share a layer; b sequences of s tokens, width w, L blocks, vocabulary V;
 * ceil: to pages of 2 MiB.
 *
 *     m_p     ceil(6 (E + ceil((P - E) / c) c)): fp16 and fp32 weights; gradients take the place of fp16 weights
 *     m_os    sum over embeddings and linear weights of ceil(8 elements)
 *     m_out   ceil(2 (number of embeddings + L) b s w)
 *     m_lm    ceil(2 b s V) + 2 ceil(2 b (s - 1) V) + ceil(2 w V)
 *     m_back  ceil(2 L b s w (t - 1) / t)
 *
 *     one GPU, replicas   base + m_p + m_os + m_out + m_lm
 *     ZeRO-3              base + m_p16 + (m_p32 + m_os) / n + m_out + m_lm
 *     tensor              base + (m_p + m_os) / n + m_out + m_lm + m_back
 *     both                that of ZeRO-3 - m_p16 t / n + m_back
 *
 * base, what a process takes before, is measured there; here it is the profile's context and libraries.  c is
 * Colossal-AI's: from the largest weight on, but for those beyond three standard deviations, or 32 Mi, the size within
 * 32 Mi more that leaves least unused.
 *
 * DeepSpeed: estimate_zero2_model_states_mem_needs() and estimate_zero3_model_states_mem_needs(), which count states
 * only, of n GPUs of one machine, with zero.Init() and a factor of 1.5 for buffers on the host. */
#ifndef LSPO_SIM_ESTIMATORS_H
#define LSPO_SIM_ESTIMATORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan/model.h"
#include "plan/workload.h"
#include "sim/parallel.h"

typedef struct {
    uint64_t base_bytes, weights_bytes, optimizer_bytes, outputs_bytes, head_bytes, backward_bytes; /* of one GPU */
    uint64_t gpu_bytes;                                                                             /* their sum  */
} lspo_llmem_t;

/* Of one GPU of the layout. */
void lspo_llmem(const lspo_model_t *model, const lspo_workload_t *workload, const lspo_parallel_t *layout,
                uint64_t base_bytes, lspo_llmem_t *estimate_out);

/* The largest batch whose estimate is at most `memory_bytes`; 0: not even 1. */
uint32_t lspo_llmem_largest_batch(const lspo_model_t *model, const lspo_workload_t *workload,
                                  const lspo_parallel_t *layout, uint64_t base_bytes, uint64_t memory_bytes);

/* By which LLMem chooses a layout, from its largest batch: the highest, of equal ones the first of replicas, ZeRO-3,
 * tensor, both; where all are 0, weights and states go to the CPU.  Returns the index of its choice, or `count`. */
double lspo_llmem_score(const lspo_parallel_t *layout, uint32_t largest_batch);
size_t lspo_llmem_choose(const lspo_parallel_t *layouts, const double *scores, size_t count);

/* One of DeepSpeed's settings: a stage, and what is on the CPU. */
typedef struct {
    const char *title;
    uint32_t stage;
    bool offloads_optimizer, offloads_weights;
} lspo_deepspeed_setting_t;

/* NULL after the last. */
const lspo_deepspeed_setting_t *lspo_deepspeed_setting(uint32_t index);

/* Bytes per GPU, and of the CPU's memory.  `largest_elements`: the weights of the largest module. */
void lspo_deepspeed_estimate(uint64_t elements, uint64_t largest_elements, uint32_t gpus,
                             const lspo_deepspeed_setting_t *setting, uint64_t *gpu_bytes_out, uint64_t *cpu_bytes_out);

/* The elements of the model's largest module: an embedding or a linear weight.  DeepSpeed counts
 * its bias, too, which is 0.1 % of it or less. */
uint64_t lspo_deepspeed_largest(const lspo_model_t *model);

#endif
