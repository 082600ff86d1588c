/* measure.c - see measure.h. */
#include "validate/measure.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "real/device/device.h"
#include "validate/visit.h"

enum { PATH_BYTES = 1024 };

/* The state of the rounds. */
typedef struct {
    const lspo_cells_t *cells;
    const lspo_measure_options_t *options;
    lspo_measurement_t *measurements;
    uint64_t start_ns;
} rounds_t;

static double elapsed_s(const rounds_t *rounds)
{
    return 1e-9 * (double)(lspo_now_ns() - rounds->start_ns);
}

static lspo_status_t measure_cell(rounds_t *rounds, uint32_t index, uint32_t round)
{
    const lspo_measure_options_t *options = rounds->options;
    lspo_measurement_t *measurement = &rounds->measurements[index];
    char path[PATH_BYTES], fresh[PATH_BYTES + 8];
    lspo_visit_t visit;
    lspo_cell_trace_path(rounds->cells, index, options->folder, sizeof path, path);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    double begun_s = elapsed_s(rounds);
    lspo_status_t status = lspo_validate_visit(&rounds->cells->cells[index], options, fresh, &visit);
    measurement->no_room = status == LSPO_ERR_FIT;
    if (measurement->no_room)
        return LSPO_OK;
    if (status != LSPO_OK)
        return status;
    visit.round = round;
    /* The breakdown uses the last undisturbed trace; a disturbed one is better than none. */
    bool keep = !visit.disturbed || measurement->visit_count == 0 || measurement->disturbed;
    if (keep ? rename(fresh, path) != 0 : unlink(fresh) != 0) {
        status = lspo_error(LSPO_ERR_IO, "cannot move %s into place: %s", fresh, strerror(errno));
        goto failed;
    }
    status = lspo_measurement_add(measurement, &visit);
    if (status != LSPO_OK)
        goto failed;
    measurement->visit_s = elapsed_s(rounds) - begun_s;
    status = lspo_measurement_update(measurement);
    if (status != LSPO_OK)
        return status;
    /* After a kill only the current visit is lost. */
    return lspo_visits_write(rounds->cells, rounds->measurements, options->others, options->folder);
failed:
    free(visit.samples_s);
    return status;
}

/* A yardstick is never settled: it is measured for the round, not for itself.  What does not fit is not tried again. */
static bool is_settled(const rounds_t *rounds, uint32_t index)
{
    const lspo_measurement_t *measurement = &rounds->measurements[index];
    const lspo_measure_options_t *options = rounds->options;
    if (measurement->no_room)
        return true;
    return rounds->cells->cells[index].yardstick == 0 && measurement->counted_visits >= options->visits_least &&
           !measurement->disturbed &&
           measurement->high_s - measurement->low_s <= 2 * options->interval * measurement->median_s;
}

static uint32_t count_settled(const rounds_t *rounds)
{
    uint32_t settled = 0;
    for (uint32_t i = 0; i < rounds->cells->count; i++)
        settled += is_settled(rounds, i);
    return settled;
}

/* Before a cell's first visit its duration is estimated by the prediction. */
static double next_visit_s(const rounds_t *rounds, uint32_t index)
{
    const lspo_cell_t *cell = &rounds->cells->cells[index];
    double known_s = rounds->measurements[index].visit_s;
    return known_s > 0 ? known_s : cell->iteration_s[0] * cell->plan->workload.iterations;
}

static void show_progress(const rounds_t *rounds, uint32_t round)
{
    char label[64];
    double left_s = fmax(0, rounds->options->budget_s - elapsed_s(rounds));
    snprintf(label, sizeof label, "settled; round %u, at most %.0f:%02.0f left", round, floor(left_s / 60),
             floor(fmod(left_s, 60)));
    rounds->options->progress(rounds->options->progress_context, label, count_settled(rounds),
                              rounds->cells->count - rounds->cells->yardsticks);
}

static bool has_time(const rounds_t *rounds, uint32_t index)
{
    return elapsed_s(rounds) + next_visit_s(rounds, index) <= rounds->options->budget_s;
}

/* If there is time for it. */
static lspo_status_t visit(rounds_t *rounds, uint32_t index, uint32_t round)
{
    if (atomic_load(rounds->options->stop))
        return LSPO_ERR_INTERRUPTED;
    if (rounds->measurements[index].no_room || !has_time(rounds, index))
        return LSPO_OK;
    show_progress(rounds, round);
    return measure_cell(rounds, index, round);
}

/* Of a round.  A baseline is in the slowdown of every cell of its group, so one visit that a busy host slows down must
 * not decide: of four visits in two rounds the median leaves it out. */
static uint32_t visits_per_round(const rounds_t *rounds, uint32_t index)
{
    return rounds->cells->cells[index].native == index ? 2 : 1;
}

static uint32_t rounds_of(const rounds_t *rounds, uint32_t index)
{
    return rounds->measurements[index].visit_count / visits_per_round(rounds, index);
}

/* The fewest rounds of a cell that is not settled and for which there is time: a round that was cut short, by a signal
 * or the budget, is completed before another begins. */
static uint32_t least_rounds(const rounds_t *rounds)
{
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < rounds->cells->count - rounds->cells->yardsticks; i++)
        if (!is_settled(rounds, i) && has_time(rounds, i) && rounds_of(rounds, i) < least)
            least = rounds_of(rounds, i);
    return least;
}

static bool is_due(const rounds_t *rounds, uint32_t index, uint32_t had)
{
    return !is_settled(rounds, index) && rounds_of(rounds, index) <= had;
}

/* One visit to each yardstick from *next on, so that so many have had theirs. */
static lspo_status_t visit_yardsticks(rounds_t *rounds, uint32_t so_many, uint32_t round, uint32_t *next)
{
    const uint32_t yardsticks = rounds->cells->yardsticks, first = rounds->cells->count - yardsticks;
    lspo_status_t status = LSPO_OK;
    for (; *next < so_many && *next < yardsticks && status == LSPO_OK; ++*next)
        status = visit(rounds, first + *next, round);
    return status;
}

/* The visits of a round to each cell that has had so many rounds, and one to each yardstick, which are spread evenly
 * among the cells. */
static lspo_status_t play_round(rounds_t *rounds, uint32_t round, uint32_t had)
{
    uint32_t yardsticks = rounds->cells->yardsticks, count = rounds->cells->count - yardsticks;
    uint32_t due = 0, done = 0, next = 0;
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; i < count; i++)
        due += is_due(rounds, i, had);
    for (uint32_t i = 0; i < count && status == LSPO_OK; i++) {
        if (!is_due(rounds, i, had))
            continue;
        status = visit_yardsticks(rounds, done++ * yardsticks / due + 1, round, &next);
        for (uint32_t v = 0; v < visits_per_round(rounds, i) && status == LSPO_OK && is_due(rounds, i, had); v++)
            status = visit(rounds, i, round);
    }
    return status == LSPO_OK ? visit_yardsticks(rounds, yardsticks, round, &next) : status;
}

lspo_status_t lspo_validate_measure(const lspo_cells_t *cells, const lspo_measure_options_t *options,
                                    lspo_measurement_t *measurements)
{
    rounds_t rounds = {.cells = cells, .options = options, .measurements = measurements, .start_ns = lspo_now_ns()};
    uint32_t round = 1;
    for (uint32_t i = 0; i < cells->count; i++)
        for (uint32_t v = 0; v < measurements[i].visit_count; v++)
            if (measurements[i].visits[v].round >= round)
                round = measurements[i].visits[v].round + 1;
    for (uint32_t least; (least = least_rounds(&rounds)) != UINT32_MAX; round++) {
        lspo_status_t status = play_round(&rounds, round, least);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}
