/* command.h - the description of a subcommand: its name, help texts, options and function.
 *
 * --help, `lspo help`, the man pages and shell completion are all made from these tables (cli/help.h).  Texts are
 * paragraphs separated by empty lines and are wrapped when printed; lines that begin with a blank are unchanged.
 *
 * A subcommand gets its own argv (argv[0] is its name) and returns a status, which main() converts to the exit code.
 * It is not run without arguments, nor for help or a list (`--policy help`), which main() handles.  Results go to
 * stdout, everything else to stderr.
 */
#ifndef LSPO_CLI_COMMAND_H
#define LSPO_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "ask/args.h"
#include "base/status.h"

typedef struct lspo_command lspo_command_t;
struct lspo_command {
    const char *name;                      /* as typed after "lspo": "sim", "trace import"  */
    const char *summary;                   /* one line, for lists of commands               */
    const char *usage;                     /* what follows the name: "[options]"            */
    const char *about;                     /* what it does                                  */
    const char *examples;                  /* one per line                                  */
    const char *common;                    /* names of the most used options, separated by blanks */
    const char *details;                   /* NULL, or a text after the options             */
    void (*write_more)(FILE *file);        /* NULL, or prints more there         */
    const lspo_arg_group_t *const *groups; /* NULL-terminated; NULL: none */
    size_t positional_least, positional_most;
    const char *positionals;                  /* for completion, like lspo_arg_t.value */
    const char *list;                         /* or like lspo_arg_t.list               */
    bool runs_bare;                           /* may run without arguments             */
    bool predicts;                            /* simulates plans, and measures nothing */
    const lspo_command_t *const *subcommands; /* NULL-terminated; NULL: none */
    const lspo_command_t *same_as;            /* NULL, or the command for which this is another name */
    lspo_status_t (*run)(int argc, char **argv);
};

extern const lspo_command_t lspo_command_list;
extern const lspo_command_t lspo_command_show;
extern const lspo_command_t lspo_command_choose;
extern const lspo_command_t lspo_command_tune;
extern const lspo_command_t lspo_command_memory;
extern const lspo_command_t lspo_command_sim;
extern const lspo_command_t lspo_command_sweep;
extern const lspo_command_t lspo_command_run;
extern const lspo_command_t lspo_command_train;
extern const lspo_command_t lspo_command_generate;
extern const lspo_command_t lspo_command_serve;
extern const lspo_command_t lspo_command_join;
extern const lspo_command_t lspo_command_fit;
extern const lspo_command_t lspo_command_calibrate;
extern const lspo_command_t lspo_command_validate;
extern const lspo_command_t lspo_command_compare;
extern const lspo_command_t lspo_command_trace;
extern const lspo_command_t lspo_command_broker;
extern const lspo_command_t lspo_command_doctor;
extern const lspo_command_t lspo_command_report;
extern const lspo_command_t lspo_command_sql;
extern const lspo_command_t lspo_command_help;
extern const lspo_command_t lspo_command_version;

/* All of them in the order of `lspo --help`, NULL-terminated. */
extern const lspo_command_t *const lspo_commands[];

/* Find the command named by argv[0], and argv[1] for a subcommand; *depth_out is the number of words used.
 * LSPO_ERR_INPUT for an unknown name, with the nearest one in the message; *command_out is then the command that lacks
 * this subcommand, or NULL. Other names of a command are resolved. */
lspo_status_t lspo_command_find(int argc, char **argv, const lspo_command_t **command_out, int *depth_out);

/* The command whose last word is `name`, or NULL; other names of a command are resolved. */
const lspo_command_t *lspo_command_named(const char *name, const lspo_command_t *const *commands);

/* Parse argv into `target` with the command's options; LSPO_ERR_INPUT for too many or too few other arguments. */
lspo_status_t lspo_command_parse(const lspo_command_t *command, int argc, char **argv, void *target,
                                 lspo_positionals_t *positionals_out);

#endif
