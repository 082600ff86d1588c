/* kernels/keys.h on the GPU against the host's, in every format and several orders of the threads. */
#include "kernels/cuda.h"
#include "tests/cuda_numbers.h"
#include "tests/keys_case.h"

/* The case in the format: what the host computes from is what the device has. */
static void round_case(lspo_number_t number, keys_case_t *c)
{
    const size_t n = c->keys.tokens * c->keys.width;
    round_floats(number, c->keys.count * 2 * c->keys.width, c->rows);
    round_floats(number, n, c->h);
    round_floats(number, n, c->dy);
    round_floats(number, n, c->y);
}

static lspo_keys_t on_device(lspo_number_t number, const keys_case_t *c)
{
    lspo_keys_t keys = c->keys;
    const size_t entries = keys.tokens * keys.chosen;
    keys.rows = device_numbers(number, c->rows, keys.count * 2 * keys.width);
    keys.slots = device_copy(c->slots, entries * sizeof *c->slots);
    keys.entries = device_copy(c->entries, entries * sizeof *c->entries);
    keys.first = device_copy(c->first, (keys.count + 1) * sizeof *c->first);
    return keys;
}

static void check(lspo_number_t number, size_t tokens, size_t width, size_t count, size_t chosen)
{
    keys_case_t c = make_keys(tokens, width, count, chosen);
    const size_t n = tokens * width, row_numbers = count * 2 * width;
    float *y, *dh, *drows = normal_floats(9, 1, row_numbers);
    round_case(number, &c);
    y = copy_of(c.y, n);
    dh = copy_of(c.y, n);
    lspo_keys_forward(&c.keys, c.h, y, c.scratch);
    lspo_keys_backward(&c.keys, c.h, c.dy, &(lspo_keys_gradients_t){dh, drows}, c.scratch);
    for (order_t order = {0}; next_order(&order);) {
        const lspo_keys_t keys = on_device(number, &c);
        void *h = device_numbers(number, c.h, n), *dy = device_numbers(number, c.dy, n);
        void *got_y = device_numbers(number, c.y, n), *got_dh = device_numbers(number, c.y, n);
        void *got_drows = empty_numbers(number, row_numbers);
        float *scratch = device_array(2 * tokens * chosen * sizeof *scratch);
        DEVICE_OK(lspo_keys_forward_cuda(ON(number), &keys, h, got_y, scratch));
        DEVICE_OK(
            lspo_keys_backward_cuda(ON(number), &keys, h, dy, &(lspo_keys_gradients_t){got_dh, got_drows}, scratch));
        const near_t near = {.number = number, .steps = 1, .atol = 2e-5, .rtol = 2e-5};
        expect_numbers(&order, "y", got_y, y, n, near);
        expect_numbers(&order, "dh", got_dh, dh, n, near);
        expect_numbers(&order, "drows", got_drows, drows, row_numbers, near);
    }
    free(drows);
    free(dh);
    free(y);
    release_keys(&c);
}

Test(cuda_keys, equals_the_host)
{
    for (size_t i = 0; i < COUNT(all_numbers); i++) {
        check(all_numbers[i], 1, 1, 1, 1);
        check(all_numbers[i], 5, 48, 7, 3);
        check(all_numbers[i], 9, 33, 12, 12);
    }
}

Test(cuda_keys, routes_as_the_host)
{
    const lspo_route_t route = {37, 19, 5};
    float *g = random_numbers_of(LSPO_NUMBER_FP16, 5, 1, 37 * 19), gates[37 * 5];
    uint32_t experts[37 * 5];
    for (size_t i = 0; i < 37 * 19; i += 23)
        g[i] = i % 2 ? NAN : g[(i + 1) % (37 * 19)]; /* ties, and what is no number */
    lspo_keys_route(&route, g, experts, gates);
    for (order_t order = {0}; next_order(&order);) {
        uint32_t *got_experts = device_array(sizeof experts);
        float *got_gates = device_array(sizeof gates);
        DEVICE_OK(lspo_keys_route_cuda(ON(LSPO_NUMBER_FP16), &route, device_numbers(LSPO_NUMBER_FP16, g, 37 * 19),
                                       got_experts, got_gates));
        expect_bits(&order, "experts", got_experts, experts, sizeof experts);
        expect_close(&order, "gates", got_gates, gates, 37 * 5, (within_t){0, 0});
    }
    free(g);
}
