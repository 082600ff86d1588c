/* checkpoint_state.c - state.json of a checkpoint: everything except its arrays. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/input_file.h"
#include "base/json_file.h"
#include "base/output_file.h"
#include "real/train/checkpoint_parts.h"

enum { FORMAT_VERSION = 2, HASH_BYTES = 17, STATE_BYTES_MAX = 64 << 20 };

static const char *format_hash(uint64_t hash, char text[HASH_BYTES])
{
    snprintf(text, HASH_BYTES, "%016" PRIx64, hash);
    return text;
}

/* ---- write ---- */

/* JSON has no NaN: unknown values are null. */
static json_t *real_or_null(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* Takes `value`; false if memory ran out. */
static bool put(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

static json_t *settings_object(const lspo_checkpoint_t *checkpoint)
{
    json_t *object = json_object();
    bool made = object != NULL;
    for (size_t i = 0; made && i < checkpoint->setting_count; i++)
        made = put(object, checkpoint->settings[i].key, json_string(checkpoint->settings[i].value));
    if (made)
        return object;
    json_decref(object);
    return NULL;
}

static json_t *hashes_object(const lspo_checkpoint_t *checkpoint, const uint64_t *hashes)
{
    json_t *object = json_object();
    bool made = object != NULL;
    for (size_t i = 0; made && i < checkpoint->array_count; i++)
        made =
            put(object, checkpoint->arrays[i].name,
                json_sprintf("%zu bytes, xxh3 %016" PRIx64, lspo_state_array_bytes(&checkpoint->arrays[i]), hashes[i]));
    if (made)
        return object;
    json_decref(object);
    return NULL;
}

/* The hash of everything except the hash itself; false if memory runs out. */
static bool hash_object(json_t *object, char text[HASH_BYTES])
{
    char *all = lspo_json_print(object, JSON_COMPACT | JSON_SORT_KEYS);
    if (!all)
        return false;
    format_hash(XXH3_64bits(all, strlen(all)), text);
    free(all);
    return true;
}

/* The scores at a time. */
#define SCORE(name, time)                                                                                              \
    {                                                                                                                  \
#name "_" #time, offsetof(lspo_train_state_t, scores_##time.name)                                              \
    }
#define SCORES(time)                                                                                                   \
    SCORE(accuracy, time), SCORE(f1, time), SCORE(matthews, time), SCORE(pearson, time), SCORE(spearman, time)

/* The numbers of the state and their places; older checkpoints lack some scores. */
static const struct {
    const char *key;
    size_t offset;
} reals[] =
    {
        {"elapsed_s", offsetof(lspo_train_state_t, elapsed_s)},
        {"loss_first", offsetof(lspo_train_state_t, loss_first)},
        {"loss_last", offsetof(lspo_train_state_t, loss_last)},
        {"held_out_before", offsetof(lspo_train_state_t, held_out_before)},
        {"held_out_last", offsetof(lspo_train_state_t, held_out_last)},
        {"best_loss", offsetof(lspo_train_state_t, best_loss)},
},
  scores[] = {SCORES(before), SCORES(last), SCORES(best)},
  counts[] = {
      {"step", offsetof(lspo_train_state_t, step)},
      {"steps", offsetof(lspo_train_state_t, steps)},
      {"best_step", offsetof(lspo_train_state_t, best_step)},
      {"worse_count", offsetof(lspo_train_state_t, worse_count)},
};
enum {
    REALS = sizeof reals / sizeof reals[0],
    SCORE_COUNT = sizeof scores / sizeof scores[0],
    COUNTS = sizeof counts / sizeof counts[0]
};

static void *member(lspo_train_state_t *state, size_t offset)
{
    return (char *)state + offset;
}

static json_t *state_object(const lspo_checkpoint_t *checkpoint, const uint64_t *hashes)
{
    char text[HASH_BYTES];
    lspo_train_state_t *state = checkpoint->state;
    json_t *object = json_object();
    bool made = object && put(object, "format", json_integer(FORMAT_VERSION));
    for (size_t i = 0; made && i < COUNTS; i++)
        made = put(object, counts[i].key, json_integer(*(uint32_t *)member(state, counts[i].offset)));
    for (size_t i = 0; made && i < REALS; i++)
        made = put(object, reals[i].key, real_or_null(*(double *)member(state, reals[i].offset)));
    for (size_t i = 0; made && i < SCORE_COUNT; i++)
        made = put(object, scores[i].key, real_or_null(*(double *)member(state, scores[i].offset)));
    made = made && put(object, "refits", json_integer((json_int_t)state->refits)) &&
           put(object, "evaluation_due", json_boolean(state->evaluation_due)) &&
           put(object, "finished", json_boolean(state->finished)) &&
           put(object, "settings", settings_object(checkpoint)) &&
           put(object, "arrays", hashes_object(checkpoint, hashes)) && hash_object(object, text) &&
           put(object, "hash", json_string(text));
    if (made)
        return object;
    json_decref(object);
    return NULL;
}

lspo_status_t lspo_checkpoint_write_state(const char *path, const lspo_checkpoint_t *checkpoint, const uint64_t *hashes)
{
    lspo_output_t output;
    json_t *object = state_object(checkpoint, hashes);
    char *text = lspo_json_print(object, JSON_INDENT(2));
    json_decref(object);
    if (!text)
        return lspo_no_memory("a checkpoint's state");
    lspo_status_t status = lspo_output_open(path, &output);
    if (status != LSPO_OK)
        goto cleanup;
    fprintf(output.file, "%s\n", text);
    status = lspo_output_finish(&output, LSPO_OK);
cleanup:
    free(text);
    return status;
}

/* ---- read ---- */

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

static lspo_status_t check_format(const char *path, json_t *object)
{
    uint32_t format;
    if (!get_count(object, "format", &format))
        return lspo_error(LSPO_ERR_CHECK, "%s: damaged: not the state of a checkpoint", path);
    if (format < FORMAT_VERSION)
        return lspo_error(
            LSPO_ERR_INPUT,
            "%s: an older lspo wrote this checkpoint (format %" PRIu32
            "), which lacks settings that affect the numbers: finish the training with that lspo, or start again",
            path, format);
    if (format > FORMAT_VERSION)
        return lspo_error(LSPO_ERR_INPUT,
                          "%s: a newer lspo wrote this checkpoint (format %" PRIu32 "); this one reads format %d", path,
                          format, FORMAT_VERSION);
    return LSPO_OK;
}

static lspo_status_t check_hash(const char *path, json_t *object)
{
    char found[HASH_BYTES], written[HASH_BYTES];
    snprintf(written, sizeof written, "%s",
             json_is_string(json_object_get(object, "hash")) ? json_string_value(json_object_get(object, "hash")) : "");
    json_object_del(object, "hash");
    if (!hash_object(object, found))
        return lspo_no_memory("a checkpoint's state");
    if (strcmp(found, written) != 0)
        return lspo_error(LSPO_ERR_CHECK, "%s: damaged: its text has the hash %s, but was written with %s", path, found,
                          written);
    return LSPO_OK;
}

static lspo_status_t parse_state(const char *path, json_t *object, lspo_train_state_t *state)
{
    json_t *refits = json_object_get(object, "refits"), *finished = json_object_get(object, "finished");
    bool complete = json_is_integer(refits) && json_is_boolean(finished);
    for (size_t i = 0; complete && i < COUNTS; i++)
        complete = get_count(object, counts[i].key, member(state, counts[i].offset));
    for (size_t i = 0; complete && i < REALS; i++)
        complete = get_real(object, reals[i].key, member(state, reals[i].offset));
    for (size_t i = 0; complete && i < SCORE_COUNT; i++)
        if (!get_real(object, scores[i].key, member(state, scores[i].offset)))
            *(double *)member(state, scores[i].offset) = NAN;
    if (!complete)
        return lspo_error(LSPO_ERR_CHECK, "%s: damaged: a field is missing or has a wrong type", path);
    state->refits = (uint64_t)json_integer_value(refits);
    state->evaluation_due = json_is_true(json_object_get(object, "evaluation_due")); /* older checkpoints lack it */
    state->finished = json_is_true(finished);
    return LSPO_OK;
}

static lspo_status_t check_settings(const char *path, json_t *object, const lspo_checkpoint_t *checkpoint)
{
    json_t *written = json_object_get(object, "settings");
    for (size_t i = 0; i < checkpoint->setting_count; i++) {
        const lspo_setting_t *setting = &checkpoint->settings[i];
        const char *value = json_string_value(json_object_get(written, setting->key));
        /* The version that wrote it may not have had the policy's flag. */
        if (value ? strcmp(value, setting->value) == 0 : setting->preset)
            continue;
        if (!value && setting->unnamed != NULL)
            return lspo_error(LSPO_ERR_INPUT, "%s is older than --%s, so it means %s; resume it with --%s %s", path,
                              setting->key, setting->unnamed, setting->key, setting->unnamed);
        if (!value && !setting->tolerated)
            return lspo_error(LSPO_ERR_INPUT,
                              "%s does not name --%s, so it had its default; resume it without the flag", path,
                              setting->key);
        if (!setting->tolerated)
            return lspo_error(LSPO_ERR_INPUT,
                              "%s: the training was started with %s %s, not %s; resume it with the same flags", path,
                              setting->key, value, setting->value);
        lspo_warn("%s: the training was started with %s %s, not %s; it continues, but numbers are rounded differently",
                  path, setting->key, value ? value : "(nothing)", setting->value);
    }
    return LSPO_OK;
}

static lspo_status_t read_hashes(const char *path, json_t *object, const lspo_checkpoint_t *checkpoint,
                                 uint64_t *hashes)
{
    json_t *written = json_object_get(object, "arrays");
    for (size_t i = 0; i < checkpoint->array_count; i++) {
        const lspo_state_array_t *array = &checkpoint->arrays[i];
        const char *text = json_string_value(json_object_get(written, array->name));
        size_t bytes = 0;
        if (!text || sscanf(text, "%zu bytes, xxh3 %" SCNx64, &bytes, &hashes[i]) != 2)
            return lspo_error(LSPO_ERR_INPUT, "%s: there is no array %s, which this training has", path, array->name);
        if (bytes != lspo_state_array_bytes(array))
            return lspo_error(LSPO_ERR_INPUT, "%s: array %s has %zu bytes; this training's has %zu", path, array->name,
                              bytes, lspo_state_array_bytes(array));
    }
    if (!checkpoint->some_arrays && json_object_size(written) != checkpoint->array_count)
        return lspo_error(LSPO_ERR_INPUT, "%s: holds %zu arrays; this training has %zu", path,
                          json_object_size(written), checkpoint->array_count);
    return LSPO_OK;
}

static lspo_status_t load_object(const char *path, json_t **object_out)
{
    char *text = NULL;
    size_t length = 0;
    json_error_t error;
    lspo_status_t status = lspo_input_read_file(path, STATE_BYTES_MAX, &text, &length);
    if (status != LSPO_OK)
        return status == LSPO_ERR_INPUT ? LSPO_ERR_CHECK : status;
    bool no_memory;
    *object_out = lspo_json_parse(text, length, JSON_REJECT_DUPLICATES, &error, &no_memory);
    free(text);
    if (*object_out)
        return LSPO_OK;
    if (no_memory)
        return lspo_no_memory("reading %s", path);
    return lspo_error(LSPO_ERR_CHECK, "%s:%d: damaged: %s", path, error.line, error.text);
}

lspo_status_t lspo_checkpoint_read_state(const char *path, const lspo_checkpoint_t *checkpoint, uint64_t *hashes,
                                         lspo_train_state_t *state_out)
{
    json_t *object;
    lspo_status_t status = load_object(path, &object);
    if (status != LSPO_OK)
        return status;
    status = check_format(path, object);
    if (status != LSPO_OK)
        goto cleanup;
    status = check_hash(path, object);
    if (status != LSPO_OK)
        goto cleanup;
    status = parse_state(path, object, state_out);
    if (status != LSPO_OK)
        goto cleanup;
    status = check_settings(path, object, checkpoint);
    if (status != LSPO_OK)
        goto cleanup;
    status = read_hashes(path, object, checkpoint, hashes);
cleanup:
    json_decref(object);
    return status;
}

lspo_status_t lspo_checkpoint_read_setting(const char *path, const char *key, char value_out[LSPO_SETTING_BYTES])
{
    json_t *object;
    lspo_status_t status = load_object(path, &object);
    if (status != LSPO_OK)
        return status;
    const char *value = json_string_value(json_object_get(json_object_get(object, "settings"), key));
    snprintf(value_out, LSPO_SETTING_BYTES, "%s", value ? value : "");
    json_decref(object);
    return LSPO_OK;
}
