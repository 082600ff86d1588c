FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    case = get("model") " " get("policy")
    link = get("link_Bps") / 1e9
    slowdown = get("slowdown")
    if (case in last && slowdown > last[case] * 1.001) grows = grows " " case
    last[case] = slowdown
    at[get("model"), get("policy"), link] = slowdown
    if (!(link in seen_link)) { seen_link[link] = 1; links[++link_count] = link }
    if (!(get("model") in seen_model)) { seen_model[get("model")] = 1; models[++model_count] = get("model") }
    if (!(get("policy") in seen_policy)) { seen_policy[get("policy")] = 1; names[++policy_count] = get("policy") }
}
END {
    if (aborted) exit 2
    for (i = 1; i <= model_count; i++) {
        m = models[i]
        printf "  slowdown of %s at a link of\n  %-16s", m, "GB/s"
        for (k = 1; k <= link_count; k++) printf " %7s", links[k]
        printf "\n"
        lsp_wins = 1
        for (j = 1; j <= policy_count; j++) {
            printf "  %-16s", names[j]
            for (k = 1; k <= link_count; k++) printf " %7.2f", at[m, names[j], links[k]]
            printf "\n"
        }
        for (k = 1; k <= link_count; k++) if (at[m, "lsp", links[k]] > at[m, "zero", links[k]]) lsp_wins = 0
        require(lsp_wins, m ": lsp is not slower than zero at any bandwidth")
        slow = links[1]; fast = links[link_count]
        require(at[m, "zero", slow] / at[m, "lsp", slow] > at[m, "zero", fast] / at[m, "lsp", fast], \
            m ": lsp gains the more over zero, the slower the link")
        require(at[m, "native", slow] == at[m, "native", fast], m ": native does not depend on the link")
    }
    require(grows == "", "slowdown never grows with bandwidth" (grows == "" ? "" : ", but does for" grows))
    finish()
}
