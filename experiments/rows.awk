# The models of a sweep with machine and batch, each once.
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    row = get("model") " " get("machine") " " get("batch")
    if (!(row in seen)) { seen[row] = 1; print row }
}
