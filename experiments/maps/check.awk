# free.csv frontier.csv most.csv lane.csv
FNR == 1 { csv_header($0); file++; next }
{ csv_row($0) }
file == 1 {
    d = get("subspace"); link = get("link_Bps"); slowdown = get("slowdown")
    # One per mille: the steady state is read from a few iterations.
    if (d in by_d && slowdown > by_d[d] * 1.001) grows++
    by_d[d] = slowdown
    if (link in by_link && slowdown < by_link[link] * 0.999) falls++
    by_link[link] = slowdown
}
file == 2 {
    if (FNR > 2 && get("subspace") < last_free) shrinks++
    last_free = get("subspace")
    printf "  link %6.2f GB/s: free up to d = %d\n", get("link_Bps") / 1e9, last_free
}
file == 3 {
    policy = get("policy"); blocks = get("blocks"); memory = get("gpu_memory_GiB")
    if (policy in last_blocks && blocks < last_blocks[policy]) smaller = smaller " " policy
    last_blocks[policy] = blocks
    most[policy, memory] = get("parameters") / 1e9
    if (!(policy in known)) { known[policy] = 1; names[++name_count] = policy }
    if (!(memory in seen)) { seen[memory] = 1; memories[++memory_count] = memory }
}
file == 4 {
    policy = get("policy"); lane = get("lane")
    gpu[policy] += lane == 1
    link = get("link_Bps"); cpu = get("cpu_pps")
    least_link = min(least_link == "" ? link : least_link, link); most_link = max(most_link, link)
    least_cpu = min(least_cpu == "" ? cpu : least_cpu, cpu); most_cpu = max(most_cpu, cpu)
    at[policy, link, cpu] = lane
}
END {
    if (aborted) exit 2
    printf "  largest model, billions of parameters, by GiB\n  %-16s", ""
    for (k = 1; k <= memory_count; k++) printf " %6d", memories[k]
    printf "\n"
    for (i = 1; i <= name_count; i++) {
        printf "  %-16s", names[i]
        for (k = 1; k <= memory_count; k++) {
            printf " %6.1f", most[names[i], memories[k]]
            if (most[names[i], memories[k]] < most["native", memories[k]]) below = below " " names[i]
            if (most["lsp", memories[k]] < 0.95 * most["zero", memories[k]]) lsp_below = 1
        }
        printf "\n"
    }
    require(!grows, "the slowdown of lsp does not grow with the link at any d")
    require(!falls, "it does not fall with d at any link")
    require(last_free > 0 && !shrinks, "the largest free d does not fall as the link gets faster")
    require(smaller == "", "the largest model does not shrink with memory" smaller)
    require(below == "", "native's is the smallest" below)
    require(!lsp_below, "lsp's is at least zero's, less 5 %")
    require(at["zero", least_link, most_cpu] == 2, "the slowest link with the fastest CPU limits zero")
    require(at["zero", most_link, least_cpu] == 3, "the slowest CPU with the fastest link limits zero")
    require(gpu["lsp"] > gpu["zero"],
        sprintf("the GPU limits lsp in more cells than zero (%d, %d)", gpu["lsp"], gpu["zero"]))
    finish()
}
