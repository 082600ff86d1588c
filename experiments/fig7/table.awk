# One row per model, one column per system: throughput over that of native.  The last row has the mean slowdown.
# "zero", "lsp d=512", "zero launch waits"
function label_of() {
    return get("policy") (get("subspace") != "" ? " d=" get("subspace") : "") \
        (get("group") == "launch waits" ? " launch waits" : "")
}

FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    model = get("model")
    label = label_of()
    if (!(model in seen)) { seen[model] = 1; models[++model_count] = model }
    if (!(label in known)) { known[label] = 1; labels[++label_count] = label }
    throughput[model, label] = 1 / get("slowdown")
}
END {
    if (aborted) exit 2
    printf "model"
    for (j = 1; j <= label_count; j++) printf ",%s", labels[j]
    printf "\n"
    for (i = 1; i <= model_count; i++) {
        printf "%s", models[i]
        for (j = 1; j <= label_count; j++) printf ",%.4f", throughput[models[i], labels[j]]
        printf "\n"
    }
    printf "mean slowdown"
    for (j = 1; j <= label_count; j++) {
        slowdown = 0
        for (i = 1; i <= model_count; i++) slowdown += 1 / throughput[models[i], labels[j]] / model_count
        printf ",%.4f", 1 / slowdown
    }
    printf "\n"
}
