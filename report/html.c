/* html.c - text in an HTML page; see html.h. */
#include "report/html.h"

#include <stdbool.h>
#include <string.h>

#include "base/printable.h"

/* Of one of these: the rest is written as it is. */
static const char *const special = "&<>\"'";

static const char *reference(char character)
{
    switch (character) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    default:
        return "&#39;";
    }
}

enum { PIECE = 256 };

static bool is_kept(char character)
{
    return character == '\n' || character == '\t';
}

/* At most PIECE bytes without line ends and tabs. */
static void write_piece(FILE *page, const char *text, size_t bytes)
{
    char piece[PIECE + 1], shown[PIECE * LSPO_PRINTABLE_MOST + 4];
    memcpy(piece, text, bytes);
    piece[bytes] = '\0';
    lspo_printable(piece, shown, sizeof shown);
    for (const char *at = shown; *at != '\0'; at++) {
        const size_t plain = strcspn(at, special);
        fwrite(at, 1, plain, page);
        at += plain;
        if (*at == '\0')
            return;
        fputs(reference(*at), page);
    }
}

void lspo_html_text(FILE *page, const char *text, size_t bytes)
{
    size_t end;
    for (size_t begin = 0; begin < bytes; begin = end) {
        if (is_kept(text[begin])) {
            fputc(text[begin], page);
            end = begin + 1;
            continue;
        }
        for (end = begin; end < bytes && end - begin < PIECE && !is_kept(text[end]);)
            end++;
        /* Not in the midst of a character, which has at most three bytes after its first. */
        size_t whole = end;
        while (whole < bytes && end - whole < 3 && whole > begin + 1 && (text[whole] & 0xC0) == 0x80)
            whole--;
        end = whole;
        write_piece(page, text + begin, end - begin);
    }
}

void lspo_html_print(FILE *page, const char *text)
{
    lspo_html_text(page, text, strlen(text));
}

void lspo_html_size(FILE *page, size_t bytes)
{
    if (bytes < 1000)
        fprintf(page, "%zu bytes", bytes);
    else if (bytes < 1000000)
        fprintf(page, "%.0f kB", 1e-3 * (double)bytes);
    else
        fprintf(page, "%.1f MB", 1e-6 * (double)bytes);
}

void lspo_html_url_data(FILE *page, const char *data, size_t bytes)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~,;:/()=+*!'$@";
    bool is_plain[256] = {false};
    for (const char *at = plain; *at != '\0'; at++)
        is_plain[(unsigned char)*at] = true;
    for (size_t i = 0, begin = 0; i <= bytes; i++) {
        if (i < bytes && is_plain[(unsigned char)data[i]])
            continue;
        fwrite(data + begin, 1, i - begin, page);
        if (i < bytes)
            fprintf(page, "%%%02X", (unsigned char)data[i]);
        begin = i + 1;
    }
}

lspo_status_t lspo_html_close(FILE *page, char *const *text)
{
    bool written = !ferror(page);
    written = fclose(page) == 0 && written;
    return written && *text != NULL ? LSPO_OK : lspo_no_memory("the report");
}
