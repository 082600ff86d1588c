/* Requests served with real passes: the texts are those of a text alone, whatever the cache, the memory and who shares
 * it; and all of the memory comes back. */
#include <criterion/criterion.h>
#include <string.h>

#include "real/generate/server.h"

enum { COUNT = 7, MOST = 90 };

static const lspo_model_t models[2] = {{.name = "small",
                                        .family = LSPO_FAMILY_GPT,
                                        .block_count = 2,
                                        .width = 24,
                                        .head_count = 4,
                                        .kv_head_count = 4,
                                        .mlp_width = 40,
                                        .vocabulary = 50,
                                        .max_sequence = 128,
                                        .tied_head = true},
                                       {.name = "grouped",
                                        .family = LSPO_FAMILY_LLAMA,
                                        .block_count = 2,
                                        .width = 24,
                                        .head_count = 4,
                                        .kv_head_count = 2,
                                        .mlp_width = 40,
                                        .vocabulary = 50,
                                        .max_sequence = 128}};

/* All at once, so that what is done does not depend on times. */
static const lspo_serving_request_t requests[COUNT] = {
    {.prompt = 20, .tokens = 40},
    {.prompt = 50, .tokens = 30, .group = 1, .prefix = 45},
    {.prompt = 47, .tokens = 30, .group = 1, .prefix = 45},
    {.prompt = 1, .tokens = 60},
    {.prompt = 45, .tokens = 20, .group = 1, .prefix = 45},
    {.prompt = 30, .tokens = 30, .cancelled = 9},
    {.prompt = 45, .tokens = 12, .group = 2, .prefix = 25},
};

typedef struct {
    uint32_t tokens[COUNT][MOST];
    lspo_served_t served[COUNT];
    lspo_serving_report_t report;
} texts_t;

static lspo_server_options_t options_of(const lspo_model_t *model, lspo_serving_cache_t cache, uint64_t cache_bytes)
{
    return (lspo_server_options_t){.serving = {.model = model,
                                               .precision = LSPO_FP32,
                                               .cache = cache,
                                               .cache_bytes = cache_bytes,
                                               .chunk_bytes = 4096,
                                               .block_tokens = 16,
                                               .positions = 100,
                                               .map_ahead = 20,
                                               .batch = 4},
                                   .seed = 5};
}

static void serve(lspo_server_options_t options, const lspo_serving_request_t *asked, uint32_t count, texts_t *out)
{
    lspo_server_t *server = NULL;
    memset(out, 0, sizeof *out);
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &options.device), LSPO_OK);
    cr_assert_eq(lspo_server_create(&options, asked, count, &server), LSPO_OK);
    cr_assert_eq(lspo_server_run(server, out->served, &out->report), LSPO_OK);
    for (uint32_t i = 0; i < count; i++)
        memcpy(out->tokens[i], lspo_server_tokens(server, i),
               (asked[i].prompt + out->served[i].tokens) * sizeof(uint32_t));
    lspo_server_destroy(server);
    lspo_device_close(options.device);
}

static void expect_texts(const texts_t *got, const texts_t *wanted, const char *what)
{
    for (int i = 0; i < COUNT; i++) {
        cr_expect_eq(got->served[i].tokens, requests[i].cancelled > 0 ? requests[i].cancelled : requests[i].tokens);
        cr_expect_arr_eq(got->tokens[i], wanted->tokens[i],
                         (requests[i].prompt + got->served[i].tokens) * sizeof(uint32_t), "%s: request %d", what, i);
    }
}

/* One at a time, in reserved places: plain caches. */
static void serve_alone(const lspo_model_t *model, texts_t *out)
{
    lspo_server_options_t o = options_of(model, LSPO_SERVING_RESERVED, 1 << 20);
    o.serving.batch = 1;
    serve(o, requests, COUNT, out);
}

Test(server, writes_the_texts_of_each_request_alone)
{
    static texts_t wanted, got;
    for (int m = 0; m < 2; m++) {
        serve_alone(&models[m], &wanted);
        for (int cache = 0; cache <= LSPO_SERVING_RESERVED; cache++)
            for (int one_range = 0; one_range <= (cache == LSPO_SERVING_VTENSOR); one_range++) {
                lspo_server_options_t o = options_of(&models[m], (lspo_serving_cache_t)cache, 1 << 20);
                o.serving.one_range = one_range == 1;
                serve(o, requests, COUNT, &got);
                expect_texts(&got, &wanted, models[m].name);
                cr_expect_eq(got.report.texts_peak, 4);
                /* 45 tokens are 4320 B of a tensor, or 2160 with grouped heads, less than a chunk. */
                const bool shares = cache == LSPO_SERVING_PAGED || (cache == 0 && (m == 0 || one_range == 1));
                cr_expect_eq(got.report.shared_peak_bytes > 0, shares);
                cr_expect_eq(got.report.cancelled, 1);
            }
    }
}

/* A token has 4 tensors of 96 B, so that a chunk of one has room for 42 tokens, and the longest text needs 8.  With 15
 * chunks texts lose their memory and are read again. */
Test(server, texts_that_lost_their_memory_go_on_as_before)
{
    static texts_t wanted, got;
    serve_alone(&models[0], &wanted);
    for (int cache = 0; cache <= LSPO_SERVING_PAGED; cache++) {
        serve(options_of(&models[0], (lspo_serving_cache_t)cache, 15 * 4096), requests, COUNT, &got);
        expect_texts(&got, &wanted, cache == 0 ? "chunks" : "blocks");
        cr_expect_gt(got.report.preempted, 0);
        cr_expect_leq(got.report.peak_bytes, 15 * 4096);
    }
}

Test(server, refuses_what_does_not_fit)
{
    lspo_server_options_t o = options_of(&models[0], LSPO_SERVING_VTENSOR, 3 * 4096);
    lspo_server_t *server = NULL;
    lspo_served_t served[COUNT];
    lspo_serving_report_t report;
    const uint64_t cap = 1 << 20;
    for (int i = 0; i < 2; i++) {
        void *all = NULL;
        cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){.memory_bytes = cap}, &o.device), LSPO_OK);
        if (i == 0) { /* not one text */
            cr_assert_eq(lspo_server_create(&o, requests, COUNT, &server), LSPO_OK);
            cr_expect_eq(lspo_server_run(server, served, &report), LSPO_ERR_FIT);
            lspo_server_destroy(server);
        } else { /* no memory for the blocks */
            o.serving.cache = LSPO_SERVING_PAGED;
            o.serving.cache_bytes = cap;
            cr_expect_eq(lspo_server_create(&o, requests, COUNT, &server), LSPO_ERR_FIT);
        }
        cr_expect_eq(lspo_device_alloc(o.device, cap, &all), LSPO_OK, "all of it is free again");
        lspo_device_free(o.device, all);
        lspo_device_close(o.device);
    }
}

/* Tokens of a text that has no room are not drawn: here they would take 64 MiB each. */
Test(server, draws_no_text_that_is_longer_than_its_places)
{
    const lspo_serving_request_t some[] = {{.prompt = 1 << 24, .tokens = 1 << 24},
                                           {.prompt = 60, .tokens = 41}, /* the last token is not stored */
                                           {.prompt = 60, .tokens = 42}};
    lspo_server_options_t o = options_of(&models[0], LSPO_SERVING_VTENSOR, 1 << 20);
    lspo_server_t *server = NULL;
    lspo_served_t served[3];
    lspo_serving_report_t report;
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &o.device), LSPO_OK);
    cr_assert_eq(lspo_server_create(&o, some, 3, &server), LSPO_OK);
    cr_expect_null(lspo_server_tokens(server, 0));
    cr_expect_not_null(lspo_server_tokens(server, 1));
    cr_expect_null(lspo_server_tokens(server, 2));
    cr_expect_eq(lspo_server_run(server, served, &report), LSPO_OK);
    cr_expect_eq(served[0].state, LSPO_SERVED_REFUSED);
    cr_expect_eq(served[1].state, LSPO_SERVED);
    cr_expect_eq(served[2].state, LSPO_SERVED_REFUSED);
    lspo_server_destroy(server);
    lspo_device_close(o.device);
}

/* Interrupted before its first step: an error, and no memory is lost. */
Test(server, gives_all_back_when_it_is_stopped)
{
    static const atomic_int stop = 1;
    lspo_server_options_t o = options_of(&models[1], LSPO_SERVING_VTENSOR, 1 << 20);
    lspo_server_t *server = NULL;
    lspo_served_t served[COUNT];
    lspo_serving_report_t report;
    o.stop = &stop;
    cr_assert_eq(lspo_device_open("host", &(lspo_device_caps_t){0}, &o.device), LSPO_OK);
    cr_assert_eq(lspo_server_create(&o, requests, COUNT, &server), LSPO_OK);
    cr_expect_eq(lspo_server_run(server, served, &report), LSPO_ERR_INTERRUPTED);
    lspo_server_destroy(server);
    lspo_device_close(o.device);
}
