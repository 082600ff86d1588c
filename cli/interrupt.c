/* interrupt.c - see interrupt.h. */
#include "cli/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

static atomic_int stop_requested, child_of_ours;

/* Nothing here but what is allowed in a handler.  The signal that is raised ends the process when the handler returns.
 * What was interrupted keeps its errno. */
static void request_stop(int signal_number)
{
    int error = errno;
    if (atomic_exchange(&stop_requested, 1) != 0) {
        signal(signal_number, SIG_DFL);
        raise(signal_number);
        return;
    }
    int child = atomic_load(&child_of_ours);
    if (child > 0)
        kill(child, SIGINT);
    errno = error;
}

/* A script's background jobs begin with SIGINT ignored; who sends it to one by `kill` means it. */
static bool stays_ignored(int signal_number)
{
    struct sigaction inherited;
    return signal_number != SIGINT && sigaction(signal_number, NULL, &inherited) == 0 &&
           inherited.sa_handler == SIG_IGN;
}

const atomic_int *lspo_interrupt_catch(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = request_stop, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (!stays_ignored(signals[i]))
            sigaction(signals[i], &action, NULL);
    return &stop_requested;
}

void lspo_interrupt_at_once(void)
{
    signal(SIGINT, SIG_DFL);
}

void lspo_interrupt_pass_on(pid_t child)
{
    atomic_store(&child_of_ours, child);
    if (child > 0 && atomic_load(&stop_requested)) /* it came while the child began */
        kill(child, SIGINT);
}
