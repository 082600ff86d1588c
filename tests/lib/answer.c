/* answer.c - print the answers to requests, for tests/test_library.sh; the locale is the environment's. */
#include <locale.h>
#include <stdio.h>

#include <lspo.h>

int main(int argc, char **argv)
{
    int failed = 0;
    if (setlocale(LC_ALL, "") == NULL)
        return 77;
    for (int i = 1; i < argc; i++) {
        char *answer = NULL;
        failed |= lspo_predict_json(argv[i], &answer) != LSPO_DONE;
        fputs(answer, stdout);
        lspo_free(answer);
    }
    return failed;
}
