/* The library as a program sees it: this suite is linked with liblspo alone. */
#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/lspo.h"

static lspo_context *context;
static lspo_query *query;

static void set_up(void)
{
    cr_assert_eq(lspo_context_open(NULL, &context), LSPO_DONE);
    cr_assert_eq(lspo_query_create(context, &query), LSPO_DONE);
}

static void tear_down(void)
{
    lspo_query_destroy(query);
    lspo_context_close(context);
}

TestSuite(lspo, .init = set_up, .fini = tear_down);

static lspo_reply *predict(void)
{
    lspo_reply *reply = NULL;
    cr_assert_eq(lspo_query_predict(query, &reply), LSPO_DONE, "%s", lspo_context_message(context));
    cr_assert_not_null(reply);
    return reply;
}

static double number_of(const lspo_reply *reply, const char *name)
{
    double value;
    cr_assert_eq(lspo_reply_number(reply, name, &value), LSPO_DONE, "%s", name);
    return value;
}

static const char *text_of(const lspo_reply *reply, const char *name)
{
    const char *value;
    cr_assert_eq(lspo_reply_text(reply, name, &value), LSPO_DONE, "%s", name);
    return value;
}

Test(lspo, what_is_set_is_predicted)
{
    cr_assert_eq(lspo_query_set(query, "model", "llama-7b"), LSPO_DONE);
    cr_assert_eq(lspo_query_set(query, "machine", "rtx4090"), LSPO_DONE);
    cr_assert_eq(lspo_query_set(query, "policy", "zero"), LSPO_DONE);
    cr_assert_eq(lspo_query_set(query, "batch", "3"), LSPO_DONE);
    lspo_reply *slow, *fast, *again;
    cr_assert_eq(lspo_query_set(query, "link", "5GB/s"), LSPO_DONE);
    slow = predict();
    cr_assert_eq(lspo_query_set(query, "link", "20GB/s"), LSPO_DONE);
    fast = predict();
    again = predict();
    cr_assert_str_eq(text_of(slow, "policy"), "zero");
    cr_assert_str_eq(text_of(slow, "model"), "llama-7b");
    cr_assert_eq(number_of(slow, "batch"), 3);
    cr_assert_eq(number_of(slow, "link_Bps"), 5e9);
    cr_assert_eq(number_of(fast, "link_Bps"), 20e9);
    cr_assert_gt(number_of(slow, "iteration_s"), 1.5 * number_of(fast, "iteration_s"));
    /* Each value of the same question is the same. */
    cr_assert_str_eq(lspo_reply_json(fast), lspo_reply_json(again));
    lspo_reply_destroy(slow);
    lspo_reply_destroy(fast);
    lspo_reply_destroy(again);
}

/* "set" adds up; a field of the machine and one of the model. */
Test(lspo, fields_are_set_one_after_the_other)
{
    lspo_reply *plain = predict();
    cr_assert_eq(lspo_query_set(query, "set", "model.blocks=18"), LSPO_DONE);
    lspo_reply *half = predict();
    cr_assert_eq(lspo_query_set(query, "set", "cpu.memory_bytes=64MiB"), LSPO_DONE);
    lspo_reply *small = predict();
    /* gpt2-774m has 36 blocks. */
    cr_assert_lt(number_of(half, "iteration_s"), 0.7 * number_of(plain, "iteration_s"));
    cr_assert_eq(number_of(half, "iteration_s"), number_of(small, "iteration_s"));
    cr_assert_eq(number_of(half, "fits"), 1);
    cr_assert_eq(number_of(small, "fits"), 0);
    cr_assert_not_null(text_of(small, "advice"));
    lspo_reply_destroy(plain);
    lspo_reply_destroy(half);
    lspo_reply_destroy(small);
}

/* The ops of each lane, which never overlap there, reach to the end of the iterations. */
Test(lspo, the_schedule_is_complete)
{
    lspo_query_set(query, "iterations", "8");
    lspo_reply *reply = predict();
    lspo_reply_op op = LSPO_REPLY_OP_INIT;
    double gpu_free_s = 0, last_s = 0;
    size_t count = lspo_reply_op_count(reply), updates = 0;
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(lspo_reply_op_at(reply, i, &op), LSPO_DONE);
        cr_assert_geq(op.end_s, op.start_s);
        cr_assert_lt(op.iteration, 8);
        updates += strcmp(op.kind, "UPD") == 0;
        last_s = op.end_s > last_s ? op.end_s : last_s;
        if (strcmp(op.lane, "gpu") != 0)
            continue;
        cr_assert_geq(op.start_s, gpu_free_s - 1e-9);
        gpu_free_s = op.end_s;
    }
    cr_assert_eq(lspo_reply_op_at(reply, count, &op), LSPO_NOT_FOUND);
    cr_assert_geq(updates, 8);
    cr_assert_float_eq(last_s / 8, number_of(reply, "iteration_s"), 0.3 * number_of(reply, "iteration_s"));
    lspo_reply_destroy(reply);
}

Test(lspo, a_wrong_question_is_refused_with_the_reason)
{
    lspo_reply *reply;
    cr_assert_eq(lspo_query_set(query, "bach", "3"), LSPO_REFUSED);
    cr_assert_not_null(strstr(lspo_context_message(context), "did you mean 'batch'"));
    cr_assert_eq(lspo_query_set(query, "batch", "many"), LSPO_DONE);
    cr_assert_str_eq(lspo_context_message(context), "");
    cr_assert_eq(lspo_query_predict(query, &reply), LSPO_REFUSED);
    cr_assert_null(reply);
    cr_assert_not_null(strstr(lspo_context_message(context), "batch: 'many'"));
    cr_assert_eq(lspo_query_set(query, "batch", "2"), LSPO_DONE);
    cr_assert_eq(lspo_query_set(query, "rank", "4"), LSPO_DONE);
    cr_assert_eq(lspo_query_predict(query, &reply), LSPO_REFUSED); /* lora's, not lsp's */
    cr_assert_not_null(strstr(lspo_context_message(context), "rank"));
    cr_assert_eq(lspo_query_set(query, "policy", "lora"), LSPO_DONE);
    lspo_reply_destroy(predict());
}

Test(lspo, values_that_are_not_there)
{
    lspo_reply *reply = predict();
    const char *text = "";
    double number = 0;
    cr_assert_eq(lspo_reply_number(reply, "iteration", &number), LSPO_NOT_FOUND);
    cr_assert_eq(lspo_reply_number(reply, "policy", &number), LSPO_NOT_FOUND);
    cr_assert_eq(lspo_reply_text(reply, "iteration_s", &text), LSPO_NOT_FOUND);
    cr_assert(isnan(number_of(reply, "loss_first"))); /* a run's */
    cr_assert_null(text_of(reply, "device"));
    size_t names = 0;
    while (lspo_reply_name(reply, names) != NULL)
        names++;
    cr_assert_geq(names, 100);
    lspo_reply_destroy(reply);
}

/* Sizes that this version does not have, 0 among them. */
Test(lspo, sizes_of_structs_are_checked)
{
    static const size_t wrong[] = {0, sizeof(size_t), sizeof(lspo_options) + 800, sizeof(lspo_reply_op) + 800};
    lspo_reply *reply = predict();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        lspo_options options = LSPO_OPTIONS_INIT;
        lspo_reply_op op = LSPO_REPLY_OP_INIT;
        lspo_context *other = context;
        options.size = op.size = wrong[i];
        cr_assert_eq(lspo_context_open(&options, &other), LSPO_REFUSED);
        cr_assert_null(other);
        cr_assert_eq(lspo_reply_op_at(reply, 0, &op), LSPO_REFUSED);
    }
    lspo_reply_destroy(reply);
}

Test(lspo, texts_that_are_null_are_refused)
{
    char *answer;
    double number;
    const char *text;
    cr_assert_eq(lspo_query_set(query, NULL, "1"), LSPO_REFUSED);
    cr_assert_eq(lspo_query_set(query, "model", NULL), LSPO_REFUSED);
    cr_assert_str_eq(lspo_context_message(context), "model is NULL");
    cr_assert_null(lspo_known_name(NULL, 0));
    cr_assert_eq(lspo_predict_json(NULL, &answer), LSPO_REFUSED);
    cr_assert_str_eq(answer, "{\"error\": \"the request is NULL\"}\n");
    lspo_free(answer);
    lspo_reply *reply = predict();
    cr_assert_eq(lspo_reply_number(reply, NULL, &number), LSPO_NOT_FOUND);
    cr_assert_eq(lspo_reply_text(reply, NULL, &text), LSPO_NOT_FOUND);
    lspo_reply_destroy(reply);
}

/* ---- warnings ---- */

static int warnings;

/* Predicts while another prediction goes on. */
static void warn(void *user, const char *text)
{
    char *answer;
    warnings++;
    cr_assert_str_eq(user, "mine");
    cr_assert_not_null(strstr(text, "is the preset of that name"));
    cr_assert_eq(lspo_predict_json("{\"batch\": 0}", &answer), LSPO_REFUSED);
    lspo_free(answer);
}

/* A file of a preset's name makes a warning; the call in it leaves the message of the failure that follows alone. */
Test(warnings, are_handed_to_the_program_which_may_predict_meanwhile)
{
    lspo_options options = LSPO_OPTIONS_INIT;
    lspo_reply *reply;
    char folder[] = "/tmp/lspo-warnings-XXXXXX", name[64];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(name, sizeof name, "%s/gpt2-774m", folder);
    FILE *file = fopen(name, "w");
    cr_assert(file != NULL && fclose(file) == 0 && chdir(folder) == 0);
    options.warn = warn;
    options.user = "mine";
    cr_assert_eq(lspo_context_open(&options, &context), LSPO_DONE);
    cr_assert_eq(lspo_query_create(context, &query), LSPO_DONE);
    lspo_query_set(query, "machine", "no-such");
    cr_assert_eq(lspo_query_predict(query, &reply), LSPO_REFUSED);
    cr_assert_eq(warnings, 1);
    cr_assert_not_null(strstr(lspo_context_message(context), "no-such"), "'%s'", lspo_context_message(context));
    tear_down();
    unlink(name);
    rmdir(folder);
}

/* ---- JSON ---- */

static char *answer_to(const char *request, int expected)
{
    char *answer = NULL;
    cr_assert_eq(lspo_predict_json(request, &answer), expected, "%s: %s", request, answer);
    cr_assert_not_null(answer);
    return answer;
}

Test(json, is_the_reply_with_warnings_and_ops)
{
    char *answer = answer_to("{\"batch\": 2, \"clip\": 0.5, \"checkpointing\": true, \"iterations\": \"9\","
                             " \"set\": {\"model.blocks\": 12, \"link.h2d_Bps\": \"7GB/s\"}, \"ops\": true}",
                             LSPO_DONE);
    cr_assert_not_null(strstr(answer, "\"batch\": 2,"));
    cr_assert_not_null(strstr(answer, "\"clip_norm\": 0.5,"));
    cr_assert_not_null(strstr(answer, "\"iterations\": 9,"));
    cr_assert_not_null(strstr(answer, "\"warnings\": []"));
    cr_assert_not_null(strstr(answer, "\"ops\": [\n    {\"lane\": \"gpu\", \"kind\": \"FWD\""));
    lspo_free(answer);
    lspo_free(NULL);
}

Test(json, faults_are_answers)
{
    static const struct {
        const char *request, *error;
    } cases[] = {{"", "not JSON"},
                 {"[]", "not a JSON object"},
                 {"{\"batch\": 1, \"batch\": 2}", "duplicate"},
                 {"{\"batch\": null}", "batch is neither"},
                 {"{\"batch\": 0}", "batch: '0'"},
                 {"{\"batch\": 1.5}", "batch: '1.5'"},
                 {"{\"ops\": 1}", "ops is neither"},
                 {"{\"set\": [1]}", "SECTION.KEY=VALUE"},
                 {"{\"set\": {\"gpu.wheels\": 3}}", "gpu.wheels"},
                 {"{\"set\": {\"a\": {}}}", "a is neither"},
                 {"{\"model\": \"a\\u0000b\"}", "NUL"},
                 {"{\"model\": \"no-such\"}", "no-such"},
                 {"{\"machine\": \"auto\"}", "auto"},
                 {"{\"policy\": \"lsd\"}", "lsp"},
                 {"{\"task\": \"generate\", \"policy\": \"lsp\"}", "generate"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *answer = answer_to(cases[i].request, LSPO_REFUSED);
        cr_assert_eq(strncmp(answer, "{\"error\": \"", 11), 0, "%s", answer);
        cr_assert_not_null(strstr(answer, cases[i].error), "%s: %s", cases[i].request, answer);
        lspo_free(answer);
    }
}

/* ---- names ---- */

Test(names, are_those_of_the_lists)
{
    bool found = false;
    for (size_t i = 0; lspo_known_name("policies", i) != NULL; i++)
        found |= strcmp(lspo_known_name("policies", i), "lsp") == 0;
    cr_assert(found);
    cr_assert_not_null(lspo_known_name("models", 0));
    cr_assert_not_null(lspo_known_name("machines", 0));
    cr_assert_not_null(lspo_known_name("frameworks", 0));
    cr_assert_null(lspo_known_name("policies", 1000));
    cr_assert_null(lspo_known_name("wheels", 0));
    cr_assert_eq(lspo_api_version(), LSPO_API_VERSION);
    cr_assert_gt(strlen(lspo_release()), 4);
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 6 };

static const char *const questions[THREADS] = {"{\"policy\": \"lsp\", \"subspace\": 256}", "{\"policy\": \"zero\"}",
                                               "{\"policy\": \"native\", \"machine\": \"rtx4090\"}",
                                               "{\"policy\": \"wrong\"}"};

static void *ask(void *question)
{
    char *first = NULL;
    bool same = true;
    lspo_predict_json(question, &first);
    for (int i = 1; i < ROUNDS; i++) {
        char *answer = NULL;
        lspo_predict_json(question, &answer);
        same &= answer != NULL && strcmp(answer, first) == 0;
        lspo_free(answer);
    }
    if (same)
        return first;
    lspo_free(first);
    return NULL;
}

/* Contexts of several threads do not see each other. */
Test(threads, predict_at_the_same_time)
{
    pthread_t threads[THREADS];
    void *answer;
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, ask, (void *)questions[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        char *alone = NULL;
        pthread_join(threads[i], &answer);
        cr_assert_not_null(answer, "the answers to %s differ", questions[i]);
        lspo_predict_json(questions[i], &alone);
        cr_assert_str_eq(answer, alone);
        lspo_free(answer);
        lspo_free(alone);
    }
}
