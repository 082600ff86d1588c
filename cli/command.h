/* command.h - the subcommands: each is given its own argv (argv[0] is its name) and returns a status, from which main()
 * makes the exit code.  Results go to stdout, everything else to stderr. */
#ifndef LSPO_CLI_COMMAND_H
#define LSPO_CLI_COMMAND_H

#include "plan/status.h"

lspo_status_t lspo_command_list(int argc, char **argv);
lspo_status_t lspo_command_show(int argc, char **argv);
lspo_status_t lspo_command_choose(int argc, char **argv);
lspo_status_t lspo_command_sim(int argc, char **argv);
lspo_status_t lspo_command_run(int argc, char **argv);
lspo_status_t lspo_command_train(int argc, char **argv);
lspo_status_t lspo_command_join(int argc, char **argv);
lspo_status_t lspo_command_fit(int argc, char **argv);
lspo_status_t lspo_command_calibrate(int argc, char **argv);
lspo_status_t lspo_command_validate(int argc, char **argv);
lspo_status_t lspo_command_compare(int argc, char **argv);
lspo_status_t lspo_command_trace(int argc, char **argv);

/* `lspo list WHAT`: models, machines, policies or devices; `format` as lspo_format_resolve() takes it. */
lspo_status_t lspo_list_write(const char *what, int format);

#endif
