/* wrap.c - see wrap.h. */
#include "base/wrap.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH_LEAST = 40, WIDTH_MOST = 1000, WIDTH_UNKNOWN = 80 };

size_t lspo_terminal_width(FILE *file)
{
    struct winsize size;
    if (!isatty(fileno(file)))
        return 0;
    const char *columns = getenv("COLUMNS");
    long width = columns != NULL ? strtol(columns, NULL, 10) : 0;
    if (width <= 0 && ioctl(fileno(file), TIOCGWINSZ, &size) == 0)
        width = size.ws_col;
    if (width <= 0)
        width = WIDTH_UNKNOWN;
    return width < WIDTH_LEAST ? WIDTH_LEAST : width > WIDTH_MOST ? WIDTH_MOST : (size_t)width;
}

size_t lspo_wrap_line(const char *text, size_t width)
{
    size_t fits = 0;
    for (size_t i = 0;; i++) {
        if (text[i] == '\0' || text[i] == ' ' || text[i] == '\n') {
            if (i > width && fits > 0)
                return fits;
            fits = i;
            if (i >= width || text[i] != ' ')
                return fits;
        }
    }
}

void lspo_wrap_item(FILE *file, const char *left, const char *text, size_t indent, size_t width)
{
    size_t column = strlen(left);
    fputs(left, file);
    if (column + 1 > indent) {
        fputc('\n', file);
        column = 0;
    }
    while (*text != '\0') {
        size_t length = lspo_wrap_line(text, width > indent ? width - indent : 1);
        fprintf(file, "%*s%.*s\n", (int)(indent - column), "", (int)length, text);
        text += length + strspn(text + length, " \n");
        column = 0;
    }
}

void lspo_wrap_text(FILE *file, const char *text, size_t width)
{
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        if (length > 0 && text[0] != ' ')
            length = lspo_wrap_line(text, width);
        const char *next = text + length;
        while (length > 0 && text[length - 1] == ' ')
            length--;
        fprintf(file, "%.*s\n", (int)length, text);
        text = *next == '\n' ? next + 1 : next + strspn(next, " ");
    }
}

void lspo_wrap_print(FILE *file, void (*print)(FILE *file, const void *context), const void *context)
{
    char *text = NULL;
    size_t bytes, width = lspo_terminal_width(file);
    FILE *memory = width > 0 ? open_memstream(&text, &bytes) : NULL;
    if (memory == NULL) {
        print(file, context);
        return;
    }
    print(memory, context);
    if (fclose(memory) == 0)
        lspo_wrap_text(file, text, width);
    else
        print(file, context);
    free(text);
}
