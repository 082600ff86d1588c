/* embed.c - see embed.h. */
#include "report/embed.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "report/html.h"

static void write_base64(FILE *page, const unsigned char *data, size_t bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes; i += 3) {
        size_t left = bytes - i;
        unsigned second = left > 1 ? data[i + 1] : 0, third = left > 2 ? data[i + 2] : 0;
        unsigned group = (unsigned)data[i] << 16U | second << 8U | third;
        const char four[] = {digits[group >> 18U], digits[group >> 12U & 63U],
                             left > 1 ? digits[group >> 6U & 63U] : '=', left > 2 ? digits[group & 63U] : '='};
        fwrite(four, 1, sizeof four, page);
    }
}

lspo_status_t lspo_embed_write_packed(FILE *page, const char *name, const char *data, size_t bytes, size_t most,
                                      bool *written_out)
{
    uLongf packed_bytes = compressBound(bytes);
    unsigned char *packed = malloc(packed_bytes);
    if (packed == NULL || compress2(packed, &packed_bytes, (const Bytef *)data, bytes, Z_BEST_COMPRESSION) != Z_OK) {
        free(packed);
        return lspo_no_memory("a compressed file of the results");
    }
    *written_out = packed_bytes <= most;
    if (*written_out) {
        fprintf(page, " %s=\"", name);
        write_base64(page, packed, packed_bytes);
        fputc('"', page);
    }
    free(packed);
    return LSPO_OK;
}

void lspo_embed_write_address(FILE *page, const lspo_figure_t *figure, const lspo_figure_file_t *file,
                              const lspo_embed_t *embed)
{
    lspo_html_print(page, embed->beside);
    lspo_html_print(page, figure->name);
    fputc('/', page);
    lspo_html_url_data(page, file->name, strlen(file->name));
}
