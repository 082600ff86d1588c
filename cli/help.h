/* help.h - write --help, `lspo help` and the man pages from the tables of command.h. */
#ifndef LSPO_CLI_HELP_H
#define LSPO_CLI_HELP_H

#include <stdbool.h>
#include <stdio.h>

#include "cli/command.h"
#include "plan/policy.h"

/* A subject of `lspo help` that is not a command. */
typedef struct {
    const char *name, *summary;
    const char *text;          /* like texts of command.h; NULL: */
    void (*write)(FILE *file); /* writes lines that fit 80 columns */
} lspo_topic_t;

/* Ends with a NULL name. */
extern const lspo_topic_t lspo_topics[];

/* The commands, some examples, the topics. */
void lspo_help_write_overview(FILE *file);

/* Usage, examples and the most used options, which fit on a screen; with `all` also every other option. */
void lspo_help_write(const lspo_command_t *command, bool all, FILE *file);

void lspo_help_write_topic(const lspo_topic_t *topic, FILE *file);

/* The man page lspo-COMMAND(1) in groff's man macros; lspo(1) if `command` is NULL. */
void lspo_help_write_man(const lspo_command_t *command, FILE *file);

/* A policy: semantics, citation, an example, its own options.  On screen and as a man page. */
void lspo_help_write_policy(const lspo_policy_t *policy, FILE *file);
void lspo_help_write_policy_man(const lspo_policy_t *policy, FILE *file);

/* Width of help texts in columns. */
size_t lspo_help_width(FILE *file);
/* Pieces of man pages: the head of lspo-NAME(1), an item, a line. */
void lspo_help_man_head(const char *name, const char *summary, FILE *file);
void lspo_help_man_item(FILE *file, const char *left, const char *text);
void lspo_help_man_line(FILE *file, const char *text);

/* Write the completions of the last of `words`, which begin with the command: one line "WORD<tab>description" per word,
 * and ":files" if file names are possible. */
void lspo_complete(int count, char **words, FILE *file);

/* Is `name` one of `names`, which are separated by blanks? */
bool lspo_help_has_word(const char *names, const char *name);

/* "-o, --output FILE" */
void lspo_help_option(const lspo_arg_t *arg, char *text, size_t text_bytes);

#endif
