/* jinja.h - bring a Jinja template into one notation, to compare its expressions. */
#ifndef LSPO_REAL_DATA_JINJA_H
#define LSPO_REAL_DATA_JINJA_H

#include "base/buffer.h"

/* Append the template's tags without blanks outside of strings, with ' as the only quote (\' and \- are a quote and a
 * backslash in a string) and with other escapes replaced by their characters, message['role'] for message.role, and
 * 'ab' for 'a' + 'b'; comments are left out.  `outside_out` gets the text outside of tags as Hugging Face's environment
 * writes it (trim_blocks, lstrip_blocks). */
lspo_status_t lspo_jinja_canonical(const char *jinja, lspo_buffer_t *tags_out, lspo_buffer_t *outside_out);

/* The end of the tag at `tag` in such a text. */
const char *lspo_jinja_tag_end(const char *tag);

#endif
