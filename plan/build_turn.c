/* build_turn.c - the renewals of Adam's bases where the GPU turns gradients into them; see plan/adam_basis.h. */
#include "plan/build_parts.h"

/* The stage's APPLY of this step is the last op that needs the T before. */
static void send_bases(lspo_builder_t *b, uint32_t iteration, uint32_t stage, lspo_op_id_t renewed)
{
    lspo_build_stage_t *st = &b->stages[stage];
    st->turned = lspo_build_op(b, LSPO_OP_H2D, LSPO_VARIANT_RENEW, stage, iteration);
    lspo_build_depend(b, renewed);
    lspo_build_depend(b, st->ready);
}

/* No update of this step waits for a renewal: those begin after the last of them, deepest stage first, as the next
 * step's COMPRESS needs them. */
void lspo_build_renew(lspo_builder_t *b, uint32_t iteration)
{
    lspo_op_id_t previous = LSPO_NO_OP;
    for (uint32_t s = 0; s < b->stage_count && previous == LSPO_NO_OP; s++)
        previous = b->stages[s].turn_bytes > 0 ? b->stages[s].updated : LSPO_NO_OP;
    for (uint32_t s = b->stage_count; s-- > 0;) {
        lspo_op_id_t renewed = b->stages[s].updated;
        if (b->stages[s].turn_bytes == 0)
            continue;
        if (lspo_plan_renews_adam_basis(b->plan, s, iteration)) {
            renewed = lspo_build_emit(b, &(lspo_new_op_t){.kind = LSPO_OP_UPD,
                                                          .variant = LSPO_VARIANT_RENEW,
                                                          .stage = s,
                                                          .iteration = iteration,
                                                          .tail = TAIL_TURN});
            lspo_build_depend(b, b->stages[s].updated);
            lspo_build_depend(b, previous);
            previous = renewed;
        } else if (lspo_plan_turns_on_gpu(b->plan, iteration)) {
            continue;
        }
        send_bases(b, iteration, s, renewed);
    }
}
