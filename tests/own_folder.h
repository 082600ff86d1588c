/* own_folder.h - an empty folder for each test, removed after it:
 *
 *     TestSuite(name, .init = make_folder, .fini = remove_folder);
 */
#ifndef LSPO_TESTS_OWN_FOLDER_H
#define LSPO_TESTS_OWN_FOLDER_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char folder[64];

static void make_folder(void)
{
    strcpy(folder, "/tmp/lspo-test-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_assert_eq(system(command), 0);
}

/* Write a file in the folder; its path, valid until the call after the next. */
static inline const char *own_file(const char *name, const char *text)
{
    static char paths[2][256];
    static int turn;
    char *path = paths[turn++ & 1];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
    return path;
}

#endif
