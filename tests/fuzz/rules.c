/* A user's rules of import. */
#include "traces/import/rules.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lspo_import_rules_t *rules = NULL;
    if (lspo_import_rules_create(fuzz_file("rules", data, size), &rules) != LSPO_OK)
        return 0;
    lspo_import_rules_find(rules, LSPO_EVENT_KERNEL, "aten::mm optimizer.step ProfilerStep#12");
    lspo_import_rules_destroy(rules);
    return 0;
}
