/* A process that comes, and is there, leaves, or is ended by a signal. */
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/presence.h"
#include "tests/own_folder.h"

TestSuite(presence, .init = make_folder, .fini = remove_folder);

/* A child that is there when this returns; it leaves when it may read from *go_out. */
static pid_t start(const char *path, int *go_out)
{
    int go[2], ready[2];
    char byte = 0;
    cr_assert(pipe(go) == 0 && pipe(ready) == 0);
    const pid_t child = fork();
    if (child == 0) {
        const int held = lspo_presence_come(path);
        close(go[1]);
        (void)!write(ready[1], &byte, 1);
        (void)!read(go[0], &byte, 1);
        lspo_presence_leave(held);
        _exit(0);
    }
    close(go[0]);
    close(ready[1]);
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    *go_out = go[1];
    return child;
}

static void expect_end(const char *path, bool killed)
{
    int go;
    cr_expect_eq(lspo_presence_look(path), LSPO_PRESENCE_UNKNOWN);
    const pid_t child = start(path, &go);
    cr_expect_eq(lspo_presence_look(path), LSPO_PRESENCE_HERE);
    if (killed)
        kill(child, SIGKILL);
    close(go);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_expect_eq(lspo_presence_look(path), killed ? LSPO_PRESENCE_LOST : LSPO_PRESENCE_LEFT);
    lspo_presence_forget(path);
    cr_expect_eq(lspo_presence_look(path), LSPO_PRESENCE_UNKNOWN);
}

Test(presence, tells_what_became_of_a_process)
{
    char path[256];
    snprintf(path, sizeof path, "%s/rank", folder);
    for (int again = 0; again < 3; again++) {
        expect_end(path, false);
        expect_end(path, true);
    }
}

/* Without a file nothing is known, and nothing fails. */
Test(presence, of_no_file_nothing_is_known)
{
    const int held = lspo_presence_come("/nowhere/rank");
    cr_expect_eq(held, -1);
    lspo_presence_leave(held);
    lspo_presence_forget("/nowhere/rank");
    cr_expect_eq(lspo_presence_look("/nowhere/rank"), LSPO_PRESENCE_UNKNOWN);
}
