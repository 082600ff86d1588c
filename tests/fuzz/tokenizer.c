/* tokenizer.json, and texts encoded by it. */
#include "real/tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "Hello world, it's 2024!  \xc3\xa9\xe2\x82\xac \xff<s> e\xcc\x81\n";
    lspo_tokenizer_t *tokenizer = NULL;
    uint32_t *ids = NULL;
    char *back = NULL;
    size_t count = 0, bytes = 0;
    fuzz_file("tokenizer.json", data, size);
    if (lspo_tokenizer_open(fuzz_folder(), &tokenizer) != LSPO_OK)
        return 0;
    if (lspo_tokenizer_encode(tokenizer, text, sizeof text - 1, true, &ids, &count) == LSPO_OK &&
        lspo_tokenizer_decode(tokenizer, ids, count, true, &back, &bytes) == LSPO_OK)
        free(back);
    free(ids);
    lspo_tokenizer_close(tokenizer);
    return 0;
}
