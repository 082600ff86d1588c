/* Command lines of all commands: one argument per line, the command's name first. */
#include "ask/args.h"

#include <stdlib.h>
#include <string.h>

#include "ask/request.h"
#include "cli/command.h"
#include "tests/fuzz/fuzz.h"

enum { ARGUMENTS_MAX = 64, TARGET_BYTES = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static union {
        max_align_t align;
        char bytes[TARGET_BYTES]; /* more than any command's own record */
    } target;
    char *text = malloc(size + 1), *argv[ARGUMENTS_MAX + 1], *rest = text;
    int argc = 0, depth = 0;
    const lspo_command_t *command;
    lspo_positionals_t positionals;
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    while (argc < ARGUMENTS_MAX && rest)
        argv[argc++] = strsep(&rest, "\n");
    argv[argc] = NULL;
    if (lspo_command_find(argc, argv, &command, &depth) == LSPO_OK && command->groups) {
        memset(&target, 0, sizeof target);
        lspo_command_parse(command, argc - depth + 1, argv + depth - 1, &target, &positionals);
    }
    free(text);
    return 0;
}
