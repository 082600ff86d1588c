-- The slowdown of every policy, by model and link.
CREATE VIEW lines AS SELECT model, min(rowid) AS place,
    printf('  %-16s', 'GB/s') || group_concat(printf(' %7g', link_Bps / 1e9), '') AS head,
    printf('  %-16s', policy) || group_concat(printf(' %7.2f', slowdown), '') AS line
    FROM bandwidth GROUP BY model, policy;
SELECT printf('  slowdown of %s at a link of', model) || char(10) || head || char(10) || group_concat(line, char(10))
    FROM (SELECT * FROM lines ORDER BY place) GROUP BY model ORDER BY min(place);

CREATE VIEW links AS SELECT model, link_Bps, min(rowid) AS place, pick(slowdown, policy = 'native') AS native,
    pick(slowdown, policy = 'zero') AS zero, pick(slowdown, policy = 'lsp') AS lsp FROM bandwidth
    GROUP BY model, link_Bps;
REQUIRE SELECT every(lsp <= zero), model || ': lsp is not slower than zero at any bandwidth' FROM links GROUP BY model
    ORDER BY min(place);
REQUIRE SELECT max(iif(first, gain, NULL)) > max(iif(last, gain, NULL)),
    model || ': lsp gains the more over zero, the slower the link' FROM
    (SELECT model, place, zero / lsp AS gain, link_Bps = min(link_Bps) OVER (PARTITION BY model) AS first,
        link_Bps = max(link_Bps) OVER (PARTITION BY model) AS last FROM links) GROUP BY model ORDER BY min(place);
REQUIRE SELECT min(native) = max(native), model || ': native does not depend on the link' FROM links GROUP BY model
    ORDER BY min(place);
REQUIRE SELECT every(slowdown <= 1.001 * slower), 'slowdown never grows with bandwidth' ||
    coalesce(', but does for' || group_concat(iif(slowdown > 1.001 * slower, printf(' %s %s', model, policy), NULL),
        ''),
        '') FROM (SELECT model, policy, slowdown,
            lag(slowdown, 1, slowdown) OVER (PARTITION BY model, policy ORDER BY link_Bps) AS slower FROM bandwidth);
