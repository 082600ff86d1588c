/* checkpoint.c - see checkpoint.h. */
#include "real/train/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder_lock.h"
#include "real/train/checkpoint_parts.h"

#define STATE_FILE "state.json"
#define ARRAYS_FILE "state.safetensors"
#define NAME_FORMAT "step-%010" PRIu32
#define NAME_PREFIX "step-"
#define TEMPORARY_PREFIX ".step-"
#define DAMAGED_PREFIX "damaged-"
enum { PATH_BYTES = LSPO_CHECKPOINT_PATH_BYTES };

static lspo_status_t join(const char *folder, const char *name, char path[PATH_BYTES])
{
    int length = snprintf(path, PATH_BYTES, "%s/%s", folder, name);
    return length < PATH_BYTES ? LSPO_OK : lspo_error(LSPO_ERR_INPUT, "the path %.64s... is too long", folder);
}

/* ---- folders ---- */

static bool begins_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static int is_checkpoint(const struct dirent *entry)
{
    const char *digits = entry->d_name + strlen(NAME_PREFIX);
    return begins_with(entry->d_name, NAME_PREFIX) && strlen(digits) == 10 && strspn(digits, "0123456789") == 10;
}

static int is_temporary(const struct dirent *entry)
{
    return begins_with(entry->d_name, TEMPORARY_PREFIX);
}

static int is_file(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static void free_names(struct dirent **entries, int count)
{
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
}

/* A checkpoint's folder contains only files. */
static void remove_folder(const char *folder)
{
    struct dirent **entries;
    char path[PATH_BYTES];
    int count = scandir(folder, &entries, is_file, NULL);
    for (int i = 0; i < count; i++)
        if (join(folder, entries[i]->d_name, path) == LSPO_OK)
            unlink(path);
    if (count >= 0)
        free_names(entries, count);
    if (rmdir(folder) != 0 && errno != ENOENT)
        lspo_warn("%s: cannot remove: %s", folder, strerror(errno));
}

static lspo_status_t sync_folder(const char *folder)
{
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY);
    if (descriptor < 0 || (fsync(descriptor) != 0 && errno != EINVAL)) {
        lspo_status_t status = lspo_error(LSPO_ERR_IO, "%s: cannot flush to disk: %s", folder, strerror(errno));
        if (descriptor >= 0)
            close(descriptor);
        return status;
    }
    close(descriptor);
    return LSPO_OK;
}

static lspo_status_t make_folders(const char *folder)
{
    char path[PATH_BYTES];
    lspo_status_t status = join(folder, "", path);
    if (status != LSPO_OK)
        return status;
    for (char *at = path + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            status = lspo_error(lspo_status_of_mkdir(errno), "%s: cannot make the folder: %s", path, strerror(errno));
        *at = '/';
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

/* The names that `filter` accepts, sorted, which is the order of their steps. */
static lspo_status_t list(const char *folder, int (*filter)(const struct dirent *), struct dirent ***entries_out,
                          int *count_out)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, filter, alphasort);
    if (count < 0)
        return lspo_error(lspo_status_of_errno(errno), "%s: cannot list the folder: %s", folder, strerror(errno));
    *entries_out = entries;
    *count_out = count;
    return LSPO_OK;
}

static void remove_entry(const char *folder, const char *name)
{
    char path[PATH_BYTES];
    if (join(folder, name, path) == LSPO_OK)
        remove_folder(path);
}

/* Files that a killed run left half-written. */
static lspo_status_t sweep(const char *folder)
{
    struct dirent **entries = NULL;
    int count = 0;
    lspo_status_t status = list(folder, is_temporary, &entries, &count);
    if (status != LSPO_OK)
        return status;
    for (int i = 0; i < count; i++)
        remove_entry(folder, entries[i]->d_name);
    free_names(entries, count);
    return LSPO_OK;
}

static lspo_status_t refuse_checkpoints(const char *folder)
{
    struct dirent **entries = NULL;
    int count = 0;
    lspo_status_t status = list(folder, is_checkpoint, &entries, &count);
    if (status != LSPO_OK)
        return status;
    free_names(entries, count);
    if (count > 0)
        return lspo_error(LSPO_ERR_INPUT, "%s holds checkpoints: continue with --resume or name another folder",
                          folder);
    return LSPO_OK;
}

lspo_status_t lspo_checkpoint_prepare(const char *folder, bool resume, int *lock_out)
{
    int lock = -1;
    lspo_status_t status = make_folders(folder);
    if (status != LSPO_OK)
        return status;
    status = lspo_folder_lock(folder, "training", &lock);
    if (status != LSPO_OK)
        return status;
    status = sweep(folder);
    if (status != LSPO_OK)
        goto failed;
    if (!resume)
        status = refuse_checkpoints(folder);
    if (status != LSPO_OK)
        goto failed;
    *lock_out = lock;
    return LSPO_OK;
failed:
    close(lock);
    return status;
}

lspo_status_t lspo_checkpoint_prune(const char *folder, uint32_t step, uint32_t keep, bool beyond)
{
    struct dirent **entries = NULL;
    int count = 0, upto = 0;
    char last[64];
    snprintf(last, sizeof last, NAME_FORMAT, step);
    lspo_status_t status = list(folder, is_checkpoint, &entries, &count);
    if (status != LSPO_OK)
        return status;
    while (upto < count && strcmp(entries[upto]->d_name, last) <= 0)
        upto++;
    for (int i = upto; beyond && i < count; i++)
        remove_entry(folder, entries[i]->d_name);
    for (int i = 0; i + (int64_t)keep < upto; i++)
        remove_entry(folder, entries[i]->d_name);
    free_names(entries, count);
    return LSPO_OK;
}

lspo_status_t lspo_checkpoint_count_beyond(const char *folder, uint32_t step, uint32_t *count_out)
{
    struct dirent **entries = NULL;
    int count = 0;
    char last[64];
    snprintf(last, sizeof last, NAME_FORMAT, step);
    *count_out = 0;
    lspo_status_t status = list(folder, is_checkpoint, &entries, &count);
    if (status != LSPO_OK)
        return status;
    for (int i = 0; i < count; i++)
        *count_out += strcmp(entries[i]->d_name, last) > 0;
    free_names(entries, count);
    return LSPO_OK;
}

/* ---- write ---- */

static lspo_status_t write_both(const char *temporary, const lspo_checkpoint_t *checkpoint, uint64_t *hashes)
{
    char file[PATH_BYTES];
    lspo_status_t status = join(temporary, ARRAYS_FILE, file);
    if (status != LSPO_OK)
        return status;
    status = lspo_checkpoint_write_arrays(file, checkpoint, hashes);
    if (status != LSPO_OK)
        return status;
    status = join(temporary, STATE_FILE, file);
    if (status != LSPO_OK)
        return status;
    return lspo_checkpoint_write_state(file, checkpoint, hashes);
}

static lspo_status_t write_files(const char *temporary, const lspo_checkpoint_t *checkpoint)
{
    if (mkdir(temporary, 0777) != 0)
        return lspo_error(LSPO_ERR_IO, "%s: cannot make the folder: %s", temporary, strerror(errno));
    uint64_t *hashes = calloc(checkpoint->array_count + 1, sizeof *hashes);
    if (!hashes)
        return lspo_no_memory("a checkpoint");
    lspo_status_t status = write_both(temporary, checkpoint, hashes);
    free(hashes);
    if (status != LSPO_OK)
        return status;
    return sync_folder(temporary);
}

static lspo_status_t put_in_place(const char *temporary, const char *path)
{
    int failed = rename(temporary, path);
    if (failed && (errno == ENOTEMPTY || errno == EEXIST)) { /* of a training that continued from an earlier step */
        remove_folder(path);
        failed = rename(temporary, path);
    }
    return failed ? lspo_error(LSPO_ERR_IO, "%s: cannot rename to %s: %s", temporary, path, strerror(errno)) : LSPO_OK;
}

static lspo_status_t write_folder(const char *temporary, const char *path, const lspo_checkpoint_t *checkpoint)
{
    lspo_status_t status = write_files(temporary, checkpoint);
    if (status != LSPO_OK)
        return status;
    return put_in_place(temporary, path);
}

lspo_status_t lspo_checkpoint_write(const char *folder, const lspo_checkpoint_t *checkpoint, uint32_t keep)
{
    char name[64], path[PATH_BYTES], temporary[PATH_BYTES];
    snprintf(name, sizeof name, "." NAME_FORMAT, checkpoint->state->step);
    lspo_status_t status = join(folder, name, temporary);
    if (status != LSPO_OK)
        return status;
    status = join(folder, name + 1, path);
    if (status != LSPO_OK)
        return status;
    status = write_folder(temporary, path, checkpoint);
    if (status != LSPO_OK) {
        remove_folder(temporary);
        return status;
    }
    status = sync_folder(folder);
    if (status != LSPO_OK)
        return status;
    return lspo_checkpoint_prune(folder, checkpoint->state->step, keep, true);
}

/* ---- read ---- */

static lspo_status_t read_both(const char *path, const lspo_checkpoint_t *checkpoint, bool undrained, uint64_t *hashes,
                               lspo_train_state_t *state_out, bool *usable_out)
{
    char file[PATH_BYTES];
    lspo_status_t status = join(path, STATE_FILE, file);
    if (status != LSPO_OK)
        return status;
    status = lspo_checkpoint_read_state(file, checkpoint, hashes, state_out);
    if (status != LSPO_OK)
        return status;
    *usable_out = !(undrained && state_out->step == state_out->steps && state_out->steps < checkpoint->state->steps);
    if (!*usable_out)
        return LSPO_OK;
    status = join(path, ARRAYS_FILE, file);
    if (status != LSPO_OK)
        return status;
    return lspo_checkpoint_read_arrays(file, checkpoint, hashes);
}

/* LSPO_ERR_CHECK: damaged. */
static lspo_status_t read_one(const char *path, const lspo_checkpoint_t *checkpoint, bool undrained,
                              lspo_train_state_t *state_out, bool *usable_out)
{
    uint64_t *hashes = calloc(checkpoint->array_count + 1, sizeof *hashes);
    if (!hashes)
        return lspo_no_memory("a checkpoint");
    lspo_status_t status = read_both(path, checkpoint, undrained, hashes, state_out, usable_out);
    free(hashes);
    return status;
}

static lspo_status_t set_aside(const char *folder, const char *name)
{
    char path[PATH_BYTES], aside[PATH_BYTES], aside_name[NAME_MAX + sizeof DAMAGED_PREFIX];
    snprintf(aside_name, sizeof aside_name, DAMAGED_PREFIX "%s", name);
    lspo_status_t status = join(folder, name, path);
    if (status != LSPO_OK)
        return status;
    status = join(folder, aside_name, aside);
    if (status != LSPO_OK)
        return status;
    remove_folder(aside); /* from an earlier time */
    if (rename(path, aside) != 0)
        return lspo_error(LSPO_ERR_IO, "%s: cannot rename to %s: %s", path, aside, strerror(errno));
    lspo_warn("%s is damaged and was renamed to " DAMAGED_PREFIX "%s; using the previous checkpoint", path, name);
    return sync_folder(folder);
}

/* Starting at the newest. */
static lspo_status_t resume_from(const char *folder, struct dirent **entries, int count,
                                 const lspo_checkpoint_t *checkpoint, bool undrained)
{
    char path[PATH_BYTES];
    lspo_train_state_t state = {0};
    for (int i = count; i-- > 0;) {
        bool usable = false;
        lspo_status_t status = join(folder, entries[i]->d_name, path);
        if (status != LSPO_OK)
            return status;
        status = read_one(path, checkpoint, undrained, &state, &usable);
        if (status == LSPO_ERR_CHECK) {
            status = set_aside(folder, entries[i]->d_name);
            if (status != LSPO_OK)
                return status;
            continue;
        }
        if (status != LSPO_OK)
            return status;
        if (usable) {
            *checkpoint->state = state;
            return LSPO_OK;
        }
        lspo_warn("%s is the end of a training of %" PRIu32
                  " steps, with its late updates applied; using the previous checkpoint",
                  path, state.steps);
    }
    return lspo_error(LSPO_ERR_INPUT, "%s: none of the %d checkpoints can be resumed", folder, count);
}

lspo_status_t lspo_checkpoint_resume(const char *folder, const lspo_checkpoint_t *checkpoint, bool undrained,
                                     bool *found_out)
{
    struct dirent **entries = NULL;
    int count = 0;
    lspo_status_t status = list(folder, is_checkpoint, &entries, &count);
    if (status != LSPO_OK)
        return status;
    if (count > 0)
        status = resume_from(folder, entries, count, checkpoint, undrained);
    free_names(entries, count);
    if (status != LSPO_OK)
        return status;
    *found_out = count > 0;
    return LSPO_OK;
}

lspo_status_t lspo_checkpoint_newest(const char *folder, char state_path_out[PATH_BYTES],
                                     char arrays_path_out[PATH_BYTES])
{
    struct dirent **entries = NULL;
    int count = 0;
    char path[PATH_BYTES];
    lspo_status_t status = list(folder, is_checkpoint, &entries, &count);
    if (status != LSPO_OK)
        return status;
    if (count == 0)
        status = lspo_error(LSPO_ERR_INPUT,
                            "%s has no checkpoint: no folder step-..., as lspo train --output writes it", folder);
    if (status == LSPO_OK)
        status = join(folder, entries[count - 1]->d_name, path);
    if (status == LSPO_OK)
        status = join(path, STATE_FILE, state_path_out);
    if (status == LSPO_OK)
        status = join(path, ARRAYS_FILE, arrays_path_out);
    free_names(entries, count);
    return status;
}

lspo_status_t lspo_checkpoint_newest_step(const char *folder, uint32_t *step_out)
{
    struct dirent **entries = NULL;
    int count = 0;
    lspo_status_t status = list(folder, is_checkpoint, &entries, &count);
    if (status != LSPO_OK)
        return status;
    *step_out = count > 0 ? (uint32_t)strtoul(strchr(entries[count - 1]->d_name, '-') + 1, NULL, 10) : 0;
    free_names(entries, count);
    return LSPO_OK;
}

lspo_status_t lspo_checkpoint_setting(const char *folder, const char *key, char value_out[LSPO_SETTING_BYTES],
                                      bool *found_out)
{
    struct dirent **entries = NULL;
    int count = 0;
    char path[PATH_BYTES], message[PATH_BYTES + 512] = "";
    *found_out = false;
    if (access(folder, F_OK) != 0)
        return LSPO_OK;
    lspo_status_t status = list(folder, is_checkpoint, &entries, &count);
    for (int i = count; status == LSPO_OK && !*found_out && i-- > 0;) {
        int length = snprintf(path, sizeof path, "%s/%s/" STATE_FILE, folder, entries[i]->d_name);
        if (length >= PATH_BYTES || access(path, R_OK) != 0)
            continue;
        message[0] = '\0';
        lspo_messages_t before = lspo_messages_send((lspo_messages_t){.text = message, .capacity = sizeof message});
        status = lspo_checkpoint_read_setting(path, key, value_out);
        lspo_messages_send(before);
        *found_out = status == LSPO_OK;
        if (status == LSPO_ERR_CHECK) /* damaged: lspo_checkpoint_resume() says so and sets it aside */
            status = LSPO_OK;
        else if (status != LSPO_OK)
            lspo_error(status, "%s", message);
    }
    free_names(entries, count);
    return status;
}
