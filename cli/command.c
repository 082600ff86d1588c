/* command.c - see command.h. */
#include "cli/command.h"

lspo_status_t lspo_command_parse(const lspo_command_t *command, int argc, char **argv, void *target,
                                 lspo_positionals_t *positionals_out)
{
    lspo_status_t status = lspo_args_parse(argc, argv, command->groups, target, positionals_out);
    if (status != LSPO_OK)
        return status;
    if (positionals_out->count > command->positional_most)
        return lspo_error(LSPO_ERR_INPUT, "unexpected argument '%s'; usage: lspo %s %s",
                          positionals_out->texts[command->positional_most], command->name, command->usage);
    if (positionals_out->count < command->positional_least)
        return lspo_error(LSPO_ERR_INPUT, "an argument is missing; usage: lspo %s %s", command->name, command->usage);
    return LSPO_OK;
}
