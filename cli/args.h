/* args.h - the option parser of all subcommands: tables of options, one loop.
 *
 * An option is `--name VALUE` or `--name=VALUE`, a switch is `--name`, a few have a letter (`-o FILE`).  `--` ends the
 * options, `--help` and `-h` are understood everywhere.  A group is a table of options together with the
 * struct into which they are stored, so that subcommands share tables.  Of an option given twice the last counts.
 */
#ifndef LSPO_CLI_ARGS_H
#define LSPO_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "plan/status.h"
#include "plan/units.h"

typedef struct lspo_arg lspo_arg_t;

/* Parse `text` into the field at `slot`.  `what` is the option as typed ("--batch"), for messages. */
typedef lspo_status_t (*lspo_arg_store_t)(const lspo_arg_t *arg, const char *what, const char *text, void *slot);

struct lspo_arg {
    const char *name;         /* without dashes                                    */
    char letter;              /* short form, 0: none                               */
    const char *value;        /* what help calls its value; NULL: a switch         */
    const char *help;         /* one line                                          */
    lspo_arg_store_t store;   /* one of those below                                */
    size_t offset_bytes;      /* of its field in the group's target                */
    int64_t low, high;        /* lspo_arg_u32, _u64: allowed range, inclusive      */
    lspo_unit_t unit;         /* lspo_arg_quantity                                 */
    const char *const *names; /* lspo_arg_choice: NULL-terminated                  */
};

typedef struct {
    const char *title; /* in help */
    const lspo_arg_t *args;
    size_t count;
    void *target;
} lspo_arg_group_t;

lspo_status_t lspo_arg_switch(const lspo_arg_t *, const char *, const char *, void *slot);   /* bool           */
lspo_status_t lspo_arg_on_off(const lspo_arg_t *, const char *, const char *, void *slot);   /* bool           */
lspo_status_t lspo_arg_text(const lspo_arg_t *, const char *, const char *, void *slot);     /* const char *: argv's */
lspo_status_t lspo_arg_u32(const lspo_arg_t *, const char *, const char *, void *slot);      /* uint32_t       */
lspo_status_t lspo_arg_u64(const lspo_arg_t *, const char *, const char *, void *slot);      /* uint64_t       */
lspo_status_t lspo_arg_bytes(const lspo_arg_t *, const char *, const char *, void *slot);    /* uint64_t, > 0  */
lspo_status_t lspo_arg_quantity(const lspo_arg_t *, const char *, const char *, void *slot); /* double, > 0    */
lspo_status_t lspo_arg_choice(const lspo_arg_t *, const char *, const char *, void *slot);   /* int: index     */

enum { LSPO_POSITIONALS_MAX = 8 };

typedef struct {
    const char *texts[LSPO_POSITIONALS_MAX];
    size_t count;
} lspo_positionals_t;

/* Parse argv[1..argc).  An unknown option is LSPO_ERR_INPUT and names the nearest known one.  When --help is among
 * them, *help_out is true and nothing else is set reliably; the caller prints its help. */
lspo_status_t lspo_args_parse(int argc, char **argv, const lspo_arg_group_t *groups, size_t group_count,
                              lspo_positionals_t *positionals_out, bool *help_out);

/* Refuse more or fewer positional arguments; `usage` goes into the message. */
lspo_status_t lspo_args_expect(const lspo_positionals_t *positionals, size_t low, size_t high, const char *usage);

/* The start of a command with one group and low..high positional arguments: parse, then --help or what is expected.
 * Where *help_out comes back true the help has been printed and the command is done. */
typedef struct {
    void (*print_help)(const lspo_arg_group_t *group);
    size_t low, high;
    const char *usage;
} lspo_args_form_t;
lspo_status_t lspo_args_begin(int argc, char **argv, const lspo_arg_group_t *group, const lspo_args_form_t *form,
                              lspo_positionals_t *positionals_out, bool *help_out);

/* The options of all groups, for --help. */
void lspo_args_print(const lspo_arg_group_t *groups, size_t group_count, FILE *file);

/* The candidate that takes the fewest edits to become `text`, or NULL when none is near. */
const char *lspo_args_nearest(const char *text, const char *const *candidates, size_t count);

#endif
