/* What lspo report reads of the results: a README, a picture, and the claims in what was printed. */
#include <stdio.h>
#include <stdlib.h>

#include "report/claims.h"
#include "report/html.h"
#include "report/markdown.h"
#include "report/picture.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const lspo_embed_t plain = {SIZE_MAX, SIZE_MAX, SIZE_MAX, ""}, packed = {0, SIZE_MAX, 0, ""};
    const char *text = (const char *)data;
    char *page_text = NULL, *script = NULL;
    size_t bytes = 0;
    lspo_claims_t claims;
    FILE *page = open_memstream(&page_text, &bytes);
    if (page == NULL)
        return 0;
    if (lspo_claims_find(text, size, &claims) == LSPO_OK)
        lspo_claims_release(&claims);
    lspo_markdown_write(page, text, size);
    lspo_html_text(page, lspo_markdown_title(text, size, &bytes), bytes);

    const char *path = fuzz_file("picture.svg", data, size);
    lspo_figure_t figure = {.name = (char *)"figure", .folder = (char *)fuzz_folder()};
    const lspo_figure_file_t file = {(char *)"picture.svg", size};
    lspo_picture_write(page, &figure, &file, &plain);
    lspo_picture_write(page, &figure, &file, &packed);
    if (lspo_picture_script(path, &script) == LSPO_OK)
        free(script);
    lspo_html_close(page, &page_text);
    free(page_text);
    return 0;
}
