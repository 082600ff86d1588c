/* page.c - the report; see page.h. */
#include "report/page.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/input_file.h"
#include "report/embed.h"
#include "report/html.h"
#include "report/picture.h"
#include "report/section.h"
#include "report/summary.h"

enum { SCRIPT_MOST = 1 << 20 };

/* What runs and paints the page. */
typedef struct {
    char *style, *page, *frame, *gnuplot; /* owned; gnuplot: NULL if no picture has a script */
} scripts_t;

static void release_scripts(scripts_t *scripts)
{
    free(scripts->style);
    free(scripts->page);
    free(scripts->frame);
    free(scripts->gnuplot);
}

static lspo_status_t read_script(const char *path, char **text_out)
{
    size_t bytes;
    return lspo_input_read_file(path, SCRIPT_MOST, text_out, &bytes);
}

static lspo_status_t read_own(const char *folder, const char *name, char **text_out)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/report/%s", folder, name);
    return read_script(path, text_out);
}

/* gnuplot's script, which the first picture with one names; without it, pictures are not interactive. */
static lspo_status_t read_gnuplot(const lspo_results_t *results, char **text_out)
{
    char message[512], *script = NULL;
    lspo_status_t status = LSPO_OK;
    lspo_messages_keep(message, sizeof message); /* a picture that cannot be read is told where it is shown */
    for (size_t i = 0; i < results->count && script == NULL; i++) {
        const lspo_figure_t *figure = &results->figures[i];
        for (size_t k = 0; k < figure->file_count && script == NULL; k++) {
            if (!lspo_figure_file_is(figure->files[k].name, ".svg"))
                continue;
            char picture[PATH_MAX];
            snprintf(picture, sizeof picture, "%s/%s", figure->folder, figure->files[k].name);
            status = lspo_picture_script(picture, &script);
            if (status == LSPO_ERR_MEMORY)
                goto cleanup;
        }
    }
    status = script != NULL ? read_script(script, text_out) : LSPO_OK;
cleanup:
    lspo_messages_keep(NULL, 0);
    if (status == LSPO_ERR_MEMORY)
        lspo_error(status, "%s", message);
    bool harmful = status == LSPO_OK && *text_out != NULL && strcasestr(*text_out, "</script") != NULL;
    if (status == LSPO_ERR_INPUT || harmful)
        lspo_warn("pictures will not be interactive: gnuplot's script %s cannot be %s", script,
                  harmful ? "put into a page" : "read (Debian: gnuplot-data)");
    if (harmful) {
        free(*text_out);
        *text_out = NULL;
    }
    free(script);
    return status == LSPO_ERR_INPUT ? LSPO_OK : status;
}

static lspo_status_t read_scripts(const lspo_results_t *results, const char *folder, scripts_t *scripts)
{
    lspo_status_t status = read_own(folder, "page.css", &scripts->style);
    if (status == LSPO_OK)
        status = read_own(folder, "page.js", &scripts->page);
    if (status == LSPO_OK)
        status = read_own(folder, "frame.js", &scripts->frame);
    if (status == LSPO_OK)
        status = read_gnuplot(results, &scripts->gnuplot);
    return status;
}

static void write_head(FILE *page, const scripts_t *scripts)
{
    fprintf(page,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data: file: 'self'; "
            "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
            "<title>lspo: the evaluation</title>\n<style>\n%s</style>\n</head>\n<body>\n",
            scripts->style);
}

static void write_scripts(FILE *page, const scripts_t *scripts)
{
    if (scripts->gnuplot != NULL)
        fprintf(page,
                "<script type=\"text/plain\" id=\"gnuplot-script\">\n%s</script>\n"
                "<script type=\"text/plain\" id=\"frame-script\">\n%s</script>\n",
                scripts->gnuplot, scripts->frame);
    fprintf(page, "<script>\n%s</script>\n</body>\n</html>\n", scripts->page);
}

static lspo_status_t make(const lspo_results_t *results, const scripts_t *scripts, const lspo_embed_t *embed,
                          char **text_out, size_t *bytes_out)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *page = open_memstream(&text, &bytes);
    if (page == NULL)
        return lspo_no_memory("the report");
    write_head(page, scripts);
    lspo_status_t status = lspo_summary_write(page, results);
    fputs("<main>\n", page);
    for (size_t i = 0; i < results->count && status == LSPO_OK; i++)
        status = lspo_section_write(page, &results->figures[i], results->newest_run, embed);
    fputs("</main>\n", page);
    write_scripts(page, scripts);
    lspo_status_t written = lspo_html_close(page, &text);
    if (status == LSPO_OK)
        status = written;
    if (status != LSPO_OK) {
        free(text);
        return status;
    }
    *text_out = text;
    *bytes_out = bytes;
    return LSPO_OK;
}

/* A lower limit; 0 below the least that matters. */
static size_t lower(size_t most)
{
    enum { FIRST = 1 << 20, LEAST = 4096 };
    return most == SIZE_MAX ? FIRST : most > LEAST ? most / 2 : 0;
}

/* Do more files gain from being compressed? */
static bool can_pack(const lspo_embed_t *embed)
{
    enum { PLAIN_LEAST = 4096 };
    return embed->plain_most > PLAIN_LEAST;
}

/* What makes room next: more files are compressed, then CSV stay outside from the largest on, then pictures.  False if
 * nothing is left. */
static bool embed_less(lspo_embed_t *embed)
{
    if (can_pack(embed))
        embed->plain_most /= 4;
    else if (embed->data_most > 0)
        embed->data_most = lower(embed->data_most);
    else if (embed->picture_most > 0)
        embed->picture_most = lower(embed->picture_most);
    else
        return false;
    return true;
}

lspo_status_t lspo_page_make(const lspo_results_t *results, const lspo_page_options_t *options, char **text_out,
                             size_t *bytes_out)
{
    enum { PLAIN_FIRST = 64 << 10, ROOMY_BYTES = LSPO_PAGE_MOST_BYTES / 5 * 4 };
    lspo_embed_t embed = {PLAIN_FIRST, SIZE_MAX, SIZE_MAX, options->beside};
    scripts_t scripts = {0};
    char *text = NULL;
    size_t bytes = 0;
    lspo_status_t status = read_scripts(results, options->data_folder, &scripts);
    while (status == LSPO_OK) {
        status = make(results, &scripts, &embed, &text, &bytes);
        if (status != LSPO_OK || bytes < (can_pack(&embed) ? ROOMY_BYTES : LSPO_PAGE_MOST_BYTES))
            break;
        free(text);
        if (!embed_less(&embed))
            status =
                lspo_error(LSPO_ERR_INPUT, "%s: what the figures printed makes a page of %zu bytes; it may have %d",
                           results->folder, bytes, LSPO_PAGE_MOST_BYTES);
    }
    release_scripts(&scripts);
    if (status == LSPO_OK) {
        *text_out = text;
        *bytes_out = bytes;
    }
    return status;
}
