/* The memory of the library: all of it from the functions of its context, all of it given back, and each allocation may
 * fail.  This suite is linked with liblspo alone. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/lspo.h"
#include "tests/own_folder.h"

/* ---- an allocator that counts, knows its blocks, and fails at one call ---- */

typedef struct {
    long calls, fail_at; /* from 1; 0: never */
    long live, foreign;
} heap_t;

typedef struct {
    alignas(max_align_t) heap_t *heap; /* whose block it is */
    size_t bytes;
} block_t;

static bool fails(heap_t *heap)
{
    return ++heap->calls == heap->fail_at;
}

static void *heap_allocate(void *memory, size_t bytes)
{
    heap_t *heap = memory;
    block_t *block = fails(heap) ? NULL : malloc(sizeof *block + bytes);
    if (block == NULL)
        return NULL;
    heap->live++;
    *block = (block_t){heap, bytes};
    return memset(block + 1, 0xa5, bytes);
}

static void heap_release(void *memory, void *text)
{
    heap_t *heap = memory;
    if (text == NULL)
        return;
    block_t *block = (block_t *)text - 1;
    if (block->heap != heap) { /* of malloc(), or of another context */
        heap->foreign++;
        return;
    }
    heap->live--;
    block->heap = NULL;
    memset(text, 0x5a, block->bytes);
    free(block);
}

static void *heap_reallocate(void *memory, void *text, size_t bytes)
{
    void *moved = heap_allocate(memory, bytes);
    if (moved == NULL || text == NULL)
        return moved;
    size_t had = ((block_t *)text - 1)->bytes;
    memcpy(moved, text, had < bytes ? had : bytes);
    heap_release(memory, text);
    return moved;
}

static lspo_options options_of(heap_t *heap)
{
    lspo_options options = LSPO_OPTIONS_INIT;
    options.allocate = heap_allocate;
    options.reallocate = heap_reallocate;
    options.release = heap_release;
    options.memory = heap;
    return options;
}

/* ---- questions ---- */

enum { PAIRS = 6 };
typedef const char *question_t[PAIRS][2];

/* Open, ask, close; the answer's JSON, from malloc(), where it is asked for. */
static int ask(heap_t *heap, const question_t pairs, char **json_out)
{
    lspo_context *context = NULL;
    lspo_query *query = NULL;
    lspo_reply *reply = NULL;
    lspo_options options = options_of(heap);
    int code = lspo_context_open(&options, &context);
    if (code == LSPO_DONE)
        code = lspo_query_create(context, &query);
    for (size_t i = 0; code == LSPO_DONE && i < PAIRS && pairs[i][0] != NULL; i++)
        code = lspo_query_set(query, pairs[i][0], pairs[i][1]);
    if (code == LSPO_DONE)
        code = lspo_query_predict(query, &reply);
    cr_assert(code != LSPO_NO_ROOM || context == NULL || strstr(lspo_context_message(context), "no memory") != NULL,
              "'%s'", lspo_context_message(context));
    if (code == LSPO_DONE && json_out != NULL)
        *json_out = strdup(lspo_reply_json(reply));
    lspo_reply_destroy(reply);
    lspo_query_destroy(query);
    lspo_context_close(context);
    return code;
}

/* As many allocations as it takes, each failing once; then the same answer as ever. */
static void deny_each(const question_t pairs)
{
    heap_t whole = {0};
    char *expected = NULL, *answer = NULL;
    cr_assert_eq(ask(&whole, pairs, &expected), LSPO_DONE);
    cr_assert_eq(whole.live, 0);
    cr_assert_eq(whole.foreign, 0);
    cr_assert_gt(whole.calls, 20);
    for (long at = 1; at <= whole.calls; at++) {
        heap_t heap = {.fail_at = at};
        cr_assert_eq(ask(&heap, pairs, NULL), LSPO_NO_ROOM, "allocation %ld of %ld", at, whole.calls);
        cr_assert_eq(heap.live, 0, "allocation %ld of %ld: %ld blocks are left", at, whole.calls, heap.live);
        cr_assert_eq(heap.foreign, 0, "allocation %ld of %ld", at, whole.calls);
    }
    heap_t again = {0};
    cr_assert_eq(ask(&again, pairs, &answer), LSPO_DONE);
    cr_assert_str_eq(answer, expected);
    cr_assert_eq(again.calls, whole.calls);
    free(answer);
    free(expected);
}

TestSuite(memory, .init = make_folder, .fini = remove_folder);

Test(memory, of_a_training)
{
    deny_each(
        (question_t){{"model", "gpt-tiny"}, {"policy", "lsp"}, {"iterations", "4"}, {"batch", "2"}, {"batch", "3"}});
}

/* Files of a machine and of a model, by inih and jansson. */
Test(memory, of_a_generation_from_files)
{
    char path[512];
    snprintf(path, sizeof path, "%s/tests/data/cases/model/base", getenv("LSPO_SOURCE"));
    const char *machine = own_file(
        "mine.ini",
        "[machine]\nname = mine\ndescription = a PC\nsource = test\ncard = rtx4090\nhost = desktop-ddr5-5600-64gib\n");
    deny_each((question_t){{"model", path},
                           {"machine", machine},
                           {"task", "generate"},
                           {"policy", "offload-weights"},
                           {"iterations", "4"},
                           {"sequence", "16"}});
}

/* Texts among the parameters: a table of the context's. */
Test(memory, of_a_chain_of_peers)
{
    const char *peers = own_file("peers.ini", "[peers]\nBps = 1 GB/s\n[peer a]\ncount = 2\n");
    deny_each((question_t){{"model", "gpt-tiny"}, {"policy", "fusion"}, {"peers", peers}, {"iterations", "2"}});
}

/* A question that is refused leaves nothing, either. */
Test(memory, of_a_refusal)
{
    heap_t heap = {0};
    cr_assert_eq(ask(&heap, (question_t){{"model", "gpt-tiny"}, {"policy", "lsd"}}, NULL), LSPO_REFUSED);
    cr_assert_eq(ask(&heap, (question_t){{"modl", "gpt-tiny"}}, NULL), LSPO_REFUSED);
    cr_assert_eq(heap.live, 0);
}

/* Two contexts, each with its own, one within a warning of the other's. */
typedef struct {
    heap_t *inner;
    int warnings;
} nested_t;

static void ask_within(void *user, const char *text)
{
    nested_t *nested = user;
    char *answer = NULL;
    (void)text;
    nested->warnings++;
    cr_assert_eq(ask(nested->inner, (question_t){{"model", "gpt-tiny"}, {"policy", "zero"}}, NULL), LSPO_DONE);
    cr_assert_eq(lspo_predict_json("{\"model\": \"gpt-tiny\"}", &answer), LSPO_DONE);
    lspo_free(answer);
}

Test(memory, of_two_contexts)
{
    heap_t inner = {0}, outer = {0};
    nested_t nested = {.inner = &inner};
    lspo_context *context;
    lspo_query *query;
    lspo_reply *reply;
    lspo_options options = options_of(&outer);
    options.warn = ask_within;
    options.user = &nested;
    cr_assert_eq(lspo_context_open(&options, &context), LSPO_DONE);
    cr_assert_eq(lspo_query_create(context, &query), LSPO_DONE);
    /* A file of a preset's name makes a warning. */
    own_file("gpt-tiny", "");
    cr_assert_eq(chdir(folder), 0);
    lspo_query_set(query, "model", "gpt-tiny");
    cr_assert_eq(lspo_query_predict(query, &reply), LSPO_DONE, "%s", lspo_context_message(context));
    cr_assert_geq(nested.warnings, 1);
    lspo_query_destroy(query);
    cr_assert_gt(outer.live, 0);
    lspo_reply_destroy(reply);
    lspo_context_close(context);
    cr_assert_eq(outer.live + outer.foreign, 0);
    cr_assert_eq(inner.live + inner.foreign, 0);
    cr_assert_gt(inner.calls, 0);
}

/* ---- without functions of its own ---- */

static long page_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

/* The memory of a large prediction serves the next one. */
Test(memory, that_a_context_keeps)
{
#ifdef __SANITIZE_ADDRESS__
    cr_skip_test("a context keeps none, for the sanitizer");
#endif
    enum { PREDICTIONS = 4 };
    lspo_context *context;
    lspo_query *query;
    long faults[PREDICTIONS];
    cr_assert_eq(lspo_context_open(NULL, &context), LSPO_DONE);
    cr_assert_eq(lspo_query_create(context, &query), LSPO_DONE);
    cr_assert_eq(lspo_query_set(query, "set", "model.blocks=300"), LSPO_DONE);
    for (int i = 0; i < PREDICTIONS; i++) {
        lspo_reply *reply;
        const long before = page_faults();
        cr_assert_eq(lspo_query_predict(query, &reply), LSPO_DONE, "%s", lspo_context_message(context));
        lspo_reply_destroy(reply);
        faults[i] = page_faults() - before;
    }
    lspo_query_destroy(query);
    lspo_context_close(context);
    cr_expect_lt(faults[PREDICTIONS - 1], faults[0] / 8, "%ld page faults, then %ld", faults[0],
                 faults[PREDICTIONS - 1]);
}

/* ---- options ---- */

/* Programs that were built with version 1 of the header. */
Test(memory, options_of_version_1)
{
    const struct {
        size_t size;
        void (*warn)(void *user, const char *text);
        void *user;
    } old = {.size = sizeof old};
    lspo_context *context;
    cr_assert_eq(lspo_context_open((const lspo_options *)&old, &context), LSPO_DONE);
    lspo_context_close(context);
}

Test(memory, one_function_alone_is_refused)
{
    heap_t heap = {0};
    lspo_context *context;
    for (int missing = 0; missing < 3; missing++) {
        lspo_options options = options_of(&heap);
        options.allocate = missing == 0 ? NULL : options.allocate;
        options.reallocate = missing == 1 ? NULL : options.reallocate;
        options.release = missing == 2 ? NULL : options.release;
        cr_assert_eq(lspo_context_open(&options, &context), LSPO_REFUSED);
        cr_assert_null(context);
    }
    cr_assert_eq(heap.calls, 0);
}

/* ---- jansson, which others in the process use, too ---- */

Test(memory, the_functions_of_jansson_are_left_alone)
{
    json_malloc_t allocate_before, allocate_after;
    json_free_t free_before, free_after;
    char *answer;
    json_get_alloc_funcs(&allocate_before, &free_before);
    cr_assert_eq(lspo_predict_json("{\"model\": \"gpt-tiny\", \"iterations\": 4, \"ops\": true}", &answer), LSPO_DONE);
    lspo_free(answer);
    json_get_alloc_funcs(&allocate_after, &free_after);
    cr_assert(allocate_before == allocate_after && free_before == free_after);
}

static long json_calls, json_fail_at;

static void *json_allocate(size_t bytes)
{
    return ++json_calls == json_fail_at ? NULL : malloc(bytes);
}

/* Where jansson's own allocations fail, and its functions are not ours to watch, no digit is lost. */
Test(memory, that_jansson_lacks)
{
    static const char request[] = "{\"model\": \"gpt-tiny\", \"batch\": 12, \"sequence\": 128, \"iterations\": 4}";
    char *expected, *answer;
    json_set_alloc_funcs(json_allocate, free);
    cr_assert_eq(lspo_predict_json(request, &expected), LSPO_DONE);
    for (long at = 1, count = json_calls; at <= count; at++) {
        json_calls = 0;
        json_fail_at = at;
        int code = lspo_predict_json(request, &answer);
        if (code == LSPO_DONE)
            cr_assert_str_eq(answer, expected, "allocation %ld of %ld of jansson", at, count);
        else
            cr_assert_eq(code, LSPO_NO_ROOM, "allocation %ld of %ld of jansson: %s", at, count, answer);
        lspo_free(answer);
    }
    lspo_free(expected);
}

/* ---- what messages call things ---- */

Test(memory, messages_speak_of_keys)
{
    char *answer;
    cr_assert_eq(lspo_predict_json("{\"policy\": \"fusion\", \"chain\": \"a:3\"}", &answer), LSPO_REFUSED);
    cr_assert_null(strstr(answer, "--"), "%s", answer);
    cr_assert_not_null(strstr(answer, "peers"), "%s", answer);
    lspo_free(answer);
}

/* What the caller wrote is not changed, nor what looks like a key in it. */
Test(memory, messages_leave_the_callers_texts)
{
    static const struct {
        const char *request, *says;
    } cases[] = {
        {"{\"model\": \"dir/--x.ini\"}", "dir/--x.ini"},
        {"{\"model\": \"dir/--batch.ini\"}", "dir/--batch.ini"},
        {"{\"--batch\": 4}", "unknown key '--batch'; did you mean 'batch'?"},
        {"{\"model\": \"--batch\"}", "'--batch'"},
        {"{\"precision\": \"a --batch\"}", "'a --batch'"},
        {"{\"batch\": \"--many\"}", "batch: '--many'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *answer;
        cr_assert_eq(lspo_predict_json(cases[i].request, &answer), LSPO_REFUSED);
        cr_expect_not_null(strstr(answer, cases[i].says), "%s: %s", cases[i].request, answer);
        lspo_free(answer);
    }
}
