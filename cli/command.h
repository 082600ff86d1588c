/* command.h - what a subcommand is: its name, what help says of it, its options, the function that runs it.
 *
 * --help, `lspo help`, the man pages and the completion of shells are all written from these tables (cli/help.h).
 * Texts are paragraphs with empty lines between them, which are wrapped where they are shown; a line that begins with a
 * blank is shown as it is.
 *
 * A subcommand is given its own argv (argv[0] is its name) and returns a status, from which main() makes the exit code.
 * It is not run without arguments, nor when they ask for help or for a list (`--policy help`): main() answers those.
 * Results go to stdout, everything else to stderr.
 */
#ifndef LSPO_CLI_COMMAND_H
#define LSPO_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "cli/args.h"
#include "base/status.h"

typedef struct lspo_command lspo_command_t;
struct lspo_command {
    const char *name;                      /* as typed behind "lspo": "sim", "trace import" */
    const char *summary;                   /* one line, for lists of commands               */
    const char *usage;                     /* what follows the name: "[options]"            */
    const char *about;                     /* what it does                                  */
    const char *examples;                  /* a line each                                   */
    const char *common;                    /* names of the options that most need, separated by blanks: shown first */
    const char *details;                   /* NULL, or what is said behind the options      */
    void (*write_more)(FILE *file);        /* NULL, or what else is said there    */
    const lspo_arg_group_t *const *groups; /* NULL-terminated; NULL: none */
    size_t positional_least, positional_most;
    const char *positionals;                  /* what completes them, as lspo_arg_t.value */
    const char *list;                         /* or as lspo_arg_t.list                    */
    bool runs_bare;                           /* without arguments, too                   */
    const lspo_command_t *const *subcommands; /* NULL-terminated; NULL: none */
    const lspo_command_t *same_as;            /* NULL, or the command of which this is another name */
    lspo_status_t (*run)(int argc, char **argv);
};

extern const lspo_command_t lspo_command_list;
extern const lspo_command_t lspo_command_show;
extern const lspo_command_t lspo_command_choose;
extern const lspo_command_t lspo_command_sim;
extern const lspo_command_t lspo_command_run;
extern const lspo_command_t lspo_command_train;
extern const lspo_command_t lspo_command_join;
extern const lspo_command_t lspo_command_fit;
extern const lspo_command_t lspo_command_calibrate;
extern const lspo_command_t lspo_command_validate;
extern const lspo_command_t lspo_command_compare;
extern const lspo_command_t lspo_command_trace;
extern const lspo_command_t lspo_command_help;
extern const lspo_command_t lspo_command_version;

/* All of them in the order of `lspo --help`, NULL-terminated. */
extern const lspo_command_t *const lspo_commands[];

/* The command that argv[0], and argv[1] for a subcommand, names; *depth_out is how many words that took.  An unknown
 * name is LSPO_ERR_INPUT and names the nearest; *command_out is then the command that has none of that name, or NULL.
 * A command that is another name of one is resolved. */
lspo_status_t lspo_command_find(int argc, char **argv, const lspo_command_t **command_out, int *depth_out);

/* The one of `commands` with that last word, NULL: none; another name of one is resolved. */
const lspo_command_t *lspo_command_named(const char *name, const lspo_command_t *const *commands);

/* Parse argv into `target` by the command's options, and refuse more or fewer other arguments than it takes. */
lspo_status_t lspo_command_parse(const lspo_command_t *command, int argc, char **argv, void *target,
                                 lspo_positionals_t *positionals_out);

#endif
