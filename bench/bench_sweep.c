/* bench_sweep.c - how many cells `lspo sweep` predicts per second of CPU, by what is wanted of them, and how soon
 * `lspo sim` answers.
 *
 * The first answer, that of a new process, must come in 15 ms of CPU, also where a plan does not fit and lspo looks for
 * one that does.  The cells are the kinds that take longest of all models, machines and policies that are built in.
 *
 * Required is what makes 10^6 cells of 32 layers take ten minutes on two cores: all columns of a cell in 1.2 ms.  Like
 * in bench_sim.c the gate is a ratio to the time to sort a number, of which such a core sorts 10 million per second.
 */
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/measure.h"

enum { CELLS = 3200, REPEATS = 3, SORTED = 12000, ANSWERS = 15, SORTED_ANSWER = 150000 };

static const char grid[] = "[all]\n"
                           "model = llama-7b\n"
                           "machine = paper-workstation rtx4090\n"
                           "policy = lsp zero-layerwise zero native\n"
                           "batch = 1 2 4 8\n"
                           "sequence = 128 256 512 1024\n"
                           "link = log2(1GB/s, 64GB/s, 4)\n";

static int fail(const char *what)
{
    fprintf(stderr, "bench_sweep: %s failed\n", what);
    exit(1);
}

/* CPU seconds of lspo with these arguments. */
static double lspo_s(const char *const *arguments)
{
    struct rusage usage;
    int state;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        if (!freopen("/dev/null", "w", stdout))
            _exit(127);
        execv("./lspo", (char *const *)arguments);
        _exit(127);
    }
    if (child < 0 || wait4(child, &state, 0, &usage) != child || !WIFEXITED(state) || WEXITSTATUS(state) != 0)
        fail(arguments[1]);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* One sweep with one thread. */
static double sweep_s(const char *columns)
{
    return lspo_s((const char *const[]){"lspo", "sweep", "bench-sweep.ini", "-o", "bench-sweep.csv", "-j", "1",
                                        "--columns", columns, NULL});
}

static double bench_columns(const char *what, const char *columns)
{
    double times_s[REPEATS];
    for (int i = 0; i < REPEATS; i++)
        times_s[i] = sweep_s(columns);
    double cell_s = measure_median(times_s, REPEATS) / CELLS;
    printf("%-28s %10.3f %12.0f %22.0f\n", what, 1e3 * cell_s, 1 / cell_s, 1e6 * cell_s / 2);
    return cell_s;
}

/* A question, and the most that it may take; 1: 15 ms on a core that sorts 10 million numbers per second. */
typedef struct {
    const char *model, *machine, *policy;
    double most;
} question_t;

static const question_t questions[] = {
    {"gpt-tiny", "rtx4090", "lsp", 1},         {"llama-7b", "rtx4090", "native", 1},
    {"llama-7b", "rtx4090", "zenflow", 1},     {"llama-7b", "rtx4090", "axonn", 1},
    {"llama-7b", "rtx3060", "lsp", 1},         {"gpt2-774m", "paper-laptop", "zenflow", 1.5},
    {"llama-3.3-70b", "rtx4090", "native", 1}, {"llama-3.3-70b", "rtx3090", "axonn", 4.5},
};

static void bench_answers(void)
{
    double number_s = measure_sort_s(SORTED_ANSWER);
    printf("\nlspo sim, CPU of the process, median of %d\n%-16s %-20s %-24s %8s\n", ANSWERS, "model", "machine",
           "policy", "CPU ms");
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        const question_t *q = &questions[i];
        const char *const arguments[] = {"lspo",     "sim",     "--model",  q->model, "--machine", q->machine,
                                         "--policy", q->policy, "--format", "json",   NULL};
        double times_s[ANSWERS];
        for (int k = 0; k < ANSWERS; k++)
            times_s[k] = lspo_s(arguments);
        double answer_s = measure_median(times_s, ANSWERS);
        printf("%-16s %-20s %-24s %8.2f\n", q->model, q->machine, q->policy, 1e3 * answer_s);
        measure_gate("an answer over as many sorted numbers", answer_s / number_s / SORTED_ANSWER, 0, q->most);
    }
}

int main(void)
{
    FILE *file = fopen("bench-sweep.ini", "w");
    if (!file || fputs(grid, file) < 0 || fclose(file) != 0)
        fail("writing a grid");
    printf("lspo sweep, %d cells of 32 layers, median of %d\n%-28s %10s %12s %22s\n", CELLS, REPEATS, "wanted",
           "CPU ms", "cells/s/core", "s per 10^6 on 2 cores");
    bench_columns("times", "cell,policy,iteration_s,slowdown,error");
    bench_columns("times and peaks", "cell,policy,iteration_s,slowdown,peak_gpu_bytes,peak_host_bytes,fits,error");
    double all_s = bench_columns("times, peaks, bounds, words",
                                 "cell,policy,iteration_s,slowdown,gpu_busy_s,native_fits,peak_gpu_bytes,fits,"
                                 "peak_gpu_bound_bytes,lower_bound_s,bound,error");
    measure_gate("all of a cell over as many sorted numbers", all_s / measure_sort_s(SORTED) / SORTED, 0, 1);
    remove("bench-sweep.ini");
    remove("bench-sweep.csv");
    bench_answers();
    return measure_missed > 0;
}
