/* fuzz.h - targets of fuzzing: one file a parser, NAME.c, with the entry that libFuzzer calls and its seeds in
 * seeds/NAME/.
 *
 * `make check` links all of them into tests/test_fuzz, which plays the seeds and a fixed number of mutations of them,
 * the same each time; `make check-fuzz` gives each to libFuzzer, with clang and its sanitizers.  A target has nothing
 * to compare with: it asks that whatever bytes are read, the parser returns, keeps to its memory and gives it back.
 */
#ifndef LSPO_TESTS_FUZZ_H
#define LSPO_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A folder of this process, removed when it ends. */
const char *fuzz_folder(void);
/* The bytes as FOLDER/NAME, written anew by each call; the path lives until the next. */
const char *fuzz_file(const char *name, const uint8_t *data, size_t size);
/* FOLDER/NAME and all below it. */
void fuzz_remove(const char *name);

#endif
