/* plan_json.h - a plan as one JSON object, for other programs: `lspo show plan --format json`.
 *
 *     model, policy, iterations
 *     lanes            names, by index
 *     ops              one object per op, in the order of ids: id, kind, layer, iteration, micro, variant (a number,
 *                      plan/op.h), lane (an index), priority, deps (ids), duration_ns (alone on the machine)
 *     lower_bound_s    sim/bound.h
 *     barrier          first and second pass (ids), iterations between them, and bound_ns, the least time from the end
 *                      of the first to that of the second (sim/window.h); null: the plan has none
 *
 * Without a machine, duration_ns, lower_bound_s and barrier are null.
 */
#ifndef LSPO_CLI_PLAN_JSON_H
#define LSPO_CLI_PLAN_JSON_H

#include <stdio.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/plan.h"

/* `machine` may be NULL. */
lspo_status_t lspo_plan_json_print(const lspo_plan_t *plan, const lspo_machine_t *machine, FILE *file);

#endif
