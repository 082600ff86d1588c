# predicted.csv measured.csv
FNR == 1 { csv_header($0); file++; next }
{
    csv_row($0)
    policy = get("policy")
    if (file == 1) names[++count] = policy
    time[file, policy] = get("iteration_s")
    overlap[file, policy] = get("gpu_busy_s") + get("d2h_busy_s") + get("h2d_busy_s") + \
        get("cpu_busy_s") - get("iteration_s")
}
END {
    if (aborted) exit 2
    printf "  %-16s %12s %12s\n", "policy", "simulated ms", "measured ms"
    for (i = 1; i <= count; i++)
        printf "  %-16s %12.1f %12.1f\n", names[i], 1000 * time[1, names[i]], 1000 * time[2, names[i]]
    for (side = 1; side <= 2; side++) {
        who = side == 1 ? "simulated: " : "measured: "
        require(time[side, "zero-layerwise"] < time[side, "zero"], who "zero-layerwise is faster than zero")
        require(time[side, "zero-delayed"] < time[side, "zero"], who "zero-delayed is faster than zero")
        require(time[side, "lsp"] < time[side, "zero-layerwise"], who "lsp is faster than zero-layerwise")
        require(time[side, "swap"] > time[side, "zero"], who "swap is slower than zero")
        require(overlap[side, "zero-layerwise"] > 0.25 * time[side, "zero-layerwise"],
            who "lanes work at the same time in zero-layerwise")
    }
    finish()
}
