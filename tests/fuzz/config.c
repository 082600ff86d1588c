/* config.json of a Hugging Face model. */
#include "real/formats/hf_config.h"

#include "base/json_file.h"
#include "tests/fuzz/fuzz.h"

/* What passes the checks has stages. */
static void count(const lspo_model_t *model)
{
    if (lspo_model_check(model) == LSPO_OK && lspo_model_parameter_count(model) == 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *config = NULL;
    lspo_model_t model;
    bool trains;
    if (lspo_json_file_read(fuzz_file("config.json", data, size), &config) != LSPO_OK)
        return 0;
    if (lspo_hf_config_parse(config, "config.json", 0, &model) == LSPO_OK)
        count(&model);
    lspo_hf_config_parse(config, "config.json", 2, &model);
    if (lspo_hf_config_shapes(config, "config.json", &model, &trains) == LSPO_OK)
        count(&model);
    json_decref(config);
    return 0;
}
