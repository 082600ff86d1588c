/* rope.c - see rope.h. */
#include "real/transformer/rope.h"

#include <math.h>

#include "kernels/rotary.h"

static double scaled(const lspo_model_t *m, double frequency)
{
    if (m->rope_scaling == LSPO_ROPE_PLAIN)
        return frequency;
    if (m->rope_scaling == LSPO_ROPE_LINEAR)
        return frequency / m->rope_factor;
    const double turns = m->rope_original * frequency / (2.0 * M_PI);
    const double share = (turns - m->rope_low_factor) / (m->rope_high_factor - m->rope_low_factor);
    const double kept = fmin(fmax(share, 0.0), 1.0);
    return (1.0 - kept) * frequency / m->rope_factor + kept * frequency;
}

void lspo_rope_frequencies(const lspo_model_t *model, double *frequencies)
{
    const uint32_t head_width = lspo_model_head_width(model);
    lspo_rotary_frequencies(head_width, lspo_model_rope_theta(model), frequencies);
    for (uint32_t j = 0; j < head_width / 2; j++)
        frequencies[j] = scaled(model, frequencies[j]);
}
