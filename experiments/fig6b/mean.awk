# Means over the weights of the block, one row per (text, d, r).
FNR == 1 { csv_header($0); print "panel,text,d,r,random,learned,galore,galore_formula,floor,projector_bytes"; next }
{
    csv_row($0)
    key = get("text") ":" get("subspace") "," get("text") "," get("subspace") "," get("nnz")
    if (!(key in count)) keys[++keyed] = key
    count[key]++
    random[key] += get("random"); learned[key] += get("learned"); galore[key] += get("galore")
    formula[key] += get("galore_formula"); least[key] += get("floor"); bytes[key] += get("projector_bytes")
}
END {
    if (aborted) exit 2
    for (i = 1; i <= keyed; i++) {
        k = keys[i]; n = count[k]
        printf "%s,%.5f,%.5f,%.5f,%.5f,%.5f,%d\n", k, random[k] / n, learned[k] / n, galore[k] / n, formula[k] / n,
            least[k] / n, bytes[k]
    }
}
