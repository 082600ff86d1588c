/* small_gpt.h - a GPT of three blocks and a text that it learns something of within 50 steps. */
#ifndef LSPO_TESTS_SMALL_GPT_H
#define LSPO_TESTS_SMALL_GPT_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernels/random.h"
#include "plan/model.h"
#include "real/data/text.h"

static inline lspo_model_t small_gpt(void)
{
    return (lspo_model_t){.name = "test",
                          .family = LSPO_FAMILY_GPT,
                          .block_count = 3,
                          .width = 32,
                          .head_count = 2,
                          .kv_head_count = 2,
                          .mlp_width = 64,
                          .vocabulary = 256,
                          .max_sequence = 32,
                          .tied_head = true};
}

/* 40 kB of sentences made of few words. */
static inline lspo_text_t *make_text(void)
{
    static const char *const words[] = {"the ", "cat ", "sat ", "on ", "a ", "mat ", "and ", "ate ", "it. "};
    char path[] = "/tmp/lspo-test-text-XXXXXX";
    int descriptor = mkstemp(path);
    cr_assert_geq(descriptor, 0);
    FILE *file = fdopen(descriptor, "wb");
    cr_assert_not_null(file);
    for (uint32_t i = 0; i < 10000; i++)
        fputs(words[lspo_random_below(5, 5, i, 9)], file);
    cr_assert_eq(fclose(file), 0);
    lspo_text_t *text = NULL;
    cr_assert_eq(lspo_text_open(path, &text), LSPO_OK);
    unlink(path);
    return text;
}

#endif
