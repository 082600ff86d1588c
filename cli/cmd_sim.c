/* cmd_sim.c - `lspo sim`: predict a plan on a machine profile. */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "ask/answer.h"
#include "ask/args.h"
#include "ask/request.h"
#include "ask/result.h"
#include "cli/command.h"
#include "cli/judge.h"
#include "cli/machine_named.h"
#include "cli/progress.h"
#include "cli/request_line.h"
#include "cli/sim_report.h"
#include "cli/sim_request.h"
#include "cli/trace_draw.h"
#include "sim/noise.h"
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
    const lspo_measured_t *measured; /* NULL: no --measured */
    lspo_answer_t answer;
    lspo_noise_t noise;
    lspo_judgement_t judgement; /* with `measured` */
} told_t;

static void print_sentences(const told_t *told)
{
    const lspo_answer_t *answer = &told->answer;
    bool noisy = told->request->noise.seed > 0;
    lspo_sim_report_print(&(lspo_sim_report_t){.plan = answer->plan,
                                               .machine = answer->machine,
                                               .prediction = &answer->prediction,
                                               .advice = answer->advice,
                                               .expect = &answer->expect,
                                               .judgement = told->measured != NULL ? &told->judgement : NULL,
                                               .noise = noisy ? &told->noise : NULL,
                                               .draws = told->request->noise.draws});
}

static lspo_status_t write_record(const told_t *told)
{
    lspo_result_t result;
    const lspo_sim_request_t *request = told->request;
    lspo_answer_result(&told->answer, &result);
    if (told->measured != NULL)
        lspo_judgement_fill(&told->judgement, &result);
    if (request->noise.seed > 0)
        lspo_result_fill_noise(&request->noise, &told->noise, &result);
    return lspo_result_write(&result, request->base.format, stdout);
}

static lspo_status_t print_drawing(const told_t *told)
{
    const lspo_answer_t *answer = &told->answer;
    lspo_status_t status =
        lspo_draw_print(answer->trace, told->request->noise.first_iteration, told->request->noise.iteration_count);
    if (status == LSPO_OK && !answer->prediction.fits)
        printf("Does not fit: %s.\n", answer->advice);
    return status;
}

/* The whole record, or sentences for people on a terminal. */
static lspo_status_t write_answer(const told_t *told)
{
    bool sentences = lspo_format_resolve(told->request->base.format) == LSPO_FORMAT_TABLE && !told->request->all;
    lspo_status_t status = LSPO_OK;
    if (told->request->draw)
        status = print_drawing(told);
    else if (sentences)
        print_sentences(told);
    else
        status = write_record(told);
    if (status != LSPO_OK || told->measured == NULL)
        return status;
    return lspo_judgement_status(&told->judgement);
}

static lspo_status_t draw_noise(told_t *told)
{
    lspo_progress_t progress;
    lspo_noise_options_t options = told->request->noise;
    if (options.seed == 0)
        return LSPO_OK;
    options.progress = lspo_progress_update;
    options.progress_context = &progress;
    if (told->request->gantt_path == NULL)
        options.iteration_count = 0;
    lspo_progress_start(&progress);
    lspo_status_t status = lspo_noise_predict(told->answer.plan, told->answer.machine, &options, &told->noise);
    lspo_progress_end(&progress);
    return status;
}

static lspo_status_t write_files(const told_t *told)
{
    const lspo_sim_request_t *request = told->request;
    lspo_status_t status = LSPO_OK;
    if (request->base.trace_path != NULL)
        status = write_trace(request, told->answer.machine, told->answer.trace);
    if (status == LSPO_OK && request->gantt_path != NULL)
        status = write_gantt(request, &told->noise, told->answer.trace);
    return status;
}

static lspo_status_t judge(told_t *told)
{
    const lspo_answer_t *answer = &told->answer;
    if (told->measured == NULL)
        return LSPO_OK;
    const lspo_whatif_question_t question = {.argc = told->request->argc,
                                             .argv = told->request->argv,
                                             .plan = answer->plan,
                                             .machine = answer->machine,
                                             .predicted_s = answer->prediction.summary.iteration_s,
                                             .measured_s = told->measured->step_s,
                                             .read = read_request};
    lspo_measured_warn_of_other(told->measured, told->request->measured, answer->trace);
    return lspo_judge(&question, &answer->expect, told->measured, answer->trace, &told->judgement);
}

/* All that is said about the prediction. */
static lspo_status_t tell(told_t *told)
{
    lspo_status_t status = draw_noise(told);
    if (status == LSPO_OK)
        status = write_files(told);
    if (status == LSPO_OK)
        status = judge(told);
    if (status == LSPO_OK)
        status = write_answer(told);
    return status;
}

static lspo_status_t simulate(lspo_sim_request_t *request, const lspo_measured_t *measured)
{
    lspo_request_t *base = &request->base;
    lspo_machine_t machine;
    lspo_status_t status = lspo_request_machine(base, &machine);
    if (status != LSPO_OK)
        return status;
    if (request->noise.seed > 0)
        status = lspo_noise_check(&machine);
    if (status != LSPO_OK)
        return status;
    told_t told = {.request = request, .measured = measured};
    bool wants_trace = base->trace_path != NULL || request->gantt_path != NULL || request->draw || measured != NULL;
    status = lspo_answer_predict(base, &machine, wants_trace, &told.answer);
    if (status != LSPO_OK)
        return status;
    status = tell(&told);
    lspo_judgement_release(&told.judgement);
    lspo_noise_release(&told.noise);
    lspo_answer_release(&told.answer);
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
    .predicts = true,
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
