# Of the seeds of base, steps and method, at the method's best rate: mean and extremes of the held-out loss, also
# relative to the mean of full fine-tuning with Adam on the same seeds.
FNR == 1 {
    csv_header($0)
    print "base,steps,method,learning_rate,seeds,loss,low,high,relative,relative_low,relative_high,peak_gpu_bytes"
    next
}
{
    csv_row($0)
    n = ++rows
    base[n] = get("base"); steps[n] = get("steps"); method[n] = get("method"); seed[n] = get("seed")
    rate[n] = get("learning_rate"); bytes[n] = get("peak_gpu_bytes"); loss[n] = get("held_out_after")
    pair = base[n] "," method[n]
    if (steps[n] == 90 && seed[n] == 1 && (!(pair in best) || loss[n] < lowest[pair])) {
        lowest[pair] = loss[n]
        best[pair] = rate[n]
    }
}
END {
    if (aborted) exit 2
    for (n = 1; n <= rows; n++) {
        if (rate[n] != best[base[n] "," method[n]]) continue
        key = base[n] "," steps[n] "," method[n]
        if (!(key in count)) { keys[++keyed] = key; low[key] = high[key] = loss[n] }
        count[key]++; sum[key] += loss[n]; used[key] = rate[n]; peak[key] = bytes[n]
        low[key] = min(low[key], loss[n]); high[key] = max(high[key], loss[n])
    }
    for (i = 1; i <= keyed; i++) {
        k = keys[i]
        split(k, part, ",")
        full = part[1] "," part[2] ",full"
        if (!(full in count)) continue
        mean = sum[full] / count[full]
        printf "%s,%s,%d,%.5f,%.5f,%.5f,%.5f,%.5f,%.5f,%d\n", k, used[k], count[k], sum[k] / count[k], low[k], high[k],
            sum[k] / count[k] / mean - 1, low[k] / mean - 1, high[k] / mean - 1, peak[k]
    }
}
