/* simgrid_peer.cc - see simgrid_peer.h. */
#include "bench/simgrid_peer.h"

#include <simgrid/s4u.hpp>
#include <string>
#include <vector>

namespace sg = simgrid::s4u;

namespace
{

struct lane_t {
    std::vector<uint32_t> ops; /* in order */
    uint32_t next = 0;
    sg::SemaphorePtr wake = sg::Semaphore::create(0);
};

struct play_t {
    const simgrid_schedule_t *schedule;
    std::vector<lane_t> lanes;
    std::vector<uint32_t> waiting; /* dependencies of each op that have not ended */
    std::vector<std::vector<uint32_t>> successors;
};

void end_op(play_t &play, uint32_t op)
{
    for (uint32_t successor : play.successors[op]) {
        lane_t &lane = play.lanes[play.schedule->lanes[successor]];
        if (--play.waiting[successor] == 0 && lane.ops[lane.next] == successor)
            lane.wake->release();
    }
}

void run_lane(play_t &play, uint32_t index)
{
    lane_t &lane = play.lanes[index];
    for (; lane.next < lane.ops.size(); lane.next++) {
        uint32_t op = lane.ops[lane.next];
        if (play.waiting[op] > 0)
            lane.wake->acquire();
        sg::this_actor::execute(static_cast<double>(play.schedule->ns[op]));
        end_op(play, op);
    }
}

} // namespace

double simgrid_play(const simgrid_schedule_t *schedule, double (*clock_s)(void), double *took_s_out)
{
    char name[] = "bench_simgrid", quiet[] = "--log=root.thresh:error";
    char *arguments[] = {name, quiet, nullptr};
    int argument_count = 2;
    sg::Engine engine(&argument_count, arguments);
    double start_s = clock_s();
    play_t play = {schedule, std::vector<lane_t>(schedule->lane_count), std::vector<uint32_t>(schedule->op_count),
                   std::vector<std::vector<uint32_t>>(schedule->op_count)};
    for (uint32_t i = 0; i < schedule->op_count; i++) {
        play.lanes[schedule->lanes[i]].ops.push_back(i);
        play.waiting[i] = schedule->first[i + 1] - schedule->first[i];
        for (uint32_t d = schedule->first[i]; d < schedule->first[i + 1]; d++)
            play.successors[schedule->deps[d]].push_back(i);
    }
    sg::NetZone *zone = sg::create_full_zone("lspo");
    for (uint32_t lane = 0; lane < schedule->lane_count; lane++) {
        sg::Host *host = zone->create_host("lane" + std::to_string(lane), 1e9)->seal();
        sg::Actor::create("lane", host, [&play, lane] { run_lane(play, lane); });
    }
    zone->seal();
    engine.run();
    *took_s_out = clock_s() - start_s;
    return sg::Engine::get_clock();
}
