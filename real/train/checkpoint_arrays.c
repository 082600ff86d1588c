/* checkpoint_arrays.c - the arrays of a checkpoint: a safetensors file, and a hash of each.  Arrays of a device are
 * copied in parts, so that no array is in host memory twice. */
#include <inttypes.h>
#include <stdlib.h>
#include <xxhash.h>

#include "real/formats/safetensors.h"
#include "real/train/checkpoint_parts.h"

enum { PART_BYTES = 4 << 20 };

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
    case LSPO_STATE_U8:
        return LSPO_DTYPE_U8;
    case LSPO_STATE_F32:
        break;
    }
    return LSPO_DTYPE_F32;
}

/* The progress of writing or reading a checkpoint. */
typedef struct {
    const lspo_checkpoint_t *checkpoint;
    uint64_t done_bytes, of_bytes;
} progress_t;

static void progress_start(progress_t *progress, const lspo_checkpoint_t *checkpoint)
{
    *progress = (progress_t){.checkpoint = checkpoint};
    for (size_t i = 0; i < checkpoint->array_count; i++)
        progress->of_bytes += lspo_state_array_bytes(&checkpoint->arrays[i]);
}

static void progress_add(progress_t *progress, uint64_t bytes)
{
    const lspo_checkpoint_t *checkpoint = progress->checkpoint;
    uint32_t before_mb = (uint32_t)(progress->done_bytes / 1000000);
    progress->done_bytes += bytes;
    uint32_t done_mb = (uint32_t)(progress->done_bytes / 1000000);
    if (checkpoint->progress && done_mb != before_mb)
        checkpoint->progress(checkpoint->progress_context, done_mb, (uint32_t)(progress->of_bytes / 1000000));
}

/* An array being written to the file. */
typedef struct {
    const lspo_state_array_t *array;
    XXH3_state_t *hash;
    progress_t *progress;
} outgoing_t;

static lspo_status_t fill(void *context, uint64_t offset_bytes, size_t bytes, void *out)
{
    outgoing_t *outgoing = context;
    lspo_status_t status = lspo_state_array_read(outgoing->array, offset_bytes, bytes, out);
    if (status != LSPO_OK)
        return status;
    XXH3_64bits_update(outgoing->hash, out, bytes);
    progress_add(outgoing->progress, bytes);
    return LSPO_OK;
}

static lspo_safetensor_source_t source_of(outgoing_t *outgoing)
{
    const lspo_state_array_t *array = outgoing->array;
    return (lspo_safetensor_source_t){.name = array->name,
                                      .dtype = dtype_of(array->type),
                                      .rank = 1,
                                      .shape = {array->element_count},
                                      .fill = fill,
                                      .context = outgoing};
}

static void free_outgoing(outgoing_t *outgoing, size_t count)
{
    for (size_t i = 0; outgoing && i < count; i++)
        XXH3_freeState(outgoing[i].hash);
    free(outgoing);
}

lspo_status_t lspo_checkpoint_write_arrays(const char *path, const lspo_checkpoint_t *checkpoint, uint64_t *hashes)
{
    size_t count = checkpoint->array_count;
    lspo_safetensor_source_t *sources = calloc(count + 1, sizeof *sources);
    outgoing_t *outgoing = calloc(count + 1, sizeof *outgoing);
    progress_t progress;
    progress_start(&progress, checkpoint);
    bool complete = sources && outgoing;
    for (size_t i = 0; complete && i < count; i++) {
        outgoing[i] = (outgoing_t){.array = &checkpoint->arrays[i], .hash = XXH3_createState(), .progress = &progress};
        complete = outgoing[i].hash && XXH3_64bits_reset(outgoing[i].hash) == XXH_OK;
        sources[i] = source_of(&outgoing[i]);
    }
    lspo_status_t status = complete ? lspo_safetensors_write(path, sources, count, NULL, 0)
                                    : lspo_no_memory("the %zu arrays of a checkpoint", count);
    if (status != LSPO_OK)
        goto cleanup;
    for (size_t i = 0; i < count; i++)
        hashes[i] = XXH3_64bits_digest(outgoing[i].hash);
cleanup:
    free_outgoing(outgoing, count);
    free(sources);
    return status;
}

/* A reader returns LSPO_ERR_INPUT for errors in a file; in our own files they are damage. */
static lspo_status_t damage(lspo_status_t status)
{
    return status == LSPO_ERR_INPUT ? LSPO_ERR_CHECK : status;
}

static lspo_status_t find_array(const lspo_safetensors_t *file, const char *path, const lspo_state_array_t *array,
                                const lspo_safetensor_t **tensor_out)
{
    const lspo_safetensor_t *tensor = lspo_safetensors_find(file, array->name);
    if (!tensor)
        return lspo_error(LSPO_ERR_CHECK, "%s: there is no array %s", path, array->name);
    if (tensor->dtype != dtype_of(array->type) || tensor->element_count != array->element_count)
        return lspo_error(LSPO_ERR_CHECK,
                          "%s: array %s has %" PRIu64 " elements of %s; this training's has %" PRIu64 " of %s", path,
                          array->name, tensor->element_count, lspo_dtype_name(tensor->dtype), array->element_count,
                          lspo_dtype_name(dtype_of(array->type)));
    *tensor_out = tensor;
    return LSPO_OK;
}

/* A file being read, and what takes the parts of its arrays. */
typedef struct {
    const char *path;
    lspo_safetensors_t *file;
    void *part; /* PART_BYTES */
    lspo_checkpoint_take_t take;
    void *context;
} incoming_t;

/* Part by part; each is hashed while it is in the cache. */
static lspo_status_t read_parts(const incoming_t *in, const lspo_safetensor_t *tensor, XXH3_state_t *hash)
{
    for (uint64_t at = 0; at < tensor->byte_count; at += PART_BYTES) {
        uint64_t left = tensor->byte_count - at;
        size_t bytes = left < PART_BYTES ? (size_t)left : PART_BYTES;
        lspo_status_t status = damage(lspo_safetensors_read_part(in->file, tensor, at, bytes, in->part));
        if (status != LSPO_OK)
            return status;
        XXH3_64bits_update(hash, in->part, bytes);
        status = in->take(in->context, at, bytes, in->part);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static lspo_status_t read_array(const incoming_t *in, const lspo_state_array_t *array, uint64_t hash)
{
    const lspo_safetensor_t *tensor = NULL;
    lspo_status_t status = find_array(in->file, in->path, array, &tensor);
    if (status != LSPO_OK)
        return status;
    XXH3_state_t *state = XXH3_createState();
    if (!state || XXH3_64bits_reset(state) != XXH_OK) {
        XXH3_freeState(state);
        return lspo_no_memory("a hash");
    }
    status = read_parts(in, tensor, state);
    uint64_t found = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    if (status != LSPO_OK)
        return status;
    if (found != hash)
        return lspo_error(LSPO_ERR_CHECK,
                          "%s: damaged: array %s has the hash %016" PRIx64 ", but was written with %016" PRIx64,
                          in->path, array->name, found, hash);
    return LSPO_OK;
}

static lspo_status_t open_incoming(const char *path, incoming_t *in)
{
    *in = (incoming_t){.path = path};
    lspo_status_t status = damage(lspo_safetensors_open(path, &in->file));
    if (status != LSPO_OK)
        return status;
    in->part = malloc(PART_BYTES);
    if (in->part)
        return LSPO_OK;
    lspo_safetensors_close(in->file);
    return lspo_no_memory("reading %s", path);
}

static void close_incoming(incoming_t *in)
{
    free(in->part);
    lspo_safetensors_close(in->file);
}

lspo_status_t lspo_checkpoint_read_parts(const char *path, const lspo_state_array_t *array, uint64_t hash,
                                         lspo_checkpoint_take_t take, void *context)
{
    incoming_t in;
    lspo_status_t status = open_incoming(path, &in);
    if (status != LSPO_OK)
        return status;
    in.take = take;
    in.context = context;
    status = read_array(&in, array, hash);
    close_incoming(&in);
    return status;
}

typedef struct {
    const lspo_state_array_t *array;
    progress_t progress;
} stored_t;

static lspo_status_t store(void *context, size_t offset_bytes, size_t bytes, const void *part)
{
    stored_t *stored = context;
    lspo_status_t status = lspo_state_array_write(stored->array, offset_bytes, bytes, part);
    if (status == LSPO_OK)
        progress_add(&stored->progress, bytes);
    return status;
}

lspo_status_t lspo_checkpoint_read_arrays(const char *path, const lspo_checkpoint_t *checkpoint, const uint64_t *hashes)
{
    incoming_t in;
    stored_t stored;
    lspo_status_t status = open_incoming(path, &in);
    if (status != LSPO_OK)
        return status;
    in.take = store;
    in.context = &stored;
    progress_start(&stored.progress, checkpoint);
    for (size_t i = 0; status == LSPO_OK && i < checkpoint->array_count; i++) {
        stored.array = &checkpoint->arrays[i];
        status = read_array(&in, stored.array, hashes[i]);
    }
    close_incoming(&in);
    return status;
}
