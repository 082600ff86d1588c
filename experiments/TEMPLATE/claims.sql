-- What must hold, printed beside the numbers.  rows.csv is the table `rows`.
CREATE VIEW links AS SELECT link_Bps / 1e9 AS link, pick(slowdown, policy = 'zero') AS zero,
    pick(slowdown, policy = 'lsp') AS lsp FROM rows GROUP BY link_Bps;

SELECT printf('  %-12s %10s %10s', 'link, GB/s', 'zero', 'lsp');
SELECT printf('  %-12g %10.2f %10.2f', link, zero, lsp) FROM links;
-- Of every claim: what the paper says, and where our numbers stand.
REQUIRE SELECT count(*) > 0, printf('%d links were swept', count(*)) FROM links;
REQUIRE SELECT every(lsp / zero <= 1),
    printf('lsp is never slower than zero (at most %.2f times its time)', max(lsp / zero)) FROM links;
