/* values.h - the values of the policies' own parameters: a small block of fixed size in every workload, in which each
 * policy's struct has a place of its own.  Policies with one table share it.  The places follow the table of policies
 * (plan/policy_table.c); what is in them is said by the policies' tables (plan/parameter.h). */
#ifndef LSPO_PLAN_VALUES_H
#define LSPO_PLAN_VALUES_H

#include <stdalign.h>

enum { LSPO_VALUES_BYTES = 1024 };

/* On the struct of a policy's values, which lies in the bytes below: a compiler must not take what is written through
 * it for other memory than the workload that is copied. */
#define LSPO_VALUES_BLOCK __attribute__((may_alias))

typedef struct {
    alignas(8) unsigned char bytes[LSPO_VALUES_BYTES];
} lspo_values_t;

#endif
