/* layout.h - how a pool lies in a GPU's memory: the units that it has of it, and what of them is in use.  For memory.cc
 * only, which holds the lock. */
#ifndef LSPO_TESTS_LAYOUT_H
#define LSPO_TESTS_LAYOUT_H

#include <list>
#include <map>
#include <vector>

#include "stream.h"

class cuda_on_host_layout_t
{
    struct piece_t {
        size_t size;
        bool taken;
        std::vector<std::shared_ptr<cuda_on_host_point_t>> points; /* where what was here was freed */
    };
    struct segment_t {
        size_t size;
        std::map<size_t, piece_t> pieces; /* by offset, without gaps; two free ones never touch */
    };

  public:
    /* Where an array lies. */
    struct place_t {
        segment_t *segment;
        size_t offset;
    };

    /* The first free piece that holds `size` bytes; if there is none, a new segment of whole units, if the GPU has
     * `free_bytes` for it. */
    bool take(size_t size, size_t free_bytes, place_t *place);
    void give_back(const place_t &place, std::shared_ptr<cuda_on_host_point_t> point);
    /* Give the GPU what is unused, and was used by nothing that is still queued, until `bytes` are left. */
    void trim(size_t bytes);
    size_t reserved_bytes() const
    {
        return reserved;
    }

  private:
    std::list<segment_t> segments;
    size_t reserved = 0;

    bool split(size_t size, place_t *place);
};

#endif
