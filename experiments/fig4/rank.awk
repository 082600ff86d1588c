# Numerical rank of the change, mean and extremes over the weights of a block, one row per (policy, tau).
FNR == 1 { csv_header($0); print "policy,tau,rank,low,high"; next }
{
    csv_row($0)
    key = get("policy") "," get("tau")
    r = get("update_rank")
    if (!(key in count)) { keys[++keyed] = key; low[key] = high[key] = r }
    count[key]++
    sum[key] += r
    low[key] = min(low[key], r); high[key] = max(high[key], r)
}
END {
    for (i = 1; !aborted && i <= keyed; i++)
        printf "%s,%.2f,%d,%d\n", keys[i], sum[keys[i]] / count[keys[i]], low[keys[i]], high[keys[i]]
}
