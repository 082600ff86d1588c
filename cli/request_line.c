/* request_line.c - see request_line.h. */
#include "cli/request_line.h"

typedef struct {
    const lspo_command_t *command;
    int argc;
    char **argv;
} line_t;

static lspo_status_t read_line(void *context, lspo_request_t *request)
{
    const line_t *line = context;
    lspo_positionals_t positionals;
    lspo_status_t status = lspo_command_parse(line->command, line->argc, line->argv, request, &positionals);
    if (status == LSPO_OK && request->model_name == NULL)
        return lspo_error(LSPO_ERR_INPUT, "--model is required; usage: lspo %s %s", line->command->name,
                          line->command->usage);
    return status;
}

lspo_status_t lspo_request_parse(const lspo_command_t *command, int argc, char **argv, lspo_precision_t precision,
                                 lspo_request_t *request)
{
    line_t line = {command, argc, argv};
    lspo_status_t status = lspo_request_read(read_line, &line, precision, request);
    return status == LSPO_OK ? lspo_request_check_task(request) : status;
}
