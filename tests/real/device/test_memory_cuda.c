/* The memory of the CUDA device: exact accounting, the pool's units, code that takes its own, and memory that goes from
 * lane to lane; on a GPU, and on the CPU that stands in for one (tests/cuda_on_host/). */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/device_fixture.h"

enum { SIDE = 16, PRODUCT_BYTES = SIDE * SIDE * sizeof(float) };

/* As of the host device (tests/real/device/test_device.c): 6000, then 7000 at most; counted when asked for, whatever is
 * still queued. */
Test(memory_cuda, accounting_is_exact, .init = cr_redirect_stderr)
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

/* What the card has in use grows by what is taken from it, and stays: the pool keeps it.  On a GPU others may run. */
Test(memory_cuda, the_card_tells_what_is_in_use)
{
    lspo_device_caps_t caps = {0};
    ONLY_ON_HOST();
    cuda_on_host_device(1, 9, 0, 512 * MIB);
    lspo_device_t *device = open_device(&caps);
    const uint64_t before = lspo_device_card_bytes(device);
    cr_assert_gt(before, 0u);
    void *memory = take(device, 128 * MIB);
    const uint64_t with = lspo_device_card_bytes(device);
    cr_expect_geq(with, before + 96 * MIB); /* the pool may have had a unit of 32 MiB */
    cr_expect_leq(with, before + 160 * MIB);
    lspo_device_free(device, memory);
    cr_expect_eq(lspo_device_card_bytes(device), with);
    lspo_device_close(device);
}

/* 512 MiB, of which cuBLAS, code and scratch take some: the rest is what was free at the start. */
Test(memory_cuda, no_more_than_the_gpu_has, .init = cr_redirect_stderr)
{
    lspo_device_caps_t caps = {.memory_bytes = 512 * MIB};
    ONLY_ON_HOST();
    cuda_on_host_device(1, 9, 0, 512 * MIB);
    lspo_device_t *device = open_device(&caps);
    void *memory = NULL, *more = NULL;
    cr_assert_eq(lspo_device_alloc(device, 512 * MIB, &memory), LSPO_ERR_FIT);
    cr_assert_eq(said("512 MiB needed with 0 B in use of"), 1);
    cr_assert_eq(said("free on the GPU at the start"), 1);
    memory = take(device, 16 * MIB);
    cr_assert_eq(lspo_device_alloc(device, 496 * MIB, &more), LSPO_ERR_FIT);
    lspo_device_free(device, memory);
    lspo_device_close(device);
}

/* Two pieces of 45 % each are given back; together they hold 90 %, but lie apart until they go back to the GPU. */
Test(memory_cuda, pieces_that_are_too_small_do_not_stay)
{
    lspo_device_caps_t caps = {0};
    cuda_on_host_device(1, 9, 0, 512 * MIB);
    lspo_device_t *device = open_device(&caps);
    size_t piece_bytes = lspo_device_room_bytes(device) / 20 * 9;
    void *first = take(device, piece_bytes), *second = take(device, piece_bytes);
    lspo_device_free(device, first);
    lspo_device_free(device, second);
    void *both = take(device, 2 * piece_bytes);
    cr_assert_geq(number_of(device, "gpu reserved bytes"), 2 * piece_bytes);
    lspo_device_free(device, both);
    lspo_device_close(device);
}

/* 3 bytes are a unit of 32 MiB. */
Test(memory_cuda, reserved_bytes_are_whole_units)
{
    lspo_device_caps_t caps = {0};
    ONLY_ON_HOST();
    lspo_device_t *device = open_device(&caps);
    take(device, 3);
    cr_assert_eq(number_of(device, "gpu reserved bytes"), 32 * MIB);
    take(device, 33 * MIB);
    cr_assert_eq(number_of(device, "gpu reserved bytes"), 66 * MIB);
    cr_assert_eq(lspo_device_peak_bytes(device), 3 + 33 * MIB);
    lspo_device_close(device);
}

/* Products and a kernel in the format of the device. */
static void expect_zeros_from_zeros(lspo_device_t *device, char *zeros)
{
    lspo_compute_t *compute = lspo_device_compute(device);
    const lspo_linear_t layer = {.tokens = SIDE, .m = SIDE, .n = SIDE, .w = zeros};
    char *out = zeros + PRODUCT_BYTES;
    uint32_t back = 1;
    lspo_compute_zero(compute, 2 * PRODUCT_BYTES, zeros);
    lspo_compute_linear_forward(compute, &layer, zeros, NULL, out);
    lspo_compute_gemm_nn(compute, &(lspo_gemm_t){.m = SIDE,
                                                 .n = SIDE,
                                                 .k = SIDE,
                                                 .alpha = 1,
                                                 .a = zeros,
                                                 .a_stride = SIDE,
                                                 .b = zeros,
                                                 .b_stride = SIDE,
                                                 .c = out,
                                                 .c_stride = SIDE});
    lspo_compute_add(compute, SIDE * SIDE, zeros, out);
    cr_assert_eq(lspo_compute_status(compute), LSPO_OK);
    cr_assert_eq(lspo_device_read(device, &back, out, sizeof back), LSPO_OK);
    cr_assert_eq(back, 0u);
}

/* When all that is promised is in use, products and kernels still find the memory that their code takes. */
Test(memory_cuda, code_has_its_place)
{
    static const lspo_number_t numbers[] = {LSPO_NUMBER_FP32, LSPO_NUMBER_FP16, LSPO_NUMBER_BF16};
    lspo_device_caps_t caps = {0};
    cuda_on_host_device(1, 9, 0, 448 * MIB);
    for (size_t i = 0; i < 2u + cuda_has_bf16(); i++) {
        lspo_device_t *device = open_device(&caps);
        cr_assert_eq(lspo_device_set_number(device, numbers[i]), LSPO_OK);
        uint64_t room_bytes = lspo_device_room_bytes(device);
        cr_assert_eq(number_of(device, "gpu memory bytes"), room_bytes);
        char *all = take(device, room_bytes);
        expect_zeros_from_zeros(device, all);
        lspo_device_free(device, all);
        lspo_device_close(device);
    }
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

Test(memory_cuda, memory_goes_from_lane_to_lane)
{
    cuda_on_host_delays(5);
    cr_assert_eq(wrong_rounds(), 0u);
    ONLY_ON_HOST();
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
Test(memory_cuda, a_lane_waits_for_what_another_gives_back, .timeout = 30)
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
Test(memory_cuda, memory_taken_outside_of_lanes_is_anyones)
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
Test(memory_cuda, freed_memory_holds_nothing)
{
    lspo_device_caps_t caps = {0};
    ONLY_ON_HOST();
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
Test(memory_cuda, lanes_begin_behind_what_was_prepared)
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
