/* main.c - the command `lspo`: --version so far. */
#include <stdio.h>
#include <string.h>

#include "cli/version.h"

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("lspo %s (%s, %s)\n", PACKAGE_VERSION, LSPO_GIT_ID, LSPO_CONFIGURATION);
        return 0;
    }
    fprintf(stderr, "usage: lspo --version\n");
    return 2;
}
