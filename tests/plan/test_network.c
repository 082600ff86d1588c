/* Files of peers, and chains of them as texts: what is read, and what each mistake is called. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "plan/chain.h"
#include "tests/own_folder.h"
#include "tests/said.h"

TestSuite(network, .init = make_folder, .fini = remove_folder);

static lspo_network_t read_network(const char *text)
{
    lspo_network_t network = {0};
    cr_assert_eq(lspo_network_read(own_file("peers.ini", text), &network), LSPO_OK);
    return network;
}

static void expect_link(const lspo_network_t *n, uint32_t a, uint32_t b, double Bps, double latency_s)
{
    cr_expect_eq(lspo_network_link(n, a, b)->Bps, Bps);
    cr_expect_float_eq(lspo_network_link(n, a, b)->latency_s, latency_s, 1e-15);
}

/* What a section leaves out comes from [peers], or else from the machine of --machine. */
Test(network, kinds_links_and_machines)
{
    lspo_network_t n = read_network("[peers]\nmachine = t4\nBps = 1 Gbit/s\nlatency_s = 10 ms\n"
                                    "[peer slow]\ncount = 40\nspeed = 0.5\n"
                                    "[peer fast]\nmachine = h100-80gb-sxm\nmemory_bytes = 40 GB\ncount = 2\n"
                                    "[link slow fast]\nBps = 25 MB/s\n"
                                    "[link fast fast]\nBps = 10 GB/s\nlatency_s = 5 us\n");
    lspo_machine_t usual, own;
    cr_assert_eq(n.kind_count, 2);
    cr_expect_eq(n.peer_count, 42);
    cr_expect_eq(n.kinds[0].speed, 0.5);
    expect_link(&n, 0, 0, 125e6, 10e-3);
    expect_link(&n, 0, 1, 25e6, 10e-3);
    expect_link(&n, 1, 0, 25e6, 10e-3);
    expect_link(&n, 1, 1, 10e9, 5e-6);
    cr_assert_eq(lspo_machine_find("rtx4090", &usual), LSPO_OK);
    cr_assert_eq(lspo_machine_use_framework(&usual, "eager"), LSPO_OK);
    lspo_network_machine(&n, &usual, 0, 1, &own);
    cr_expect_str_eq(own.name, "t4");
    cr_expect_eq(own.net.Bps, 25e6);
    cr_expect_str_eq(own.framework, "eager", "the framework of --machine runs on all peers");
    cr_expect_eq(own.software.kernel_s, usual.software.kernel_s);
    lspo_network_machine(&n, &usual, 1, 1, &own);
    cr_expect_str_eq(own.name, "h100-80gb-sxm");
    cr_expect_eq(own.gpu.memory_bytes, 40e9);
    lspo_network_release(&n);

    n = read_network("[peers]\nBps = 1 GB/s\n[peer a]\ncount = 3\n[peer alone]\n");
    cr_expect_eq(n.peer_count, 4, "a kind without keys is one peer");
    lspo_network_machine(&n, &usual, 0, 0, &own);
    cr_expect_str_eq(own.name, "rtx4090");
    expect_link(&n, 0, 0, 1e9, 0);
    lspo_network_release(&n);
}

/* A machine's file is relative to the file of peers. */
Test(network, a_machine_may_be_a_file_beside_it)
{
    own_file("mine.ini", "[machine]\nbase = rtx3080\nname = mine\n");
    lspo_network_t n = read_network("[peer a]\nmachine = ./mine.ini\n");
    cr_expect_str_eq(n.machines[0].name, "mine");
    lspo_network_release(&n);
}

static const struct {
    const char *text, *said[2];
} bad[] = {
    {"", {"the file is empty"}},
    {"# none\n", {"has no [peer NAME]"}},
    {"[peers]\nBps = 1 GB/s\n", {"has no [peer NAME]"}},
    {"[peer a]\ncount = 0\n", {"peers.ini:2: [peer a] count", "from 1 to 100000"}},
    {"[peer a]\ncount = 2\n", {"no rate between a and a", "[link a a]"}},
    {"[peer a]\n speed = 1\n[peer b]\ncount = 1\n", {"no rate between a and b"}},
    {"[peer a]\nspeed = 0\n", {"peers.ini:2: [peer a] speed", "above 0"}},
    {"[peer a]\nspeed = -1\n", {"peers.ini:2: [peer a] speed", "above 0"}},
    {"[peer a]\nspeed = nan\n", {"peers.ini:2: [peer a] speed"}},
    {"[peer a]\nmemory_bytes = 4\n", {"peers.ini:2: [peer a] memory_bytes"}},
    {"[peer a]\nmemory_bytes = 0.4 B\n", {"peers.ini:2: [peer a] memory_bytes", "from 1 B to 4 EiB"}},
    {"[peer a]\nmemory_bytes = 1e30 B\n", {"peers.ini:2: [peer a] memory_bytes", "from 1 B to 4 EiB"}},
    {"[peer a]\nmachine = rtx9999\n", {"peers.ini:2: [peer a] machine"}},
    {"[peer a]\nmachine = ./none.ini\n", {"none.ini"}},
    {"[peer a b]\ncount = 1\n", {"peers.ini:1", "the name of a kind"}},
    {"[peer a*2]\ncount = 1\n", {"peers.ini:1", "the name of a kind"}},
    {"[peer abcdefghijklmnopqrstuvwxyz]\ncount = 1\n", {"peers.ini:1", "1 to 23 letters"}},
    {"[peer a]\nlatency_s = 1 ms\n", {"peers.ini:2", "unknown key; [peer NAME] has"}},
    {"[peers]\nspeed = 2\n", {"peers.ini:2", "unknown key; [peers] has"}},
    {"[peer a]\ncount = 1\n[peers]\nBps = 0 GB/s\n", {"peers.ini:4: [peers] Bps", "above 0"}},
    {"[peers]\nlatency_s = 2 h\n[peer a]\ncount = 1\n", {"peers.ini:2: [peers] latency_s", "at most 1 h"}},
    {"[peer a]\nmachine = t4\n[peers]\nmachine = t4\n", {"peers.ini:4", "before the machines of kinds"}},
    {"[peer a]\ncount = 2\n[link a]\nBps = 1 GB/s\n", {"peers.ini:3", "[link A B]"}},
    {"[peer a]\ncount = 2\n[link a b]\nBps = 1 GB/s\n", {"peers.ini:3", "there is no [peer b]"}},
    {"[peer a]\ncount = 1\n[link a a]\nBps = 1 GB/s\n", {"peers.ini:3", "is a loop"}},
    {"[peer a]\ncount = 1\n[peer b]\ncount = 1\n[link a b]\nBps = 1 GB/s\n[link b a]\nBps = 1 GB/s\n",
     {"peers.ini:7", "[link a b] is at"}},
    {"[peer a]\ncount = 2\n[link a a]\nspeed = 1\n", {"peers.ini:4", "unknown key; [link A B] has"}},
    {"[peer a]\nmemory_bytes = 0 GB\n", {"no peer has memory"}},
    {"[peers]\nBps = 1 GB/s\n[peer a]\ncount = 60000\n[peer b]\ncount = 60000\n", {"has 120000 peers", "100000"}},
    {"[machine]\nname = x\n", {"peers.ini:1", "unknown section"}},
    {"[peer a]\ncount = 1\ncount = 2\n", {"peers.ini:3"}},
    {"[peer a]\ncount = 1\n[peer a]\nspeed = 2\n", {"peers.ini:3: [peer a] is given twice"}},
    {"[peers]\nBps = 1 GB/s\n[peer a]\n[peer b]\n[peers]\nlatency_s = 1 s\n", {"peers.ini:5: [peers] is given twice"}},
    {"[peer a]\n[peer b]\n[link a b]\nBps = 1 GB/s\n[link a b]\n", {"peers.ini:5: [link a b] is given twice"}},
};

Test(network, each_mistake_has_its_place)
{
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lspo_network_t network = {.peer_count = 77};
        const char *path = own_file("peers.ini", bad[i].text);
        listen_begin();
        const lspo_status_t status = lspo_network_read(path, &network);
        listen_end();
        cr_expect_eq(status, LSPO_ERR_INPUT, "%s", bad[i].text);
        cr_expect_eq(network.peer_count, 77, "output only on success");
        for (int part = 0; part < 2 && bad[i].said[part] != NULL; part++)
            expect_said(bad[i].text, bad[i].said[part]);
    }
    lspo_network_t network;
    listen_begin();
    cr_expect_eq(lspo_network_read("/nonexistent/peers.ini", &network), LSPO_ERR_INPUT);
    listen_end();
}

/* ---- chains ---- */

static const char two_kinds[] = "[peers]\nBps = 1 GB/s\n[peer slow]\ncount = 4\n[peer fast]\ncount = 2\n"
                                "[peer poor]\nmemory_bytes = 0 GB\n";

Test(network, a_chain_is_read_as_it_was_written)
{
    static const char *const texts[] = {"slow:10", "slow*4:2/fast:1/fast:1", "fast:3/slow:4/fast:3", "slow:1/slow*3:3"};
    static const char *const again[] = {"slow:10", "slow*4:2/fast*2:1", "fast:3/slow:4/fast:3", "slow:1/slow*3:3"};
    lspo_network_t n = read_network(two_kinds);
    for (int i = 0; i < 4; i++) {
        lspo_chain_t chain = {0};
        char *text = NULL;
        cr_assert_eq(lspo_chain_parse("--chain", texts[i], &n, 10, &chain), LSPO_OK);
        cr_assert_eq(lspo_chain_write(&chain, &n, &text), LSPO_OK);
        cr_expect_str_eq(text, again[i]);
        free(text);
        lspo_chain_release(&chain);
    }
    lspo_network_release(&n);
}

Test(network, a_wrong_chain_is_refused)
{
    static const char *const cases[][2] = {
        {"", "is not KIND:STAGES"},
        {"slow", "is not KIND:STAGES"},
        {"slow:0", "is not KIND:STAGES"},
        {"slow*0:10", "is not KIND:STAGES"},
        {"slow:10/", "is not KIND:STAGES"},
        {"slow:1x", "is not KIND:STAGES"},
        {":10", "is not KIND:STAGES"},
        {"slow:-1", "is not KIND:STAGES"},
        {"other:10", "no [peer other]"},
        {"slow*5:2", "more than the 4 peers of kind slow"},
        {"poor:10", "have no memory"},
        {"slow:4/fast:5", "has 9 stages; the model has 10"},
        {"slow*99999999999:1", "is not KIND:STAGES"},
        {"slow*65535:65535", "more than the 4 peers"},
    };
    lspo_network_t n = read_network(two_kinds);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lspo_chain_t chain = {0};
        listen_begin();
        const lspo_status_t status = lspo_chain_parse("--chain", cases[i][0], &n, 10, &chain);
        listen_end();
        cr_expect_eq(status, LSPO_ERR_INPUT, "%s", cases[i][0]);
        expect_said(cases[i][0], cases[i][1]);
    }
    lspo_network_release(&n);
}

/* Six peers with memory; eight blocks: 2 2 1 1 1 1, the embedding with the first ones, the head with the last. */
Test(network, an_even_chain_has_equal_numbers_of_blocks)
{
    static const uint32_t stages[] = {3, 2, 1, 1, 1, 2};
    lspo_network_t n = read_network(two_kinds);
    lspo_chain_t chain = {0};
    cr_assert_eq(lspo_chain_even(&n, 10, &chain), LSPO_OK);
    cr_assert_eq(chain.count, 6);
    for (uint32_t i = 0; i < 6; i++) {
        cr_expect_eq(chain.peers[i].stages, stages[i]);
        cr_expect_eq(chain.peers[i].kind, i < 4 ? 0u : 1u);
    }
    lspo_chain_release(&chain);
    cr_assert_eq(lspo_chain_even(&n, 4, &chain), LSPO_OK);
    cr_expect_eq(chain.count, 2, "no more peers than blocks");
    lspo_chain_release(&chain);
    lspo_network_release(&n);
}
