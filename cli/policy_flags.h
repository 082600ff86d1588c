/* policy_flags.h - flags of the policies' own parameters, made from the policies' tables (plan/parameter.h).
 *
 * Any of them is accepted where lspo_policy_group is among a command's options, and kept until the policy is known.
 * Then a flag of another policy is refused, or left out where many policies are asked about (`lspo choose`, grids). */
#ifndef LSPO_CLI_POLICY_FLAGS_H
#define LSPO_CLI_POLICY_FLAGS_H

#include <stddef.h>
#include <stdint.h>

#include "cli/args.h"
#include "plan/policy.h"

enum { LSPO_GIVEN_MAX = 128 };

/* What the user gave, each parameter once: of a flag given twice the last counts. */
typedef struct {
    struct {
        const lspo_parameter_t *parameter;
        const char *text; /* argv's */
    } flags[LSPO_GIVEN_MAX];
    uint32_t count;
} lspo_given_t;

/* Stored in lspo_request_t.given (cli/request.h). */
extern const lspo_arg_group_t lspo_policy_group;

/* The option of a parameter, for help and completion; *arg_out points into `parameter`. */
void lspo_policy_arg(const lspo_parameter_t *parameter, lspo_arg_t *arg_out);
/* Help of a parameter with its default: "rank of ... (16)". */
void lspo_policy_flag_help(const lspo_parameter_t *parameter, char *text, size_t capacity);

/* Give `policy` the values that it has a parameter for. */
lspo_status_t lspo_given_apply(const lspo_given_t *given, const lspo_policy_t *policy, lspo_workload_t *workload);
/* Refuse what neither `policy` nor `also` (or NULL) has: the message says whose flag it is. */
lspo_status_t lspo_given_check(const lspo_given_t *given, const lspo_policy_t *policy, const lspo_policy_t *also);

#endif
