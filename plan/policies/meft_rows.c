/* meft_rows.c - how many rows of meft's adapters a batch uses, and the bytes that follow; see meft.h. */
#include <math.h>

#include "plan/policies/meft.h"

/* The largest divisor of `number` up to `limit`. */
static uint32_t largest_divisor(uint32_t number, uint32_t limit)
{
    uint32_t divisor = limit < 1 ? 1 : limit < number ? limit : number;
    while (number % divisor != 0)
        divisor--;
    return divisor;
}

lspo_meft_shape_t lspo_meft_shape(const lspo_meft_values_t *values)
{
    lspo_meft_shape_t shape = {.width = values->adapter_width};
    shape.experts = values->experts == LSPO_MEFT_AUTO
                        ? largest_divisor(shape.width, (uint32_t)(4 * sqrt((double)shape.width)))
                        : (uint32_t)values->experts;
    shape.each = shape.width / shape.experts;
    shape.probes = values->probes != LSPO_MEFT_AUTO ? (uint32_t)values->probes : shape.experts < 8 ? shape.experts : 8;
    const uint32_t half = shape.probes * shape.each / 2;
    shape.chosen = values->keys != LSPO_MEFT_AUTO ? (uint32_t)values->keys : half > 0 ? half : 1;
    return shape;
}

uint64_t lspo_meft_rows_most(const lspo_meft_shape_t *shape, uint64_t tokens)
{
    return tokens * shape->chosen < shape->width ? tokens * shape->chosen : shape->width;
}

/* P(N(0, 1) <= x) */
static double normal_below(double x)
{
    return erfc(-x / sqrt(2)) / 2;
}

/* The inverse, by bisection. */
static double normal_quantile(double share)
{
    double low = -40, high = 40;
    for (int i = 0; i < 100; i++) {
        const double middle = (low + high) / 2;
        if (normal_below(middle) < share)
            low = middle;
        else
            high = middle;
    }
    return high;
}

double lspo_meft_rows_expected(const lspo_meft_shape_t *shape, uint64_t tokens, double alike)
{
    enum { POINTS = 800 };
    const double r = shape->width, share = shape->chosen / r, reach = 8, step = 2 * reach / POINTS;
    const double z = normal_quantile(1 - share);
    double unused = 0, weights = 0;
    if (!(alike > 0) || share >= 1)
        return r * (1 - pow(1 - share, (double)tokens));
    for (int i = 0; i <= POINTS; i++) {
        const double x = -reach + i * step, weight = exp(-x * x / 2);
        unused += weight * pow(normal_below((z - sqrt(alike) * x) / sqrt(1 - alike)), (double)tokens);
        weights += weight;
    }
    return r * (1 - unused / weights);
}

/* More alike, fewer rows. */
double lspo_meft_alike_by_rows(const lspo_meft_shape_t *shape, uint64_t tokens, double rows)
{
    double low = 0, high = LSPO_MEFT_ALIKE_MAX;
    for (int i = 0; i < 30; i++) {
        const double middle = (low + high) / 2;
        if (lspo_meft_rows_expected(shape, tokens, middle) > rows)
            low = middle;
        else
            high = middle;
    }
    return low;
}

uint64_t lspo_meft_list_bytes(const lspo_meft_shape_t *shape, uint64_t tokens, uint64_t rows)
{
    return (2 * tokens * shape->chosen + rows + 1) * sizeof(uint32_t);
}

uint64_t lspo_meft_route_bytes(const lspo_meft_shape_t *shape, uint64_t tokens)
{
    return tokens * shape->probes * (sizeof(uint32_t) + sizeof(float));
}

uint64_t lspo_meft_choice_bytes(const lspo_meft_shape_t *shape, uint64_t tokens)
{
    const uint64_t probed = tokens * shape->probes;
    return shape->width * sizeof(uint32_t) + (shape->experts + 1) * sizeof(uint32_t) +
           probed * (sizeof(uint32_t) + shape->each * sizeof(float));
}
