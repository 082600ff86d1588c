/* cmd_broker.c - `lspo broker`: how fast a pipeline of peers trains that leave and come back; with --run the training
 * itself. */
#include <math.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "ask/args.h"
#include "ask/request.h"
#include "base/mpi.h"
#include "base/table.h"
#include "base/texts.h"
#include "cli/broker_run.h"
#include "cli/caps.h"
#include "cli/command.h"
#include "cli/host_room.h"
#include "cli/machine_named.h"
#include "cli/request_line.h"
#include "plan/policies/fusion.h"
#include "real/train/grid_parts.h"
#include "sim/broker_job.h"
#include "sim/tune.h"

enum { ALL_OTHERS = UINT32_MAX };

typedef struct {
    lspo_request_t base;
    uint32_t pipelines, backups, steps, save_every;
    double stay_s, away_s, timeout_s, give_up_s;
    const char *folder, *launcher; /* of a training that is run; NULL: it is simulated */
} broker_request_t;

#define AT(field) offsetof(broker_request_t, field)

static const lspo_arg_t broker_args[] = {
    {.name = "model",
     .value = "NAME|FILE|FOLDER",
     .list = "models",
     .help = "model to train (gpt2-774m); help: list models",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, model_name)},
    {.name = "machine",
     .value = "NAME|FILE|auto",
     .list = "machines",
     .help = "machine of the peers that the file gives none (paper-workstation); help: list machines",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, machine_name)},
    LSPO_FORMAT_ARG("result", offsetof(lspo_request_t, format)),
};

static const lspo_arg_t run_args[] = {
    {.name = "run",
     .value = "FOLDER",
     .help = "train for real, each peer a rank of MPI, and save the parts in this folder; go on from what it has",
     .store = lspo_arg_text,
     .offset_bytes = AT(folder)},
    {.name = "launcher",
     .value = "COMMAND",
     .help = "what starts the ranks: `-n RANKS lspo broker ...` is added (mpirun)",
     .store = lspo_arg_text,
     .offset_bytes = AT(launcher)},
    {.name = "device",
     .value = "NAME",
     .list = "devices",
     .help = "of each rank: host, or cuda, its own GPU of those of its machine (host); help: list them",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, device_name)},
    {.name = "text",
     .value = "FILE",
     .help = "train on this file's bytes (the King James Bible if installed, else texts of this machine)",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_request_t, text_path)},
};

static const lspo_arg_t churn_args[] = {
    {.name = "stay",
     .value = "TIME",
     .help = "mean time that a peer stays, such as 2h (none leaves)",
     .store = lspo_arg_quantity,
     .unit = LSPO_UNIT_SECONDS,
     .offset_bytes = AT(stay_s)},
    {.name = "away",
     .value = "TIME",
     .help = "mean time until it comes back, as a backup (it does not)",
     .store = lspo_arg_quantity,
     .unit = LSPO_UNIT_SECONDS,
     .offset_bytes = AT(away_s)},
    {.name = "pipelines",
     .value = "R",
     .help = "pipelines that train together, simulated only (1)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = 100000,
     .offset_bytes = AT(pipelines)},
    {.name = "backups",
     .value = "N",
     .help = "peers that wait for the part of one that leaves (all others of the file)",
     .store = lspo_arg_u32,
     .high = LSPO_PEERS_MAX,
     .offset_bytes = AT(backups)},
    {.name = "timeout",
     .value = "TIME",
     .help = "a peer that has not answered for so long has left (10s)",
     .store = lspo_arg_quantity,
     .unit = LSPO_UNIT_SECONDS,
     .offset_bytes = AT(timeout_s)},
    {.name = "give-up",
     .value = "TIME",
     .help = "end when a part has waited so long for a peer (24h)",
     .store = lspo_arg_quantity,
     .unit = LSPO_UNIT_SECONDS,
     .offset_bytes = AT(give_up_s)},
    {.name = "save-every",
     .value = "N",
     .help = "steps between two saves of all parts (10)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = LSPO_STEPS_MAX,
     .offset_bytes = AT(save_every)},
    {.name = "steps",
     .value = "N",
     .help = "steps of the training (100)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = LSPO_STEPS_MAX,
     .offset_bytes = AT(steps)},
};

/* ---- the result ---- */

typedef struct {
    const char *model, *chain;
    uint64_t parts, pipelines, backups, steps, done, repeated_steps, repeated_micros, left, came, replaced;
    double stay_s, away_s, load_s, save_s, step_s, time_s, tokens_per_s, share, waited_s;
    int gave_up;
} record_t;

#define FIELD(name, kind, unit)                                                                                        \
    {                                                                                                                  \
#name, LSPO_FIELD_##kind, LSPO_UNIT_##unit, offsetof(record_t, name)                                           \
    }

static const lspo_field_t fields[] = {
    FIELD(model, TEXT, NONE),
    FIELD(chain, TEXT, NONE),
    FIELD(parts, INTEGER, NONE),
    FIELD(pipelines, INTEGER, NONE),
    FIELD(backups, INTEGER, NONE),
    FIELD(stay_s, REAL, SECONDS),
    FIELD(away_s, REAL, SECONDS),
    FIELD(load_s, REAL, SECONDS),
    FIELD(save_s, REAL, SECONDS),
    FIELD(steps, INTEGER, NONE),
    FIELD(done, INTEGER, NONE),
    FIELD(time_s, REAL, SECONDS),
    FIELD(step_s, REAL, SECONDS),
    FIELD(tokens_per_s, REAL, NONE),
    FIELD(share, REAL, NONE),
    FIELD(left, INTEGER, NONE),
    FIELD(came, INTEGER, NONE),
    FIELD(replaced, INTEGER, NONE),
    FIELD(repeated_micros, INTEGER, NONE),
    FIELD(repeated_steps, INTEGER, NONE),
    FIELD(waited_s, REAL, SECONDS),
    FIELD(gave_up, YES_NO, NONE),
};

/* `share`: of the throughput of peers that stay, without saves. */
static lspo_status_t write_result(const broker_request_t *request, const lspo_broker_job_t *job,
                                  const lspo_broker_outcome_t *outcome)
{
    const lspo_workload_t *w = &request->base.workload;
    const double tokens = (double)lspo_workload_tokens(w) * job->micros * job->pipelines;
    const double step_s = job->alone_s + (job->micros - 1) * job->micro_s;
    const record_t record = {.model = request->base.model.name,
                             .chain = lspo_text_of(lspo_fusion_values_of(w)->chain),
                             .parts = job->parts,
                             .pipelines = job->pipelines,
                             .backups = job->backups,
                             .stay_s = job->stay_s > 0 ? job->stay_s : (double)NAN,
                             .away_s = job->away_s > 0 ? job->away_s : (double)NAN,
                             .load_s = job->load_s,
                             .save_s = job->save_s,
                             .steps = job->steps,
                             .done = outcome->steps,
                             .time_s = outcome->time_s,
                             .step_s = step_s,
                             .tokens_per_s = tokens * outcome->steps / outcome->time_s,
                             .share = step_s * outcome->steps / outcome->time_s,
                             .left = outcome->left,
                             .came = outcome->came,
                             .replaced = outcome->replaced,
                             .repeated_micros = outcome->repeated_micros,
                             .repeated_steps = outcome->repeated_steps,
                             .waited_s = outcome->waited_s,
                             .gave_up = outcome->gave_up};
    const lspo_table_t table = {.fields = fields,
                                .field_count = sizeof fields / sizeof fields[0],
                                .records = &record,
                                .record_bytes = sizeof record,
                                .record_count = 1};
    return lspo_table_write_record(&table, lspo_format_resolve(request->base.format), stdout);
}

/* ---- the job ---- */

/* Each pipeline has peers of the kinds of the chain. */
static lspo_status_t check_kinds(const broker_request_t *request, const lspo_plan_t *plan, uint32_t parts)
{
    for (uint32_t k = 0; k < plan->network.kind_count; k++) {
        const lspo_peer_kind_t *kind = &plan->network.kinds[k];
        uint64_t needed = 0;
        for (uint32_t p = 0; p < parts; p++)
            needed += plan->peer_kinds[p] == k ? request->pipelines : 0;
        if (needed > kind->count)
            return lspo_error(LSPO_ERR_INPUT, "--pipelines %u: they need %llu peers of kind %s, and the file has %u",
                              request->pipelines, (unsigned long long)needed, kind->name, kind->count);
    }
    if (plan->network.kind_count > 1)
        lspo_warn(
            "the file has peers of %u kinds: each backup counts as one that has room for the part and is as fast as "
            "the peer that left; give one kind to be exact",
            plan->network.kind_count);
    return LSPO_OK;
}

static lspo_status_t count_backups(const broker_request_t *request, const lspo_plan_t *plan, lspo_broker_job_t *job)
{
    const uint64_t others = plan->network.peer_count - (uint64_t)job->parts * request->pipelines;
    if (request->backups != ALL_OTHERS && request->backups > others)
        return lspo_error(LSPO_ERR_INPUT, "--backups %u: only %llu peers of the file have no part", request->backups,
                          (unsigned long long)others);
    job->backups = request->backups == ALL_OTHERS ? (uint32_t)others : request->backups;
    return LSPO_OK;
}

static lspo_status_t play(broker_request_t *request, const lspo_plan_t *plan, const lspo_machine_t *machine)
{
    lspo_broker_outcome_t outcome;
    lspo_broker_job_t job = {.pipelines = request->pipelines,
                             .save_every = request->save_every,
                             .stay_s = request->stay_s,
                             .away_s = request->away_s,
                             .timeout_s = request->timeout_s,
                             .give_up_s = request->give_up_s,
                             .steps = request->steps,
                             .seed = plan->workload.seed};
    request->base.workload = plan->workload;
    lspo_status_t status = lspo_broker_describe(plan, machine, &job);
    if (status == LSPO_OK)
        status = check_kinds(request, plan, job.parts);
    if (status == LSPO_OK)
        status = count_backups(request, plan, &job);
    if (status != LSPO_OK)
        return status;
    /* What makes no progress would never end. */
    job.limit_s = 1000 * job.steps * (job.alone_s + job.micros * job.micro_s + job.save_s);
    status = lspo_broker_run(&job, &outcome);
    if (status != LSPO_OK)
        return status;
    if (outcome.gave_up)
        lspo_warn(
            "part %u of pipeline %u: its peer has not answered for %g s, and there is no backup: given up after %u "
            "of %u steps",
            outcome.lost_part, outcome.lost_pipeline, job.give_up_s + job.timeout_s, outcome.steps, job.steps);
    return write_result(request, &job, &outcome);
}

/* ---- --run ---- */

typedef struct {
    const char *model, *chain, *weights;
    uint64_t parts, steps, starts, replaced;
    double time_s, loss_first, loss_last;
} ran_record_t;

#define RAN_FIELD(name, kind, unit)                                                                                    \
    {                                                                                                                  \
#name, LSPO_FIELD_##kind, LSPO_UNIT_##unit, offsetof(ran_record_t, name)                                       \
    }

static const lspo_field_t ran_fields[] = {
    RAN_FIELD(model, TEXT, NONE),       RAN_FIELD(chain, TEXT, NONE),      RAN_FIELD(parts, INTEGER, NONE),
    RAN_FIELD(steps, INTEGER, NONE),    RAN_FIELD(time_s, REAL, SECONDS),  RAN_FIELD(starts, INTEGER, NONE),
    RAN_FIELD(replaced, INTEGER, NONE), RAN_FIELD(loss_first, REAL, NONE), RAN_FIELD(loss_last, REAL, NONE),
    RAN_FIELD(weights, TEXT, NONE),
};

static lspo_status_t check_run(const broker_request_t *request, const lspo_plan_t *plan)
{
    if (request->stay_s > 0 || request->away_s > 0 || request->pipelines > 1)
        return lspo_error(LSPO_ERR_INPUT, "--run excludes --stay, --away and --pipelines, which are simulated");
    if (request->timeout_s < 2 || request->timeout_s > 86400)
        return lspo_error(LSPO_ERR_INPUT, "--timeout is %g s; with --run it must be from 2s to 86400s",
                          request->timeout_s);
    if (lspo_policy_peers(plan->policy, &plan->workload) < 2)
        return lspo_error(LSPO_ERR_INPUT, "a broker needs a chain of two peers or more: --peers FILE, --chain");
    return LSPO_OK;
}

static lspo_status_t start_ranks(broker_request_t *request, const lspo_plan_t *plan, int argc, char **argv)
{
    lspo_broker_job_t job = {.parts = lspo_policy_peers(plan->policy, &plan->workload)};
    lspo_broker_ran_t ran;
    lspo_status_t status = count_backups(request, plan, &job);
    const lspo_broker_run_t run = {.plan = plan,
                                   .folder = request->folder,
                                   .launcher = request->launcher,
                                   .steps = request->steps,
                                   .backups = job.backups,
                                   .timeout_s = request->timeout_s,
                                   .argc = argc,
                                   .argv = argv};
    if (status == LSPO_OK)
        status = lspo_broker_start(&run, &ran);
    if (status != LSPO_OK)
        return status;
    const ran_record_t record = {.model = plan->model.name,
                                 .chain = ran.chain,
                                 .weights = ran.weights,
                                 .parts = job.parts,
                                 .steps = request->steps,
                                 .starts = ran.starts,
                                 .replaced = ran.replaced,
                                 .time_s = ran.time_s,
                                 .loss_first = ran.loss_first,
                                 .loss_last = ran.loss_last};
    const lspo_table_t table = {.fields = ran_fields,
                                .field_count = sizeof ran_fields / sizeof ran_fields[0],
                                .records = &record,
                                .record_bytes = sizeof record,
                                .record_count = 1};
    status = lspo_table_write_record(&table, lspo_format_resolve(request->base.format), stdout);
    free(ran.chain);
    return status;
}

static lspo_status_t train_part(const broker_request_t *request, const lspo_plan_t *plan, lspo_mail_t *mail)
{
    lspo_parts_result_t result;
    lspo_parts_options_t options = {.model = &plan->model,
                                    .policy = plan->policy,
                                    .workload = &plan->workload,
                                    .steps = request->steps,
                                    .save_every = request->save_every,
                                    .folder = request->folder,
                                    .grid = {.device = request->base.device_name, .mail = mail}};
    lspo_text_t *text = NULL;
    lspo_status_t status =
        lspo_host_room_check(request->base.device_name, &plan->model, &plan->workload, plan->policy, 0);
    if (status == LSPO_OK)
        status = lspo_request_caps(&request->base, &options.grid.caps);
    if (status == LSPO_OK)
        status = lspo_text_open(request->base.text_path, &text);
    options.grid.text = text;
    if (status == LSPO_OK)
        status = lspo_parts_train(&options, &result);
    lspo_text_close(text);
    if (status == LSPO_OK && lspo_mail_rank(mail) == 0)
        lspo_broker_say(result.loss_first, result.loss_last, result.weights_hash);
    return status;
}

/* A launcher has started this process: it is a peer. */
static lspo_status_t be_rank(const broker_request_t *request, const lspo_plan_t *plan)
{
    lspo_mail_t *mail = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* one that is stopped would keep its part's folder */
    lspo_status_t status = lspo_mail_open(request->timeout_s, "--timeout", &mail);
    return status == LSPO_OK ? lspo_mail_close(mail, train_part(request, plan, mail)) : status;
}

static lspo_status_t run_chain(broker_request_t *request, const lspo_plan_t *plan, int argc, char **argv)
{
    lspo_status_t status = check_run(request, plan);
    if (status != LSPO_OK)
        return status;
    return lspo_mpi_is_launched() ? be_rank(request, plan) : start_ranks(request, plan, argc, argv);
}

/* Only then is there a device, on whose formats the defaults depend. */
static bool asks_to_run(int argc, char **argv)
{
    bool asks = false;
    for (int i = 1; i < argc; i++)
        asks |= strcmp(argv[i], "--run") == 0 || strncmp(argv[i], "--run=", 6) == 0;
    return asks;
}

static lspo_status_t broker(int argc, char **argv)
{
    broker_request_t request = {
        .base = {.model_name = "gpt2-774m",
                 .machine_name = "paper-workstation",
                 .policy_name = "fusion",
                 .device_name = asks_to_run(argc, argv) ? "host" : NULL,
                 .format = LSPO_FORMAT_AUTO},
        .launcher = "mpirun",
        .pipelines = 1,
        .backups = ALL_OTHERS,
        .steps = 100,
        .save_every = 10,
        .timeout_s = 10,
        .give_up_s = 86400,
    };
    lspo_machine_t machine;
    lspo_plan_t *plan = NULL;
    lspo_status_t status = lspo_request_parse(&lspo_command_broker, argc, argv, LSPO_FP32, &request.base);
    if (status == LSPO_OK)
        status = lspo_request_machine(&request.base, &machine);
    if (status == LSPO_OK)
        status =
            lspo_tune_transition(&request.base.model, &request.base.workload, request.base.policy, &machine, &plan);
    if (status == LSPO_OK)
        status = request.folder != NULL ? run_chain(&request, plan, argc, argv) : play(&request, plan, &machine);
    lspo_plan_destroy(plan);
    return status;
}

static const lspo_arg_group_t broker_group = LSPO_ARG_GROUP("options", broker_args);
static const lspo_arg_group_t run_group = LSPO_ARG_GROUP("running it", run_args);
static const lspo_arg_group_t churn_group = LSPO_ARG_GROUP("peers that leave and come", churn_args);

const lspo_command_t lspo_command_broker = {
    .name = "broker",
    .summary = "train with peers that leave and are replaced, or simulate it",
    .usage = "--peers FILE [options]",
    .about = "Simulate a training by the policy fusion whose peers leave at random and come back: a broker gives the "
             "part of one that left to a backup, which loads it from another pipeline or from the last saved state, "
             "and what was lost runs again. No micro-batch is lost or added twice. --seed draws when peers leave. With "
             "--run "
             "the training is executed: under mpirun each peer is a rank; when one ends or does not answer, the job "
             "starts again "
             "with a backup in its place, from the last saved step, and ends with the same weights.",
    .examples = "lspo broker --peers peers.ini --model llama-7b --stay 6h --away 1h\n"
                "lspo broker --run parts --peers peers.ini --chain card:4/card:3 --model gpt-tiny --save-every 20",
    .common = "model machine stay away pipelines backups",
    .details = "done: steps that count, of `steps`. share: throughput relative to peers that stay and save nothing. "
               "waited_s: for a backup, summed over parts. weights, of --run: a hash of those of all parts. "
               "docs/peers.md has the "
               "rules.",
    .groups = (const lspo_arg_group_t *const[]){&broker_group, &run_group, &churn_group, &lspo_workload_group,
                                                &lspo_policy_group, &lspo_framework_group, &lspo_override_group, NULL},
    .run = broker,
};
