/* gnuplot.c - see gnuplot.h. */
#include "cli/gnuplot.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/data_folder.h"

static const char *plot_format(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && strcmp(dot, ".svg") == 0 ? "svg" : dot && strcmp(dot, ".png") == 0 ? "png" : NULL;
}

/* gnuplot's exit status; 127 when there is none. */
static int run_gnuplot(const char *settings, const char *script)
{
    int state = 0;
    pid_t child = fork();
    if (child == 0) {
        execlp("gnuplot", "gnuplot", "-e", settings, script, (char *)NULL);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &state, 0) < 0 && errno == EINTR) {
    }
    return child > 0 && WIFEXITED(state) ? WEXITSTATUS(state) : 127;
}

lspo_status_t lspo_gnuplot_check(const char *path)
{
    if (plot_format(path) == NULL)
        return lspo_error(LSPO_ERR_INPUT, "the picture '%s': its name must end in .svg or .png", path);
    if (run_gnuplot("exit", "/dev/null") != 0)
        return lspo_error(LSPO_ERR_INPUT, "--plot needs gnuplot, which is not installed (Debian: gnuplot-nox)");
    return LSPO_OK;
}

/* Append name='text'; gnuplot reads '' in a text as one '. */
static void add_setting(FILE *settings, const char *name, const char *text)
{
    fprintf(settings, "%s='", name);
    for (; *text != '\0'; text++)
        fputs(*text == '\'' ? "''" : (char[]){*text, '\0'}, settings);
    fputs("'; ", settings);
}

lspo_status_t lspo_gnuplot_draw(const char *script, const char *path, const lspo_gnuplot_variable_t *variables,
                                size_t count)
{
    char *text = NULL, data[PATH_MAX], plots[PATH_MAX + 16], script_path[PATH_MAX + 64];
    size_t length;
    lspo_status_t status = lspo_data_folder(data);
    if (status != LSPO_OK)
        return status;
    snprintf(plots, sizeof plots, "%s/plots", data);
    snprintf(script_path, sizeof script_path, "%s/%s", plots, script);
    FILE *settings = open_memstream(&text, &length);
    if (settings == NULL)
        return lspo_no_memory("calling gnuplot");
    add_setting(settings, "format", plot_format(path));
    add_setting(settings, "target", path);
    add_setting(settings, "plots", plots);
    for (size_t i = 0; i < count; i++)
        add_setting(settings, variables[i].name, variables[i].text);
    bool written = fclose(settings) == 0;
    if (!written)
        status = lspo_no_memory("calling gnuplot");
    else if (run_gnuplot(text, script_path) != 0)
        status = lspo_error(LSPO_ERR_IO, "gnuplot failed on %s", script_path);
    free(text);
    return status;
}
