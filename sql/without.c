/* without.c - script.h in a build without SQLite. */
#include "sql/script.h"

lspo_status_t lspo_sql_run(const lspo_sql_script_t *script)
{
    return lspo_error(LSPO_ERR_INPUT,
                      "%s cannot be run: this lspo was built without SQLite (Debian: libsqlite3-dev, then build again)",
                      script->path);
}
