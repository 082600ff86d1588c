/* train_view.c - see train_view.h. */
#include "cli/train_view.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "real/device/device.h"

static const uint64_t told_after_ns = UINT64_C(5000000000);

void lspo_train_view_begin(lspo_train_view_t *view)
{
    *view = (lspo_train_view_t){0};
    lspo_progress_start(&view->line);
}

void lspo_train_view_end(lspo_train_view_t *view)
{
    lspo_progress_end(&view->line);
}

void lspo_train_view_phase(void *context, const char *phase, uint32_t done, uint32_t of)
{
    lspo_train_view_t *view = context;
    if (!view->phase || strcmp(view->phase, phase) != 0) {
        view->phase = phase;
        view->line.start_ns = lspo_now_ns();
        view->told = false;
    }
    lspo_progress_update(&view->line, phase, done, of);
    if (view->line.terminal || view->told || done >= of || lspo_now_ns() - view->line.start_ns < told_after_ns)
        return;
    fprintf(stderr, "lspo: %s: %" PRIu32 " of %" PRIu32 " done after 5 s\n", phase, done, of);
    view->told = true;
}

static const char *format_duration(double seconds, char *buffer, size_t buffer_bytes)
{
    if (seconds >= 5400)
        snprintf(buffer, buffer_bytes, "%.1f h", seconds / 3600);
    else if (seconds >= 90)
        snprintf(buffer, buffer_bytes, "%.0f min", seconds / 60);
    else
        snprintf(buffer, buffer_bytes, "%.0f s", seconds);
    return buffer;
}

void lspo_train_view_step(void *context, const lspo_train_progress_t *progress)
{
    lspo_train_view_t *view = context;
    char held_out[48] = "", score[32] = "", measured[32], predicted[32], expected[48] = "";
    view->phase = NULL;
    if (isfinite(progress->held_out_loss))
        snprintf(held_out, sizeof held_out, "  last held-out %.4f", progress->held_out_loss);
    if (isfinite(progress->scores.accuracy))
        snprintf(score, sizeof score, " (%.1f %% right)", 100 * progress->scores.accuracy);
    else if (isfinite(progress->scores.pearson))
        snprintf(score, sizeof score, " (Pearson %.3f)", progress->scores.pearson);
    if (isfinite(progress->predicted_s))
        snprintf(expected, sizeof expected, " (predicted %s)",
                 format_duration(progress->predicted_s, predicted, sizeof predicted));
    lspo_progress_line(&view->line, "step %" PRIu32 "/%" PRIu32 "  loss %.4f%s%s  %.0f tokens/s  %s left%s",
                       progress->step, progress->steps, progress->loss, held_out, score, progress->tokens_per_s,
                       format_duration(progress->remaining_s, measured, sizeof measured), expected);
}
