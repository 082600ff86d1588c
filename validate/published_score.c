/* published_score.c - the errors of predicted published steps, over all rows and by group; see published.h. */
#include <ctype.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "validate/published.h"

/* Measured times of a pair differ by more than this. */
static const double pair_gap = 0.1;

static void add_row(const lspo_published_row_t *row, lspo_published_group_t *group)
{
    group->rows++;
    group->mape += fabs(row->error);
    group->bias += row->error;
    if (group->worst_id == NULL || fabs(row->error) > fabs(group->worst)) {
        group->worst = row->error;
        group->worst_id = row->id;
    }
}

/* From sums to means. */
static void close_group(lspo_published_group_t *group)
{
    group->mape /= (double)group->rows;
    group->bias /= (double)group->rows;
}

/* Blanks and case aside: "A100 80GB" is "a100 80 gb". */
static bool is_same_name(const char *a, const char *b)
{
    for (;; a++, b++) {
        while (*a == ' ')
            a++;
        while (*b == ' ')
            b++;
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
        if (*a == '\0')
            return true;
    }
}

bool lspo_published_is_same_source(const lspo_published_row_t *a, const lspo_published_row_t *b)
{
    return is_same_name(a->source, b->source);
}

static const char *name_of(const lspo_published_row_t *row, lspo_published_grouping_t grouping)
{
    static const size_t offsets[LSPO_PUBLISHED_GROUPINGS] = {
        [LSPO_PUBLISHED_BY_SOURCE] = offsetof(lspo_published_row_t, source),
        [LSPO_PUBLISHED_BY_KIND] = offsetof(lspo_published_row_t, kind),
        [LSPO_PUBLISHED_BY_FRAMEWORK] = offsetof(lspo_published_row_t, framework),
        [LSPO_PUBLISHED_BY_CARD] = offsetof(lspo_published_row_t, gpu)};
    return *(const char *const *)(const void *)((const char *)row + offsets[grouping]);
}

static lspo_status_t group_rows(const lspo_published_t *published, lspo_published_grouping_t grouping,
                                lspo_published_scores_t *scores)
{
    lspo_published_group_t *groups = calloc(published->row_count, sizeof *groups);
    uint32_t count = 0;
    if (groups == NULL)
        return lspo_no_memory("scores of %u published steps", published->row_count);
    for (uint32_t i = 0; i < published->row_count; i++) {
        const char *name = name_of(&published->rows[i], grouping);
        uint32_t g = 0;
        while (g < count && !is_same_name(groups[g].name, name))
            g++;
        if (g == count)
            groups[count++].name = name;
        add_row(&published->rows[i], &groups[g]);
    }
    for (uint32_t g = 0; g < count; g++)
        close_group(&groups[g]);
    scores->groups[grouping] = groups;
    scores->group_counts[grouping] = count;
    return LSPO_OK;
}

/* Pairs */

static bool is_same(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* The same run, whatever the machine and the policy; and times far enough apart. */
static bool is_comparable(const lspo_published_row_t *a, const lspo_published_row_t *b)
{
    double ratio = a->measured_s / b->measured_s;
    return (ratio > 1 + pair_gap || 1 / ratio > 1 + pair_gap) && is_same(a->source, b->source) &&
           is_same(a->model, b->model) && a->batch == b->batch && a->sequence == b->sequence &&
           a->accumulation == b->accumulation && is_same(a->precision, b->precision) &&
           is_same(a->checkpointing, b->checkpointing) && (is_same(a->kind, "micro") == is_same(b->kind, "micro"));
}

bool lspo_published_is_policy_pair(const lspo_published_row_t *a, const lspo_published_row_t *b)
{
    return is_comparable(a, b) && is_same(a->machine, b->machine) && a->gpus == b->gpus &&
           (!is_same(a->policy, b->policy) || !is_same(a->flags, b->flags));
}

bool lspo_published_is_card_pair(const lspo_published_row_t *a, const lspo_published_row_t *b)
{
    return is_comparable(a, b) && !is_same(a->machine, b->machine) && is_same(a->policy, b->policy) &&
           is_same(a->flags, b->flags) && is_same(a->framework, b->framework);
}

int lspo_published_pair_order(const lspo_published_row_t *a, const lspo_published_row_t *b)
{
    int measured = (a->measured_s > b->measured_s) - (a->measured_s < b->measured_s);
    int predicted = (a->predicted_s > b->predicted_s) - (a->predicted_s < b->predicted_s);
    return measured * predicted;
}

static lspo_published_order_t count_pairs(const lspo_published_t *published,
                                          bool (*is_pair)(const lspo_published_row_t *, const lspo_published_row_t *))
{
    lspo_published_order_t order = {0};
    for (uint32_t i = 0; i < published->row_count; i++)
        for (uint32_t j = i + 1; j < published->row_count; j++) {
            const lspo_published_row_t *a = &published->rows[i], *b = &published->rows[j];
            if (!is_pair(a, b))
                continue;
            order.pairs++;
            order.right += lspo_published_pair_order(a, b) > 0;
            order.wrong += lspo_published_pair_order(a, b) < 0;
        }
    order.tau = order.pairs > 0 ? ((double)order.right - (double)order.wrong) / (double)order.pairs : (double)NAN;
    return order;
}

/* All */

static void score_memory(const lspo_published_t *published, lspo_published_scores_t *scores)
{
    scores->memory_mape = scores->memory_bias = 0;
    for (uint32_t i = 0; i < published->row_count; i++) {
        const lspo_published_row_t *row = &published->rows[i];
        if (isnan(row->peak_error))
            continue;
        scores->memory_rows++;
        scores->memory_bound_exceeded += row->above_bound == 1;
        scores->memory_mape += fabs(row->peak_error);
        scores->memory_bias += row->peak_error;
    }
    scores->memory_mape /= (double)scores->memory_rows; /* NaN without rows */
    scores->memory_bias /= (double)scores->memory_rows;
}

lspo_status_t lspo_published_score(const lspo_published_t *published, lspo_published_scores_t *scores_out)
{
    lspo_published_scores_t scores = {.all.name = "all"};
    for (uint32_t i = 0; i < published->row_count; i++)
        add_row(&published->rows[i], &scores.all);
    close_group(&scores.all);
    for (int grouping = 0; grouping < LSPO_PUBLISHED_GROUPINGS; grouping++) {
        lspo_status_t status = group_rows(published, (lspo_published_grouping_t)grouping, &scores);
        if (status != LSPO_OK) {
            lspo_published_scores_release(&scores);
            return status;
        }
    }
    uint32_t sources = scores.group_counts[LSPO_PUBLISHED_BY_SOURCE];
    for (uint32_t g = 0; g < sources; g++)
        scores.mean_of_sources += scores.groups[LSPO_PUBLISHED_BY_SOURCE][g].mape / sources;
    scores.policies = count_pairs(published, lspo_published_is_policy_pair);
    scores.cards = count_pairs(published, lspo_published_is_card_pair);
    score_memory(published, &scores);
    *scores_out = scores;
    return LSPO_OK;
}

lspo_status_t lspo_published_score_left_out(const lspo_published_t *published, lspo_published_scores_t *scores_out)
{
    lspo_published_t left_out = *published;
    left_out.rows = calloc(published->row_count, sizeof *left_out.rows);
    if (left_out.rows == NULL)
        return lspo_no_memory("scores of %u published steps", published->row_count);
    for (uint32_t i = 0; i < published->row_count; i++) {
        left_out.rows[i] = published->rows[i];
        left_out.rows[i].predicted_s = published->rows[i].left_out_s;
        left_out.rows[i].error = published->rows[i].left_out_error;
    }
    lspo_status_t status = lspo_published_score(&left_out, scores_out);
    free(left_out.rows);
    return status;
}

void lspo_published_scores_release(lspo_published_scores_t *scores)
{
    for (int grouping = 0; grouping < LSPO_PUBLISHED_GROUPINGS; grouping++)
        free(scores->groups[grouping]);
    *scores = (lspo_published_scores_t){0};
}
