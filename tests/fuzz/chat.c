/* Chat templates: the text of one, as Jinja. */
#include "real/data/chat_template.h"

#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *jinja = strndup((const char *)data, size);
    lspo_chat_template_t found;
    if (jinja && lspo_chat_template_recognise("fuzz", jinja, &found) == LSPO_OK)
        lspo_chat_template_release(&found);
    free(jinja);
    return 0;
}
