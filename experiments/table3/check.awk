FNR == 1 {
    csv_header($0)
    printf "  %-10s %5s %7s %6s %10s %12s %8s\n", "method", "seeds", "s", "steps", "perplexity", "bits a byte",
        "GPU MiB"
    next
}
{
    csv_row($0)
    m = get("method")
    printf "  %-10s %5d %7.1f %6d %10.3f %12.4f %8.1f\n", m, get("seeds"), get("train_s"), get("steps"),
        get("perplexity"), get("bits_per_byte"), get("peak_gpu_bytes") / 2 ^ 20
    loss[m] = get("held_out_after"); taken[m] = get("train_s")
    before = get("held_out_before")
    least = FNR == 2 ? taken[m] : min(least, taken[m]); most = max(most, taken[m])
    if (loss[m] >= before) worse = worse " " m
    if (FNR == 2) first = m
}
END {
    if (aborted) exit 2
    printf "  perplexity before: %.3f\n", exp(before)
    require(worse == "", "every method ends below the pretrained model" (worse == "" ? "" : ", but not" worse))
    require(length(loss) >= 8, "all methods were trained")
    printf "  %-5s times are equal: %.1f to %.1f s (not gated: others may use this machine)\n",
        most < 1.25 * least ? "yes" : "no", least, most
    printf "  %-5s lsp is the best method (the paper's Table 3: 85.53 against 83.63 full, 84.38 GaLore); " \
        "here it is %s\n",
        first == "lsp" ? "yes" : "no", first
    finish()
}
