/* policies.c - find policies by name, and derive properties from a policy's tables and values; see policy.h. */
#include "plan/policies.h"

#include <string.h>

#include "base/names.h"

lspo_status_t lspo_policy_find(const char *name, const lspo_policy_t **policy_out)
{
    enum { NAMES_MAX = 128 };
    const char *names[NAMES_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < lspo_policy_count() && count < NAMES_MAX; i++) {
        names[count++] = lspo_policy_at(i)->name;
        if (strcmp(lspo_policy_at(i)->name, name) == 0) {
            *policy_out = lspo_policy_at(i);
            return LSPO_OK;
        }
    }
    return lspo_name_refuse("policy", name, names, count, NULL);
}
