/* report.c - print the verdict, and check it against the thresholds. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "validate/verdict.h"

/* "+3.1 %", or "-" if unknown.  Returns `buffer`. */
static const char *percent(double fraction, bool with_sign, char buffer[16])
{
    if (isnan(fraction))
        snprintf(buffer, 16, "-");
    else
        snprintf(buffer, 16, with_sign ? "%+.1f %%" : "%.1f %%", 100 * fraction);
    return buffer;
}

static const char *milliseconds(double seconds, char buffer[16])
{
    if (isnan(seconds))
        snprintf(buffer, 16, "-");
    else
        snprintf(buffer, 16, "%.2f ms", 1000 * seconds);
    return buffer;
}

static void print_cells(const lspo_verdict_t *verdict, FILE *file)
{
    char measured[16], predicted[16], error[16], slowdown[16], naive[16], lanes[16], noise[16];
    fprintf(file, "%4s %-10s %-16s %-9s %-4s %11s %11s %8s %8s %8s %8s %8s %7s\n", "cell", "model", "policy", "tokens",
            "by", "measured", "predicted", "error", "slowdown", "naive", "lanes", "again", "visits");
    for (uint32_t i = 0; i < verdict->count; i++) {
        const lspo_outcome_t *it = &verdict->outcomes[i];
        char tokens[48];
        snprintf(tokens, sizeof tokens, "%" PRIu64 "x%" PRIu64, it->batch, it->sequence);
        fprintf(file, "%4" PRIu64 " %-10s %-16s %-9s %-4s %11s %11s %8s %8s %8s %8s %8s %5" PRIu64 "%s\n", it->cell,
                it->model, it->title, tokens, it->bound, milliseconds(it->measured_s, measured),
                milliseconds(it->predicted_s, predicted), percent(it->error, true, error),
                percent(it->slowdown_error, true, slowdown), percent(it->naive_error, true, naive),
                percent(it->lanes_error, true, lanes), percent(it->noise, false, noise), it->visits,
                it->no_room          ? " no room"
                : it->disturbed == 1 ? " disturbed"
                                     : "");
    }
}

static void print_scores(const lspo_verdict_t *verdict, FILE *file)
{
    char mean[16], median[16], p95[16], worst[16], bias[16], tau[16];
    fprintf(file, "\n%-22s %-9s %-14s %6s %8s %8s %8s %8s %8s %6s\n", "error of", "", "cells", "", "mean", "median",
            "95th", "worst", "bias", "tau");
    for (uint32_t i = 0; i < verdict->score_count; i++) {
        const lspo_score_t *it = &verdict->scores[i];
        snprintf(tau, sizeof tau, isnan(it->tau) ? "-" : "%.2f", it->tau);
        fprintf(file, "%-22s %-9s %-14s %6" PRIu64 " %8s %8s %8s %8s %8s %6s\n", it->predictor, it->quantity, it->cells,
                it->count, percent(it->mean, false, mean), percent(it->median, false, median),
                percent(it->p95, false, p95), percent(it->worst, false, worst), percent(it->bias, true, bias), tau);
    }
}

typedef struct {
    uint32_t cells;
    double sum, size_sum;
} share_t;

static void add_share(double share, share_t *to)
{
    to->cells++;
    to->sum += share;
    to->size_sum += fabs(share);
}

static void print_share(const char *name, const share_t *share, FILE *file)
{
    char mean[16], size[16];
    if (share->cells > 0)
        fprintf(file, "%-22s %6u %12s %12s\n", name, share->cells, percent(share->sum / share->cells, true, mean),
                percent(share->size_sum / share->cells, false, size));
}

static void print_breakdown(const lspo_verdict_t *verdict, FILE *file)
{
    share_t kinds[LSPO_OP_KIND_COUNT] = {0}, waiting = {0}, whole = {0};
    for (uint32_t i = 0; i < verdict->count; i++) {
        const lspo_breakdown_t *breakdown = &verdict->breakdowns[i];
        if (!breakdown->known || verdict->outcomes[i].disturbed != 0)
            continue;
        add_share(breakdown->error, &whole);
        add_share(breakdown->waiting, &waiting);
        for (int kind = 0; kind < LSPO_OP_KIND_COUNT; kind++)
            if (breakdown->present[kind])
                add_share(breakdown->share[kind], &kinds[kind]);
    }
    if (whole.cells == 0)
        return;
    fprintf(file, "\n%-22s %6s %12s %12s\n", "what makes the error", "cells", "mean", "mean size");
    for (int kind = 0; kind < LSPO_OP_KIND_COUNT; kind++)
        print_share(lspo_op_kind_name((lspo_op_kind_t)kind), &kinds[kind], file);
    print_share("waiting", &waiting, file);
    print_share("in all", &whole, file);
}

/* Thresholds */

/* Prints one line; returns whether the threshold holds.  An unknown value neither holds nor fails. */
static bool judge(const char *what, double value, double limit, bool at_most, bool as_percent, FILE *file)
{
    char value_text[16], limit_text[16];
    bool holds = isnan(value) || (at_most ? value <= limit : value >= limit);
    if (file == NULL)
        return holds;
    if (as_percent) {
        percent(value, false, value_text);
        percent(limit, false, limit_text);
    } else {
        snprintf(value_text, sizeof value_text, isnan(value) ? "-" : "%.2f", value);
        snprintf(limit_text, sizeof limit_text, "%.2f", limit);
    }
    fprintf(file, "  %-5s %s: %s, at %s %s\n",
            isnan(value) ? "?"
            : holds      ? "holds"
                         : "FAILS",
            what, value_text, at_most ? "most" : "least", limit_text);
    return holds;
}

/* Do all thresholds hold?  Prints a line each to `file` (may be NULL). */
static bool judge_all(const lspo_verdict_t *verdict, FILE *file)
{
    const lspo_score_t *time = lspo_verdict_score(verdict, "lspo", "time", "all");
    const lspo_score_t *slowdown = lspo_verdict_score(verdict, "lspo", "slowdown", "all");
    const lspo_thresholds_t *limits = &verdict->thresholds;
    bool holds = judge("time per iteration, mean error", time->mean, limits->mean, true, true, file);
    holds &= judge("time per iteration, 95th percentile of errors", time->p95, limits->p95, true, true, file);
    holds &= judge("slowdown, mean error", slowdown->mean, limits->mean, true, true, file);
    holds &= judge("slowdown, 95th percentile of errors", slowdown->p95, limits->p95, true, true, file);
    holds &= judge("order of the policies at equal rates, Kendall's tau", time->tau, limits->tau, false, false, file);
    return holds;
}

/* The most cores on which a cell's devices compute. */
static uint32_t cores_most(const lspo_cells_t *cells)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < cells->count; i++)
        most = cells->cells[i].cores > most ? cells->cells[i].cores : most;
    return most;
}

/* Of the cells on so many cores; 1 and 1 if there are none, or no yardsticks. */
static lspo_now_t now_on(const lspo_cells_t *cells, uint32_t cores)
{
    for (uint32_t i = 0; i < cells->count - cells->yardsticks && cells->yardsticks > 0; i++)
        if (cells->cells[i].cores == cores)
            return cells->cells[i].now;
    return (lspo_now_t){1, 1};
}

/* Prints nothing without yardsticks: all is then as in the calibration. */
static void print_now(const lspo_cells_t *cells, FILE *file)
{
    const char *before = "predictions are for a machine at";
    for (uint32_t cores = 1; cores <= cores_most(cells); cores++) {
        const lspo_now_t now = now_on(cells, cores);
        const bool same_cache = fabs(now.cache - 1) <= 0;
        if (same_cache && fabs(now.speed - 1) <= 0)
            continue;
        fprintf(file, "%s %.3f of its calibrated speed", before, now.speed);
        if (!same_cache)
            fprintf(file, " with %.2f of its cache", now.cache);
        if (cores > 1)
            fprintf(file, " while %u of its cores compute", cores);
        before = ", and at";
    }
    if (before[0] == ',')
        fputs(": by the yardsticks, which ran between the cells; 'lspo as calibrated' ignores them\n", file);
}

/* The cells that fit the device. */
static uint32_t cells_with_room(const lspo_verdict_t *verdict)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < verdict->count; i++)
        count += !verdict->outcomes[i].no_room;
    return count;
}

/* Too few undisturbed cells for a verdict. */
static bool is_inconclusive(const lspo_verdict_t *verdict)
{
    uint32_t count = cells_with_room(verdict);
    return count == 0 || 2 * lspo_verdict_score(verdict, "lspo", "time", "all")->count < count;
}

static void print_verdict(const lspo_verdict_t *verdict, FILE *file)
{
    uint64_t disturbed = 0;
    for (uint32_t i = 0; i < verdict->count; i++)
        disturbed += verdict->outcomes[i].disturbed_visits;
    const lspo_score_t *time = lspo_verdict_score(verdict, "lspo", "time", "all");
    fprintf(file,
            "\n%" PRIu64 " of %u cells were measured undisturbed, %" PRIu64
            " visits were disturbed; the order counts %u pairs, noise leaves %u more undecided\n",
            time->count, cells_with_room(verdict), disturbed, verdict->order.pairs, verdict->order.too_close);
    if (cells_with_room(verdict) < verdict->count)
        fprintf(file, "%u of %u cells do not fit the device and were left out\n",
                verdict->count - cells_with_room(verdict), verdict->count);
    fprintf(file, "%s\n", verdict->calibration);
    print_now(verdict->cells, file);
    fputc('\n', file);
    if (is_inconclusive(verdict))
        fputs(cells_with_room(verdict) == 0 ? "inconclusive: no cell fits the device\n"
                                            : "inconclusive: fewer than half of the cells were measured undisturbed\n",
              file);
    judge_all(verdict, file);
}

void lspo_validate_write_report(const lspo_verdict_t *verdict, FILE *file)
{
    print_cells(verdict, file);
    print_scores(verdict, file);
    print_breakdown(verdict, file);
    print_verdict(verdict, file);
}

lspo_status_t lspo_validate_judge(const lspo_verdict_t *verdict)
{
    uint64_t judged = lspo_verdict_score(verdict, "lspo", "time", "all")->count;
    uint32_t count = cells_with_room(verdict);
    if (count == 0)
        return lspo_error(LSPO_ERR_INCONCLUSIVE,
                          "inconclusive: none of %u cells fits the device; give it more memory, "
                          "or smaller cells",
                          verdict->count);
    if (is_inconclusive(verdict))
        return lspo_error(LSPO_ERR_INCONCLUSIVE,
                          "inconclusive: only %" PRIu64
                          " of %u cells were measured undisturbed, and at least half are needed; close other programs, "
                          "or continue with --resume and a longer --budget",
                          judged, count);
    return judge_all(verdict, NULL) ? LSPO_OK
                                    : lspo_error(LSPO_ERR_ACCURACY, "the predictions are outside the thresholds");
}
