/* Times of steps in the logs of trainings without timers: nanoGPT's lines, and progress bars. */
#include "traces/import/pace.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static lspo_pace_t read_bytes(const char *text, size_t length)
{
    static const char path[] = "test_pace.tmp";
    lspo_pace_t pace;
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(text, 1, length, file), length);
    fclose(file);
    cr_assert_eq(lspo_pace_read(path, &pace), LSPO_OK);
    unlink(path);
    return pace;
}

static lspo_pace_t read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

static void expect_seconds(lspo_pace_t *pace, lspo_pace_kind_t kind, uint32_t count, const double *seconds)
{
    cr_expect_eq(pace->kind, kind);
    cr_assert_eq(pace->count, count, "%u steps, not %u", pace->count, count);
    for (uint32_t i = 0; i < count; i++)
        cr_expect_float_eq(pace->seconds[i], seconds[i], 1e-12 * seconds[i], "step %u: %g s", i, pace->seconds[i]);
    lspo_pace_release(pace);
}

/* Milliseconds; a date or label before the line, colours, "\r\n", a byte-order mark, no end of the last line. */
Test(pace, lines_of_nanogpt)
{
    lspo_pace_t pace = read_text("\xEF\xBB\xBF"
                                 "iter 0: loss 10.9, time 21035.52ms, mfu -100.00%\r\n"
                                 "step 10: train loss 4.1, val loss 4.2\n"
                                 "2024-05-01 [rank0]: \x1b[32miter 10: loss 9.61, time 135.25ms, mfu 31.02%\n"
                                 "iter 20: loss nan, time 1e2ms");
    expect_seconds(&pace, LSPO_PACE_STEPS, 3, (const double[]){21.03552, 0.13525, 0.1});
}

/* Lines of llm.c (two versions), nanochat and build-nanogpt; times of parts of a step are none. */
Test(pace, lines_of_other_trainers)
{
    lspo_pace_t pace = read_text(
        "step    1/19560 | loss 11.009 (+nanz)| norm 15.3 (+nanz)| lr 8.57e-07 | 300.25 ms | 38.0% bf16 MFU | "
        "1747626 tok/s\n"
        "step 2/74: train loss 4.37 (acc 4.37) (301.5 ms, 13653 tok/s)\n"
        "step 00003/21400 (0.05%) | loss: 8.1 | lrm: 1.00 | dt: 1574.05ms | tok/sec: 333,085 | mfu: 45.2\n"
        "step    4 | loss: 9.5 | lr 6.0e-04 | norm: 15.3 | dt: 338.19ms | tok/sec: 1550000.12\n"
        "step 5 | loss: 9.4 | fwd: 10 ms | bwd: 20 ms\n"
        "step 6 | loss: 9.4 | 3 ms/token\n"
        "step 7/10 | train loss 3.0 | 5 ms data | 100 ms step\n"
        "step 8/10 | loss 3.0 | 0.10 s | 5 ms comm\n"
        "step 9/10 | loss 3.0 (5 ms data, 95 ms rest)\n"
        "step 10 | loss 3.0 | 302 ms\n"
        "step 11: train loss 3.0 (303 ms)\n"
        "step 12: train loss 3.0, val loss 3.1 (304 ms, 13653 tok/s)\n");
    expect_seconds(&pace, LSPO_PACE_STEPS, 7, (const double[]){0.30025, 0.3015, 1.57405, 0.33819, 0.302, 0.303, 0.304});
}

Test(pace, times_that_cannot_be_are_left_out)
{
    lspo_pace_t pace = read_text("\n"
                                 "iter 1: loss 1, time nanms\n"
                                 "iter 2: loss 1, time 1e999ms\n"
                                 "iter 3: loss 1, time 0.0ms\n"
                                 "iter 4: loss 1, time -3ms\n"
                                 "iter 5: loss 1, time 1e12ms\n"
                                 "iter 6: loss 1, time 40ms\n");
    cr_expect_eq(pace.bad_count, 5);
    cr_expect_eq(pace.bad_line, 2);
    expect_seconds(&pace, LSPO_PACE_STEPS, 1, (const double[]){0.04});
}

/* Other lines, however similar, count neither as steps nor as bad ones. */
Test(pace, lines_that_are_something_else)
{
    static const char *const texts[] = {
        "\n",
        "iter : loss 1, time 1ms\n",
        "iter 99999999999999999999: loss 1, time 1ms\n",
        "iter 1: loss 1, time 1s\n",
        "iter 1: loss 1, took 1ms\n",
        "iter 1 loss 1, time 1ms\n",
        "Map: 50%|#####     | 5/10 [00:05<00:05,  1.00it/s]\n",
        "Loading checkpoint shards: 50%|##| 1/2 [00:05<00:05,  5.00s/it]\n",
        "Validation DataLoader 0: 50%|##| 1/2 [00:05<00:05,  5.00s/it]\n",
        "Loading: 50%|##|\n",
        "Train data tokenizing:  50%|##| 100/500 [10:52<16:28,  2.08s/it]\n",
        "Eval loss: 2.1:  50%|##| 100/500 [10:52<16:28,  2.08s/it]\n",
        "Epoch 1 [Val]: 50%|##| 1/2 [00:05<00:05,  5.00s/it]\n",
        "Epoch: 50%|##| 1/2 [10:05<10:05,  605.00s/it]\n",
        "Training epochs: 50%|##| 1/2 [10:05<10:05,  605.00s/it]\n",
        "1|25|Val Loss: 1.9: 50%|##| 1/2 [00:05<00:05,  5.00s/it]\n",
        "Training 50%|##| 1/2 [00:05<00:05,  5.00s/it]\n",
        "Validation step 1 | loss 3.0 | 5 ms |\n",
        "eval: step 1 | loss 3.0 | 5 ms |\n",
        "step 10 | val loss 3.2 | 900 ms |\n",
        "step 10 | eval_loss 3.2 | 900 ms |\n",
        " 50%|#####     | 5/10 [00:05<00:05,  1.00 examples/s]\n",
        " 50%|#####     | 5/10 [00:05<00:05,  1.00B/s]\n",
        "  0%|          | 0/10 [00:00<?, ?it/s]\n",
        " 50%|#####     5/10 [00:05<00:05,  1.00it/s]\n",
        " 50%|##| 5/ [00:05<00:05,  1.00it/s]\n",
        " 50%|##| 5/10 [0x:05<00:05,  1.00it/s]\n",
        " 50%|##| 5/10 [00:05<00:05]\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        lspo_pace_t pace = read_text(texts[i]);
        cr_expect_eq(pace.kind, LSPO_PACE_NONE, "%s", texts[i]);
        cr_expect_eq(pace.bad_count, 0, "%s", texts[i]);
        lspo_pace_release(&pace);
    }
}

/* Rates in steps per second and in seconds per step; a bar that is drawn again counts once.  The training's bar has
 * 500 steps and took 1 hour, 1 minute and 5 s; that of the evaluation, with 16, only 4 s. */
Test(pace, the_bar_that_took_longest)
{
    lspo_pace_t pace = read_text("  0%|          | 1/500 [00:09<1:14:51,  9.00s/it]\r"
                                 "  1%|          | 3/500 [59:59<25:00,  2.10s/it]\r"
                                 "  1%|          | 3/500 [59:59<25:00,  2.10s/it]\n"
                                 " 50%|#####     | 8/16 [00:02<00:02,  4.00it/s]\r\n"
                                 "100%|##########| 16/16 [00:04<00:00,  4.00it/s]\n"
                                 "  1%|1         | 6/500 [1:01:05<20:00,  0.50it/s, loss=0.7]");
    cr_expect_eq(pace.repeated_count, 1);
    expect_seconds(&pace, LSPO_PACE_BAR, 3, (const double[]){9, 2.1, 2});
}

/* Lightning names the epoch, torchtune the loss; others the training. */
Test(pace, bars_of_trainings_with_a_name)
{
    lspo_pace_t pace = read_text("Sanity Checking DataLoader 0: 50%|##| 1/2 [00:00<00:00,  9.00it/s]\r"
                                 "Epoch 0:   1%|#  | 1/100 [00:01<01:00,  2.00it/s, v_num=3, train_loss=2.30]\r"
                                 "Epoch 0:   2%|#  | 2/100 [00:02<01:00,  4.00it/s, v_num=3, train_loss=2.30]\n"
                                 "Validation DataLoader 0: 50%|##| 1/2 [00:00<00:00,  9.00it/s]\n");
    expect_seconds(&pace, LSPO_PACE_BAR, 2, (const double[]){0.5, 0.25});
    pace = read_text("1|25|Loss: 1.9012:   2%|#  | 25/1617 [00:26<27:36,  1.25s/it]\r");
    expect_seconds(&pace, LSPO_PACE_BAR, 1, (const double[]){1.25});
    pace = read_text("Epoch 1/3:   1%|#  | 1/500 [00:01<01:00,  2.00it/s]\r"
                     "Epoch [2/3]: 2%|#  | 2/500 [00:02<01:00,  4.00it/s]\r"
                     "Training:   3%|#  | 3/500 [00:03<01:00,  5.00it/s]\r"
                     "train:  50%|#  | 250/500 [00:04<01:00,  8.00it/s]\r"
                     "Train data tokenizing:  50%|##| 100/500 [10:52<16:28,  2.08s/it]\n");
    expect_seconds(&pace, LSPO_PACE_BAR, 4, (const double[]){0.5, 0.25, 0.2, 0.125});
}

/* nanoGPT's lines are more precise than a bar. */
Test(pace, lines_count_before_bars)
{
    lspo_pace_t pace = read_text(" 50%|##| 5/10 [00:05<00:05,  1.00it/s]\niter 1: loss 1, time 7ms\n");
    expect_seconds(&pace, LSPO_PACE_STEPS, 1, (const double[]){0.007});
}

Test(pace, a_byte_of_zero_does_not_end_a_line)
{
    static const char text[] = "a\0iter 1: loss 1, time 7ms\n";
    lspo_pace_t pace = read_bytes(text, sizeof text - 1);
    expect_seconds(&pace, LSPO_PACE_STEPS, 1, (const double[]){0.007});
}

Test(pace, no_such_file, .init = cr_redirect_stderr)
{
    lspo_pace_t pace;
    cr_expect_eq(lspo_pace_read("no-such-file", &pace), LSPO_ERR_INPUT);
}
