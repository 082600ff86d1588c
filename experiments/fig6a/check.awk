FNR == 1 {
    csv_header($0)
    printf "  %-10s %-5s %6s %6s %6s %6s %6s\n", "model", "", "GPU", "comm", "cpu", "other", "total"
    next
}
{
    csv_row($0)
    model = get("model"); policy = get("policy")
    printf "  %-10s %-5s %6.2f %6.2f %6.2f %6.2f %6.2f\n", model, policy, get("gpu"), get("exposed_comm"),
        get("exposed_cpu"), get("other"), get("total")
    worst = max(worst, abs((get("gpu") + get("exposed_comm") + get("exposed_cpu") + get("other")) / get("total") - 1))
    if (policy == "zero") { gpu = get("gpu"); hidden = get("exposed_comm") + get("exposed_cpu"); next }
    cut = 1 - get("total")
    models++
    cuts += cut
    least = models == 1 ? cut : min(least, cut)
    left = max(left, (get("exposed_comm") + get("exposed_cpu")) / hidden)
}
END {
    if (aborted) exit 2
    printf "  lsp cuts %.0f %% of the iteration on average (the paper: 50 %%)\n", 100 * cuts / models
    require(worst < 0.02, "the four parts add up to the iteration")
    require(least > 0.25, "lsp cuts more than a quarter of zero's iteration for every model")
    require(cuts / models > 0.35 && cuts / models < 0.65, "on average it cuts half, within 15 points")
    require(left < 0.25, "lsp exposes less than a quarter of the time that zero exposes")
    finish()
}
