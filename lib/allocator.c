/* allocator.c - see allocator.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* fopencookie() */
#endif
#include "lib/allocator.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

void *__real_malloc(size_t bytes);
void *__real_realloc(void *block, size_t bytes);
void __real_free(void *block);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);
void __wrap_free(void *block);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t bytes_most);
int __wrap_asprintf(char **text_out, const char *format, ...) __attribute__((format(printf, 2, 3)));
ssize_t __wrap_getline(char **line, size_t *capacity, FILE *file);
ssize_t __wrap___getdelim(char **line, size_t *capacity, int end, FILE *file); /* what headers make of getline() */
FILE *__wrap_open_memstream(char **text, size_t *bytes);

static _Thread_local const lspo_options *in_use;

const lspo_options *lspo_allocator_use(const lspo_options *options)
{
    const lspo_options *before = in_use;
    in_use = options != NULL && options->allocate != NULL ? options : NULL;
    return before;
}

void *__wrap_malloc(size_t bytes)
{
    return in_use != NULL ? in_use->allocate(in_use->memory, bytes) : __real_malloc(bytes);
}

void *__wrap_realloc(void *block, size_t bytes)
{
    return in_use != NULL ? in_use->reallocate(in_use->memory, block, bytes) : __real_realloc(block, bytes);
}

void __wrap_free(void *block)
{
    if (in_use != NULL)
        in_use->release(in_use->memory, block);
    else
        __real_free(block);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    void *block = bytes == 0 || count <= PTRDIFF_MAX / bytes ? __wrap_malloc(count * bytes) : NULL;
    return block != NULL ? memset(block, 0, count * bytes) : NULL;
}

char *__wrap_strndup(const char *text, size_t bytes_most)
{
    size_t bytes = strnlen(text, bytes_most);
    char *copy = __wrap_malloc(bytes + 1);
    if (copy != NULL) {
        memcpy(copy, text, bytes);
        copy[bytes] = '\0';
    }
    return copy;
}

char *__wrap_strdup(const char *text)
{
    return __wrap_strndup(text, SIZE_MAX);
}

int __wrap_asprintf(char **text_out, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    char *text = length >= 0 ? __wrap_malloc((size_t)length + 1) : NULL;
    if (text != NULL)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(arguments);
    *text_out = text;
    return text != NULL ? length : -1;
}

ssize_t __wrap___getdelim(char **line, size_t *capacity, int end, FILE *file)
{
    size_t bytes = 0;
    for (int c = 0; c != end && (c = getc(file)) != EOF; (*line)[bytes++] = (char)c) {
        if (bytes + 2 <= *capacity && *line != NULL)
            continue;
        size_t larger = bytes < 64 ? 128 : 2 * bytes;
        char *moved = __wrap_realloc(*line, larger);
        if (moved == NULL) {
            errno = ENOMEM;
            return -1;
        }
        *line = moved;
        *capacity = larger;
    }
    if (bytes == 0)
        return -1;
    (*line)[bytes] = '\0';
    return (ssize_t)bytes;
}

ssize_t __wrap_getline(char **line, size_t *capacity, FILE *file)
{
    return __wrap___getdelim(line, capacity, '\n', file);
}

/* ---- open_memstream(): a stream whose text is the caller's ---- */

typedef struct {
    char **text;
    size_t *bytes;
    size_t capacity;
    bool failed;
} growing_t;

static ssize_t write_text(void *cookie, const char *text, size_t bytes)
{
    growing_t *growing = cookie;
    size_t needed = *growing->bytes + bytes + 1;
    if (!growing->failed && needed > growing->capacity) {
        size_t capacity = needed > 2 * growing->capacity ? needed : 2 * growing->capacity;
        char *larger = __wrap_realloc(*growing->text, capacity);
        growing->failed = larger == NULL;
        growing->capacity = growing->failed ? growing->capacity : capacity;
        *growing->text = growing->failed ? *growing->text : larger;
    }
    if (growing->failed)
        return 0;
    memcpy(*growing->text + *growing->bytes, text, bytes);
    *growing->bytes += bytes;
    (*growing->text)[*growing->bytes] = '\0';
    return (ssize_t)bytes;
}

static int close_text(void *cookie)
{
    growing_t *growing = cookie;
    bool failed = growing->failed;
    if (failed) {
        __wrap_free(*growing->text);
        *growing->text = NULL;
    }
    __wrap_free(growing);
    return failed ? -1 : 0;
}

FILE *__wrap_open_memstream(char **text, size_t *bytes)
{
    growing_t *growing = __wrap_calloc(1, sizeof *growing);
    *text = __wrap_calloc(1, 1);
    *bytes = 0;
    FILE *file = growing != NULL && *text != NULL
                     ? fopencookie(growing, "w", (cookie_io_functions_t){.write = write_text, .close = close_text})
                     : NULL;
    if (file == NULL) {
        __wrap_free(growing);
        __wrap_free(*text);
        *text = NULL;
        return NULL;
    }
    *growing = (growing_t){.text = text, .bytes = bytes, .capacity = 1};
    return file;
}
