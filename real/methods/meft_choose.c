/* meft_choose.c - choose the rows that the tokens of a batch use; see meft.h. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "kernels/gemm.h"
#include "real/methods/meft.h"

/* Tokens of an expert whose scores are one product. */
enum { TOKENS_AT_ONCE = 32 };

static size_t candidates_of(const lspo_meft_choice_t *choice)
{
    return (size_t)choice->shape.probes * choice->shape.each;
}

size_t lspo_meft_choose_scratch(const lspo_meft_shape_t *shape, size_t width)
{
    size_t products = TOKENS_AT_ONCE * (width + shape->each), candidates = (size_t)shape->probes * shape->each;
    return products > candidates ? products : candidates;
}

/* Ascending, so that a token's candidates are in the order of rows. */
static void sort_experts(size_t count, uint32_t *experts, float *gates)
{
    for (size_t i = 1; i < count; i++) {
        const uint32_t expert = experts[i];
        const float gate = gates[i];
        size_t at = i;
        for (; at > 0 && experts[at - 1] > expert; at--) {
            experts[at] = experts[at - 1];
            gates[at] = gates[at - 1];
        }
        experts[at] = expert;
        gates[at] = gate;
    }
}

/* tokens_of[first_of[e] ..] are the places in `experts` that have expert e, ascending. */
static void list_tokens(const lspo_meft_choice_t *choice)
{
    const size_t places = choice->tokens * choice->shape.probes;
    uint32_t *first = choice->first_of;
    memset(first, 0, (choice->shape.experts + 1) * sizeof *first);
    for (size_t t = 0; t < choice->tokens; t++)
        sort_experts(choice->shape.probes, choice->experts + t * choice->shape.probes,
                     choice->gates + t * choice->shape.probes);
    for (size_t i = 0; i < places; i++)
        first[choice->experts[i] + 1]++;
    for (uint32_t e = 0; e < choice->shape.experts; e++)
        first[e + 1] += first[e];
    for (size_t i = places; i-- > 0;) /* from the end of each list */
        choice->tokens_of[--first[choice->experts[i] + 1]] = (uint32_t)i;
    memmove(first, first + 1, choice->shape.experts * sizeof *first);
    first[choice->shape.experts] = (uint32_t)places;
}

typedef struct {
    const lspo_meft_choice_t *choice;
    lspo_meft_chosen_t *chosen;
    size_t scratch_count;
} run_t;

/* Scores of all tokens that keep an expert: |g_e| (h . k). */
static void score_expert(void *context, uint32_t worker, size_t expert)
{
    const run_t *run = context;
    const lspo_meft_choice_t *choice = run->choice;
    const size_t d = choice->width, each = choice->shape.each, end = choice->first_of[expert + 1];
    const float *keys = choice->rows + expert * each * 2 * d;
    float *h = choice->scratch + worker * run->scratch_count, *products = h + TOKENS_AT_ONCE * d;
    for (size_t at = choice->first_of[expert]; at < end; at += TOKENS_AT_ONCE) {
        const size_t count = end - at < TOKENS_AT_ONCE ? end - at : TOKENS_AT_ONCE;
        for (size_t i = 0; i < count; i++)
            memcpy(h + i * d, choice->h + choice->tokens_of[at + i] / choice->shape.probes * d, d * sizeof *h);
        lspo_gemm_nt(count, each, d, 1.0F, h, d, keys, 2 * d, 0.0F, products, each);
        for (size_t i = 0; i < count; i++) {
            const size_t place = choice->tokens_of[at + i];
            const float weight = fabsf(choice->gates[place]);
            for (size_t k = 0; k < each; k++) {
                const float score = weight * products[i * each + k];
                choice->scores[place * each + k] = isnan(score) ? -INFINITY : score;
            }
        }
    }
}

/* The k-th largest of n numbers, k from 1; reorders them. */
static float kth_largest(float *x, ptrdiff_t n, ptrdiff_t k)
{
    ptrdiff_t low = 0, high = n - 1, wanted = k - 1;
    while (low < high) {
        const float pivot = x[low + (high - low) / 2];
        ptrdiff_t i = low, j = high;
        while (i <= j) {
            while (x[i] > pivot)
                i++;
            while (x[j] < pivot)
                j--;
            if (i > j)
                break;
            const float swap = x[i];
            x[i++] = x[j];
            x[j--] = swap;
        }
        if (wanted <= j)
            high = j;
        else if (wanted >= i)
            low = i;
        else
            break;
    }
    return x[wanted];
}

/* The rows of one token, ascending. */
static void choose_rows(void *context, uint32_t worker, size_t token)
{
    const run_t *run = context;
    const lspo_meft_choice_t *choice = run->choice;
    const lspo_meft_shape_t *shape = &choice->shape;
    const size_t count = candidates_of(choice);
    const float *scores = choice->scores + token * count;
    const uint32_t *experts = choice->experts + token * shape->probes;
    float *copy = choice->scratch + worker * run->scratch_count;
    uint32_t *rows = run->chosen->slots + token * shape->chosen;
    memcpy(copy, scores, count * sizeof *copy);
    const float least = kth_largest(copy, (ptrdiff_t)count, shape->chosen);
    size_t above = 0, at = 0;
    for (size_t i = 0; i < count; i++)
        above += scores[i] > least;
    size_t equals = shape->chosen - above;
    for (size_t i = 0; i < count; i++) {
        const bool equal = equals > 0 && scores[i] == least;
        equals -= equal;
        if (equal || scores[i] > least)
            rows[at++] = experts[i / shape->each] * shape->each + (uint32_t)(i % shape->each);
    }
}

/* From rows to slots: those in use, in their order, and of each the entries that stand for it. */
static void unite(const lspo_meft_choice_t *choice, lspo_meft_chosen_t *chosen)
{
    const size_t entries = choice->tokens * choice->shape.chosen;
    uint32_t *place = choice->place, sum = 0;
    memset(place, 0, choice->shape.width * sizeof *place);
    for (size_t e = 0; e < entries; e++)
        place[chosen->slots[e]]++;
    chosen->count = 0;
    for (uint32_t row = 0; row < choice->shape.width; row++) {
        const uint32_t users = place[row];
        if (users == 0)
            continue;
        place[row] = chosen->count;
        chosen->chosen[chosen->count] = row;
        sum += users;
        chosen->first[++chosen->count] = sum;
    }
    for (size_t e = entries; e-- > 0;) { /* from the end of each list: its end becomes its first place */
        const uint32_t slot = place[chosen->slots[e]];
        chosen->slots[e] = slot;
        chosen->entries[--chosen->first[slot + 1]] = (uint32_t)e;
    }
    memmove(chosen->first, chosen->first + 1, chosen->count * sizeof *chosen->first);
    chosen->first[chosen->count] = sum;
}

void lspo_meft_choose(const lspo_meft_choice_t *choice, lspo_workers_t *workers, lspo_meft_chosen_t *chosen)
{
    run_t run = {choice, chosen, lspo_meft_choose_scratch(&choice->shape, choice->width)};
    list_tokens(choice);
    lspo_workers_run(workers, choice->shape.experts, score_expert, &run);
    lspo_workers_run(workers, choice->tokens, choose_rows, &run);
    unite(choice, chosen);
}

/* Of unit vectors: |sum|^2 = T + T (T - 1) times the mean of the products of two. */
double lspo_meft_alike(const lspo_meft_choice_t *choice)
{
    const size_t d = choice->width, tokens = choice->tokens;
    const double pairs = (double)tokens * ((double)tokens - 1);
    float *sum = choice->scratch;
    double square = 0;
    memset(sum, 0, d * sizeof *sum);
    for (size_t t = 0; t < tokens; t++) {
        const float *h = choice->h + t * d;
        float length = 0;
        for (size_t i = 0; i < d; i++)
            length += h[i] * h[i];
        const float scale = length > 0 ? 1 / sqrtf(length) : 0;
        for (size_t i = 0; i < d; i++)
            sum[i] += scale * h[i];
    }
    for (size_t i = 0; i < d; i++)
        square += (double)sum[i] * (double)sum[i];
    return tokens > 1 ? (square - (double)tokens) / pairs : 0;
}
