/* help.h - what --help, `lspo help` and the man pages say: all of it is written from the tables of command.h. */
#ifndef LSPO_CLI_HELP_H
#define LSPO_CLI_HELP_H

#include <stdbool.h>
#include <stdio.h>

#include "cli/command.h"
#include "plan/policy.h"

/* A subject of `lspo help` that is no command. */
typedef struct {
    const char *name, *summary;
    const char *text;          /* as texts of command.h; NULL: */
    void (*write)(FILE *file); /* writes lines that fit 80 columns */
} lspo_topic_t;

/* Ends with a NULL name. */
extern const lspo_topic_t lspo_topics[];

/* The commands, some examples, the topics. */
void lspo_help_write_overview(FILE *file);

/* Usage, examples and the commonest options, which fit a screen; with `all` every option, too. */
void lspo_help_write(const lspo_command_t *command, bool all, FILE *file);

void lspo_help_write_topic(const lspo_topic_t *topic, FILE *file);

/* The man page lspo-COMMAND(1) as groff's man macros; of lspo(1) when `command` is NULL. */
void lspo_help_write_man(const lspo_command_t *command, FILE *file);

/* A policy: semantics, citation, an example, its own options.  On screen and as a man page. */
void lspo_help_write_policy(const lspo_policy_t *policy, FILE *file);
void lspo_help_write_policy_man(const lspo_policy_t *policy, FILE *file);

/* Columns that help may take. */
size_t lspo_help_width(FILE *file);
/* Pieces of man pages: the head of lspo-NAME(1), an item, a line. */
void lspo_help_man_head(const char *name, const char *summary, FILE *file);
void lspo_help_man_item(FILE *file, const char *left, const char *text);
void lspo_help_man_line(FILE *file, const char *text);

/* What may stand in place of the last of `words`, behind those before it: a line "WORD<tab>description" each, and
 * ":files" where files may.  `words` begins with the command. */
void lspo_complete(int count, char **words, FILE *file);

/* Does `name` stand in `names`, separated by blanks? */
bool lspo_help_has_word(const char *names, const char *name);

/* "-o, --output FILE" */
void lspo_help_option(const lspo_arg_t *arg, char *text, size_t text_bytes);

#endif
