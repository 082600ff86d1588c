/* criterion.h - what the threaded suites use of Criterion, in one process, for ThreadSanitizer.
 *
 * Criterion runs each test in a process whose memory it maps at addresses that ThreadSanitizer reserves, and stops
 * there (Criterion issue 274).  With --enable-tsan this header is found before Criterion's: the same test sources, run
 * one after the other in main().  A failed assertion ends the program with 1.  A suite is one source file.
 */
#ifndef LSPO_TESTS_IN_PROCESS_CRITERION_H
#define LSPO_TESTS_IN_PROCESS_CRITERION_H

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IN_PROCESS_TESTS_MAX = 256 };

typedef struct {
    const char *name;
    void (*run)(void);
} in_process_test_t;

/* Before and after each test of the suite. */
typedef struct {
    void (*init)(void), (*fini)(void);
} in_process_fixture_t;

static in_process_fixture_t in_process_fixture;
static in_process_test_t in_process_tests[IN_PROCESS_TESTS_MAX];
static int in_process_count;
static jmp_buf in_process_skip;

static void in_process_register(const char *name, void (*run)(void))
{
    if (in_process_count == IN_PROCESS_TESTS_MAX)
        abort();
    in_process_tests[in_process_count++] = (in_process_test_t){name, run};
}

int main(void)
{
    for (int i = 0; i < in_process_count; i++) {
        fprintf(stderr, "%s\n", in_process_tests[i].name);
        if (in_process_fixture.init)
            in_process_fixture.init();
        if (setjmp(in_process_skip) == 0)
            in_process_tests[i].run();
        if (in_process_fixture.fini)
            in_process_fixture.fini();
    }
    fprintf(stderr, "[====] Synthesis: Tested: %d | Passing: %d | Failing: 0 | Crashing: 0\n", in_process_count,
            in_process_count);
    return in_process_count > 0 ? 0 : 1;
}

/* Of Criterion's options those of TestSuite() count, .init and .fini; those of Test() are left out. */
#define TestSuite(suite, ...)                                                                                          \
    __attribute__((constructor)) static void suite##_fixture_register(void)                                            \
    {                                                                                                                  \
        in_process_fixture = (in_process_fixture_t){__VA_ARGS__};                                                      \
    }                                                                                                                  \
    struct in_process_semicolon

#define Test(suite, name, ...)                                                                                         \
    static void suite##_##name(void);                                                                                  \
    __attribute__((constructor)) static void suite##_##name##_register(void)                                           \
    {                                                                                                                  \
        in_process_register(#suite "::" #name, suite##_##name);                                                        \
    }                                                                                                                  \
    static void suite##_##name(void)

#define cr_assert(condition, ...)                                                                                      \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: assertion failed: %s\n", __FILE__, __LINE__, #condition);                          \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define cr_skip_test(...) longjmp(in_process_skip, 1)
#define cr_assert_eq(a, b, ...) cr_assert((a) == (b))
#define cr_assert_neq(a, b, ...) cr_assert((a) != (b))
#define cr_assert_lt(a, b, ...) cr_assert((a) < (b))
#define cr_assert_leq(a, b, ...) cr_assert((a) <= (b))
#define cr_assert_gt(a, b, ...) cr_assert((a) > (b))
#define cr_assert_geq(a, b, ...) cr_assert((a) >= (b))
#define cr_assert_null(a, ...) cr_assert((a) == NULL)
#define cr_assert_not_null(a, ...) cr_assert((a) != NULL)
#define cr_assert_not(a, ...) cr_assert(!(a))
#define cr_assert_float_eq(a, b, epsilon, ...) cr_assert((a) - (b) <= (epsilon) && (b) - (a) <= (epsilon))
#define cr_assert_str_eq(a, b, ...) cr_assert(strcmp((a), (b)) == 0)
#define cr_assert_arr_eq(a, b, bytes, ...) cr_assert(memcmp((a), (b), (bytes)) == 0)
#define cr_expect cr_assert
#define cr_expect_eq cr_assert_eq
#define cr_expect_neq cr_assert_neq
#define cr_expect_lt cr_assert_lt
#define cr_expect_leq cr_assert_leq
#define cr_expect_gt cr_assert_gt
#define cr_expect_geq cr_assert_geq
#define cr_expect_null cr_assert_null
#define cr_expect_not_null cr_assert_not_null
#define cr_expect_float_eq cr_assert_float_eq
#define cr_expect_str_eq cr_assert_str_eq
#define cr_expect_not cr_assert_not
#define cr_expect_arr_eq cr_assert_arr_eq

#endif
