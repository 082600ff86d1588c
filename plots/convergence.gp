# Lines: held-out loss against steps times the measured time a step.
width = 620; height = 400
load plots."/style.gp"
file = data."/convergence.csv"
set xlabel "measured time (s)"
set ylabel "held-out loss (nats a byte)"
set title "gpt-tiny trained on the host: the same steps, the same rates"
set key inside right top Left reverse
names = "native zero zero-delayed lsp"
array shade[4] = [black, orange, pink, blue]
plot for [k=1:4] file using (strcol("policy") eq word(names, k) ? column("steps")*column("iteration_s") : NaN):"held_out_after" \
    with linespoints pointtype (k == 1 ? 7 : k == 2 ? 5 : k == 3 ? 9 : 11) pointsize 0.8 linewidth 1.6 linecolor rgb shade[k] title word(names, k)
