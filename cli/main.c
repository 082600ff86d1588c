/* main.c - the command `lspo`: runs the subcommand or prints help, and is the only place that exits the process. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/heap.h"
#include "cli/command.h"
#include "cli/help.h"

static int refuse_usage(const lspo_command_t *command)
{
    fprintf(stderr, "Try 'lspo %s%s--help'.\n", command != NULL ? command->name : "", command != NULL ? " " : "");
    return lspo_status_exit_code(LSPO_ERR_INPUT);
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

/* The value of argv[*index] if that is an option with a value, else NULL; *arg_out is the option. */
static const char *option_value(const lspo_command_t *command, int argc, char **argv, int *index, lspo_arg_t *arg_out)
{
    const char *text = argv[*index];
    if (strncmp(text, "--", 2) != 0)
        return NULL;
    size_t length = strcspn(text + 2, "=");
    if (!lspo_args_find(command->groups, text + 2, length, arg_out) || arg_out->value == NULL)
        return NULL;
    if (text[2 + length] == '=')
        return text + 2 + length + 1;
    return *index + 1 < argc ? argv[++*index] : NULL;
}

/* `lspo sim --policy help` is `lspo list policies`, in the same --format.  NULL: not requested. */
static const char *list_asked_for(const lspo_command_t *command, int argc, char **argv, char **format_out)
{
    const char *list = NULL;
    *format_out = NULL;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        lspo_arg_t arg;
        const char *value = option_value(command, argc, argv, &i, &arg);
        if (value == NULL)
            continue;
        if (strcmp(arg.name, "format") == 0)
            *format_out = (char *)value;
        if (arg.list != NULL && strcmp(value, "help") == 0)
            list = arg.list;
    }
    return list;
}

static lspo_status_t write_list(const char *list, char *format)
{
    char *argv[] = {"list", (char *)list, "--format", format, NULL};
    return lspo_command_list.run(format != NULL ? 4 : 2, argv);
}

/* argv[0] is the last word of the command's name. */
static int run_command(const lspo_command_t *command, int argc, char **argv)
{
    char *format;
    if (asks_for_help(argc, argv)) {
        lspo_help_write(command, true, stdout);
        return 0;
    }
    if (argc < 2 && !command->runs_bare) {
        lspo_help_write(command, false, stderr);
        return lspo_status_exit_code(LSPO_ERR_INPUT);
    }
    if (command->predicts)
        lspo_heap_keep();
    const char *list = list_asked_for(command, argc, argv, &format);
    lspo_status_t status = list != NULL ? write_list(list, format) : command->run(argc, argv);
    return status == LSPO_ERR_INPUT ? refuse_usage(command) : lspo_status_exit_code(status);
}

/* `lspo sim help` is `lspo help sim`; in `lspo sim --policy help` the word is a value. */
static bool asks_by_word(int argc, char **argv)
{
    return argc >= 3 && argc <= 4 && strcmp(argv[argc - 1], "help") == 0 && argv[argc - 2][0] != '-' &&
           strcmp(argv[1], "help") != 0;
}

static int run(int argc, char **argv)
{
    const lspo_command_t *command;
    int depth;
    if (argc < 2) {
        lspo_help_write_overview(stderr);
        return lspo_status_exit_code(LSPO_ERR_INPUT);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        lspo_help_write_overview(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)
        return lspo_status_exit_code(lspo_command_version.run(1, argv + 1));
    if (strcmp(argv[1], "__complete") == 0) {
        lspo_complete(argc - 2, argv + 2, stdout);
        return 0;
    }
    if (asks_by_word(argc, argv)) {
        char *words[] = {"help", argv[1], argv[2], NULL};
        return run_command(&lspo_command_help, argc - 1, words);
    }
    lspo_status_t status = lspo_command_find(argc - 1, argv + 1, &command, &depth);
    return status == LSPO_OK ? run_command(command, argc - depth, argv + depth) : refuse_usage(command);
}

/* A closed descriptor would be given to the next file that is opened, and messages would go into that file.  So it is
 * replaced by one that cannot be used: reading standard input and writing results fail as before. */
static void fill_standard_streams(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_WRONLY};
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++)
        if (fcntl(stream, F_GETFD) < 0)
            (void)open("/dev/null", modes[stream]); /* the lowest free one, which is this */
}

int main(int argc, char **argv)
{
    fill_standard_streams();
    signal(SIGXFSZ, SIG_IGN); /* a file at the size limit is an error of write(), which has a message */
    int code = run(argc, argv);
    /* A full disk must not look like success: buffered output may fail only here. */
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fclose(stdout) != 0 || failed) {
        lspo_error(LSPO_ERR_IO, "cannot write the result to standard output: %s",
                   errno != 0 ? strerror(errno) : "write error");
        return code != 0 ? code : lspo_status_exit_code(LSPO_ERR_IO);
    }
    return code;
}
