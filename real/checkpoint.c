/* checkpoint.c - see checkpoint.h. */
#include "real/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plan/folder_lock.h"
#include "real/safetensors.h"
#include "plan/output_file.h"

#define STATE_FILE "state.json"
#define ARRAYS_FILE "state.safetensors"
#define NAME_FORMAT "step-%010" PRIu32
#define NAME_PREFIX "step-"
#define TEMPORARY_PREFIX ".step-"
enum { FORMAT_VERSION = 1, PATH_BYTES = 4096, HASH_BYTES = 17 };

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

/* A checkpoint's folder holds files only. */
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
    for (char *at = path + 1; status == LSPO_OK && *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            status = lspo_error(LSPO_ERR_IO, "%s: cannot make the folder: %s", path, strerror(errno));
        *at = '/';
    }
    return status;
}

/* The names that `filter` takes, in order, which is that of their steps. */
static lspo_status_t list(const char *folder, int (*filter)(const struct dirent *), struct dirent ***entries_out,
                          int *count_out)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, filter, alphasort);
    if (count < 0)
        return lspo_error(LSPO_ERR_INPUT, "%s: cannot list the folder: %s", folder, strerror(errno));
    *entries_out = entries;
    *count_out = count;
    return LSPO_OK;
}

/* Remove all but the last `keep` of those that `filter` takes. */
static lspo_status_t prune(const char *folder, int (*filter)(const struct dirent *), uint32_t keep)
{
    struct dirent **entries = NULL;
    int count = 0;
    char path[PATH_BYTES];
    lspo_status_t status = list(folder, filter, &entries, &count);
    if (status != LSPO_OK)
        return status;
    for (int i = 0; i + (int64_t)keep < count; i++)
        if (join(folder, entries[i]->d_name, path) == LSPO_OK)
            remove_folder(path);
    free_names(entries, count);
    return LSPO_OK;
}

static lspo_status_t refuse_checkpoints(const char *folder)
{
    char *latest = NULL;
    lspo_status_t status = lspo_checkpoint_latest(folder, &latest);
    if (status == LSPO_OK && latest)
        status =
            lspo_error(LSPO_ERR_INPUT, "%s holds checkpoints: continue with --resume or name another folder", folder);
    free(latest);
    return status;
}

lspo_status_t lspo_checkpoint_prepare(const char *folder, bool resume, int *lock_out)
{
    int lock = -1;
    lspo_status_t status = make_folders(folder);
    if (status == LSPO_OK)
        status = lspo_folder_lock(folder, "training", &lock);
    if (status != LSPO_OK)
        return status;
    status = prune(folder, is_temporary, 0);
    if (status == LSPO_OK && !resume)
        status = refuse_checkpoints(folder);
    if (status != LSPO_OK) {
        close(lock);
        return status;
    }
    *lock_out = lock;
    return LSPO_OK;
}

lspo_status_t lspo_checkpoint_latest(const char *folder, char **path_out)
{
    struct dirent **entries = NULL;
    int count = 0;
    lspo_status_t status = list(folder, is_checkpoint, &entries, &count);
    if (status != LSPO_OK)
        return status;
    char path[PATH_BYTES], *copy = NULL;
    if (count > 0) {
        status = join(folder, entries[count - 1]->d_name, path);
        if (status == LSPO_OK && !(copy = strdup(path)))
            status = lspo_error(LSPO_ERR_MEMORY, "no memory for a path");
    }
    free_names(entries, count);
    if (status == LSPO_OK)
        *path_out = copy;
    return status;
}

/* ---- arrays ---- */

static lspo_dtype_t dtype_of(lspo_state_type_t type)
{
    switch (type) {
    case LSPO_STATE_U32:
        return LSPO_DTYPE_U32;
    case LSPO_STATE_U16:
        return LSPO_DTYPE_U16;
    case LSPO_STATE_BF16:
        return LSPO_DTYPE_BF16;
    case LSPO_STATE_F16:
        return LSPO_DTYPE_F16;
    case LSPO_STATE_F32:
        break;
    }
    return LSPO_DTYPE_F32;
}

static void free_staged(const lspo_state_array_t *arrays, size_t count, lspo_state_array_t *staged)
{
    for (size_t i = 0; staged && i < count; i++)
        if (arrays[i].device)
            free(staged[i].data);
    free(staged);
}

/* The arrays with memory of the host in place of a device's. */
static lspo_status_t stage_arrays(const lspo_state_array_t *arrays, size_t count, lspo_state_array_t **staged_out)
{
    lspo_state_array_t *staged = calloc(count + 1, sizeof *staged);
    bool complete = staged != NULL;
    for (size_t i = 0; complete && i < count; i++) {
        staged[i] = arrays[i];
        if (!arrays[i].device)
            continue;
        staged[i].device = NULL;
        staged[i].data = malloc(lspo_state_array_bytes(&arrays[i]));
        complete = staged[i].data != NULL;
    }
    if (!complete) {
        free_staged(arrays, count, staged);
        return lspo_error(LSPO_ERR_MEMORY, "no memory for the %zu arrays of a checkpoint", count);
    }
    *staged_out = staged;
    return LSPO_OK;
}

/* FNV-1a over 32-bit words, the last one filled with zeros. */
static uint64_t hash_array(uint64_t hash, const lspo_state_array_t *array)
{
    size_t bytes = array->element_count * lspo_dtype_bytes(dtype_of(array->type));
    for (size_t at = 0; at < bytes; at += sizeof(uint32_t)) {
        uint32_t word = 0;
        memcpy(&word, (const char *)array->data + at, bytes - at < sizeof word ? bytes - at : sizeof word);
        hash = (hash ^ word) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static void hash_arrays(const lspo_state_array_t *arrays, size_t count, char text[HASH_BYTES])
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < count; i++)
        hash = hash_array(hash, &arrays[i]);
    snprintf(text, HASH_BYTES, "%016" PRIx64, hash);
}

static lspo_status_t write_staged(const char *path, const lspo_state_array_t *arrays, size_t count)
{
    char hash[HASH_BYTES];
    lspo_safetensor_source_t *sources = calloc(count, sizeof *sources);
    if (!sources)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for the %zu arrays of a checkpoint", count);
    for (size_t i = 0; i < count; i++)
        sources[i] = (lspo_safetensor_source_t){.name = arrays[i].name,
                                                .dtype = dtype_of(arrays[i].type),
                                                .rank = 1,
                                                .shape = {arrays[i].element_count},
                                                .bytes = arrays[i].data};
    hash_arrays(arrays, count, hash);
    const lspo_safetensor_note_t note = {"fnv1a", hash};
    lspo_status_t status = lspo_safetensors_write(path, sources, count, &note, 1);
    free(sources);
    return status;
}

static lspo_status_t write_arrays(const char *path, const lspo_state_array_t *arrays, size_t count)
{
    lspo_state_array_t *staged;
    lspo_status_t status = stage_arrays(arrays, count, &staged);
    if (status != LSPO_OK)
        return status;
    for (size_t i = 0; status == LSPO_OK && i < count; i++)
        if (arrays[i].device)
            status = lspo_state_array_read(&arrays[i], staged[i].data);
    if (status == LSPO_OK)
        status = write_staged(path, staged, count);
    free_staged(arrays, count, staged);
    return status;
}

static lspo_status_t read_array(const lspo_safetensors_t *file, const char *path, const lspo_state_array_t *array)
{
    const lspo_safetensor_t *tensor = lspo_safetensors_find(file, array->name);
    if (!tensor)
        return lspo_error(LSPO_ERR_INPUT, "%s: there is no array %s", path, array->name);
    if (tensor->dtype != dtype_of(array->type) || tensor->element_count != array->element_count)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: array %s has %" PRIu64 " elements of %s; this training's has %" PRIu64 " of %s", path,
                          array->name, tensor->element_count, lspo_dtype_name(tensor->dtype), array->element_count,
                          lspo_dtype_name(dtype_of(array->type)));
    return lspo_safetensors_read_bytes(file, tensor, array->data);
}

static lspo_status_t read_staged(const char *path, const lspo_state_array_t *arrays, size_t count)
{
    lspo_safetensors_t *file;
    char hash[HASH_BYTES];
    lspo_status_t status = lspo_safetensors_open(path, &file);
    if (status != LSPO_OK)
        return status;
    if (lspo_safetensors_count(file) != count)
        status = lspo_error(LSPO_ERR_INPUT, "%s: holds %zu arrays; this training has %zu", path,
                            lspo_safetensors_count(file), count);
    for (size_t i = 0; status == LSPO_OK && i < count; i++)
        status = read_array(file, path, &arrays[i]);
    if (status == LSPO_OK) {
        const char *written = lspo_safetensors_metadata(file, "fnv1a");
        hash_arrays(arrays, count, hash);
        if (!written || strcmp(written, hash) != 0)
            status = lspo_error(LSPO_ERR_INPUT, "%s: damaged: its arrays have the hash %s, not %s", path, hash,
                                written ? written : "(none)");
    }
    lspo_safetensors_close(file);
    return status;
}

static lspo_status_t read_arrays(const char *path, const lspo_state_array_t *arrays, size_t count)
{
    lspo_state_array_t *staged;
    lspo_status_t status = stage_arrays(arrays, count, &staged);
    if (status != LSPO_OK)
        return status;
    status = read_staged(path, staged, count);
    for (size_t i = 0; status == LSPO_OK && i < count; i++)
        if (arrays[i].device)
            status = lspo_state_array_write(&arrays[i], staged[i].data);
    free_staged(arrays, count, staged);
    return status;
}

/* ---- state ---- */

/* JSON has no NaN: what is not known is null. */
static json_t *real_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *settings_object(const lspo_setting_t *settings, size_t count)
{
    json_t *object = json_object();
    for (size_t i = 0; object && i < count; i++)
        if (json_object_set_new(object, settings[i].key, json_string(settings[i].value)) != 0) {
            json_decref(object);
            object = NULL;
        }
    return object;
}

static json_t *state_object(const lspo_train_state_t *state, const lspo_setting_t *settings, size_t setting_count)
{
    return json_pack("{s:i, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:b, s:o}", "format",
                     FORMAT_VERSION, "step", (json_int_t)state->step, "elapsed_s", real_or_null(state->elapsed_s),
                     "loss_first", real_or_null(state->loss_first), "loss_last", real_or_null(state->loss_last),
                     "held_out_before", real_or_null(state->held_out_before), "held_out_last",
                     real_or_null(state->held_out_last), "accuracy_before", real_or_null(state->accuracy_before),
                     "accuracy_last", real_or_null(state->accuracy_last), "accuracy_best",
                     real_or_null(state->accuracy_best), "best_loss", real_or_null(state->best_loss), "best_step",
                     (json_int_t)state->best_step, "worse_count", (json_int_t)state->worse_count, "refits",
                     (json_int_t)state->refits, "finished", (int)state->finished, "settings",
                     settings_object(settings, setting_count));
}

static lspo_status_t write_state(const char *path, const lspo_train_state_t *state, const lspo_setting_t *settings,
                                 size_t setting_count)
{
    lspo_output_t output;
    json_t *object = state_object(state, settings, setting_count);
    if (!object)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for a checkpoint's state");
    lspo_status_t status = lspo_output_open(path, &output);
    if (status == LSPO_OK) {
        bool written = json_dumpf(object, output.file, JSON_INDENT(2)) == 0 && fputc('\n', output.file) != EOF;
        status = written ? LSPO_OK : lspo_error(LSPO_ERR_IO, "%s: cannot write: %s", path, strerror(errno));
        status = lspo_output_finish(&output, status);
    }
    json_decref(object);
    return status;
}

static bool get_count(json_t *object, const char *key, uint32_t *value_out)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > UINT32_MAX)
        return false;
    *value_out = (uint32_t)json_integer_value(value);
    return true;
}

static bool get_real(json_t *object, const char *key, double *value_out)
{
    json_t *value = json_object_get(object, key);
    if (!json_is_number(value) && !json_is_null(value))
        return false;
    *value_out = json_is_null(value) ? (double)NAN : json_number_value(value);
    return true;
}

static lspo_status_t parse_state(const char *path, json_t *object, lspo_train_state_t *state)
{
    uint32_t format;
    json_t *refits = json_object_get(object, "refits"), *finished = json_object_get(object, "finished");
    if (!get_count(object, "format", &format) || format != FORMAT_VERSION)
        return lspo_error(LSPO_ERR_INPUT, "%s: not the state of a checkpoint of format %d", path, FORMAT_VERSION);
    if (!get_count(object, "step", &state->step) || !get_real(object, "elapsed_s", &state->elapsed_s) ||
        !get_real(object, "loss_first", &state->loss_first) || !get_real(object, "loss_last", &state->loss_last) ||
        !get_real(object, "held_out_before", &state->held_out_before) ||
        !get_real(object, "held_out_last", &state->held_out_last) ||
        !get_real(object, "accuracy_before", &state->accuracy_before) ||
        !get_real(object, "accuracy_last", &state->accuracy_last) ||
        !get_real(object, "accuracy_best", &state->accuracy_best) ||
        !get_real(object, "best_loss", &state->best_loss) || !get_count(object, "best_step", &state->best_step) ||
        !get_count(object, "worse_count", &state->worse_count) || !json_is_boolean(finished))
        return lspo_error(LSPO_ERR_INPUT, "%s: a field is missing or has a wrong type", path);
    state->refits = (uint64_t)json_integer_value(refits);
    state->finished = json_is_true(finished);
    return LSPO_OK;
}

static lspo_status_t check_settings(const char *path, json_t *object, const lspo_setting_t *settings, size_t count)
{
    json_t *written = json_object_get(object, "settings");
    for (size_t i = 0; i < count; i++) {
        const char *value = json_string_value(json_object_get(written, settings[i].key));
        if (!value || strcmp(value, settings[i].value) != 0)
            return lspo_error(LSPO_ERR_INPUT,
                              "%s: the training was begun with %s %s, not %s: resume it with its own flags", path,
                              settings[i].key, value ? value : "(nothing)", settings[i].value);
    }
    return LSPO_OK;
}

static lspo_status_t read_state(const char *path, const lspo_setting_t *settings, size_t setting_count,
                                lspo_train_state_t *state)
{
    json_error_t error;
    json_t *object = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!object)
        return lspo_error(LSPO_ERR_INPUT, "%s:%d: %s", path, error.line, error.text);
    lspo_status_t status = parse_state(path, object, state);
    if (status == LSPO_OK)
        status = check_settings(path, object, settings, setting_count);
    json_decref(object);
    return status;
}

lspo_status_t lspo_checkpoint_read(const char *path, const lspo_setting_t *settings, size_t setting_count,
                                   const lspo_state_array_t *arrays, size_t array_count, lspo_train_state_t *state_out)
{
    char file[PATH_BYTES];
    lspo_train_state_t state;
    lspo_status_t status = join(path, STATE_FILE, file);
    if (status == LSPO_OK)
        status = read_state(file, settings, setting_count, &state);
    if (status == LSPO_OK)
        status = join(path, ARRAYS_FILE, file);
    if (status == LSPO_OK)
        status = read_arrays(file, arrays, array_count);
    if (status == LSPO_OK)
        *state_out = state;
    return status;
}

static lspo_status_t write_files(const char *temporary, const lspo_train_state_t *state, const lspo_setting_t *settings,
                                 size_t setting_count, const lspo_state_array_t *arrays, size_t array_count)
{
    char file[PATH_BYTES];
    lspo_status_t status = LSPO_OK;
    if (mkdir(temporary, 0777) != 0)
        return lspo_error(LSPO_ERR_IO, "%s: cannot make the folder: %s", temporary, strerror(errno));
    status = join(temporary, ARRAYS_FILE, file);
    if (status == LSPO_OK)
        status = write_arrays(file, arrays, array_count);
    if (status == LSPO_OK)
        status = join(temporary, STATE_FILE, file);
    if (status == LSPO_OK)
        status = write_state(file, state, settings, setting_count);
    return status == LSPO_OK ? sync_folder(temporary) : status;
}

lspo_status_t lspo_checkpoint_prune(const char *folder, uint32_t keep)
{
    return prune(folder, is_checkpoint, keep);
}

lspo_status_t lspo_checkpoint_write(const char *folder, const lspo_train_state_t *state, const lspo_setting_t *settings,
                                    size_t setting_count, const lspo_state_array_t *arrays, size_t array_count,
                                    uint32_t keep)
{
    char name[64], path[PATH_BYTES], temporary[PATH_BYTES];
    snprintf(name, sizeof name, "." NAME_FORMAT, state->step);
    lspo_status_t status = join(folder, name, temporary);
    if (status == LSPO_OK)
        status = join(folder, name + 1, path);
    if (status != LSPO_OK)
        return status;
    status = write_files(temporary, state, settings, setting_count, arrays, array_count);
    if (status == LSPO_OK && rename(temporary, path) != 0)
        status = lspo_error(LSPO_ERR_IO, "%s: cannot rename to %s: %s", temporary, path, strerror(errno));
    if (status != LSPO_OK) {
        remove_folder(temporary);
        return status;
    }
    status = sync_folder(folder);
    return status == LSPO_OK ? lspo_checkpoint_prune(folder, keep) : status;
}
