/* judge.c - see judge.h. */
#include "cli/judge.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

enum { SHOWN_MAX = 4 };

/* Quantities on one line. */
typedef struct {
    char text[32];
} words_t;

static words_t seconds(double value)
{
    words_t words;
    lspo_format_quantity(value, LSPO_UNIT_SECONDS, words.text, sizeof words.text);
    return words;
}

/* Judge */

static void set_verdict(double low_s, double high_s, lspo_judgement_t *judgement)
{
    double step_s = judgement->measured->step_s;
    judgement->verdict = step_s > high_s ? "slower" : step_s < low_s ? "faster" : "normal";
    judgement->beyond = step_s > high_s ? step_s / high_s - 1 : step_s < low_s ? step_s / low_s - 1 : 0;
}

static void join_explanations(lspo_judgement_t *judgement)
{
    size_t used = 0;
    for (uint32_t i = 0; i < judgement->whatif_count; i++) {
        const lspo_whatif_t *it = &judgement->whatifs[i];
        size_t left = sizeof judgement->explained_by - used;
        if (!it->explains || strlen(it->flags) + 3 > left)
            continue;
        used += (size_t)snprintf(judgement->explained_by + used, left, "%s%s", used > 0 ? "; " : "", it->flags);
    }
}

static lspo_status_t compare(const lspo_measured_t *measured, const lspo_trace_t *predicted,
                             lspo_judgement_t *judgement)
{
    if (measured->trace == NULL)
        return LSPO_OK;
    lspo_status_t status = lspo_compare_loosely(predicted, measured->trace, measured->warmup, &judgement->comparison);
    judgement->compared = status == LSPO_OK;
    return status;
}

lspo_status_t lspo_judge(const lspo_whatif_question_t *question, const lspo_expect_t *expect,
                         const lspo_measured_t *measured, const lspo_trace_t *predicted,
                         lspo_judgement_t *judgement_out)
{
    lspo_judgement_t judgement = {.measured = measured};
    set_verdict(question->predicted_s * expect->low, question->predicted_s * expect->high, &judgement);
    lspo_status_t status = compare(measured, predicted, &judgement);
    if (status != LSPO_OK)
        return status;
    if (judgement.beyond != 0) {
        judgement.whatifs = calloc(LSPO_WHATIFS_MAX, sizeof *judgement.whatifs);
        status = judgement.whatifs == NULL ? lspo_no_memory("explanations")
                                           : lspo_whatif(question, judgement.whatifs, &judgement.whatif_count);
    }
    if (status != LSPO_OK) {
        lspo_judgement_release(&judgement);
        return status;
    }
    join_explanations(&judgement);
    *judgement_out = judgement;
    return LSPO_OK;
}

void lspo_judgement_release(lspo_judgement_t *judgement)
{
    if (judgement->compared)
        lspo_comparison_release(&judgement->comparison);
    free(judgement->whatifs);
    *judgement = (lspo_judgement_t){0};
}

lspo_status_t lspo_judgement_status(const lspo_judgement_t *judgement)
{
    return judgement->beyond == 0 ? LSPO_OK : LSPO_ERR_ACCURACY;
}

/* Print */

/* "Measured 1.90 s per step, the median of 48 steps in the log of a trainer after 2 of warm-up: ..." */
static void print_verdict(const lspo_judgement_t *judgement, FILE *file)
{
    const lspo_measured_t *measured = judgement->measured;
    fprintf(file, "Measured %s per step", seconds(measured->step_s).text);
    if (measured->is_average)
        fprintf(file, ", the average over the training in %s, warm-up included", measured->source);
    else if (measured->steps == 1)
        fprintf(file, ", one step in %s", measured->source);
    else if (measured->steps > 1)
        fprintf(file, ", the median of %" PRIu64 " steps in %s", measured->steps, measured->source);
    if (measured->skipped > 0)
        fprintf(file, " after %" PRIu64 " of warm-up", measured->skipped);
    if (measured->left_out > 0)
        fprintf(file, ", %" PRIu64 " left out", measured->left_out);
    if (judgement->beyond == 0)
        fputs(": normal, within the band.\n", file);
    else
        fprintf(file, ": %s than expected, %.0f %% %s the band.\n", judgement->verdict, 100 * fabs(judgement->beyond),
                judgement->beyond > 0 ? "above" : "below");
}

/* A lane without ops in the measurement: a log without such times, or a program that does not use it. */
static void print_lanes(const lspo_comparison_t *comparison, FILE *file)
{
    const char *before = "Busy, predicted and measured: ";
    for (uint32_t i = 0; i < comparison->busy_lane_count; i++) {
        const lspo_compare_lane_t *lane = &comparison->busy_lanes[i];
        fprintf(file, "%s%s %s, %s", before, lane->name, seconds(lane->predicted_s).text,
                lane->measured_s > 0 ? seconds(lane->measured_s).text : "none seen");
        before = "; ";
    }
    if (comparison->busy_lane_count > 0)
        fputs(".\n", file);
}

/* The kinds of ops of the measurement that differ most. */
static void print_kinds(const lspo_comparison_t *comparison, FILE *file)
{
    const double share_least = 0.005;
    const char *before = "Largest differences from the prediction, per step: ";
    uint32_t shown = 0;
    for (uint32_t i = 0; i < comparison->row_count && shown < SHOWN_MAX; i++) {
        const lspo_compare_row_t *row = &comparison->rows[i];
        if (row->op_count == 0 || fabs(row->share_of_error) < share_least)
            continue;
        fprintf(file, "%s%s on %s %s %s", before, lspo_op_kind_name((lspo_op_kind_t)row->kind),
                lspo_lane_kind_name((lspo_lane_kind_t)row->lane_kind),
                seconds(fabs(row->share_of_error) * comparison->measured.iteration_s).text,
                row->share_of_error < 0 ? "longer" : "shorter");
        before = "; ";
        shown++;
    }
    if (shown > 0)
        fputs(".\n", file);
}

/* Those that explain it, else the nearest. */
static uint32_t choose_shown(const lspo_judgement_t *judgement, const lspo_whatif_t *shown[SHOWN_MAX])
{
    uint32_t count = 0;
    bool explained = judgement->explained_by[0] != '\0';
    for (uint32_t i = 0; i < judgement->whatif_count && count < SHOWN_MAX; i++)
        if (judgement->whatifs[i].explains || !explained)
            shown[count++] = &judgement->whatifs[i];
    return count;
}

/* Each remedy once. */
static void print_remedies(const lspo_whatif_t *const *shown, uint32_t count, FILE *file)
{
    const char *before = "To check: ";
    for (uint32_t i = 0; i < count; i++) {
        bool said = false;
        for (uint32_t j = 0; j < i; j++)
            said |= strcmp(shown[j]->remedy, shown[i]->remedy) == 0;
        if (said)
            continue;
        fprintf(file, "%s%s", before, shown[i]->remedy);
        before = "; ";
    }
    fputs(".\n", file);
}

static void print_explanations(const lspo_judgement_t *judgement, FILE *file)
{
    const lspo_whatif_t *shown[SHOWN_MAX];
    uint32_t count = choose_shown(judgement, shown), explaining = 0;
    for (uint32_t i = 0; i < judgement->whatif_count; i++)
        explaining += judgement->whatifs[i].explains;
    if (count == 0) {
        fputs("Nothing that was tried brings the prediction nearer.\n", file);
        return;
    }
    const char *before = explaining > 0 ? "Would explain it: " : "Nothing that was tried explains it alone.  Nearest: ";
    for (uint32_t i = 0; i < count; i++) {
        fprintf(file, "%s%s (%s: %s)", before, shown[i]->flags, seconds(shown[i]->predicted_s).text, shown[i]->why);
        before = "; ";
    }
    if (explaining > count)
        fprintf(file, "; %u more", explaining - count);
    fputs(".\n", file);
    print_remedies(shown, count, file);
}

void lspo_judgement_print(const lspo_judgement_t *judgement, FILE *file)
{
    print_verdict(judgement, file);
    if (judgement->compared) {
        print_lanes(&judgement->comparison, file);
        print_kinds(&judgement->comparison, file);
    }
    if (judgement->beyond != 0)
        print_explanations(judgement, file);
}

void lspo_judgement_fill(const lspo_judgement_t *judgement, lspo_result_t *result)
{
    const lspo_measured_t *measured = judgement->measured;
    result->measured_s = measured->step_s;
    result->measured_source = measured->source;
    result->measured_steps = measured->steps > 0 ? measured->steps : LSPO_MISSING;
    result->measured_skipped = measured->steps > 0 ? measured->skipped : LSPO_MISSING;
    result->verdict = judgement->verdict;
    result->explained_by = judgement->explained_by;
}
