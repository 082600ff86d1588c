/* fuzz_main.c - tests/test_fuzz: seeds of every target, and mutations of them that are the same in every run.
 *
 *     tests/test_fuzz [NAME...]      these targets; all without
 *
 * Each target has a process of its own.  One that crashes, takes more than SECONDS_MAX for an input or leaves memory
 * behind (under AddressSanitizer) fails, and the input is kept as ./fuzz-NAME. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#include "tests/fuzz/fuzz.h"

enum { MUTATIONS = 2000, SEEDS_MAX = 64, SECONDS_MAX = 5, BYTES_MAX = 1 << 16 };

typedef int target_function_t(const uint8_t *data, size_t size);
typedef struct {
    const char *name;
    target_function_t *run;
} target_t;

/* FUZZ_TARGETS(F) is F(NAME) for each, from tests/local.am. */
#define DECLARE(name) target_function_t fuzz_##name;
FUZZ_TARGETS(DECLARE)
#define ROW(name) {#name, fuzz_##name},
static const target_t targets[] = {FUZZ_TARGETS(ROW)};
enum { TARGET_COUNT = sizeof targets / sizeof targets[0] };

typedef struct {
    uint8_t bytes[BYTES_MAX];
    size_t size;
} input_t;

/* What is being read now, for the message of a crash. */
static struct {
    const target_t *target;
    const input_t *input;
    const char *seed;
    unsigned mutation;
    int messages; /* a copy of stderr, which the parsers' own messages do not reach */
} now;

static void keep_input(int signal_number)
{
    char path[64];
    snprintf(path, sizeof path, "fuzz-%s", now.target->name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file >= 0 && write(file, now.input->bytes, now.input->size) >= 0)
        close(file);
    dprintf(now.messages, "FAIL %s: %s, mutation %u: %s; the input is kept as %s\n", now.target->name, now.seed,
            now.mutation, signal_number == SIGALRM ? "takes too long" : strsignal(signal_number), path);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* ---- mutations: a function of seed and number ---- */

static uint32_t draw(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)((*state >> 33) % below);
}

/* What parsers stumble over: ends of ranges, signs, quotes, what closes without having been opened. */
static const char *const words[] = {"0",
                                    "-1",
                                    "99999999999999999999",
                                    "1e999",
                                    "nan",
                                    "-inf",
                                    "\"",
                                    "\\u0000",
                                    "\n",
                                    "\r\n",
                                    ",",
                                    "=",
                                    "[",
                                    "]",
                                    "{",
                                    "}",
                                    "null",
                                    "#",
                                    "\xef\xbb\xbf",
                                    "\xff",
                                    "GiB",
                                    "1e-9",
                                    "\\",
                                    ":",
                                    "true",
                                    "\t",
                                    "--",
                                    "*",
                                    ";",
                                    "'",
                                    "0x1",
                                    " "};

static void put(input_t *input, size_t at, const void *bytes, size_t count)
{
    if (input->size + count > BYTES_MAX)
        return;
    memmove(input->bytes + at + count, input->bytes + at, input->size - at);
    memcpy(input->bytes + at, bytes, count);
    input->size += count;
}

static void cut(input_t *input, size_t at, size_t count)
{
    memmove(input->bytes + at, input->bytes + at + count, input->size - at - count);
    input->size -= count;
}

static void change(input_t *input, uint64_t *state)
{
    const size_t at = draw(state, (uint32_t)input->size + 1), rest = input->size - at;
    const size_t some = rest > 0 ? 1 + draw(state, (uint32_t)(rest < 32 ? rest : 32)) : 0;
    uint8_t piece[32];
    switch (draw(state, 6)) {
    case 0:
        if (rest > 0)
            input->bytes[at] ^= (uint8_t)(1U << draw(state, 8));
        break;
    case 1:
        if (rest > 0)
            input->bytes[at] = (uint8_t)draw(state, 256);
        break;
    case 2:
        cut(input, at, some);
        break;
    case 3:
        memcpy(piece, input->bytes + at, some);
        put(input, draw(state, (uint32_t)input->size + 1), piece, some);
        break;
    case 4: {
        const char *word = words[draw(state, sizeof words / sizeof words[0])];
        put(input, at, word, strlen(word));
        break;
    }
    default: /* the end is missing */
        input->size = draw(state, 8) == 0 ? at : input->size;
    }
}

/* ---- a target ---- */

static bool read_seed(const char *folder, const char *name, input_t *seed)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    seed->size = fread(seed->bytes, 1, BYTES_MAX, file);
    const bool whole = fgetc(file) == EOF;
    fclose(file);
    if (!whole)
        dprintf(now.messages, "%s: a seed has at most %d bytes\n", path, BYTES_MAX);
    return whole;
}

static void play(const input_t *input, unsigned mutation)
{
    now.input = input;
    now.mutation = mutation;
    alarm(SECONDS_MAX);
    now.target->run(input->bytes, input->size);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_seed(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* The number of seeds; a parser without is not tested. */
static int play_all(const char *folder)
{
    static input_t seeds[SEEDS_MAX], input;
    struct dirent **entries;
    int count = scandir(folder, &entries, is_seed, by_name);
    if (count < 1 || count > SEEDS_MAX) {
        dprintf(now.messages, "FAIL %s: 1 to %d seeds are wanted in %s\n", now.target->name, SEEDS_MAX, folder);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        now.seed = entries[i]->d_name;
        if (!read_seed(folder, now.seed, &seeds[i]))
            return 1;
        play(&seeds[i], 0);
    }
    for (unsigned mutation = 1; mutation <= MUTATIONS; mutation++) {
        uint64_t state = mutation;
        const int from = (int)draw(&state, (uint32_t)count);
        now.seed = entries[from]->d_name;
        input = seeds[from];
        for (uint32_t changes = 1 + draw(&state, 6); changes > 0; changes--)
            change(&input, &state);
        play(&input, mutation);
    }
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return 0;
}

static int run_target(const target_t *target)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM};
    const char *source = getenv("LSPO_SOURCE");
    char folder[512];
    snprintf(folder, sizeof folder, "%s/tests/fuzz/seeds/%s", source ? source : "..", target->name);
    now.target = target;
    now.messages = dup(STDERR_FILENO);
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++)
        signal(fatal[i], keep_input);
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDERR_FILENO);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_set_report_fd((void *)(intptr_t)now.messages);
#else
    setrlimit(RLIMIT_AS, &(struct rlimit){.rlim_cur = 4UL << 30, .rlim_max = RLIM_INFINITY});
#endif
    dup2(nowhere, STDOUT_FILENO);
    return play_all(folder);
}

static bool is_named(const target_t *target, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], target->name) == 0)
            return true;
    return argc == 1;
}

int main(int argc, char **argv)
{
    int failures = 0;
    for (int i = 0; i < TARGET_COUNT; i++) {
        if (!is_named(&targets[i], argc, argv))
            continue;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0)
            exit(run_target(&targets[i]));
        int state = -1;
        if (child < 0 || waitpid(child, &state, 0) != child)
            state = -1;
        printf("%-12s %s\n", targets[i].name, state == 0 ? "passed" : "FAILED");
        failures += state != 0;
    }
    return failures > 0;
}
