/* presets.h - the INI files of machines/ and models/, compiled in.
 *
 * plan/presets.awk writes the table from the files that machines/local.am and models/local.am list; a folder's presets
 * are in the order of that list.  The reader of users' files parses the texts, so both have the same format.
 */
#ifndef LSPO_PLAN_PRESETS_H
#define LSPO_PLAN_PRESETS_H

#include <stdint.h>

typedef struct {
    const char *folder; /* "machines", "machines/cards", "machines/hosts", "models" */
    const char *name;   /* of the file, without ".ini"                              */
    const char *path;   /* of the file in the sources, for messages         */
    const char *text;   /* of the whole file                                */
} lspo_preset_t;

/* Written by plan/presets.awk; ends at folder NULL. */
extern const lspo_preset_t lspo_presets[];

uint32_t lspo_preset_count(const char *folder);

/* index < lspo_preset_count(folder) */
const lspo_preset_t *lspo_preset_at(const char *folder, uint32_t index);

/* NULL if the folder has none of that name. */
const lspo_preset_t *lspo_preset_find(const char *folder, const char *name);

enum { LSPO_PRESETS_MAX = 128 };

/* The names of a folder's presets, for messages; returns their number, at most LSPO_PRESETS_MAX. */
uint32_t lspo_preset_names(const char *folder, const char *names[LSPO_PRESETS_MAX]);

#endif
