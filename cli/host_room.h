/* host_room.h - whether this machine's memory can hold a plan that the host device is to run, asked before a page is
 * touched. */
#ifndef LSPO_CLI_HOST_ROOM_H
#define LSPO_CLI_HOST_ROOM_H

#include "plan/model.h"
#include "plan/policy.h"
#include "base/status.h"
#include "plan/workload.h"

/* LSPO_ERR_FIT, with both sums, when the predicted peaks of device and host together, which the host device takes from
 * one memory, are above what the machine, its cgroup and the limits of the process leave.  For any other device
 * LSPO_OK: its own memory bounds it. */
lspo_status_t lspo_host_room_check(const char *device, const lspo_model_t *model, const lspo_workload_t *workload,
                                   const lspo_policy_t *policy);

#endif
