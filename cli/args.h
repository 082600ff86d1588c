/* args.h - the option parser of all subcommands: tables of options, one loop.
 *
 * An option is `--name VALUE` or `--name=VALUE`, a switch is `--name`, a few have a letter (`-o FILE`).  `--` ends the
 * options.  Groups of options are shared by subcommands whose targets begin alike.  Of an option given twice the last
 * counts.  `--help` and `--policy help` are answered by main(), before anything is parsed.
 */
#ifndef LSPO_CLI_ARGS_H
#define LSPO_CLI_ARGS_H

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
    const char *value;        /* what help calls its value; NULL: a switch.  Its words in small letters are values */
    const char *list;         /* NULL, or which `lspo list` has its values         */
    const char *help;         /* one line, wrapped where it is shown: what it is (default), units by an example */
    lspo_arg_store_t store;   /* one of those below                                */
    size_t offset_bytes;      /* of its field in the group's target                */
    int64_t low, high;        /* lspo_arg_u32, _u64: allowed range, inclusive      */
    lspo_unit_t unit;         /* lspo_arg_quantity                                 */
    const char *const *names; /* lspo_arg_choice: NULL-terminated                  */
    const void *context;      /* of the store function                             */
};

typedef struct {
    const char *title; /* in help */
    const lspo_arg_t *args;
    size_t count;
    /* In place of `args`: options that are made from another table.  False behind the last. */
    bool (*at)(size_t index, lspo_arg_t *arg_out);
    const char *note; /* with `at`: what help says in place of the options */
} lspo_arg_group_t;

#define LSPO_ARG_GROUP(title, args)                                                                                    \
    {                                                                                                                  \
        title, args, sizeof(args) / sizeof(args)[0], NULL, NULL                                                        \
    }

lspo_status_t lspo_arg_switch(const lspo_arg_t *, const char *, const char *, void *slot);   /* bool           */
lspo_status_t lspo_arg_on_off(const lspo_arg_t *, const char *, const char *, void *slot);   /* bool           */
lspo_status_t lspo_arg_text(const lspo_arg_t *, const char *, const char *, void *slot);     /* const char *: argv's */
lspo_status_t lspo_arg_u32(const lspo_arg_t *, const char *, const char *, void *slot);      /* uint32_t       */
lspo_status_t lspo_arg_u64(const lspo_arg_t *, const char *, const char *, void *slot);      /* uint64_t       */
lspo_status_t lspo_arg_bytes(const lspo_arg_t *, const char *, const char *, void *slot);    /* uint64_t, > 0  */
lspo_status_t lspo_arg_quantity(const lspo_arg_t *, const char *, const char *, void *slot); /* double, > 0    */
lspo_status_t lspo_arg_choice(const lspo_arg_t *, const char *, const char *, void *slot);   /* int: index     */

/* The row `--format` of a command's options; `what` it writes is a literal, the slot an int. */
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

/* Parse argv[1..argc) into the struct at `target`.  `groups` ends with NULL.  An unknown option is LSPO_ERR_INPUT and
 * names the nearest one. */
lspo_status_t lspo_args_parse(int argc, char **argv, const lspo_arg_group_t *const *groups, void *target,
                              lspo_positionals_t *positionals_out);

/* The option with that index; false behind the last. */
bool lspo_arg_group_at(const lspo_arg_group_t *group, size_t index, lspo_arg_t *arg_out);
/* The option of these groups whose name is the first `length` characters of `name`; false: there is none. */
bool lspo_args_find(const lspo_arg_group_t *const *groups, const char *name, size_t length, lspo_arg_t *arg_out);

#endif
