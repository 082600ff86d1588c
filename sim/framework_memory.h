/* framework_memory.h - what a framework's implementation changes in the memory of a plan.
 *
 * The plan counts the memory of lspo's own kernels.  [software] of a machine (plan/machine.h) says what another
 * framework takes; all its values 0 change nothing.  Symbols: T tokens of a micro-batch, s sequence, w width, a width
 * of all heads, k that of the heads of K, f MLP width, h heads, V vocabulary, p bytes per element.
 *
 *     block, kept     T (saved_width_bytes w + saved_mlp_bytes f + saved_repeat_bytes (a - k) + saved_score_bytes h s)
 *                     and of adapters T saved_adapter_bytes (elements per token of the inputs of all adapted
 *                     weights); from FWD to the last BWD of that pass, under checkpointing during BWD only: the forward
 *                     pass keeps nothing.  Counted for 16 bits; in fp32 the same.  --swap-activations takes it from
 *                     the GPU, but not over the link, which carries what lspo keeps
 *     loss            T V logit_bytes less what the plan has for it (logits and workspace) if that is more, during FWD
 *                     and BWD of the head; not for classifiers
 *     optimizer       update_bytes x parameters updated on the GPU in that step, during its first UPD_GPU, or if their
 *                     state comes in parts (plan/policies/visit.h), those of each UPD_GPU during it; half of it
 *                     with half_states, and with an --optimizer-state other than fp32
 *     states          half_states: bf16 moments and no fp32 weights, 2 p of 12 bytes per parameter, where all weights
 *                     are trained in bf16 and updated on the GPU; a plan with another --optimizer-state than fp32 has
 *                     counted its own
 *     adapters        adapter_cast_bytes per element
 *     buffers         bucket_elements x p, where full gradients go to the CPU
 *     host            host_parameter_bytes per parameter in place of the plan's fp32 weights, moments, gradients and
 *                     outgoing buffers, where the CPU has fp32 weights, or with half_states bf16 ones; not for other
 *                     formats than the framework's
 *
 * Then, of D bytes of tensors that come and go in a step, its allocator holds  D allocator_share /
 * (1 - allocator_share)  more, and the process has library_bytes.  The bound has at most  B allocator_most /
 * (1 - allocator_most)  more than the B bytes of all tensors.
 */
#ifndef LSPO_SIM_FRAMEWORK_MEMORY_H
#define LSPO_SIM_FRAMEWORK_MEMORY_H

#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/plan.h"

/* The plan with the framework's tensors. */
typedef struct {
    const lspo_plan_t *plan;         /* what to replay: the original, or `changed` */
    lspo_plan_t changed;             /* as the original but for its memory */
    lspo_op_t *ops;                  /* owned, of `changed`; NULL: nothing changes */
    lspo_peer_static_t *peer_static; /* owned, of `changed`; NULL: of one peer */
} lspo_framework_memory_t;

/* `plan` must outlive the result, which must not be moved; the caller releases it. */
lspo_status_t lspo_framework_memory_create(const lspo_plan_t *plan, const lspo_machine_t *machine,
                                           lspo_framework_memory_t *memory_out);
void lspo_framework_memory_release(lspo_framework_memory_t *memory);

/* Bytes that the allocator holds unused when `dynamic_bytes` of tensors come and go in a step. */
uint64_t lspo_framework_reserve_bytes(const lspo_machine_t *machine, uint64_t dynamic_bytes);
/* The most that it holds unused, of `tensor_bytes` of which `dynamic_bytes` come and go. */
uint64_t lspo_framework_reserve_most_bytes(const lspo_machine_t *machine, uint64_t tensor_bytes,
                                           uint64_t dynamic_bytes);

#endif
