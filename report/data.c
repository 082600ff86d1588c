/* data.c - a CSV of the results in the page; see data.h. */
#include "report/data.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/csv_file.h"
#include "base/input_file.h"
#include "report/html.h"

enum { BYTES_MOST = 256 << 20, ROWS_SHOWN = 10 };

static bool is_number(const char *text)
{
    char *end;
    strtod(text, &end);
    return end != text && *end == '\0';
}

static bool has_values(const lspo_csv_t *csv, size_t column)
{
    for (size_t row = 0; row < csv->row_count; row++)
        if (*lspo_csv_cell(csv, row, column) != '\0')
            return true;
    return csv->row_count == 0;
}

/* The first rows; columns without a value in any row are left out, and how many is said. */
static void write_rows(FILE *page, const lspo_csv_t *csv, size_t rows)
{
    size_t left_out = 0;
    fputs("<div class=\"wide\" tabindex=\"0\"><table><thead><tr>", page);
    for (size_t column = 0; column < csv->column_count; column++) {
        if (!has_values(csv, column)) {
            left_out++;
            continue;
        }
        fputs("<th scope=\"col\">", page);
        lspo_html_print(page, csv->cells[column]);
        fputs("</th>", page);
    }
    fputs("</tr></thead><tbody>\n", page);
    for (size_t row = 0; row < rows; row++) {
        fputs("<tr>", page);
        for (size_t column = 0; column < csv->column_count; column++) {
            const char *cell = lspo_csv_cell(csv, row, column);
            if (*cell == '\0' && !has_values(csv, column))
                continue;
            fputs(is_number(cell) ? "<td class=\"number\">" : "<td>", page);
            lspo_html_print(page, cell);
            fputs("</td>", page);
        }
        fputs("</tr>\n", page);
    }
    fputs("</tbody></table></div>\n", page);
    if (left_out > 0)
        fprintf(page, "<p class=\"small\">Without values, and not shown: %zu column%s.</p>\n", left_out,
                left_out == 1 ? "" : "s");
}

void lspo_data_write_link(FILE *page, const lspo_figure_t *figure, const lspo_figure_file_t *file,
                          const lspo_embed_t *embed)
{
    fputs("<a href=\"", page);
    lspo_embed_write_address(page, figure, file, embed);
    fputs("\">", page);
    lspo_html_print(page, file->name);
    fputs("</a>, ", page);
    lspo_html_size(page, file->bytes);
}

/* A link to the file, which is in it, as it is or compressed, or beside the page. */
static lspo_status_t write_whole(FILE *page, const lspo_figure_t *figure, const lspo_figure_file_t *file,
                                 const lspo_embed_t *embed, const char *path)
{
    bool is_plain = file->bytes <= embed->plain_most, packed = false;
    char *text;
    size_t bytes;
    lspo_status_t status = lspo_input_read_file(path, BYTES_MOST, &text, &bytes);
    if (status != LSPO_OK)
        return status;
    fputs("<p>All of it: <a download=\"", page);
    lspo_html_print(page, file->name);
    fputc('"', page);
    if (!is_plain)
        status = lspo_embed_write_packed(page, "data-csv", text, bytes, embed->data_most, &packed);
    fputs(" href=\"", page);
    if (is_plain) {
        fputs("data:text/csv;charset=utf-8,", page);
        lspo_html_url_data(page, text, bytes);
    } else {
        lspo_embed_write_address(page, figure, file, embed);
    }
    free(text);
    fputs("\">", page);
    lspo_html_print(page, file->name);
    fputs("</a>, ", page);
    lspo_html_size(page, bytes);
    fputs(is_plain || packed ? ", in this page</p>\n" : ", in the folder of results</p>\n", page);
    return status;
}

lspo_status_t lspo_data_write(FILE *page, const lspo_figure_t *figure, const lspo_figure_file_t *file,
                              const lspo_embed_t *embed)
{
    char path[PATH_MAX];
    lspo_csv_t csv;
    snprintf(path, sizeof path, "%s/%s", figure->folder, file->name);
    lspo_status_t status = lspo_csv_read(path, BYTES_MOST, &csv);
    if (status != LSPO_OK)
        return status;
    size_t shown = csv.row_count < ROWS_SHOWN ? csv.row_count : ROWS_SHOWN;
    fputs("<details class=\"data\"><summary>", page);
    lspo_html_print(page, file->name);
    fprintf(page, ": %zu rows", csv.row_count);
    if (shown < csv.row_count)
        fprintf(page, ", the first %zu here", shown);
    fputs("</summary>\n", page);
    write_rows(page, &csv, shown);
    status = write_whole(page, figure, file, embed, path);
    fputs("</details>\n", page);
    lspo_csv_release(&csv);
    return status;
}

lspo_status_t lspo_data_write_table(FILE *page, const char *path)
{
    lspo_csv_t csv;
    lspo_status_t status = lspo_csv_read(path, BYTES_MOST, &csv);
    if (status != LSPO_OK)
        return status;
    write_rows(page, &csv, csv.row_count);
    lspo_csv_release(&csv);
    return LSPO_OK;
}
