/* child.c - see child.h. */
#include "validate/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/input_file.h"
#include "base/interrupt.h"

static double usage_s(const struct rusage *usage)
{
    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
           1e-6 * (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
}

/* Signals are forwarded to the child until it has been waited for. */
static int await_child(pid_t child, struct rusage *usage)
{
    int status = 0;
    siginfo_t ended;
    lspo_interrupt_pass_on(child);
    while (waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
    }
    lspo_interrupt_pass_on(0);
    while (wait4(child, &status, 0, usage) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

static int open_output(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
}

/* In the child: become this program with other arguments.  It ends when its parent ends in any way.  A
 * signal that was forwarded so early that our own handler received it only set `stop`. */
static _Noreturn void become(const lspo_child_t *child, pid_t parent)
{
    lspo_interrupt_release();
    if (atomic_load(child->stop))
        _exit(130);
    int output = open_output(child->output != NULL ? child->output : "/dev/null"), messages = open_output(child->log);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent && output >= 0 && messages >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
        dup2(messages, STDERR_FILENO) >= 0)
        execv("/proc/self/exe", child->argv);
    _exit(127);
}

lspo_status_t lspo_child_run(const lspo_child_t *child, int *code_out, double *cpu_s_out)
{
    struct rusage usage = {0};
    pid_t parent = getpid(), process = fork();
    if (process == 0)
        become(child, parent);
    if (process < 0)
        return lspo_error(LSPO_ERR_INTERNAL, "cannot start lspo %s: %s", child->argv[1], strerror(errno));
    int status = await_child(process, &usage);
    *code_out = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    *cpu_s_out = usage_s(&usage);
    return LSPO_OK;
}

void lspo_child_last_line(const char *path, char *last, size_t last_bytes)
{
    lspo_input_t *input;
    char *line = NULL;
    size_t length;
    snprintf(last, last_bytes, "no message");
    if (lspo_input_open(path, UINT64_MAX, &input) != LSPO_OK)
        return;
    while (lspo_input_line(input, &line, &length) == LSPO_OK && line)
        snprintf(last, last_bytes, "%s", line);
    lspo_input_close(input);
}
