/* cmd_join.c - `lspo join`: loss by step, measured on one machine, against time by step, simulated on another. */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/args.h"
#include "ask/request.h"
#include "base/table.h"
#include "cli/command.h"
#include "cli/machine_named.h"
#include "cli/request_line.h"
#include "real/train/metrics.h"
#include "real/train/origin.h"
#include "sim/sim.h"

typedef struct {
    lspo_request_t base; /* first, see ask/request.h */
    const char *metrics_path;
    bool evaluated;
} join_request_t;

static const lspo_arg_t join_args[] = {
    {.name = "metrics",
     .value = "FILE",
     .help = "file that lspo train --metrics wrote",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(join_request_t, metrics_path)},
    {.name = "model",
     .value = "NAME|FILE|FOLDER",
     .list = "models",
     .help = "model whose steps are simulated (gpt2-774m); help: list models",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, model_name)},
    {.name = "machine",
     .value = "NAME|FILE|auto",
     .list = "machines",
     .help = "machine to predict (paper-laptop); help: list machines",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, machine_name)},
    {.name = "policy",
     .value = "NAME",
     .list = "policies",
     .help = "how the training is scheduled (lsp); help: list policies",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, policy_name)},
    {.name = "evaluated",
     .help = "only the steps at which held-out data was evaluated",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(join_request_t, evaluated)},
    LSPO_FORMAT_ARG("result", offsetof(lspo_request_t, format)),
};

typedef struct {
    double time_s, loss, held_out_loss, perplexity;
    uint64_t step;
} join_record_t;

static const lspo_field_t join_fields[] = {
    {"time_s", LSPO_FIELD_REAL, LSPO_UNIT_SECONDS, offsetof(join_record_t, time_s)},
    {"step", LSPO_FIELD_INTEGER, LSPO_UNIT_NONE, offsetof(join_record_t, step)},
    {"loss", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(join_record_t, loss)},
    {"held_out_loss", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(join_record_t, held_out_loss)},
    {"perplexity", LSPO_FIELD_REAL, LSPO_UNIT_NONE, offsetof(join_record_t, perplexity)},
};

static lspo_status_t predict(const lspo_request_t *request, double *step_s_out)
{
    lspo_machine_t machine;
    lspo_plan_t *plan;
    lspo_prediction_t prediction;
    lspo_status_t status = lspo_machine_named(request->machine_name, &machine);
    if (status != LSPO_OK)
        return status;
    status = lspo_overrides_machine(&request->overrides, &machine);
    if (status != LSPO_OK)
        return status;
    status = lspo_tune_transition(&request->model, &request->workload, request->policy, &machine, &plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_simulate(plan, &machine, &prediction, NULL);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_simulate_bound(plan, &machine, &prediction);
    if (status == LSPO_OK)
        status = lspo_simulate_check_settled(plan, &prediction);
    *step_s_out = prediction.summary.iteration_s;
    lspo_prediction_release(&prediction);
cleanup:
    lspo_plan_destroy(plan);
    return status;
}

static lspo_status_t write_join(const join_request_t *request, const lspo_metrics_row_t *rows, size_t count,
                                double step_s)
{
    join_record_t *records = calloc(count + 1, sizeof *records);
    size_t kept = 0;
    if (!records)
        return lspo_no_memory("%zu rows", count);
    for (size_t i = 0; i < count; i++)
        if (!request->evaluated || isfinite(rows[i].held_out_loss))
            records[kept++] = (join_record_t){.time_s = step_s * rows[i].step,
                                              .step = rows[i].step,
                                              .loss = rows[i].loss,
                                              .held_out_loss = rows[i].held_out_loss,
                                              .perplexity = rows[i].perplexity};
    if (kept == 0) {
        free(records);
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: no row has a held_out_loss, so --evaluated leaves none; train with "
                          "--eval-every to have some",
                          request->metrics_path);
    }
    lspo_table_t table = {.fields = join_fields,
                          .field_count = sizeof join_fields / sizeof join_fields[0],
                          .records = records,
                          .record_bytes = sizeof *records,
                          .record_count = kept};
    lspo_status_t status = lspo_table_write(&table, lspo_format_resolve(request->base.format), stdout);
    free(records);
    return status;
}

/* -- the settings of the training and of the simulation ---------------------------------------------------------- */

/* "batch 2, simulated 4; ..." */
typedef struct {
    char text[512];
    size_t length;
} differences_t;

static void add_difference(differences_t *differences, const char *what, const char *trained, const char *simulated)
{
    char *at = differences->text + differences->length;
    const size_t room = sizeof differences->text - differences->length;
    const int length = snprintf(at, room, "%s%s %s, simulated %s", differences->length > 0 ? "; " : "", what,
                                trained ? trained : "(unknown)", simulated);
    differences->length += length < 0 ? 0 : (size_t)length < room ? (size_t)length : room - 1;
}

/* Whether any setting `prefix`NAME differs from `record`. */
static bool any_differs(const lspo_origin_t *origin, const char *prefix, const lspo_record_field_t *fields,
                        size_t count, const void *record)
{
    bool differs = false;
    for (size_t i = 0; i < count; i++) {
        char key[64], value[128];
        snprintf(key, sizeof key, "%s%s", prefix, fields[i].name);
        lspo_record_format(&fields[i], record, value, sizeof value);
        const char *trained = lspo_origin_value(origin, key);
        differs |= !trained || strcmp(trained, value) != 0;
    }
    return differs;
}

/* Of all policies. */
static void find_workload_differences(const lspo_workload_t *workload, const lspo_origin_t *origin,
                                      differences_t *differences)
{
    static const char *const flags[] = {"batch", "sequence", "accumulation"};
    for (size_t i = 0; i < lspo_workload_field_count; i++) {
        const lspo_record_field_t *field = &lspo_workload_fields[i];
        char value[128];
        bool matters = false;
        for (size_t k = 0; k < sizeof flags / sizeof flags[0]; k++)
            matters |= strcmp(field->name, flags[k]) == 0;
        lspo_record_format(field, workload, value, sizeof value);
        if (matters && any_differs(origin, "", field, 1, workload))
            add_difference(differences, field->name, lspo_origin_value(origin, field->name), value);
    }
}

/* Settings of one policy, the same on both sides. */
static void find_own_differences(const lspo_policy_t *policy, const lspo_workload_t *workload,
                                 const lspo_origin_t *origin, differences_t *differences)
{
    for (size_t i = 0; policy->parameters && i < policy->parameters->count; i++) {
        const lspo_parameter_t *parameter = policy->parameters->uses[i].parameter;
        const char *trained = lspo_origin_value(origin, parameter->key);
        char value[128];
        if (!(parameter->affects & LSPO_AFFECTS_NUMBERS))
            continue;
        lspo_parameter_format(parameter, lspo_policy_value(policy, workload, parameter), value, sizeof value);
        if (!trained || strcmp(trained, value) != 0)
            add_difference(differences, parameter->key, trained, value);
    }
}

static void find_differences(const join_request_t *request, const lspo_origin_t *origin, differences_t *differences)
{
    const lspo_request_t *base = &request->base;
    const char *policy = lspo_origin_value(origin, "policy");
    const bool same_policy = policy && strcmp(policy, base->policy->name) == 0;
    if (any_differs(origin, "model ", lspo_model_fields, lspo_model_field_count, &base->model))
        add_difference(differences, "model", lspo_origin_model(origin), base->model.name);
    if (!same_policy)
        add_difference(differences, "policy", policy, base->policy->name);
    find_workload_differences(&base->workload, origin, differences);
    if (same_policy)
        find_own_differences(base->policy, &base->workload, origin, differences);
}

static lspo_status_t warn_of_other_training(const join_request_t *request, bool *known_out)
{
    lspo_origin_t *origin = NULL;
    differences_t differences = {.length = 0};
    lspo_status_t status = lspo_origin_read(request->metrics_path, &origin);
    *known_out = origin != NULL;
    if (status != LSPO_OK || !origin)
        return status;
    find_differences(request, origin, &differences);
    if (differences.length > 0)
        lspo_warn("%s: the training differs from the simulated one (%s), so its losses do not belong to these steps",
                  request->metrics_path, differences.text);
    lspo_origin_close(origin);
    return LSPO_OK;
}

/* Tokens per step of the training: rate times time between two steps of a segment.  NaN if the rows do not determine
 * it. */
static double tokens_a_step(const lspo_metrics_row_t *rows, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        bool follows = rows[i].step == rows[i - 1].step + 1;
        double before_s = rows[i - 1].step == 0 ? 0 : rows[i - 1].time_s;
        bool one_segment = rows[i - 1].step == 0 || rows[i - 1].tokens_per_s == rows[i].tokens_per_s;
        if (follows && one_segment && isfinite(rows[i].tokens_per_s * (rows[i].time_s - before_s)))
            return rows[i].tokens_per_s * (rows[i].time_s - before_s);
    }
    return NAN;
}

/* Metrics of older versions have only the sizes of steps, not the model. */
static void warn_of_other_steps(const join_request_t *request, const lspo_metrics_row_t *rows, size_t count)
{
    const lspo_workload_t *workload = &request->base.workload;
    double trained = tokens_a_step(rows, count);
    double simulated = (double)lspo_workload_tokens(workload) * workload->accumulation;
    if (fabs(trained / simulated - 1) > 0.01)
        lspo_warn("%s: the training had %.0f tokens per step, the simulated one has %.0f (--batch %u, --sequence %u, "
                  "--accumulation %u), so its losses do not belong to these steps",
                  request->metrics_path, trained, simulated, workload->batch, workload->sequence,
                  workload->accumulation);
}

static lspo_status_t read_and_join(const join_request_t *request)
{
    lspo_metrics_row_t *rows;
    size_t count;
    double step_s;
    if (!request->metrics_path)
        return lspo_error(LSPO_ERR_INPUT, "--metrics FILE is required");
    lspo_status_t status = lspo_metrics_read(request->metrics_path, &rows, &count);
    if (status != LSPO_OK)
        return status;
    bool known = false;
    status = warn_of_other_training(request, &known);
    if (status != LSPO_OK)
        goto cleanup;
    if (!known)
        warn_of_other_steps(request, rows, count);
    status = predict(&request->base, &step_s);
    if (status != LSPO_OK)
        goto cleanup;
    status = write_join(request, rows, count, step_s);
cleanup:
    free(rows);
    return status;
}

static lspo_status_t join(int argc, char **argv)
{
    join_request_t request = {.base = {.model_name = "gpt2-774m",
                                       .machine_name = "paper-laptop",
                                       .policy_name = "lsp",
                                       .format = LSPO_FORMAT_AUTO}};
    lspo_status_t status = lspo_request_parse(&lspo_command_join, argc, argv, LSPO_PRECISION_COUNT, &request.base);
    if (status != LSPO_OK)
        return status;
    return read_and_join(&request);
}

static const lspo_arg_group_t join_group = LSPO_ARG_GROUP("options", join_args);

const lspo_command_t lspo_command_join = {
    .name = "join",
    .summary = "predict when a training would reach its losses on another machine",
    .usage = "--metrics FILE [options]",
    .about = "How fast would the loss of a training fall on another machine? The losses are those of the metrics file. "
             "The time of a step is its number times the simulated time per step of model, policy and workload on the "
             "machine, as in Figures 5c and 5d of the paper. Projector checks take as long as in the simulated plan.",
    .examples = "lspo join --metrics loss.csv --model gpt2-774m --machine paper-laptop --policy zero\n"
                "lspo join --metrics loss.csv --machine rtx4090 --policy lsp --evaluated --format csv",
    .common = "metrics model machine policy evaluated",
    .groups = (const lspo_arg_group_t *const[]){&join_group, &lspo_workload_group, &lspo_policy_group,
                                                &lspo_override_group, NULL},
    .run = join,
};
