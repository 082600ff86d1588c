/* What is suggested for a name that does not exist. */
#include "base/names.h"

#include <criterion/criterion.h>
#include <string.h>

static const char *const names[] = {"llama-3b",   "llama-3.1-8b", "llama-3.3-70b", "gpt2-124m", "gpt2-774m",
                                    "phi-3-mini", "rtx3060",      "rtx3090ti",     "a100-40gb"};

static const char *nearest(const char *text)
{
    const char *found = lspo_name_nearest(text, names, sizeof names / sizeof names[0]);
    return found != NULL ? found : "";
}

/* A mark that was left out is nearer than a digit that was typed and is not meant. */
Test(names, digits_say_more_than_marks)
{
    cr_expect_str_eq(nearest("llama3-8b"), "llama-3.1-8b");
    cr_expect_str_eq(nearest("LLaMA_3B"), "llama-3b");
    cr_expect_str_eq(nearest("rtx3060ti"), "rtx3060");
    cr_expect_str_eq(nearest("rtx-3090-ti"), "rtx3090ti");
    cr_expect_str_eq(nearest("gtp2-124m"), "gpt2-124m");
    cr_expect_str_eq(nearest("gpt2-125m"), "gpt2-124m");
}

Test(names, a_part_of_one_name_is_that_name)
{
    cr_expect_str_eq(nearest("phi3"), "phi-3-mini");
    cr_expect_str_eq(nearest("A100"), "a100-40gb");
    cr_expect_str_eq(nearest("gpt2"), "", "there are two");
    cr_expect_str_eq(nearest("70b"), "llama-3.3-70b");
    cr_expect_str_eq(nearest("vicuna"), "");
    cr_expect_str_eq(nearest(""), "");
}

/* By hand, in half edits: two letters swapped; a mark; a letter; a digit typed. */
Test(names, distances)
{
    cr_expect_eq(lspo_name_distance("zreo", "zero"), 2);
    cr_expect_eq(lspo_name_distance("zerolayerwise", "zero-layerwise"), 1);
    cr_expect_eq(lspo_name_distance("Galore", "galore"), 0);
    cr_expect_eq(lspo_name_distance("gallore", "galore"), 2);
    cr_expect_eq(lspo_name_distance("lora2", "lora"), 5);
    cr_expect_eq(lspo_name_distance("lora", "lora2"), 2);
    cr_expect_eq(lspo_name_distance("", "ab-1"), 7);
}
