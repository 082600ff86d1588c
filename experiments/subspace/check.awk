FNR == 1 {
    csv_header($0)
    printf "  %5s %4s %9s %12s\n", "d", "r", "slowdown", "GPU peak GiB"
    next
}
{
    csv_row($0)
    d = get("subspace") + 0; r = get("nnz") + 0
    slowdown = get("slowdown"); peak = get("peak_gpu_bytes")
    printf "  %5d %4d %9.3f %12.2f\n", d, r, slowdown, peak / 2 ^ 30
    # 0.2 %, because the steady state comes from a few iterations.
    if (r in last_slowdown && slowdown < last_slowdown[r] * 0.998) faster = faster sprintf(" d=%d,r=%d", d, r)
    last_slowdown[r] = slowdown
    if (d in last_peak && peak < last_peak[d]) smaller = smaller sprintf(" d=%d,r=%d", d, r)
    last_peak[d] = peak
    peak_at[d, r] = peak
    least_r = FNR == 2 ? r : min(least_r, r); most_r = max(most_r, r)
}
END {
    if (aborted) exit 2
    require(faster == "", "slowdown does not fall with d at any r" (faster == "" ? "" : ", but does at" faster))
    require(smaller == "",
        "peak GPU memory does not fall with r at any d" (smaller == "" ? "" : ", but does at" smaller))
    require(peak_at[512, most_r] - peak_at[512, least_r] < 0.5 * peak_at[512, least_r], \
        "projectors are small beside the model: from the least r to the greatest the peak grows by less than half")
    finish()
}
