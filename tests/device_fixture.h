/* device_fixture.h - code shared by the suites of the CUDA device: a device, its memory, and what it says. */
#ifndef LSPO_TESTS_DEVICE_FIXTURE_H
#define LSPO_TESTS_DEVICE_FIXTURE_H

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "real/device/device.h"
#include "tests/cuda_on_host/cuda_on_host.h"

#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

static inline lspo_device_t *open_device(const lspo_device_caps_t *caps)
{
    lspo_device_t *device = NULL;
    cr_assert_eq(lspo_device_open("cuda", caps, &device), LSPO_OK);
    return device;
}

static inline lspo_status_t try_open(const char *name)
{
    lspo_device_caps_t caps = {0};
    lspo_device_t *device = NULL;
    lspo_status_t status = lspo_device_open(name, &caps, &device);
    lspo_device_close(device);
    return status;
}

static inline void *take(lspo_device_t *device, size_t bytes)
{
    void *memory = NULL;
    cr_assert_eq(lspo_device_alloc(device, bytes, &memory), LSPO_OK);
    cr_assert_eq((uintptr_t)memory % 64, 0u);
    return memory;
}

static inline unsigned char *host_memory(lspo_device_t *device, size_t bytes)
{
    void *memory = NULL;
    cr_assert_eq(lspo_device_host_alloc(device, bytes, &memory), LSPO_OK);
    cr_assert_eq((uintptr_t)memory % 64, 0u);
    return memory;
}

static inline void fill(unsigned char *bytes, size_t count, unsigned seed)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (unsigned char)(i * 31 + i / 257 + seed);
}

static inline size_t wrong_bytes(const unsigned char *bytes, size_t count, unsigned seed)
{
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++)
        wrong += bytes[i] != (unsigned char)(i * 31 + i / 257 + seed);
    return wrong;
}

/* What was written to stderr so far, and how often it holds `part`. */
static inline int said(const char *part)
{
    static char text[16384];
    static size_t length;
    FILE *errors = cr_get_redirected_stderr();
    fflush(stderr);
    length += fread(text + length, 1, sizeof text - 1 - length, errors);
    int count = 0;
    for (const char *at = text; (at = strstr(at, part)); at++)
        count++;
    return count;
}

typedef struct {
    const char *key;
    uint64_t number;
} wanted_t;

static inline lspo_status_t note_number(void *context, const char *key, const char *value)
{
    wanted_t *wanted = context;
    if (strcmp(key, wanted->key) == 0)
        wanted->number = strtoull(value, NULL, 10);
    return LSPO_OK;
}

/* UINT64_MAX when the device does not say. */
static inline uint64_t number_of(const lspo_device_t *device, const char *key)
{
    wanted_t wanted = {key, UINT64_MAX};
    cr_assert_eq(lspo_device_describe(device, note_number, &wanted), LSPO_OK);
    return wanted.number;
}

static inline uint64_t pageable_bytes(const lspo_device_t *device)
{
    return number_of(device, "pageable bytes");
}

#endif
