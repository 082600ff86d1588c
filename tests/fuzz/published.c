/* A file of steps that others published. */
#include "validate/published.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lspo_published_t published;
    if (lspo_published_read(fuzz_file("published.csv", data, size), &published) != LSPO_OK)
        return 0;
    (void)lspo_published_keep("kind=native", &published);
    lspo_published_release(&published);
    return 0;
}
