# One row a model, one column a system: throughput over that of native.
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    model = get("model")
    label = get("label")
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
}
