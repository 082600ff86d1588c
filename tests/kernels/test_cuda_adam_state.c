/* The CUDA kernels of Adam with m and v in bf16 or 8 bits against the host's. */
#include "kernels/adam_codes.h"
#include "kernels/adam_state.h"
#include "kernels/cuda.h"
#include "kernels/rounding.h"
#include "tests/cuda_numbers.h"

/* Around a thread's part, a warp's block, more than one warp, more than one thread block. */
static const size_t sizes[] = {0, 1, 7, 8, 9, 255, 256, 257, 1000, 2561};

typedef struct {
    lspo_adam_format_t format;
    lspo_number_t number;
    size_t n, places;
    bool parameters;
} case_t;

static lspo_adam_state_t state_of(const case_t *c, void *memory)
{
    lspo_adam_state_t state = lspo_adam_state_at(c->format, memory, c->places, 0, c->n);
    state.seed = 5;
    state.first = 1000;
    return state;
}

static lspo_adam_t settings(uint32_t step)
{
    lspo_adam_t adam = lspo_adam_default(1e-2F, step);
    adam.weight_decay = 0.1F;
    adam.root_epsilon = 1e-6F;
    adam.gradient_scale = 0.5F;
    return adam;
}

/* m and v in fp32. */
static void read_moments(const case_t *c, void *memory, float *m, float *v)
{
    const lspo_adam_state_t state = state_of(c, memory);
    if (c->format == LSPO_ADAM_BF16) {
        lspo_unpack_bf16(c->n, state.m, m);
        lspo_unpack_bf16(c->n, state.v, v);
        return;
    }
    for (size_t i = 0; i < c->n; i++) {
        m[i] = lspo_adam_m_of_code(((const uint8_t *)state.m)[i], state.m_scale[i / LSPO_ADAM_BLOCK]);
        v[i] = lspo_adam_v_of_code(((const uint8_t *)state.v)[i], state.v_scale[i / LSPO_ADAM_BLOCK]);
    }
}

/* Of a moment, relative to the host's: a GPU's sums are fused, so a number at a limit may become its neighbour. */
static void expect_moments(const case_t *c, const float *got, const float *want, const char *what)
{
    const double rtol = c->format == LSPO_ADAM_BF16 ? 0x1p-7 : 0.6;
    size_t others = 0;
    for (size_t i = 0; i < c->n; i++) {
        const double g = (double)got[i], w = (double)want[i];
        cr_assert_leq(fabs(g - w), rtol * fabs(w) + 1e-12, "%s[%zu of %zu] is %.9g, the host's %.9g", what, i, c->n, g,
                      w);
        others += g != w && fabs(g - w) > 1e-6 * fabs(w);
    }
    cr_assert_leq(others, c->n / 100 + 1, "%s: %zu of %zu differ", what, others, c->n);
}

/* A step of the host gives the first state; the second is made by both. */
static void check(const case_t *c)
{
    const size_t n = c->n, bytes = lspo_adam_state_bytes(c->format, c->places);
    const lspo_adam_t first = settings(3), second = settings(4);
    void *memory = calloc(1, bytes + 1), *after = malloc(bytes + 1), *numbers = malloc((n + 1) * sizeof(float));
    float *g = random_numbers_of(c->number, 1, 1, n), *w = random_numbers_of(c->number, 4, 1, n);
    float *want = copy_floats(w, n), *m = floats(n), *v = floats(n), *got_m = floats(n), *got_v = floats(n);
    cr_assert(memory && after && numbers);
    const lspo_adam_state_t start = state_of(c, memory);
    lspo_adam_parameters(&first, &start, g, want);
    memcpy(after, memory, bytes);
    const lspo_adam_state_t on_host = state_of(c, after);
    memcpy(want, w, n * sizeof *w);
    (c->parameters ? lspo_adam_parameters : lspo_adam_direction)(&second, &on_host, g, want);
    read_moments(c, after, m, v);
    for (order_t order = {0}; next_order(&order);) {
        void *device = device_copy(memory, bytes), *dg = device_numbers(c->number, g, n);
        void *dw = device_numbers(c->number, w, n);
        const lspo_adam_state_t state = state_of(c, device);
        DEVICE_OK((c->parameters ? lspo_adam_parameters_cuda : lspo_adam_direction_cuda)(ON(c->number), &second, &state,
                                                                                         dg, dw));
        device_read(device, bytes, numbers = realloc(numbers, bytes + 4 * n + 1));
        add_to_hash(&order, numbers, bytes);
        read_moments(c, numbers, got_m, got_v);
        expect_moments(c, got_m, m, "m");
        expect_moments(c, got_v, v, "v");
        expect_numbers(&order, "w", dw, want, n, (near_t){c->number, 1e-3, 1e-6, 4e-6});
        if (!c->parameters || c->number == LSPO_NUMBER_FP32)
            continue;
        lspo_pack_randomly(c->number, n, 5, 1000, want, numbers); /* up or down at random, but the same */
        uint16_t *got = malloc((n + 1) * sizeof *got);
        device_read(dw, n * sizeof *got, got);
        size_t others = 0;
        for (size_t i = 0; i < n; i++)
            others += got[i] != ((const uint16_t *)numbers)[i];
        cr_assert_leq(others, n / 100 + 1, "%zu of %zu weights are rounded otherwise", others, n);
        free(got);
    }
    free(memory), free(after), free(numbers), free(g), free(w), free(want), free(m), free(v), free(got_m), free(got_v);
}

static void check_sizes(lspo_adam_format_t format)
{
    for (size_t k = 0; k < COUNT(all_numbers); k++)
        for (size_t i = 0; i <= COUNT(sizes); i++)
            for (int form = 0; form < 2; form++) {
                const size_t n = i < COUNT(sizes) ? sizes[i] : 256 * 300 + 5; /* more than a thread an element */
                const case_t c = {format, all_numbers[k], n, lspo_adam_places(format, n), form == 0};
                if (n <= 3000 || form == 0)
                    check(&c);
            }
}

Test(cuda_adam_state, bf16)
{
    check_sizes(LSPO_ADAM_BF16);
}

Test(cuda_adam_state, codes)
{
    check_sizes(LSPO_ADAM_8BIT);
}

/* A master is for moments in fp32. */
Test(cuda_adam_state, takes_no_master)
{
    const lspo_adam_t adam = lspo_adam_default(1e-3F, 1);
    float x;
    for (int format = LSPO_ADAM_BF16; format <= LSPO_ADAM_8BIT; format++) {
        const lspo_adam_state_t with = {.format = (lspo_adam_format_t)format, .master = &x};
        const lspo_adam_state_t without = {.format = (lspo_adam_format_t)format};
        cr_assert_not_null(device_complaint(lspo_adam_parameters_cuda(ON(LSPO_NUMBER_FP16), &adam, &with, NULL, NULL)));
        DEVICE_OK(lspo_adam_parameters_cuda(ON(LSPO_NUMBER_FP16), &adam, &without, NULL, NULL));
    }
}
