/* Requests served by hand-made engines and on simulated machines: the memory of every moment, steps worked out by hand,
 * and random requests under which the units in use are those of a naive count. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/random.h"
#include "sim/cost.h"
#include "sim/serve.h"

/* kv width 16 in fp32: 64 B per token and tensor, 6 tensors. */
static const lspo_model_t model = {.name = "three",
                                   .family = LSPO_FAMILY_GPT,
                                   .block_count = 3,
                                   .width = 16,
                                   .head_count = 2,
                                   .kv_head_count = 2,
                                   .mlp_width = 64,
                                   .vocabulary = 32,
                                   .max_sequence = 4096,
                                   .tied_head = true};

enum { C = 64, TENSORS = 6, SLOTS_MOST = 64, REQUESTS_MOST = 64 };

/* An engine that keeps a naive account: of each slot its tokens and which units of ranges it has, by identity. */
typedef struct {
    lspo_serving_options_t options;
    uint64_t unit_bytes, ranges, token_bytes;
    uint64_t rows[SLOTS_MOST], ids[SLOTS_MOST][1024], next_id; /* units per range; all ranges are alike */
    uint64_t most_units;
    uint32_t decodes, reads, shares;
    uint32_t stops_at;     /* steps */
    uint64_t trace[64][2]; /* of steps: texts, tokens of the first one */
    uint32_t traced;
} account_t;

static uint64_t units_in_use(const account_t *a)
{
    static bool seen[1 << 16];
    uint64_t count = 0;
    memset(seen, 0, sizeof seen);
    for (int s = 0; s < SLOTS_MOST; s++)
        for (uint64_t i = 0; i < a->rows[s]; i++) {
            count += !seen[a->ids[s][i]];
            seen[a->ids[s][i]] = true;
        }
    return count * a->ranges;
}

static uint64_t rows_of(const account_t *a, uint64_t tokens)
{
    return (tokens * a->token_bytes + a->unit_bytes - 1) / a->unit_bytes;
}

static void note(account_t *a)
{
    const uint64_t units = units_in_use(a);
    a->most_units = units > a->most_units ? units : a->most_units;
    cr_assert_leq(units * a->unit_bytes, a->options.cache_bytes, "more memory than there is");
}

static lspo_status_t grow(void *context, uint32_t slot, uint64_t tokens, const lspo_serving_calls_t *calls,
                          double now_s)
{
    account_t *a = context;
    (void)now_s;
    const uint64_t more = rows_of(a, tokens) - a->rows[slot];
    cr_assert_eq(calls->maps, more * a->ranges);
    cr_assert_eq(calls->accesses, a->ranges);
    while (a->rows[slot] < rows_of(a, tokens))
        a->ids[slot][a->rows[slot]++] = a->next_id++;
    note(a);
    return LSPO_OK;
}

static void release(void *context, uint32_t slot, const lspo_serving_calls_t *calls, double now_s)
{
    account_t *a = context;
    (void)now_s, (void)calls;
    a->rows[slot] = 0;
}

static lspo_status_t share(void *context, uint32_t slot, uint32_t from, uint64_t tokens,
                           const lspo_serving_calls_t *calls, double now_s)
{
    account_t *a = context;
    const uint64_t whole = tokens * a->token_bytes / a->unit_bytes;
    (void)now_s;
    cr_assert_eq(a->rows[slot], 0, "only an empty slot shares");
    cr_assert_leq(rows_of(a, tokens), a->rows[from]);
    cr_assert_eq(calls->maps, rows_of(a, tokens) * a->ranges);
    memcpy(a->ids[slot], a->ids[from], whole * sizeof a->ids[slot][0]);
    a->rows[slot] = whole;
    while (a->rows[slot] < rows_of(a, tokens))
        a->ids[slot][a->rows[slot]++] = a->next_id++;
    a->shares++;
    note(a);
    return LSPO_OK;
}

static void trace(account_t *a, uint32_t texts, uint32_t tokens)
{
    if (a->traced < 64) {
        a->trace[a->traced][0] = texts;
        a->trace[a->traced++][1] = tokens;
    }
}

/* A prompt takes a second, a token of all texts 0.1 s. */
static lspo_status_t read_prompt(void *context, const lspo_serving_read_t *read, double now_s,
                                 lspo_serving_step_t *step_out)
{
    account_t *a = context;
    (void)now_s;
    cr_assert_lt(read->first, read->count);
    cr_assert_geq(a->rows[read->slot], rows_of(a, read->count), "a prompt without memory");
    trace(a, 0, read->count);
    a->reads++;
    *step_out = (lspo_serving_step_t){.computed_s = 1};
    return LSPO_OK;
}

static lspo_status_t decode(void *context, const uint32_t *slots, const uint32_t *lengths, uint32_t count, double now_s,
                            lspo_serving_step_t *step_out)
{
    account_t *a = context;
    (void)now_s;
    cr_assert_leq(count, a->options.batch);
    for (uint32_t i = 0; i < count; i++)
        cr_assert_geq(a->rows[slots[i]], rows_of(a, lengths[i]), "a token without memory");
    trace(a, count, lengths[0]);
    a->decodes++;
    *step_out = (lspo_serving_step_t){.computed_s = 0.1};
    return LSPO_OK;
}

static void serve(const lspo_serving_options_t *options, const lspo_serving_request_t *requests, uint32_t count,
                  account_t *a, lspo_served_t *served, lspo_serving_report_t *report)
{
    lspo_serving_units_t units;
    const lspo_serving_engine_t engine = {
        .context = a, .grow = grow, .release = release, .share = share, .read = read_prompt, .decode = decode};
    lspo_serving_units(options, &units);
    *a = (account_t){
        .options = *options, .unit_bytes = units.unit_bytes, .ranges = units.ranges, .token_bytes = units.token_bytes};
    cr_assert_eq(lspo_serving_run(options, requests, count, &engine, served, report), LSPO_OK);
    cr_expect_eq(units_in_use(a), 0, "the pool is full again");
    cr_expect_eq(report->peak_bytes, a->most_units * units.unit_bytes);
}

static lspo_serving_options_t options_of(lspo_serving_cache_t cache, uint64_t cache_bytes)
{
    return (lspo_serving_options_t){.model = &model,
                                    .precision = LSPO_FP32,
                                    .cache = cache,
                                    .cache_bytes = cache_bytes,
                                    .chunk_bytes = 4096,
                                    .block_tokens = 16,
                                    .positions = 256,
                                    .batch = 3};
}

/* Two requests at 0 and one at 1.05, prompts of 10, 3 new tokens each: read 0-1, read 1-2 (the third has come by then):
 * 2-3; then all three together to their last tokens, 3.1 and 3.2. */
Test(serve, new_requests_come_before_the_tokens_of_others)
{
    const lspo_serving_options_t o = options_of(LSPO_SERVING_VTENSOR, 1 << 20);
    const lspo_serving_request_t requests[] = {
        {.prompt = 10, .tokens = 3}, {.prompt = 10, .tokens = 3}, {.arrival_s = 1.05, .prompt = 10, .tokens = 3}};
    static account_t a;
    lspo_served_t served[3];
    lspo_serving_report_t r;
    serve(&o, requests, 3, &a, served, &r);
    cr_expect_eq(a.reads, 3);
    cr_expect_eq(a.decodes, 2);
    for (int i = 0; i < 3; i++) {
        cr_expect_float_eq(served[i].first_s, i + 1, 1e-12);
        cr_expect_float_eq(served[i].end_s, 3.2, 1e-12);
        cr_expect_eq(served[i].state, LSPO_SERVED);
    }
    cr_expect_eq(r.tokens, 9);
    cr_expect_eq(r.waited, 1, "the second waits for the first prompt");
    cr_expect_eq(r.texts_peak, 3);
    cr_expect_eq(r.peak_bytes, 3 * TENSORS * 4096);
}

/* A chunk has 64 tokens.  Room for two texts of one chunk per tensor; each grows to 65 tokens, which needs 12 chunks:
 * the second is read again when the first has ended, with the tokens that it had. */
Test(serve, a_text_without_memory_is_read_again_later)
{
    const lspo_serving_options_t o = options_of(LSPO_SERVING_VTENSOR, 12 * 4096);
    const lspo_serving_request_t requests[] = {{.prompt = 60, .tokens = 10}, {.prompt = 60, .tokens = 10}};
    static account_t a;
    lspo_served_t served[2];
    lspo_serving_report_t r;
    serve(&o, requests, 2, &a, served, &r);
    cr_expect_eq(r.served, 2);
    cr_expect_eq(r.preempted, served[1].preempted);
    cr_expect_gt(r.preempted, 0);
    cr_expect_eq(served[0].preempted, 0, "who began last gives way");
    cr_expect_eq(served[0].tokens + served[1].tokens, 20);
    cr_expect_eq(a.trace[0][1], 60);
    cr_expect_eq(a.trace[1][1], 60);
    bool again = false;
    for (uint32_t i = 2; i < a.traced; i++)
        again |= a.trace[i][0] == 0 && a.trace[i][1] == 65; /* five tokens more */
    cr_expect(again);
}

/* 256 positions of 384 B reserved each, or 96 KiB: two texts at once.  With blocks of 16 tokens, 6 KiB, all five. */
Test(serve, reservation_has_fewer_texts_at_once_than_blocks_and_chunks)
{
    lspo_serving_request_t requests[5];
    for (int i = 0; i < 5; i++)
        requests[i] = (lspo_serving_request_t){.prompt = 20, .tokens = 12};
    static account_t a;
    lspo_served_t served[5];
    lspo_serving_report_t r[3];
    for (int k = 0; k < 3; k++) {
        lspo_serving_options_t o = options_of((lspo_serving_cache_t)k, 2 * 256 * 384);
        o.batch = 5;
        serve(&o, requests, 5, &a, served, &r[k]);
        cr_expect_eq(r[k].served, 5);
    }
    cr_expect_eq(r[LSPO_SERVING_RESERVED].texts_peak, 2);
    cr_expect_eq(r[LSPO_SERVING_RESERVED].peak_bytes, 2 * 256 * 384);
    cr_expect_eq(r[LSPO_SERVING_PAGED].texts_peak, 5);
    cr_expect_eq(r[LSPO_SERVING_PAGED].peak_bytes, 5 * 2 * 16 * 384, "31 tokens are two blocks");
    cr_expect_eq(r[LSPO_SERVING_VTENSOR].texts_peak, 5);
    cr_expect_eq(r[LSPO_SERVING_VTENSOR].peak_bytes, 5 * TENSORS * 4096, "31 tokens are a chunk of each tensor");
}

/* Prefixes of 100 tokens, 1.56 chunks: one whole chunk per tensor is shared, and the rest of each is copied.  Three
 * texts of 110 tokens: 6 shared chunks, 6 of each, 6 for the end of the prefix: 30, not 36.  Their prompts are read
 * from token 100 on but for the first. */
Test(serve, prefixes_are_stored_once)
{
    const lspo_serving_options_t o = options_of(LSPO_SERVING_VTENSOR, 100 * 4096);
    lspo_serving_request_t requests[3];
    for (int i = 0; i < 3; i++)
        requests[i] = (lspo_serving_request_t){.prompt = 105, .tokens = 6, .group = 1, .prefix = 100};
    static account_t a;
    lspo_served_t served[3];
    lspo_serving_report_t r;
    serve(&o, requests, 3, &a, served, &r);
    cr_expect_eq(r.served, 3);
    cr_expect_eq(a.shares, 3, "the prefix, and two texts");
    cr_expect_eq(r.peak_bytes, 30 * 4096);
    cr_expect_eq(r.shared_peak_bytes, 2 * 6 * 4096, "which three texts and the prefix have once, not three times");
}

/* What can never fit is refused, who leaves gives all back, and the others are served. */
Test(serve, refuses_what_never_fits_and_lets_clients_leave)
{
    const lspo_serving_options_t o = options_of(LSPO_SERVING_VTENSOR, 12 * 4096);
    const lspo_serving_request_t requests[] = {{.prompt = 10, .tokens = 5},
                                               {.prompt = 250, .tokens = 100}, /* more than positions */
                                               {.prompt = 129, .tokens = 1},   /* three chunks per tensor */
                                               {.prompt = 10, .tokens = 100, .cancelled = 3}};
    static account_t a;
    lspo_served_t served[4];
    lspo_serving_report_t r;
    serve(&o, requests, 4, &a, served, &r);
    cr_expect_eq(served[0].state, LSPO_SERVED);
    cr_expect_eq(served[1].state, LSPO_SERVED_REFUSED);
    cr_expect_eq(served[2].state, LSPO_SERVED_REFUSED);
    cr_expect_eq(served[3].state, LSPO_SERVED_CANCELLED);
    cr_expect_eq(served[3].tokens, 3);
    cr_expect_eq(r.refused, 2);
    cr_expect_eq(r.cancelled, 1);
}

Test(serve, refuses_requests_that_are_not_possible)
{
    const lspo_serving_options_t o = options_of(LSPO_SERVING_VTENSOR, 1 << 20);
    const lspo_serving_options_t small = options_of(LSPO_SERVING_VTENSOR, 5 * 4096);
    const lspo_serving_request_t bad[][2] = {{{.prompt = 0, .tokens = 1}},
                                             {{.prompt = 1, .tokens = 0}},
                                             {{.prompt = 4, .tokens = 1, .group = 1}},
                                             {{.prompt = 4, .tokens = 1, .prefix = 3}},
                                             {{.prompt = 4, .tokens = 1, .group = 1, .prefix = 5}},
                                             {{.arrival_s = (double)NAN, .prompt = 4, .tokens = 1}},
                                             {{.arrival_s = -1, .prompt = 4, .tokens = 1}},
                                             {{.arrival_s = (double)INFINITY, .prompt = 4, .tokens = 1}},
                                             {{.arrival_s = 1.001e8, .prompt = 4, .tokens = 1}},
                                             {{.arrival_s = 2, .prompt = 4, .tokens = 1}, {.prompt = 4, .tokens = 1}}};
    const lspo_serving_engine_t engine = {0};
    lspo_served_t served[2];
    lspo_serving_report_t r;
    char message[256];
    lspo_messages_keep(message, sizeof message);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_expect_eq(lspo_serving_run(&o, bad[i], bad[i][1].prompt > 0 ? 2 : 1, &engine, served, &r), LSPO_ERR_INPUT,
                     "%zu", i);
    lspo_messages_keep(message, sizeof message);
    cr_expect_eq(lspo_serving_run(&small, bad[2], 1, &engine, served, &r), LSPO_ERR_FIT);
    lspo_messages_keep(NULL, 0);
    cr_expect(strstr(message, "20.0 KiB of memory for caches: one text needs 24.0 KiB at least") != NULL, "%s",
              message);
}

Test(serve, memory_for_no_text_is_refused_with_what_needs_less)
{
    static const struct {
        lspo_serving_cache_t cache;
        const char *advice;
    } cases[] = {{LSPO_SERVING_VTENSOR, "at least; a smaller --chunk or --range text needs less"},
                 {LSPO_SERVING_PAGED, "at least; a smaller --block needs less"},
                 {LSPO_SERVING_RESERVED, "at least; fewer --positions, or --cache paged or vtensor, need less"}};
    const lspo_serving_request_t request = {.prompt = 4, .tokens = 1};
    const lspo_serving_engine_t engine = {0};
    for (size_t i = 0; i < 3; i++) {
        const lspo_serving_options_t o = options_of(cases[i].cache, 1);
        lspo_served_t served;
        lspo_serving_report_t r;
        char message[256];
        lspo_messages_keep(message, sizeof message);
        cr_expect_eq(lspo_serving_run(&o, &request, 1, &engine, &served, &r), LSPO_ERR_FIT);
        lspo_messages_keep(NULL, 0);
        cr_expect(strstr(message, cases[i].advice) != NULL, "%s", message);
    }
}

static bool stopped(void *context)
{
    const account_t *a = context;
    return a->reads + a->decodes == a->stops_at;
}

/* Stopped before any of the first steps, while texts run, wait, have ended or share a prefix: all memory comes back. */
Test(serve, gives_all_back_wherever_it_is_stopped)
{
    const lspo_serving_request_t requests[] = {{.prompt = 70, .tokens = 9, .group = 1, .prefix = 66},
                                               {.prompt = 80, .tokens = 90, .group = 1, .prefix = 66},
                                               {.prompt = 60, .tokens = 60},
                                               {.prompt = 50, .tokens = 60, .cancelled = 20}};
    for (int cache = 0; cache <= LSPO_SERVING_RESERVED; cache++)
        for (uint32_t steps = 0; steps < 60; steps++) {
            static account_t a;
            const lspo_serving_options_t o = options_of((lspo_serving_cache_t)cache, 3 * 4096 * 24);
            const lspo_serving_engine_t engine = {.context = &a,
                                                  .grow = grow,
                                                  .release = release,
                                                  .share = share,
                                                  .read = read_prompt,
                                                  .decode = decode,
                                                  .stopped = stopped};
            lspo_serving_units_t units;
            lspo_served_t served[4];
            lspo_serving_report_t r;
            lspo_serving_units(&o, &units);
            a = (account_t){.options = o,
                            .unit_bytes = units.unit_bytes,
                            .ranges = units.ranges,
                            .token_bytes = units.token_bytes,
                            .stops_at = steps};
            cr_assert_eq(lspo_serving_run(&o, requests, 4, &engine, served, &r), LSPO_ERR_INTERRUPTED, "%u", steps);
            cr_expect_eq(r.steps, steps);
            cr_expect_eq(units_in_use(&a), 0, "cache %d, step %u", cache, steps);
            cr_expect(steps == 0 || a.most_units > 0);
        }
}

/* Random requests, groups, memories and kinds: every step has its memory, nothing is above what there is, all of it
 * comes back, and all requests end (the engine above asserts that). */
Test(serve, keeps_its_account_under_random_load)
{
    uint64_t shares = 0, preempted = 0, kept = 0;
    for (uint64_t k = 0; k < 300; k++) {
        uint64_t n = 0;
        lspo_serving_options_t o = options_of((lspo_serving_cache_t)lspo_random_below(5, k, n++, 3), 0);
        o.cache_bytes = 4096 * (30 + lspo_random_below(5, k, n++, 300));
        o.one_range = lspo_random_below(5, k, n++, 2) == 0;
        o.batch = 1 + lspo_random_below(5, k, n++, 8);
        o.map_ahead = lspo_random_below(5, k, n++, 100);
        lspo_serving_request_t requests[REQUESTS_MOST];
        const uint32_t count = 1 + lspo_random_below(5, k, n++, REQUESTS_MOST);
        double now_s = 0;
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t group = lspo_random_below(5, k, n++, 4);
            now_s += lspo_random_below(5, k, n++, 3) == 0 ? lspo_random_uniform(5, k, n++) : 0;
            requests[i] = (lspo_serving_request_t){.arrival_s = now_s,
                                                   .prompt = 1 + lspo_random_below(5, k, n++, 150),
                                                   .tokens = 1 + lspo_random_below(5, k, n++, 130),
                                                   .group = group};
            requests[i].prefix = group == 0 ? 0 : requests[i].prompt < 40U * group ? requests[i].prompt : 40U * group;
            if (lspo_random_below(5, k, n++, 6) == 0)
                requests[i].cancelled = 1 + lspo_random_below(5, k, n++, requests[i].tokens);
        }
        static account_t a;
        lspo_served_t served[REQUESTS_MOST];
        lspo_serving_report_t r;
        serve(&o, requests, count, &a, served, &r);
        cr_assert_eq(r.served + r.cancelled + r.refused, count);
        for (uint32_t i = 0; i < count; i++)
            cr_assert(served[i].state == LSPO_SERVED_REFUSED ||
                      (served[i].end_s >= served[i].first_s && served[i].first_s > requests[i].arrival_s));
        cr_assert_leq(r.stored_mean_bytes, r.held_mean_bytes * (1 + 1e-12));
        cr_assert_leq(r.held_mean_bytes, r.mean_bytes * (1 + 1e-12));
        cr_assert_leq(r.mean_bytes, (double)r.peak_bytes * (1 + 1e-12));
        shares += a.shares;
        preempted += r.preempted;
        kept += r.mean_bytes > r.held_mean_bytes;
    }
    cr_expect_gt(shares, 100);
    cr_expect_gt(preempted, 100);
    cr_expect_gt(kept, 100);
}

/* ---- on a machine ---- */

/* One text that grows by a chunk per tensor every 64 tokens.  Its calls take 6 x 37.45 us a growth, more than tokens of
 * so small a model: without chunks in advance each growth is exposed; with 64 of them, what 64 tokens do not hide. */
Test(serve, calls_are_exposed_as_far_as_tokens_do_not_hide_them)
{
    lspo_machine_t machine;
    const lspo_serving_request_t request = {.prompt = 64, .tokens = 129};
    const double growth_s = 6 * (1.45e-6 + 36e-6 + 193e-6);
    lspo_served_t served;
    lspo_serving_report_t r[2];
    cr_assert_eq(lspo_machine_find("a100-80gb-sxm", &machine), LSPO_OK);
    for (int k = 0; k < 2; k++) {
        lspo_serving_options_t o = options_of(LSPO_SERVING_VTENSOR, 1 << 20);
        o.map_ahead = k == 0 ? 0 : 64;
        cr_assert_eq(lspo_serve_simulate(&machine, &o, &request, 1, &served, &r[k]), LSPO_OK);
    }
    /* 65 tokens before the first: two chunks per tensor; then a third. */
    const double first_s = 6 * (2 * (1.45e-6 + 193e-6) + 36e-6);
    cr_expect_float_eq(r[0].exposed_s, first_s + growth_s, 1e-9);
    cr_expect_float_eq(r[0].map_s, first_s + growth_s + 6 * 25.6e-6, 1e-9);
    const double token_s = r[1].computed_s / (double)r[1].steps;
    cr_expect_gt(64 * token_s, growth_s);
    cr_expect_float_eq(r[1].exposed_s, first_s, 1e-9, "the second growth is hidden");
    cr_expect_eq(r[0].calls.maps, 18);
    cr_expect_eq(r[1].calls.maps, 18);
}

Test(serve, arrivals_have_their_rate_and_lengths)
{
    enum { COUNT = 20000 };
    const lspo_arrivals_t arrivals = {.seed = 3, .rate = 4, .prompt = 100, .tokens = 50, .spread = 0.5};
    lspo_serving_request_t *r = malloc(COUNT * sizeof *r), again;
    double prompt = 0, tokens = 0;
    cr_assert_eq(lspo_arrivals_draw(&arrivals, COUNT, r), LSPO_OK);
    for (int i = 0; i < COUNT; i++) {
        prompt += r[i].prompt;
        tokens += r[i].tokens;
        cr_assert(r[i].prompt >= 50 && r[i].prompt <= 150 && r[i].tokens >= 25 && r[i].tokens <= 75);
    }
    /* The mean of n exponential numbers has a relative error of 1 / sqrt(n), 0.7 %. */
    cr_expect_float_eq(r[COUNT - 1].arrival_s, (COUNT - 1) / 4.0, 0.03 * COUNT / 4);
    cr_expect_float_eq(prompt / COUNT, 100, 1);
    cr_expect_float_eq(tokens / COUNT, 50, 0.5);
    cr_assert_eq(lspo_arrivals_draw(&arrivals, 1, &again), LSPO_OK);
    cr_expect_eq(again.prompt, r[0].prompt);
    free(r);
}
