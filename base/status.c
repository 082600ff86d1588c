/* status.c - exit codes and messages of failures; see status.h. */
#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/printable.h"

int lspo_status_exit_code(lspo_status_t status)
{
    switch (status) {
    case LSPO_OK:
        return 0;
    case LSPO_ERR_INPUT:
        return 2;
    case LSPO_ERR_DEVICE:
        return 3;
    case LSPO_ERR_FIT:
        return 4;
    case LSPO_ERR_ACCURACY:
        return 5;
    case LSPO_ERR_INCONCLUSIVE:
        return 6;
    case LSPO_ERR_INTERRUPTED:
        return 130;
    case LSPO_ERR_IO:
    case LSPO_ERR_MEMORY:
    case LSPO_ERR_NUMERIC:
    case LSPO_ERR_CHECK:
    case LSPO_ERR_INTERNAL:
        break;
    }
    return 1;
}

lspo_status_t lspo_status_of_errno(int error)
{
    return error == ENOMEM ? LSPO_ERR_MEMORY : LSPO_ERR_INPUT;
}

lspo_status_t lspo_status_of_mkdir(int error)
{
    return error == ENOTDIR || error == EEXIST ? LSPO_ERR_INPUT : LSPO_ERR_IO;
}

const lspo_exit_code_t lspo_exit_codes[] = {
    {0, "done; this includes the simulation of a plan that does not fit"},
    {1, "failed: reading or writing, memory, a loss that became NaN, a failed check"},
    {2, "a flag, name, file or value is wrong"},
    {3, "there is no such device here"},
    {4, "a run does not fit the memory of the device or of this machine, or a cap; tune: no setting fits"},
    {5, "validate: the predictions are outside the thresholds; sim --measured: the step is outside the band"},
    {6, "validate: too few cells could be measured undisturbed to judge"},
    {130, "train, generate, sweep, validate and memory --run: interrupted by Ctrl-C, SIGTERM or SIGHUP; other commands "
          "end by the signal"},
    {0, NULL},
};

static void (*before_message)(void);

void lspo_message_hook(void (*before)(void))
{
    before_message = before;
}

static _Thread_local lspo_messages_t kept;

lspo_messages_t lspo_messages_send(lspo_messages_t messages)
{
    lspo_messages_t before = kept;
    kept = messages;
    return before;
}

void lspo_messages_keep(char *text, size_t capacity)
{
    if (text != NULL)
        text[0] = '\0';
    (void)lspo_messages_send((lspo_messages_t){.text = text, .capacity = capacity});
}

static void hand_warning(const char *format, va_list arguments)
{
    char text[2048], line[2048];
    if (kept.warn == NULL)
        return;
    vsnprintf(text, sizeof text, format, arguments);
    lspo_printable(text, line, sizeof line);
    kept.warn(kept.context, line);
}

static void keep_error(const char *format, va_list arguments)
{
    char line[2048];
    if (kept.text[0] != '\0')
        return;
    vsnprintf(line, sizeof line, format, arguments);
    lspo_printable(line, kept.text, kept.capacity);
}

/* One write per message, so that lines of several threads do not mix.  Text from files or arguments cannot move a
 * terminal's cursor or begin a new line. */
static void print_message(const char *severity, const char *format, va_list arguments)
{
    char text[2048], line[2048];
    vsnprintf(text, sizeof text, format, arguments);
    lspo_printable(text, line, sizeof line);
    if (before_message != NULL)
        before_message();
    fprintf(stderr, "lspo: %s: %s\n", severity, line);
}

lspo_status_t lspo_error(lspo_status_t status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (kept.text != NULL)
        keep_error(format, arguments);
    else
        print_message("error", format, arguments);
    va_end(arguments);
    return status;
}

lspo_status_t lspo_no_memory(const char *what, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, what);
    vsnprintf(text, sizeof text, what, arguments);
    va_end(arguments);
    return lspo_error(LSPO_ERR_MEMORY, "no memory for %s", text);
}

void lspo_warn(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (kept.text != NULL)
        hand_warning(format, arguments);
    else
        print_message("warning", format, arguments);
    va_end(arguments);
}
