/* A file of lspo sql over a small table, and the bytes as a table of their own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sql/script.h"
#include "tests/fuzz/fuzz.h"

static void run(const char *text, const char *source)
{
    char *output_text = NULL;
    size_t bytes;
    FILE *output = open_memstream(&output_text, &bytes);
    const char *const sources[] = {source}, *const given[] = {"limit=0.5", "word=text"};
    const lspo_sql_script_t script = {"script", text, sources, 1, given, 2, fuzz_folder(), 20, output};
    if (output == NULL)
        return;
    lspo_sql_run(&script);
    fclose(output);
    free(output_text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char table[] = "name,value\na,1\nb,2.5\n\"c, d\",\n";
    char *text = malloc(size + 1);
    if (text == NULL)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    run(text, fuzz_file("rows.csv", (const uint8_t *)table, sizeof table - 1));
    free(text);
    run("SELECT * FROM rows; WRITE copy AS SELECT * FROM rows;", fuzz_file("rows.csv", data, size));
    return 0;
}
