/* choice.c - see choice.h. */
#include "real/generate/choice.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "kernels/random.h"

static int compare_descending(const void *left, const void *right)
{
    const lspo_candidate_t *a = left, *b = right;
    if (a->logit != b->logit)
        return a->logit > b->logit ? -1 : 1;
    return a->token < b->token ? -1 : a->token > b->token;
}

static lspo_status_t most_likely(size_t vocabulary, const float *logits, uint32_t *token_out)
{
    size_t best = 0;
    int bad = isnan(logits[0]);
    for (size_t i = 1; i < vocabulary; i++) {
        bad |= isnan(logits[i]);
        best = logits[i] > logits[best] ? i : best;
    }
    if (bad || !isfinite(logits[best]))
        return lspo_error(LSPO_ERR_NUMERIC, "the weights give no number for the next token of a text");
    *token_out = (uint32_t)best;
    return LSPO_OK;
}

/* e^((logit - highest) / temperature). */
static double weight_of(const lspo_choice_t *choice, float logit, float highest)
{
    return exp(((double)logit - (double)highest) / choice->temperature);
}

static double sum_of(const lspo_choice_t *choice, const lspo_candidate_t *from, size_t count, float highest)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += weight_of(choice, from[i].logit, highest);
    return sum;
}

/* The candidates that may be chosen, all in order of their ids if nothing else is asked, else most likely first.  What
 * is less likely than (1 - top_p) / vocabulary is never among those that add up to top_p, and is left out.
 * *total_out: the weight of all that top_p refers to. */
static size_t list(const lspo_choice_t *choice, size_t vocabulary, const float *logits, float highest,
                   lspo_candidate_t *out, double *total_out)
{
    const size_t most = choice->top_k > 0 && choice->top_k < vocabulary ? choice->top_k : vocabulary;
    const bool sorts = most < vocabulary || choice->top_p < 1;
    double least = 0, sum = 0;
    for (size_t i = 0; most == vocabulary && i < vocabulary; i++)
        sum += weight_of(choice, logits[i], highest);
    if (most == vocabulary && sorts)
        least = sum * (1 - choice->top_p) / (double)vocabulary / 2; /* half: rounding never decides */
    size_t count = 0;
    for (size_t i = 0; i < vocabulary; i++)
        if (least == 0 || weight_of(choice, logits[i], highest) >= least)
            out[count++] = (lspo_candidate_t){logits[i], (uint32_t)i};
    if (sorts)
        qsort(out, count, sizeof *out, compare_descending);
    count = count < most ? count : most;
    *total_out = most == vocabulary ? sum : sum_of(choice, out, count, highest);
    return count;
}

/* Fewest candidates whose weights add up to this share of all. */
static size_t nucleus(const lspo_choice_t *choice, const lspo_candidate_t *from, size_t count, double total,
                      float highest)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += weight_of(choice, from[i].logit, highest);
        if (sum >= choice->top_p * total)
            return i + 1;
    }
    return count;
}

lspo_status_t lspo_choose_token(const lspo_choice_t *choice, size_t vocabulary, const float *logits, uint64_t position,
                                lspo_candidate_t *scratch, uint32_t *token_out)
{
    uint32_t best = 0;
    lspo_status_t status = most_likely(vocabulary, logits, &best);
    if (status != LSPO_OK)
        return status;
    if (choice->temperature == 0) {
        *token_out = best;
        return LSPO_OK;
    }
    const float highest = logits[best];
    double total;
    size_t count = list(choice, vocabulary, logits, highest, scratch, &total);
    if (choice->top_p < 1)
        count = nucleus(choice, scratch, count, total, highest);
    double left =
        lspo_random_uniform(choice->seed, choice->sequence, position) * sum_of(choice, scratch, count, highest);
    size_t chosen = 0;
    while (chosen + 1 < count && left >= weight_of(choice, scratch[chosen].logit, highest))
        left -= weight_of(choice, scratch[chosen++].logit, highest);
    *token_out = scratch[chosen].token;
    return LSPO_OK;
}
