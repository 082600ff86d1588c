/* interrupt.c - see interrupt.h. */
#include "base/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

static atomic_int stop_requested, first_signal, child_of_ours;
static _Atomic int64_t first_ms;
/* timeout(1) and batch systems signal a process and then its group: that is one request. */
enum { SAME_REQUEST_MS = 300 };
static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
enum { SIGNAL_COUNT = sizeof signals / sizeof signals[0] };

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Only async-signal-safe calls.  The signal raised here ends the process when the handler returns.  The interrupted
 * code keeps its errno. */
static void request_stop(int signal_number)
{
    int error = errno;
    int64_t first = 0, now = now_ms();
    if (!atomic_compare_exchange_strong(&first_ms, &first, now)) {
        if (now - first >= SAME_REQUEST_MS) {
            signal(signal_number, SIG_DFL);
            raise(signal_number);
        }
        errno = error;
        return;
    }
    atomic_store(&stop_requested, 1);
    atomic_store(&first_signal, signal_number);
    int child = atomic_load(&child_of_ours);
    if (child != 0)
        kill(child, signal_number);
    errno = error;
}

const atomic_int *lspo_interrupt_catch(void)
{
    struct sigaction action = {.sa_handler = request_stop, .sa_flags = SA_RESTART}, inherited;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < SIGNAL_COUNT; i++)
        if (sigaction(signals[i], NULL, &inherited) == 0 && inherited.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    return &stop_requested;
}

void lspo_interrupt_release(void)
{
    struct sigaction action;
    for (size_t i = 0; i < SIGNAL_COUNT; i++)
        if (sigaction(signals[i], NULL, &action) == 0 && action.sa_handler == request_stop)
            signal(signals[i], SIG_DFL);
}

void lspo_interrupt_pass_on(pid_t child)
{
    atomic_store(&child_of_ours, child);
    int signal_number = atomic_load(&first_signal);
    if (child != 0 && signal_number != 0) /* it came while the child was starting */
        kill(child, signal_number);
}
