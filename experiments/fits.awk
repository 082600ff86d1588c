# fits.awk - of the rows of `lspo choose`, fastest first, one row: model, policies that fit, the fastest of them, its
# tokens per second and what limits it; nothing for both where none fits.
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    model = get("model")
    count++
    if (get("fits") != "true") next
    if (fit++) next
    fastest = get("policy")
    limit = get("limited_by")
    rate = get("tokens_per_s")
    rate = sprintf(rate < 100 ? "%.3g" : "%.0f", rate)
}
END {
    if (aborted) exit 2
    printf "%s,%d of %d,%s,%s,%s\n", model, fit, count, fit ? fastest : "none fits", rate, limit
}
