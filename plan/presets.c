/* presets.c - see presets.h. */
#include "plan/presets.h"

#include <stddef.h>
#include <string.h>

/* The next preset of the folder from `preset` on, or the end of the table. */
static const lspo_preset_t *next_in(const char *folder, const lspo_preset_t *preset)
{
    while (preset->folder != NULL && strcmp(preset->folder, folder) != 0)
        preset++;
    return preset;
}

uint32_t lspo_preset_count(const char *folder)
{
    uint32_t count = 0;
    for (const lspo_preset_t *it = next_in(folder, lspo_presets); it->folder != NULL; it = next_in(folder, it + 1))
        count++;
    return count;
}

const lspo_preset_t *lspo_preset_at(const char *folder, uint32_t index)
{
    const lspo_preset_t *it = next_in(folder, lspo_presets);
    for (uint32_t i = 0; i < index; i++)
        it = next_in(folder, it + 1);
    return it;
}

const lspo_preset_t *lspo_preset_find(const char *folder, const char *name)
{
    for (const lspo_preset_t *it = next_in(folder, lspo_presets); it->folder != NULL; it = next_in(folder, it + 1)) {
        if (strcmp(it->name, name) == 0)
            return it;
    }
    return NULL;
}

uint32_t lspo_preset_names(const char *folder, const char *names[LSPO_PRESETS_MAX])
{
    uint32_t count = 0;
    for (const lspo_preset_t *it = next_in(folder, lspo_presets); it->folder != NULL && count < LSPO_PRESETS_MAX;
         it = next_in(folder, it + 1)) {
        names[count++] = it->name;
    }
    return count;
}
