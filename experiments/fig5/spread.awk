# Of a method's seeds, at each evaluated step: mean time, and the mean and extremes of held-out perplexity.
FNR == 1 { csv_header($0); print "method,step,time_s,perplexity,low,high,held_out_loss"; next }
{
    csv_row($0)
    if (get("perplexity") == "") next
    key = get("method") "," get("step")
    p = get("perplexity")
    if (!(key in count)) { keys[++keyed] = key; low[key] = high[key] = p }
    count[key]++
    # Row 0 is before the first step.
    time[key] += get("step") + 0 == 0 ? 0 : get("time_s")
    sum[key] += p; loss[key] += get("held_out_loss")
    low[key] = min(low[key], p); high[key] = max(high[key], p)
}
END {
    if (aborted) exit 2
    for (i = 1; i <= keyed; i++) {
        k = keys[i]
        printf "%s,%.4f,%.5f,%.5f,%.5f,%.6f\n", k, time[k] / count[k], sum[k] / count[k], low[k], high[k],
            loss[k] / count[k]
    }
}
