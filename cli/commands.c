/* commands.c - the table of subcommands; see command.h. */
#include <string.h>

#include "base/names.h"
#include "cli/command.h"

const lspo_command_t *const lspo_commands[] = {
    &lspo_command_choose,
    &lspo_command_tune,
    &lspo_command_memory,
    &lspo_command_sim,
    &lspo_command_sweep,
    &lspo_command_run,
    &lspo_command_compare,
    &lspo_command_calibrate,
    &lspo_command_validate,
    &lspo_command_report,
    &lspo_command_sql,
    &lspo_command_train,
    &lspo_command_generate,
    &lspo_command_serve,
    &lspo_command_join,
    &lspo_command_fit,
    &lspo_command_list,
    &lspo_command_show,
    &lspo_command_trace,
    &lspo_command_broker,
    &lspo_command_doctor,
    &lspo_command_help,
    &lspo_command_version,
    NULL,
};

/* "import" of "trace import". */
static const char *last_word(const lspo_command_t *command)
{
    const char *blank = strrchr(command->name, ' ');
    return blank != NULL ? blank + 1 : command->name;
}

static lspo_status_t unknown(const char *parent, const char *name, const lspo_command_t *const *commands)
{
    enum { COMMANDS_MAX = 32 };
    const char *names[COMMANDS_MAX];
    char what[64];
    size_t count = 0;
    for (; commands[count] != NULL && count < COMMANDS_MAX; count++)
        names[count] = last_word(commands[count]);
    snprintf(what, sizeof what, "%s%scommand", parent, parent[0] != '\0' ? " " : "");
    return lspo_name_refuse(what, name, names, count, NULL);
}

const lspo_command_t *lspo_command_named(const char *name, const lspo_command_t *const *commands)
{
    for (; *commands != NULL; commands++)
        if (strcmp(last_word(*commands), name) == 0)
            return (*commands)->same_as != NULL ? (*commands)->same_as : *commands;
    return NULL;
}

lspo_status_t lspo_command_find(int argc, char **argv, const lspo_command_t **command_out, int *depth_out)
{
    const lspo_command_t *const *commands = lspo_commands;
    const lspo_command_t *command = NULL;
    int depth = 0;
    while (commands != NULL && depth < argc) {
        const lspo_command_t *next = lspo_command_named(argv[depth], commands);
        if (next == NULL && command != NULL && argv[depth][0] == '-')
            break;
        if (next == NULL) {
            *command_out = command;
            return unknown(command != NULL ? command->name : "", argv[depth], commands);
        }
        command = next;
        commands = command->subcommands;
        depth++;
    }
    *command_out = command;
    *depth_out = depth;
    return LSPO_OK;
}
