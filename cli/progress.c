/* progress.c - see progress.h. */
#include "cli/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "real/device.h"

enum { BAR_WIDTH = 30 };

void lspo_progress_start(lspo_progress_t *progress)
{
    *progress = (lspo_progress_t){.start_ns = lspo_now_ns(), .terminal = isatty(STDERR_FILENO)};
}

void lspo_progress_update(void *context, const char *label, uint32_t done, uint32_t of)
{
    lspo_progress_t *progress = context;
    if (!progress->terminal || of == 0 || lspo_now_ns() - progress->start_ns < 2000000000u)
        return;
    uint32_t filled = done >= of ? BAR_WIDTH : (uint32_t)((uint64_t)done * BAR_WIDTH / of);
    fprintf(stderr, "\r[%.*s%*s] %u/%u %.40s\033[K", (int)filled, "##############################",
            (int)(BAR_WIDTH - filled), "", done, of, label);
    fflush(stderr);
    progress->shown = true;
}

void lspo_progress_end(lspo_progress_t *progress)
{
    if (progress->shown)
        fputs("\r\033[K", stderr);
    progress->shown = false;
}
