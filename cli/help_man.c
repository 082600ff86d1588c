/* help_man.c - man pages, in the macros of man(7); see help.h. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "cli/help.h"

/* `length` characters of text escaped for groff. */
static void write_escaped(FILE *file, const char *text, size_t length)
{
    if (length > 0 && (text[0] == '.' || text[0] == '\''))
        fputs("\\&", file);
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '-')
            fputs("\\-", file);
        else if (text[i] == '\\')
            fputs("\\e", file);
        else
            fputc(text[i], file);
    }
}

void lspo_help_man_line(FILE *file, const char *text)
{
    write_escaped(file, text, strlen(text));
    fputc('\n', file);
}

/* Paragraphs as in command.h; lines that begin with a blank are kept as they are. */
static void write_text(FILE *file, const char *text)
{
    bool kept = false;
    for (const char *end; *text != '\0'; text = end + (*end == '\n')) {
        end = strchrnul(text, '\n');
        bool keep = text[0] == ' ';
        if (keep != kept)
            fputs(keep ? ".PP\n.nf\n" : ".fi\n", file);
        kept = keep;
        if (end == text)
            fputs(".PP\n", file);
        else
            write_escaped(file, text, (size_t)(end - text)), fputc('\n', file);
        if (!keep && end > text && end[0] == '\n' && end[1] != '\n' && end[1] != ' ')
            fputs(".br\n", file);
    }
    if (kept)
        fputs(".fi\n", file);
}

static void write_lines(FILE *file, const char *text)
{
    fputs(".nf\n", file);
    for (const char *end; *text != '\0'; text = end + (*end == '\n')) {
        end = strchrnul(text, '\n');
        write_escaped(file, text, (size_t)(end - text));
        fputc('\n', file);
    }
    fputs(".fi\n", file);
}

void lspo_help_man_item(FILE *file, const char *left, const char *text)
{
    fputs(".TP\n.B ", file);
    lspo_help_man_line(file, left);
    lspo_help_man_line(file, text);
}

void lspo_help_man_head(const char *name, const char *summary, FILE *file)
{
    fputs(".TH LSPO", file);
    if (name[0] != '\0')
        fputc('-', file);
    for (const char *c = name; *c != '\0'; c++)
        fputc(*c == ' ' ? '-' : toupper((unsigned char)*c), file);
    fprintf(file, " 1 \"\" \"lspo %s\" \"User Commands\"\n.SH NAME\nlspo", PACKAGE_VERSION);
    for (const char *c = name; *c != '\0'; c++)
        fprintf(file, "%s%s", c == name ? "\\-" : "", *c == ' ' ? "\\-" : (char[]){*c, '\0'});
    fputs(" \\- ", file);
    lspo_help_man_line(file, summary);
}

static void write_options(const lspo_command_t *command, FILE *file)
{
    char option[80];
    lspo_arg_t arg;
    if (command->groups != NULL)
        fputs(".SH OPTIONS\n", file);
    for (size_t g = 0; command->groups != NULL && command->groups[g] != NULL; g++) {
        fputs(".SS ", file);
        lspo_help_man_line(file, command->groups[g]->title);
        if (command->groups[g]->note != NULL) {
            lspo_help_man_line(file, command->groups[g]->note);
            continue;
        }
        for (size_t i = 0; lspo_arg_group_at(command->groups[g], i, &arg); i++) {
            lspo_help_option(&arg, option, sizeof option);
            lspo_help_man_item(file, option, arg.help);
        }
    }
}

/* The output of `write`, which is formatted for the terminal. */
static void write_captured(FILE *file, void (*write)(FILE *file))
{
    char *text = NULL;
    size_t length;
    FILE *memory = open_memstream(&text, &length);
    if (memory == NULL)
        return;
    write(memory);
    if (fclose(memory) == 0)
        write_lines(file, text);
    free(text);
}

static void write_details(const lspo_command_t *command, FILE *file)
{
    if (command->details != NULL || command->write_more != NULL)
        fputs(".SH DETAILS\n", file);
    if (command->details != NULL)
        write_text(file, command->details);
    if (command->write_more != NULL)
        write_captured(file, command->write_more);
}

static void write_names(const lspo_command_t *const *commands, FILE *file)
{
    fputs(".SH COMMANDS\n", file);
    for (; *commands != NULL; commands++)
        lspo_help_man_item(file, (*commands)->name, (*commands)->summary);
}

static void write_exit_status(FILE *file)
{
    char left[16];
    fputs(".SH EXIT STATUS\n", file);
    for (const lspo_exit_code_t *code = lspo_exit_codes; code->meaning != NULL; code++) {
        snprintf(left, sizeof left, "%d", code->code);
        lspo_help_man_item(file, left, code->meaning);
    }
}

static void write_overview(FILE *file)
{
    lspo_help_man_head("", "predict and measure the fine-tuning of language models on small GPUs", file);
    fputs(".SH SYNOPSIS\n.B lspo\n.I COMMAND\n[options]\n.SH DESCRIPTION\n", file);
    write_text(file,
               "How fast can I fine-tune this language model on this machine, by which schedule, and is that "
               "prediction true? Results go to stdout, messages to stderr; NO_COLOR=1 keeps tables plain. Each "
               "command has a page of its own, lspo-COMMAND(1), and each policy has one, lspo-POLICY(1); `lspo help "
               "COMMAND` and `lspo help POLICY` say the same.");
    write_names(lspo_commands, file);
    for (const lspo_topic_t *topic = lspo_topics; topic->name != NULL; topic++) {
        if (strcmp(topic->name, "exit-codes") == 0) /* EXIT STATUS below */
            continue;
        fputs(".SH ", file);
        for (const char *c = topic->name; *c != '\0'; c++)
            fputc(toupper((unsigned char)*c), file);
        fputc('\n', file);
        if (topic->text != NULL)
            write_text(file, topic->text);
        else
            write_captured(file, topic->write);
    }
    write_exit_status(file);
}

void lspo_help_write_man(const lspo_command_t *command, FILE *file)
{
    if (command == NULL) {
        write_overview(file);
        return;
    }
    lspo_help_man_head(command->name, command->summary, file);
    fputs(".SH SYNOPSIS\n.B lspo ", file);
    lspo_help_man_line(file, command->name);
    lspo_help_man_line(file, command->usage);
    fputs(".SH DESCRIPTION\n", file);
    write_text(file, command->about);
    if (command->examples != NULL) {
        fputs(".SH EXAMPLES\n", file);
        write_lines(file, command->examples);
    }
    if (command->subcommands != NULL)
        write_names(command->subcommands, file);
    write_options(command, file);
    write_details(command, file);
    write_exit_status(file);
    fputs(".SH SEE ALSO\n.BR lspo (1)\n", file);
}
