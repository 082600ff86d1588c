/* host_room.h - check, before allocating anything, whether memory is enough for a plan: this machine's on the host
 * device, what a cap leaves on any device. */
#ifndef LSPO_CLI_HOST_ROOM_H
#define LSPO_CLI_HOST_ROOM_H

#include <stdint.h>

#include "ask/request.h"
#include "base/status.h"
#include "plan/model.h"
#include "plan/plan.h"
#include "plan/policy.h"
#include "plan/workload.h"

/* LSPO_ERR_FIT, with both numbers in the message, if the predicted peaks of device and host and `beside_bytes`, what
 * the command holds beside the plan, together exceed the memory that the machine, its cgroup and the limits of the
 * process leave; the host device takes all of it from the same memory.  Any other device has its own memory.
 * LSPO_ERR_INPUT for a model that can only be predicted, on any device. */
lspo_status_t lspo_host_room_check(const char *device, const lspo_model_t *model, const lspo_workload_t *workload,
                                   const lspo_policy_t *policy, uint64_t beside_bytes);

/* LSPO_ERR_FIT, with what the plan needs in the message, if the memory that it holds from start to end exceeds the cap
 * on the device's memory, if there is one.  The predicted peak is only named: it depends on times, and a run may stay
 * below it.  *peak_bytes_out is that peak if there is a cap, else 0: for the message of a run that exceeds the cap. */
lspo_status_t lspo_host_room_check_cap(const lspo_plan_t *plan, const lspo_overrides_t *overrides,
                                       uint64_t *peak_bytes_out);

#endif
