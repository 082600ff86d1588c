/* summary.c - the page's first screen; see summary.h. */
#include "report/summary.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "report/data.h"
#include "report/html.h"
#include "report/section.h"

static void write_counts(FILE *page, const lspo_results_t *results)
{
    static const char *const words[LSPO_FIGURE_STATES][2] = {
        {"hold", "holds"},
        {"are undecided", "is undecided"},
        {"do not hold", "does not hold"},
        {"ended with an error", "ended with an error"},
        {"were interrupted", "was interrupted"},
        {"were not run here", "was not run here"},
    };
    const size_t *claims = results->claims;
    size_t others = claims[LSPO_CLAIM_SEEN] + claims[LSPO_CLAIM_UNSEEN];
    const char *before = "";
    fprintf(page, "<p>Of %zu figures and tables ", results->count);
    for (int state = 0; state < LSPO_FIGURE_STATES; state++) {
        if (results->states[state] == 0)
            continue;
        fprintf(page, "%s<strong>%zu</strong> %s", before, results->states[state],
                words[state][results->states[state] == 1]);
        before = ", ";
    }
    fprintf(page,
            ".</p>\n<p>Of %zu claims that must hold, <strong id=\"claims-hold\">%zu</strong> %s and "
            "<strong id=\"claims-fail\">%zu</strong> %s not.",
            claims[LSPO_CLAIM_HOLDS] + claims[LSPO_CLAIM_FAILS], claims[LSPO_CLAIM_HOLDS],
            claims[LSPO_CLAIM_HOLDS] == 1 ? "holds" : "hold", claims[LSPO_CLAIM_FAILS],
            claims[LSPO_CLAIM_FAILS] == 1 ? "does" : "do");
    if (others > 0)
        fprintf(page, " Of %zu further ones, printed but not required, %zu %s so here and %zu %s not.", others,
                claims[LSPO_CLAIM_SEEN], claims[LSPO_CLAIM_SEEN] == 1 ? "is" : "are", claims[LSPO_CLAIM_UNSEEN],
                claims[LSPO_CLAIM_UNSEEN] == 1 ? "is" : "are");
    if (claims[LSPO_CLAIM_UNDECIDED] > 0)
        fprintf(page,
                " Beside these, <strong id=\"claims-undecided\">%zu</strong> %s undecided: the limit is within "
                "the interval.",
                claims[LSPO_CLAIM_UNDECIDED], claims[LSPO_CLAIM_UNDECIDED] == 1 ? "is" : "are");
    fputs("</p>\n<p class=\"small\">In brackets behind a claim is the 95 % interval of the mean that it judges, over "
          "seeds or repeated measurements. <em>One run</em>: there was only one, so it has none. A claim "
          "without brackets comes without an interval.</p>\n",
          page);
}

static void write_claims(FILE *page, const lspo_results_t *results, lspo_claim_verdict_t verdict, const char *class,
                         const char *title)
{
    if (results->claims[verdict] == 0)
        return;
    fprintf(page, "<h3>%s</h3>\n<ul class=\"claims\">\n", title);
    for (size_t i = 0; i < results->count; i++) {
        const lspo_figure_t *figure = &results->figures[i];
        for (size_t k = 0; k < figure->claims.count; k++) {
            const lspo_claim_t *claim = &figure->claims.list[k];
            if (claim->verdict != verdict)
                continue;
            fprintf(page, "<li><span class=\"%s\">%s</span> <a href=\"#", class, lspo_claim_words(claim));
            lspo_html_print(page, figure->name);
            fputs("\">", page);
            lspo_html_print(page, figure->name);
            fputs("</a>: ", page);
            lspo_section_write_claim(page, claim);
            fputs("</li>\n", page);
        }
    }
    fputs("</ul>\n", page);
}

static void write_contents(FILE *page, const lspo_results_t *results)
{
    fputs(
        "<div class=\"wide\" tabindex=\"0\"><table class=\"contents\"><thead><tr><th scope=\"col\">figure or table</th>"
        "<th scope=\"col\">verdict</th><th scope=\"col\">began</th><th scope=\"col\">took</th></tr></thead><tbody>\n",
        page);
    for (size_t i = 0; i < results->count; i++) {
        const lspo_figure_t *figure = &results->figures[i];
        fputs("<tr><td><a href=\"#", page);
        lspo_html_print(page, figure->name);
        fputs("\">", page);
        lspo_html_print(page, figure->name);
        fputs("</a>", page);
        if (figure->readme != NULL) {
            fputs(": ", page);
            lspo_section_write_title(page, figure);
        }
        fputs("</td><td>", page);
        lspo_section_write_verdict(page, figure);
        fputs("</td><td>", page);
        if (figure->state != LSPO_FIGURE_NOT_RUN)
            lspo_html_print(page, figure->run.started);
        fputs("</td><td class=\"number\">", page);
        if (figure->run.ended)
            fprintf(page, "%.0f s", figure->run.seconds);
        fputs("</td></tr>\n", page);
    }
    fputs("</tbody></table></div>\n", page);
}

static lspo_status_t write_trains(FILE *page, const lspo_results_t *results)
{
    char path[PATH_MAX];
    struct stat file;
    snprintf(path, sizeof path, "%s/trains.csv", results->folder);
    fputs("<h2>What this machine can train</h2>\n", page);
    if (stat(path, &file) != 0 && errno == ENOENT) {
        fputs("<p>Not known: none of the figures that were run measured this machine. "
              "<code>lspo choose --machine auto --model NAME</code> does.</p>\n",
              page);
        return LSPO_OK;
    }
    fputs("<p>The machine as a device of its own, as <code>lspo calibrate</code> measured it for these results, and "
          "<code>lspo choose</code> with its usual workload per model: how many of all policies fit, the fastest of "
          "them, and what limits it.</p>\n",
          page);
    return lspo_data_write_table(page, path);
}

static void write_origin(FILE *page, const lspo_results_t *results)
{
    const lspo_figure_run_t *run = NULL;
    size_t figures = 0, earlier = 0;
    double seconds = 0;
    for (size_t i = 0; i < results->count; i++) {
        const lspo_figure_t *figure = &results->figures[i];
        if (figure->state == LSPO_FIGURE_NOT_RUN)
            continue;
        if (strcmp(figure->run.run, results->newest_run) != 0) {
            earlier++;
            continue;
        }
        run = &figure->run;
        figures++;
        seconds += figure->run.seconds;
    }
    fputs("<h2>How this was made</h2>\n", page);
    if (run == NULL) {
        fputs("<p>Nothing was run yet.</p>\n", page);
        return;
    }
    fprintf(page, "<p>The newest run made %zu of the figures and tables; their times add up to %.0f s", figures,
            seconds);
    if (earlier > 0)
        fprintf(page, "; %zu are from earlier runs and say so", earlier);
    fputs(". Each section has its command. A verdict is that of the check which the command ran.</p>\n<dl>\n", page);
    fputs("<dt>Began</dt><dd>", page);
    lspo_html_print(page, run->run);
    fputs("</dd>\n", page);
    lspo_section_write_versions(page, run);
    fputs("</dl>\n<p class=\"small\">In a picture, a click on a name in the legend hides what has its colour, Ctrl and "
          "the "
          "wheel zoom, a right click shows all again, and an op of a Gantt chart says what it is.</p>\n",
          page);
}

lspo_status_t lspo_summary_write(FILE *page, const lspo_results_t *results)
{
    fputs("<header>\n<h1>lspo: the evaluation</h1>\n"
          "<p>Figures and tables of LSP-Offload (arXiv 2406.10181), of related systems and of published GPU steps: "
          "simulated, measured where that is said, and compared.</p>\n"
          "<h2>What holds, and what does not</h2>\n",
          page);
    write_counts(page, results);
    write_claims(page, results, LSPO_CLAIM_FAILS, "fails", "Claims that do not hold");
    write_claims(page, results, LSPO_CLAIM_UNDECIDED, "open", "Undecided claims");
    write_contents(page, results);
    lspo_status_t status = write_trains(page, results);
    write_origin(page, results);
    fputs("</header>\n", page);
    return status;
}
