-- The bytes per rank, or per nonzero of a row, between the smallest and the largest measured, against Table 2's formula
-- at four bytes per number and against a count of all arrays.
CREATE VIEW tensors AS SELECT sum(stages * ("rows" + cols)) AS sides, sum(stages * min("rows", cols)) AS short,
    sum(stages * max("rows", cols)) AS long FROM model WHERE linear = 'true';
CREATE VIEW formulas AS SELECT 'lora' AS policy, 12 * sides AS formula, 12 * sides AS counted FROM tensors
    UNION ALL SELECT 'galore', 4 * (short + 3 * long), 4 * (short + 2 * long) FROM tensors
    UNION ALL SELECT 'lsp', 4 * sides, 16 * sides FROM tensors;
CREATE VIEW measures AS SELECT least.policy, least.k AS "from", most.k AS "to", least.rowid AS place,
    (most.peak_gpu_bytes - least.peak_gpu_bytes) / (most.k - least.k) AS measured
    FROM memory AS least JOIN memory AS most USING (policy)
    WHERE least.k = (SELECT min(k) FROM memory) AND most.k = (SELECT max(k) FROM memory);
WRITE bytes AS SELECT policy, "from", "to", measured, formula, counted, measured / formula AS ratio,
    measured / counted AS accounted FROM measures JOIN formulas USING (policy) ORDER BY place;
-- Numerical rank of the change, mean and extremes over the weights of a block.
WRITE mean_rank AS SELECT policy, tau, avg(update_rank) AS rank, min(update_rank) AS low, max(update_rank) AS high
    FROM rank GROUP BY policy, tau ORDER BY min(rowid);

SELECT printf('  %-7s %28s %10s %10s %14s', 'policy', 'bytes per rank or nonzero:', 'measured', 'Table 2',
    'over counted');
SELECT printf('  %-7s %28s %10d %10d %14.2f', policy, '', measured, formula, accounted) FROM bytes;
SELECT printf('  %-7s %5s %18s', 'policy', 'tau', 'rank of the change');
SELECT printf('  %-7s %5d %8.1f (%d-%d)', policy, tau, rank, low, high) FROM mean_rank;
REQUIRE SELECT accounted > 0.95 AND accounted < 1.1, 'lora: bytes are those of 3 (m + n) r numbers, within 10 %'
    FROM bytes WHERE policy = 'lora';
REQUIRE SELECT accounted > 0.95 AND accounted < 1.2, 'galore: those of basis and two moments, within 20 %' FROM bytes
    WHERE policy = 'galore';
REQUIRE SELECT abs(accounted - 1) < 0.01, 'lsp: 16 bytes per nonzero: value and index, by row and by column' FROM bytes
    WHERE policy = 'lsp';
REQUIRE SELECT pick(measured, policy = 'lsp') * 4 <
    16 * min(pick(measured, policy = 'lora'), pick(measured, policy = 'galore')),
    'a subspace of d = 16 at r = 4 takes fewer GPU bytes than rank 16 of lora or galore' FROM bytes;
REQUIRE SELECT every(high <= 16 * iif(policy = 'lora', 1, tau)), 'no change has a rank above d tau, or r of lora'
    FROM mean_rank;
CREATE VIEW grown AS SELECT policy, pick(rank, tau = 1) AS one, pick(rank, tau = 4) AS four FROM mean_rank
    GROUP BY policy;
REQUIRE SELECT one > 12 AND four > 3 * one, 'lsp: four subspaces give more than three times the rank of one' FROM grown
    WHERE policy = 'lsp';
REQUIRE SELECT four > 3 * one, 'galore: four bases give more than three times the rank of one' FROM grown
    WHERE policy = 'galore';
REQUIRE SELECT rank <= 16, 'lora stays at its rank' FROM mean_rank WHERE policy = 'lora'
    AND tau = (SELECT max(tau) FROM mean_rank);
