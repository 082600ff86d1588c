/* command_line.h - write the command for one policy and batch, with the flags that the user gave to `lspo choose` or
 * `lspo tune`. */
#ifndef LSPO_CLI_COMMAND_LINE_H
#define LSPO_CLI_COMMAND_LINE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ask/args.h"
#include "base/status.h"
#include "plan/machine.h"
#include "plan/policy.h"

enum { LSPO_COMMAND_LINE_BYTES = 4096 };

/* The word as a shell reads it: in single quotes if it is not plain.  Returns `buffer`, cut off at `capacity`. */
const char *lspo_shell_word(const char *word, char *buffer, size_t capacity);

/* The arguments of the command; argv[0] is its name. */
typedef struct {
    int argc;
    char **argv;
    const lspo_arg_group_t *own; /* options that only this command has, besides --model and --machine */
    const char *device;          /* of run: lspo_command_line_device() */
} lspo_command_line_t;

/* The device on which a run can measure what is predicted for the machine: "host" or "cuda". */
const char *lspo_command_line_device(const lspo_machine_t *machine);

/* "on a GPU", or "here" on the host.  NULL: no run can measure it, because the host computes in fp32 only. */
const char *lspo_command_line_place(const lspo_machine_t *machine, const lspo_workload_t *workload);
/* Print, for people, what to ask for instead. */
void lspo_command_line_say_fp32(FILE *file);

/* Is the option, without its dashes, among the arguments? */
bool lspo_command_line_has(const lspo_command_line_t *line, const char *name);

/* Write "lspo COMMAND", those of the user's flags that the command and the policy accept, "--policy" and "--batch",
 * quoted for a shell.  `command` is sim, or run, which gets --device and no --machine.  LSPO_ERR_INPUT if it needs
 * more than `capacity` bytes. */
lspo_status_t lspo_command_line_write(const lspo_command_line_t *line, const char *command, const lspo_policy_t *policy,
                                      uint32_t batch, char *text_out, size_t capacity);

#endif
