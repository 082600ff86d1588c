# What must hold, printed beside the numbers.  lib.awk has get(), require() and finish().
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    policy = get("policy"); link = get("link_Bps") / 1e9
    slowdown[policy, link] = get("slowdown")
    if (!(link in seen)) { seen[link] = 1; links[++count] = link }
}
END {
    if (aborted) exit 2
    printf "  %-12s %10s %10s\n", "link, GB/s", "zero", "lsp"
    for (i = 1; i <= count; i++)
        printf "  %-12s %10.2f %10.2f\n", links[i], slowdown["zero", links[i]], slowdown["lsp", links[i]]
    # Of every claim: what the paper says, and where our numbers stand.
    require(count > 0, count " links were swept")
    worst = 0
    for (i = 1; i <= count; i++) worst = max(worst, slowdown["lsp", links[i]] / slowdown["zero", links[i]])
    require(worst <= 1, sprintf("lsp is never slower than zero (at most %.2f times its time)", worst))
    finish()
}
