# Lines: held-out loss against steps times the measured time per step.
width = 800; height = 400
load plots."/style.gp"
file = data."/convergence.csv"
set xlabel "measured time (s)"
set ylabel "held-out loss (nats per byte)"
set title "Trained on the host: ".note
set key inside right top Left reverse
names = system("awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next } !seen[$at[\"policy\"]]++ { print $at[\"policy\"] }' '".file."'")
plot for [k=1:words(names)] file using (strcol("policy") eq word(names, k) ? column("steps")*column("iteration_s") : NaN):"held_out_after" \
    with linespoints pointtype mark_of(word(names, k)) pointsize 1.1 linewidth 1.6 linecolor rgb colour_of(word(names, k)) \
    title word(names, k)
