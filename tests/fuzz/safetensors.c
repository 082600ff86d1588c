/* A file of tensors: its header, and every tensor's elements. */
#include "real/formats/safetensors.h"

#include <stdlib.h>

#include "tests/fuzz/fuzz.h"

static void read_tensor(const lspo_safetensors_t *file, const lspo_safetensor_t *tensor)
{
    float *numbers = calloc(tensor->element_count + 1, sizeof *numbers);
    char *bytes = malloc(tensor->byte_count + 1);
    if (numbers && bytes) {
        lspo_safetensors_read(file, tensor, 1, &(lspo_tensor_view_t){tensor->element_count, tensor->element_count, 1},
                              LSPO_NUMBER_FP32, numbers);
        lspo_safetensors_read_part(file, tensor, 0, tensor->byte_count, bytes);
    }
    free(bytes);
    free(numbers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lspo_safetensors_t *file = NULL;
    if (lspo_safetensors_open(fuzz_file("model.safetensors", data, size), &file) != LSPO_OK)
        return 0;
    lspo_safetensors_metadata(file, "format");
    for (size_t i = 0; i < lspo_safetensors_count(file); i++)
        read_tensor(file, lspo_safetensors_at(file, i));
    lspo_safetensors_close(file);
    return 0;
}
