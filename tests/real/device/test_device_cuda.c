/* The CUDA device: which one, products, copies, marks, pinned memory, and what is refused; on a GPU, and on the CPU
 * that stands in for one (tests/cuda_on_host/), whose streams run behind the calls.  Its memory: test_memory_cuda.c. */
#include <pthread.h>

#include "tests/device_fixture.h"

/* ---- which device ---- */

Test(device_cuda, numbers_out_of_range)
{
    cr_assert_eq(try_open("cuda"), LSPO_OK);
    cr_assert_eq(try_open("cuda:0"), LSPO_OK);
    char beyond[16];
    snprintf(beyond, sizeof beyond, "cuda:%" PRIu32, lspo_device_gpu_count());
    cr_assert_eq(try_open(beyond), LSPO_ERR_DEVICE);
    cr_assert_eq(try_open("cuda:9999"), LSPO_ERR_DEVICE);
    const char *const nonsense[] = {"cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda:99999", "cudas", "cuda0"};
    for (size_t i = 0; i < sizeof nonsense / sizeof nonsense[0]; i++)
        cr_assert_eq(try_open(nonsense[i]), LSPO_ERR_INPUT, "%s", nonsense[i]);
}

Test(device_cuda, the_second_gpu)
{
    ONLY_ON_HOST();
    cuda_on_host_device(2, 9, 0, GIB);
    cr_assert_eq(try_open("cuda:1"), LSPO_OK);
}

Test(device_cuda, machine_without_a_gpu, .init = cr_redirect_stderr)
{
    ONLY_ON_HOST();
    cuda_on_host_device(0, 9, 0, GIB);
    cr_assert_eq(try_open("cuda"), LSPO_ERR_DEVICE);
    cr_assert_eq(said("this machine has no CUDA device"), 1);
    cuda_on_host_driver(0);
    cr_assert(try_open("cuda") == LSPO_ERR_DEVICE && said("this machine has no NVIDIA driver") == 1);
    cuda_on_host_driver(12040);
    cr_assert(try_open("cuda") == LSPO_ERR_DEVICE &&
              said("up to 12.4, and this build has CUDA 12.5, which needs") == 1);
}

Test(device_cuda, capability_decides_what_is_computed, .init = cr_redirect_stderr)
{
    lspo_device_caps_t caps = {0};
    ONLY_ON_HOST();
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
    expect_entry(device, "pageable bytes=0;");
    expect_entry(device, cuda_on_host() ? "gpu=CPU as a GPU;" : "gpu=");
    expect_entry(device, cuda_on_host() ? "sm count=132;" : "sm count=");
    expect_entry(device, cuda_on_host() ? "compute capability=9.0;" : "compute capability=");
    cr_assert(!cuda_on_host() || strcmp(lspo_device_pci_address(device), "0000:3b:00.0") == 0);
    lspo_device_close(device);
}

/* The number of multiprocessors that `count` become.  Drivers before CUDA 12.5 have no green contexts. */
static uint64_t sms_for(uint32_t count)
{
    lspo_device_caps_t caps = {.sms = count};
    lspo_device_t *device = NULL;
    lspo_status_t status = lspo_device_open("cuda", &caps, &device);
    if (status == LSPO_ERR_DEVICE && !cuda_on_host())
        cr_skip_test("this GPU cannot be divided");
    cr_assert_eq(status, LSPO_OK);
    unsigned char *memory = take(device, 1000), back[1000];
    lspo_compute_zero(lspo_device_compute(device), 1000, memory);
    cr_assert_eq(lspo_device_read(device, back, memory, 1000), LSPO_OK);
    cr_assert(back[0] == 0 && back[999] == 0);
    uint64_t rounded = number_of(device, "sm count");
    lspo_device_close(device);
    return rounded;
}

/* In steps that depend on the GPU; all of them where the step would go beyond. */
Test(device_cuda, fewer_multiprocessors)
{
    lspo_device_gpu_t gpu;
    cr_assert_eq(lspo_device_gpu_at(0, &gpu), LSPO_OK);
    const uint32_t all = gpu.sm_count, counts[] = {1, all / 2, all - 7, all - 3, all - 1, all};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        uint64_t rounded = sms_for(counts[i]);
        cr_assert(rounded >= counts[i] && rounded <= all && rounded < counts[i] + 8, "%" PRIu32 " became %" PRIu64,
                  counts[i], rounded);
    }
}

/* In steps of 8 of 132 there: 136 are not to be had. */
Test(device_cuda, multiprocessors_in_steps, .init = cr_redirect_stderr)
{
    ONLY_ON_HOST();
    cr_assert_eq(sms_for(20), 24u);
    cr_assert_eq(sms_for(125), 128u);
    cr_assert_eq(sms_for(129), 132u);
    cr_assert_eq(sms_for(132), 132u);
    lspo_device_caps_t caps = {.sms = 133};
    lspo_device_t *device = NULL;
    cr_assert_eq(lspo_device_open("cuda", &caps, &device), LSPO_ERR_INPUT);
    cr_assert_eq(said("the GPU has 132 multiprocessors"), 1);
    caps.sms = 20;
    cuda_on_host_green_most(16);
    cr_assert_eq(lspo_device_open("cuda", &caps, &device), LSPO_ERR_DEVICE);
    cr_assert_eq(said("the driver makes no group of so many"), 1);
    cr_assert_eq(said("driver error 0"), 0);
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
    (void)sms_for(8);
    caps.sms = 8;
    device = open_device(&caps);
    expect_products(device);
    lspo_device_close(device);
}

/* All failures but of an execution; those that are not usual are said once. */
Test(device_cuda, refused_epilogues_are_kernels_of_their_own, .init = cr_redirect_stderr)
{
    static const int failures[] = {15, 14}; /* CUBLAS_STATUS_NOT_SUPPORTED, CUBLAS_STATUS_INTERNAL_ERROR */
    lspo_device_caps_t caps = {0};
    ONLY_ON_HOST();
    for (int i = 0; i < 2; i++) {
        lspo_device_t *device = open_device(&caps);
        cuda_on_host_fail_fused(failures[i]);
        expect_products(device);
        expect_products(device); /* and what is known to be refused */
        cr_assert_eq(said("cuBLASLt fails (start: status 14; product of"), i);
        lspo_device_close(device);
    }
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

/* Of four parts each is waited for while the next one is on its stream, but for the last; in both directions. */
Test(device_cuda, paced_copies_keep_a_part_ahead)
{
    enum { BYTES = 16 << 20 };
    lspo_device_caps_t caps = {.d2h_Bps = 1e12, .h2d_Bps = 1e12};
    ONLY_ON_HOST();
    lspo_device_t *device = open_device(&caps);
    unsigned char *host = host_memory(device, BYTES), *memory = take(device, BYTES);
    unsigned count, idle_count;
    for (int direction = 0; direction < 2; direction++) {
        cuda_on_host_waits(&count, &idle_count);
        if (direction == LSPO_COPY_H2D)
            lspo_device_copy(device, LSPO_COPY_H2D, memory, host, BYTES);
        else
            lspo_device_copy(device, LSPO_COPY_D2H, host, memory, BYTES);
        cuda_on_host_waits(&count, &idle_count);
        cr_assert(count == 4 && idle_count == 1, "%u waits, %u with nothing behind", count, idle_count);
    }
    lspo_device_close(device);
}

typedef struct {
    lspo_device_t *device;
    unsigned char *host, *memory;
    pthread_barrier_t turn;
} sender_t;

static void *send_message(void *argument)
{
    sender_t *sender = argument;
    cr_assert_eq(lspo_device_enter_lane(sender->device, LSPO_LANE_H2D), LSPO_OK);
    lspo_device_copy(sender->device, LSPO_COPY_H2D, sender->memory, sender->host, MIB);
    pthread_barrier_wait(&sender->turn);
    return NULL;
}

/* Ids and losses arrive although messages are under way in the copy engines, whatever their alignment is. */
Test(device_cuda, tiny_copies_wait_for_no_message, .timeout = 30)
{
    enum { BYTES = 4096 };
    lspo_device_caps_t caps = {0};
    sender_t sender = {.device = open_device(&caps)};
    pthread_t thread;
    unsigned char *from = host_memory(sender.device, BYTES), *back = host_memory(sender.device, BYTES);
    unsigned char *memory = take(sender.device, BYTES);
    sender.host = host_memory(sender.device, MIB);
    sender.memory = take(sender.device, MIB);
    cr_assert_eq(lspo_device_enter_lane(sender.device, LSPO_LANE_GPU), LSPO_OK);
    cuda_on_host_hold_copies(true);
    pthread_barrier_init(&sender.turn, NULL, 2);
    cr_assert_eq(pthread_create(&thread, NULL, send_message, &sender), 0);
    pthread_barrier_wait(&sender.turn);
    for (unsigned shift = 0; shift < 5; shift++) {
        const size_t bytes = BYTES - 2 * shift;
        fill(from + shift, bytes, shift);
        lspo_device_write_later(sender.device, memory + shift, from + shift, bytes);
        lspo_device_read_later(sender.device, back + shift, memory + shift, bytes);
        cr_assert_eq(lspo_device_read(sender.device, back + BYTES - 1, memory + BYTES - 1, 1), LSPO_OK);
        cr_assert_eq(wrong_bytes(back + shift, bytes, shift), 0u);
    }
    cuda_on_host_hold_copies(false);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&sender.turn);
    lspo_device_close(sender.device);
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
    ONLY_ON_HOST();
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
    ONLY_ON_HOST();
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
    ONLY_ON_HOST();
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
    ONLY_ON_HOST();
    lspo_device_t *device = open_device(&caps);
    unsigned char *host = host_memory(device, 1000), *memory = take(device, 1000);
    lspo_device_copy(device, LSPO_COPY_H2D, memory + 1, host, 1000); /* beyond the end */
    cr_assert_eq(lspo_device_read(device, host, memory, 1), LSPO_ERR_DEVICE);
    cr_assert_eq(said("invalid argument"), 1);
    lspo_device_close(device);
}
