/* section.c - the part of the page on one figure or table; see section.h. */
#include "report/section.h"

#include <string.h>

#include "report/data.h"
#include "report/html.h"
#include "report/markdown.h"
#include "report/picture.h"

void lspo_section_write_title(FILE *page, const lspo_figure_t *figure)
{
    size_t bytes = 0;
    const char *title =
        figure->readme != NULL ? lspo_markdown_title(figure->readme, figure->readme_bytes, &bytes) : NULL;
    if (bytes > 0)
        lspo_markdown_write_line(page, title, bytes);
    else
        lspo_html_print(page, figure->name);
}

void lspo_section_write_verdict(FILE *page, const lspo_figure_t *figure)
{
    static const char *const classes[LSPO_FIGURE_STATES] = {"holds", "open", "fails", "fails", "open", "open"};
    const size_t *counts = figure->claims.counts;
    size_t must = counts[LSPO_CLAIM_HOLDS] + counts[LSPO_CLAIM_FAILS];
    fprintf(page, "<span class=\"%s\">%s</span>", classes[figure->state], lspo_figure_state_words(figure->state));
    if (must > 0)
        fprintf(page, ": %zu of %zu claims%s", counts[LSPO_CLAIM_HOLDS], must,
                figure->state == LSPO_FIGURE_INTERRUPTED || figure->state == LSPO_FIGURE_BROKEN ? " until then" : "");
    if (figure->state == LSPO_FIGURE_UNDECIDED)
        fprintf(page, ": %zu claim%s", counts[LSPO_CLAIM_UNDECIDED], counts[LSPO_CLAIM_UNDECIDED] == 1 ? "" : "s");
    else if (counts[LSPO_CLAIM_UNDECIDED] > 0)
        fprintf(page, "%s %zu undecided", must > 0 ? "," : ":", counts[LSPO_CLAIM_UNDECIDED]);
    if (figure->state == LSPO_FIGURE_BROKEN || (figure->state == LSPO_FIGURE_INTERRUPTED && figure->run.ended))
        fprintf(page, "; exit status %d", figure->run.status);
}

void lspo_section_write_claim(FILE *page, const lspo_claim_t *claim)
{
    lspo_html_text(page, claim->text, claim->bytes);
    if (claim->interval == NULL)
        return;
    fputs(" <small>[", page);
    lspo_html_text(page, claim->interval, claim->interval_bytes);
    fputs("]</small>", page);
}

static void write_claims(FILE *page, const lspo_figure_t *figure)
{
    static const char *const classes[LSPO_CLAIM_VERDICTS] = {"holds", "fails", "seen", "seen", "open"};
    const lspo_claims_t *claims = &figure->claims;
    if (claims->count == 0)
        return;
    fputs("<h3>Claims</h3>\n<ul class=\"claims\">\n", page);
    for (size_t i = 0; i < claims->count; i++) {
        const lspo_claim_t *claim = &claims->list[i];
        fprintf(page, "<li><span class=\"%s\">%s</span> ", classes[claim->verdict], lspo_claim_words(claim));
        lspo_section_write_claim(page, claim);
        fputs("</li>\n", page);
    }
    fputs("</ul>\n", page);
    if (claims->counts[LSPO_CLAIM_SEEN] + claims->counts[LSPO_CLAIM_UNSEEN] > 0)
        fputs("<p class=\"small\"><em>Yes</em>, <em>no</em> and verdicts <em>at this scale</em>: not required to hold "
              "here.</p>\n",
              page);
}

/* ---- files ---- */

typedef lspo_status_t (*write_file_t)(FILE *page, const lspo_figure_t *figure, const lspo_figure_file_t *file,
                                      const lspo_embed_t *embed);

/* Of a figure that did not end, a file may end in the midst. */
static lspo_status_t write_file(FILE *page, const lspo_figure_t *figure, const lspo_figure_file_t *file,
                                const lspo_embed_t *embed, write_file_t write)
{
    char message[512] = "";
    if (figure->state != LSPO_FIGURE_INTERRUPTED && figure->state != LSPO_FIGURE_BROKEN)
        return write(page, figure, file, embed);
    lspo_messages_keep(message, sizeof message);
    lspo_status_t status = write(page, figure, file, embed);
    lspo_messages_keep(NULL, 0);
    if (status == LSPO_OK)
        return LSPO_OK;
    if (status != LSPO_ERR_INPUT)
        return lspo_error(status, "%s", message);
    fputs("<p class=\"open\">", page);
    lspo_html_print(page, message);
    fputs("</p>\n", page);
    return LSPO_OK;
}

/* Is `data` named after the picture: fig7.csv or fig7.steps.csv after fig7.svg? */
static bool belongs(const char *data, const char *picture)
{
    size_t stem = strlen(picture) - strlen("svg");
    return strncmp(data, picture, stem) == 0;
}

static bool has_picture(const lspo_figure_t *figure, const char *data)
{
    for (size_t i = 0; i < figure->file_count; i++)
        if (lspo_figure_file_is(figure->files[i].name, ".svg") && belongs(data, figure->files[i].name))
            return true;
    return false;
}

/* The CSV of a picture, or, if it is NULL, those of none. */
static lspo_status_t write_data(FILE *page, const lspo_figure_t *figure, const char *picture, const lspo_embed_t *embed)
{
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; i < figure->file_count && status == LSPO_OK; i++) {
        const char *name = figure->files[i].name;
        if (lspo_figure_file_is(name, ".csv") &&
            (picture != NULL ? belongs(name, picture) : !has_picture(figure, name)))
            status = write_file(page, figure, &figure->files[i], embed, lspo_data_write);
    }
    return status;
}

static lspo_status_t write_pictures(FILE *page, const lspo_figure_t *figure, const lspo_embed_t *embed)
{
    lspo_status_t status = LSPO_OK;
    for (size_t i = 0; i < figure->file_count && status == LSPO_OK; i++) {
        const lspo_figure_file_t *file = &figure->files[i];
        if (!lspo_figure_file_is(file->name, ".svg"))
            continue;
        fputs("<figure>\n", page);
        status = write_file(page, figure, file, embed, lspo_picture_write);
        fputs("<figcaption>", page);
        lspo_html_print(page, file->name);
        fputs("</figcaption>\n", page);
        if (status == LSPO_OK)
            status = write_data(page, figure, file->name, embed);
        fputs("</figure>\n", page);
    }
    return status;
}

static bool is_shown(const char *name)
{
    /* A .png is its .svg again. */
    return lspo_figure_file_is(name, ".csv") || lspo_figure_file_is(name, ".svg") || lspo_figure_file_is(name, ".png");
}

static void write_other_files(FILE *page, const lspo_figure_t *figure, const lspo_embed_t *embed)
{
    size_t others = 0;
    for (size_t i = 0; i < figure->file_count; i++)
        others += !is_shown(figure->files[i].name);
    if (others == 0)
        return;
    fprintf(page, "<details><summary>%zu further files</summary><ul>\n", others);
    for (size_t i = 0; i < figure->file_count; i++) {
        if (is_shown(figure->files[i].name))
            continue;
        fputs("<li>", page);
        lspo_data_write_link(page, figure, &figure->files[i], embed);
        fputs("</li>\n", page);
    }
    fputs("</ul></details>\n", page);
}

/* ---- how it was made ---- */

static void write_row(FILE *page, const char *term, const char *text)
{
    if (text[0] == '\0')
        return;
    fprintf(page, "<dt>%s</dt><dd>", term);
    lspo_html_print(page, text);
    fputs("</dd>\n", page);
}

void lspo_section_write_versions(FILE *page, const lspo_figure_run_t *run)
{
    write_row(page, "Machine", run->machine);
    write_row(page, "lspo", run->lspo);
    write_row(page, "gnuplot", run->gnuplot);
}

static void write_origin(FILE *page, const lspo_figure_t *figure)
{
    const lspo_figure_run_t *run = &figure->run;
    fputs("<h3>How it was made</h3>\n<dl>\n<dt>Command</dt><dd><code>", page);
    lspo_html_print(page, run->command);
    fputs("</code></dd>\n", page);
    write_row(page, "Began", run->started);
    if (run->ended)
        fprintf(page, "<dt>Took</dt><dd>%.0f s</dd>\n", run->seconds);
    lspo_section_write_versions(page, run);
    fputs("</dl>\n", page);
}

static lspo_status_t write_readme(FILE *page, const lspo_figure_t *figure)
{
    if (figure->readme == NULL)
        return LSPO_OK;
    fputs("<details open=\"open\"><summary>What it is</summary>\n", page);
    lspo_status_t status = lspo_markdown_write(page, figure->readme, figure->readme_bytes);
    fputs("</details>\n", page);
    return status;
}

static lspo_status_t write_results(FILE *page, const lspo_figure_t *figure, const lspo_embed_t *embed)
{
    lspo_status_t status = write_readme(page, figure);
    if (status == LSPO_OK)
        status = write_pictures(page, figure, embed);
    write_claims(page, figure);
    if (figure->output != NULL) {
        fputs("<h3>What was printed</h3>\n<pre class=\"output\" tabindex=\"0\">", page);
        lspo_html_text(page, figure->output, figure->output_bytes);
        fputs("</pre>\n", page);
    }
    if (status == LSPO_OK)
        status = write_data(page, figure, NULL, embed);
    write_other_files(page, figure, embed);
    write_origin(page, figure);
    return status;
}

lspo_status_t lspo_section_write(FILE *page, const lspo_figure_t *figure, const char *newest_run,
                                 const lspo_embed_t *embed)
{
    lspo_status_t status = LSPO_OK;
    fputs("<section id=\"", page);
    lspo_html_print(page, figure->name);
    fputs("\">\n<h2>", page);
    lspo_section_write_title(page, figure);
    fputs("</h2>\n<p>", page);
    lspo_section_write_verdict(page, figure);
    if (figure->state == LSPO_FIGURE_NOT_RUN) {
        fputs(": no results. <code>experiments/run.sh ", page);
        lspo_html_print(page, figure->name);
        fputs("</code> makes them.", page);
    } else if (strcmp(figure->run.run, newest_run) != 0) {
        fputs(" <strong>From an earlier run, of ", page);
        lspo_html_print(page, figure->run.started);
        fputs(".</strong>", page);
    }
    fputs("</p>\n", page);
    if (figure->state != LSPO_FIGURE_NOT_RUN)
        status = write_results(page, figure, embed);
    fputs("</section>\n", page);
    return status;
}
