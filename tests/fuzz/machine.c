/* A machine's INI file; the same bytes as the file of a card that another machine names. */
#include <string.h>

#include "plan/machine.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char outer[] = "[machine]\nbase = rtx4090\ncard = ./machine.ini\nname = outer\n";
    static lspo_machine_t machine;
    static lspo_machine_notes_t notes;
    lspo_machine_find_noted(fuzz_file("machine.ini", data, size), &machine, &notes);
    lspo_machine_find_noted(fuzz_file("outer.ini", (const uint8_t *)outer, strlen(outer)), &machine, &notes);
    return 0;
}
