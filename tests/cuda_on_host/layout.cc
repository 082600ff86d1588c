/* layout.cc - see layout.h.  What CUDA's pools really do is not documented; known are units of 2 MiB, 32 MiB at least
 * for what is smaller, and that pieces between others are not moved. */
#include "layout.h"

namespace
{
const size_t PIECE_BYTES = 512, UNIT_BYTES = (size_t)2 << 20, SMALL_UNIT_BYTES = (size_t)32 << 20;

size_t rounded(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}
} // namespace

bool cuda_on_host_layout_t::split(size_t size, place_t *place)
{
    for (segment_t &segment : segments)
        for (auto &at : segment.pieces) {
            piece_t &piece = at.second;
            if (piece.taken || piece.size < size)
                continue;
            if (piece.size > size)
                segment.pieces[at.first + size] = {piece.size - size, false, piece.points};
            piece.size = size;
            piece.taken = true;
            *place = {&segment, at.first};
            return true;
        }
    return false;
}

bool cuda_on_host_layout_t::take(size_t size, size_t free_bytes, place_t *place)
{
    const size_t needed = rounded(size, PIECE_BYTES), exact = rounded(needed, UNIT_BYTES);
    if (split(needed, place))
        return true;
    const size_t unit = exact < SMALL_UNIT_BYTES && SMALL_UNIT_BYTES <= free_bytes ? SMALL_UNIT_BYTES : exact;
    if (unit > free_bytes)
        return false;
    segments.push_back({unit, {{0, {unit, false, {}}}}});
    reserved += unit;
    return split(needed, place);
}

void cuda_on_host_layout_t::give_back(const place_t &place, std::shared_ptr<cuda_on_host_point_t> point)
{
    auto &pieces = place.segment->pieces;
    auto at = pieces.find(place.offset);
    at->second.taken = false;
    at->second.points = {std::move(point)};
    auto join = [&pieces](decltype(at) left, decltype(at) right) {
        left->second.size += right->second.size;
        auto &points = left->second.points;
        points.insert(points.end(), right->second.points.begin(), right->second.points.end());
        pieces.erase(right);
    };
    const auto next = std::next(at);
    if (next != pieces.end() && !next->second.taken)
        join(at, next);
    if (at != pieces.begin() && !std::prev(at)->second.taken)
        join(std::prev(at), at);
}

void cuda_on_host_layout_t::trim(size_t bytes)
{
    for (auto segment = segments.begin(); segment != segments.end() && reserved > bytes;) {
        const piece_t &first = segment->pieces.begin()->second;
        bool idle = segment->pieces.size() == 1 && !first.taken;
        for (const auto &point : first.points)
            idle = idle && cuda_on_host_passed(*point);
        reserved -= idle ? segment->size : 0;
        segment = idle ? segments.erase(segment) : std::next(segment);
    }
}
