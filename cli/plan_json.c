/* plan_json.c - a plan as one JSON object; see plan_json.h. */
#include "cli/plan_json.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/json_file.h"
#include "plan/policy.h"
#include "sim/bound.h"
#include "sim/cost.h"

/* In quotation marks, with the characters escaped that need it. */
static lspo_status_t print_text(const char *text, FILE *file)
{
    json_t *value = json_string(text);
    char *printed = value != NULL ? lspo_json_print(value, JSON_ENCODE_ANY) : NULL;
    if (printed != NULL)
        fputs(printed, file);
    lspo_status_t status = printed != NULL ? LSPO_OK : lspo_no_memory("a plan as JSON");
    free(printed);
    json_decref(value);
    return status;
}

static lspo_status_t print_lanes(const lspo_plan_t *plan, FILE *file)
{
    fputs("  \"lanes\": [", file);
    for (uint32_t lane = 0; lane < plan->lanes.count; lane++) {
        fputs(lane > 0 ? ", " : "", file);
        lspo_status_t status = print_text(plan->lanes.list[lane].name, file);
        if (status != LSPO_OK)
            return status;
    }
    fputs("],\n", file);
    return LSPO_OK;
}

static void print_op(const lspo_plan_t *plan, const uint64_t *work_ns, lspo_op_id_t id, FILE *file)
{
    const lspo_op_t *op = &plan->ops[id];
    fprintf(file,
            "    {\"id\": %" PRIu32 ", \"kind\": \"%s\", \"layer\": %u, \"iteration\": %" PRIu32
            ", \"micro\": %u, \"variant\": %u, \"lane\": %" PRIu32 ", \"priority\": %" PRIu32 ", \"deps\": [",
            id, lspo_op_kind_name((lspo_op_kind_t)op->kind), op->layer, op->iteration, op->micro, op->variant, op->lane,
            op->priority);
    for (uint32_t d = 0; d < op->dep_count; d++)
        fprintf(file, "%s%" PRIu32, d > 0 ? ", " : "", plan->deps[op->dep_first + d]);
    if (work_ns != NULL)
        fprintf(file, "], \"duration_ns\": %" PRIu64 "}", lspo_cost_op_ns(op, work_ns));
    else
        fputs("], \"duration_ns\": null}", file);
}

static void print_bound(double lower_bound_s, const lspo_window_t *window, FILE *file)
{
    if (isnan(lower_bound_s))
        fputs("  \"lower_bound_s\": null,\n", file);
    else
        fprintf(file, "  \"lower_bound_s\": %.9g,\n", lower_bound_s);
    if (window->count == 0)
        fputs("  \"barrier\": null\n", file);
    else
        fprintf(file,
                "  \"barrier\": {\"first\": %" PRIu32 ", \"second\": %" PRIu32 ", \"iterations\": %" PRIu32
                ", \"bound_ns\": %" PRIu64 "}\n",
                window->barrier, window->ops[window->count - 1], window->iterations, window->bound_ns);
}

static lspo_status_t print_all(const lspo_plan_t *plan, const uint64_t *work_ns, FILE *file)
{
    double lower_bound_s = NAN;
    lspo_window_t window = {0};
    lspo_status_t status = work_ns != NULL ? lspo_bound_iteration(plan, work_ns, &lower_bound_s) : LSPO_OK;
    if (status == LSPO_OK && work_ns != NULL)
        status = lspo_bound_window(plan, work_ns, &window);
    if (status != LSPO_OK)
        return status;
    fputs("{\n  \"model\": ", file);
    status = print_text(plan->model.name, file);
    if (status != LSPO_OK)
        goto release;
    fprintf(file, ",\n  \"policy\": \"%s\",\n  \"iterations\": %" PRIu32 ",\n", plan->policy->name,
            plan->workload.iterations);
    status = print_lanes(plan, file);
    if (status != LSPO_OK)
        goto release;
    fputs("  \"ops\": [\n", file);
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        print_op(plan, work_ns, id, file);
        fputs(id + 1 < plan->op_count ? ",\n" : "\n", file);
    }
    fputs("  ],\n", file);
    print_bound(lower_bound_s, &window, file);
    fputs("}\n", file);
release:
    lspo_window_release(&window);
    return status;
}

lspo_status_t lspo_plan_json_print(const lspo_plan_t *plan, const lspo_machine_t *machine, FILE *file)
{
    uint64_t *work_ns = NULL;
    lspo_status_t status = machine != NULL ? lspo_cost_plan(machine, plan, &work_ns) : LSPO_OK;
    if (status == LSPO_OK)
        status = print_all(plan, work_ns, file);
    free(work_ns);
    return status;
}
