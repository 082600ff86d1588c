/* asked.c - see asked.h. */
#include "cli/asked.h"

#include <stdio.h>
#include <string.h>

#include "ask/request.h"
#include "cli/command.h"
#include "cli/request_line.h"

lspo_status_t lspo_asked_read(int argc, char **argv, bool any_task, lspo_machine_t *machine, lspo_asked_t *asked_out)
{
    static const lspo_arg_group_t *const groups[] = {&lspo_plan_group,      &lspo_workload_group, &lspo_policy_group,
                                                     &lspo_framework_group, &lspo_override_group, NULL};
    static const lspo_command_t command = {.name = "sim", .usage = "[options]", .groups = groups};
    lspo_request_t request = {.any_task = any_task, .task = -1};
    lspo_status_t status = lspo_request_parse(&command, argc, argv, LSPO_PRECISION_COUNT, &request);
    if (status != LSPO_OK)
        return status;
    if (machine != NULL)
        status = lspo_request_use_machine(&request, machine);
    if (status != LSPO_OK)
        return status;
    *asked_out = (lspo_asked_t){request.model, request.policy, request.workload};
    return LSPO_OK;
}

lspo_status_t lspo_asked_read_text(const char *flags, lspo_machine_t *machine, lspo_asked_t *asked_out)
{
    enum { FLAGS_BYTES = 1024, WORDS_MAX = 128 };
    char words[FLAGS_BYTES], *argv[WORDS_MAX] = {"run"}, *rest;
    int argc = 1;
    snprintf(words, sizeof words, "%s", flags);
    for (char *word = strtok_r(words, " ", &rest); word != NULL && argc < WORDS_MAX; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    return lspo_asked_read(argc, argv, true, machine, asked_out);
}
