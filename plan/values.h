/* values.h - the values of the policies' own parameters: a small block of fixed size in every workload, in which each
 * policy's struct has a place of its own.  Policies with one table share it.  The places follow the table of policies
 * (plan/policies.c); what is in them is said by the policies' tables (plan/parameter.h). */
#ifndef LSPO_PLAN_VALUES_H
#define LSPO_PLAN_VALUES_H

#include <stdalign.h>

enum { LSPO_VALUES_BYTES = 1024 };

typedef struct {
    alignas(8) unsigned char bytes[LSPO_VALUES_BYTES];
} lspo_values_t;

#endif
