/* sqlite.h - the functions of SQLite, whose library is opened when it is first needed.
 *
 *     const lspo_sqlite_t *sqlite;
 *     status = lspo_sqlite_load("a database", &sqlite);
 *     sqlite->open_v2(...);
 */
#ifndef LSPO_BASE_SQLITE_H
#define LSPO_BASE_SQLITE_H

#include "base/status.h"

#ifdef LSPO_SQLITE

#include <sqlite3.h>

#define LSPO_SQLITE_FUNCTIONS(F)                                                                                       \
    F(aggregate_context)                                                                                               \
    F(bind_double)                                                                                                     \
    F(bind_int64)                                                                                                      \
    F(bind_null)                                                                                                       \
    F(bind_parameter_count)                                                                                            \
    F(bind_text)                                                                                                       \
    F(close)                                                                                                           \
    F(column_count)                                                                                                    \
    F(column_double)                                                                                                   \
    F(column_name)                                                                                                     \
    F(column_text)                                                                                                     \
    F(column_type)                                                                                                     \
    F(create_function)                                                                                                 \
    F(db_config)                                                                                                       \
    F(errmsg)                                                                                                          \
    F(error_offset)                                                                                                    \
    F(exec)                                                                                                            \
    F(finalize)                                                                                                        \
    F(hard_heap_limit64)                                                                                               \
    F(limit)                                                                                                           \
    F(open_v2)                                                                                                         \
    F(prepare_v2)                                                                                                      \
    F(progress_handler)                                                                                                \
    F(reset)                                                                                                           \
    F(result_double)                                                                                                   \
    F(result_error)                                                                                                    \
    F(result_error_nomem)                                                                                              \
    F(result_text)                                                                                                     \
    F(result_value)                                                                                                    \
    F(set_authorizer)                                                                                                  \
    F(step)                                                                                                            \
    F(user_data)                                                                                                       \
    F(value_double)                                                                                                    \
    F(value_dup)                                                                                                       \
    F(value_free)                                                                                                      \
    F(value_text)                                                                                                      \
    F(value_type)

/* sqlite3_NAME() as `name`. */
typedef struct {
#define LSPO_SQLITE_FUNCTION(name) __typeof__(sqlite3_##name) *name;
    LSPO_SQLITE_FUNCTIONS(LSPO_SQLITE_FUNCTION)
#undef LSPO_SQLITE_FUNCTION
} lspo_sqlite_t;

/* LSPO_ERR_INPUT if the library is not installed or too old; `what` needs it ("a database"), for the message. */
lspo_status_t lspo_sqlite_load(const char *what, const lspo_sqlite_t **sqlite_out);

#endif
#endif
