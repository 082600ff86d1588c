/* policy_flags.h - the flags of the policies' own parameters, made from the policies' tables (plan/parameter.h).
 *
 * A command with lspo_policy_group among its options accepts all of them and keeps them until the policy is known.
 * Then a flag of another policy is refused, or ignored if there are many policies (`lspo choose`, grids). */
#ifndef LSPO_ASK_POLICY_FLAGS_H
#define LSPO_ASK_POLICY_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ask/args.h"
#include "plan/policy.h"

enum { LSPO_GIVEN_MAX = 128 };

/* The given flags, each parameter once; if a flag is given twice, the last one counts. */
typedef struct {
    struct {
        const lspo_parameter_t *parameter;
        const char *text; /* argv's */
    } flags[LSPO_GIVEN_MAX];
    uint32_t count;
} lspo_given_t;

/* Stored in lspo_request_t.given (ask/request.h). */
extern const lspo_arg_group_t lspo_policy_group;

/* The option of a parameter, for help and completion; *arg_out points into `parameter`. */
void lspo_policy_arg(const lspo_parameter_t *parameter, lspo_arg_t *arg_out);
/* Help of a parameter with its default: "rank of ... (16)". */
void lspo_policy_flag_help(const lspo_parameter_t *parameter, char *text, size_t capacity);

/* Set the given values of parameters that `policy` has. */
lspo_status_t lspo_given_apply(const lspo_given_t *given, const lspo_policy_t *policy, lspo_workload_t *workload);
/* Refuse what none of the policies has that are `compared`; `whose` says which these are, for the message. */
lspo_status_t lspo_given_check_some(const lspo_given_t *given,
                                    bool (*compared)(const void *context, const lspo_policy_t *policy),
                                    const void *context, const char *whose);
/* Refuse what neither `policy` nor `also` (or NULL) has: the message says whose flag it is. */
lspo_status_t lspo_given_check(const lspo_given_t *given, const lspo_policy_t *policy, const lspo_policy_t *also);

#endif
