/* config.json of a Hugging Face model. */
#include "real/formats/hf_config.h"

#include "base/json_file.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *config = NULL;
    lspo_model_t model;
    if (lspo_json_file_read(fuzz_file("config.json", data, size), &config) != LSPO_OK)
        return 0;
    lspo_hf_config_parse(config, "config.json", 0, &model);
    lspo_hf_config_parse(config, "config.json", 2, &model);
    json_decref(config);
    return 0;
}
