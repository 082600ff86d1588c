/* main.c - the command `lspo`: a table of subcommands, exit codes, and the one place that ends the process. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/args.h"
#include "cli/command.h"
#include "cli/version.h"

typedef struct {
    const char *name, *help;
    lspo_status_t (*run)(int argc, char **argv);
} command_t;

static const command_t commands[] = {
    {"list", "the models, machines, policies and devices known by name", lspo_command_list},
    {"show", "a model's tensors, a machine's profile, or the ops of a plan", lspo_command_show},
    {"choose", "simulate every policy: what fits, how fast, and which is best", lspo_command_choose},
    {"sim", "predict a plan on a machine profile", lspo_command_sim},
    {"run", "execute a plan on a device and measure it", lspo_command_run},
    {"train", "fine-tune a model on data, with checkpoints, and export it", lspo_command_train},
    {"fit", "compare what random and learned projectors keep of real gradients", lspo_command_fit},
    {"calibrate", "measure this machine into a profile for sim", lspo_command_calibrate},
    {"validate", "predict and measure every cell of a grid, and say how far the predictions are off",
     lspo_command_validate},
    {"compare", "align a predicted and a measured trace op by op", lspo_command_compare},
    {"join", "put a training's loss by step on the simulated time of a machine", lspo_command_join},
    {"trace", "export traces, import those of PyTorch and DeepSpeed", lspo_command_trace},
};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static void print_usage(FILE *file)
{
    fputs("usage: lspo COMMAND [options]\n\n"
          "Predicts and measures how fast a large language model can be fine-tuned on a GPU that is too small for it.\n"
          "\ncommands:\n",
          file);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(file, "  %-12s %s\n", commands[i].name, commands[i].help);
    fputs("\n  lspo COMMAND --help   options and examples of a command\n"
          "  lspo --version        version, git id and configuration\n"
          "\nResults go to stdout, messages to stderr.  NO_COLOR=1 keeps tables plain.\n"
          "\nexit codes:\n"
          "  0    done; a simulation of a plan that does not fit is done too\n"
          "  1    failed: reading or writing, memory, a run that does not fit, a loss that became NaN, a failed check\n"
          "  2    a flag, name, file or value is wrong\n"
          "  3    there is no such device here\n"
          "  5    validate: the predictions are outside the thresholds\n"
          "  6    validate: too few cells could be measured undisturbed to judge\n"
          "  130  interrupted: Ctrl-C, SIGTERM or SIGHUP\n",
          file);
}

static int bad_usage(const char *command)
{
    fprintf(stderr, "Try 'lspo%s%s --help'.\n", command != NULL ? " " : "", command != NULL ? command : "");
    return lspo_status_exit_code(LSPO_ERR_INPUT);
}

static int unknown_command(const char *name)
{
    const char *names[COMMAND_COUNT];
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i].name;
    const char *nearest = lspo_args_nearest(name, names, COMMAND_COUNT);
    if (nearest != NULL)
        lspo_error(LSPO_ERR_INPUT, "unknown command '%s'; did you mean %s?", name, nearest);
    else
        lspo_error(LSPO_ERR_INPUT, "unknown command '%s'", name);
    return bad_usage(NULL);
}

static int run_command(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return lspo_status_exit_code(LSPO_ERR_INPUT);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("lspo %s (%s, %s)\n", PACKAGE_VERSION, LSPO_GIT_ID, LSPO_CONFIGURATION);
        return 0;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, argv[1]) == 0) {
            lspo_status_t status = commands[i].run(argc - 1, argv + 1);
            return status == LSPO_ERR_INPUT ? bad_usage(commands[i].name) : lspo_status_exit_code(status);
        }
    return unknown_command(argv[1]);
}

/* A descriptor that was closed would be given to the next file that is opened, and messages would be written into it.  In
 * its place comes one that cannot be used: reading standard input and writing results fail as before. */
static void fill_standard_streams(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_WRONLY};
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (fcntl(stream, F_GETFD) < 0)
            (void)open("/dev/null", modes[stream]); /* the lowest that is free: this one */
}

int main(int argc, char **argv)
{
    fill_standard_streams();
    signal(SIGXFSZ, SIG_IGN); /* a file at the size limit is an error of write(), which has a message */
    int code = run_command(argc, argv);
    /* A full disk must not look like success: buffered output can fail as late as here. */
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fclose(stdout) != 0 || failed) {
        lspo_error(LSPO_ERR_IO, "cannot write the result to standard output: %s",
                   errno != 0 ? strerror(errno) : "write error");
        return code != 0 ? code : lspo_status_exit_code(LSPO_ERR_IO);
    }
    return code;
}
