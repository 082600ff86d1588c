# Points: held-out loss against the bias that a training began with; marks by the fit, colours by Adam's coordinates.
width = 820; height = 430
load plots."/style.gp"
file = data."/loss.csv"
set xlabel "relative bias of the projectors before the first step"
set ylabel "held-out loss (nats per byte)"
set grid xtics ytics linecolor rgb "#e0e0e0" linetype 1 linewidth 0.6
set key outside right top vertical Left reverse
set title note offset 12, 0
fits = "0 5 20 100"
array marks[4] = [4, 6, 8, 7]
is(basis, fit) = strcol("adam_basis") eq basis && column("fit_steps") == fit
name(fit) = fit == 0 ? "random" : sprintf("fitted, %d steps", fit)
plot for [k=1:4] file using (is("plain", word(fits, k)+0) ? column("bias") : NaN):"held_out_loss" with points \
        pointtype marks[k] pointsize 1 linecolor rgb colour_of("lsp") title name(word(fits, k)+0).", plain Adam", \
    for [k=1:4] file using (is("eigen", word(fits, k)+0) ? column("bias") : NaN):"held_out_loss" with points \
        pointtype marks[k] pointsize 1 linecolor rgb red title name(word(fits, k)+0).", eigenbasis"
