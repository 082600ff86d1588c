/* args.h - the option parser of all subcommands, driven by tables of options.
 *
 * An option is `--name VALUE` or `--name=VALUE`, a switch is `--name`, a few have a letter (`-o FILE`).  `--` ends the
 * options.  Subcommands share groups of options if their target structs begin with the same fields.  If an option is
 * given twice, the last one counts. main() handles `--help` and `--policy help` before anything is parsed.
 */
#ifndef LSPO_ASK_ARGS_H
#define LSPO_ASK_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/table.h"
#include "base/units.h"

typedef struct lspo_arg lspo_arg_t;

/* Parse `text` into the field at `slot`.  `what` is the option as typed ("--batch"), for messages. */
typedef lspo_status_t (*lspo_arg_store_t)(const lspo_arg_t *arg, const char *what, const char *text, void *slot);

struct lspo_arg {
    const char *name;         /* without dashes                                    */
    char letter;              /* short form, 0: none                               */
    const char *value;        /* placeholder of its value in help; NULL: a switch.  Words in lower case are values */
    const char *list;         /* NULL, or the `lspo list` with its values          */
    const char *help;         /* one line: meaning (default), example for units */
    lspo_arg_store_t store;   /* one of those below                                */
    size_t offset_bytes;      /* of its field in the group's target                */
    int64_t low, high;        /* lspo_arg_u32, _u64: allowed range, inclusive      */
    const char *high_is;      /* NULL, or `high` in words: a number that is checked later and may be smaller */
    lspo_unit_t unit;         /* lspo_arg_quantity                                 */
    const char *const *names; /* lspo_arg_choice: NULL-terminated                  */
    const void *context;      /* of the store function                             */
};

typedef struct {
    const char *title; /* in help */
    const lspo_arg_t *args;
    size_t count;
    /* In place of `args`: returns options made from another table; false after the last. */
    bool (*at)(size_t index, lspo_arg_t *arg_out);
    const char *note; /* with `at`: shown in help in place of the options */
} lspo_arg_group_t;

#define LSPO_ARG_GROUP(title, args)                                                                                    \
    {                                                                                                                  \
        title, args, sizeof(args) / sizeof(args)[0], NULL, NULL                                                        \
    }

lspo_status_t lspo_arg_switch(const lspo_arg_t *, const char *, const char *, void *slot); /* bool           */
lspo_status_t lspo_arg_on_off(const lspo_arg_t *, const char *, const char *, void *slot); /* bool           */
lspo_status_t lspo_arg_text(const lspo_arg_t *, const char *, const char *, void *slot);   /* const char *: argv's */
/* The same for a file or folder to write; refuses "-", which other programs take for standard output. */
lspo_status_t lspo_arg_output(const lspo_arg_t *, const char *, const char *, void *slot);
lspo_status_t lspo_arg_u32(const lspo_arg_t *, const char *, const char *, void *slot);      /* uint32_t       */
lspo_status_t lspo_arg_u64(const lspo_arg_t *, const char *, const char *, void *slot);      /* uint64_t       */
lspo_status_t lspo_arg_bytes(const lspo_arg_t *, const char *, const char *, void *slot);    /* uint64_t, > 0  */
lspo_status_t lspo_arg_quantity(const lspo_arg_t *, const char *, const char *, void *slot); /* double, > 0    */
lspo_status_t lspo_arg_choice(const lspo_arg_t *, const char *, const char *, void *slot);   /* int: index     */

/* The option `--format` of a command; `what` is a string literal, the slot an int. */
#define LSPO_FORMAT_ARG(what, offset)                                                                                  \
    {                                                                                                                  \
        .name = "format", .value = "table|csv|json", .help = "format of the " what " (table on a terminal, else csv)", \
        .store = lspo_arg_choice, .names = lspo_format_names, .offset_bytes = (offset)                                 \
    }

enum { LSPO_POSITIONALS_MAX = 8 };

typedef struct {
    const char *texts[LSPO_POSITIONALS_MAX];
    size_t count;
} lspo_positionals_t;

/* Parse argv[1..argc) into the struct at `target`.  `groups` ends with NULL.  LSPO_ERR_INPUT for an unknown option (the
 * message names the nearest one), and for an output (lspo_arg_output) that is the same regular file as an input or
 * another output. */
lspo_status_t lspo_args_parse(int argc, char **argv, const lspo_arg_group_t *const *groups, void *target,
                              lspo_positionals_t *positionals_out);

/* Does this part of an option's placeholder stand for files or folders? */
bool lspo_arg_names_files(const char *value, size_t length);

/* The option with this index; false after the last. */
bool lspo_arg_group_at(const lspo_arg_group_t *group, size_t index, lspo_arg_t *arg_out);
/* The option whose name is the first `length` characters of `name`; false if there is none. */
bool lspo_args_find(const lspo_arg_group_t *const *groups, const char *name, size_t length, lspo_arg_t *arg_out);

/* The same for a setting that is not on a command line: LSPO_ERR_INPUT, with the nearest name, for an unknown one. */
lspo_status_t lspo_args_check_name(const lspo_arg_group_t *const *groups, const char *name);
/* Store `text` in the option's field of `target`; a switch takes "on" or "off". */
lspo_status_t lspo_args_store(const lspo_arg_group_t *const *groups, const char *name, const char *text, void *target);

#endif
