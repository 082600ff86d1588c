/* request_line.h - read a request from a command line. */
#ifndef LSPO_CLI_REQUEST_LINE_H
#define LSPO_CLI_REQUEST_LINE_H

#include "ask/request.h"
#include "base/status.h"
#include "cli/command.h"

/* Parse argv with the options of `command` into `request`, as lspo_request_read() does.  `request` is the first field
 * of the command's target struct. */
lspo_status_t lspo_request_parse(const lspo_command_t *command, int argc, char **argv, lspo_precision_t precision,
                                 lspo_request_t *request);

#endif
