/* help.c - see help.h. */
#include "cli/help.h"

#include <string.h>

#include "base/wrap.h"

enum { WIDTH_PIPED = 80, WIDTH_MOST = 100, OPTION_COLUMN = 28, NAME_COLUMN = 14 };

size_t lspo_help_width(FILE *file)
{
    size_t width = lspo_terminal_width(file);
    return width == 0 ? WIDTH_PIPED : width > WIDTH_MOST ? WIDTH_MOST : width;
}

bool lspo_help_has_word(const char *names, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = names; at != NULL && *at != '\0'; at += strcspn(at, " "), at += *at == ' ')
        if (strcspn(at, " ") == length && memcmp(at, name, length) == 0)
            return true;
    return false;
}

void lspo_help_option(const lspo_arg_t *arg, char *text, size_t text_bytes)
{
    char letter[8] = "";
    if (arg->letter != 0)
        snprintf(letter, sizeof letter, "-%c, ", arg->letter);
    snprintf(text, text_bytes, "%s--%s%s%s", letter, arg->name, arg->value != NULL ? " " : "",
             arg->value != NULL ? arg->value : "");
}

static void write_option(const lspo_arg_t *arg, size_t width, FILE *file)
{
    char option[80], left[96];
    lspo_help_option(arg, option, sizeof option);
    snprintf(left, sizeof left, "  %s", option);
    lspo_wrap_item(file, left, arg->help, OPTION_COLUMN, width);
}

/* In the order in which `names` has them. */
static void write_common(const lspo_command_t *command, size_t width, FILE *file)
{
    if (command->common == NULL)
        return;
    fputs("\nmost used:\n", file);
    for (const char *name = command->common; *name != '\0'; name += strcspn(name, " "), name += *name == ' ') {
        lspo_arg_t arg;
        if (lspo_args_find(command->groups, name, strcspn(name, " "), &arg))
            write_option(&arg, width, file);
    }
}

/* The options that are not among the most used. */
static void write_group(const lspo_command_t *command, const lspo_arg_group_t *group, size_t width, FILE *file)
{
    bool titled = false;
    lspo_arg_t arg;
    if (group->note != NULL) {
        fprintf(file, "\n%s:\n", group->title);
        lspo_wrap_item(file, "", group->note, 2, width);
        return;
    }
    for (size_t i = 0; lspo_arg_group_at(group, i, &arg); i++) {
        if (lspo_help_has_word(command->common, arg.name))
            continue;
        if (!titled)
            fprintf(file, "\n%s:\n", group->title);
        titled = true;
        write_option(&arg, width, file);
    }
}

static void write_names(const lspo_command_t *const *commands, size_t width, FILE *file)
{
    char left[64];
    for (; *commands != NULL; commands++) {
        const char *blank = strrchr((*commands)->name, ' ');
        snprintf(left, sizeof left, "  %s", blank != NULL ? blank + 1 : (*commands)->name);
        lspo_wrap_item(file, left, (*commands)->summary, NAME_COLUMN, width);
    }
}

static void write_examples(const char *examples, FILE *file)
{
    const char *end;
    fputs("\nexamples:\n", file);
    for (; *examples != '\0'; examples = end + (*end == '\n')) {
        end = strchrnul(examples, '\n');
        fprintf(file, "  %.*s\n", (int)(end - examples), examples);
    }
}

void lspo_help_write(const lspo_command_t *command, bool all, FILE *file)
{
    size_t width = lspo_help_width(file);
    fprintf(file, "usage: lspo %s %s\n\n", command->name, command->usage);
    lspo_wrap_text(file, command->about, width);
    if (command->examples != NULL)
        write_examples(command->examples, file);
    if (command->subcommands != NULL) {
        fputs("\ncommands:\n", file);
        write_names(command->subcommands, width, file);
        fprintf(file, "\n`lspo %s COMMAND --help` has the options and examples of each.\n", command->name);
    }
    write_common(command, width, file);
    if (!all && command->subcommands == NULL) {
        fprintf(file, "\n`lspo %s --help` has all options.\n", command->name);
        return;
    }
    for (size_t i = 0; command->groups != NULL && command->groups[i] != NULL; i++)
        write_group(command, command->groups[i], width, file);
    if (command->details != NULL) {
        fputc('\n', file);
        lspo_wrap_text(file, command->details, width);
    }
    if (command->write_more != NULL) {
        fputc('\n', file);
        command->write_more(file);
    }
}

void lspo_help_write_overview(FILE *file)
{
    char left[64];
    size_t width = lspo_help_width(file);
    fputs("usage: lspo COMMAND [options]\n\n", file);
    lspo_wrap_text(file,
                   "How fast can I fine-tune this language model on this machine, by which schedule, and is that "
                   "prediction true?",
                   width);
    write_examples("lspo choose --model llama-7b --machine rtx4090\n"
                   "lspo run --model gpt-tiny --policy zero --link 500MB/s\n"
                   "lspo train --model ./gpt2 --data notes.txt --output run1 --export tuned",
                   file);
    fputs("\ncommands:\n", file);
    write_names(lspo_commands, width, file);
    fputs("\nsubjects of `lspo help`:\n", file);
    for (const lspo_topic_t *topic = lspo_topics; topic->name != NULL; topic++) {
        snprintf(left, sizeof left, "  %s", topic->name);
        lspo_wrap_item(file, left, topic->summary, NAME_COLUMN, width);
    }
    fputc('\n', file);
    lspo_wrap_text(
        file,
        "`lspo help COMMAND` has the options and examples of a command, `lspo help POLICY` those of a policy.\n"
        "Results go to stdout, messages to stderr. NO_COLOR=1 keeps tables plain.",
        width);
}

void lspo_help_write_topic(const lspo_topic_t *topic, FILE *file)
{
    if (topic->text != NULL)
        lspo_wrap_text(file, topic->text, lspo_help_width(file));
    else
        topic->write(file);
}
