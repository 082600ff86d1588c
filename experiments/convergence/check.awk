FNR == 1 {
    csv_header($0)
    printf "  %-14s %6s %12s %10s %10s\n", "policy", "steps", "ms/step", "s", "held-out"
    next
}
{
    csv_row($0)
    policy = get("policy"); steps = get("steps") + 0
    if (!(policy in loss)) before = get("held_out_before")
    loss[policy] = get("held_out_after")
    at[policy, steps] = loss[policy]
    time[policy, steps] = get("iteration_s") * steps
    printf "  %-14s %6d %12.2f %10.2f %10.4f\n", policy, steps, 1000 * get("iteration_s"), time[policy, steps],
        loss[policy]
    last = steps
}
END {
    if (aborted) exit 2
    printf "  nats per byte; %.4f before training\n", before
    for (policy in loss) require(loss[policy] < before, policy ": held-out loss falls")
    require(at["native", last] == at["zero", last],
        "zero's loss is native's, digit for digit: its schedule changes no number")
    require(time["lsp", last] < time["zero", last], "the same steps take lsp less time than zero")
    finish()
}
