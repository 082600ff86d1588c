/* progress.c - see progress.h. */
#include "cli/progress.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/status.h"
#include "real/device/device.h"

enum { BAR_WIDTH = 30, LINE_BYTES = 256 };

/* The text on the terminal's last line; messages come from every thread. */
static pthread_mutex_t line_mutex = PTHREAD_MUTEX_INITIALIZER;
static bool line_shown;

/* Called before a message: it begins on an empty line. */
static void wipe(void)
{
    pthread_mutex_lock(&line_mutex);
    if (line_shown)
        fputs("\r\033[K", stderr);
    line_shown = false;
    pthread_mutex_unlock(&line_mutex);
}

void lspo_progress_start(lspo_progress_t *progress)
{
    *progress = (lspo_progress_t){.start_ns = lspo_now_ns(), .terminal = isatty(STDERR_FILENO)};
    lspo_message_hook(wipe);
}

void lspo_progress_line(lspo_progress_t *progress, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    if (!progress->terminal)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&line_mutex);
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    line_shown = true;
    pthread_mutex_unlock(&line_mutex);
}

void lspo_progress_update(void *context, const char *label, uint32_t done, uint32_t of)
{
    lspo_progress_t *progress = context;
    if (of == 0 || lspo_now_ns() - progress->start_ns < 2000000000u)
        return;
    uint32_t filled = done >= of ? BAR_WIDTH : (uint32_t)((uint64_t)done * BAR_WIDTH / of);
    lspo_progress_line(progress, "[%.*s%*s] %u/%u %.40s", (int)filled, "##############################",
                       (int)(BAR_WIDTH - filled), "", done, of, label);
}

void lspo_progress_end(lspo_progress_t *progress)
{
    progress->terminal = false;
    wipe();
}
