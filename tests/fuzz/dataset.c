/* Training data: the same bytes as text, as JSON (Alpaca's), as JSONL and as a table of GLUE. */
#include "real/data/dataset.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"data.txt", "data.json", "data.jsonl", "data.tsv"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        lspo_dataset_options_t options = {.path = fuzz_file(names[i], data, size),
                                          .sequence = 8,
                                          .seed = 1,
                                          .class_count = i == 3          ? (uint32_t)(size % 3) + 1
                                                         : size % 5 == 4 ? 2
                                                                         : 0,
                                          .encoder = lspo_encoder_bytes()};
        options.chat.name = size % 7 == 3 ? "llama-2" : NULL;
        options.prompt_field = size % 7 == 5 ? "question" : NULL;
        options.answer_field = size % 7 == 5 ? "answer" : NULL;
        lspo_dataset_t *dataset = NULL;
        if (lspo_dataset_open(&options, &dataset) == LSPO_OK)
            lspo_dataset_close(dataset);
    }
    return 0;
}
