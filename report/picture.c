/* picture.c - an SVG of the results in the page; see picture.h. */
#include "report/picture.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

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

/* gnuplot draws an icon that hides the grid into the lower left corner, over what is there. */
static void cut_icon(char *svg)
{
    char *call = strstr(svg, "onclick='gnuplot_svg.toggleGrid();'/>"), *icon = NULL;
    if (call == NULL)
        return;
    for (char *at = strstr(svg, "<image "); at != NULL && at < call; at = strstr(at + 1, "<image "))
        icon = at;
    if (icon == NULL)
        return;
    const char *behind = strchr(call, '>') + 1;
    memmove(icon, behind, strlen(behind) + 1);
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
    cut_icon(svg);
    lspo_status_t status = LSPO_OK;
    bool is_plain = file->bytes <= embed->plain_most, packed;
    if (!is_plain)
        status = lspo_embed_write_packed(page, "data-svg", svg, strlen(svg), embed->picture_most, &packed);
    fputs(" src=\"", page);
    if (is_plain) {
        fputs("data:image/svg+xml;charset=utf-8,", page);
        lspo_html_url_data(page, svg, strlen(svg));
    } else {
        lspo_embed_write_address(page, figure, file, embed);
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
