/* values.h - the values of the policies' own parameters: a small block of fixed size in every workload, in which the
 * struct of each policy has its place.  Policies with the same table share a place.  The places follow the table of
 * policies (plan/policy_table.c); the policies' tables describe their contents (plan/parameter.h). */
#ifndef LSPO_PLAN_VALUES_H
#define LSPO_PLAN_VALUES_H

#include <stdalign.h>

enum { LSPO_VALUES_BYTES = 1024 };

/* For the struct of a policy's values, which is stored in the bytes below: tells the compiler that it may alias these
 * bytes, so that a copy of the workload has what was written through the struct. */
#define LSPO_VALUES_BLOCK __attribute__((may_alias))

typedef struct {
    alignas(8) unsigned char bytes[LSPO_VALUES_BYTES];
} lspo_values_t;

#endif
