FNR == 1 {
    csv_header($0)
    files++
    if (files == 1)
        printf "  %-7s %28s %10s %10s %14s\n", "policy", "bytes per rank or nonzero:", "measured", "Table 2",
            "over counted"
    else
        printf "  %-7s %5s %18s\n", "policy", "tau", "rank of the change"
    next
}
files == 1 {
    csv_row($0)
    p = get("policy")
    printf "  %-7s %28s %10d %10d %14.2f\n", p, "", get("measured"), get("formula"), get("accounted")
    per[p] = get("measured"); ratio[p] = get("ratio"); accounted[p] = get("accounted")
    next
}
{
    csv_row($0)
    p = get("policy"); tau = get("tau")
    printf "  %-7s %5d %8.1f (%d-%d)\n", p, tau, get("rank"), get("low"), get("high")
    if (get("high") > 16 * (p == "lora" ? 1 : tau)) bound++
    rank[p, tau] = get("rank")
    most_tau = max(most_tau, tau)
}
END {
    if (aborted) exit 2
    require(accounted["lora"] > 0.95 && accounted["lora"] < 1.1,
        "lora: bytes are those of 3 (m + n) r numbers, within 10 %")
    require(accounted["galore"] > 0.95 && accounted["galore"] < 1.2,
        "galore: those of basis and two moments, within 20 %")
    require(abs(accounted["lsp"] - 1) < 0.01, "lsp: 16 bytes per nonzero: value and index, by row and by column")
    require(per["lsp"] * 4 < per["lora"] * 16 && per["lsp"] * 4 < per["galore"] * 16, \
        "a subspace of d = 16 at r = 4 takes fewer GPU bytes than rank 16 of lora or galore")
    require(bound + 0 == 0, "no change has a rank above d tau, or r of lora")
    require(rank["lsp", 1] > 12 && rank["lsp", 4] > 3 * rank["lsp", 1],
        "lsp: four subspaces give more than three times the rank of one")
    require(rank["galore", 4] > 3 * rank["galore", 1], "galore: four bases give more than three times the rank of one")
    require(rank["lora", most_tau] <= 16, "lora stays at its rank")
    finish()
}
