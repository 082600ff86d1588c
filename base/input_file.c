/* input_file.c - read a file that the user names; see input_file.h. */
#include "base/input_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct lspo_input {
    char *path;
    FILE *file;
    char *line;
    size_t line_bytes;
    uint64_t line_number;
    uint64_t bytes_read, bytes_max;
};

int lspo_descriptor_of_path(const char *path)
{
    static const char *const standard[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    for (int i = 0; i < 3; i++)
        if (strcmp(path, standard[i]) == 0)
            return i;
    for (int i = 0; i < 2; i++) {
        size_t length = strlen(folders[i]), digits = 0;
        if (strncmp(path, folders[i], length) == 0 && (digits = strspn(path + length, "0123456789")) > 0 &&
            digits < 7 && path[length + digits] == '\0')
            return atoi(path + length);
    }
    return -1;
}

static const char *kind_of_file(mode_t mode)
{
    return S_ISDIR(mode) ? "a folder" : S_ISFIFO(mode) ? "a named pipe" : S_ISSOCK(mode) ? "a socket" : "a device";
}

lspo_status_t lspo_input_descriptor(const char *path, int *descriptor_out)
{
    int given = lspo_descriptor_of_path(path);
    /* Without O_NONBLOCK, opening a named pipe would wait for a writer. */
    int descriptor =
        given >= 0 ? fcntl(given, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (descriptor < 0 && errno != ENXIO) /* errno of open() for a socket */
        return lspo_error(lspo_status_of_errno(errno), "%s: %s", path, strerror(errno));
    struct stat info;
    if (descriptor < 0 || fstat(descriptor, &info) != 0)
        info.st_mode = S_IFSOCK;
    if (S_ISREG(info.st_mode) || (given >= 0 && (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode)))) {
        *descriptor_out = descriptor;
        return LSPO_OK;
    }
    if (descriptor >= 0)
        close(descriptor);
    return lspo_error(LSPO_ERR_INPUT, "%s: not a regular file, but %s", path, kind_of_file(info.st_mode));
}

lspo_status_t lspo_input_refuse_pointer(const char *path, const char *text, size_t length)
{
    static const char first[] = "version https://git-lfs.github.com/";
    if (length < sizeof first - 1 || memcmp(text, first, sizeof first - 1) != 0)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "%s: a Git LFS pointer, not the file itself; fetch it with git lfs pull", path);
}

static lspo_status_t too_large(const lspo_input_t *input)
{
    return lspo_error(LSPO_ERR_INPUT, "%s: larger than %" PRIu64 " bytes, the limit for such a file", input->path,
                      input->bytes_max);
}

/* After a read that returned less than requested; LSPO_OK at the end of the file. */
static lspo_status_t why_it_ended(const lspo_input_t *input, int error)
{
    if (error == ENOMEM)
        return lspo_no_memory("%s", input->path);
    if (ferror(input->file))
        return lspo_error(LSPO_ERR_INPUT, "%s: %s", input->path, strerror(error));
    return LSPO_OK;
}

/* Looks at the beginning of the file: removes a byte-order mark, and refuses what git lfs leaves in a file's place. */
static lspo_status_t begin(const lspo_input_t *input, char *text, size_t *length)
{
    static const char mark[] = "\xef\xbb\xbf";
    size_t mark_length = sizeof mark - 1;
    if (input->bytes_read > 0)
        return LSPO_OK;
    lspo_status_t status = lspo_input_refuse_pointer(input->path, text, *length);
    if (status != LSPO_OK || *length < mark_length || memcmp(text, mark, mark_length) != 0)
        return status;
    *length -= mark_length;
    memmove(text, text + mark_length, *length + 1);
    return LSPO_OK;
}

lspo_status_t lspo_input_open(const char *path, uint64_t bytes_max, lspo_input_t **input_out)
{
    lspo_input_t *input = calloc(1, sizeof *input);
    if (!input || !(input->path = strdup(path))) {
        lspo_input_close(input);
        return lspo_no_memory("%s", path);
    }
    input->bytes_max = bytes_max;
    int descriptor;
    lspo_status_t status = lspo_input_descriptor(path, &descriptor);
    if (status != LSPO_OK)
        goto failed;
    input->file = fdopen(descriptor, "r");
    if (!input->file) {
        close(descriptor);
        status = lspo_no_memory("%s", path);
        goto failed;
    }
    struct stat info;
    if (fstat(descriptor, &info) == 0 && (uint64_t)info.st_size > bytes_max) {
        status = too_large(input);
        goto failed;
    }
    *input_out = input;
    return LSPO_OK;
failed:
    lspo_input_close(input);
    return status;
}

lspo_status_t lspo_input_refuse_empty(const char *path)
{
    return lspo_error(LSPO_ERR_INPUT, "%s: the file is empty", path);
}

void lspo_input_close(lspo_input_t *input)
{
    if (!input)
        return;
    if (input->file)
        fclose(input->file);
    free(input->line);
    free(input->path);
    free(input);
}

lspo_status_t lspo_input_line(lspo_input_t *input, char **line_out, size_t *length_out)
{
    errno = 0;
    ssize_t got = getline(&input->line, &input->line_bytes, input->file);
    if (got < 0) {
        lspo_status_t status = why_it_ended(input, errno);
        if (status != LSPO_OK)
            return status;
        *line_out = NULL;
        *length_out = 0;
        return LSPO_OK;
    }
    size_t length = (size_t)got;
    lspo_status_t status = begin(input, input->line, &length);
    if (status != LSPO_OK)
        return status;
    input->bytes_read += (uint64_t)got;
    if (input->bytes_read > input->bytes_max)
        return too_large(input);
    input->line_number++;
    if (length > 0 && input->line[length - 1] == '\n')
        length--;
    if (length > 0 && input->line[length - 1] == '\r')
        length--;
    input->line[length] = '\0';
    *line_out = input->line;
    *length_out = length;
    return LSPO_OK;
}

uint64_t lspo_input_line_number(const lspo_input_t *input)
{
    return input->line_number;
}

/* Room for the rest of a regular file and one more byte, to detect its end with one read. */
static size_t first_capacity(const lspo_input_t *input)
{
    struct stat info;
    bool sized = fstat(fileno(input->file), &info) == 0 && (uint64_t)info.st_size > input->bytes_read;
    return (sized ? (size_t)((uint64_t)info.st_size - input->bytes_read) : 4096) + 2;
}

lspo_status_t lspo_input_read_all(lspo_input_t *input, char **text_out, size_t *length_out)
{
    size_t capacity = first_capacity(input), length = 0;
    char *text = malloc(capacity);
    while (text) {
        errno = 0;
        size_t asked = capacity - length - 1, got = fread(text + length, 1, asked, input->file);
        length += got;
        if (got < asked || length > input->bytes_max - input->bytes_read)
            break;
        char *larger = realloc(text, capacity * 2);
        if (!larger)
            free(text);
        text = larger;
        capacity *= 2;
    }
    lspo_status_t status = !text ? lspo_no_memory("%s", input->path) : why_it_ended(input, errno);
    if (status != LSPO_OK)
        goto failed;
    if (length > input->bytes_max - input->bytes_read) {
        status = too_large(input);
        goto failed;
    }
    text[length] = '\0';
    size_t kept = length;
    status = begin(input, text, &kept);
    if (status != LSPO_OK)
        goto failed;
    input->bytes_read += length;
    *text_out = text;
    *length_out = kept;
    return LSPO_OK;
failed:
    free(text);
    return status;
}

lspo_status_t lspo_input_read_file(const char *path, uint64_t bytes_max, char **text_out, size_t *length_out)
{
    lspo_input_t *input;
    lspo_status_t status = lspo_input_open(path, bytes_max, &input);
    if (status != LSPO_OK)
        return status;
    status = lspo_input_read_all(input, text_out, length_out);
    lspo_input_close(input);
    return status;
}
