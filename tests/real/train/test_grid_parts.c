/* The parts of a chain are saved, and a training that begins again goes on from the newest step that all have: its
 * weights are those of one that was never interrupted, bit for bit. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/texts.h"
#include "plan/policies/fusion.h"
#include "real/train/checkpoint.h"
#include "real/train/grid_parts.h"
#include "tests/own_folder.h"
#include "tests/small_gpt.h"

TestSuite(grid_parts, .init = make_folder, .fini = remove_folder);

enum { STEPS = 6 };

typedef struct {
    lspo_model_t model;
    lspo_workload_t workload;
    lspo_text_t *text;
    lspo_parts_options_t options;
    char path[128];
} training_t;

static void begin(training_t *t, const char *name, const char *chain, uint32_t save_every)
{
    const lspo_policy_t *policy = NULL;
    *t = (training_t){.model = small_gpt(), .text = make_text()};
    cr_assert_eq(lspo_policy_find("fusion", &policy), LSPO_OK);
    lspo_workload_default(&t->workload);
    lspo_policy_set_defaults(policy, &t->model, false, &t->workload);
    t->workload.batch = 2;
    t->workload.sequence = 16;
    t->workload.precision = t->workload.transfer = LSPO_FP32;
    t->workload.accumulation = 3;
    t->workload.learning_rate = 3e-3;
    t->workload.clip_norm = 0.3;
    t->workload.train_rest = LSPO_TRAIN_REST_ON;
    lspo_fusion_values_t *own = lspo_fusion_values_edit(&t->workload);
    cr_assert_eq(lspo_text_number(chain, &own->chain), LSPO_OK);
    cr_assert_eq(lspo_text_number(own_file("peers.ini", "[peers]\nBps = 1 GB/s\n[peer a]\ncount = 3\n"), &own->peers),
                 LSPO_OK);
    snprintf(t->path, sizeof t->path, "%s/%s", folder, name);
    t->options = (lspo_parts_options_t){.model = &t->model,
                                        .policy = policy,
                                        .workload = &t->workload,
                                        .steps = STEPS,
                                        .save_every = save_every,
                                        .folder = t->path,
                                        .grid = {.device = "host", .text = t->text}};
}

static lspo_status_t train(training_t *t, uint32_t steps, lspo_parts_result_t *result)
{
    t->options.steps = steps;
    return lspo_parts_train(&t->options, result);
}

static void end(training_t *t)
{
    lspo_text_close(t->text);
}

static void expect_saved(const training_t *t, uint32_t parts, uint32_t step)
{
    uint32_t saved = UINT32_MAX;
    cr_assert_eq(lspo_parts_saved(t->path, parts, &saved), LSPO_OK);
    cr_expect_eq(saved, step, "%u", saved);
}

/* Parts are not equal, the last one has the head alone and a copy of the embedding. */
static const char *const divided[] = {"a:1/a:3/a:1", "a:3/a:2", "a:5"};
enum { CHAINS = sizeof divided / sizeof divided[0] };

/* In one go; in two, at a step that is saved; and after the newest save of one part, or of all, is lost.  Also with
 * links over which a part of the gradients waits for the next step. */
Test(grid_parts, goes_on_where_all_parts_were)
{
    lspo_parts_result_t whole[CHAINS], got;
    for (uint32_t c = 0; c < CHAINS; c++) {
        char name[16], lost[192];
        training_t t;
        snprintf(name, sizeof name, "whole%u", c);
        begin(&t, name, divided[c], STEPS);
        lspo_fusion_values_edit(&t.workload)->compress_links = c == 0 ? 4 : 1;
        cr_assert_eq(train(&t, STEPS, &whole[c]), LSPO_OK);
        end(&t);
        snprintf(name, sizeof name, "again%u", c);
        begin(&t, name, divided[c], 2);
        lspo_fusion_values_edit(&t.workload)->compress_links = c == 0 ? 4 : 1;
        expect_saved(&t, 3 - c, 0);
        cr_assert_eq(train(&t, 4, &got), LSPO_OK);
        expect_saved(&t, 3 - c, 4);
        snprintf(lost, sizeof lost, "rm -r %s/part-%u/step-0000000004", t.path, c < 2 ? 1 : 0);
        cr_assert_eq(system(lost), 0);
        expect_saved(&t, 3 - c, 2);
        cr_assert_eq(train(&t, STEPS, &got), LSPO_OK);
        cr_expect_eq(got.first_step, 2u);
        cr_expect_eq(got.weights_hash, whole[c].weights_hash, "chain %s", divided[c]);
        cr_expect_eq(got.loss_first, whole[c].loss_first);
        cr_expect_eq(got.loss_last, whole[c].loss_last);
        cr_assert_eq(train(&t, STEPS, &got), LSPO_OK); /* nothing is left to do */
        cr_expect_eq(got.first_step, (uint32_t)STEPS);
        cr_expect_eq(got.weights_hash, whole[c].weights_hash);
        end(&t);
    }
    cr_expect_lt(whole[0].loss_last, whole[0].loss_first);
}

/* One whose newest save is damaged goes back, and so do all.  A part without a save, while the others have two: nothing
 * is removed; while they have their first one: all begin anew. */
Test(grid_parts, a_part_that_is_lost_or_damaged)
{
    lspo_parts_result_t whole, got;
    char command[512];
    training_t t;
    begin(&t, "whole", divided[1], STEPS);
    cr_assert_eq(train(&t, STEPS, &whole), LSPO_OK);
    end(&t);
    begin(&t, "parts", divided[1], 2);
    cr_assert_eq(train(&t, 4, &got), LSPO_OK);
    snprintf(command, sizeof command, "echo x >>%s/part-0/step-0000000004/state.safetensors", t.path);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(train(&t, STEPS, &got), LSPO_OK);
    cr_expect_eq(got.first_step, 2u);
    cr_expect_eq(got.weights_hash, whole.weights_hash);
    snprintf(command, sizeof command, "mv %s/part-1 %s/aside", t.path, t.path);
    cr_assert_eq(system(command), 0);
    cr_expect_eq(train(&t, STEPS, &got), LSPO_ERR_INPUT);
    expect_saved(&t, 1, STEPS);
    snprintf(command, sizeof command, "rmdir %s/part-1 && mv %s/aside %s/part-1", t.path, t.path, t.path);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(train(&t, STEPS, &got), LSPO_OK);
    cr_expect_eq(got.first_step, (uint32_t)STEPS);
    snprintf(command, sizeof command, "rm -r %s/part-1 %s/part-0/step-0000000004", t.path, t.path);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(train(&t, STEPS, &got), LSPO_OK);
    cr_expect_eq(got.first_step, 0u);
    cr_expect_eq(got.weights_hash, whole.weights_hash);
    end(&t);
}

static const char other_link[] = "[peers]\nBps = 1 GB/s\n[peer a]\ncount = 3\n[peer b]\n[link a b]\nBps = 0.5 GB/s\n";

static void write_other_link(void *training, uint32_t step)
{
    (void)training;
    (void)step;
    own_file("peers.ini", other_link);
}

/* With --compress-links the rates of links decide what is sent, and so the weights: other rates, before it goes on or
 * meanwhile, are refused.  Without, they may change. */
Test(grid_parts, other_links_change_what_is_compressed)
{
    lspo_parts_result_t got;
    training_t t;
    for (uint32_t ratio = 1; ratio <= 8; ratio += 7) {
        const lspo_status_t expected = ratio > 1 ? LSPO_ERR_INPUT : LSPO_OK;
        char name[16];
        snprintf(name, sizeof name, "links%u", ratio);
        begin(&t, name, "a:2/a:2/b:1", 2);
        lspo_fusion_values_edit(&t.workload)->compress_links = ratio;
        own_file("peers.ini", "[peers]\nBps = 1 GB/s\n[peer a]\ncount = 3\n[peer b]\n");
        cr_assert_eq(train(&t, 2, &got), LSPO_OK);
        t.options.saved = write_other_link;
        cr_expect_eq(train(&t, STEPS, &got), expected);
        expect_saved(&t, 3, expected == LSPO_OK ? STEPS : 4);
        cr_expect_eq(train(&t, STEPS, &got), expected);
        own_file("peers.ini", "[peers]\nBps = 1 GB/s\n[peer a]\ncount = 3\n[peer b]\n");
        t.options.saved = NULL;
        cr_expect_eq(train(&t, STEPS, &got), LSPO_OK);
        end(&t);
    }
}

Test(grid_parts, refuses_parts_of_another_training)
{
    lspo_parts_result_t got;
    training_t t, other;
    begin(&t, "parts", divided[1], 2);
    cr_assert_eq(train(&t, 4, &got), LSPO_OK);
    cr_expect_eq(train(&t, 3, &got), LSPO_ERR_INPUT);
    begin(&other, "parts", "a:2/a:3", 2);
    cr_expect_eq(train(&other, STEPS, &got), LSPO_ERR_INPUT);
    t.workload.learning_rate = 1e-3;
    cr_expect_eq(train(&t, STEPS, &got), LSPO_ERR_INPUT);
    end(&other);
    end(&t);
}
