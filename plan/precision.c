/* precision.c - see precision.h. */
#include "plan/precision.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/names.h"

const char *const lspo_precision_names[LSPO_PRECISION_COUNT] = {
    [LSPO_FP32] = "fp32", [LSPO_BF16] = "bf16", [LSPO_FP16] = "fp16"};

uint32_t lspo_precision_bytes(lspo_precision_t precision)
{
    return precision == LSPO_FP32 ? 4 : 2;
}

const char *lspo_precision_name(lspo_precision_t precision)
{
    return (unsigned)precision < LSPO_PRECISION_COUNT ? lspo_precision_names[precision] : "?";
}

lspo_status_t lspo_precision_parse(const char *what, const char *text, lspo_precision_t *precision_out)
{
    for (int i = 0; i < LSPO_PRECISION_COUNT; i++) {
        if (strcmp(text, lspo_precision_names[i]) == 0) {
            *precision_out = (lspo_precision_t)i;
            return LSPO_OK;
        }
    }
    return lspo_name_refuse(what, text, lspo_precision_names, LSPO_PRECISION_COUNT, NULL);
}

lspo_status_t lspo_loss_scale_parse(const char *what, const char *text, double *scale_out)
{
    char *end;
    double scale = strtod(text, &end);
    if (strcmp(text, "auto") == 0)
        scale = LSPO_LOSS_SCALE_AUTO;
    else if (strcmp(text, "dynamic") == 0)
        scale = LSPO_LOSS_SCALE_DYNAMIC;
    else if (end == text || *end != 0 || !(scale >= 1))
        return lspo_error(LSPO_ERR_INPUT, "%s '%s' is neither auto, dynamic nor a power of two from 1 to %.0f", what,
                          text, LSPO_LOSS_SCALE_LARGEST);
    *scale_out = scale;
    return LSPO_OK;
}

void lspo_loss_scale_format(double scale, char *text, size_t capacity)
{
    if (scale == LSPO_LOSS_SCALE_AUTO)
        snprintf(text, capacity, "auto");
    else if (scale == LSPO_LOSS_SCALE_DYNAMIC)
        snprintf(text, capacity, "dynamic");
    else
        snprintf(text, capacity, "%.0f", scale);
}
