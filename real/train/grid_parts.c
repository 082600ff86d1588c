/* grid_parts.c - see grid_parts.h. */
#include "real/train/grid_parts.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "real/execute/play.h"
#include "real/train/checkpoint.h"
#include "real/train/grid_state.h"
#include "real/train/settings.h"

enum { KEEP = 2 };

typedef struct {
    lspo_session_t *session;
    char folder[PATH_MAX];
    int lock; /* -1: none */
    uint64_t message_bytes[2];
    lspo_settings_t settings;
    lspo_train_state_t state;
} part_t;

typedef struct {
    const lspo_parts_options_t *options;
    lspo_plan_t *plan; /* of the latest steps */
    lspo_grid_t *grid;
    part_t *parts; /* of the peers here */
    uint32_t step; /* so many are done */
    double loss_first, loss_last;
    int presence; /* of a rank; -1: none */
} job_t;

static lspo_status_t build(const job_t *job, uint32_t first, lspo_plan_t **plan_out)
{
    const lspo_parts_options_t *options = job->options;
    const uint32_t rest = options->steps - first, until_save = options->save_every - first % options->save_every;
    lspo_workload_t workload = *options->workload;
    workload.first_step = first;
    workload.iterations = rest < until_save ? rest : until_save;
    return lspo_plan_build(options->model, &workload, options->policy, plan_out);
}

/* ---- begin and end ---- */

static lspo_status_t name_folder(const char *folder, uint32_t part, char path_out[PATH_MAX])
{
    const int length = snprintf(path_out, PATH_MAX, "%s/part-%" PRIu32, folder, part);
    return length < PATH_MAX - NAME_MAX ? LSPO_OK : lspo_error(LSPO_ERR_INPUT, "%s: the path is too long", folder);
}

/* What the part sends to the next peer and to the one before, of a micro-batch.  With --compress-links the links of the
 * file of peers decide on it, and so on the numbers. */
static void find_messages(const lspo_plan_t *plan, uint32_t peer, uint64_t bytes_out[2])
{
    bytes_out[0] = bytes_out[1] = 0;
    for (lspo_op_id_t id = 0; id < plan->op_count; id++) {
        const lspo_op_t *op = &plan->ops[id];
        if (op->kind != LSPO_OP_SEND || plan->lanes.list[op->lane].peer != peer)
            continue;
        if (op->variant == LSPO_VARIANT_NONE)
            bytes_out[0] = lspo_work_link_bytes(&plan->works[op->work]);
        else if (op->variant == LSPO_VARIANT_GRADIENT && op->layer > 0)
            bytes_out[1] = lspo_work_link_bytes(&plan->works[op->work]);
    }
}

/* The hash of a text is at the end of its source, whose path may change. */
static void describe(const job_t *job, const lspo_session_place_t *place, part_t *part)
{
    lspo_settings_t *settings = &part->settings;
    const lspo_parts_options_t *options = job->options;
    const char *hash = strrchr(lspo_text_source(options->grid.text), ' ');
    lspo_settings_add_training(settings, options->policy, options->model, options->workload);
    lspo_settings_add(settings, "text", "%s", hash != NULL ? hash + 1 : "");
    lspo_settings_add(settings, "stages of the part", "%" PRIu32 " to %" PRIu32, place->first_stage, place->last_stage);
    find_messages(job->plan, place->peer, part->message_bytes);
    lspo_settings_add(settings, "messages between --peers", "%" PRIu64 " bytes on, %" PRIu64 " bytes back",
                      part->message_bytes[0], part->message_bytes[1]);
}

static lspo_status_t open_parts(job_t *job)
{
    lspo_grid_t *grid = job->grid;
    lspo_status_t status = LSPO_OK;
    job->parts = calloc(grid->here_count, sizeof *job->parts);
    if (!job->parts)
        return lspo_no_memory("%" PRIu32 " parts", grid->here_count);
    for (uint32_t i = 0; i < grid->here_count; i++)
        job->parts[i].lock = -1;
    for (uint32_t i = 0; i < grid->here_count && status == LSPO_OK; i++) {
        part_t *part = &job->parts[i];
        const uint32_t peer = grid->first_here + i;
        part->session = grid->peers[peer].session;
        describe(job, &grid->peers[peer].place, part);
        status = name_folder(job->options->folder, peer, part->folder);
        if (status == LSPO_OK)
            status = lspo_checkpoint_prepare(part->folder, true, &part->lock);
    }
    return status;
}

static lspo_status_t open_job(job_t *job)
{
    lspo_status_t status = build(job, 0, &job->plan);
    if (status == LSPO_OK)
        status = lspo_grid_create(job->plan, &job->options->grid, &job->grid);
    return status == LSPO_OK ? open_parts(job) : status;
}

/* Beside the part's folder: "part-0.rank". */
static lspo_status_t name_presence(const char *folder, uint32_t part, char path_out[PATH_MAX])
{
    lspo_status_t status = name_folder(folder, part, path_out);
    if (status == LSPO_OK)
        strcat(path_out, ".rank");
    return status;
}

/* Of a rank, which has one part. */
static void come(job_t *job)
{
    char path[PATH_MAX];
    if (job->grid->mail && name_presence(job->options->folder, job->grid->first_here, path) == LSPO_OK)
        job->presence = lspo_presence_come(path);
}

lspo_presence_t lspo_parts_presence(const char *folder, uint32_t part)
{
    char path[PATH_MAX];
    return name_presence(folder, part, path) == LSPO_OK ? lspo_presence_look(path) : LSPO_PRESENCE_UNKNOWN;
}

void lspo_parts_forget_presence(const char *folder, uint32_t parts)
{
    char path[PATH_MAX];
    for (uint32_t part = 0; part < parts; part++)
        if (name_presence(folder, part, path) == LSPO_OK)
            lspo_presence_forget(path);
}

static void close_job(job_t *job)
{
    lspo_presence_leave(job->presence);
    for (uint32_t i = 0; job->parts && i < job->grid->here_count; i++)
        if (job->parts[i].lock >= 0)
            close(job->parts[i].lock);
    free(job->parts);
    lspo_grid_destroy(job->grid);
    lspo_plan_destroy(job->plan);
}

/* ---- checkpoints ---- */

/* The caller frees `arrays`. */
static lspo_status_t describe_checkpoint(part_t *part, lspo_state_array_t **arrays_out,
                                         lspo_checkpoint_t *checkpoint_out)
{
    const uint32_t count = lspo_session_state_count(part->session);
    lspo_state_array_t *arrays = calloc((size_t)count + 1, sizeof *arrays);
    if (!arrays)
        return lspo_no_memory("the list of a part's arrays");
    for (uint32_t i = 0; i < count; i++)
        lspo_session_state_at(part->session, i, &arrays[i]);
    *arrays_out = arrays;
    *checkpoint_out = (lspo_checkpoint_t){.state = &part->state,
                                          .settings = part->settings.list,
                                          .setting_count = part->settings.count,
                                          .arrays = arrays,
                                          .array_count = count};
    return LSPO_OK;
}

static lspo_status_t save(job_t *job)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; i < job->grid->here_count && status == LSPO_OK; i++) {
        part_t *part = &job->parts[i];
        lspo_state_array_t *arrays = NULL;
        lspo_checkpoint_t checkpoint;
        part->state = (lspo_train_state_t){.step = job->step,
                                           .steps = job->options->steps,
                                           .loss_first = job->loss_first,
                                           .loss_last = job->loss_last,
                                           .held_out_before = (double)NAN,
                                           .held_out_last = (double)NAN,
                                           .best_loss = (double)NAN,
                                           .scores_before = lspo_scores_none(),
                                           .scores_last = lspo_scores_none(),
                                           .scores_best = lspo_scores_none(),
                                           .finished = job->step == job->options->steps};
        status = describe_checkpoint(part, &arrays, &checkpoint);
        if (status == LSPO_OK)
            status = lspo_checkpoint_write(part->folder, &checkpoint, KEEP);
        free(arrays);
    }
    return status;
}

/* part->state.step is 0 if the part has none. */
static lspo_status_t load(part_t *part)
{
    lspo_state_array_t *arrays = NULL;
    lspo_checkpoint_t checkpoint;
    bool found = false;
    part->state = (lspo_train_state_t){.loss_first = (double)NAN, .loss_last = (double)NAN};
    lspo_status_t status = describe_checkpoint(part, &arrays, &checkpoint);
    if (status == LSPO_OK)
        status = lspo_checkpoint_resume(part->folder, &checkpoint, false, &found);
    free(arrays);
    return status;
}

/* Parts are never more than one save ahead of each other: otherwise a part's saves are lost, and those of the others
 * are kept, since it may be found again. */
static lspo_status_t check_ahead(const job_t *job, uint32_t step)
{
    double most = 0;
    for (uint32_t i = 0; i < job->grid->here_count; i++) {
        uint32_t ahead = 0;
        lspo_status_t status = lspo_checkpoint_count_beyond(job->parts[i].folder, step, &ahead);
        if (status != LSPO_OK)
            return status;
        most = fmax(most, ahead);
    }
    double allowed = most < 2;
    lspo_status_t status = lspo_grid_agree_least(job->grid, &allowed);
    if (status != LSPO_OK || allowed > 0)
        return status;
    return lspo_error(LSPO_ERR_INPUT,
                      "%s: the parts have no saved step in common: one has nothing beyond step %" PRIu32
                      ", and others have two later ones; nothing is removed: bring its folder part-... back, or remove "
                      "all to begin anew",
                      job->options->folder, step);
}

/* The newest step that all have; *same_out: all have loaded it. */
static lspo_status_t agree(const job_t *job, uint32_t *step_out, bool *same_out)
{
    double least = UINT32_MAX, same = 1;
    for (uint32_t i = 0; i < job->grid->here_count; i++)
        least = fmin(least, job->parts[i].state.step);
    lspo_status_t status = lspo_grid_agree_least(job->grid, &least);
    for (uint32_t i = 0; i < job->grid->here_count; i++)
        same = fmin(same, (double)job->parts[i].state.step <= least);
    if (status == LSPO_OK)
        status = lspo_grid_agree_least(job->grid, &same);
    *step_out = (uint32_t)least;
    *same_out = same > 0;
    return status == LSPO_OK && !*same_out ? check_ahead(job, *step_out) : status;
}

/* A part that was ahead, or is damaged, goes back; then the others may have to. */
static lspo_status_t load_all(job_t *job)
{
    for (bool same = false; !same;) {
        lspo_status_t status = LSPO_OK;
        for (uint32_t i = 0; i < job->grid->here_count && status == LSPO_OK; i++)
            status = load(&job->parts[i]);
        if (status == LSPO_OK)
            status = agree(job, &job->step, &same);
        for (uint32_t i = 0; i < job->grid->here_count && status == LSPO_OK; i++)
            if (job->parts[i].state.step > job->step)
                status = lspo_checkpoint_prune(job->parts[i].folder, job->step, KEEP, true);
        if (status != LSPO_OK)
            return status;
    }
    job->loss_first = job->parts[0].state.loss_first;
    job->loss_last = job->parts[0].state.loss_last;
    return LSPO_OK;
}

static lspo_status_t resume(job_t *job)
{
    lspo_status_t status = load_all(job);
    if (status == LSPO_OK && job->step > job->options->steps)
        return lspo_error(LSPO_ERR_INPUT, "%s has %" PRIu32 " steps, more than the %" PRIu32 " that are to be made",
                          job->options->folder, job->step, job->options->steps);
    if (status == LSPO_OK && job->step == 0)
        return lspo_grid_reset(job->grid); /* a part may have loaded what another one lacks */
    for (uint32_t i = 0; i < job->grid->here_count && status == LSPO_OK; i++)
        status = lspo_session_state_written(job->parts[i].session);
    return status;
}

/* ---- steps ---- */

static lspo_status_t keep_losses(job_t *job)
{
    const uint32_t count = job->plan->workload.iterations;
    double *losses = malloc(count * sizeof *losses);
    if (!losses)
        return lspo_no_memory("%" PRIu32 " losses", count);
    lspo_status_t status = lspo_grid_losses(job->grid, losses);
    if (status == LSPO_OK) {
        job->loss_first = job->step == 0 ? losses[0] : job->loss_first;
        job->loss_last = losses[count - 1];
    }
    free(losses);
    return status;
}

/* Each plan reads the file of peers. */
static lspo_status_t check_messages(const job_t *job, const lspo_plan_t *plan)
{
    for (uint32_t i = 0; i < job->grid->here_count; i++) {
        const part_t *part = &job->parts[i];
        uint64_t bytes[2];
        find_messages(plan, job->grid->first_here + i, bytes);
        if (memcmp(bytes, part->message_bytes, sizeof bytes) != 0)
            return lspo_error(LSPO_ERR_INPUT,
                              "the file of peers has changed, and with it what --compress-links sends: step %" PRIu32
                              " is saved in %s",
                              job->step, job->options->folder);
    }
    return LSPO_OK;
}

/* Until the next save. */
static lspo_status_t train_on(job_t *job)
{
    lspo_plan_t *plan = NULL;
    lspo_trace_t *trace = NULL;
    lspo_status_t status = build(job, job->step, &plan);
    if (status == LSPO_OK)
        status = check_messages(job, plan);
    if (status == LSPO_OK)
        status = lspo_grid_continue(job->grid, plan);
    if (status != LSPO_OK) {
        lspo_plan_destroy(plan);
        return status;
    }
    lspo_plan_destroy(job->plan);
    job->plan = plan;
    const lspo_play_t play = {.device = lspo_grid_device(job->grid),
                              .context = job->grid,
                              .run = lspo_grid_run_op,
                              .finish = lspo_grid_finish_op,
                              .enter_lane = lspo_grid_enter_lane,
                              .part = lspo_grid_part(job->grid)};
    status = lspo_play(plan, &play, NULL, &trace);
    lspo_trace_destroy(trace);
    if (status == LSPO_OK)
        status = keep_losses(job);
    if (status != LSPO_OK)
        return status;
    job->step += plan->workload.iterations;
    status = save(job);
    if (status == LSPO_OK && job->options->saved && job->grid->first_here == 0)
        job->options->saved(job->options->saved_context, job->step);
    return status;
}

/* ---- the weights at the end ---- */

static lspo_status_t hash_stage(const lspo_model_t *model, lspo_session_t *session, uint32_t s, uint64_t *hash_out)
{
    lspo_stage_t shape;
    lspo_model_stage(model, s, &shape);
    const size_t count = shape.element_count;
    float *weights = malloc((count + 1) * sizeof *weights);
    if (!weights)
        return lspo_no_memory("%zu weights", count);
    lspo_status_t status = lspo_session_weights(session, s, weights);
    *hash_out = XXH3_64bits(weights, count * sizeof *weights);
    free(weights);
    return status;
}

/* Halves of hashes, which sums of doubles carry: a stage is one peer's. */
static lspo_status_t hash_weights(const job_t *job, uint64_t *hash_out)
{
    const uint32_t count = job->plan->stage_count;
    double *halves = calloc(2 * (size_t)count, sizeof *halves);
    lspo_status_t status = halves ? LSPO_OK : lspo_no_memory("the hashes of %" PRIu32 " stages", count);
    for (uint32_t i = 0; i < job->grid->here_count && status == LSPO_OK; i++) {
        const lspo_session_place_t *place = &job->grid->peers[job->grid->first_here + i].place;
        for (uint32_t s = place->first_stage; s <= place->last_stage && status == LSPO_OK; s++) {
            uint64_t hash = 0;
            status = hash_stage(job->options->model, job->parts[i].session, s, &hash);
            halves[2 * (size_t)s] = (double)(hash >> 32);
            halves[2 * (size_t)s + 1] = (double)(hash & UINT32_MAX);
        }
    }
    if (status == LSPO_OK && job->grid->mail)
        status = lspo_grid_add_up(job->grid, 2 * count, halves);
    if (status == LSPO_OK)
        *hash_out = XXH3_64bits(halves, 2 * (size_t)count * sizeof *halves);
    free(halves);
    return status;
}

lspo_status_t lspo_parts_train(const lspo_parts_options_t *options, lspo_parts_result_t *result_out)
{
    job_t job = {.options = options, .presence = -1};
    lspo_parts_result_t result = {0};
    lspo_status_t status = open_job(&job);
    if (status == LSPO_OK)
        come(&job);
    if (status == LSPO_OK)
        status = resume(&job);
    result.first_step = job.step;
    while (status == LSPO_OK && job.step < options->steps)
        status = train_on(&job);
    if (status == LSPO_OK)
        status = hash_weights(&job, &result.weights_hash);
    result.loss_first = job.loss_first;
    result.loss_last = job.loss_last;
    close_job(&job);
    if (status == LSPO_OK)
        *result_out = result;
    return status;
}

lspo_status_t lspo_parts_saved(const char *folder, uint32_t parts, uint32_t *step_out)
{
    uint32_t least = UINT32_MAX;
    for (uint32_t part = 0; part < parts; part++) {
        char path[PATH_MAX];
        uint32_t step = 0;
        lspo_status_t status = name_folder(folder, part, path);
        if (status == LSPO_OK && access(path, F_OK) == 0)
            status = lspo_checkpoint_newest_step(path, &step);
        if (status != LSPO_OK)
            return status;
        least = step < least ? step : least;
    }
    *step_out = least;
    return LSPO_OK;
}
