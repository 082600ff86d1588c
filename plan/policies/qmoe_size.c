/* qmoe_size.c - the sizes of qmoe's experts; see qmoe.h. */
#include <math.h>

#include "plan/build_generate.h"
#include "plan/family.h"
#include "plan/policies/qmoe.h"

/* Pairs of an entry at most, and kinds of pairs: so many of its two weights are not zero. */
enum { PAIRS = 14, KINDS = 3, CODES = 65536 };

/* By the pairs of a sequence, and by its weights that are not zero: the share of such sequences that are entries. */
typedef struct {
    double of[PAIRS + 2][2 * PAIRS + 1 + KINDS];
} shares_t;

/* How many sequences there are of each such group. */
static double sequences(unsigned pairs, unsigned nonzeros)
{
    double count = 1;
    for (unsigned i = 0; i < nonzeros; i++)
        count *= 2.0 * (2 * pairs - i) / (i + 1);
    return count;
}

/* The entries are the most probable sequences with 88.5 % zeros: group after group, the last in part. */
static void find_shares(shares_t *shares)
{
    const double zero = log(0.885), other = log(0.0575);
    *shares = (shares_t){0};
    for (double left = CODES; left > 0;) {
        unsigned n = 0, k = 0;
        for (unsigned pairs = 1; pairs <= PAIRS; pairs++)
            for (unsigned some = 0; some <= 2 * pairs; some++)
                if (shares->of[pairs][some] <= 0 &&
                    (n == 0 || (2 * pairs - some) * zero + some * other > (2 * n - k) * zero + k * other)) {
                    n = pairs;
                    k = some;
                }
        shares->of[n][k] = fmin(1, left / sequences(n, k));
        left -= sequences(n, k);
    }
}

/* A code that begins with a pair of this kind: pairs that it takes on average; with what kind the next begins. */
static double follow(const shares_t *shares, const double *kinds, unsigned first, double *next_out)
{
    double visits[PAIRS + 2][2 * PAIRS + 1 + KINDS] = {0}, pairs = 0;
    visits[1][first] = 1;
    for (unsigned kind = 0; kind < KINDS; kind++)
        next_out[kind] = 0;
    for (unsigned n = 1; n <= PAIRS; n++)
        for (unsigned k = 0; k <= 2 * n; k++) {
            pairs += visits[n][k];
            for (unsigned kind = 0; kind < KINDS; kind++) {
                const double goes_on = n < PAIRS ? shares->of[n + 1][k + kind] : 0;
                visits[n + 1][k + kind] += visits[n][k] * kinds[kind] * goes_on;
                next_out[kind] += visits[n][k] * kinds[kind] * (1 - goes_on);
            }
        }
    return pairs;
}

double lspo_qmoe_bits(double zeros)
{
    enum { STEPS = 100 };
    const double kinds[KINDS] = {zeros * zeros, 2 * zeros * (1 - zeros), (1 - zeros) * (1 - zeros)};
    double begins[KINDS] = {kinds[0], kinds[1], kinds[2]}, pairs[KINDS], next[KINDS][KINDS], mean = 0;
    shares_t shares;
    find_shares(&shares);
    for (unsigned kind = 0; kind < KINDS; kind++)
        pairs[kind] = follow(&shares, kinds, kind, next[kind]);
    for (int step = 0; step < STEPS; step++) {
        double then[KINDS] = {0};
        for (unsigned kind = 0; kind < KINDS; kind++)
            for (unsigned k = 0; k < KINDS; k++)
                then[k] += begins[kind] * next[kind][k];
        for (unsigned k = 0; k < KINDS; k++)
            begins[k] = then[k];
    }
    for (unsigned kind = 0; kind < KINDS; kind++)
        mean += begins[kind] * pairs[kind];
    return 16 / (2 * mean);
}

uint32_t lspo_qmoe_cached(const lspo_qmoe_values_t *values, const lspo_model_t *model)
{
    return values->cached_experts < 0 ? model->expert_count : (uint32_t)values->cached_experts;
}

double lspo_qmoe_missing(const lspo_qmoe_values_t *values, const lspo_model_t *model, uint64_t tokens)
{
    const double all = model->expert_count;
    return lspo_generate_experts_used(model, tokens) * (all - lspo_qmoe_cached(values, model)) / all;
}

uint32_t lspo_qmoe_missing_most(const lspo_qmoe_values_t *values, const lspo_model_t *model, uint64_t tokens)
{
    const uint64_t away = model->expert_count - lspo_qmoe_cached(values, model);
    const uint64_t chosen = tokens * model->experts_per_token;
    return (uint32_t)(away < chosen ? away : chosen);
}

/* Lengths of codes differ by about a third of their mean: so do numbers of codes, by their root. */
uint64_t lspo_qmoe_room_codes(const lspo_qmoe_values_t *values, uint64_t m, uint64_t n)
{
    const double codes = (double)(m * n) * lspo_qmoe_bits(values->expert_zeros) / 16;
    const uint64_t room = (uint64_t)ceil(codes + (double)n + 10.0 / 3 * sqrt(codes)), most = n * ((m + 1) / 2);
    return room < most ? room : most;
}

uint32_t lspo_qmoe_matrices(const lspo_model_t *model, uint32_t m_out[LSPO_QMOE_MATRICES_MAX],
                            uint32_t n_out[LSPO_QMOE_MATRICES_MAX])
{
    const uint32_t count = lspo_family_of(model)->gated ? 3 : 2;
    for (uint32_t i = 0; i < count; i++) {
        m_out[i] = i + 1 < count ? model->width : model->mlp_width;
        n_out[i] = i + 1 < count ? model->mlp_width : model->width;
    }
    return count;
}

uint64_t lspo_qmoe_expert_bytes(const lspo_qmoe_values_t *values, const lspo_model_t *model)
{
    uint32_t m[LSPO_QMOE_MATRICES_MAX], n[LSPO_QMOE_MATRICES_MAX];
    const uint32_t count = lspo_qmoe_matrices(model, m, n);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += 8 * ((uint64_t)n[i] + 1) + (2 * lspo_qmoe_room_codes(values, m[i], n[i]) + 7) / 8 * 8;
    return bytes;
}
