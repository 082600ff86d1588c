/* command_line.c - write the command for one policy and batch; see command_line.h. */
#include "cli/command_line.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ask/policy_flags.h"

typedef struct {
    char *text;
    size_t used, capacity; /* used >= capacity: too long */
} writer_t;

static void put(writer_t *writer, const char *bytes, size_t count)
{
    if (writer->used + count < writer->capacity)
        memcpy(writer->text + writer->used, bytes, count);
    writer->used += count;
}

/* Append a word; in single quotes if a shell would not take it as one plain word. */
static void put_quoted(writer_t *writer, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=,+%@-";
    if (word[0] != '\0' && word[strspn(word, plain)] == '\0') {
        put(writer, word, strlen(word));
        return;
    }
    put(writer, "'", 1);
    for (const char *at = word; *at != '\0'; at++)
        *at == '\'' ? put(writer, "'\\''", 4) : put(writer, at, 1);
    put(writer, "'", 1);
}

static void put_word(writer_t *writer, const char *word)
{
    if (writer->used > 0)
        put(writer, " ", 1);
    put_quoted(writer, word);
}

const char *lspo_shell_word(const char *word, char *buffer, size_t capacity)
{
    writer_t writer = {buffer, 0, capacity};
    put_quoted(&writer, word);
    buffer[writer.used < capacity ? writer.used : capacity - 1] = '\0';
    return buffer;
}

/* Is it the option, alone or with "=VALUE"? */
static bool is_option(const char *text, const char *name)
{
    size_t length = strlen(name);
    return strncmp(text, "--", 2) == 0 && strncmp(text + 2, name, length) == 0 &&
           (text[2 + length] == '\0' || text[2 + length] == '=');
}

bool lspo_command_line_has(const lspo_command_line_t *line, const char *name)
{
    bool found = false;
    for (int i = 1; i < line->argc && !found; i++)
        found = is_option(line->argv[i], name);
    return found;
}

const char *lspo_command_line_device(const lspo_machine_t *machine)
{
    return lspo_machine_is_host(machine) ? "host" : "cuda";
}

const char *lspo_command_line_place(const lspo_machine_t *machine, const lspo_workload_t *workload)
{
    if (!lspo_machine_is_host(machine))
        return "on a GPU";
    return workload->precision == LSPO_FP32 && workload->transfer == LSPO_FP32 ? "here" : NULL;
}

void lspo_command_line_say_fp32(FILE *file)
{
    fputs("to measure it here, begin with --precision fp32: the host computes in nothing else\n", file);
}

/* 0: keep; else how many words of argv to leave out. */
static int words_left_out(const lspo_command_line_t *line, const char *text, const lspo_policy_t *policy, bool runs)
{
    static const char *const of_machines[] = {"machine", "set"};
    int words = strchr(text, '=') ? 1 : 2;
    for (size_t i = 0; i < line->own->count; i++) {
        const lspo_arg_t *arg = &line->own->args[i];
        if (is_option(text, arg->name) && strcmp(arg->name, "model") != 0 && strcmp(arg->name, "machine") != 0)
            return arg->value != NULL ? words : 1;
    }
    for (size_t i = 0; runs && i < sizeof of_machines / sizeof of_machines[0]; i++)
        if (is_option(text, of_machines[i]))
            return words;
    return is_option(text, "batch") || lspo_policy_flag_is_foreign(policy, text) ? words : 0;
}

lspo_status_t lspo_command_line_write(const lspo_command_line_t *line, const char *command, const lspo_policy_t *policy,
                                      uint32_t batch, char *text_out, size_t capacity)
{
    writer_t writer = {text_out, 0, capacity};
    bool runs = strcmp(command, "run") == 0;
    char number[16];
    snprintf(number, sizeof number, "%u", batch);
    put_word(&writer, "lspo");
    put_word(&writer, command);
    if (runs) {
        put_word(&writer, "--device");
        put_word(&writer, line->device);
    }
    for (int i = 1; i < line->argc;) {
        int left_out = words_left_out(line, line->argv[i], policy, runs);
        if (left_out == 0)
            put_word(&writer, line->argv[i++]);
        i += left_out;
    }
    put_word(&writer, "--policy");
    put_word(&writer, policy->name);
    put_word(&writer, "--batch");
    put_word(&writer, number);
    if (writer.used >= capacity)
        return lspo_error(LSPO_ERR_INPUT, "a command of %zu characters is too long to print", writer.used);
    text_out[writer.used] = '\0';
    return LSPO_OK;
}
