# One row per (model, link), one column per policy.
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    key = get("model") "," get("link_GBps")
    policy = get("policy")
    if (!(key in seen)) { seen[key] = 1; keys[++key_count] = key }
    if (!(policy in known)) { known[policy] = 1; names[++policy_count] = policy }
    slowdown[key, policy] = get("slowdown")
}
END {
    if (aborted) exit 2
    printf "model,link_GBps"
    for (j = 1; j <= policy_count; j++) printf ",%s", names[j]
    printf "\n"
    for (i = 1; i <= key_count; i++) {
        printf "%s", keys[i]
        for (j = 1; j <= policy_count; j++) printf ",%s", slowdown[keys[i], names[j]]
        printf "\n"
    }
}
