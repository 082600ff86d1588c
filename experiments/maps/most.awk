# The most parameters that fit, by policy and memory; 0: not even the fewest.  A block of llama-7b has
# 4 w^2 + 3 w f + 2 w parameters, embedding and head 2 V w + w, with w = 4096, f = 11008, V = 32000.
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    policy = get("policy"); memory = get("gpu_memory_bytes") / 2 ^ 30; blocks = get("set")
    sub(/.*blocks=/, "", blocks)
    if (!((policy, memory) in most)) { order[++count] = policy SUBSEP memory; most[policy, memory] = 0 }
    if (get("fits") == "true") most[policy, memory] = max(most[policy, memory], blocks + 0)
}
END {
    if (aborted) exit 2
    print "policy,gpu_memory_GiB,blocks,parameters"
    w = 4096
    for (i = 1; i <= count; i++) {
        split(order[i], part, SUBSEP)
        blocks = most[order[i]]
        printf "%s,%s,%d,%.0f\n", part[1], part[2], blocks,
            blocks ? blocks * (4 * w * w + 3 * w * 11008 + 2 * w) + 2 * 32000 * w + w : 0
    }
}
