-- What projectors keep of held-out gradients, and whether a lower bias trains better.
-- Means over the weights of the block, one row per text, d and r.
WRITE mean AS SELECT printf('%s:%d', text, subspace) AS panel, text, subspace AS d, nnz AS r, avg(random) AS random,
    avg(learned) AS learned, avg(galore) AS galore, avg(galore_formula) AS galore_formula, avg(floor) AS floor,
    sum(projector_bytes) AS projector_bytes FROM fig6b GROUP BY text, subspace, nnz ORDER BY min(rowid);

SELECT printf('  %-5s %3s %3s %-14s %7s %7s %8s %8s %8s %8s', 'text', 'd', 'r', 'weight', 'random', 'learned', 'galore',
    'formula', 'floor', 'fit (ms)');
SELECT printf('  %-5s %3d %3d %-14s %7.3f %7.3f %8.3f %8.3f %8.4f %8.0f', text, subspace, nnz, weight, random, learned,
    galore, galore_formula, floor, 1000 * fit_s) FROM fig6b;
REQUIRE SELECT every(random - learned > 0.05),
    'on held-out gradients learned projectors lose less than optimally scaled random ones at equal d and r' FROM fig6b;
REQUIRE SELECT every(random <= 1), 'at its best scale no pair loses more than everything' FROM fig6b;
REQUIRE SELECT every(raw > 1), 'unscaled random projectors have a bias above 1' FROM fig6b;
REQUIRE SELECT every(floor <= min(learned, random) + 1e-6), 'no pair goes below the SVD floor at its rank' FROM fig6b;
REQUIRE SELECT every(learned < galore_formula),
    'own text, r = 4: learned below GaLore on average over the weights, memory counted as the paper does' ||
    coalesce(', but not at' || group_concat(iif(learned < galore_formula, NULL, printf(' d=%d', d)), ''), '') FROM mean
    WHERE text = 'own' AND r = 4;
SELECT printf('  learned below GaLore at equal bytes: %d of %d cells; counted in numbers as the paper does: %d of %d',
    sum(learned < galore), count(*), sum(galore_formula_rank > 0 AND learned < galore_formula),
    sum(galore_formula_rank > 0)) FROM fig6b;
SELECT '  (the paper: everywhere; not gated, see README)';

-- The order of held-out losses against the order of biases: of pairs of subspaces, alike but for the fit, those in
-- which the one of lower bias ends lower.
SELECT printf('  %3s %9s %10s %4s %7s %14s', 'r', 'fit steps', 'Adam in', 'seed', 'bias', 'held-out loss');
SELECT printf('  %3d %9d %10s %4d %7.3f %14.3f', nnz, fit_steps, adam_basis, seed, bias, held_out_loss) FROM loss;
SELECT printf('  %s: the lower bias has the lower loss in %d of %d pairs', adam_basis,
    sum((a.bias < b.bias) = (a.held_out_loss < b.held_out_loss)), count(*))
    FROM loss AS a JOIN loss AS b USING (nnz, adam_basis, seed) WHERE b.rowid < a.rowid GROUP BY adam_basis;
CREATE VIEW fits AS SELECT random.adam_basis, random.bias AS random_bias, random.held_out_loss AS random_loss, best.*
    FROM loss AS random JOIN (SELECT nnz, adam_basis, seed, max(fit_steps), bias, held_out_loss FROM loss
        GROUP BY nnz, adam_basis, seed) AS best USING (nnz, adam_basis, seed) WHERE random.fit_steps = 0;
REQUIRE SELECT every(bias < random_bias), 'fits lower the bias' FROM fits;
REQUIRE SELECT every(held_out_loss > random_loss),
    'a lower bias does not make a lower loss: with plain Adam the best fit ends above random projectors' FROM fits
    WHERE adam_basis = 'plain';
