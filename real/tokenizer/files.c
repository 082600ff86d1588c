/* files.c - the tokenizer files of a Hugging Face folder; see files.h. */
#include "real/tokenizer/files.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stddef.h>
#include <string.h>

/* What a file means for its folder's tokenizer.  UNREADABLE: a vocabulary, merges or code in an unsupported form. */
typedef enum { NOTHING, COMPANION, SETTINGS, PAIR_VOCABULARY, PAIR_MERGES, UNREADABLE, WHOLE } role_t;

/* Patterns of names; the first match counts.  Those of UNREADABLE are wide, because a tokenizer that is overlooked
 * would silently be replaced by bytes. */
static const struct {
    const char *pattern;
    role_t role;
} names[] = {
    {"tokenizer.json", WHOLE},
    {"vocab.json", PAIR_VOCABULARY},
    {"merges.txt", PAIR_MERGES},
    {"tokenizer_config.json", SETTINGS},
    {"special_tokens_map.json", SETTINGS},
    {"added_tokens.json", SETTINGS},
    {"generation_config.json", COMPANION},
    {"chat_template.jinja", COMPANION},
    {"chat_template.json", COMPANION},
    {"additional_chat_templates", COMPANION},
    {"*.md", NOTHING},
    {"*tokenizer*", UNREADABLE},
    {"*tokenization*", UNREADABLE},
    {"*tekken*", UNREADABLE},
    {"*tiktoken*", UNREADABLE},
    {"*sentencepiece*", UNREADABLE},
    {"*.model", UNREADABLE},
    {"*.model.v[0-9]*", UNREADABLE},
    {"*.spm", UNREADABLE},
    {"*.bpe", UNREADABLE},
    {"*bpe.*", UNREADABLE},
    {"*.codes", UNREADABLE},
    {"*vocab*", UNREADABLE},
    {"*merges*", UNREADABLE},
    {"encoder.json", UNREADABLE},
    {"dict*.txt", UNREADABLE},
};

static role_t role_of(const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (fnmatch(names[i].pattern, name, names[i].role == UNREADABLE ? FNM_CASEFOLD : 0) == 0)
            return names[i].role;
    return NOTHING;
}

bool lspo_tokenizer_is_companion(const char *name)
{
    return role_of(name) != NOTHING;
}

/* The contents of a folder: for each role one name, the first in alphabetical order. */
typedef struct {
    char name[WHOLE + 1][256];
} signs_t;

static lspo_status_t read_signs(const char *folder, signs_t *signs_out)
{
    signs_t signs = {0};
    DIR *list = opendir(folder);
    if (!list)
        return lspo_error(lspo_status_of_errno(errno), "%s: %s", folder, strerror(errno));
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        char *kept = signs.name[role_of(entry->d_name)];
        if (*kept == '\0' || strcmp(entry->d_name, kept) < 0)
            strcpy(kept, entry->d_name);
    }
    closedir(list);
    *signs_out = signs;
    return LSPO_OK;
}

lspo_status_t lspo_tokenizer_find(const char *folder, bool *found_out)
{
    static const char remedy[] =
        "lspo reads tokenizer.json, or vocab.json with merges.txt.  To convert it: "
        "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER), of Python's transformers";
    signs_t signs;
    lspo_status_t status = read_signs(folder, &signs);
    if (status != LSPO_OK)
        return status;
    const bool vocabulary = *signs.name[PAIR_VOCABULARY] != '\0', merges = *signs.name[PAIR_MERGES] != '\0';
    *found_out = *signs.name[WHOLE] != '\0' || (vocabulary && merges);
    if (*found_out)
        return LSPO_OK;
    if (*signs.name[UNREADABLE] != '\0')
        return lspo_error(LSPO_ERR_INPUT, "%s/%s looks like a tokenizer of an unsupported kind; %s", folder,
                          signs.name[UNREADABLE], remedy);
    if (vocabulary || merges)
        return lspo_error(LSPO_ERR_INPUT, "%s has %s but no %s; %s", folder, vocabulary ? "vocab.json" : "merges.txt",
                          vocabulary ? "merges.txt" : "vocab.json", remedy);
    if (*signs.name[SETTINGS] != '\0')
        return lspo_error(LSPO_ERR_INPUT, "%s/%s belongs to a tokenizer whose vocabulary is not in the folder; %s",
                          folder, signs.name[SETTINGS], remedy);
    return LSPO_OK;
}
