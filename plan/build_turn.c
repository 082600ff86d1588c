/* build_turn.c - the renewals of Adam's bases under lsp, and the copies of T where the GPU turns gradients into them;
 * see plan/adam_basis.h. */
#include "plan/build_parts.h"

/* The stage's APPLY of this step is the last op that needs the T before. */
static void send_bases(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t renewed)
{
    lspo_build_stage_t *st = &b->stages[stage];
    st->turned = lspo_build_op(b, LSPO_OP_H2D, LSPO_VARIANT_RENEW, stage, iteration);
    lspo_build_depend(b, renewed);
    lspo_build_depend(b, st->ready);
}

static bool has_bases(const lspo_builder_t *b, uint32_t stage)
{
    return lspo_build_is_sent(b, stage) && b->stages[stage].message.linear_count > 0;
}

static lspo_op_id_t renew(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t previous)
{
    lspo_op_id_t id = lspo_build_emit(b, &(lspo_new_op_t){.kind = LSPO_OP_UPD,
                                                          .variant = LSPO_VARIANT_RENEW,
                                                          .stage = stage,
                                                          .iteration = iteration,
                                                          .tail = TAIL_APART});
    lspo_build_depend(b, b->stages[stage].updated);
    lspo_build_depend(b, previous);
    return b->stages[stage].renewed = id;
}

/* No update of this step waits for a renewal: those begin after the last of them, deepest stage first, as the next
 * step's COMPRESS needs them. */
void lspo_build_renew(lspo_builder_t *b, uint32_t iteration)
{
    lspo_op_id_t previous = LSPO_NO_OP;
    if (!lspo_plan_renews_apart(b->plan))
        return;
    for (uint32_t s = 0; s < b->stage_count && previous == LSPO_NO_OP; s++)
        previous = has_bases(b, s) ? b->stages[s].updated : LSPO_NO_OP;
    for (uint32_t s = b->stage_count; s-- > 0;) {
        if (!has_bases(b, s))
            continue;
        bool renews = lspo_plan_renews_adam_basis(b->plan, s, iteration);
        if (renews)
            previous = renew(b, iteration, s, previous);
        if (b->stages[s].turn_bytes > 0 && (renews || !lspo_plan_turns_on_gpu(b->plan, iteration)))
            send_bases(b, iteration, s, renews ? previous : b->stages[s].updated);
    }
}
