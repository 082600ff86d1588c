/* The CUDA device on the CPU that stands in for a GPU (tests/cuda_on_host/), whose streams run behind the calls: exact
 * accounting, memory that goes from lane to lane, copies, marks, pinned memory, and what is refused. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_on_host.h"
#include "real/device/device.h"

#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

static lspo_device_t *open_device(const lspo_device_caps_t *caps)
{
    lspo_device_t *device = NULL;
    cr_assert_eq(lspo_device_open("cuda", caps, &device), LSPO_OK);
    return device;
}

static lspo_status_t try_open(const char *name)
{
    lspo_device_caps_t caps = {0};
    lspo_device_t *device = NULL;
    lspo_status_t status = lspo_device_open(name, &caps, &device);
    lspo_device_close(device);
    return status;
}

static void *take(lspo_device_t *device, size_t bytes)
{
    void *memory = NULL;
    cr_assert_eq(lspo_device_alloc(device, bytes, &memory), LSPO_OK);
    cr_assert_eq((uintptr_t)memory % 64, 0u);
    return memory;
}

static unsigned char *host_memory(lspo_device_t *device, size_t bytes)
{
    void *memory = NULL;
    cr_assert_eq(lspo_device_host_alloc(device, bytes, &memory), LSPO_OK);
    cr_assert_eq((uintptr_t)memory % 64, 0u);
    return memory;
}

static void fill(unsigned char *bytes, size_t count, unsigned seed)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (unsigned char)(i * 31 + i / 257 + seed);
}

static size_t wrong_bytes(const unsigned char *bytes, size_t count, unsigned seed)
{
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++)
        wrong += bytes[i] != (unsigned char)(i * 31 + i / 257 + seed);
    return wrong;
}

/* What was written to stderr so far, and how often it holds `part`. */
static int said(const char *part)
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

/* ---- which device ---- */

Test(device_cuda, numbers_out_of_range)
{
    cr_assert_eq(try_open("cuda"), LSPO_OK);
    cr_assert_eq(try_open("cuda:0"), LSPO_OK);
    cr_assert_eq(try_open("cuda:1"), LSPO_ERR_DEVICE);
    cr_assert_eq(try_open("cuda:9999"), LSPO_ERR_DEVICE);
    const char *const nonsense[] = {"cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda:99999", "cudas", "cuda0"};
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++)
        cr_assert_eq(try_open(nonsense[i]), LSPO_ERR_INPUT, "%s", nonsense[i]);
    cuda_on_host_device(2, 9, 0, GIB);
    cr_assert_eq(try_open("cuda:1"), LSPO_OK);
}

Test(device_cuda, machine_without_a_gpu, .init = cr_redirect_stderr)
{
    cuda_on_host_device(0, 9, 0, GIB);
    cr_assert_eq(try_open("cuda"), LSPO_ERR_DEVICE);
    cr_assert_eq(said("this machine has no CUDA device"), 1);
}

Test(device_cuda, capability_decides_what_is_computed, .init = cr_redirect_stderr)
{
    lspo_device_caps_t caps = {0};
    cuda_on_host_device(1, 7, 0, GIB);
    cr_assert_eq(try_open("cuda"), LSPO_ERR_DEVICE);
    cr_assert_eq(said("kernels for 7.5 and newer"), 1);

    cuda_on_host_device(1, 7, 5, GIB);
    lspo_device_t *device = open_device(&caps);
    cr_assert_eq(lspo_device_set_number(device, LSPO_NUMBER_BF16), LSPO_ERR_INPUT);
    cr_assert_eq(said("has no bf16"), 1);
    cr_assert_eq(lspo_compute_number(lspo_device_compute(device)), LSPO_NUMBER_FP32);
    cr_assert_eq(lspo_device_set_number(device, LSPO_NUMBER_FP16), LSPO_OK);
    cr_assert_eq(lspo_compute_number(lspo_device_compute(device)), LSPO_NUMBER_FP16);
    lspo_device_close(device);

    cuda_on_host_device(1, 8, 0, GIB);
    device = open_device(&caps);
    cr_assert_eq(lspo_device_set_number(device, LSPO_NUMBER_BF16), LSPO_OK);
    cr_assert_eq(lspo_compute_number(lspo_device_compute(device)), LSPO_NUMBER_BF16);
    lspo_device_close(device);
}

static lspo_status_t note_entry(void *context, const char *key, const char *value)
{
    char *text = context;
    cr_assert_lt(strlen(text) + strlen(key) + strlen(value) + 3, 1024u);
    sprintf(text + strlen(text), "%s=%s;", key, value);
    return LSPO_OK;
}

static void expect_entry(const lspo_device_t *device, const char *entry)
{
    char text[1024] = "";
    cr_assert_eq(lspo_device_describe(device, note_entry, text), LSPO_OK);
    cr_assert_not_null(strstr(text, entry), "no %s in %s", entry, text);
}

static lspo_status_t note_pageable(void *context, const char *key, const char *value)
{
    if (strcmp(key, "pageable bytes") == 0)
        *(uint64_t *)context = strtoull(value, NULL, 10);
    return LSPO_OK;
}

/* UINT64_MAX when the device does not say. */
static uint64_t pageable_bytes(const lspo_device_t *device)
{
    uint64_t bytes = UINT64_MAX;
    cr_assert_eq(lspo_device_describe(device, note_pageable, &bytes), LSPO_OK);
    return bytes;
}

Test(device_cuda, known_without_being_opened)
{
    const uint32_t count = lspo_device_gpu_count();
    cr_assert_geq(count, 1u);
    for (uint32_t i = 0; i < count; i++) {
        lspo_device_gpu_t gpu;
        cr_assert_eq(lspo_device_gpu_at(i, &gpu), LSPO_OK);
        cr_assert_eq(try_open(gpu.name), LSPO_OK);
        cr_assert_gt(gpu.sm_count, 0u);
        cr_assert_neq(strstr(gpu.description, " GiB, compute capability "), NULL, "%s", gpu.description);
        cr_assert_gt(strlen(gpu.place), 0u);
    }
}

Test(device_cuda, says_what_it_is)
{
    lspo_device_caps_t caps = {0};
    lspo_device_t *device = open_device(&caps);
    cr_assert(lspo_device_is_asynchronous(device));
    expect_entry(device, "gpu=CPU as a GPU;");
    expect_entry(device, "sm count=132;");
    expect_entry(device, "compute capability=9.0;");
    expect_entry(device, "pageable bytes=0;");
    cr_assert_str_eq(lspo_device_pci_address(device), "0000:3b:00.0");
    lspo_device_close(device);
}

/* In steps of 8 there: 20 asked for are 24. */
Test(device_cuda, fewer_multiprocessors, .init = cr_redirect_stderr)
{
    lspo_device_caps_t caps = {.sms = 20};
    lspo_device_t *device = open_device(&caps);
    expect_entry(device, "sm count=24;");
    unsigned char *memory = take(device, 1000), back[1000];
    lspo_compute_zero(lspo_device_compute(device), 1000, memory);
    cr_assert_eq(lspo_device_read(device, back, memory, 1000), LSPO_OK);
    cr_assert(back[0] == 0 && back[999] == 0);
    lspo_device_close(device);

    caps.sms = 133;
    cr_assert_eq(lspo_device_open("cuda", &caps, &device), LSPO_ERR_INPUT);
    cr_assert_eq(said("the GPU has 132 multiprocessors"), 1);
    caps.sms = 20;
    cuda_on_host_green_contexts(false);
    cr_assert_eq(lspo_device_open("cuda", &caps, &device), LSPO_ERR_DEVICE);
    cr_assert_eq(said("no green contexts"), 1);
}

/* ---- products ---- */

enum { SIDE = 16 };

/* out <- x (w + 0) for x = (i - j) / 8 and the identity w, as a layer with a bias of zeros and as a plain product. */
static void expect_products(lspo_device_t *device)
{
    lspo_compute_t *compute = lspo_device_compute(device);
    float x[SIDE * SIDE], identity[SIDE * SIDE] = {0}, bias[SIDE] = {0}, back[SIDE * SIDE];
    for (int i = 0; i < SIDE * SIDE; i++)
        x[i] = (float)(i / SIDE - i % SIDE) / 8;
    for (int i = 0; i < SIDE; i++)
        identity[i * SIDE + i] = 1;
    void *arrays[4];
    const float *const from[] = {x, identity, bias};
    for (int i = 0; i < 4; i++)
        arrays[i] = take(device, sizeof x);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(lspo_device_write(device, arrays[i], from[i], i < 2 ? sizeof x : sizeof bias), LSPO_OK);
    for (int plain = 0; plain < 2; plain++) {
        lspo_compute_zero(compute, sizeof back, arrays[3]);
        if (plain)
            lspo_compute_gemm_nn(compute, &(lspo_gemm_t){.m = SIDE,
                                                         .n = SIDE,
                                                         .k = SIDE,
                                                         .alpha = 1,
                                                         .a = arrays[0],
                                                         .a_stride = SIDE,
                                                         .b = arrays[1],
                                                         .b_stride = SIDE,
                                                         .c = arrays[3],
                                                         .c_stride = SIDE});
        else
            lspo_compute_linear_forward(
                compute, &(lspo_linear_t){.tokens = SIDE, .m = SIDE, .n = SIDE, .w = arrays[1], .bias = arrays[2]},
                arrays[0], NULL, arrays[3]);
        cr_assert_eq(lspo_compute_status(compute), LSPO_OK);
        cr_assert_eq(lspo_device_read(device, back, arrays[3], sizeof back), LSPO_OK);
        cr_assert_eq(memcmp(back, x, sizeof x), 0);
    }
    for (int i = 0; i < 4; i++)
        lspo_device_free(device, arrays[i]);
}

/* In the workspace that the device gave to cuBLAS, and on as many multiprocessors as there may be. */
Test(device_cuda, products_use_what_the_device_gives)
{
    lspo_device_caps_t caps = {0};
    lspo_device_t *device = open_device(&caps);
    expect_products(device);
    lspo_device_close(device);
    caps.sms = 8;
    device = open_device(&caps);
    expect_products(device);
    lspo_device_close(device);
}

Test(device_cuda, refused_epilogues_are_kernels_of_their_own)
{
    lspo_device_caps_t caps = {0};
    lspo_device_t *device = open_device(&caps);
    expect_products(device);
    cuda_on_host_refuse_fused(true);
    expect_products(device); /* what was found before */
    expect_products(device); /* and what is known to be refused */
    lspo_device_close(device);
}

/* ---- memory ---- */

/* As of the host device (tests/real/device/test_device.c): 6000, then 7000 at most; counted when asked for, whatever is
 * still queued. */
Test(device_cuda, accounting_is_exact, .init = cr_redirect_stderr)
{
    lspo_device_caps_t caps = {.memory_bytes = 7000};
    cuda_on_host_delays(3);
    lspo_device_t *device = open_device(&caps);
    void *a = take(device, 1000), *b = take(device, 5000);
    cr_assert_eq(lspo_device_peak_bytes(device), 6000u);
    lspo_device_free(device, a);
    void *c = take(device, 2000), *d = NULL;
    cr_assert_eq(lspo_device_peak_bytes(device), 7000u);
    cr_assert_eq(lspo_device_alloc(device, 1, &d), LSPO_ERR_FIT);
    cr_assert_null(d);
    cr_assert_eq(said("1 B needed with 6.84 KiB in use of 6.84 KiB allowed: 1 B short"), 1);
    lspo_device_free(device, b);
    lspo_device_free(device, c);
    lspo_device_free(device, NULL);
    d = take(device, 7000);
    lspo_device_free(device, d);
    d = take(device, 0);
    lspo_device_free(device, d);
    cr_assert_eq(lspo_device_peak_bytes(device), 7000u);
    cr_assert_geq(lspo_device_most_held_bytes(device), 7000u);
    lspo_device_close(device);
}

/* 256 MiB, of which cuBLAS and scratch take some: the rest is what was free at the start. */
Test(device_cuda, no_more_than_the_gpu_has, .init = cr_redirect_stderr)
{
    lspo_device_caps_t caps = {.memory_bytes = 256 * MIB};
    cuda_on_host_device(1, 9, 0, 256 * MIB);
    lspo_device_t *device = open_device(&caps);
    void *memory = NULL, *more = NULL;
    cr_assert_eq(lspo_device_alloc(device, 256 * MIB, &memory), LSPO_ERR_FIT);
    cr_assert_eq(said("256 MiB needed with 0 B in use of"), 1);
    cr_assert_eq(said("free on the GPU at the start"), 1);
    memory = take(device, 16 * MIB);
    cr_assert_eq(lspo_device_alloc(device, 240 * MIB, &more), LSPO_ERR_FIT);
    lspo_device_free(device, memory);
    lspo_device_close(device);
}

enum { REUSED_BYTES = 20000, ROUNDS = 60 };

/* Two lanes by turns: what the first gives back while it still uses it, the second is given. */
typedef struct {
    lspo_device_t *device;
    unsigned char *from[2], *back[2]; /* by lane */
    pthread_barrier_t turn;
    void *taken; /* by none of them */
    size_t same_count, wrong_count;
} relay_t;

static void *second_lane(void *argument)
{
    relay_t *relay = argument;
    cr_assert_eq(lspo_device_enter_lane(relay->device, LSPO_LANE_H2D), LSPO_OK);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&relay->turn);
        void *memory = take(relay->device, REUSED_BYTES);
        lspo_device_write_later(relay->device, memory, relay->from[1], REUSED_BYTES);
        lspo_device_read_later(relay->device, relay->back[1], memory, REUSED_BYTES);
        lspo_device_free(relay->device, memory);
        pthread_barrier_wait(&relay->turn);
        cr_assert_eq(lspo_device_read(relay->device, relay->back[1], NULL, 0), LSPO_OK);
        pthread_barrier_wait(&relay->turn);
    }
    return NULL;
}

static void first_lane(relay_t *relay)
{
    cr_assert_eq(lspo_device_enter_lane(relay->device, LSPO_LANE_GPU), LSPO_OK);
    for (int round = 0; round < ROUNDS; round++) {
        void *memory = take(relay->device, REUSED_BYTES);
        lspo_device_write_later(relay->device, memory, relay->from[0], REUSED_BYTES);
        lspo_device_read_later(relay->device, relay->back[0], memory, REUSED_BYTES);
        lspo_device_free(relay->device, memory);
        pthread_barrier_wait(&relay->turn);
        pthread_barrier_wait(&relay->turn);
        cr_assert_eq(lspo_device_read(relay->device, relay->back[0], NULL, 0), LSPO_OK);
        pthread_barrier_wait(&relay->turn);
        for (unsigned lane = 0; lane < 2; lane++) {
            relay->wrong_count += wrong_bytes(relay->back[lane], REUSED_BYTES, lane) > 0;
            memset(relay->back[lane], 0, REUSED_BYTES);
        }
    }
}

static size_t wrong_rounds(void)
{
    lspo_device_caps_t caps = {0}; /* the pool gives the second what the first gave back */
    relay_t relay = {.device = open_device(&caps)};
    for (unsigned lane = 0; lane < 2; lane++) {
        relay.from[lane] = host_memory(relay.device, REUSED_BYTES);
        relay.back[lane] = host_memory(relay.device, REUSED_BYTES);
        fill(relay.from[lane], REUSED_BYTES, lane);
    }
    pthread_barrier_init(&relay.turn, NULL, 2);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, second_lane, &relay), 0);
    first_lane(&relay);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&relay.turn);
    lspo_device_close(relay.device);
    return relay.wrong_count;
}

Test(device_cuda, memory_goes_from_lane_to_lane)
{
    cuda_on_host_delays(5);
    cr_assert_eq(wrong_rounds(), 0u);
    cuda_on_host_break_reuse(true); /* and the check can fail */
    cr_assert_gt(wrong_rounds(), 0u);
}

typedef struct {
    lspo_device_t *device;
    pthread_barrier_t turn;
    atomic_bool taken;
} latecomer_t;

static void *take_in_a_lane(void *argument)
{
    latecomer_t *late = argument;
    cr_assert_eq(lspo_device_enter_lane(late->device, LSPO_LANE_H2D), LSPO_OK);
    pthread_barrier_wait(&late->turn);
    pthread_barrier_wait(&late->turn);
    take(late->device, 5000);
    atomic_store(&late->taken, true);
    return NULL;
}

/* What the GPU's lane gave back may still be in use: where the cap leaves no room besides, another lane waits until a
 * mark behind it was waited for; its own has it at once. */
Test(device_cuda, a_lane_waits_for_what_another_gives_back, .timeout = 30)
{
    lspo_device_caps_t caps = {.memory_bytes = 7000};
    latecomer_t late = {.device = open_device(&caps)};
    lspo_device_mark_t *mark;
    pthread_t thread;
    pthread_barrier_init(&late.turn, NULL, 2);
    cr_assert_eq(pthread_create(&thread, NULL, take_in_a_lane, &late), 0);
    cr_assert_eq(lspo_device_mark_create(late.device, &mark), LSPO_OK);
    cr_assert_eq(lspo_device_enter_lane(late.device, LSPO_LANE_GPU), LSPO_OK);
    pthread_barrier_wait(&late.turn);
    for (int i = 0; i < 2; i++)
        lspo_device_free(late.device, take(late.device, 5000));
    cr_assert_eq(lspo_device_mark_record(late.device, LSPO_LANE_GPU, mark), LSPO_OK);
    pthread_barrier_wait(&late.turn);
    lspo_pace(lspo_now_ns(), 20e-3);
    cr_assert_not(atomic_load(&late.taken));
    cr_assert_eq(lspo_device_mark_wait(late.device, mark), LSPO_OK);
    pthread_join(thread, NULL);
    cr_assert_eq(lspo_device_peak_bytes(late.device), 5000u);
    lspo_device_mark_destroy(late.device, mark);
    pthread_barrier_destroy(&late.turn);
    lspo_device_close(late.device);
}

static void *use_what_is_taken(void *argument)
{
    relay_t *relay = argument;
    cr_assert_eq(lspo_device_enter_lane(relay->device, LSPO_LANE_H2D), LSPO_OK);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&relay->turn);
        lspo_device_write_later(relay->device, relay->taken, relay->from[1], REUSED_BYTES);
        cr_assert_eq(lspo_device_read(relay->device, relay->back[1], relay->taken, REUSED_BYTES), LSPO_OK);
        relay->wrong_count += wrong_bytes(relay->back[1], REUSED_BYTES, 1) > 0;
        pthread_barrier_wait(&relay->turn);
    }
    return NULL;
}

/* Memory that no lane took may be used by all of them, once the call is back. */
Test(device_cuda, memory_taken_outside_of_lanes_is_anyones)
{
    lspo_device_caps_t caps = {0};
    cuda_on_host_delays(15);
    relay_t relay = {.device = open_device(&caps)};
    relay.from[1] = host_memory(relay.device, REUSED_BYTES);
    relay.back[1] = host_memory(relay.device, REUSED_BYTES);
    fill(relay.from[1], REUSED_BYTES, 1);
    pthread_barrier_init(&relay.turn, NULL, 2);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, use_what_is_taken, &relay), 0);
    for (int round = 0; round < ROUNDS; round++) {
        relay.taken = take(relay.device, REUSED_BYTES);
        pthread_barrier_wait(&relay.turn);
        pthread_barrier_wait(&relay.turn);
        lspo_device_free(relay.device, relay.taken);
    }
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&relay.turn);
    cr_assert_eq(relay.wrong_count, 0u);
    lspo_device_close(relay.device);
}

/* Memory that was given back is NaN where the lane has come so far. */
Test(device_cuda, freed_memory_holds_nothing)
{
    lspo_device_caps_t caps = {0};
    lspo_device_t *device = open_device(&caps);
    float *memory = take(device, 1000), value = 0;
    lspo_compute_zero(lspo_device_compute(device), 1000, memory);
    cr_assert_eq(lspo_device_read(device, &value, memory, sizeof value), LSPO_OK);
    cr_assert_eq(value, 0);
    lspo_device_free(device, memory);
    cr_assert_eq(take(device, 1000), memory);
    cr_assert_eq(lspo_device_read(device, &value, memory, sizeof value), LSPO_OK);
    cr_assert(value != value);
    lspo_device_close(device);
}

typedef struct {
    lspo_device_t *device;
    unsigned char *memory, *back;
} prepared_t;

static void *read_prepared(void *argument)
{
    prepared_t *prepared = argument;
    cr_assert_eq(lspo_device_enter_lane(prepared->device, LSPO_LANE_D2H), LSPO_OK);
    lspo_device_copy(prepared->device, LSPO_COPY_D2H, prepared->back, prepared->memory, REUSED_BYTES);
    cr_assert_eq(lspo_device_read(prepared->device, prepared->back, NULL, 0), LSPO_OK);
    return NULL;
}

/* What was queued before a lane is entered is done before the lane's first op. */
Test(device_cuda, lanes_begin_behind_what_was_prepared)
{
    lspo_device_caps_t caps = {0};
    cuda_on_host_delays(7);
    prepared_t prepared = {.device = open_device(&caps)};
    unsigned char *from = host_memory(prepared.device, REUSED_BYTES);
    prepared.back = host_memory(prepared.device, REUSED_BYTES);
    for (unsigned round = 0; round < ROUNDS; round++) {
        prepared.memory = take(prepared.device, REUSED_BYTES);
        fill(from, REUSED_BYTES, round);
        lspo_device_write_later(prepared.device, prepared.memory, from, REUSED_BYTES);
        pthread_t thread;
        cr_assert_eq(pthread_create(&thread, NULL, read_prepared, &prepared), 0);
        pthread_join(thread, NULL);
        cr_assert_eq(wrong_bytes(prepared.back, REUSED_BYTES, round), 0u);
        lspo_device_free(prepared.device, prepared.memory);
    }
    lspo_device_close(prepared.device);
}

/* ---- copies ---- */

static void expect_copies(const lspo_device_caps_t *caps, size_t bytes)
{
    lspo_device_t *device = open_device(caps);
    unsigned char *from = host_memory(device, bytes), *back = host_memory(device, bytes), *now = malloc(bytes);
    cr_assert_not_null(now);
    void *memory = take(device, bytes);
    fill(from, bytes, 1);
    lspo_device_copy(device, LSPO_COPY_H2D, memory, from, bytes);
    lspo_device_copy(device, LSPO_COPY_D2H, back, memory, bytes);
    cr_assert_eq(lspo_device_read(device, now, memory, bytes), LSPO_OK); /* behind the copies */
    cr_assert_eq(wrong_bytes(back, bytes, 1) + wrong_bytes(now, bytes, 1), 0u);
    fill(now, bytes, 2);
    cr_assert_eq(lspo_device_write(device, memory, now, bytes), LSPO_OK);
    lspo_device_read_later(device, back, memory, bytes);
    lspo_device_copy(device, LSPO_COPY_D2H, back, memory, 0);
    cr_assert_eq(lspo_device_read(device, now, memory, 0), LSPO_OK);
    cr_assert_eq(wrong_bytes(back, bytes, 2), 0u);
    cr_assert_eq(pageable_bytes(device), 0u);
    free(now);
    lspo_device_close(device);
}

Test(device_cuda, copies_carry_every_byte)
{
    cuda_on_host_delays(9);
    expect_copies(&(lspo_device_caps_t){0}, 1000003);
    expect_copies(&(lspo_device_caps_t){.h2d_Bps = 2e9, .d2h_Bps = 2e9, .h2d_latency_s = 1e-5}, 9000001); /* 3 chunks */
}

/* The shortest of several. */
static double copy_s(lspo_device_t *device, lspo_copy_direction_t direction, void *to, void *from, size_t bytes)
{
    double best_s = 1e9;
    for (int i = 0; i < 4; i++) {
        uint64_t start_ns = lspo_now_ns();
        lspo_device_copy(device, direction, to, from, bytes);
        lspo_device_read(device, to, NULL, 0);
        double time_s = (double)(lspo_now_ns() - start_ns) * 1e-9;
        best_s = time_s < best_s ? time_s : best_s;
    }
    return best_s;
}

/* latency + bytes / rate: 1 ms + 10 MB / (100 MB/s) = 101 ms, and 1 ms for nothing; the other way has no pace. */
Test(device_cuda, pace_is_latency_plus_bytes_over_rate)
{
    enum { BYTES = 10000000 };
    lspo_device_caps_t caps = {.d2h_Bps = 100e6, .d2h_latency_s = 1e-3};
    lspo_device_t *device = open_device(&caps);
    unsigned char *host = host_memory(device, BYTES), *memory = take(device, BYTES);
    double paced_s = copy_s(device, LSPO_COPY_D2H, host, memory, BYTES);
    double empty_s = copy_s(device, LSPO_COPY_D2H, host, memory, 0);
    double free_s = copy_s(device, LSPO_COPY_H2D, memory, host, BYTES);
    cr_assert_geq(paced_s, 101e-3);
    cr_assert_geq(empty_s, 1e-3);
    cr_assert_lt(empty_s, paced_s / 2);
    cr_assert_lt(free_s, paced_s / 2);
    lspo_device_close(device);
}

/* Unlike one without a pace, which is only queued; parts of 4 MiB and the rest. */
Test(device_cuda, paced_copies_are_there_on_return)
{
    enum { BYTES = 9000000 };
    lspo_device_caps_t caps = {.d2h_Bps = 10e9, .h2d_Bps = 10e9};
    cuda_on_host_delays(7);
    lspo_device_t *device = open_device(&caps);
    unsigned char *host = host_memory(device, BYTES), *back = host_memory(device, BYTES), *memory = take(device, BYTES);
    for (unsigned seed = 0; seed < 8; seed++) {
        fill(host, BYTES, seed);
        lspo_device_copy(device, LSPO_COPY_H2D, memory, host, BYTES);
        memset(host, 0, BYTES);
        lspo_device_copy(device, LSPO_COPY_D2H, back, memory, BYTES);
        cr_assert_eq(wrong_bytes(back, BYTES, seed), 0u);
    }
    lspo_device_close(device);
}

/* ---- marks ---- */

/* Marks of a lane come in order, on the host's clock: m0, 20 ms in which nothing is queued, m1, a kernel, m2. */
Test(device_cuda, marks_are_on_the_clock)
{
    lspo_device_caps_t caps = {0};
    lspo_device_t *device = open_device(&caps);
    void *memory = take(device, 1000);
    lspo_device_mark_t *marks[3];
    uint64_t at_ns[3];
    for (int i = 0; i < 3; i++)
        cr_assert_eq(lspo_device_mark_create(device, &marks[i]), LSPO_OK);
    for (int round = 0; round < 10; round++) {
        uint64_t start_ns = lspo_now_ns();
        cr_assert_eq(lspo_device_mark_record(device, LSPO_LANE_GPU, marks[0]), LSPO_OK);
        cr_assert_eq(lspo_device_mark_wait(device, marks[0]), LSPO_OK);
        uint64_t pause_ns = lspo_now_ns();
        lspo_pace(pause_ns, 20e-3);
        cr_assert_eq(lspo_device_mark_record(device, LSPO_LANE_GPU, marks[1]), LSPO_OK);
        lspo_compute_zero(lspo_device_compute(device), 1000, memory);
        cr_assert_eq(lspo_device_mark_record(device, LSPO_LANE_GPU, marks[2]), LSPO_OK);
        cr_assert_eq(lspo_device_mark_wait(device, marks[2]), LSPO_OK);
        uint64_t end_ns = lspo_now_ns();
        for (int i = 0; i < 3; i++)
            cr_assert_eq(lspo_device_mark_time(device, marks[i], &at_ns[i]), LSPO_OK);
        const uint64_t slack_ns = 5000000; /* what a base may be off by on a busy machine */
        cr_assert(at_ns[0] + slack_ns >= start_ns && at_ns[2] <= end_ns + slack_ns);
        cr_assert(at_ns[1] >= at_ns[0] + 20000000 - 2000 && at_ns[2] >= at_ns[1]);
    }
    for (int i = 0; i < 3; i++)
        lspo_device_mark_destroy(device, marks[i]);
    lspo_device_mark_destroy(device, NULL);
    lspo_device_close(device);
}

/* The GPU's clock is 1 % fast: 42 ms in 4.2 s.  Beyond the 4 s of a base there is a new one, so that times are the
 * host's, but for what a base may be off by on a busy machine. */
Test(device_cuda, mark_times_after_a_new_base)
{
    lspo_device_caps_t caps = {0};
    cuda_on_host_clock(1.01);
    lspo_device_t *device = open_device(&caps);
    lspo_device_mark_t *marks[2];
    uint64_t at_ns[2], host_ns[2];
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(lspo_device_mark_create(device, &marks[i]), LSPO_OK);
        host_ns[i] = lspo_now_ns();
        cr_assert_eq(lspo_device_mark_record(device, LSPO_LANE_D2H, marks[i]), LSPO_OK);
        cr_assert_eq(lspo_device_mark_wait(device, marks[i]), LSPO_OK);
        if (i == 0)
            lspo_pace(lspo_now_ns(), 4.2);
    }
    uint64_t end_ns = lspo_now_ns();
    for (int i = 0; i < 2; i++) /* the first still counts from the first base */
        cr_assert_eq(lspo_device_mark_time(device, marks[i], &at_ns[i]), LSPO_OK);
    int64_t apart_ns = (int64_t)(at_ns[1] - at_ns[0]), most_ns = (int64_t)(end_ns - host_ns[0]);
    cr_assert(apart_ns >= 4200000000 - 10000000 && apart_ns <= most_ns + 10000000, "%" PRId64 " ns of at most %" PRId64,
              apart_ns, most_ns);
    for (int i = 0; i < 2; i++)
        lspo_device_mark_destroy(device, marks[i]);
    lspo_device_close(device);
}

/* ---- pinned memory ---- */

static void reserve(lspo_device_t *device, size_t bytes)
{
    lspo_device_host_item_t item = {"everything", bytes};
    cr_assert_eq(lspo_device_host_reserve(device, bytes, &item, 1), LSPO_OK);
}

/* 1000 and 300 bytes are 1024 + 320 = 1344 in units of 64. */
Test(device_cuda, reserved_memory_is_handed_out_in_order)
{
    lspo_device_caps_t caps = {0};
    lspo_device_t *device = open_device(&caps);
    reserve(device, 1344);
    unsigned char *a = host_memory(device, 1000), *b = host_memory(device, 300);
    cr_assert_eq(b - a, 1024);
    cr_assert_eq(lspo_device_most_host_held_bytes(device), 1344u);
    memset(a, 0x5a, 1000);
    lspo_device_host_free(device, a);
    a = host_memory(device, 1000);
    cr_assert_eq(b - a, 1024);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(a[i], 0);
    unsigned char *beyond = host_memory(device, 64); /* pinned, too */
    cr_assert_eq(lspo_device_most_host_held_bytes(device), 1344u + 64u);
    void *memory = take(device, 1000);
    lspo_device_copy(device, LSPO_COPY_D2H, a, memory, 1000);
    lspo_device_copy(device, LSPO_COPY_D2H, beyond, memory, 64);
    cr_assert_eq(pageable_bytes(device), 0u);
    void *none = NULL;
    cr_assert_eq(lspo_device_host_alloc(device, SIZE_MAX, &none), LSPO_ERR_MEMORY);
    cr_assert_null(none);
    lspo_device_close(device);
}

/* 2 MiB around the end of the first 256 MiB of 600: pinned on both sides in one go, in pieces, or on one side only. */
static uint64_t pageable_around_the_first_piece(void)
{
    lspo_device_caps_t caps = {0};
    lspo_device_t *device = open_device(&caps);
    reserve(device, 600 * MIB);
    unsigned char *arena = host_memory(device, 600 * MIB), *message = arena + 255 * MIB;
    void *memory = take(device, 2 * MIB);
    fill(message, 2 * MIB, 3);
    lspo_device_copy(device, LSPO_COPY_H2D, memory, message, 2 * MIB);
    cr_assert_eq(lspo_device_read(device, message, memory, 2 * MIB), LSPO_OK);
    cr_assert_eq(wrong_bytes(message, 2 * MIB, 3), 0u);
    lspo_device_copy(device, LSPO_COPY_D2H, message, memory, 2 * MIB);
    cr_assert_eq(lspo_device_read(device, message, memory, 0), LSPO_OK);
    cr_assert_eq(wrong_bytes(message, 2 * MIB, 3), 0u);
    uint64_t bytes = pageable_bytes(device);
    lspo_device_close(device);
    return bytes;
}

Test(device_cuda, refused_pinning_falls_back, .init = cr_redirect_stderr)
{
    cr_assert_eq(pageable_around_the_first_piece(), 0u);
    cuda_on_host_pinnable(256 * MIB, SIZE_MAX);
    cr_assert_eq(pageable_around_the_first_piece(), 0u);
    cr_assert_eq(said("warning"), 0);
    cuda_on_host_pinnable(256 * MIB, 300 * MIB);
    cr_assert_eq(pageable_around_the_first_piece(), 2 * MIB); /* 1 MiB each way */
    cr_assert_eq(said("a message of 1048576 bytes is in host memory that is not pinned"), 1);
    cuda_on_host_pinnable(0, 0);
    cr_assert_eq(pageable_around_the_first_piece(), 0u); /* the driver's own memory */
    cuda_on_host_allocatable(599 * MIB);
    cr_assert_eq(pageable_around_the_first_piece(), 4 * MIB);
    cr_assert_eq(said("not pinned"), 2); /* once a device */
}

/* It comes full of 0xff, and what is handed out is zero. */
Test(device_cuda, memory_of_the_driver_is_zero)
{
    lspo_device_caps_t caps = {0};
    cuda_on_host_pinnable(0, 0);
    lspo_device_t *device = open_device(&caps);
    reserve(device, 1344);
    const unsigned char *a = host_memory(device, 1000), *beyond = host_memory(device, 3000);
    for (int i = 0; i < 1000; i++)
        cr_assert(a[i] == 0 && beyond[i] == 0 && beyond[i + 2000] == 0);
    cr_assert_eq(lspo_device_most_host_held_bytes(device), 1344u + 3008u);
    lspo_device_close(device);
}

Test(device_cuda, too_much_host_memory_is_refused_item_by_item, .init = cr_redirect_stderr)
{
    lspo_device_caps_t caps = {0};
    lspo_device_t *device = open_device(&caps);
    const lspo_device_host_item_t items[] = {{"moments", (uint64_t)3 << 58}, {"messages", (uint64_t)1 << 58}};
    cr_assert_eq(lspo_device_host_reserve(device, (uint64_t)1 << 60, items, 2), LSPO_ERR_FIT);
    cr_assert_eq(said("host memory: "), 1);
    cr_assert_eq(said(" available: moments "), 1);
    cr_assert_eq(said(", messages "), 1);
    lspo_device_close(device);
}

/* ---- failures ---- */

/* What fails on a stream comes out of what is waited for, is logged once, and stays. */
Test(device_cuda, errors_stick, .init = cr_redirect_stderr)
{
    lspo_device_caps_t caps = {0};
    lspo_device_t *device = open_device(&caps);
    unsigned char *host = host_memory(device, 1000), *memory = take(device, 1000);
    lspo_device_mark_t *mark;
    void *more = NULL;
    cr_assert_eq(lspo_device_mark_create(device, &mark), LSPO_OK);
    cuda_on_host_fail_next(719);
    lspo_device_copy(device, LSPO_COPY_H2D, memory, host, 1000);
    lspo_device_mark_record(device, LSPO_LANE_GPU, mark);
    cr_assert_eq(lspo_device_mark_wait(device, mark), LSPO_ERR_DEVICE);
    cr_assert_eq(lspo_device_mark_wait(device, mark), LSPO_ERR_DEVICE);
    cr_assert_eq(lspo_device_read(device, host, memory, 1000), LSPO_ERR_DEVICE);
    cr_assert_eq(lspo_device_write(device, memory, host, 1000), LSPO_ERR_DEVICE);
    cr_assert_eq(lspo_device_alloc(device, 1000, &more), LSPO_ERR_DEVICE);
    cr_assert_eq(lspo_device_enter_lane(device, LSPO_LANE_D2H), LSPO_ERR_DEVICE);
    cr_assert_eq(said("unspecified launch failure"), 1);
    lspo_device_mark_destroy(device, mark);
    lspo_device_close(device);
}

/* A copy that the driver refuses at once is no different. */
Test(device_cuda, refused_copies_are_errors, .init = cr_redirect_stderr)
{
    lspo_device_caps_t caps = {0};
    lspo_device_t *device = open_device(&caps);
    unsigned char *host = host_memory(device, 1000), *memory = take(device, 1000);
    lspo_device_copy(device, LSPO_COPY_H2D, memory + 1, host, 1000); /* beyond the end */
    cr_assert_eq(lspo_device_read(device, host, memory, 1), LSPO_ERR_DEVICE);
    cr_assert_eq(said("invalid argument"), 1);
    lspo_device_close(device);
}
