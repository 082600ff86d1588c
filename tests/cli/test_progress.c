/* Progress and messages share the terminal: each message begins on an empty line, and the bar returns after it. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "base/status.h"
#include "cli/progress.h"

/* As on a terminal, more than 2 s after the start. */
static lspo_progress_t begin(void)
{
    lspo_progress_t progress;
    lspo_progress_start(&progress);
    progress.terminal = true;
    progress.start_ns = 0;
    return progress;
}

Test(progress, a_message_wipes_the_bar, .init = cr_redirect_stderr)
{
    lspo_progress_t progress = begin();
    lspo_progress_update(&progress, "plays", 1, 2);
    lspo_warn("disturbed");
    lspo_warn("again");
    lspo_progress_update(&progress, "plays", 2, 2);
    lspo_progress_end(&progress);
    lspo_error(LSPO_ERR_IO, "late");
    cr_assert_stderr_eq_str("\r[###############               ] 1/2 plays\033[K"
                            "\r\033[Klspo: warning: disturbed\n"
                            "lspo: warning: again\n"
                            "\r[##############################] 2/2 plays\033[K"
                            "\r\033[K"
                            "lspo: error: late\n");
}

Test(progress, nothing_is_shown_before_two_seconds_or_without_a_terminal, .init = cr_redirect_stderr)
{
    lspo_progress_t progress = begin();
    lspo_progress_t young = progress, piped = progress;
    lspo_progress_start(&young);
    young.terminal = true;
    lspo_progress_update(&young, "plays", 1, 2);
    piped.terminal = false;
    lspo_progress_update(&piped, "plays", 1, 2);
    lspo_progress_line(&piped, "step 1");
    lspo_progress_end(&progress);
    lspo_warn("alone");
    cr_assert_stderr_eq_str("lspo: warning: alone\n");
}
