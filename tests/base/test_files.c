/* Files that are read and written, and output from their contents: written completely or not at all, without waits,
 * without following links. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/folder_lock.h"
#include "base/input_file.h"
#include "base/output_file.h"
#include "base/printable.h"

/* Each test runs in a process and an empty folder of its own. */
static char folder[] = "/tmp/lspo-test-files-XXXXXX";

static void enter_folder(void)
{
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    cr_assert_not_null(freopen("messages", "w", stderr));
    umask(022);
}

static void leave_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_expect_eq(system(command), 0);
}

TestSuite(files, .init = enter_folder, .fini = leave_folder);

static void put(const char *path, const void *text, size_t length)
{
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(text, 1, length, file), length);
    cr_assert_eq(fclose(file), 0);
}

static void put_text(const char *path, const char *text)
{
    put(path, text, strlen(text));
}

static void expect_text(const char *path, const char *expected)
{
    char text[4096] = "";
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    cr_expect_str_eq(text, expected, "%s", path);
}

static void expect_message(const char *part)
{
    char text[4096] = "";
    fflush(stderr);
    FILE *file = fopen("messages", "r");
    cr_assert_not_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    cr_expect_not_null(strstr(text, part), "'%s' is not in: %s", part, text);
}

static mode_t mode_of(const char *path)
{
    struct stat info;
    cr_assert_eq(lstat(path, &info), 0, "%s", path);
    return info.st_mode & 07777;
}

/* Entries whose names begin with `prefix`. */
static int count_entries(const char *prefix)
{
    DIR *stream = opendir(".");
    cr_assert_not_null(stream);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    closedir(stream);
    return count;
}

static void write_through(const char *path, const char *text)
{
    lspo_output_t output;
    cr_assert_eq(lspo_output_open(path, &output), LSPO_OK, "%s", path);
    fputs(text, output.file);
    cr_assert_eq(lspo_output_finish(&output, LSPO_OK), LSPO_OK, "%s", path);
}

/* Writing */

Test(files, a_new_file_has_the_mode_of_the_umask_and_an_old_one_keeps_its_own)
{
    umask(027);
    write_through("new", "one\n");
    cr_expect_eq(mode_of("new"), 0640);
    put_text("secret", "old\n");
    chmod("secret", 0600);
    write_through("secret", "two\n");
    cr_expect_eq(mode_of("secret"), 0600);
    put_text("shared", "old\n");
    chmod("shared", 0664);
    write_through("shared", "three\n");
    cr_expect_eq(mode_of("shared"), 0664);
    expect_text("new", "one\n");
    expect_text("secret", "two\n");
    expect_text("shared", "three\n");
    cr_expect_eq(count_entries(LSPO_TEMPORARY_PREFIX), 0);
}

static void expect_link(const char *path, const char *target)
{
    char link[256] = "";
    cr_assert_gt(readlink(path, link, sizeof link - 1), 0, "%s is no link", path);
    cr_expect_str_eq(link, target);
}

Test(files, a_link_stays_and_its_target_is_replaced)
{
    mkdir("elsewhere", 0777);
    put_text("elsewhere/target", "old\n");
    cr_assert_eq(symlink("elsewhere/second", "first"), 0);
    cr_assert_eq(symlink("target", "elsewhere/second"), 0); /* relative to the folder that it lies in */
    write_through("first", "new\n");
    expect_link("first", "elsewhere/second");
    expect_link("elsewhere/second", "target");
    expect_text("elsewhere/target", "new\n");
    cr_assert_eq(symlink("elsewhere/made", "dangling"), 0);
    write_through("dangling", "made\n");
    expect_link("dangling", "elsewhere/made");
    expect_text("elsewhere/made", "made\n");
    cr_assert_eq(symlink("round", "round"), 0);
    lspo_output_t output;
    cr_expect_eq(lspo_output_open("round", &output), LSPO_ERR_IO);
}

Test(files, a_failure_leaves_the_old_file_and_nothing_else)
{
    put_text("kept", "old\n");
    lspo_output_t output;
    cr_assert_eq(lspo_output_open("kept", &output), LSPO_OK);
    fputs("half of a ", output.file);
    fflush(output.file);
    expect_text("kept", "old\n");
    cr_expect_eq(lspo_output_finish(&output, LSPO_ERR_CHECK), LSPO_ERR_CHECK);
    expect_text("kept", "old\n");
    cr_expect_eq(count_entries(LSPO_TEMPORARY_PREFIX), 0);
    cr_expect_eq(lspo_output_open("no/such/folder/file", &output), LSPO_ERR_IO);
    cr_expect_eq(lspo_output_open(".", &output), LSPO_ERR_IO);
    expect_message("cannot write .: Is a directory");
}

Test(files, a_file_that_may_not_be_written_is_refused)
{
    if (geteuid() == 0 && seteuid(65534) != 0)
        cr_skip_test("the superuser may write any file");
    char own[] = "/tmp/lspo-test-files-XXXXXX";
    cr_assert_not_null(mkdtemp(own));
    cr_assert_eq(chdir(own), 0);
    put_text("fixed", "old\n");
    chmod("fixed", 0444);
    lspo_output_t output;
    cr_expect_eq(lspo_output_open("fixed", &output), LSPO_ERR_IO);
    expect_text("fixed", "old\n");
    cr_expect(unlink("fixed") == 0 && rmdir(own) == 0);
}

Test(files, what_a_killed_program_left_is_swept_and_what_a_live_one_writes_is_not)
{
    put_text(LSPO_TEMPORARY_PREFIX "0123456789abcdef", "left behind");
    put_text(".lspo-something-else", "not a temporary");
    lspo_output_t live;
    cr_assert_eq(lspo_output_open("slow", &live), LSPO_OK);
    cr_expect_eq(count_entries(LSPO_TEMPORARY_PREFIX), 1, "only that of `slow` is left");
    write_through("quick", "quick\n");
    cr_expect_eq(count_entries(LSPO_TEMPORARY_PREFIX), 1);
    fputs("slow\n", live.file);
    cr_expect_eq(lspo_output_finish(&live, LSPO_OK), LSPO_OK);
    expect_text("slow", "slow\n");
    cr_expect_eq(count_entries(".lspo-something-else"), 1);
}

Test(files, a_link_named_like_a_temporary_is_not_followed)
{
    put_text("victim", "untouched\n");
    cr_assert_eq(symlink("victim", LSPO_TEMPORARY_PREFIX "0000000000000000"), 0);
    write_through("file", "text\n");
    expect_text("victim", "untouched\n");
}

Test(files, a_descriptor_is_written_where_it_stands)
{
    put_text("log", "first\n");
    int descriptor = open("log", O_WRONLY | O_APPEND);
    char path[64];
    snprintf(path, sizeof path, "/dev/fd/%d", descriptor);
    write_through(path, "second\n");
    cr_assert_eq(symlink(path, "link"), 0);
    write_through("link", "third\n");
    expect_text("log", "first\nsecond\nthird\n");
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[1]);
    write_through(path, "down the pipe");
    char got[32] = "";
    cr_expect_eq(read(ends[0], got, sizeof got - 1), 13);
    cr_expect_str_eq(got, "down the pipe");
    write_through("/dev/null", "away");
}

/* What is written into a pipe with a reader waits for room as ever: 1 MiB is more than a pipe holds. */
Test(files, a_named_pipe_is_written_with_a_reader_and_refused_without, .timeout = 10)
{
    enum { LINES = 1 << 17 };
    lspo_output_t output;
    cr_assert_eq(mkfifo("pipe", 0666), 0);
    cr_expect_eq(lspo_output_open("pipe", &output), LSPO_ERR_IO);
    expect_message("cannot write pipe: no process reads from this named pipe");
    int reader = open("pipe", O_RDONLY | O_NONBLOCK);
    cr_assert_geq(reader, 0);
    cr_assert_eq(lspo_output_open("pipe", &output), LSPO_OK);
    cr_assert_eq(fcntl(reader, F_SETFL, 0), 0);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < LINES; i++)
            fputs("1234567\n", output.file);
        _exit(lspo_output_finish(&output, LSPO_OK) == LSPO_OK ? 0 : 1);
    }
    cr_assert_gt(child, 0);
    cr_expect_eq(lspo_output_finish(&output, LSPO_OK), LSPO_OK); /* here nothing was written */
    char text[4096];
    ssize_t got, all = 0;
    while ((got = read(reader, text, sizeof text)) > 0)
        all += got;
    int ended = 1;
    cr_expect_eq(waitpid(child, &ended, 0), child);
    cr_expect_eq(ended, 0);
    cr_expect_eq(all, (ssize_t)LINES * 8);
    close(reader);
}

Test(files, a_full_disk_is_an_error_with_its_reason)
{
    if (access("/dev/full", W_OK) != 0)
        cr_skip_test("no /dev/full");
    lspo_output_t output;
    cr_assert_eq(lspo_output_open("/dev/full", &output), LSPO_OK);
    for (int i = 0; i < 100000; i++)
        fputs("more than a buffer\n", output.file);
    cr_expect_eq(lspo_output_finish(&output, LSPO_OK), LSPO_ERR_IO);
    expect_message("cannot write /dev/full: No space left on device");
}

/* Reading */

static lspo_input_t *open_input(const char *path, uint64_t bytes_max)
{
    lspo_input_t *input = NULL;
    cr_assert_eq(lspo_input_open(path, bytes_max, &input), LSPO_OK, "%s", path);
    return input;
}

static void expect_line(lspo_input_t *input, const char *expected, size_t length)
{
    char *line = NULL;
    size_t got = 0;
    cr_assert_eq(lspo_input_line(input, &line, &got), LSPO_OK);
    cr_assert_not_null(line, "no line where '%s' should be", expected);
    cr_expect_eq(got, length, "'%s': %zu bytes, not %zu", line, got, length);
    cr_expect_eq(memcmp(line, expected, length + 1), 0, "'%s' is not '%s'", line, expected);
}

static void expect_end(lspo_input_t *input)
{
    char *line = NULL;
    size_t length = 0;
    cr_expect_eq(lspo_input_line(input, &line, &length), LSPO_OK);
    cr_expect_null(line);
}

Test(files, lines_end_in_any_way_and_a_mark_is_skipped)
{
    static const char text[] = "\xef\xbb\xbf"
                               "one\r\ntwo\n\n\xef\xbb\xbfmark inside\nzero\0byte\nlast";
    put("lines", text, sizeof text - 1);
    lspo_input_t *input = open_input("lines", 1000);
    expect_line(input, "one", 3);
    expect_line(input, "two", 3);
    expect_line(input, "", 0);
    expect_line(input, "\xef\xbb\xbfmark inside", 14);
    expect_line(input, "zero\0byte", 9);
    expect_line(input, "last", 4);
    cr_expect_eq(lspo_input_line_number(input), 6);
    expect_end(input);
    expect_end(input);
    lspo_input_close(input);
    put_text("empty", "");
    input = open_input("empty", 0);
    expect_end(input);
    lspo_input_close(input);
}

static void expect_all(const char *path, const char *expected, size_t expected_length)
{
    lspo_input_t *input = open_input(path, 1 << 20);
    char *text = NULL;
    size_t length = 0;
    cr_assert_eq(lspo_input_read_all(input, &text, &length), LSPO_OK);
    cr_expect_eq(length, expected_length);
    cr_expect(length == expected_length && memcmp(text, expected, length + 1) == 0, "%s", path);
    free(text);
    lspo_input_close(input);
}

Test(files, what_git_lfs_leaves_in_a_file_s_place_is_refused_by_name)
{
    char said[200], *text = NULL;
    size_t length = 0;
    put_text("pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 11421896\n");
    lspo_input_t *input = open_input("pointer", 1000);
    lspo_messages_keep(said, sizeof said);
    cr_expect_eq(lspo_input_line(input, &text, &length), LSPO_ERR_INPUT);
    cr_expect(strstr(said, "pointer: a Git LFS pointer") && strstr(said, "git lfs pull"), "%s", said);
    lspo_input_close(input);
    lspo_messages_keep(said, sizeof said);
    cr_expect_eq(lspo_input_read_file("pointer", 1000, &text, &length), LSPO_ERR_INPUT);
    cr_expect(strstr(said, "a Git LFS pointer"), "%s", said);
    put_text("quoted", "one\nversion https://git-lfs.github.com/spec/v1\n");
    expect_all("quoted", "one\nversion https://git-lfs.github.com/spec/v1\n", 47);
}

Test(files, all_of_a_file_or_pipe_is_read)
{
    put("marked", "\xef\xbb\xbf{}\0\n", 7);
    expect_all("marked", "{}\0\n", 4);
    put_text("empty", "");
    expect_all("empty", "", 0);
    static char large[100001];
    memset(large, 'x', sizeof large - 1);
    put_text("large", large);
    expect_all("large", large, sizeof large - 1);
    int ends[2];
    char path[64];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], large, 10000), 10000);
    close(ends[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    large[10000] = '\0';
    expect_all(path, large, 10000);
}

Test(files, what_is_no_regular_file_is_refused_at_once, .timeout = 5)
{
    lspo_input_t *input = NULL;
    cr_assert_eq(mkfifo("pipe", 0666), 0);
    cr_expect_eq(lspo_input_open("pipe", 1000, &input), LSPO_ERR_INPUT);
    expect_message("pipe: not a regular file, but a named pipe");
    cr_expect_eq(lspo_input_open(".", 1000, &input), LSPO_ERR_INPUT);
    expect_message(".: not a regular file, but a folder");
    cr_expect_eq(lspo_input_open("/dev/zero", 1000, &input), LSPO_ERR_INPUT);
    expect_message("/dev/zero: not a regular file, but a device");
    cr_expect_eq(lspo_input_open("missing", 1000, &input), LSPO_ERR_INPUT);
    expect_message("missing: No such file or directory");
    cr_expect_eq(lspo_input_open("/dev/fd/999", 1000, &input), LSPO_ERR_INPUT);
}

Test(files, a_file_above_its_limit_is_refused)
{
    put_text("eleven", "0123456789\n");
    lspo_input_t *input = NULL;
    cr_expect_eq(lspo_input_open("eleven", 10, &input), LSPO_ERR_INPUT);
    expect_message("eleven: larger than 10 bytes");
    input = open_input("eleven", 11);
    expect_line(input, "0123456789", 10);
    lspo_input_close(input);
    int ends[2];
    char path[64], *text = NULL;
    size_t length;
    cr_assert_eq(pipe(ends), 0);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    cr_assert_eq(write(ends[1], "0123456789\n", 11), 11);
    input = open_input(path, 10);
    cr_expect_eq(lspo_input_line(input, &text, &length), LSPO_ERR_INPUT);
    lspo_input_close(input);
    cr_assert_eq(write(ends[1], "0123456789\n", 11), 11);
    close(ends[1]);
    input = open_input(path, 10);
    cr_expect_eq(lspo_input_read_all(input, &text, &length), LSPO_ERR_INPUT);
    lspo_input_close(input);
}

/* Messages */

Test(files, text_for_people_moves_no_cursor)
{
    static const struct {
        const char *text, *printed;
    } cases[] = {
        {"plain, with a \\ and a ~", "plain, with a \\ and a ~"},
        {"gr\xc3\xbc\xc3\x9f \xe6\xbc\xa2 \xf0\x9f\x98\x80", "gr\xc3\xbc\xc3\x9f \xe6\xbc\xa2 \xf0\x9f\x98\x80"},
        {"\033[31mred\033]0;title\a", "\\x1b[31mred\\x1b]0;title\\x07"},
        {"a\nb\rc\td\x7f", "a\\nb\\rc\\td\\x7f"},
        {"\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m"},                                 /* C1: another escape */
        {"\xff\xfe latin \xe9", "\\xff\\xfe latin \\xe9"}, /* not UTF-8          */
        {"\xc0\x80 \xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82",
         "\\xc0\\x80 \\xed\\xa0\\x80 \\xf4\\x90\\x80\\x80 \\xe2\\x82"},
        {"\xe2\x80\xae"
         "desrever",
         "\\xe2\\x80\\xaedesrever"}, /* U+202E */
    };
    char buffer[256];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_eq(lspo_printable(cases[i].text, buffer, sizeof buffer), strlen(cases[i].printed));
        cr_expect_str_eq(buffer, cases[i].printed);
    }
    lspo_valid_utf8("\033\xff\n", buffer, sizeof buffer);
    cr_expect_str_eq(buffer, "\033\\xff\n");
}

Test(files, what_is_too_long_is_cut_between_characters)
{
    static const char text[] = "ab\xc3\xbc\033yz";
    for (size_t capacity = 4; capacity <= 16; capacity++) {
        char buffer[16 + 8];
        memset(buffer, '#', sizeof buffer);
        size_t length = lspo_printable(text, buffer, capacity);
        cr_expect(length < capacity && buffer[length] == '\0' && buffer[capacity] == '#', "%zu", capacity);
        static const char *const expected[] = {"...", "a...", "ab...", "ab...", "ab\xc3\xbc...", "ab\xc3\xbc..."};
        if (capacity < 10)
            cr_expect_str_eq(buffer, expected[capacity - 4]);
        if (capacity >= 11)
            cr_expect_str_eq(buffer, "ab\xc3\xbc\\x1byz");
    }
}

Test(files, an_error_message_is_one_harmless_line)
{
    cr_expect_eq(lspo_error(LSPO_ERR_INPUT, "%s", "x\033[2J\nlspo: warning: made up"), LSPO_ERR_INPUT);
    fflush(stderr);
    expect_text("messages", "lspo: error: x\\x1b[2J\\nlspo: warning: made up\n");
    char large[5000];
    memset(large, '\001', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    lspo_warn("%s", large);
    expect_message("\\x01...\n");
}

/* Who resumes right behind a kill meets the killed process, which still gives its memory back. */
Test(files, a_lock_of_one_who_is_ending_is_waited_for)
{
    int lock = -1, ready[2];
    char byte;
    cr_assert_eq(mkdir("run", 0700), 0);
    cr_assert_eq(pipe(ready), 0);
    pid_t holder = fork();
    cr_assert_geq(holder, 0);
    if (holder == 0) {
        const struct timespec a_while = {.tv_nsec = 200000000};
        if (lspo_folder_lock("run", "training", &lock) == LSPO_OK && write(ready[1], "x", 1) == 1)
            nanosleep(&a_while, NULL);
        _exit(0);
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_expect_eq(lspo_folder_lock("run", "training", &lock), LSPO_OK);
    int second = open("run", O_RDONLY | O_DIRECTORY);
    cr_expect_not(lspo_lock_take(second), "this process holds it on");
    close(second);
    close(lock);
    cr_expect_eq(waitpid(holder, NULL, 0), holder);
}
