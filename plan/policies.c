/* policies.c - find policies by name, and derive properties from a policy's tables and values; see policy.h. */
#include "plan/policies.h"

#include <string.h>

#include "base/names.h"

const char *const lspo_task_names[] = {"train", "generate", NULL};

const lspo_policy_t *lspo_policy_baseline(lspo_task_t task)
{
    return task == LSPO_TASK_TRAIN ? lspo_policy_at(0) : lspo_generation_policy_at(0);
}

uint32_t lspo_any_policy_count(void)
{
    return lspo_policy_count() + lspo_generation_policy_count();
}

const lspo_policy_t *lspo_any_policy_at(uint32_t index)
{
    return index < lspo_policy_count() ? lspo_policy_at(index) : lspo_generation_policy_at(index - lspo_policy_count());
}

static lspo_status_t find(const char *name, uint32_t policies, const lspo_policy_t **policy_out)
{
    enum { NAMES_MAX = 128 };
    const char *names[NAMES_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < policies && count < NAMES_MAX; i++) {
        names[count++] = lspo_any_policy_at(i)->name;
        if (strcmp(lspo_any_policy_at(i)->name, name) == 0) {
            *policy_out = lspo_any_policy_at(i);
            return LSPO_OK;
        }
    }
    return lspo_name_refuse("policy", name, names, count, NULL);
}

lspo_status_t lspo_policy_find(const char *name, const lspo_policy_t **policy_out)
{
    return find(name, lspo_policy_count(), policy_out);
}

lspo_status_t lspo_policy_find_any(const char *name, const lspo_policy_t **policy_out)
{
    return find(name, lspo_any_policy_count(), policy_out);
}
