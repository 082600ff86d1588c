/* host_room.h - check, before allocating anything, whether this machine's memory is enough for a plan on the host
 * device. */
#ifndef LSPO_CLI_HOST_ROOM_H
#define LSPO_CLI_HOST_ROOM_H

#include <stdint.h>

#include "base/status.h"
#include "plan/model.h"
#include "plan/policy.h"
#include "plan/workload.h"

/* LSPO_ERR_FIT, with both numbers in the message, if the predicted peaks of device and host and `beside_bytes`, what
 * the command holds beside the plan, together exceed the memory that the machine, its cgroup and the limits of the
 * process leave; the host device takes all of it from the same memory.  LSPO_OK for any other device, which has its own
 * memory. */
lspo_status_t lspo_host_room_check(const char *device, const lspo_model_t *model, const lspo_workload_t *workload,
                                   const lspo_policy_t *policy, uint64_t beside_bytes);

#endif
