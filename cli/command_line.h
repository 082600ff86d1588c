/* command_line.h - the command that does one thing of what the user asked for: their own flags, with a policy and a
 * batch. */
#ifndef LSPO_CLI_COMMAND_LINE_H
#define LSPO_CLI_COMMAND_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/policy.h"

enum { LSPO_COMMAND_LINE_BYTES = 4096 };

/* As `lspo choose` was given: argv[0] is its name. */
typedef struct {
    int argc;
    char **argv;
} lspo_command_line_t;

/* "lspo COMMAND", those of the user's flags that command and policy know, "--policy" and "--batch"; quoted for a shell.
 * `command` is sim, or run, which is on the device cuda and has no --machine.  LSPO_ERR_INPUT when it takes more than
 * `capacity`. */
lspo_status_t lspo_command_line_write(const lspo_command_line_t *line, const char *command, const lspo_policy_t *policy,
                                      uint32_t batch, char *text_out, size_t capacity);

#endif
