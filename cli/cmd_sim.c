/* cmd_sim.c - `lspo sim`: predict a plan on a machine profile. */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/args.h"
#include "cli/command.h"
#include "cli/judge.h"
#include "cli/machine_named.h"
#include "cli/progress.h"
#include "cli/request.h"
#include "cli/result.h"
#include "cli/sim_report.h"
#include "cli/sim_request.h"
#include "cli/trace_draw.h"
#include "sim/advice.h"
#include "sim/noise.h"
#include "sim/sim.h"
#include "traces/gantt.h"

static const lspo_arg_t sim_args[] = {
    {.name = "model",
     .value = "NAME|FILE|FOLDER",
     .list = "models",
     .help = "model to train (gpt2-774m); help: list models",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_sim_request_t, base.model_name)},
    {.name = "machine",
     .value = "NAME|FILE|auto",
     .list = "machines",
     .help = "machine to predict (paper-workstation); auto: this one, measured once; help: list machines",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_sim_request_t, base.machine_name)},
    {.name = "policy",
     .value = "NAME",
     .list = "policies",
     .help = "how the training is scheduled (lsp); help: list policies",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_sim_request_t, base.policy_name)},
    LSPO_TASK_ARG(offsetof(lspo_sim_request_t, base.task)),
    {.name = "measured",
     .value = "TIME|FILE",
     .help = "is this measured time normal? 1.9s, or a file of times: log, trace, profile, metrics; see below",
     .store = lspo_arg_text,
     .offset_bytes = offsetof(lspo_sim_request_t, measured)},
    LSPO_TRACE_ARG,
    {.name = "draw",
     .help = "draw what the lanes do as text, in place of the result: --first, --count",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(lspo_sim_request_t, draw)},
    {.name = "all",
     .help = "print every figure in a table, as CSV and JSON do",
     .store = lspo_arg_switch,
     .offset_bytes = offsetof(lspo_sim_request_t, all)},
    LSPO_FORMAT_ARG("result", offsetof(lspo_sim_request_t, base.format)),
};

static const lspo_arg_t noise_args[] = {
    {.name = "noise",
     .value = "SEED",
     .help =
         "also simulate with random durations from the machine's [noise], and report percentiles of time and slowdown",
     .store = lspo_arg_u32,
     .low = 1,
     .high = UINT32_MAX,
     .offset_bytes = offsetof(lspo_sim_request_t, noise.seed)},
    {.name = "draws",
     .value = "N",
     .help = "simulations under --noise (200)",
     .store = lspo_arg_u32,
     .low = 2,
     .high = LSPO_NOISE_DRAWS_MAX,
     .offset_bytes = offsetof(lspo_sim_request_t, noise.draws)},
    {.name = "gantt",
     .value = "FILE",
     .help = "write a few iterations as CSV for plots/gantt.gp; with --noise also error bars",
     .store = lspo_arg_output,
     .offset_bytes = offsetof(lspo_sim_request_t, gantt_path)},
    {.name = "first",
     .value = "N",
     .help = "first iteration in --gantt and --draw (3)",
     .store = lspo_arg_u32,
     .high = UINT32_MAX,
     .offset_bytes = offsetof(lspo_sim_request_t, noise.first_iteration)},
    {.name = "count",
     .value = "N",
     .help = "iterations in --gantt and --draw (2)",
     .store = lspo_arg_u32,
     .low = 1,
     .high = UINT32_MAX,
     .offset_bytes = offsetof(lspo_sim_request_t, noise.iteration_count)},
};

/* The noise-free trace: no single draw is typical in all its ops. */
static lspo_status_t write_trace(const lspo_sim_request_t *request, const lspo_machine_t *machine, lspo_trace_t *trace)
{
    lspo_status_t status = lspo_trace_set_meta(trace, "origin", "sim");
    if (status != LSPO_OK)
        return status;
    status = lspo_trace_set_meta(trace, "machine", machine->name);
    if (status != LSPO_OK)
        return status;
    status = lspo_trace_set_meta(trace, "framework", lspo_machine_framework(machine));
    if (status != LSPO_OK)
        return status;
    status = lspo_overrides_describe(&request->base.overrides, trace);
    if (status != LSPO_OK)
        return status;
    if (request->noise.seed > 0)
        status = lspo_noise_describe(&request->noise, trace);
    if (status != LSPO_OK)
        return status;
    return lspo_trace_write(trace, request->base.trace_path);
}

static lspo_status_t write_gantt(const lspo_sim_request_t *request, const lspo_noise_t *noise,
                                 const lspo_trace_t *trace)
{
    uint32_t first = request->noise.first_iteration, count = request->noise.iteration_count;
    return request->noise.seed > 0
               ? lspo_trace_write_gantt_spread(trace, first, count, noise->spreads, request->gantt_path)
               : lspo_trace_write_gantt(trace, first, count, request->gantt_path);
}

/* Draws without noise would be silently ignored. */
static lspo_status_t check_draws(lspo_sim_request_t *request)
{
    if (request->noise.seed == 0 && request->noise.draws > 0)
        return lspo_error(LSPO_ERR_INPUT, "--draws %u needs --noise SEED", request->noise.draws);
    if (request->noise.draws == 0)
        request->noise.draws = LSPO_NOISE_DRAWS;
    return LSPO_OK;
}

/* A drawing takes the place of the result. */
static lspo_status_t check_draw(const lspo_sim_request_t *request)
{
    if (!request->draw)
        return LSPO_OK;
    const char *other = request->base.format == LSPO_FORMAT_CSV || request->base.format == LSPO_FORMAT_JSON ? "--format"
                        : request->all                                                                      ? "--all"
                        : request->measured != NULL ? "--measured"
                                                    : NULL;
    return other == NULL ? LSPO_OK : lspo_error(LSPO_ERR_INPUT, "--draw prints no result, so it excludes %s", other);
}

/* Read the flags, with the defaults of `lspo sim`. */
static lspo_status_t read_request(int argc, char **argv, lspo_sim_request_t *request_out)
{
    lspo_sim_request_t request = {.base = {.model_name = "gpt2-774m",
                                           .machine_name = "paper-workstation",
                                           .policy_name = lspo_usual_policy,
                                           .any_task = true,
                                           .task = -1,
                                           .format = LSPO_FORMAT_AUTO},
                                  .noise = {.first_iteration = 3, .iteration_count = 2},
                                  .argc = argc,
                                  .argv = argv};
    lspo_status_t status = lspo_request_parse(&lspo_command_sim, argc, argv, LSPO_PRECISION_COUNT, &request.base);
    if (status != LSPO_OK)
        return status;
    status = check_draws(&request);
    if (status == LSPO_OK)
        status = check_draw(&request);
    if (status == LSPO_OK)
        *request_out = request;
    return status;
}

/* What was asked, and all that is known of it. */
typedef struct {
    const lspo_sim_request_t *request;
    const lspo_machine_t *machine;
    const lspo_plan_t *plan;
    const lspo_measured_t *measured; /* NULL: no --measured */
    lspo_prediction_t prediction;
    lspo_trace_t *trace; /* NULL: not wanted */
    lspo_noise_t noise;
    lspo_expect_t expect;
    lspo_judgement_t judgement; /* with `measured` */
    char advice[LSPO_ADVICE_BYTES];
} answer_t;

static void print_sentences(const answer_t *answer)
{
    bool noisy = answer->request->noise.seed > 0;
    lspo_sim_report_print(&(lspo_sim_report_t){.plan = answer->plan,
                                               .machine = answer->machine,
                                               .prediction = &answer->prediction,
                                               .advice = answer->advice,
                                               .expect = &answer->expect,
                                               .judgement = answer->measured != NULL ? &answer->judgement : NULL,
                                               .noise = noisy ? &answer->noise : NULL,
                                               .draws = answer->request->noise.draws});
}

static lspo_status_t write_record(const answer_t *answer)
{
    char sets[1024];
    lspo_result_t result;
    const lspo_sim_request_t *request = answer->request;
    const lspo_prediction_t *prediction = &answer->prediction;
    lspo_overrides_sets(&request->base.overrides, sets, sizeof sets);
    lspo_result_fill("sim", &request->base, answer->plan, &prediction->summary, sets, &result);
    lspo_result_fill_prediction(answer->plan, answer->machine, prediction, &result);
    result.advice = answer->advice;
    if (answer->plan->policy->task == LSPO_TASK_TRAIN)
        lspo_result_fill_expect(&answer->expect, answer->machine, &result);
    if (answer->measured != NULL)
        lspo_result_fill_judgement(&answer->judgement, &result);
    if (request->noise.seed > 0)
        lspo_result_fill_noise(&request->noise, &answer->noise, &result);
    return lspo_result_write(&result, request->base.format);
}

static lspo_status_t print_drawing(const answer_t *answer)
{
    lspo_status_t status =
        lspo_draw_print(answer->trace, answer->request->noise.first_iteration, answer->request->noise.iteration_count);
    if (status == LSPO_OK && !answer->prediction.fits)
        printf("Does not fit: %s.\n", answer->advice);
    return status;
}

/* The whole record, or sentences for people on a terminal. */
static lspo_status_t write_answer(const answer_t *answer)
{
    bool sentences = lspo_format_resolve(answer->request->base.format) == LSPO_FORMAT_TABLE && !answer->request->all;
    lspo_status_t status = LSPO_OK;
    if (answer->request->draw)
        status = print_drawing(answer);
    else if (sentences)
        print_sentences(answer);
    else
        status = write_record(answer);
    if (status != LSPO_OK || answer->measured == NULL)
        return status;
    return lspo_judgement_status(&answer->judgement);
}

static lspo_status_t draw_noise(answer_t *answer)
{
    lspo_progress_t progress;
    lspo_noise_options_t options = answer->request->noise;
    if (options.seed == 0)
        return LSPO_OK;
    options.progress = lspo_progress_update;
    options.progress_context = &progress;
    if (answer->request->gantt_path == NULL)
        options.iteration_count = 0;
    lspo_progress_start(&progress);
    lspo_status_t status = lspo_noise_predict(answer->plan, answer->machine, &options, &answer->noise);
    lspo_progress_end(&progress);
    return status;
}

static lspo_status_t write_files(const answer_t *answer)
{
    const lspo_sim_request_t *request = answer->request;
    lspo_status_t status = LSPO_OK;
    if (request->base.trace_path != NULL)
        status = write_trace(request, answer->machine, answer->trace);
    if (status == LSPO_OK && request->gantt_path != NULL)
        status = write_gantt(request, &answer->noise, answer->trace);
    return status;
}

static lspo_status_t judge(answer_t *answer)
{
    const lspo_whatif_question_t question = {.argc = answer->request->argc,
                                             .argv = answer->request->argv,
                                             .plan = answer->plan,
                                             .machine = answer->machine,
                                             .predicted_s = answer->prediction.summary.iteration_s,
                                             .measured_s = answer->measured->step_s,
                                             .read = read_request};
    lspo_measured_warn_of_other(answer->measured, answer->request->measured, answer->trace);
    return lspo_judge(&question, &answer->expect, answer->measured, answer->trace, &answer->judgement);
}

/* What is said about the prediction. */
static lspo_status_t assess(answer_t *answer)
{
    lspo_status_t status = lspo_simulate_bound(answer->plan, answer->machine, &answer->prediction);
    if (status != LSPO_OK)
        return status;
    status = lspo_simulate_check_settled(answer->plan, &answer->prediction);
    if (status != LSPO_OK)
        return status;
    status = draw_noise(answer);
    if (status != LSPO_OK)
        return status;
    status = write_files(answer);
    if (status != LSPO_OK)
        return status;
    status = lspo_advise(answer->plan, answer->machine, &answer->prediction, sizeof answer->advice, answer->advice);
    if (status != LSPO_OK)
        return status;
    if (answer->plan->policy->task == LSPO_TASK_GENERATE)
        return LSPO_OK;
    status = lspo_expect(answer->plan, answer->machine, &answer->expect);
    if (status != LSPO_OK || answer->measured == NULL)
        return status;
    return judge(answer);
}

static lspo_status_t predict(answer_t *answer)
{
    const lspo_sim_request_t *request = answer->request;
    bool wants_trace =
        request->base.trace_path != NULL || request->gantt_path != NULL || request->draw || answer->measured != NULL;
    lspo_status_t status =
        lspo_simulate(answer->plan, answer->machine, &answer->prediction, wants_trace ? &answer->trace : NULL);
    if (status != LSPO_OK)
        return status;
    status = assess(answer);
    if (status == LSPO_OK)
        status = write_answer(answer);
    lspo_judgement_release(&answer->judgement);
    lspo_noise_release(&answer->noise);
    lspo_prediction_release(&answer->prediction);
    lspo_trace_destroy(answer->trace);
    return status;
}

static lspo_status_t simulate(lspo_sim_request_t *request, const lspo_measured_t *measured)
{
    lspo_request_t *base = &request->base;
    lspo_machine_t machine;
    lspo_plan_t *plan = NULL;
    lspo_status_t status = lspo_request_machine(base, &machine);
    if (status != LSPO_OK)
        return status;
    if (request->noise.seed > 0)
        status = lspo_noise_check(&machine);
    if (status != LSPO_OK)
        return status;
    status = lspo_tune_transition(&base->model, &base->workload, base->policy, &machine, &plan);
    if (status != LSPO_OK)
        return status;
    answer_t answer = {.request = request, .machine = &machine, .plan = plan, .measured = measured};
    status = predict(&answer);
    lspo_plan_destroy(plan);
    return status;
}

static lspo_status_t sim(int argc, char **argv)
{
    lspo_sim_request_t request;
    lspo_measured_t measured;
    lspo_status_t status = read_request(argc, argv, &request);
    if (status != LSPO_OK)
        return status;
    if (request.measured == NULL)
        return simulate(&request, NULL);
    if (request.base.policy->task == LSPO_TASK_GENERATE)
        return lspo_error(LSPO_ERR_INPUT, "--measured judges steps of a training, and policy %s is of generation",
                          request.base.policy->name);
    double samples = (double)request.base.workload.batch * request.base.workload.accumulation;
    status = lspo_measured_read(request.measured, samples, &measured);
    if (status != LSPO_OK)
        return status;
    status = simulate(&request, &measured);
    lspo_measured_release(&measured);
    return status;
}

static const lspo_arg_group_t sim_group = LSPO_ARG_GROUP("options", sim_args);
static const lspo_arg_group_t noise_group = LSPO_ARG_GROUP("random durations, and a Gantt chart", noise_args);

const lspo_command_t lspo_command_sim = {
    .name = "sim",
    .summary = "predict a policy's time per step and memory on a machine",
    .usage = "[options]",
    .about = "Predict a policy's time per iteration, slowdown against native training, bottleneck and memory, from a "
             "machine's profile. A plan that does not fit in memory is simulated, too: `fits` says so, and `advice` "
             "says what would make it fit.",
    .examples = "lspo sim --model llama-7b --machine rtx4090 --policy lsp\n"
                "lspo sim --machine paper-laptop --model gpt-small --policy zero --link 2GB/s --format json\n"
                "lspo sim --model llama-7b --machine rtx4090 --policy zero --framework deepspeed-blocking\n"
                "lspo sim --model gpt2-124m --machine rtx4090 --framework compiled --policy native --measured 36ms\n"
                "lspo sim --policy zero --noise 1 --set noise.gpu_sigma=0.02 --set noise.run_sigma=0.01",
    .common = "model machine framework policy batch sequence accumulation gpu-memory host-memory link all",
    .details =
        "On a terminal the result is a few sentences; --all, CSV and JSON have every figure. `lspo help terms` "
        "explains the words, and `lspo choose` simulates every policy.\n\n"
        "peak_gpu_bound_bytes is the most GPU memory that a run takes if its ops stay within a tenth of an "
        "iteration of their predicted times, and the most that its framework's allocator leaves unused. "
        "gpu_tensor_bytes, gpu_reserve_bytes and gpu_library_bytes are the parts of peak_gpu_bytes: tensors, what the "
        "allocator holds unused, and what its process takes besides.\n\n"
        "expect_low_s to expect_high_s is the band in which a measured time is expected, from how far predictions for "
        "this framework and machine were from published steps, or from lspo's own measurements on a calibrated "
        "host (expect_basis, expect_rows).\n\n"
        "--measured judges the measured time of steps: it is given, or the median of a file, without the first "
        "steps: a trace, metrics of lspo train, a profile of PyTorch, or a log with lines of nanoGPT, DeepSpeed, "
        "Megatron or Hugging Face's Trainer. The verdict is normal, slower or faster (than the band). If the time "
        "is outside the band, the prediction is repeated with one thing changed, for a list of usual causes; "
        "explained_by has the flags of those whose band contains the measured time. A log's samples per second "
        "are divided by --batch times --accumulation, so they must be those of one GPU. Exit status 5: outside "
        "the band.\n\n"
        "--noise adds percentiles; all other figures and the trace are still predicted without noise. Of 100 "
        "runs, 95 are expected between iteration_p2_5_s and iteration_p97_5_s.",
    .groups = (const lspo_arg_group_t *const[]){&sim_group, &noise_group, &lspo_workload_group, &lspo_policy_group,
                                                &lspo_framework_group, &lspo_override_group, NULL},
    .run = sim,
};
