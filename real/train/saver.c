/* saver.c - see saver.h. */
#include "real/train/saver.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "real/device/device.h"
#include "real/machine/host_memory.h"

enum { ALIGNMENT = 64 };
/* The share of free memory that a copy may take: the training and the disk cache need some, too. */
static const double share_of_free = 0.8;

struct lspo_saver {
    const char *folder;
    uint32_t keep;
    bool waits; /* there was no memory for a copy */
    void *copy;
    uint64_t copy_bytes;
    /* The checkpoint being written; its arrays are in the copy. */
    lspo_train_state_t state;
    lspo_state_array_t *arrays;
    lspo_checkpoint_t checkpoint;
    pthread_t thread;
    bool writing;
    atomic_bool written;
    lspo_status_t status; /* of the thread */
    double held_s;
};

lspo_saver_t *lspo_saver_create(const char *folder, uint32_t keep)
{
    lspo_saver_t *saver = calloc(1, sizeof *saver);
    if (saver) {
        saver->folder = folder;
        saver->keep = keep;
    }
    return saver;
}

static lspo_status_t join(lspo_saver_t *saver)
{
    if (!saver->writing)
        return LSPO_OK;
    pthread_join(saver->thread, NULL);
    saver->writing = false;
    return saver->status;
}

void lspo_saver_destroy(lspo_saver_t *saver)
{
    if (!saver)
        return;
    (void)join(saver); /* it has logged its error */
    free(saver->arrays);
    free(saver->copy);
    free(saver);
}

static void add_held(lspo_saver_t *saver, uint64_t start_ns)
{
    saver->held_s += 1e-9 * (double)(lspo_now_ns() - start_ns);
}

static uint64_t rounded(uint64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Allocate the copy once: the number and sizes of a training's arrays do not change. */
static void take_copy(lspo_saver_t *saver, const lspo_checkpoint_t *checkpoint)
{
    uint64_t bytes = 0, free_bytes = lspo_host_memory_available("");
    char needed[32], there[32];
    for (size_t i = 0; i < checkpoint->array_count; i++)
        bytes += rounded(lspo_state_array_bytes(&checkpoint->arrays[i]));
    if ((double)bytes <= share_of_free * (double)free_bytes) {
        saver->arrays = calloc(checkpoint->array_count + 1, sizeof *saver->arrays);
        saver->copy = saver->arrays ? aligned_alloc(ALIGNMENT, bytes + ALIGNMENT) : NULL;
    }
    saver->waits = saver->copy == NULL;
    if (saver->waits)
        lspo_warn("the training waits while checkpoints are written: a copy of its state needs %s of host memory, and "
                  "%s are free",
                  lspo_format_quantity((double)bytes, LSPO_UNIT_BYTES, needed, sizeof needed),
                  lspo_format_quantity((double)free_bytes, LSPO_UNIT_BYTES, there, sizeof there));
    else
        saver->copy_bytes = bytes;
}

static lspo_status_t fill_copy(lspo_saver_t *saver, const lspo_checkpoint_t *checkpoint)
{
    char *at = saver->copy;
    for (size_t i = 0; i < checkpoint->array_count; i++) {
        size_t bytes = lspo_state_array_bytes(&checkpoint->arrays[i]);
        saver->arrays[i] = checkpoint->arrays[i];
        saver->arrays[i].device = NULL;
        saver->arrays[i].data = at;
        lspo_status_t status = lspo_state_array_read(&checkpoint->arrays[i], 0, bytes, at);
        if (status != LSPO_OK)
            return status;
        at += rounded(bytes);
    }
    saver->state = *checkpoint->state;
    saver->checkpoint = *checkpoint;
    saver->checkpoint.state = &saver->state;
    saver->checkpoint.arrays = saver->arrays;
    return LSPO_OK;
}

static void *write_copy(void *argument)
{
    lspo_saver_t *saver = argument;
    saver->status = lspo_checkpoint_write(saver->folder, &saver->checkpoint, saver->keep);
    atomic_store(&saver->written, true);
    return NULL;
}

static lspo_status_t save(lspo_saver_t *saver, const lspo_checkpoint_t *checkpoint, bool last)
{
    lspo_status_t status = join(saver);
    if (status != LSPO_OK)
        return status;
    if (!last && !saver->copy && !saver->waits)
        take_copy(saver, checkpoint);
    if (last || saver->waits)
        return lspo_checkpoint_write(saver->folder, checkpoint, saver->keep);
    status = fill_copy(saver, checkpoint);
    if (status != LSPO_OK)
        return status;
    atomic_store(&saver->written, false);
    saver->writing = pthread_create(&saver->thread, NULL, write_copy, saver) == 0;
    return saver->writing ? LSPO_OK : lspo_checkpoint_write(saver->folder, &saver->checkpoint, saver->keep);
}

lspo_status_t lspo_saver_save(lspo_saver_t *saver, const lspo_checkpoint_t *checkpoint, bool last)
{
    uint64_t start_ns = lspo_now_ns();
    lspo_status_t status = save(saver, checkpoint, last);
    add_held(saver, start_ns);
    return status;
}

lspo_status_t lspo_saver_wait(lspo_saver_t *saver)
{
    uint64_t start_ns = lspo_now_ns();
    lspo_status_t status = join(saver);
    add_held(saver, start_ns);
    return status;
}

lspo_status_t lspo_saver_poll(lspo_saver_t *saver)
{
    return saver->writing && atomic_load(&saver->written) ? join(saver) : LSPO_OK;
}

double lspo_saver_held_s(const lspo_saver_t *saver)
{
    return saver->held_s;
}

uint64_t lspo_saver_copy_bytes(const lspo_saver_t *saver)
{
    return saver->copy_bytes;
}
