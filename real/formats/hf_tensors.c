/* hf_tensors.c - the tensors of a model's files by name, without the prefixes that wrappers add; see hf_tensors.h. */
#include "real/formats/hf_tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/names.h"

typedef struct {
    char *name; /* owned */
    const lspo_safetensor_t *tensor;
} entry_t;

struct lspo_hf_tensors {
    entry_t *entries; /* by name */
    size_t count;
};

enum { NEAREST = 3 };

/* Parts of a name that torch's wrappers add anywhere. */
static const char *const wrappers[] = {"_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."};

static size_t wrapper_length(const char *part)
{
    for (size_t i = 0; i < sizeof wrappers / sizeof wrappers[0]; i++)
        if (strncmp(part, wrappers[i], strlen(wrappers[i])) == 0)
            return strlen(wrappers[i]);
    return 0;
}

/* In place: parts begin at the start and after each dot. */
static void unwrap(char *name)
{
    char *out = name;
    const char *in = name;
    bool begins = true;
    while (*in) {
        const size_t length = begins ? wrapper_length(in) : 0;
        if (length > 0) {
            in += length;
            continue;
        }
        begins = *in == '.';
        *out++ = *in++;
    }
    *out = '\0';
}

static int compare_entries(const void *a, const void *b)
{
    const entry_t *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* The number of bytes before the anchor, and before its usual prefix, in a name; 0 if the name does not end so. */
static size_t bytes_before(const char *name, const char *prefix, const char *anchor)
{
    const size_t length = strlen(name), anchor_length = strlen(anchor), prefix_length = strlen(prefix);
    if (length < anchor_length || strcmp(name + length - anchor_length, anchor) != 0)
        return 0;
    size_t before = length - anchor_length;
    if (before >= prefix_length && memcmp(name + before - prefix_length, prefix, prefix_length) == 0 &&
        (before == prefix_length || name[before - prefix_length - 1] == '.'))
        before -= prefix_length;
    return before > 0 && name[before - 1] == '.' ? before : 0;
}

/* The common prefix of all names before the model's own; 0: none. */
static size_t shared_prefix(const lspo_hf_tensors_t *tensors, const char *prefix, const char *anchor)
{
    size_t shared = 0;
    const char *holder = NULL;
    for (size_t i = 0; i < tensors->count && shared == 0; i++) {
        holder = tensors->entries[i].name;
        shared = bytes_before(holder, prefix, anchor);
    }
    for (size_t i = 0; i < tensors->count && shared > 0; i++)
        if (strncmp(tensors->entries[i].name, holder, shared) != 0)
            shared = 0;
    return shared;
}

static lspo_status_t check_unique(const lspo_safetensors_t *files, const lspo_hf_tensors_t *tensors)
{
    for (size_t i = 1; i < tensors->count; i++) {
        const entry_t *a = &tensors->entries[i - 1], *b = &tensors->entries[i];
        if (strcmp(a->name, b->name) == 0)
            return lspo_error(LSPO_ERR_INPUT, "%s: tensors '%s' and '%s' have the same name except for a prefix",
                              lspo_safetensors_path(files, b->tensor), a->tensor->name, b->tensor->name);
    }
    return LSPO_OK;
}

lspo_status_t lspo_hf_tensors_open(const lspo_safetensors_t *files, const char *prefix, const char *anchor,
                                   lspo_hf_tensors_t **tensors_out)
{
    const size_t count = lspo_safetensors_count(files);
    lspo_hf_tensors_t *tensors = calloc(1, sizeof *tensors);
    if (tensors)
        tensors->entries = calloc(count + 1, sizeof *tensors->entries);
    bool ok = tensors && tensors->entries;
    for (size_t i = 0; ok && i < count; i++) {
        entry_t *entry = &tensors->entries[i];
        *entry = (entry_t){.tensor = lspo_safetensors_at(files, i)};
        entry->name = strdup(entry->tensor->name);
        ok = entry->name != NULL;
        if (ok)
            unwrap(entry->name);
        tensors->count = i + 1;
    }
    if (!ok) {
        lspo_hf_tensors_close(tensors);
        return lspo_no_memory("the names of %zu tensors", count);
    }
    const size_t shared = shared_prefix(tensors, prefix, anchor);
    for (size_t i = 0; i < count && shared > 0; i++)
        memmove(tensors->entries[i].name, tensors->entries[i].name + shared,
                strlen(tensors->entries[i].name + shared) + 1);
    qsort(tensors->entries, count, sizeof *tensors->entries, compare_entries);
    lspo_status_t status = check_unique(files, tensors);
    if (status != LSPO_OK) {
        lspo_hf_tensors_close(tensors);
        return status;
    }
    *tensors_out = tensors;
    return LSPO_OK;
}

void lspo_hf_tensors_close(lspo_hf_tensors_t *tensors)
{
    if (!tensors)
        return;
    for (size_t i = 0; i < tensors->count; i++)
        free(tensors->entries[i].name);
    free(tensors->entries);
    free(tensors);
}

size_t lspo_hf_tensors_count(const lspo_hf_tensors_t *tensors)
{
    return tensors->count;
}

const char *lspo_hf_tensors_name(const lspo_hf_tensors_t *tensors, size_t index)
{
    return tensors->entries[index].name;
}

const lspo_safetensor_t *lspo_hf_tensors_at(const lspo_hf_tensors_t *tensors, size_t index)
{
    return tensors->entries[index].tensor;
}

bool lspo_hf_tensors_index(const lspo_hf_tensors_t *tensors, const char *name, size_t *index_out)
{
    size_t low = 0, high = tensors->count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (strcmp(tensors->entries[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *index_out = low;
    return low < tensors->count && strcmp(tensors->entries[low].name, name) == 0;
}

const lspo_safetensor_t *lspo_hf_tensors_find(const lspo_hf_tensors_t *tensors, const char *name)
{
    size_t index;
    return lspo_hf_tensors_index(tensors, name, &index) ? tensors->entries[index].tensor : NULL;
}

void lspo_hf_tensors_nearest(const lspo_hf_tensors_t *tensors, const char *name, char *text, size_t bytes)
{
    size_t distances[NEAREST], places[NEAREST], count = 0;
    for (size_t i = 0; i < tensors->count; i++) {
        const size_t distance = lspo_name_distance(name, tensors->entries[i].tensor->name);
        size_t at = count < NEAREST ? count++ : NEAREST;
        for (; at > 0 && distance < distances[at - 1]; at--)
            if (at < NEAREST) {
                distances[at] = distances[at - 1];
                places[at] = places[at - 1];
            }
        if (at < NEAREST) {
            distances[at] = distance;
            places[at] = i;
        }
    }
    *text = '\0';
    for (size_t i = 0, used = 0; i < count && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s'%s'", i > 0 ? ", " : "",
                                 tensors->entries[places[i]].tensor->name);
}
