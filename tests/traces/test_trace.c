/* Traces: reading back what was written, refusing what is malformed or impossible, exporting. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim/engine.h"
#include "tests/plan_maker.h"
#include "traces/gantt.h"
#include "traces/trace.h"

static const char *temporary(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "/tmp/lspo-trace-%ld-%s", (long)getpid(), name);
    return path;
}

static void write_text(const char *path, const char *text, size_t length)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(text, 1, length, file), length);
    fclose(file);
}

static char *read_text(const char *path, size_t *length_out)
{
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    char *text = calloc(1, 1 << 20);
    *length_out = fread(text, 1, (1 << 20) - 1, file);
    fclose(file);
    return text;
}

/* FWD 0 (GPU 0-10), D2H 1 (10-25) after 0, FWD 2 (GPU 10-20). */
static plan_maker_t small_plan(void)
{
    plan_maker_t maker = maker_create();
    maker_op(&maker, LSPO_OP_FWD, 0, 0, 10);
    maker_op(&maker, LSPO_OP_D2H, 0, 0, 15);
    maker_depend(&maker, 0);
    maker_bytes(&maker, 4096);
    maker_op(&maker, LSPO_OP_FWD, 1, 0, 10);
    maker.plan.ops[2].priority = 1;
    return maker;
}

static lspo_trace_t *play(const plan_maker_t *maker)
{
    lspo_machine_t machine = maker_machine();
    lspo_trace_t *trace = NULL;
    cr_assert_eq(lspo_engine_play(&maker->plan, &machine, maker->work_ns, &trace), LSPO_OK);
    return trace;
}

static lspo_trace_t *small_trace(void)
{
    plan_maker_t maker = small_plan();
    lspo_trace_t *trace = play(&maker);
    cr_assert_eq(lspo_trace_describe_plan(trace, &maker.plan), LSPO_OK);
    cr_assert_eq(lspo_trace_set_meta(trace, "origin", "sim"), LSPO_OK);
    maker_release(&maker);
    return trace;
}

/* The file as the format says it, byte by byte. */
Test(trace, writes_the_documented_format)
{
    plan_maker_t maker = small_plan();
    lspo_trace_t *trace = play(&maker);
    trace->rows[0].end_ns = 3000000007; /* 3 s and 7 ns */
    cr_assert_eq(lspo_trace_set_meta(trace, "origin", "sim"), LSPO_OK);
    cr_assert_eq(lspo_trace_set_meta(trace, "seed", "1"), LSPO_OK);
    cr_assert_eq(lspo_trace_set_meta(trace, "origin", "run"), LSPO_OK); /* replaces */
    cr_assert_eq(lspo_trace_write(trace, temporary("format")), LSPO_OK);
    size_t length;
    char *text = read_text(temporary("format"), &length);
    cr_expect_str_eq(text, "# lspo trace 1\n# origin: run\n# seed: 1\n"
                           "op,kind,layer,iteration,micro,variant,lane,start_s,end_s,bytes\n"
                           "0,FWD,0,0,0,0,gpu,0.000000000,3.000000007,0\n"
                           "2,FWD,1,0,0,0,gpu,0.000000010,0.000000020,0\n"
                           "1,D2H,0,0,0,0,d2h,0.000000010,0.000000025,4096\n");
    unlink(temporary("format"));
    free(text);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

Test(trace, reads_back_what_it_wrote)
{
    plan_maker_t maker = maker_random_plan(7, 400);
    lspo_trace_t *trace = play(&maker), *again = NULL;
    maker.plan.workload.learning_rate = 3e-4;
    cr_assert_eq(lspo_trace_describe_plan(trace, &maker.plan), LSPO_OK);
    cr_assert_eq(lspo_trace_write(trace, temporary("again")), LSPO_OK);
    cr_assert_eq(lspo_trace_read(temporary("again"), &again), LSPO_OK);
    cr_assert_eq(again->row_count, 400u);
    for (uint32_t i = 0; i < 400; i++) {
        const lspo_trace_row_t *a = &trace->rows[i], *b = &again->rows[i];
        cr_expect(a->op == b->op && a->kind == b->kind && a->lane == b->lane && a->layer == b->layer &&
                  a->micro == b->micro && a->variant == b->variant && a->iteration == b->iteration &&
                  a->start_ns == b->start_ns && a->end_ns == b->end_ns && a->bytes == b->bytes);
    }
    cr_assert_eq(again->meta_count, trace->meta_count);
    for (uint32_t i = 0; i < trace->meta_count; i++)
        cr_expect_str_eq(lspo_trace_meta(again, trace->meta[i].key), trace->meta[i].value);
    cr_expect_str_eq(lspo_trace_meta(again, "model"), "made");
    cr_expect_str_eq(lspo_trace_meta(again, "learning-rate"), "0.0003");
    cr_expect_null(lspo_trace_meta(again, "no such key"));
    cr_expect_eq(lspo_trace_check(again, &maker.plan), LSPO_OK);
    unlink(temporary("again"));
    lspo_trace_destroy(trace);
    lspo_trace_destroy(again);
    maker_release(&maker);
}

#define HEADER "# lspo trace 1\n# origin: sim\nop,kind,layer,iteration,micro,variant,lane,start_s,end_s,bytes\n"

Test(trace, refuses_malformed_files)
{
    static const char *const texts[] = {
        "",
        "\n",
        "op,kind\n",
        "# lspo trace 2\n",
        "# lspo trace 1\n",
        "# lspo trace 1\n# origin\n" /* no colon */,
        "# lspo trace 1\n# : sim\n" /* no key */,
        "# lspo trace 1\n# origin: sim\nop,kind,layer\n",
        HEADER "0,FWD,0,0,0,0,gpu,0.0,1.0\n" /* nine columns */,
        HEADER "0,FWD,0,0,0,0,gpu,0.0,1.0,0,0\n" /* eleven */,
        HEADER "\n",
        HEADER "-1,FWD,0,0,0,0,gpu,0.0,1.0,0\n",
        HEADER "4294967295,FWD,0,0,0,0,gpu,0.0,1.0,0\n" /* LSPO_NO_OP */,
        HEADER "0,fwd,0,0,0,0,gpu,0.0,1.0,0\n",
        HEADER "0,FWD,65536,0,0,0,gpu,0.0,1.0,0\n",
        HEADER "0,FWD,0,4294967296,0,0,gpu,0.0,1.0,0\n",
        HEADER "0,FWD,0,0,0,0,tpu,0.0,1.0,0\n",
        HEADER "0,FWD,0,0,0,0,gpu,2.0,1.0,0\n" /* ends before it starts */,
        HEADER "0,FWD,0,0,0,0,gpu,nan,1.0,0\n",
        HEADER "0,FWD,0,0,0,0,gpu,0.0,1e3,0\n",
        HEADER "0,FWD,0,0,0,0,gpu,0.0,1.,0\n",
        HEADER "0,FWD,0,0,0,0,gpu,0.0,.5,0\n",
        HEADER "0,FWD,0,0,0,0,gpu,0.0,1.0000000001,0\n" /* ten decimals */,
        HEADER "0,FWD,0,0,0,0,gpu,0.0,99999999999999999999,0\n",
        HEADER "0,FWD,0,0,0,0,gpu,0.0,1.0,18446744073709551616\n",
        HEADER "0,FWD,0,0,0,0,gpu,0.0,1.0,\n",
        HEADER "0,FWD,0,0,0,0,gpu,0.0,1.0, 7\n",
        HEADER "0, FWD,0,0,0,0,gpu,0.0,1.0,7\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        lspo_trace_t *trace = NULL;
        write_text(temporary("bad"), texts[i], strlen(texts[i]));
        cr_expect_eq(lspo_trace_read(temporary("bad"), &trace), LSPO_ERR_INPUT, "case %zu: %s", i, texts[i]);
        cr_expect_null(trace);
    }
    unlink(temporary("bad"));
    lspo_trace_t *trace = NULL;
    cr_expect_eq(lspo_trace_read("/nonexistent/file", &trace), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_trace_read("/tmp", &trace), LSPO_ERR_INPUT, "a folder");
}

Test(trace, accepts_what_editors_do_to_files)
{
    lspo_trace_t *trace = NULL;
    const char *text = "# lspo trace 1\r\n#origin :  sim \r\n"
                       "op,kind,layer,iteration,micro,variant,lane,start_s,end_s,bytes\r\n"
                       "7,UPD,3,2,1,0,cpu,1,1.5,0"; /* CR LF, no final newline, fewer decimals */
    write_text(temporary("editor"), text, strlen(text));
    cr_assert_eq(lspo_trace_read(temporary("editor"), &trace), LSPO_OK);
    cr_expect_str_eq(lspo_trace_meta(trace, "origin"), "sim");
    cr_assert_eq(trace->row_count, 1u);
    cr_expect_eq(trace->rows[0].start_ns, 1000000000u);
    cr_expect_eq(trace->rows[0].end_ns, 1500000000u);
    unlink(temporary("editor"));
    lspo_trace_destroy(trace);
}

/* Errors say where and what. */
Test(trace, errors_name_file_line_column_and_value, .init = cr_redirect_stderr)
{
    const char *text = HEADER "0,FWD,0,0,0,0,gpu,0.0,1.0,0\n1,FWD,x7,0,0,0,gpu,1.0,2.0,0\n";
    lspo_trace_t *trace = NULL;
    write_text(temporary("where"), text, strlen(text));
    cr_expect_eq(lspo_trace_read(temporary("where"), &trace), LSPO_ERR_INPUT);
    char wanted[256], message[512] = "";
    snprintf(wanted, sizeof wanted, "lspo: error: %s:5: column layer: 'x7' is not a whole number\n",
             temporary("where"));
    FILE *stderr_text = cr_get_redirected_stderr();
    fflush(stderr);
    cr_assert_not_null(fgets(message, sizeof message, stderr_text));
    cr_expect_str_eq(message, wanted);
    unlink(temporary("where"));
}

/* 3,000 files with one to eight bytes changed or the end cut off: read or refused, never a crash. */
Test(trace, survives_damaged_files)
{
    freopen("/dev/null", "w", stderr);
    lspo_trace_t *trace = small_trace();
    cr_assert_eq(lspo_trace_write(trace, temporary("damaged")), LSPO_OK);
    size_t length;
    char *text = read_text(temporary("damaged"), &length);
    uint64_t state = 99;
    uint32_t read = 0, refused = 0;
    for (int i = 0; i < 3000; i++) {
        char *copy = malloc(length);
        memcpy(copy, text, length);
        for (uint64_t n = 1 + maker_below(&state, 8); n > 0; n--)
            copy[maker_below(&state, length)] = "0123456789,.-\n\r#: \0\377gx"[maker_below(&state, 23)];
        write_text(temporary("damaged"), copy, maker_below(&state, 4) ? length : (size_t)maker_below(&state, length));
        free(copy);
        lspo_trace_t *again = NULL;
        lspo_status_t status = lspo_trace_read(temporary("damaged"), &again);
        cr_expect(status == LSPO_OK || status == LSPO_ERR_INPUT);
        read += status == LSPO_OK;
        refused += status != LSPO_OK;
        lspo_trace_destroy(again);
    }
    cr_expect_gt(read, 100u);
    cr_expect_gt(refused, 100u);
    unlink(temporary("damaged"));
    free(text);
    lspo_trace_destroy(trace);
}

/* Keys and values of any bytes: what is accepted is read back unchanged. */
Test(trace, every_header_entry_that_is_accepted_is_read_back)
{
    freopen("/dev/null", "w", stderr);
    uint64_t state = 5;
    uint32_t kept = 0;
    for (int i = 0; i < 500; i++) {
        lspo_trace_t *trace = small_trace(), *again = NULL;
        char texts[2][16];
        for (int t = 0; t < 2; t++) {
            uint64_t length = maker_below(&state, sizeof texts[t]);
            for (uint64_t c = 0; c < length; c++)
                texts[t][c] = maker_below(&state, 4) ? "ab #x2\t\\"[maker_below(&state, 8)]
                                                     : (char)(1 + maker_below(&state, 255));
            texts[t][length] = '\0';
        }
        if (lspo_trace_set_meta(trace, texts[0], texts[1]) == LSPO_OK) {
            cr_assert_eq(lspo_trace_write(trace, temporary("any")), LSPO_OK);
            cr_assert_eq(lspo_trace_read(temporary("any"), &again), LSPO_OK, "'%s': '%s'", texts[0], texts[1]);
            cr_expect_str_eq(lspo_trace_meta(again, texts[0]), texts[1]);
            kept++;
        }
        lspo_trace_destroy(again);
        lspo_trace_destroy(trace);
    }
    cr_expect_gt(kept, 50u);
    unlink(temporary("any"));
}

Test(trace, a_header_without_end_is_refused)
{
    lspo_trace_t *trace = NULL;
    FILE *file = fopen(temporary("long"), "w");
    fputs("# lspo trace 1\n", file);
    for (int i = 0; i < 60000; i++)
        fprintf(file, "# k%d: v\n", i);
    fclose(file);
    cr_expect_eq(lspo_trace_read(temporary("long"), &trace), LSPO_ERR_INPUT);
    unlink(temporary("long"));
}

/* A path may hold anything: what does not fit a line is written with escapes. */
Test(trace, values_of_any_text_are_read_back)
{
    static const char *const values[] = {"x\ny", "x\r",     " x",    "x\t",         " ",
                                         "\\",   "a\\x20b", "\\\\n", "C:\\new\\x4", "\x01"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        lspo_trace_t *trace = small_trace(), *again = NULL;
        cr_expect_eq(lspo_trace_set_meta(trace, "file", values[i]), LSPO_OK);
        cr_assert_eq(lspo_trace_write(trace, temporary("values")), LSPO_OK);
        cr_assert_eq(lspo_trace_read(temporary("values"), &again), LSPO_OK);
        cr_expect_str_eq(lspo_trace_meta(again, "file"), values[i]);
        lspo_trace_destroy(again);
        lspo_trace_destroy(trace);
    }
    unlink(temporary("values"));
}

Test(trace, keys_of_header_entries_fit_one_line)
{
    lspo_trace_t *trace = small_trace();
    uint32_t count = trace->meta_count;
    cr_expect_eq(lspo_trace_set_meta(trace, "a\nb", "x"), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_trace_set_meta(trace, "a\r", "x"), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_trace_set_meta(trace, " a", "x"), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_trace_set_meta(trace, "", "x"), LSPO_ERR_INPUT);
    cr_expect_eq(lspo_trace_set_meta(trace, "a:b", "x"), LSPO_ERR_INPUT);
    cr_expect_eq(trace->meta_count, count);
    cr_expect_eq(lspo_trace_set_meta(trace, "a", "x: y"), LSPO_OK);
    cr_expect_eq(lspo_trace_set_meta(trace, "empty", ""), LSPO_OK);
    cr_expect_eq(trace->meta_count, count + 2);
    lspo_trace_destroy(trace);
}

/* Every invariant, broken once: the checker must see it. */
Test(trace, checker_rejects_mutations)
{
    plan_maker_t maker = small_plan();
    lspo_trace_t *trace = play(&maker);
    lspo_trace_row_t good[3];
    memcpy(good, trace->rows, sizeof good); /* FWD 0, FWD 2, D2H 1 */
    cr_assert(good[0].op == 0 && good[1].op == 2 && good[2].op == 1);
    cr_assert_eq(lspo_trace_check(trace, &maker.plan), LSPO_OK);

#define EXPECT_REJECTED(mutation)                                                                                      \
    do {                                                                                                               \
        mutation;                                                                                                      \
        cr_expect_eq(lspo_trace_check(trace, &maker.plan), LSPO_ERR_CHECK, #mutation);                                 \
        memcpy(trace->rows, good, sizeof good);                                                                        \
        trace->row_count = 3;                                                                                          \
    } while (0)
    EXPECT_REJECTED(trace->rows[1].start_ns = 9);                              /* overlaps FWD 0 on the GPU lane */
    EXPECT_REJECTED((trace->rows[1].start_ns = 2, trace->rows[1].end_ns = 5)); /* inside FWD 0                   */
    EXPECT_REJECTED(trace->rows[2].start_ns = 9);                              /* D2H before FWD 0 has ended     */
    EXPECT_REJECTED(trace->row_count = 2);                                     /* D2H is missing                 */
    EXPECT_REJECTED(trace->rows[1] = trace->rows[0]);                          /* FWD 0 twice                    */
    EXPECT_REJECTED(trace->rows[2].op = 3);                                    /* no such op                     */
    EXPECT_REJECTED(trace->rows[2].lane = LSPO_LANE_H2D);                      /* another lane, kind, ...        */
    EXPECT_REJECTED(trace->rows[2].kind = LSPO_OP_H2D);
    EXPECT_REJECTED(trace->rows[2].layer = 1);
    EXPECT_REJECTED(trace->rows[2].iteration = 1);
    EXPECT_REJECTED(trace->rows[2].end_ns = 5); /* ends before it starts */
    cr_expect_eq(lspo_trace_check(trace, &maker.plan), LSPO_OK, "all mutations undone");
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

/* A pipe stands for every path that is no regular file: it is written to, not replaced. */
Test(trace, writes_into_pipes)
{
    lspo_trace_t *trace = small_trace();
    char text[16] = "";
    cr_assert_eq(mkfifo(temporary("pipe"), 0600), 0);
    int reader = open(temporary("pipe"), O_RDONLY | O_NONBLOCK);
    cr_assert_geq(reader, 0);
    cr_expect_eq(lspo_trace_write(trace, temporary("pipe")), LSPO_OK);
    cr_expect_eq(read(reader, text, 15), 15);
    cr_expect_str_eq(text, "# lspo trace 1\n");
    close(reader);
    struct stat info;
    cr_assert_eq(stat(temporary("pipe"), &info), 0);
    cr_expect(S_ISFIFO(info.st_mode));
    unlink(temporary("pipe"));
    lspo_trace_destroy(trace);
}

Test(trace, a_file_is_whole_or_absent)
{
    lspo_trace_t *trace = small_trace();
    cr_expect_eq(lspo_trace_write(trace, "/nonexistent/folder/x.trace"), LSPO_ERR_IO);
    char left[160];
    snprintf(left, sizeof left, "%s.tmp.%ld", temporary("whole"), (long)getpid());

    /* A file size limit of 100 bytes stands for a full disk: the old file stays as it was. */
    write_text(temporary("whole"), "old", 3);
    struct rlimit limit, small;
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 100;
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    lspo_status_t status = lspo_trace_write(trace, temporary("whole"));
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_expect_eq(status, LSPO_ERR_IO);
    cr_expect_neq(access(left, F_OK), 0, "no temporary is left");
    size_t length;
    char *text = read_text(temporary("whole"), &length);
    cr_expect_str_eq(text, "old");
    free(text);

    cr_expect_eq(lspo_trace_write(trace, temporary("whole")), LSPO_OK);
    cr_expect_neq(access(left, F_OK), 0, "no temporary is left");
    text = read_text(temporary("whole"), &length);
    cr_expect_eq(strncmp(text, "# lspo trace 1\n", 15), 0);
    unlink(temporary("whole"));
    free(text);
    lspo_trace_destroy(trace);
}

/* Iteration 1 starts at 10: times are relative to that. */
Test(trace, exports_a_gantt_table)
{
    plan_maker_t maker = maker_create();
    maker_op(&maker, LSPO_OP_FWD, 0, 0, 10);
    maker_op(&maker, LSPO_OP_FWD, 1, 1, 20);
    maker_op(&maker, LSPO_OP_D2H, 1, 1, 5);
    maker_depend(&maker, 1);
    maker_op(&maker, LSPO_OP_FWD, 1, 2, 10);
    lspo_trace_t *trace = play(&maker);
    cr_assert_eq(lspo_trace_write_gantt(trace, 1, 1, temporary("gantt")), LSPO_OK);
    size_t length;
    char *text = read_text(temporary("gantt"), &length);
    cr_expect_str_eq(text, "lane,kind,layer,iteration,start_s,end_s,bytes\n"
                           "gpu,FWD,1,1,0.000000000,0.000000020,0\n"
                           "d2h,D2H,1,1,0.000000020,0.000000025,0\n");
    cr_expect_eq(lspo_trace_write_gantt(trace, 3, 5, temporary("gantt")), LSPO_ERR_INPUT);
    unlink(temporary("gantt"));
    free(text);
    lspo_trace_destroy(trace);
    maker_release(&maker);
}

/* From rows that are hardly out of place, which are inserted, to those that are anywhere: in the order of starts, ties
 * in that of lanes, and none lost. */
Test(trace, sorts_rows_that_are_out_of_place)
{
    enum { ROWS = 2000 };
    static lspo_trace_row_t rows[ROWS];
    uint64_t random = 7;
    for (uint64_t reach = 0; reach <= ROWS; reach += reach < 40 ? 1 : 490) {
        lspo_trace_t trace = {.rows = rows, .row_count = ROWS};
        bool seen[ROWS] = {false};
        for (uint32_t i = 0; i < ROWS; i++)
            rows[i] = (lspo_trace_row_t){
                .op = i, .lane = i % 3, .start_ns = i / 2 + maker_below(&random, reach + 1), .end_ns = UINT64_MAX};
        lspo_trace_sort(&trace);
        for (uint32_t i = 0; i < ROWS; i++) {
            cr_assert(!seen[rows[i].op], "reach %lu: op %u is there twice", reach, rows[i].op);
            seen[rows[i].op] = true;
            cr_assert(i == 0 || rows[i - 1].start_ns < rows[i].start_ns ||
                          (rows[i - 1].start_ns == rows[i].start_ns && rows[i - 1].lane <= rows[i].lane),
                      "reach %lu, row %u", reach, i);
        }
    }
}
