/* toy_gpt.h - a GPT small enough to count by hand: w 4, h 2 (head width 2), f 8, V 10, longest sequence 3. */
#ifndef LSPO_TESTS_TOY_GPT_H
#define LSPO_TESTS_TOY_GPT_H

#include "plan/model.h"

static const lspo_model_t toy = {.name = "toy",
                                 .family = LSPO_FAMILY_GPT,
                                 .block_count = 1,
                                 .width = 4,
                                 .head_count = 2,
                                 .kv_head_count = 2,
                                 .mlp_width = 8,
                                 .vocabulary = 10,
                                 .max_sequence = 3,
                                 .tied_head = true};

#endif
