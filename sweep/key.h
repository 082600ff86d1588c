/* key.h - the key of a cell: 64 bits that stand for all that its prediction depends on.
 *
 * It is a hash of every field of the model, the workload, the policy and its values, the machine's profile, and the
 * version of lspo.  Equal keys mean equal predictions; a changed profile or version gives other keys.
 */
#ifndef LSPO_SWEEP_KEY_H
#define LSPO_SWEEP_KEY_H

#include <stdint.h>

#include "plan/machine.h"
#include "plan/model.h"
#include "plan/policy.h"
#include "plan/workload.h"

typedef struct {
    const lspo_model_t *model;
    const lspo_workload_t *workload;
    const lspo_policy_t *policy;
    const lspo_machine_t *machine;
    const char *version;
} lspo_sweep_identity_t;

uint64_t lspo_sweep_key(const lspo_sweep_identity_t *identity);

/* A hash of a whole profile, and of a model's shapes. */
uint64_t lspo_sweep_machine_hash(const lspo_machine_t *machine);
uint64_t lspo_sweep_model_hash(const lspo_model_t *model);

#endif
