/* The choice of tokens: the most likely one, and frequencies of random ones against the probabilities of the rule. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "real/generate/choice.h"

enum { VOCABULARY = 6, DRAWS = 40000 };

static const float logits[VOCABULARY] = {0.5F, 2.0F, -1.0F, 2.0F, 1.0F, -3.0F};

static uint32_t choose(const lspo_choice_t *choice, uint64_t position)
{
    lspo_candidate_t scratch[VOCABULARY];
    uint32_t token = 99;
    cr_assert_eq(lspo_choose_token(choice, VOCABULARY, logits, position, scratch, &token), LSPO_OK);
    return token;
}

/* The share of each token, against `wanted`, which need not be normalised; five standard deviations. */
static void check_shares(const lspo_choice_t *choice, const double *wanted)
{
    size_t counts[VOCABULARY] = {0};
    double sum = 0;
    for (size_t i = 0; i < DRAWS; i++)
        counts[choose(choice, i)]++;
    for (size_t t = 0; t < VOCABULARY; t++)
        sum += wanted[t];
    for (size_t t = 0; t < VOCABULARY; t++) {
        const double p = wanted[t] / sum, deviation = sqrt(p * (1 - p) / DRAWS);
        cr_expect_float_eq((double)counts[t] / DRAWS, p, 5 * deviation, "token %zu: %zu draws, p %g", t, counts[t], p);
    }
}

Test(choice, without_temperature_is_the_most_likely_token_with_the_lowest_id)
{
    cr_expect_eq(choose(&(lspo_choice_t){.top_p = 1}, 3), 1);
    cr_expect_eq(choose(&(lspo_choice_t){.temperature = 1, .top_k = 1, .top_p = 1}, 3), 1);
    cr_expect_eq(choose(&(lspo_choice_t){.temperature = 1, .top_p = 1e-9}, 3), 1);
}

Test(choice, follows_the_softmax_at_the_temperature)
{
    double wanted[VOCABULARY];
    for (size_t t = 0; t < VOCABULARY; t++)
        wanted[t] = exp((double)logits[t] / 0.7);
    check_shares(&(lspo_choice_t){.temperature = 0.7, .top_p = 1, .seed = 4}, wanted);
}

/* Of the three most likely, tokens 1, 3 and 4. */
Test(choice, takes_the_top_k)
{
    double wanted[VOCABULARY] = {[1] = exp(2.0), [3] = exp(2.0), [4] = exp(1.0)};
    check_shares(&(lspo_choice_t){.temperature = 1, .top_k = 3, .top_p = 1, .seed = 5}, wanted);
}

/* e^2, e^2, e, e^0.5, e^-1, e^-3 are 7.389, 7.389, 2.718, 1.649, 0.368, 0.050: of the sum 19.563 the first two are
 * 75.5 %, three are 89.4 %, four 97.9 %. */
Test(choice, takes_the_fewest_that_add_up_to_top_p)
{
    double two[VOCABULARY] = {[1] = exp(2.0), [3] = exp(2.0)};
    double three[VOCABULARY] = {[1] = exp(2.0), [3] = exp(2.0), [4] = exp(1.0)};
    double four[VOCABULARY] = {[0] = exp(0.5), [1] = exp(2.0), [3] = exp(2.0), [4] = exp(1.0)};
    check_shares(&(lspo_choice_t){.temperature = 1, .top_p = 0.75, .seed = 6}, two);
    check_shares(&(lspo_choice_t){.temperature = 1, .top_p = 0.76, .seed = 6}, three);
    check_shares(&(lspo_choice_t){.temperature = 1, .top_p = 0.97, .seed = 6}, four);
    /* Of the top three, 14.778 of 17.496 are 84.5 %. */
    check_shares(&(lspo_choice_t){.temperature = 1, .top_k = 3, .top_p = 0.84, .seed = 6}, two);
}

Test(choice, depends_on_seed_and_position_only)
{
    size_t different = 0;
    for (uint64_t i = 0; i < 100; i++) {
        const lspo_choice_t one = {.temperature = 1, .top_p = 1, .seed = 1},
                            two = {.temperature = 1, .top_p = 1, .seed = 2};
        cr_expect_eq(choose(&one, i), choose(&one, i));
        different += choose(&one, i) != choose(&two, i);
    }
    cr_expect_gt(different, 20);
}

Test(choice, logits_that_are_no_numbers_are_refused)
{
    static const float bad[][3] = {{1.0F, (float)NAN, 0.0F},
                                   {(float)NAN, 1.0F, 0.0F},
                                   {(float)INFINITY, 1.0F, 0.0F},
                                   {-(float)INFINITY, -(float)INFINITY, -(float)INFINITY}};
    lspo_candidate_t scratch[3];
    for (size_t i = 0; i < 4; i++) {
        uint32_t token = 99;
        cr_expect_eq(lspo_choose_token(&(lspo_choice_t){.top_p = 1}, 3, bad[i], 0, scratch, &token), LSPO_ERR_NUMERIC);
        cr_expect_eq(token, 99);
    }
}
