/* child.c - see child.h. */
#include "validate/child.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
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

/* Without reaping it, so that its number and its group stay its own. */
static void await_end(pid_t child)
{
    siginfo_t ended;
    while (waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
    }
}

/* Returns its exit code, or 128 + signal, and adds its CPU time to *cpu_s. */
static int reap(pid_t child, double *cpu_s)
{
    int status = 0;
    struct rusage usage = {0};
    while (wait4(child, &status, 0, &usage) < 0)
        if (errno != EINTR)
            return -1;
    *cpu_s += usage_s(&usage);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int open_output(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
}

/* If the system refuses, it runs on any: what it measures is then noisier. */
static void stay_on(int cpu)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET((size_t)cpu, &cpus);
    sched_setaffinity(0, sizeof cpus, &cpus);
}

/* In the child: become this program with other arguments.  It ends when its parent ends in any way.  A
 * signal that was forwarded so early that our own handler received it only set `stop`. */
static _Noreturn void become(const lspo_child_t *child, pid_t parent)
{
    lspo_interrupt_release();
    if (atomic_load(child->stop))
        _exit(130);
    if (child->cpu != NULL)
        stay_on(*child->cpu);
    int output = open_output(child->output != NULL ? child->output : "/dev/null"), messages = open_output(child->log);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent && output >= 0 && messages >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
        dup2(messages, STDERR_FILENO) >= 0)
        execv("/proc/self/exe", child->argv);
    _exit(127);
}

/* Several are a process group, which the first one leads, so that a signal reaches all.  Each of parent and child puts
 * the child into it, whoever is first. */
static pid_t start(const lspo_child_t *child, bool grouped, pid_t leader)
{
    pid_t parent = getpid(), process = fork();
    if (process == 0) {
        if (grouped)
            setpgid(0, leader);
        become(child, parent);
    }
    if (process > 0 && grouped)
        setpgid(process, leader);
    return process;
}

lspo_status_t lspo_children_run(const lspo_child_t *children, uint32_t count, int *codes_out, double *cpu_s_out)
{
    pid_t processes[LSPO_CHILDREN_MAX] = {0};
    uint32_t started = 0;
    int error = 0;
    for (; started < count && error == 0; started += error == 0) {
        processes[started] = start(&children[started], count > 1, processes[0]);
        error = processes[started] < 0 ? errno : 0;
    }
    if (started > 0)
        lspo_interrupt_pass_on(count > 1 ? -processes[0] : processes[0]);
    if (started > 0 && error != 0)
        kill(-processes[0], SIGTERM);
    for (uint32_t i = 0; i < started; i++)
        await_end(processes[i]);
    lspo_interrupt_pass_on(0);
    *cpu_s_out = 0;
    for (uint32_t i = 0; i < started; i++)
        codes_out[i] = reap(processes[i], cpu_s_out);
    if (error != 0)
        return lspo_error(LSPO_ERR_INTERNAL, "cannot start lspo %s: %s", children[started].argv[1], strerror(error));
    return LSPO_OK;
}

lspo_status_t lspo_child_run(const lspo_child_t *child, int *code_out, double *cpu_s_out)
{
    return lspo_children_run(child, 1, code_out, cpu_s_out);
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
