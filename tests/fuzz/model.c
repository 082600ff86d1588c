/* A model's INI file. */
#include "plan/model.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lspo_model_t model;
    lspo_model_find(fuzz_file("model.ini", data, size), &model);
    return 0;
}
