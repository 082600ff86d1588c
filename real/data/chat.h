/* chat.h - write a conversation as the chat template of a model's folder does, and convert it to tokens.
 *
 * The tokens are those of transformers' apply_chat_template(), with one difference: what the messages say never becomes
 * a special token.  The answers are the texts of the assistant's turns with the token that ends each of them.  A token
 * that is partly answer (a space and the first letters) is one of the answer. */
#ifndef LSPO_REAL_DATA_CHAT_H
#define LSPO_REAL_DATA_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "real/data/chat_template.h"
#include "real/data/encoder.h"

typedef struct lspo_chat lspo_chat_t;

typedef struct {
    lspo_role_t role;
    const char *text; /* may contain zero bytes */
    size_t bytes;
    bool counts; /* of an assistant's turn: in the loss */
} lspo_chat_message_t;

/* Tokens from `begin` to before `end`. */
typedef struct {
    uint32_t begin, end;
} lspo_answer_t;

typedef struct {
    lspo_tokens_t tokens;
    lspo_answer_t *answers; /* of the turns that count, in order */
    size_t answer_count, answer_capacity;
    bool lost_system; /* the template left the system message out */
} lspo_chat_tokens_t;

/* Where the template comes from. */
typedef struct {
    const char *folder;          /* of the model; NULL: none, so that the template is "plain" */
    const char *name;            /* of --chat-template; NULL: the folder's, or "plain" if it has none */
    lspo_tokenizer_t *tokenizer; /* NULL: bytes */
} lspo_chat_source_t;

/* LSPO_ERR_INPUT if there is no template of that name, or if the folder's is not known.  Says with a warning what the
 * user should know of the template: that the folder has none, or that the date in it is not today's. */
lspo_status_t lspo_chat_open(const lspo_chat_source_t *source, lspo_chat_t **chat_out);
void lspo_chat_close(lspo_chat_t *chat);
const char *lspo_chat_name(const lspo_chat_t *chat);

/* Why the template has no form for these messages, or NULL; static. */
const char *lspo_chat_refusal(const lspo_chat_t *chat, const lspo_chat_message_t *messages, size_t count);
/* The tokens of a conversation that the template does not refuse; replaces what `out` has.  The owner of `out` calls
 * lspo_chat_tokens_release(). */
lspo_status_t lspo_chat_encode(lspo_chat_t *chat, const lspo_encoder_t *encoder, const lspo_chat_message_t *messages,
                               size_t count, lspo_chat_tokens_t *out);
/* The same of one that ends with a question, up to where its answer begins. */
lspo_status_t lspo_chat_encode_question(lspo_chat_t *chat, const lspo_encoder_t *encoder,
                                        const lspo_chat_message_t *messages, size_t count, lspo_chat_tokens_t *out);
/* The token that ends an answer; LSPO_NO_TOKEN if the tokenizer lacks it. */
uint32_t lspo_chat_answer_end(const lspo_chat_t *chat);
void lspo_chat_tokens_release(lspo_chat_tokens_t *out);

#endif
