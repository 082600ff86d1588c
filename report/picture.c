/* picture.c - an SVG of the results in the page; see picture.h. */
#include "report/picture.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/input_file.h"
#include "report/html.h"

enum { BYTES_MOST = 64 << 20 };

/* gnuplot writes the address of its script into the first <script> of the SVG. */
static const char script_attribute[] = "xlink:href=\"", script_name[] = "/gnuplot_svg.js\"";

/* The path in the text, of *bytes_out bytes; NULL if there is none. */
static const char *find_script(const char *text, size_t *bytes_out)
{
    const char *element = strstr(text, "<script"), *close = element != NULL ? strchr(element, '>') : NULL;
    const char *path = element != NULL ? strstr(element, script_attribute) : NULL;
    if (path == NULL || path > close)
        return NULL;
    path += strlen(script_attribute);
    const char *name = strstr(path, script_name);
    if (path[0] != '/' || name == NULL || name > close)
        return NULL;
    *bytes_out = (size_t)(name - path) + strlen(script_name) - 1;
    return path;
}

/* The number in `name="N"` of the <svg> element that begins at `svg`; 0 if there is none. */
static double attribute(const char *svg, const char *name)
{
    char pattern[32];
    snprintf(pattern, sizeof pattern, " %s=\"", name);
    const char *at = strstr(svg, pattern), *close = strchr(svg, '>');
    double value = at != NULL && at < close ? strtod(at + strlen(pattern), NULL) : 0;
    return value > 0 && value < 1e5 ? value : 0;
}

static void write_alternative(FILE *page, const lspo_figure_t *figure, const lspo_figure_file_t *file)
{
    fputs("alt=\"", page);
    lspo_html_print(page, file->name);
    fputs(", a picture of ", page);
    lspo_html_print(page, figure->name);
    fputs("; its numbers are in the tables below\"", page);
}

/* The page has the script once, and no address outside. */
static void cut_script(char *svg)
{
    size_t bytes;
    const char *path = find_script(svg, &bytes);
    if (path == NULL)
        return;
    char *from = svg + (path - svg) - strlen(script_attribute);
    const char *behind = path + bytes + 1;
    memmove(from, behind, strlen(behind) + 1);
}

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

/* Writes nothing if it is too large. */
static lspo_status_t write_packed(FILE *page, const char *svg, size_t most)
{
    size_t bytes = strlen(svg);
    uLongf packed_bytes = compressBound(bytes);
    unsigned char *packed = malloc(packed_bytes);
    if (packed == NULL || compress2(packed, &packed_bytes, (const Bytef *)svg, bytes, Z_BEST_COMPRESSION) != Z_OK) {
        free(packed);
        return lspo_no_memory("a compressed picture");
    }
    if (packed_bytes <= most) {
        fputs(" data-svg=\"", page);
        write_base64(page, packed, packed_bytes);
        fputc('"', page);
    }
    free(packed);
    return LSPO_OK;
}

static lspo_status_t write_svg(FILE *page, const lspo_figure_t *figure, const lspo_figure_file_t *file,
                               const lspo_embed_t *embed, char *text)
{
    char *svg = strstr(text, "<svg");
    double width = svg != NULL ? attribute(svg, "width") : 0, height = svg != NULL ? attribute(svg, "height") : 0;
    if (width <= 0 || height <= 0)
        return lspo_error(LSPO_ERR_INPUT, "%s/%s: no SVG with a width and a height", figure->folder, file->name);
    fprintf(page, "<div class=\"wide\" tabindex=\"0\"><img class=\"picture\" width=\"%.0f\" height=\"%.0f\" ", width,
            height);
    write_alternative(page, figure, file);
    cut_script(svg);
    lspo_status_t status = LSPO_OK;
    if (file->bytes > embed->picture_most)
        status = write_packed(page, svg, embed->packed_most);
    fputs(" src=\"", page);
    if (file->bytes <= embed->picture_most) {
        fputs("data:image/svg+xml;charset=utf-8,", page);
        lspo_html_url_data(page, svg, strlen(svg));
    } else {
        lspo_html_print(page, embed->beside);
        lspo_html_print(page, figure->name);
        fputc('/', page);
        lspo_html_url_data(page, file->name, strlen(file->name));
    }
    fputs("\"></div>\n", page);
    return status;
}

lspo_status_t lspo_picture_write(FILE *page, const lspo_figure_t *figure, const lspo_figure_file_t *file,
                                 const lspo_embed_t *embed)
{
    char path[PATH_MAX], *text;
    size_t bytes;
    snprintf(path, sizeof path, "%s/%s", figure->folder, file->name);
    lspo_status_t status = lspo_input_read_file(path, BYTES_MOST, &text, &bytes);
    if (status != LSPO_OK)
        return status;
    status = write_svg(page, figure, file, embed, text);
    free(text);
    return status;
}

lspo_status_t lspo_picture_script(const char *path, char **script_out)
{
    char *text, *script = NULL;
    size_t bytes;
    lspo_status_t status = lspo_input_read_file(path, BYTES_MOST, &text, &bytes);
    if (status != LSPO_OK)
        return status;
    const char *named = find_script(text, &bytes);
    if (named != NULL) {
        script = strndup(named, bytes);
        if (script == NULL)
            status = lspo_no_memory("the path of gnuplot's script");
    }
    free(text);
    if (status == LSPO_OK)
        *script_out = script;
    return status;
}
