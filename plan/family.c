/* family.c - the table of families. */
#include "plan/family.h"

static const lspo_family_row_t *const rows[] = {
#define ROW(id, name) [LSPO_FAMILY_##id] = &lspo_family_##name,
    LSPO_FAMILIES(ROW)
#undef ROW
};

const char *const lspo_family_names[LSPO_FAMILY_COUNT + 1] = {
#define NAME(id, name) [LSPO_FAMILY_##id] = #name,
    LSPO_FAMILIES(NAME)
#undef NAME
};

const lspo_family_row_t *lspo_family_row(lspo_family_t family)
{
    return rows[family];
}

const char *lspo_family_name(lspo_family_t family)
{
    return (unsigned)family < LSPO_FAMILY_COUNT ? lspo_family_names[family] : "?";
}
