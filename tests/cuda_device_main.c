/* The suites of CUDA kernels on a GPU; skipped without one. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/cuda_harness.h"

int main(int argc, char **argv)
{
    if (!device_present()) {
        fprintf(stderr, "no CUDA device\n");
        return 77;
    }
    struct criterion_test_set *tests = criterion_initialize();
    int failed = 0;
    if (criterion_handle_args(argc, argv, true))
        failed = !criterion_run_all_tests(tests);
    criterion_finalize(tests);
    return failed;
}
