/* axonn on one device: timelines worked out by hand (tests/timeline.h), what crosses the link, what is on the GPU. */
#include <criterion/criterion.h>

#include "plan/chunks.h"
#include "plan/policies/axonn.h"
#include "tests/timeline.h"

static const char name[] = "axonn";

static lspo_axonn_values_t *own_of(lspo_workload_t *w)
{
    return lspo_axonn_values_edit(w);
}

/* Of three blocks, one bucket each.  FWD1-3 0-6, BWD3 6-10, BWD2 10-14, BWD1 14-18.  One bucket at a time: SWAP_IN1
 * 18-21, UPD_GPU1 21-22, SWAP_OUT1 22-25; block 2 25-32, block 3 32-39.  The next FWD1 waits for UPD_GPU1 only, 22-24,
 * FWD2 for UPD_GPU2, 29-31.  Two at a time: SWAP_IN2 21-24, UPD_GPU2 24-25; SWAP_IN3 when bucket 1 has left, 25-28,
 * UPD_GPU3 28-29, SWAP_OUT3 29-32. */
Test(axonn, buckets_take_turns)
{
    for (uint32_t slots = 1; slots <= 2; slots++) {
        lspo_workload_t w = small_workload(2);
        const bool two = slots == 2;
        own_of(&w)->bucket_slots = slots;
        lspo_plan_t *p = build(name, &w);
        lspo_trace_t *t = play(p, &usual);
        expect(t, LSPO_OP_BWD, 1, 0, 14, 18);
        expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_OPTIMIZER, 1, 0, 18);
        expect(t, LSPO_OP_UPD_GPU, 1, 0, 21, 22);
        expect_micro(t, LSPO_OP_SWAP_OUT, LSPO_VARIANT_OPTIMIZER, 1, 0, 22);
        expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_OPTIMIZER, 2, 0, two ? 21 : 25);
        expect(t, LSPO_OP_UPD_GPU, 2, 0, two ? 24 : 28, two ? 25 : 29);
        expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_OPTIMIZER, 3, 0, two ? 25 : 32);
        expect_micro(t, LSPO_OP_SWAP_OUT, LSPO_VARIANT_OPTIMIZER, 3, 0, two ? 29 : 36);
        expect(t, LSPO_OP_FWD, 1, 1, 22, 24);
        expect(t, LSPO_OP_FWD, 2, 1, two ? 25 : 29, two ? 27 : 31);
        done(t, p);
    }
}

/* NORM 18-20 holds back UPD_GPU1, whose state is there at 19: 20-21.  Without it 19-20. */
Test(axonn, no_bucket_is_updated_before_the_norm_is_known)
{
    for (int clips = 0; clips < 2; clips++) {
        lspo_workload_t w = small_workload(1);
        durations_t quick = usual;
        quick.ns[LSPO_OP_SWAP_IN] = 1;
        quick.ns[LSPO_OP_NORM] = 2;
        w.clip_norm = clips;
        lspo_plan_t *p = build(name, &w);
        lspo_trace_t *t = play(p, &quick);
        expect_micro(t, LSPO_OP_SWAP_IN, LSPO_VARIANT_OPTIMIZER, 1, 0, 18);
        expect(t, LSPO_OP_UPD_GPU, 1, 0, clips ? 20 : 19, clips ? 21 : 20);
        for (uint32_t i = 0; clips && i < t->row_count; i++)
            cr_expect(t->rows[i].kind != LSPO_OP_UPD_GPU || t->rows[i].start_ns >= 20);
        done(t, p);
    }
}

/* ---- several buckets per block ---- */

enum { WIDTH = 64, WEIGHTS = 12 * WIDTH * WIDTH, BUCKET = WEIGHTS / 3, STEPS = 2 };

static lspo_model_t two_blocks(void)
{
    lspo_model_t model = three_blocks();
    model.block_count = 2;
    model.width = WIDTH;
    model.mlp_width = 4 * WIDTH;
    return model;
}

static lspo_plan_t *build_buckets(const lspo_workload_t *w)
{
    const lspo_model_t model = two_blocks();
    const lspo_policy_t *policy = NULL;
    lspo_plan_t *plan = NULL;
    cr_assert_eq(lspo_policy_find(name, &policy), LSPO_OK);
    cr_assert_eq(lspo_plan_build(&model, w, policy, &plan), LSPO_OK);
    return plan;
}

static uint64_t stage_elements(const lspo_plan_t *p, uint32_t stage)
{
    lspo_message_t message;
    lspo_plan_message(p, stage, &message);
    return message.element_count;
}

/* What ops hold once the row has begun. */
static uint64_t held_at(const lspo_plan_t *p, const lspo_trace_t *t, uint32_t row)
{
    const uint64_t now = t->rows[row].start_ns;
    uint64_t held = 0;
    for (uint32_t i = 0; i < t->row_count; i++) {
        held += i <= row || t->rows[i].start_ns < now ? p->ops[t->rows[i].op].gpu_alloc_bytes : 0;
        held -= t->rows[i].end_ns <= now && i != row ? p->ops[t->rows[i].op].gpu_free_bytes : 0;
    }
    return held;
}

/* The ledger.  All phi parameters are trained in 16 bits: 2 phi bytes of them are there always and 2 phi of gradients
 * when the updates begin; each slot has 12 bytes per parameter of a bucket, where the authors have 16.  The host has m,
 * v and the fp32 copy, 12 phi; and 12 phi cross the link each way in a step, 24 phi in all. */
Test(axonn, memory_is_4_phi_and_12_per_parameter_of_a_bucket)
{
    static const uint32_t sizes[] = {1, 16384, 32768, 100000, 16000000};
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
        lspo_workload_t w = small_workload(STEPS);
        const lspo_model_t model = two_blocks();
        const uint64_t phi = lspo_model_parameter_count(&model), slots = 1 + i % 2;
        w.precision = w.transfer = LSPO_FP16;
        w.train_rest = LSPO_TRAIN_REST_ON;
        own_of(&w)->bucket_size = sizes[i / 2];
        own_of(&w)->bucket_slots = (uint32_t)slots;
        lspo_plan_t *p = build_buckets(&w);
        lspo_trace_t *t = play(p, &usual);
        uint64_t most = 0, fetched = 0, flushed = 0, bucket = 0;
        for (uint32_t s = 0; s < p->stage_count; s++)
            for (uint32_t part = 0; part < lspo_chunk_count(p, stage_elements(p, s)); part++) {
                uint64_t first, elements = lspo_chunk_elements(p, stage_elements(p, s), part, &first);
                bucket = elements > bucket ? elements : bucket;
            }
        cr_assert(bucket <= sizes[i / 2] || bucket == LSPO_CHUNK_GRAIN, "a bucket of %lu", (unsigned long)bucket);
        for (uint32_t r = 0; r < t->row_count; r++) {
            const lspo_op_t *op = &p->ops[t->rows[r].op];
            const uint64_t bytes = lspo_work_link_bytes(&p->works[op->work]);
            fetched += op->kind == LSPO_OP_SWAP_IN ? bytes : 0;
            flushed += op->kind == LSPO_OP_SWAP_OUT ? bytes : 0;
            if (op->kind == LSPO_OP_SWAP_IN && op->iteration + 1 == STEPS && held_at(p, t, r) > most)
                most = held_at(p, t, r);
        }
        cr_expect_eq(p->footprint.gpu_parameters_bytes, 2 * phi);
        cr_expect_eq(p->footprint.gpu_optimizer_bytes, 0u);
        cr_expect_leq(most, 2 * phi + slots * 12 * bucket, "bucket %lu, %lu slots: %lu", (unsigned long)bucket,
                      (unsigned long)slots, (unsigned long)most);
        cr_expect_gt(most, 2 * phi - 2 * WEIGHTS, "gradients are there until they have been used");
        cr_expect_eq(p->host_static_bytes, 12 * phi);
        cr_expect_eq(fetched, STEPS * 12 * phi);
        cr_expect_eq(flushed, STEPS * 12 * phi);
        done(t, p);
    }
}

/* Exactly: with equal buckets of 16384 in the blocks alone, the first update finds all gradients and `slots` states. */
Test(axonn, the_first_update_finds_gradients_and_its_slots)
{
    for (uint32_t slots = 1; slots <= 3; slots++) {
        lspo_workload_t w = small_workload(1);
        durations_t slow = usual;
        slow.ns[LSPO_OP_UPD_GPU] = 20; /* so that the other slots are filled meanwhile */
        w.precision = w.transfer = LSPO_FP16;
        own_of(&w)->bucket_size = BUCKET;
        own_of(&w)->bucket_slots = slots;
        lspo_plan_t *p = build_buckets(&w);
        lspo_trace_t *t = play(p, &slow);
        uint64_t most = 0;
        for (uint32_t r = 0; r < t->row_count; r++)
            if (t->rows[r].kind == LSPO_OP_SWAP_IN && held_at(p, t, r) > most)
                most = held_at(p, t, r);
        cr_expect_eq(most, 2u * 2 * WEIGHTS + slots * 12u * BUCKET, "%u slots: %lu", slots, (unsigned long)most);
        done(t, p);
    }
}

/* A step cannot be shorter than its state's way there and back with one slot: 6 buckets x (3 + 1 + 3). */
Test(axonn, one_slot_serialises_the_way_there_and_back)
{
    lspo_workload_t w = small_workload(1);
    own_of(&w)->bucket_size = BUCKET;
    lspo_plan_t *p = build_buckets(&w);
    lspo_trace_t *t = play(p, &usual);
    uint64_t first = UINT64_MAX, last = 0;
    for (uint32_t r = 0; r < t->row_count; r++) {
        if (t->rows[r].kind == LSPO_OP_SWAP_IN && t->rows[r].start_ns < first)
            first = t->rows[r].start_ns;
        last = t->rows[r].end_ns > last ? t->rows[r].end_ns : last;
    }
    cr_expect_eq(last - first, 6u * 7);
    done(t, p);
}
