/* Reuse distances, worked out by hand. */
#include <criterion/criterion.h>
#include <math.h>

#include "plan/policy.h"
#include "sim/reuse.h"
#include "tests/plan_maker.h"

static const lspo_machine_t machine = {.gpu = {.near_bytes = 150, .cache_bytes = 1350}};

static lspo_op_t *add_op(plan_maker_t *maker, lspo_op_kind_t kind, uint32_t layer, uint32_t iteration, uint32_t work)
{
    lspo_op_id_t id = maker_op(maker, kind, layer, iteration, 0);
    maker->plan.ops[id].work = work;
    return &maker->plan.ops[id];
}

static lspo_work_t product(lspo_layout_t layout, uint64_t far_bytes)
{
    return (lspo_work_t){
        .kernel_count = 2,
        .kernels = {
            {.kernel_class = LSPO_KERNEL_GEMM, .layout = layout, .far_bytes = far_bytes, .bytes = 10 * far_bytes},
            {.kernel_class = LSPO_KERNEL_NORM, .bytes = 7777}}};
}

/* Two layers, work 0 forward and 1 backward: each op touches 50 bytes of weights and the 100 that it takes or gives
 * back.
 *     op        F0  F1  B1  B0 | F0  F1   B1   B0
 *     touched  150 300 450 600 | 750 900 1050 1200
 *     last       -   - 300 150 | 600 450  900  750
 *     distance   -   - 150 450 | 150 450  150  450      share 1 up to 150, log(1350 / 450) / log(1350 / 150) = 1/2 */
static plan_maker_t make_passes(uint32_t iterations)
{
    plan_maker_t maker = maker_create();
    for (uint32_t iteration = 0; iteration < iterations; iteration++) {
        for (uint32_t layer = 0; layer < 2; layer++)
            add_op(&maker, LSPO_OP_FWD, layer, iteration, 0)->gpu_alloc_bytes = 100;
        for (uint32_t layer = 2; layer-- > 0;)
            add_op(&maker, LSPO_OP_BWD, layer, iteration, 1)->gpu_free_bytes = 100;
    }
    maker.plan.works[0] = product(LSPO_LAYOUT_NN, 50);
    maker.plan.works[1] = product(LSPO_LAYOUT_NT, 50);
    return maker;
}

Test(reuse, distances_of_two_layers)
{
    double shares[MAKER_OPS_MAX];
    plan_maker_t maker = make_passes(2);
    cr_assert_eq(lspo_reuse_shares(&machine, &maker.plan, NULL, shares), LSPO_OK);
    cr_expect_float_eq(shares[0], 0.75, 1e-12);
    cr_expect_float_eq(shares[1], 0.75, 1e-12);
    maker_release(&maker);
}

/* One iteration has no second forward: then the distance is all that is touched, 600, and log(1350 / 600) / log(9). */
Test(reuse, the_first_use_has_no_distance)
{
    double shares[MAKER_OPS_MAX];
    plan_maker_t maker = make_passes(1);
    cr_assert_eq(lspo_reuse_shares(&machine, &maker.plan, NULL, shares), LSPO_OK);
    cr_expect_float_eq(shares[0], log(2.25) / log(9), 1e-12);
    cr_expect_float_eq(shares[1], 0.75, 1e-12);
    maker_release(&maker);
}

/* The limits: up to near_bytes all, from cache_bytes on nothing, no cache nothing; without near pools all below its
 * end. */
Test(reuse, limits)
{
    static const struct {
        double near_bytes, cache_bytes, wanted;
    } cases[] = {{450, 1350, 1}, {100, 150, 0}, {150, 0, 0}, {0, 451, 1}, {0, 450, 0.5}};
    double shares[MAKER_OPS_MAX];
    plan_maker_t maker = make_passes(2);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const lspo_machine_t other = {.gpu = {.near_bytes = cases[i].near_bytes, .cache_bytes = cases[i].cache_bytes}};
        cr_assert_eq(lspo_reuse_shares(&other, &maker.plan, NULL, shares), LSPO_OK);
        cr_expect_float_eq(shares[1], cases[i].wanted, 1e-12, "near %g, cache %g: %g", cases[i].near_bytes,
                           cases[i].cache_bytes, shares[1]);
    }
    maker_release(&maker);
}

/* What ops touch: weights, memory taken and given back, but no norm beside a product, and of dW = X^T dY what is given
 * back and taken only; 12 bytes a parameter of Adam; half the traffic of an op without products. */
Test(reuse, touched_bytes)
{
    plan_maker_t maker = maker_create();
    lspo_op_t *op = add_op(&maker, LSPO_OP_BWD, 0, 0, 0);
    op->gpu_alloc_bytes = 3;
    op->gpu_free_bytes = 4;
    maker.plan.works[0] = product(LSPO_LAYOUT_TN, 1000);
    cr_expect_eq(lspo_reuse_touched_bytes(&maker.plan, op), 7u);
    maker.plan.works[0] = product(LSPO_LAYOUT_NT, 1000);
    cr_expect_eq(lspo_reuse_touched_bytes(&maker.plan, op), 1007u);
    maker.plan.works[0] =
        (lspo_work_t){.kernel_count = 1, .kernels = {{.kernel_class = LSPO_KERNEL_ADAM, .elements = 10, .bytes = 280}}};
    cr_expect_eq(lspo_reuse_touched_bytes(&maker.plan, op), 127u);
    maker.plan.works[0] =
        (lspo_work_t){.kernel_count = 1, .kernels = {{.kernel_class = LSPO_KERNEL_SCATTER, .bytes = 200}}};
    cr_expect_eq(lspo_reuse_touched_bytes(&maker.plan, op), 107u);
    maker_release(&maker);
}

/* Adam of 10 parameters (120 bytes) behind each backward (100 bytes): the moments were last touched a step before, 220
 * bytes and not 120.  The backward comes right behind it: 100.  Work on the link and the CPU touches nothing of it. */
Test(reuse, moments_are_as_old_as_the_last_adam)
{
    const lspo_machine_t small = {.gpu = {.near_bytes = 110, .cache_bytes = 440}};
    double shares[MAKER_OPS_MAX];
    plan_maker_t maker = maker_create();
    for (uint32_t iteration = 0; iteration < 3; iteration++) {
        add_op(&maker, LSPO_OP_BWD, 0, iteration, 0)->gpu_free_bytes = 100;
        add_op(&maker, LSPO_OP_D2H, 0, iteration, 2);
        add_op(&maker, LSPO_OP_UPD_GPU, 0, iteration, 1);
    }
    maker.plan.works[1] =
        (lspo_work_t){.kernel_count = 1, .kernels = {{.kernel_class = LSPO_KERNEL_ADAM, .elements = 10}}};
    maker.plan.works[2] =
        (lspo_work_t){.kernel_count = 1, .kernels = {{.kernel_class = LSPO_KERNEL_COPY, .bytes = 100000}}};
    cr_assert_eq(lspo_reuse_shares(&small, &maker.plan, NULL, shares), LSPO_OK);
    cr_expect_float_eq(shares[0], 1, 1e-12);
    cr_expect_float_eq(shares[1], 0.5, 1e-12);
    maker_release(&maker);
}

/* Texts that grow: the link brings for 8 ms what layer 0 needs, layers take 2 ms each.
 *     link    0-8        8-16         16-24
 *     F0          8-10        16-18         24-26     6 ms after layer 0 was last used
 *     F1           10-12       18-20         26-28    6 ms as well
 * Each touches 150 bytes, so 300 since its last use: log(2700 / 300) / log(2700 / 150) of it are left by bytes,
 * and exp(-0.6^2) of these by time; or of a cache with 0.4 after 600 bytes 1 - 0.6 log 2 / log 4; of one that holds
 * all of 200 bytes, and nothing of 450, log(450 / 300) / log(450 / 200) = 1/2.  What rebuilds a cache of layer 0 is no
 * use of it.  Trainings know neither. */
Test(reuse, texts_lose_what_was_read_long_ago)
{
    const lspo_machine_t shared = {.gpu = {.near_bytes = 150, .cache_bytes = 1350, .kept_bytes = 2700, .kept_s = 0.01}};
    lspo_machine_t large = shared;
    large.gpu.kept_bytes = 600;
    large.gpu.kept_share = 0.4;
    lspo_machine_t steep = shared;
    steep.gpu.kept_all_bytes = 200;
    steep.gpu.kept_bytes = 450;
    const double by_bytes = log(9) / log(18), by_time = exp(-0.36);
    const lspo_policy_t *policy;
    uint64_t op_ns[MAKER_OPS_MAX] = {0};
    double shares[MAKER_OPS_MAX];
    plan_maker_t maker = maker_create();
    for (uint32_t iteration = 0; iteration < 3; iteration++) {
        const lspo_op_id_t swap = maker.plan.op_count, forward = swap + 2;
        add_op(&maker, LSPO_OP_SWAP_IN, 0, iteration, 1);
        add_op(&maker, LSPO_OP_RECOMPUTE, 0, iteration, 2)->variant = LSPO_VARIANT_CACHE;
        maker_depend(&maker, swap);
        for (uint32_t layer = 0; layer < 2; layer++)
            add_op(&maker, LSPO_OP_FWD, layer, iteration, 0)->gpu_alloc_bytes = 100;
        op_ns[swap] = 8000000;
        op_ns[forward] = op_ns[forward + 1] = 2000000;
    }
    maker.plan.works[0] = product(LSPO_LAYOUT_NN, 50);
    cr_assert_eq(lspo_policy_find_any("resident", &policy), LSPO_OK);
    maker.plan.policy = policy;
    cr_assert_eq(lspo_reuse_shares(&shared, &maker.plan, op_ns, shares), LSPO_OK);
    cr_expect_float_eq(shares[0], by_bytes * by_time, 1e-12);
    cr_assert_eq(lspo_reuse_shares(&shared, &maker.plan, NULL, shares), LSPO_OK);
    cr_expect_float_eq(shares[0], by_bytes, 1e-12, "no time passes");
    cr_assert_eq(lspo_reuse_shares(&large, &maker.plan, op_ns, shares), LSPO_OK);
    cr_expect_float_eq(shares[0], 0.7 * by_time, 1e-12);
    cr_assert_eq(lspo_reuse_shares(&steep, &maker.plan, op_ns, shares), LSPO_OK);
    cr_expect_float_eq(shares[0], 0.5 * by_time, 1e-12);
    steep.gpu.kept_bytes = 0;
    cr_assert_eq(lspo_reuse_shares(&steep, &maker.plan, NULL, shares), LSPO_OK);
    cr_expect_float_eq(shares[0], log(4.5) / log(9), 1e-12, "kept_all_bytes alone says nothing");
    cr_assert_eq(lspo_reuse_shares(&machine, &maker.plan, op_ns, shares), LSPO_OK);
    cr_expect_float_eq(shares[0], log(4.5) / log(9), 1e-12, "a profile without them");
    maker.plan.policy = NULL;
    cr_assert_eq(lspo_reuse_shares(&shared, &maker.plan, op_ns, shares), LSPO_OK);
    cr_expect_float_eq(shares[0], log(4.5) / log(9), 1e-12, "a training");
    maker_release(&maker);
}
