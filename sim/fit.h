/* fit.h - what memory a plan would take on a machine, and how large a batch fits. */
#ifndef LSPO_SIM_FIT_H
#define LSPO_SIM_FIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/model.h"
#include "plan/plan.h"
#include "plan/policy.h"
#include "plan/workload.h"

/* What plans may take of the GPU's memory: gpu.memory_bytes less what its driver takes, gpu.context_bytes. */
double lspo_fit_gpu_bytes(const lspo_machine_t *machine);

/* Bytes above what there is on the GPU, on the host; 0 when they fit. */
uint64_t lspo_fit_gpu_excess(const lspo_machine_t *machine, uint64_t peak_gpu_bytes);
uint64_t lspo_fit_host_excess(const lspo_machine_t *machine, uint64_t peak_host_bytes);

/* Are both peaks within the machine's memory? */
bool lspo_fits(const lspo_machine_t *machine, uint64_t peak_gpu_bytes, uint64_t peak_host_bytes);

/* Whose memory is asked for. */
typedef struct {
    const lspo_model_t *model;
    lspo_workload_t workload;
    const lspo_policy_t *policy;
    const lspo_machine_t *machine;
} lspo_fit_question_t;

/* Predicted of a plan: its peaks, whether they fit, and its time per iteration as if memory were unlimited. */
typedef struct {
    uint64_t gpu_bytes, host_bytes;
    bool fits;
    double iteration_s;
} lspo_fit_t;

lspo_status_t lspo_fit_plan(const lspo_plan_t *plan, const lspo_machine_t *machine, lspo_fit_t *fit_out);

/* The same of the plan that answers the question, its transition chosen as lspo_tune_transition() does. */
lspo_status_t lspo_fit_try(const lspo_fit_question_t *question, lspo_fit_t *fit_out);

/* The largest batch of the question's workload that fits, 0 when not even 1 does.  Peaks grow with the batch, but not
 * strictly: what is under way on the link at a given moment depends on times.  So the search by halves is followed by
 * LSPO_FIT_BEYOND larger batches tried one by one, none of which fits. */
enum { LSPO_FIT_BEYOND = 8 };
lspo_status_t lspo_fit_largest_batch(const lspo_fit_question_t *question, uint32_t *batch_out);

#endif
