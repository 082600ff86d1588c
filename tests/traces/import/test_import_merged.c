/* Profiles of several processes, and with anything else in the file. */
#include "tests/profile_maker.h"

TestSuite(import_merged, .init = begin, .fini = end);

/* Processes */

/* Two ranks event by event in turns, with the same correlations: what ran on the GPU is nobody's. */
Test(import_merged, mixed_processes_are_refused)
{
    for (int rank = 0; rank < 2; rank++)
        event("{\"ph\":\"X\",\"cat\":\"user_annotation\",\"name\":\"ProfilerStep#0\",\"pid\":\"rank%d\",\"tid\":1,"
              "\"ts\":0,"
              "\"dur\":1000}",
              rank);
    for (int i = 0; i < 8; i++)
        for (int rank = 0; rank < 2; rank++) {
            event("{\"ph\":\"X\",\"cat\":\"cuda_runtime\",\"name\":\"l\",\"pid\":\"rank%d\",\"tid\":1,\"ts\":%d,"
                  "\"dur\":1,"
                  "\"args\":{\"correlation\":%d}}",
                  rank, 100 * i, i);
            kernel(i, 100 * i + 10, 50);
        }
    lspo_trace_t *trace = NULL;
    cr_expect_eq(lspo_import_kineto(write_profile(), NULL, NULL, &trace), LSPO_ERR_INPUT);
    cr_expect_not_null(strstr(said(), "of several processes"));
}

/* With correlations of their own they can be told apart. */
Test(import_merged, mixed_processes_with_own_correlations)
{
    for (int rank = 0; rank < 2; rank++)
        event("{\"ph\":\"X\",\"cat\":\"user_annotation\",\"name\":\"ProfilerStep#0\",\"pid\":\"rank%d\",\"tid\":1,"
              "\"ts\":0,"
              "\"dur\":1000}",
              rank);
    for (int i = 0; i < 8; i++)
        for (int rank = 0; rank < 2; rank++) {
            event("{\"ph\":\"X\",\"cat\":\"cuda_runtime\",\"name\":\"l\",\"pid\":\"rank%d\",\"tid\":1,\"ts\":%d,"
                  "\"dur\":1,"
                  "\"args\":{\"correlation\":%d}}",
                  rank, 100 * i, i + 100 * rank);
            event("{\"ph\":\"X\",\"cat\":\"kernel\",\"name\":\"k\",\"ts\":%d,\"dur\":%d,\"args\":{\"correlation\":%d}}",
                  100 * i + 10 + rank * 5, 30, i + 100 * rank);
        }
    lspo_trace_t *trace = import_profile();
    cr_expect_eq(busy_us(trace, -1, LSPO_LANE_GPU), 8u * 30);
    cr_expect_not_null(strstr(said(), "17 events of others are left out: pid rank1"));
    lspo_trace_destroy(trace);
}

/* Anything else in the file */

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* What an import must pass by: events of other kinds, values that are no JSON, senseless places, in any order. */
static const char *const junk[] = {
    "{\"ph\":\"X\",\"cat\":\"python_function\",\"name\":\"C:\\cuda\\x.py(1): f\",\"ts\":1,\"dur\":1}",
    ("{\"ph\":\"X\",\"cat\":\"cpu_op\",\"name\":\"aten::mm\",\"ts\":NaN,\"dur\":-5,\"args\":{\"a\":[1,{\"b\":[]}],"
     "\"c\":inf}}"),
    "{\"ph\":\"i\",\"s\":\"g\",\"name\":\"x\",\"ts\":-Infinity}",
    "{\"ph\":\"M\",\"name\":\"process_labels\",\"pid\":0,\"args\":{\"labels\":\"GPU 0 }, { 1\"}}",
    "{\"ph\":\"X\",\"cat\":\"python_function\",\"name\":\"quote missing,\"ts\":1,\"dur\":1}",
    "{\"ph\":\"X\",\"cat\":\"overhead\",\"name\":\"bracket\",\"args\":{\"a\":[1,2}}",
    "{\"ph\":\"X\",\"cat\":\"kernel\",\"name\":\"k\",\"ts\":20,\"dur\":-1,\"args\":{\"device\":0,\"stream\":7}}",
    "{\"ph\":\"X\",\"cat\":\"kernel\",\"name\":\"k\",\"ts\":\"\",\"dur\":{},\"args\":[]}",
    "{\"ph\":\"X\",\"cat\":\"gpu_user_annotation\",\"name\":\"ProfilerStep#0\",\"ts\":0,\"dur\":500}",
    "{\"name\":\"no category\"}",
    "{}",
    "7",
    "null",
    "[1,2,[3]]",
    "",
    "{\"ph\":\"X\",\"cat\":\"user_annotation\",\"name\":\"a raw \t tab \x01 and \xff\",\"ts\":1,\"dur\":1}",
    "{\"ph\":\"X\",\"cat\":\"cuda_runtime\",\"name\":\"l\",\"ts\":1,\"dur\":1,\"args\":{\"correlation\":99999}}",
};
enum { JUNK_COUNT = sizeof junk / sizeof junk[0], GOOD_MAX = 64 };

Test(import_merged, junk_changes_no_busy_time, .timeout = 60)
{
    accumulate(6, 1, 0);
    lspo_trace_t *good = import_profile();
    char *lines[GOOD_MAX], *text = strndup(profile.text, profile.length);
    int count = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        cr_assert_lt(count, GOOD_MAX);
        line[strcspn(line, "\n")] = '\0';
        if (line[strlen(line) - 1] == ',')
            line[strlen(line) - 1] = '\0';
        lines[count++] = line;
    }
    uint64_t state = 3;
    for (int round = 0; round < 300; round++) {
        for (int i = count - 1; i > 0; i--) { /* the order of events is no one's business */
            int other = (int)(next_random(&state) % (uint64_t)(i + 1));
            char *line = lines[i];
            lines[i] = lines[other];
            lines[other] = line;
        }
        profile.length = profile.event_count = 0;
        for (int i = 0; i < count; i++) {
            for (uint64_t n = next_random(&state) % 3; n > 0; n--)
                event("%s", junk[next_random(&state) % JUNK_COUNT]);
            event("%s", lines[i]);
        }
        lspo_trace_t *trace = import_profile();
        cr_assert_eq(trace->row_count, good->row_count, "round %d: %s", round, said());
        for (uint32_t i = 0; i < trace->row_count; i++)
            cr_assert(memcmp(&trace->rows[i], &good->rows[i], sizeof trace->rows[i]) == 0, "round %d, row %u", round,
                      i);
        lspo_trace_destroy(trace);
    }
    lspo_trace_destroy(good);
    free(text);
}
