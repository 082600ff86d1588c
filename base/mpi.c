/* mpi.c - see mpi.h. */
#include "base/mpi.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char plugin_name[] = "liblspo-mpi.so";

/* ---- starting ---- */

static long number_of(const char *name)
{
    const char *text = getenv(name);
    return text != NULL ? strtol(text, NULL, 10) : 0;
}

bool lspo_mpi_is_launched(void)
{
    return number_of("OMPI_COMM_WORLD_SIZE") > 1 || number_of("PMI_SIZE") > 1 ||
           (number_of("SLURM_STEP_NUM_TASKS") > 1 && (getenv("PMIX_RANK") != NULL || getenv("PMI_RANK") != NULL));
}

/* In the build folder beside the program; installed in ../lib/lspo. */
static void *open_plugin(void)
{
    static const char *const places[] = {"", "../lib/lspo/"};
    char program[PATH_MAX], path[PATH_MAX + 64];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    void *library = NULL;
    if (length <= 0)
        return NULL;
    program[length] = '\0';
    *(strrchr(program, '/') + 1) = '\0';
    for (size_t i = 0; library == NULL && i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, sizeof path, "%s%s%s", program, places[i], plugin_name);
        /* MPI finds its own parts only if its symbols are global. */
        library = access(path, F_OK) == 0 ? dlopen(path, RTLD_NOW | RTLD_GLOBAL) : NULL;
    }
    return library;
}

static long first_of(const char *const *names, long otherwise)
{
    for (; *names != NULL; names++)
        if (getenv(*names) != NULL)
            return number_of(*names);
    return otherwise;
}

void lspo_mpi_local(uint32_t *rank_out, uint32_t *count_out)
{
    static const char *const ranks[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID", NULL};
    static const char *const counts[] = {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_TASKS_PER_NODE",
                                         NULL}; /* Slurm: "4(x2)", of its first machine */
    const long count = first_of(counts, 1), rank = first_of(ranks, 0);
    *rank_out = rank > 0 ? (uint32_t)rank : 0;
    *count_out = count > *rank_out ? (uint32_t)count : *rank_out + 1;
}

lspo_status_t lspo_mpi_open(const char *otherwise, const lspo_mpi_t **mpi_out)
{
    const lspo_mpi_t *(*functions)(void) = NULL;
    void *library = open_plugin(), *symbol = library != NULL ? dlsym(library, LSPO_MPI_SYMBOL) : NULL;
    if (symbol == NULL)
        return lspo_error(LSPO_ERR_INPUT, "an MPI launcher has started lspo, but %s cannot be opened (%s)%s",
                          plugin_name, library == NULL ? "was it built with MPI?" : "it is of another version",
                          otherwise);
    memcpy(&functions, &symbol, sizeof symbol);
    *mpi_out = functions();
    return LSPO_OK;
}
