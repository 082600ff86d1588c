/* Quantities with their units: "25GB/s", "1.5e3 us", "16GiB". */
#include "base/units.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    double value;
    uint64_t bytes;
    int64_t integer;
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    for (int unit = LSPO_UNIT_NONE; unit <= LSPO_UNIT_PPS; unit++)
        lspo_parse_quantity("a quantity", text, (lspo_unit_t)unit, &value);
    lspo_parse_bytes("bytes", text, &bytes);
    lspo_parse_integer("an integer", text, INT64_MIN, INT64_MAX, &integer);
    free(text);
    return 0;
}
