/* sqlite.c - see sqlite.h. */
#include "base/sqlite.h"

#ifdef LSPO_SQLITE

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

static lspo_sqlite_t functions;

static const struct {
    const char *name;
    size_t offset_bytes;
} names[] = {
#define NAME(name) {"sqlite3_" #name, offsetof(lspo_sqlite_t, name)},
    LSPO_SQLITE_FUNCTIONS(NAME)
#undef NAME
};

lspo_status_t lspo_sqlite_load(const char *what, const lspo_sqlite_t **sqlite_out)
{
    void *library = dlopen(LSPO_SQLITE, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return lspo_error(LSPO_ERR_INPUT, "%s needs SQLite, which is not installed (Debian: libsqlite3-0)", what);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        void *function = dlsym(library, names[i].name);
        if (function == NULL)
            return lspo_error(LSPO_ERR_INPUT, "%s needs SQLite 3.38 or newer: %s has no %s", what, LSPO_SQLITE,
                              names[i].name);
        memcpy((char *)&functions + names[i].offset_bytes, &function, sizeof function);
    }
    *sqlite_out = &functions;
    return LSPO_OK;
}

#endif
