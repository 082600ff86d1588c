/* precision.h - number formats, and the loss scale for gradients that are stored in 16 bits. */
#ifndef LSPO_PLAN_PRECISION_H
#define LSPO_PLAN_PRECISION_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef enum { LSPO_FP32, LSPO_BF16, LSPO_FP16, LSPO_PRECISION_COUNT } lspo_precision_t;
extern const char *const lspo_precision_names[LSPO_PRECISION_COUNT];

/* Special values of loss_scale, which is otherwise a power of two.  AUTO: chosen by the format of the gradients;
 * DYNAMIC: adapted to the norms. */
enum { LSPO_LOSS_SCALE_AUTO = 0, LSPO_LOSS_SCALE_DYNAMIC = -1 };

#define LSPO_LOSS_SCALE_LARGEST 0x1p24

uint32_t lspo_precision_bytes(lspo_precision_t precision); /* 4, 2, 2 */
const char *lspo_precision_name(lspo_precision_t precision);
lspo_status_t lspo_precision_parse(const char *what, const char *text, lspo_precision_t *precision_out);
/* "auto", "dynamic" or a number. */
lspo_status_t lspo_loss_scale_parse(const char *what, const char *text, double *scale_out);
void lspo_loss_scale_format(double scale, char *text, size_t capacity);

#endif
