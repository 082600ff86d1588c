/* Published steps: what a file of them may contain, and scores that are worked out by hand. */
#include "validate/published.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER                                                                                                         \
    "id,source,kind,framework,gpu,machine,model,batch,sequence,accumulation,precision,checkpointing,policy,flags,"     \
    "measured_s\n"
#define ROW(id, source) id "," source ",native,eager,A100 80 GB,rtx4090,gpt2-124m,1,512,1,bf16,on,"

static const char path[] = "test_published.tmp", memory_path[] = "test_published_memory.tmp";

static void write_text(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

static lspo_status_t read_text(const char *text, lspo_published_t *published_out)
{
    write_text(path, text);
    lspo_status_t status = lspo_published_read(path, published_out);
    unlink(path);
    return status;
}

static lspo_status_t read_peaks(const char *text, lspo_published_t *published)
{
    write_text(memory_path, text);
    lspo_status_t status = lspo_published_read_memory(memory_path, false, published);
    unlink(memory_path);
    return status;
}

/* Columns by name, in any order; the others may be missing or unknown. */
Test(published, columns_are_found_by_name, .init = cr_redirect_stderr)
{
    lspo_published_t published;
    cr_assert_eq(
        read_text("measured_s,id,source,kind,framework,gpu,machine,model,batch,sequence,accumulation,precision,"
                  "checkpointing,policy,flags,note,shoe size\n"
                  "0.25,a,them,micro,,\"A100, 80 GB\",m.ini,n.ini,2,512,3,fp16,off,lora,--rank 8,,42\n",
                  &published),
        LSPO_OK);
    const lspo_published_row_t *row = &published.rows[0];
    cr_assert_eq(published.row_count, 1);
    cr_expect_eq(row->measured_s, 0.25);
    cr_expect_str_eq(row->gpu, "A100, 80 GB");
    cr_expect_str_eq(row->framework, "");
    cr_expect_str_eq(row->flags, "--rank 8");
    cr_expect_eq(row->accumulation, 3);
    cr_expect_eq(row->line, 2);
    cr_expect_null(row->address);
    fflush(stderr);
    cr_assert_stderr_eq_str("lspo: warning: test_published.tmp: columns that are not used: shoe size\n");
    lspo_published_release(&published);
}

Test(published, wrong_files_are_refused)
{
    static const char *const bad[] = {
        "",
        HEADER, /* no row */
        "id,source\na,b\n",
        HEADER ROW("a", "x") "native,,0\n",                                               /* measured_s */
        HEADER ROW("a", "x") "native,,-1\n",                                              /* measured_s */
        HEADER ROW("a", "x") "native,,nan\n",                                             /* measured_s */
        HEADER ROW("a", "x") "native,,1 s\n",                                             /* measured_s */
        HEADER ROW("a", "x") "native,,\n",                                                /* measured_s */
        HEADER ROW("a", "x") "natve,,1\n",                                                /* policy */
        HEADER ROW("", "x") "native,,1\n",                                                /* id */
        HEADER ROW("a", "x") "native,,1\n" ROW("a", "x") "zero,,1\n",                     /* the same id */
        HEADER ROW("a", "x") "native,1\n",                                                /* too few cells */
        HEADER "a,x,full,eager,g,rtx4090,gpt2-124m,1,512,1,bf16,on,native,,1\n",          /* kind */
        HEADER "a,x,native,eager,g,rtx4090,gpt2-124m,0,512,1,bf16,on,native,,1\n",        /* batch */
        HEADER "a,x,native,eager,g,rtx4090,gpt2-124m,1,4294967296,1,bf16,on,native,,1\n", /* sequence */
        HEADER "a,x,native,eager,g,rtx4090,gpt2-124m,1,512,1.5,bf16,on,native,,1\n",      /* accumulation */
        HEADER "a,x,native,eager,g,rtx4090,gpt2-124m,1,512,1,int8,on,native,,1\n",        /* precision */
        HEADER "a,x,native,eager,g,rtx4090,gpt2-124m,1,512,1,bf16,yes,native,,1\n",       /* checkpointing */
        "id," HEADER "a," ROW("a", "x") "native,,1\n",                                    /* a column twice */
    };
    cr_redirect_stderr();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lspo_published_t published;
        cr_expect_eq(read_text(bad[i], &published), LSPO_ERR_INPUT, "accepted: %s", bad[i]);
    }
}

Test(published, wrong_peaks_are_refused)
{
    static const char *const bad[] = {
        "",
        "id,peak\na,1\n",
        "peak_gpu_GiB\n1\n",
        "id,peak_gpu_GiB\nb,1\n",      /* no such row */
        "id,peak_gpu_GiB\na,0\n",      /* above 0 */
        "id,peak_gpu_GiB\na,1\na,1\n", /* twice */
    };
    cr_redirect_stderr();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lspo_published_t published;
        cr_assert_eq(read_text(HEADER ROW("a", "x") "native,,1\n", &published), LSPO_OK);
        cr_expect_eq(read_peaks(bad[i], &published), LSPO_ERR_INPUT, "accepted: %s", bad[i]);
        lspo_published_release(&published);
    }
}

/* Errors +10, -50 and 0 % of one source, +25 and +100 % of another, -50 % of a third:
 *     mean of |error| 235/6 %, mean error 35/6 %, sources 20, 62.5 and 50 %, on average 132.5/3 %.
 * a and b differ in policy and framework, a and c in policy; b and c are only 5 % apart.  a < b is predicted the other
 * way round, a < c is right: tau 0.  d and e differ in the machine and are predicted the other way round: tau -1.  f
 * has another sequence. */
static const char six[] = HEADER "a,x,native,eager,A100 80 GB,rtx4090,m,1,512,1,bf16,on,native,,1\n"
                                 "b,x,offload,deepspeed,A100 80GB,rtx4090,m,1,512,1,bf16,on,zero,,2\n"
                                 "c,x,offload,eager,a100 80 gb,rtx4090,m,1,512,1,bf16,on,zero,--clip 1,2.1\n"
                                 "d,y,native,eager,A100,m1,m,1,512,1,bf16,on,native,,4\n"
                                 "e,y,native,eager,H100,m2,m,1,512,1,bf16,on,native,,3\n"
                                 "f,z,native,eager,H100,m2,m,1,256,1,bf16,on,native,,10\n";

static void predict_by_hand(lspo_published_t *published)
{
    static const double predicted_s[] = {1.1, 1, 2.1, 5, 6, 5};
    cr_assert_eq(read_text(six, published), LSPO_OK);
    cr_assert_eq(published->row_count, 6);
    for (uint32_t i = 0; i < 6; i++) {
        published->rows[i].predicted_s = predicted_s[i];
        published->rows[i].error = predicted_s[i] / published->rows[i].measured_s - 1;
    }
}

static void expect_near(double value, double expected, const char *what)
{
    cr_expect(fabs(value - expected) < 1e-9, "%s: %.9g, not %.9g", what, value, expected);
}

Test(published, scores_are_those_by_hand)
{
    lspo_published_t published;
    lspo_published_scores_t scores;
    predict_by_hand(&published);
    cr_assert_eq(lspo_published_score(&published, &scores), LSPO_OK);
    cr_expect_eq(scores.all.rows, 6);
    expect_near(scores.all.mape, 2.35 / 6, "mape");
    expect_near(scores.all.bias, 0.35 / 6, "bias");
    expect_near(scores.all.worst, 1, "worst");
    cr_expect_str_eq(scores.all.worst_id, "e");
    expect_near(scores.mean_of_sources, 1.325 / 3, "mean of sources");
    cr_expect_eq(scores.policies.pairs, 2);
    cr_expect_eq(scores.policies.right, 1);
    expect_near(scores.policies.tau, 0, "tau of policies");
    cr_expect_eq(scores.cards.pairs, 1);
    cr_expect_eq(scores.cards.right, 0);
    expect_near(scores.cards.tau, -1, "tau of cards");
    cr_expect_eq(scores.memory_rows, 0);
    cr_expect(isnan(scores.memory_mape));
    lspo_published_scores_release(&scores);
    lspo_published_release(&published);
}

/* Cards are grouped whatever the blanks and the case of their names. */
Test(published, groups_are_those_by_hand)
{
    lspo_published_t published;
    lspo_published_scores_t scores;
    predict_by_hand(&published);
    cr_assert_eq(lspo_published_score(&published, &scores), LSPO_OK);
    const lspo_published_group_t *cards = scores.groups[LSPO_PUBLISHED_BY_CARD];
    cr_assert_eq(scores.group_counts[LSPO_PUBLISHED_BY_CARD], 3);
    cr_expect_str_eq(cards[0].name, "A100 80 GB");
    cr_expect_eq(cards[0].rows, 3);
    expect_near(cards[0].mape, 0.2, "mape of a card");
    expect_near(cards[0].bias, -0.4 / 3, "bias of a card");
    expect_near(cards[0].worst, -0.5, "worst of a card");
    cr_expect_str_eq(cards[0].worst_id, "b");
    cr_expect_eq(scores.group_counts[LSPO_PUBLISHED_BY_SOURCE], 3);
    cr_expect_eq(scores.group_counts[LSPO_PUBLISHED_BY_KIND], 2);
    cr_assert_eq(scores.group_counts[LSPO_PUBLISHED_BY_FRAMEWORK], 2);
    cr_expect_eq(scores.groups[LSPO_PUBLISHED_BY_FRAMEWORK][1].rows, 1);
    lspo_published_scores_release(&scores);
    lspo_published_release(&published);
}

/* Peaks of 2 and 8 GiB, predicted 50 % above and 50 % below; the second is above its bound. */
Test(published, peaks_are_scored)
{
    lspo_published_t published;
    lspo_published_scores_t scores;
    predict_by_hand(&published);
    cr_assert_eq(read_peaks("id,peak_gpu_GiB,note\na,2,\nd,8,as published\n", &published), LSPO_OK);
    cr_expect_eq(published.rows[0].published_peak_gpu_bytes, 2147483648.0);
    published.rows[0].peak_error = 0.5;
    published.rows[0].above_bound = 0;
    published.rows[3].peak_error = -0.5;
    published.rows[3].above_bound = 1;
    cr_assert_eq(lspo_published_score(&published, &scores), LSPO_OK);
    cr_expect_eq(scores.memory_rows, 2);
    cr_expect_eq(scores.memory_bound_exceeded, 1);
    expect_near(scores.memory_mape, 0.5, "mape of peaks");
    expect_near(scores.memory_bias, 0, "bias of peaks");
    lspo_published_scores_release(&scores);
    lspo_published_release(&published);
}

/* Left out, errors are +20, 0 and 0 % of one source, +40 and 0 % of another, -10 % of a third: 20/3, 20 and 10 %. */
Test(published, sources_left_out_are_scored)
{
    static const double factors[] = {1.2, 1, 1, 1.4, 1, 0.9};
    lspo_published_t published;
    lspo_published_scores_t scores;
    predict_by_hand(&published);
    for (uint32_t i = 0; i < 6; i++) {
        published.rows[i].left_out_s = factors[i] * published.rows[i].measured_s;
        published.rows[i].left_out_error = factors[i] - 1;
    }
    cr_assert_eq(lspo_published_score_left_out(&published, &scores), LSPO_OK);
    const lspo_published_group_t *sources = scores.groups[LSPO_PUBLISHED_BY_SOURCE];
    cr_assert_eq(scores.group_counts[LSPO_PUBLISHED_BY_SOURCE], 3);
    expect_near(sources[0].mape, 0.2 / 3, "mape of the first");
    expect_near(sources[1].mape, 0.2, "mape of the second");
    expect_near(sources[2].mape, 0.1, "mape of the third");
    expect_near(sources[2].bias, -0.1, "bias of the third");
    expect_near(scores.mean_of_sources, (0.2 / 3 + 0.2 + 0.1) / 3, "mean of sources");
    expect_near(scores.all.mape, 0.7 / 6, "mape");
    lspo_published_scores_release(&scores);
    lspo_published_release(&published);
}

Test(published, conditions_keep_rows)
{
    lspo_published_t published;
    cr_assert_eq(read_text(six, &published), LSPO_OK);
    cr_redirect_stderr();
    cr_expect_eq(lspo_published_keep("shoe=1", &published), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_published_keep("measured_s=1", &published), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_published_keep("source=w", &published), LSPO_ERR_INPUT);
    cr_expect_eq(published.row_count, 6);
    cr_assert_eq(lspo_published_keep("kind=native", &published), LSPO_OK);
    cr_expect_eq(published.row_count, 4);
    cr_assert_eq(lspo_published_keep("sequence=256", &published), LSPO_OK);
    cr_assert_eq(published.row_count, 1);
    cr_expect_str_eq(published.rows[0].id, "f");
    cr_expect_eq(lspo_published_keep("id=a", &published), LSPO_ERR_INPUT);
    lspo_published_release(&published);
}
